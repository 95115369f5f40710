//! The parts of ZooKeeper's servers, a write through each of them, and where the brokers' sessions are.

use std::collections::BTreeMap;

use results::record::event::BrokerId;
use results::record::event::probe::{ProbeSaw, ZookeeperWriteSeen, ZookeeperWritesSeen};
use zookeeper_client::{Acls, Client, CreateMode};

use super::trees::connect;
use super::{Probes, Saw};
use crate::cluster::answers::zookeeper_word;

/// What a znode of a write is called, before the id of the server that it goes through.
const WRITTEN: &str = "/kbench-written-through-";

impl Probes<'_> {
    pub(super) async fn zookeeper_writes(&self) -> Saw {
        let servers = self.lab.members.zookeepers();
        let (mut modes, mut words, mut leader_epoch) = (BTreeMap::new(), BTreeMap::new(), None);
        let mut clients = BTreeMap::new();
        for (server, address) in &servers {
            let answer = zookeeper_word(*address, "srvr").await.unwrap_or_default();
            let mode = field(&answer, "Mode: ")
                .ok_or_else(|| format!("ZooKeeper server {server} does not tell its mode"))?;
            if mode == "leader" {
                leader_epoch = epoch(&answer);
            }
            modes.insert(*server, mode.to_owned());
            let connections = zookeeper_word(*address, "cons").await.unwrap_or_default();
            words.insert(*server, connections);
            clients.insert(*server, connect(*server, *address).await?);
        }
        let mut writes = vec![];
        for (through, client) in &clients {
            writes.push(written(*through, client, &clients).await?);
        }
        let sessions = match clients.values().next() {
            Some(client) => self.sessions(client, &words).await,
            None => BTreeMap::new(),
        };
        let seen = ZookeeperWritesSeen { modes, leader_epoch, writes, sessions };
        Ok(ProbeSaw::ZookeeperWrites(seen))
    }

    /// The server on which the session of each broker is that owns its registration.
    async fn sessions(
        &self,
        client: &Client,
        words: &BTreeMap<BrokerId, String>,
    ) -> BTreeMap<BrokerId, BrokerId> {
        let mut sessions = BTreeMap::new();
        for broker in self.lab.members.brokers().into_keys() {
            let stat = client.check_stat(&format!("/brokers/ids/{broker}")).await.ok().flatten();
            let owner = stat.map(|stat| stat.ephemeral_owner);
            let server =
                words.iter().find(|(_, word)| owner.is_some_and(|id| has_session(word, id)));
            sessions.extend(server.map(|(server, _)| (broker, *server)));
        }
        sessions
    }
}

/// Creates a znode through one server, looks for it on all, and deletes it; if it does not come to that, it ends with the
/// session.
async fn written(
    through: BrokerId,
    client: &Client,
    all: &BTreeMap<BrokerId, Client>,
) -> Result<ZookeeperWriteSeen, String> {
    let failed = |error| format!("a write through ZooKeeper server {through}: {error}");
    let path = format!("{WRITTEN}{through}");
    let options = CreateMode::Ephemeral.with_acls(Acls::anyone_all());
    let (created, _) = client.create(&path, b"", &options).await.map_err(failed)?;
    let mut seen_by = vec![];
    for (server, client) in all {
        client.sync(&path).await.map_err(failed)?;
        let stat = client.check_stat(&path).await.map_err(failed)?;
        seen_by.extend(stat.filter(|stat| stat.czxid == created.czxid).map(|_| *server));
    }
    client.delete(&path, None).await.map_err(failed)?;
    Ok(ZookeeperWriteSeen { through, zxid: created.czxid, seen_by })
}

/// What a line of an answer says behind its name.
fn field<'a>(answer: &'a str, name: &str) -> Option<&'a str> {
    answer.lines().find_map(|line| line.strip_prefix(name)).map(str::trim)
}

/// The epoch of the last zxid that a server names: its upper half.
fn epoch(srvr: &str) -> Option<i64> {
    let zxid = field(srvr, "Zxid: ")?.strip_prefix("0x")?;
    i64::from_str_radix(zxid, 16).ok().map(|zxid| zxid >> 32)
}

/// Whether an answer to `cons` names a session.
fn has_session(cons: &str, session: i64) -> bool {
    cons.contains(&format!("sid={session:#x},"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_server_says_is_read() {
        let srvr = "Zookeeper version: 3.8.4\nLatency min/avg/max: 0/0.5/12\nZxid: 0x2000000a7\nMode: leader\n";
        assert_eq!((field(srvr, "Mode: "), epoch(srvr)), (Some("leader"), Some(2)));
        assert_eq!(epoch("This ZooKeeper instance is not currently serving requests"), None);
        let cons = " /198.18.0.11:41618[1](queued=0,recved=9,sent=9,sid=0x100019ab3c40001,lop=PING,est=1)\n";
        assert!(has_session(cons, 0x0100_019a_b3c4_0001));
        assert!(!has_session(cons, 0x0010_0019_ab3c_4000), "no prefix of it");
    }
}
