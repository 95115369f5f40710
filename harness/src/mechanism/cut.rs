//! The rules of a cut: a table for each cut, on the nodes on one side of it, set and removed as a whole.
//!
//! The rules are the node's own, not those of what it is plugged into: a broker reaches the ZooKeeper of
//! its own machine over the node's loopback. Nothing is tracked, so established connections are cut too.

use std::net::Ipv4Addr;

use faults::cut::{By, Cut, Side, Way};

/// TcpPorts of the servers.
#[derive(Debug, Clone, Copy)]
pub struct TcpPorts {
    /// The brokers' port for clients.
    pub broker: u16,
    /// ZooKeeper's port for clients.
    pub zookeeper: u16,
    /// Where ZooKeeper servers follow their leader.
    pub quorum: u16,
    /// Where ZooKeeper servers elect one.
    pub elections: u16,
}

/// One transaction that puts the cut in force on one of its nodes, unless it is in force there. What goes to and
/// from `control` is let alone.
pub(super) fn rules(
    cut: &Cut,
    others: &[Ipv4Addr],
    clients: Ipv4Addr,
    ports: &TcpPorts,
    control: Option<u16>,
) -> String {
    let sent = sent(&cut.spec.from, others, clients, ports);
    let verdict = match cut.spec.by {
        By::Drop => "counter name taken drop",
        // Resets pass: those that the rules send are among them.
        By::Reset => "tcp flags & rst == 0 counter name taken reject with tcp reset",
    };
    let chain = |hook: &str, matches: &mut dyn Iterator<Item = String>| {
        let rules: String = matches.map(|packets| format!("  {packets} {verdict}\n")).collect();
        let spared = spared(hook, control);
        format!(
            " chain {hook} {{\n  type filter hook {hook} priority filter; policy accept;\n{spared}{rules} }}\n"
        )
    };
    let mut chains = String::new();
    if cut.spec.way != Way::Inbound {
        chains.push_str(&chain("output", &mut sent.iter().cloned()));
    }
    if cut.spec.way != Way::Outbound {
        chains.push_str(&chain("input", &mut sent.iter().map(|packets| exchanged(packets))));
    }
    let table = cut.tag.name();
    format!("create table inet {table}\ntable inet {table} {{\n counter taken {{ }}\n{chains}}}\n")
}

/// The rule that lets the connection pass by which kbench reaches the node, before any that takes packets: whatever
/// its other end is, a jump host or an address that changes.
pub(super) fn spared(hook: &str, control: Option<u16>) -> String {
    let own_end = if hook == "input" { "dport" } else { "sport" };
    control.map(|port| format!("  tcp {own_end} {port} accept\n")).unwrap_or_default()
}

/// One transaction that ends a cut; nothing happens where it is not in force.
pub(super) fn end(cut: &Cut) -> String {
    let table = cut.tag.name();
    // Added first, so that there is one to delete.
    format!("table inet {table}\ndelete table inet {table}\n")
}

/// Matches of what a node sends that a cut takes; what it receives is the same with the ends exchanged.
fn sent(from: &Side, others: &[Ipv4Addr], clients: Ipv4Addr, ports: &TcpPorts) -> Vec<String> {
    let list = others.iter().map(Ipv4Addr::to_string).collect::<Vec<_>>().join(", ");
    let TcpPorts { broker, zookeeper, quorum, elections } = ports;
    match from {
        Side::OtherNodes | Side::Nodes(_) | Side::AcrossBridge | Side::NonNeighbours => {
            vec![format!("ip daddr {{ {list} }}")]
        }
        Side::Zookeeper => vec![format!("tcp dport {zookeeper}")],
        Side::Brokers => vec![
            format!("ip daddr {{ {list} }} tcp dport {broker}"),
            format!("ip daddr {{ {list} }} tcp sport {broker}"),
        ],
        Side::Ensemble => vec![
            format!("ip daddr {{ {list} }} tcp dport {{ {quorum}, {elections} }}"),
            format!("ip daddr {{ {list} }} tcp sport {{ {quorum}, {elections} }}"),
        ],
        Side::Clients => vec![format!("ip daddr {clients} tcp sport {broker}")],
    }
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

#[cfg(test)]
mod tests {
    use faults::cut::CutSpec;
    use faults::tag::Tag;

    use super::*;

    const PORTS: TcpPorts =
        TcpPorts { broker: 9092, zookeeper: 2181, quorum: 2888, elections: 3888 };

    fn text(from: Side, way: Way, by: By) -> String {
        text_sparing(from, way, by, None)
    }

    fn text_sparing(from: Side, way: Way, by: By, control: Option<u16>) -> String {
        let tag = Tag { run: "run/1".into(), entry: 7 };
        let cut = Cut { tag, nodes: vec!["a".into()], spec: CutSpec { from, way, by } };
        let others = [Ipv4Addr::new(198, 18, 0, 12), Ipv4Addr::new(198, 18, 0, 13)];
        let rules = rules(&cut, &others, Ipv4Addr::new(198, 18, 0, 1), &PORTS, control);
        rules.replace("kbench-run-1-7", "T")
    }

    #[test]
    fn a_cut_is_one_transaction() {
        assert_eq!(
            text(Side::Zookeeper, Way::Both, By::Drop),
            "create table inet T\ntable inet T {\n counter taken { }\n \
             chain output {\n  type filter hook output priority filter; policy accept;\n  \
             tcp dport 2181 counter name taken drop\n }\n \
             chain input {\n  type filter hook input priority filter; policy accept;\n  \
             tcp sport 2181 counter name taken drop\n }\n}\n"
        );
    }

    #[test]
    fn kbench_s_own_connection_passes_before_anything_is_taken() {
        let from =
            [Side::OtherNodes, Side::Zookeeper, Side::Ensemble, Side::Brokers, Side::Clients];
        for (from, by) in from.into_iter().zip([By::Drop, By::Reset].into_iter().cycle()) {
            let text = text_sparing(from, Way::Both, by, Some(2222));
            let chains: Vec<_> = text.split(" chain ").skip(1).collect();
            assert_eq!(chains.len(), 2, "{text}");
            for (chain, (hook, end)) in chains.iter().zip([("output", "sport"), ("input", "dport")])
            {
                let rules: Vec<_> = chain.lines().skip(2).collect();
                assert!(chain.starts_with(hook), "{text}");
                assert_eq!(rules[0], format!("  tcp {end} 2222 accept"), "{text}");
                assert!(rules[1].contains("counter name taken"), "{text}");
            }
        }
    }

    #[test]
    fn one_way_is_one_chain_and_a_reset_is_not_reset() {
        let inbound = text(Side::Brokers, Way::Inbound, By::Reset);
        assert!(!inbound.contains("hook output"), "{inbound}");
        for port in ["sport", "dport"] {
            let rule = format!(
                "ip saddr {{ 198.18.0.12, 198.18.0.13 }} tcp {port} 9092 tcp flags & rst == 0 \
                 counter name taken reject with tcp reset\n"
            );
            assert!(inbound.contains(&rule), "{inbound}");
        }
        let outbound = text(Side::Clients, Way::Outbound, By::Drop);
        assert!(!outbound.contains("hook input"), "{outbound}");
        assert!(outbound.contains("ip daddr 198.18.0.1 tcp sport 9092 "), "{outbound}");
    }
}
