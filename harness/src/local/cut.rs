//! Cuts between the nodes: a table of nft rules for each cut, in the namespace of each node that
//! is cut off, set and removed as a whole.
//!
//! The rules are the node's own, not the bridge's: a broker reaches the ZooKeeper of its own
//! machine over the node's loopback. Nothing is tracked, so established connections are cut too.

use std::collections::BTreeMap;
use std::io;
use std::net::{Ipv4Addr, TcpStream};
use std::time::{Duration, Instant};

use faults::cut::{By, Cut, Origin, Reach, Side, Way};
use faults::port::Process;
use futures::future::join_all;
use serde_json::Value;

use super::LocalCluster;
use crate::failure::Failure;
use crate::sandbox::{CLIENTS, inside, nft};

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
        let set = self.on_each(cut, move || nft(&["-f", "-"], &rules)).await;
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
        let ended = self.on_each(cut, move || nft(&["-f", "-"], &text)).await;
        ended.map_err(|error| cannot("end the cut of", cut, error))?;
        self.cuts.borrow_mut().retain(|other| other != cut);
        Ok(())
    }

    /// Packets taken by the rules of each node that has rules of the cut.
    ///
    /// # Errors
    /// When `nft` refuses.
    pub async fn taken(&self, cut: &Cut) -> Result<BTreeMap<String, u64>, Failure> {
        let listed = self.on_each(cut, || nft(&["-j", "list", "counters"], "")).await;
        let listed = listed.map_err(|error| cannot("read the cut of", cut, error))?;
        let table = table(cut);
        Ok(listed
            .into_iter()
            .filter_map(|(node, list)| Some((node, count(&list, &table)?)))
            .collect())
    }

    /// Whether a connection is accepted.
    pub async fn reaches(&self, from: &Origin, to: &Process) -> Reach {
        let namespace = match from {
            Origin::Node(node) => self.network.namespace(node),
            Origin::Clients => Ok(None),
        };
        let Ok(namespace) = namespace else { return Reach::Unanswered };
        let address = self.address(to);
        let connect = move || TcpStream::connect_timeout(&address, PROBE_LIMIT).map(drop);
        match inside(namespace, connect).await {
            Ok(()) => Reach::Answered,
            Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => Reach::Refused,
            Err(_) => Reach::Unanswered,
        }
    }

    /// Does the same work in the namespace of each node of the cut, at the same time.
    async fn on_each<T: Send + 'static>(
        &self,
        cut: &Cut,
        work: impl FnOnce() -> io::Result<T> + Clone + Send + 'static,
    ) -> io::Result<Vec<(String, T)>> {
        let each = cut.nodes.iter().map(async |node| {
            let namespace = self.network.namespace(node)?;
            if namespace.is_none() {
                return Err(io::Error::other(format!("{node} has no network of its own")));
            }
            Ok((node.clone(), inside(namespace, work.clone()).await?))
        });
        join_all(each).await.into_iter().collect()
    }

    /// The rules of a cut, the same on each of its nodes.
    fn rules(&self, cut: &Cut) -> io::Result<String> {
        let others: Vec<String> = match &cut.spec.from {
            Side::Nodes(nodes) => nodes.clone(),
            _ => {
                self.topology.node_names().into_iter().filter(|n| !cut.nodes.contains(n)).collect()
            }
        };
        let address = |name: &String| {
            let index = self.topology.node.iter().position(|node| node.name == *name);
            let index =
                index.ok_or_else(|| io::Error::other(format!("there is no node {name}")))?;
            Ok(self.network.address(index))
        };
        let others: Vec<Ipv4Addr> = others.iter().map(address).collect::<io::Result<_>>()?;
        let ports =
            Ports { broker: self.topology.broker.port, zookeeper: self.topology.zookeeper.port };
        if others.is_empty() && !matches!(cut.spec.from, Side::Zookeeper | Side::Clients) {
            return Err(io::Error::other("there is nobody on the other side"));
        }
        Ok(text(cut, &others, &ports))
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
        Side::OtherNodes | Side::Nodes(_) => vec![format!("ip daddr {{ {list} }}")],
        Side::Zookeeper => vec![format!("tcp dport {zookeeper}")],
        Side::Brokers => vec![
            format!("ip daddr {{ {list} }} tcp dport {broker}"),
            format!("ip daddr {{ {list} }} tcp sport {broker}"),
        ],
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

/// Packets of the counter of `table` in what `nft -j list counters` said; none when it is not there.
fn count(list: &str, table: &str) -> Option<u64> {
    let list: Value = serde_json::from_str(list).ok()?;
    let counters = list["nftables"].as_array()?.iter().map(|item| &item["counter"]);
    counters.filter(|counter| counter["table"] == table).find_map(|c| c["packets"].as_u64())
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

    #[test]
    fn a_counter_is_read_only_from_its_own_table() {
        let list = r#"{"nftables": [{"metainfo": {}}, {"counter":
            {"family": "inet", "name": "taken", "table": "T", "packets": 3, "bytes": 180}}]}"#;
        assert_eq!(count(list, "T"), Some(3));
        assert_eq!(count(list, "U"), None);
        assert_eq!(count("", "T"), None);
    }
}
