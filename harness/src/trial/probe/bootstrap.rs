//! Clients that are given one broker alone, and a list that begins with an address where nobody listens.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use results::record::event::BrokerId;
use results::record::event::probe::{BootstrapSeen, ClusterProbe, ProbeSaw};
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::{Probes, REQUEST_LIMIT, Saw, aside};

/// A port on which no server of a node listens: tcpmux, which nobody uses.
const DEAD_PORT: u16 = 1;

impl Probes<'_> {
    pub(super) async fn bootstrap(&self, probe: ClusterProbe) -> Saw {
        let topic = self.topic(probe, self.lab.members.brokers().len()).await?;
        let brokers = self.lab.members.brokers();
        let first = brokers.values().next().ok_or("there is no broker")?;
        let dead = dead(*first).await?;
        let mut seen = vec![];
        for (partition, (brokers, dead)) in (0..).zip(lists(&brokers, dead)) {
            let addresses: Vec<_> =
                dead.iter().chain(brokers.values()).map(SocketAddr::to_string).collect();
            let mut client = self.client(topic.clone());
            client.bootstrap = addresses.join(",");
            // Another partition than the broker's own: the client has to find its leader.
            let partition = (partition + 1) % self.lab.members.brokers().len() as i32;
            let value = format!("written by a client of {}", client.bootstrap);
            let asked = aside(move || client.write_and_read(partition, value.as_bytes())).await;
            let brokers: Vec<BrokerId> = brokers.into_keys().collect();
            seen.push(BootstrapSeen { brokers, dead_first: dead.is_some(), error: asked.err() });
        }
        Ok(ProbeSaw::Clients(seen))
    }
}

/// The lists of addresses that clients are given: each broker alone, and the last behind one that is dead.
fn lists(
    brokers: &BTreeMap<BrokerId, SocketAddr>,
    dead: SocketAddr,
) -> Vec<(BTreeMap<BrokerId, SocketAddr>, Option<SocketAddr>)> {
    let alone = brokers.iter().map(|(id, address)| (BTreeMap::from([(*id, *address)]), None));
    let last = brokers.iter().next_back().map(|(id, address)| (*id, *address));
    alone.chain([(last.into_iter().collect(), Some(dead))]).collect()
}

/// An address of a broker's node where nobody listens, which was just seen.
async fn dead(broker: SocketAddr) -> Result<SocketAddr, String> {
    let dead = SocketAddr::new(broker.ip(), DEAD_PORT);
    match timeout(REQUEST_LIMIT, TcpStream::connect(dead)).await {
        Ok(Err(_)) => Ok(dead),
        Ok(Ok(_)) => Err(format!("somebody listens on {dead}, which was to be a dead address")),
        Err(_) => Err(format!("whether somebody listens on {dead} was not told in time")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn each_broker_is_given_alone_and_one_behind_an_address_that_refuses() {
        let address = |port| SocketAddr::from(([127, 0, 0, 1], port));
        let brokers = BTreeMap::from([(1, address(9091)), (2, address(9092))]);
        let dead = dead(address(9091)).await.unwrap();
        let lists = lists(&brokers, dead);
        let given: Vec<(Vec<_>, _)> =
            lists.iter().map(|(all, dead)| (all.keys().copied().collect(), *dead)).collect();
        assert_eq!(given, [(vec![1], None), (vec![2], None), (vec![2], Some(dead))]);
    }
}
