//! The rules of packets that are lost or sent twice: a table for each injection, set and removed as a
//! whole. Loss acts on what a node gets, duplicates on what it sends.

use std::net::Ipv4Addr;

use faults::degrade::{Condition, Degradation, Percent};

use super::cut;
use super::nft::Counters;

/// What a copy is known by.
const MARK: &str = "0x6b62";

/// Counter of the packets that came by.
const SEEN: &str = "seen";

/// Counter of those among them that it was done to.
const TOUCHED: &str = "touched";

/// Family and name of the table of a degradation; `None` where rules do not make it.
fn table(degradation: &Degradation) -> Option<(&'static str, String)> {
    let family = match degradation.condition {
        Condition::Loss(_) => "inet",
        Condition::Duplicate(_) => "netdev",
        Condition::Rate(_) | Condition::Delay(_) | Condition::Reorder(_) => return None,
    };
    Some((family, degradation.tag.name()))
}

/// One transaction that puts a degradation in force on an interface, unless it is; `None` where rules do
/// not make it. Traffic of `spared` is let alone, and what comes to the port `control`.
pub(super) fn rules(
    degradation: &Degradation,
    interface: &str,
    spared: Ipv4Addr,
    control: Option<u16>,
) -> Option<String> {
    let (family, table) = table(degradation)?;
    let (hook, chosen) = match degradation.condition {
        Condition::Loss(percent) => {
            let lost = share(percent);
            let all = format!("iifname {interface} ip saddr != {spared} counter name {SEEN}");
            let control = cut::spared("input", control);
            (
                "input priority filter".to_owned(),
                format!("{control}  {all} {lost} counter name {TOUCHED} drop"),
            )
        }
        // The second of a pair is marked as the first is, and let alone.
        Condition::Duplicate(percent) => {
            let chosen = share(percent);
            let twice = format!("meta mark set {MARK} counter name {TOUCHED} dup to {interface}");
            let all = format!("meta mark != {MARK} ip daddr != {spared} counter name {SEEN}");
            let hook = format!("egress device {interface} priority filter");
            (hook, format!("  {all} {chosen} {twice}"))
        }
        Condition::Rate(_) | Condition::Delay(_) | Condition::Reorder(_) => return None,
    };
    Some(format!(
        "create table {family} {table}\ntable {family} {table} {{\n counter {SEEN} {{ }}\n \
         counter {TOUCHED} {{ }}\n chain packets {{\n  type filter hook {hook}; policy accept;\n\
         {chosen}\n }}\n}}\n"
    ))
}

/// The match of a share of packets. `nft` refuses a comparison that always holds.
fn share(percent: Percent) -> String {
    match percent.get() {
        100 => String::new(),
        share => format!("numgen random mod 100 < {share}"),
    }
}

/// One transaction that ends it; nothing happens where it is not in force. `None` where rules do not make it.
pub(super) fn end(degradation: &Degradation) -> Option<String> {
    let (family, table) = table(degradation)?;
    // Added first, so that there is one to delete.
    Some(format!("table {family} {table}\ndelete table {family} {table}\n"))
}

/// Packets that it was done to, and packets that came by; `None` where it is not in force.
pub(super) fn counted(degradation: &Degradation, counters: &Counters) -> Option<(u64, u64)> {
    let (_, table) = table(degradation)?;
    Some((counters.packets(&table, TOUCHED)?, counters.packets(&table, SEEN)?))
}

#[cfg(test)]
mod tests {
    use faults::tag::Tag;

    use super::*;

    const OBSERVER: Ipv4Addr = Ipv4Addr::new(198, 18, 0, 2);

    fn text(condition: Condition) -> Option<String> {
        text_sparing(condition, None)
    }

    fn text_sparing(condition: Condition, control: Option<u16>) -> Option<String> {
        let tag = Tag { run: "run/1".into(), entry: 7 };
        let degradation = Degradation { tag, nodes: vec!["node1".into()], condition };
        rules(&degradation, "eth0", OBSERVER, control)
    }

    #[test]
    fn packets_are_lost_on_their_way_in_and_doubled_on_their_way_out() {
        let percent = |percent| Percent::new(percent).unwrap();
        let loss = text(Condition::Loss(percent(10))).unwrap();
        let dropped = "  iifname eth0 ip saddr != 198.18.0.2 counter name seen numgen random mod \
             100 < 10 counter name touched drop\n";
        assert!(loss.contains(dropped) && loss.contains("hook input"), "{loss}");
        assert!(loss.starts_with("create table inet kbench-run-1-7\n"), "{loss}");
        let twice = text(Condition::Duplicate(percent(20))).unwrap();
        let sent = "meta mark set 0x6b62 counter name touched dup to eth0\n";
        assert!(twice.contains(sent) && twice.contains("hook egress device eth0"), "{twice}");
        assert!(twice.starts_with("create table netdev kbench-run-1-7\n"), "{twice}");
        assert_eq!(text(Condition::Rate(1)), None);
        let loss = text_sparing(Condition::Loss(percent(100)), Some(22)).unwrap();
        let control = "policy accept;\n  tcp dport 22 accept\n  iifname eth0 ";
        assert!(loss.contains(control), "{loss}");
    }
}
