//! Cuts between the nodes: a table of nft rules for each cut, in the namespaces of the nodes on one
//! side of it, set and removed as a whole.
//!
//! The rules are the node's own, not the bridge's: a broker reaches the ZooKeeper of its own
//! machine over the node's loopback. Nothing is tracked, so established connections are cut too.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::net::{Ipv4Addr, TcpStream};
use std::time::{Duration, Instant};

use faults::cut::{By, Cut, Origin, Reach, Service, Side, Way};
use faults::port::Process;
use futures::future::join_all;

use super::LocalCluster;
use crate::cluster::local::sandbox::{CLIENTS, Counters, inside};
use crate::failure::Failure;
use crate::topology::PEER_PORTS;

/// Limit for a connection between nodes. The kernel answers within a millisecond, whatever the
/// server does; two busy cores make it tens.
const PROBE_LIMIT: Duration = Duration::from_millis(250);

impl LocalCluster {
    /// Puts a cut in force.
    ///
    /// # Errors
    /// When it has no other side, is in force already, or `nft` refuses.
    pub async fn cut(&self, cut: &Cut) -> Result<(), Failure> {
        let rules = self.rules(cut).map_err(|error| cannot("cut", cut, error))?;
        let began = Instant::now();
        let set = self.transact(&rules).await;
        tracing::info!(%cut, us = began.elapsed().as_micros(), "rules are set");
        set.map_err(|error| cannot("cut", cut, error))?;
        self.cuts.borrow_mut().push(cut.clone());
        Ok(())
    }

    /// The cuts that are in force.
    pub fn cuts(&self) -> Vec<Cut> {
        self.cuts.borrow().clone()
    }

    /// Ends a cut; nothing happens where it is not in force.
    ///
    /// # Errors
    /// When `nft` refuses.
    pub async fn uncut(&self, cut: &Cut) -> Result<(), Failure> {
        let table = table(cut);
        // Added first, so that there is one to delete.
        let text = format!("table inet {table}\ndelete table inet {table}\n");
        let ended = self.transact(&self.on_ends(cut, &text)).await;
        tracing::info!(%cut, "rules are removed");
        ended.map_err(|error| cannot("end the cut of", cut, error))?;
        self.cuts.borrow_mut().retain(|other| other != cut);
        Ok(())
    }

    /// Packets taken by the rules of each node that has rules of the cut.
    ///
    /// # Errors
    /// When `nft` refuses.
    pub async fn taken(&self, cut: &Cut) -> Result<BTreeMap<String, u64>, Failure> {
        let counters = self.transact(&self.on_ends(cut, "")).await;
        let counters = counters.map_err(|error| cannot("read the cut of", cut, error))?;
        let table = table(cut);
        let taken = |(node, c): (String, Counters)| Some((node, c.packets(&table, "taken")?));
        Ok(counters.into_iter().filter_map(taken).collect())
    }

    /// Whether a connection is accepted.
    pub async fn reaches(&self, from: &Origin, to: &Process, service: Service) -> Reach {
        let namespace = match from {
            Origin::Node(node) => self.network.namespace(node),
            Origin::Clients => Ok(None),
        };
        let Ok(namespace) = namespace else { return Reach::Unanswered };
        let mut address = self.address(to);
        if service == Service::Elections {
            let [_, elections] = PEER_PORTS;
            address.set_port(elections);
        }
        let connect = move || TcpStream::connect_timeout(&address, PROBE_LIMIT).map(drop);
        match inside(namespace, connect).await {
            Ok(()) => Reach::Answered,
            Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => Reach::Refused,
            Err(_) => Reach::Unanswered,
        }
    }

    /// Lets `nft` on each node do everything once: the first time takes it ten times as long.
    pub(super) async fn rouse_nft(&self) -> io::Result<()> {
        const ROUSE: &str = "table inet kbench-rouse { counter taken { }; chain none { ip daddr \
            { 198.18.0.0, 198.18.0.1 } tcp dport { 1, 2 } counter name taken drop; }; }\n\
            delete table inet kbench-rouse\n";
        let all = self.nft.keys().map(|node| (node.clone(), ROUSE.to_owned())).collect();
        self.transact(&all).await.map(drop)
    }

    /// Carries out a transaction on each node, at the same time; the counters after it.
    pub(super) async fn transact(
        &self,
        rules: &BTreeMap<String, String>,
    ) -> io::Result<BTreeMap<String, Counters>> {
        let each = rules.iter().map(async |(node, text)| {
            let nft = self.nft.get(node).ok_or_else(|| {
                io::Error::other(format!("{node} has no network of its own, or `nft` is missing"))
            })?;
            Ok((node.clone(), nft.transact(text).await?))
        });
        join_all(each).await.into_iter().collect()
    }

    /// The same text for each node that has rules of the cut.
    fn on_ends(&self, cut: &Cut, text: &str) -> BTreeMap<String, String> {
        let ends = cut.ends(&self.nodes()).into_keys();
        ends.map(|node| (node, text.to_owned())).collect()
    }

    fn nodes(&self) -> BTreeSet<String> {
        self.topology.node_names().into_iter().collect()
    }

    /// The rules of a cut for each node that has any.
    fn rules(&self, cut: &Cut) -> io::Result<BTreeMap<String, String>> {
        let ports =
            Ports { broker: self.topology.broker.port, zookeeper: self.topology.zookeeper.port };
        let mut rules = BTreeMap::new();
        for (node, others) in cut.ends(&self.nodes()) {
            let others: Vec<Ipv4Addr> =
                others.iter().map(|name| self.node_address(name)).collect::<io::Result<_>>()?;
            if others.is_empty() && !matches!(cut.spec.from, Side::Zookeeper | Side::Clients) {
                return Err(io::Error::other("there is nobody on the other side"));
            }
            rules.insert(node, text(cut, &others, &ports));
        }
        if rules.is_empty() {
            return Err(io::Error::other("there is nobody to cut off"));
        }
        Ok(rules)
    }

    /// The address of a node.
    pub(super) fn node_address(&self, name: &str) -> io::Result<Ipv4Addr> {
        let index = self.topology.node.iter().position(|node| node.name == *name);
        let index = index.ok_or_else(|| io::Error::other(format!("there is no node {name}")))?;
        Ok(self.network.address(index))
    }
}

struct Ports {
    broker: u16,
    zookeeper: u16,
}

/// Name of the cut's table: the same for the same cut, in any run of kbench (FNV-1a).
fn table(cut: &Cut) -> String {
    let words = cut.to_string();
    let mix = |hash: u64, byte: u8| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
    format!("kbench-cut-{:016x}", words.bytes().fold(0xcbf2_9ce4_8422_2325, mix))
}

/// One transaction that puts the cut in force on one of its nodes, unless it is in force there.
fn text(cut: &Cut, others: &[Ipv4Addr], ports: &Ports) -> String {
    let list = others.iter().map(Ipv4Addr::to_string).collect::<Vec<_>>().join(", ");
    let Ports { broker, zookeeper } = ports;
    // What is sent; what is received is the same with the ends exchanged.
    let sent = match cut.spec.from {
        Side::OtherNodes | Side::Nodes(_) | Side::AcrossBridge | Side::NonNeighbours => {
            vec![format!("ip daddr {{ {list} }}")]
        }
        Side::Zookeeper => vec![format!("tcp dport {zookeeper}")],
        Side::Brokers => vec![
            format!("ip daddr {{ {list} }} tcp dport {broker}"),
            format!("ip daddr {{ {list} }} tcp sport {broker}"),
        ],
        Side::Ensemble => {
            let [quorum, elections] = PEER_PORTS;
            vec![
                format!("ip daddr {{ {list} }} tcp dport {{ {quorum}, {elections} }}"),
                format!("ip daddr {{ {list} }} tcp sport {{ {quorum}, {elections} }}"),
            ]
        }
        Side::Clients => vec![format!("ip daddr {CLIENTS} tcp sport {broker}")],
    };
    let verdict = match cut.spec.by {
        By::Drop => "counter name taken drop",
        // Resets pass: those that the rules send are among them.
        By::Reset => "tcp flags & rst == 0 counter name taken reject with tcp reset",
    };
    let chain = |hook: &str, matches: &mut dyn Iterator<Item = String>| {
        let rules: String = matches.map(|packets| format!("  {packets} {verdict}\n")).collect();
        format!(
            " chain {hook} {{\n  type filter hook {hook} priority filter; policy accept;\n{rules} }}\n"
        )
    };
    let mut chains = String::new();
    if cut.spec.way != Way::Inbound {
        chains.push_str(&chain("output", &mut sent.iter().cloned()));
    }
    if cut.spec.way != Way::Outbound {
        chains.push_str(&chain("input", &mut sent.iter().map(|packets| exchanged(packets))));
    }
    let table = table(cut);
    format!("create table inet {table}\ntable inet {table} {{\n counter taken {{ }}\n{chains}}}\n")
}

/// A match with source and destination exchanged.
fn exchanged(packets: &str) -> String {
    let exchange = |word| match word {
        "saddr" => "daddr",
        "daddr" => "saddr",
        "sport" => "dport",
        "dport" => "sport",
        other => other,
    };
    packets.split(' ').map(exchange).collect::<Vec<_>>().join(" ")
}

fn cannot(action: &str, cut: &Cut, error: io::Error) -> Failure {
    Failure::infrastructure(format!("cannot {action} {cut}: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use faults::cut::CutSpec;

    fn rules(from: Side, way: Way, by: By) -> String {
        let cut = Cut { nodes: vec!["a".into()], spec: CutSpec { from, way, by } };
        let others = [Ipv4Addr::new(198, 18, 0, 12), Ipv4Addr::new(198, 18, 0, 13)];
        let text = text(&cut, &others, &Ports { broker: 9092, zookeeper: 2181 });
        text.replace(&table(&cut), "T")
    }

    #[test]
    fn a_cut_is_one_transaction() {
        assert_eq!(
            rules(Side::Zookeeper, Way::Both, By::Drop),
            "create table inet T\ntable inet T {\n counter taken { }\n \
             chain output {\n  type filter hook output priority filter; policy accept;\n  \
             tcp dport 2181 counter name taken drop\n }\n \
             chain input {\n  type filter hook input priority filter; policy accept;\n  \
             tcp sport 2181 counter name taken drop\n }\n}\n"
        );
    }

    #[test]
    fn one_way_is_one_chain_and_a_reset_is_not_reset() {
        let inbound = rules(Side::Brokers, Way::Inbound, By::Reset);
        assert!(!inbound.contains("hook output"), "{inbound}");
        for port in ["sport", "dport"] {
            let rule = format!(
                "ip saddr {{ 198.18.0.12, 198.18.0.13 }} tcp {port} 9092 tcp flags & rst == 0 \
                 counter name taken reject with tcp reset\n"
            );
            assert!(inbound.contains(&rule), "{inbound}");
        }
        let outbound = rules(Side::Clients, Way::Outbound, By::Drop);
        assert!(!outbound.contains("hook input"), "{outbound}");
        assert!(outbound.contains("ip daddr 198.18.0.1 tcp sport 9092 "), "{outbound}");
    }

    #[test]
    fn different_cuts_have_different_tables() {
        let spec = |from, way, by| CutSpec { from, way, by };
        let cuts = [
            spec(Side::Zookeeper, Way::Both, By::Drop),
            spec(Side::Zookeeper, Way::Both, By::Reset),
            spec(Side::Zookeeper, Way::Inbound, By::Drop),
            spec(Side::Brokers, Way::Both, By::Drop),
            spec(Side::Nodes(vec!["b".into()]), Way::Both, By::Drop),
        ];
        let tables: std::collections::BTreeSet<_> =
            cuts.map(|spec| table(&Cut { nodes: vec!["a".into()], spec })).into();
        assert_eq!(tables.len(), 5);
    }
}
