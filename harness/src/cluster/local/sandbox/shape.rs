//! Slower links: a queueing discipline of the kernel on a node's link, or where the kernel has none
//! for it a queue in this process.
//!
//! All of this is done in the calling thread's network namespace; see [`super::inside`].

use std::io;

use serde_json::Value;

use super::tool::tool;
use super::{LINK, OBSERVER};

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

/// Puts a queueing discipline on the link, to be known by `handle` ("1234:").
///
/// # Errors
/// When there is another, or `tc` refuses.
pub fn add_qdisc(handle: &str, words: &str) -> io::Result<()> {
    let words = words.split_whitespace();
    let all = ["qdisc", "add", "dev", LINK, "root", "handle", handle].into_iter().chain(words);
    tool("tc", &all.collect::<Vec<_>>(), "").map(drop)
}

/// Removes it; nothing happens where it is not.
///
/// # Errors
/// When `tc` refuses.
pub fn remove_qdisc(handle: &str) -> io::Result<()> {
    if qdisc(handle)?.is_none() {
        return Ok(());
    }
    tool("tc", &["qdisc", "del", "dev", LINK, "root", "handle", handle], "").map(drop)
}

/// What a queueing discipline has done; none when it is not there.
///
/// # Errors
/// When `tc` refuses.
pub fn qdisc(handle: &str) -> io::Result<Option<Queued>> {
    read(&tool("tc", &["-s", "-j", "qdisc", "show", "dev", LINK], "")?, handle)
}

fn read(list: &str, handle: &str) -> io::Result<Option<Queued>> {
    let list: Value = serde_json::from_str(list)?;
    let ours = list.as_array().into_iter().flatten().find(|qdisc| qdisc["handle"] == handle);
    let count = |q: &Value, key: &str| q[key].as_u64().unwrap_or_default();
    Ok(ours.map(|q| Queued { packets: count(q, "packets"), overlimits: count(q, "overlimits") }))
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
    fn only_the_queueing_discipline_with_the_handle_is_read() {
        let list = r#"[{"kind": "noqueue", "handle": "0:"}, {"kind": "tbf", "handle": "6b62:",
            "bytes": 900, "packets": 7, "overlimits": 3}]"#;
        let queued = Some(Queued { packets: 7, overlimits: 3 });
        assert_eq!(read(list, "6b62:").unwrap(), queued);
        assert_eq!(read(list, "6b63:").unwrap(), None);
        assert_eq!(read("[]", "6b62:").unwrap(), None);
    }
}
