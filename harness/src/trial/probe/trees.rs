//! The trees of all ZooKeeper servers, walked and compared.
//!
//! A walk takes time, in which the tree may change. So the first server's is walked again when all others are: where it
//! is the same, nothing changed meanwhile, for every change of a znode raises its version or a zxid, and one of its
//! children those of the parent. What the others have then is to be the same. Where it is not, there is another round.
//!
//! `/zookeeper` is left out: what a server keeps there of its ensemble it writes when it starts, by its own clock.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use results::record::event::BrokerId;
use results::record::event::probe::{ProbeSaw, TreeSeen, TreesSeen};
use zookeeper_client::{Client, Error, Stat};

use super::{Probes, REQUEST_LIMIT, Saw};

/// Rounds until the tree is said not to keep still.
const ROUNDS: u32 = 5;

/// What ZooKeeper keeps of itself.
const OWN: &str = "/zookeeper";

/// Session time-out of a probe's client.
const SESSION: Duration = Duration::from_secs(10);

/// A tree, by path.
type Tree = BTreeMap<String, (Vec<u8>, Stat)>;

impl Probes<'_> {
    pub(super) async fn trees(&self) -> Saw {
        let mut clients = vec![];
        for (server, address) in self.lab.members.zookeepers() {
            clients.push((server, connect(server, address).await?));
        }
        let Some(((first, of_first), others)) = clients.split_first() else {
            return Err("there is no ZooKeeper server".to_owned());
        };
        let mut rounds = 0;
        loop {
            rounds += 1;
            let before = walk(*first, of_first).await?;
            let mut trees = vec![];
            for (server, client) in others {
                trees.push((*server, walk(*server, client).await?));
            }
            let still = before == walk(*first, of_first).await?;
            if still || rounds == ROUNDS {
                trees.insert(0, (*first, before));
                return Ok(ProbeSaw::Trees(seen(rounds, still, &trees)));
            }
        }
    }
}

/// A client of one server alone.
pub(super) async fn connect(server: BrokerId, address: SocketAddr) -> Result<Client, String> {
    let connect = Client::connector()
        .with_session_timeout(SESSION)
        .with_connection_timeout(REQUEST_LIMIT)
        .connect(&address.to_string())
        .await;
    connect.map_err(|error| format!("ZooKeeper server {server} is not reached: {error}"))
}

/// All znodes of a server that has everything that was committed before. A znode that vanishes meanwhile is left out.
async fn walk(server: BrokerId, client: &Client) -> Result<Tree, String> {
    let failed = |error: Error| format!("ZooKeeper server {server} could not be walked: {error}");
    client.sync("/").await.map_err(failed)?;
    let (mut tree, mut left) = (Tree::new(), vec!["/".to_owned()]);
    while let Some(path) = left.pop() {
        let known = match client.get_children(&path).await {
            Ok((children, _)) => client.get_data(&path).await.map(|data| (children, data)),
            Err(error) => Err(error),
        };
        let (children, data) = match known {
            Ok(known) => known,
            Err(Error::NoNode) => continue,
            Err(error) => return Err(failed(error)),
        };
        let parent = path.trim_end_matches('/');
        let children = children.into_iter().map(|child| format!("{parent}/{child}"));
        left.extend(children.filter(|child| child != OWN));
        tree.insert(path, data);
    }
    Ok(tree)
}

fn seen(rounds: u32, still: bool, trees: &[(BrokerId, Tree)]) -> TreesSeen {
    let servers = trees.iter().map(|(server, tree)| {
        let bytes = tree.values().map(|(data, _)| data.len() as u64).sum();
        TreeSeen { server: *server, znodes: tree.len() as u64, bytes, crc32: checksum(tree) }
    });
    let first = trees.first();
    let mut others = trees.iter().skip(1);
    let difference = first.and_then(|first| others.find_map(|other| difference(first, other)));
    TreesSeen { rounds, still, servers: servers.collect(), difference }
}

fn checksum(tree: &Tree) -> u32 {
    let mut sum = crc32fast::Hasher::new();
    for (path, (data, stat)) in tree {
        // Each with its length, so that none runs into the next.
        let zxids =
            [stat.czxid, stat.mzxid, stat.pzxid, stat.ctime, stat.mtime, stat.ephemeral_owner];
        let versions = [stat.version, stat.cversion, stat.aversion, stat.num_children];
        let numbers = zxids.into_iter().chain(versions.map(i64::from));
        let numbers: Vec<u8> = numbers.flat_map(i64::to_be_bytes).collect();
        for part in [path.as_bytes(), data, &numbers] {
            sum.update(&(part.len() as u64).to_be_bytes());
            sum.update(part);
        }
    }
    sum.finalize()
}

/// The first znode that two servers do not have in common, in words.
fn difference((one, a): &(BrokerId, Tree), (other, b): &(BrokerId, Tree)) -> Option<String> {
    let path = a.keys().chain(b.keys()).filter(|path| a.get(*path) != b.get(*path)).min()?;
    let of = |tree: &Tree| match tree.get(path) {
        None => "none".to_owned(),
        Some((data, stat)) => {
            format!("version {}, zxid {:#x}, {} bytes", stat.version, stat.mzxid, data.len())
        }
    };
    Some(format!("{path}: server {one} has {}, server {other} {}", of(a), of(b)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stat(version: i32) -> Stat {
        Stat {
            czxid: 1,
            mzxid: 0x1_0000_0002,
            pzxid: 3,
            ctime: 4,
            mtime: 5,
            version,
            cversion: 0,
            aversion: 0,
            ephemeral_owner: 0,
            data_length: 1,
            num_children: 0,
        }
    }

    fn tree(znodes: &[(&str, &str, i32)]) -> Tree {
        let znode = |(path, data, version): &(&str, &str, i32)| {
            ((*path).to_owned(), (data.as_bytes().to_owned(), stat(*version)))
        };
        znodes.iter().map(znode).collect()
    }

    #[test]
    fn trees_that_differ_in_a_path_in_data_or_in_a_version_alone_are_told_apart() {
        let same = tree(&[("/", "", 0), ("/a", "x", 1)]);
        let equal = seen(1, true, &[(1, same.clone()), (2, same.clone())]);
        assert_eq!(equal.difference, None);
        assert_eq!(equal.servers[0].crc32, equal.servers[1].crc32);
        assert_eq!((equal.servers[0].znodes, equal.servers[0].bytes), (2, 1));
        for (other, words) in [
            (
                tree(&[("/", "", 0)]),
                "/a: server 1 has version 1, zxid 0x100000002, 1 bytes, server 2 none",
            ),
            (tree(&[("/", "", 0), ("/a", "y", 1)]), "/a: server 1"),
            (tree(&[("/", "", 0), ("/a", "x", 2)]), "server 2 version 2"),
        ] {
            let differ = seen(1, true, &[(1, same.clone()), (2, other)]);
            assert!(differ.difference.as_ref().is_some_and(|it| it.contains(words)), "{differ:?}");
            assert_ne!(differ.servers[0].crc32, differ.servers[1].crc32);
        }
    }
}
