//! Slower links: a queueing discipline of the kernel on a node's link, or where the kernel has none
//! for it a queue in this process.
//!
//! All of this is done in the calling thread's network namespace; see [`super::inside`].

use std::io;

use serde_json::Value;

use super::tool::tool;
use super::{LINK, OBSERVER};

/// Handle of our queueing discipline: no other has it.
const HANDLE: &str = "6b62:";

/// The queue's number; a namespace has one at most.
pub const QUEUE: u16 = 0x6b62;

/// What a queueing discipline has done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Queued {
    /// Packets that it sent.
    pub packets: u64,
    /// Packets that had to wait for their turn at the rate.
    pub overlimits: u64,
}

/// Puts a queueing discipline on the link.
///
/// # Errors
/// When there is another, or `tc` refuses.
pub fn add_qdisc(words: &str) -> io::Result<()> {
    let words = words.split_whitespace();
    let all: Vec<_> =
        ["qdisc", "add", "dev", LINK, "root", "handle", HANDLE].into_iter().chain(words).collect();
    tool("tc", &all, "").map(drop)
}

/// Removes it; nothing happens where there is none.
///
/// # Errors
/// When `tc` refuses.
pub fn remove_qdisc() -> io::Result<()> {
    if qdisc("")?.is_none() {
        return Ok(());
    }
    tool("tc", &["qdisc", "del", "dev", LINK, "root", "handle", HANDLE], "").map(drop)
}

/// What our queueing discipline has done; none when there is none of this `kind` ("": of any).
///
/// # Errors
/// When `tc` refuses.
pub fn qdisc(kind: &str) -> io::Result<Option<Queued>> {
    read(&tool("tc", &["-s", "-j", "qdisc", "show", "dev", LINK], "")?, kind)
}

fn read(list: &str, kind: &str) -> io::Result<Option<Queued>> {
    let list: Value = serde_json::from_str(list)?;
    let all = list.as_array().into_iter().flatten();
    let mut ours = all.filter(|q| q["handle"] == HANDLE && (kind.is_empty() || q["kind"] == kind));
    let count = |q: &Value, key: &str| q[key].as_u64().unwrap_or_default();
    Ok(ours
        .next()
        .map(|q| Queued { packets: count(q, "packets"), overlimits: count(q, "overlimits") }))
}

/// The rule that hands what comes in to the queue; without a reader of the queue it lets pass.
/// `nft` has no such word on every kernel that can do it.
fn rule(action: &'static str) -> Vec<String> {
    let rule = format!(
        "-w {action} INPUT -i {LINK} ! -s {OBSERVER} -j NFQUEUE --queue-num {QUEUE} --queue-bypass"
    );
    rule.split(' ').map(str::to_owned).collect()
}

fn iptables(action: &'static str) -> io::Result<()> {
    let rule = rule(action);
    tool("iptables", &rule.iter().map(String::as_str).collect::<Vec<_>>(), "").map(drop)
}

/// Hands what comes in to the queue.
///
/// # Errors
/// When `iptables` is missing or refuses.
pub fn divert() -> io::Result<()> {
    iptables("-I")
}

/// Whether what comes in is handed to the queue.
pub fn is_diverted() -> bool {
    iptables("-C").is_ok()
}

/// Hands it to the queue no longer.
///
/// # Errors
/// When `iptables` refuses.
pub fn divert_no_longer() -> io::Result<()> {
    while is_diverted() {
        iptables("-D")?;
    }
    Ok(())
}

/// Whether the kernel has netem.
pub fn has_netem() -> bool {
    let dummy = ["qdisc", "add", "dev", "lo", "root", "netem", "delay", "1ms"];
    tool("tc", &dummy, "").is_ok() && tool("tc", &["qdisc", "del", "dev", "lo", "root"], "").is_ok()
}

/// Whether a rate can be set.
pub(super) fn try_rate() -> io::Result<()> {
    let words = "qdisc add dev lo root tbf rate 1mbit burst 64kb latency 400ms";
    tool("tc", &words.split(' ').collect::<Vec<_>>(), "").map(drop)
}

/// Whether packets can be delayed, by the kernel or by us.
pub(super) fn try_delay() -> io::Result<()> {
    if has_netem() {
        return Ok(());
    }
    let cannot = |error: io::Error| io::Error::other(format!("no netem, and no NFQUEUE: {error}"));
    divert().map_err(cannot)?;
    nfq::Queue::open().and_then(|mut queue| queue.bind(QUEUE)).map_err(cannot)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_our_queueing_discipline_is_read() {
        let list = r#"[{"kind": "noqueue", "handle": "0:"}, {"kind": "tbf", "handle": "6b62:",
            "bytes": 900, "packets": 7, "overlimits": 3}]"#;
        let queued = Some(Queued { packets: 7, overlimits: 3 });
        assert_eq!(read(list, "tbf").unwrap(), queued);
        assert_eq!(read(list, "").unwrap(), queued);
        assert_eq!(read(list, "netem").unwrap(), None);
        assert_eq!(read("[]", "tbf").unwrap(), None);
    }
}
