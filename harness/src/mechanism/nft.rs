//! Rules of nftables: what is dropped, rejected or sent twice, in tables of their own.
//!
//! Undone by the removal of the table, which any `nft` on the host can do.

use serde_json::Value;

use super::batch::{Batch, Tool};
use crate::cluster::host::{ErrorKind, Host, HostError};

const TOOL: Tool = Tool {
    program: "nft",
    arguments: &["--json", "--interactive"],
    list: "list counters",
    answer: "{\"nftables\"",
    nothing: "{\"nftables\": []}",
};

/// Everything that rules of cuts and degradations are made of; nothing of it is in any packet's way.
const WARM_UP: &str = "\
table inet kbench-warm-up {
 counter taken { }
 chain none {
  ip daddr { 198.18.0.0, 198.18.0.1 } tcp dport { 1, 2 } counter name taken drop
 }
}
delete table inet kbench-warm-up
";

/// Everything that rules of cuts are made of, in force for a moment; `LINK` carries nothing.
const CUT: &str = "\
create table inet kbench-try
table inet kbench-try {
 counter taken { }
 chain inbound {
  type filter hook input priority filter; policy accept;
  iifname LINK ip saddr { 198.18.0.1 } tcp dport { 1, 2 } counter name taken drop
  iifname LINK tcp flags & rst == 0 counter name taken reject with tcp reset
 }
}
delete table inet kbench-try
";

/// Drops some packets.
const LOSS: &str = "\
create table inet kbench-try
table inet kbench-try {
 chain inbound {
  type filter hook input priority filter; policy accept;
  iifname LINK numgen random mod 100 < 1 drop
 }
}
delete table inet kbench-try
";

/// Sends some packets twice.
const DUPLICATE: &str = "\
create table netdev kbench-try
table netdev kbench-try {
 chain sent {
  type filter hook egress device LINK priority filter; policy accept;
  meta mark != 1 numgen random mod 100 < 1 meta mark set 1 dup to LINK
 }
}
delete table netdev kbench-try
";

/// What rules can do.
#[derive(Debug, Clone, Copy)]
pub(super) enum Rules {
    /// Take traffic away.
    Cut,
    /// Drop a share of it.
    Loss,
    /// Send a share of it twice.
    Duplicate,
}

/// `nft` on one host.
pub(super) struct Nft(Batch);

/// What was counted: named counters of all tables.
#[derive(Debug)]
pub(super) struct Counters(Value);

impl Nft {
    /// Starts it, and lets it do everything once: the first time takes it ten times as long.
    ///
    /// # Errors
    /// When it is missing, or may not change rules here.
    pub(super) async fn start(host: &dyn Host) -> Result<Self, HostError> {
        let nft = Self(Batch::start(host, TOOL).await?);
        nft.transact(WARM_UP).await?;
        Ok(nft)
    }

    /// Carries out `text` as one transaction, in force when this returns; the counters after it.
    ///
    /// # Errors
    /// When `nft` refuses (nothing has changed then), or is gone.
    pub(super) async fn transact(&self, text: &str) -> Result<Counters, HostError> {
        // One line is one transaction.
        let line = text.trim_end().replace('\n', ";");
        let answer = self.0.ask(&line).await?;
        let counters = serde_json::from_str(&answer);
        counters.map(Counters).map_err(|error| self.0.failed(ErrorKind::Other, error))
    }
}

impl Counters {
    /// Packets of the counter `name` of `table`; `None` when it is not there.
    pub(super) fn packets(&self, table: &str, name: &str) -> Option<u64> {
        let items = self.0["nftables"].as_array()?.iter().map(|item| &item["counter"]);
        let mut counters = items.filter(|c| c["table"] == table && c["name"] == name);
        counters.next()?["packets"].as_u64()
    }
}

/// Whether rules can do it on a host, tried out on a link that carries nothing.
///
/// # Errors
/// When `nft` is missing or refuses.
pub(super) async fn probe(host: &dyn Host, rules: Rules, link: &str) -> Result<(), HostError> {
    let text = match rules {
        Rules::Cut => CUT,
        Rules::Loss => LOSS,
        Rules::Duplicate => DUPLICATE,
    };
    Nft(Batch::start(host, TOOL).await?).transact(&text.replace("LINK", link)).await.map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_counter_is_read_only_from_its_own_table() {
        let list = r#"{"nftables": [{"metainfo": {}}, {"counter":
            {"family": "inet", "name": "taken", "table": "T", "packets": 3, "bytes": 180}}]}"#;
        let counters = Counters(serde_json::from_str(list).unwrap());
        assert_eq!(counters.packets("T", "taken"), Some(3));
        assert_eq!(counters.packets("T", "seen"), None);
        assert_eq!(counters.packets("U", "taken"), None);
    }
}
