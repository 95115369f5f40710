//! Queueing disciplines on the interface of a node: netem (delay, reordering) and tbf (a rate). They act
//! on what the node sends. Where kbench reaches the node over the same interface, the discipline is that of a class of
//! HTB which all packets are of but those of kbench's connection.
//!
//! Undone by the removal of the discipline with this handle, which any `tc` on the host can do.

use std::time::Duration;

use faults::degrade::{Condition, Degradation};
use serde_json::Value;

use super::batch::{Batch, Tool};
use crate::cluster::host::{Command, ErrorKind, Host, HostError};

const TOOL: Tool = Tool {
    program: "tc",
    arguments: &["-force", "-statistics", "-json", "-batch", "-"],
    list: "qdisc show",
    answer: "[{\"kind\"",
    nothing: "[]",
};

/// What a rate may send at once, in bytes: some packets as large as they get.
const BURST: u64 = 128 * 1024;

/// Packets that a discipline holds back at most.
const MOST_PACKETS: u32 = 100_000;

/// The class of the packets that a discipline is for, and of those of kbench's connection.
const DEGRADED: u8 = 1;
const CONTROL: u8 = 2;

/// A rate that no class of HTB is held to, which has to have one.
const UNLIMITED: &str = "rate 100gbit quantum 60000";

/// How long a packet that others overtake is held: longer than they are apart under load.
pub(super) const OVERTAKEN: Duration = Duration::from_millis(10);

/// `tc` on one host, for one of its interfaces.
pub(super) struct Qdiscs {
    tool: Batch,
    interface: String,
}

/// What a queueing discipline has done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Queued {
    /// Packets that it sent.
    pub(super) packets: u64,
    /// Packets that had to wait for their turn at the rate.
    pub(super) overlimits: u64,
}

impl Qdiscs {
    /// Starts `tc` on a host.
    ///
    /// # Errors
    /// When it is missing.
    pub(super) async fn start(host: &dyn Host, interface: &str) -> Result<Self, HostError> {
        let tool = Batch::start(host, TOOL).await?;
        tool.ask("").await?;
        Ok(Self { tool, interface: interface.to_owned() })
    }

    /// Puts the discipline of a degradation on the interface. What the node sends from the port `control` is let alone.
    ///
    /// # Errors
    /// When there is another, or `tc` refuses.
    pub(super) async fn add(
        &self,
        degradation: &Degradation,
        control: Option<u16>,
    ) -> Result<(), HostError> {
        let Some(discipline) = discipline(degradation.condition) else {
            let why = format!("no queueing discipline makes a {}", degradation.condition);
            return Err(self.tool.failed(ErrorKind::Unsupported, why));
        };
        let (handle, interface) = (handle(degradation), &self.interface);
        let Some(control) = control else {
            let line = format!("qdisc add dev {interface} root handle {handle} {discipline}");
            return self.tool.ask(&line).await.map(drop);
        };
        let classes = classes(interface, &handle, &discipline, control);
        let (root, rest) = classes.split_once('\n').unwrap_or((&classes, ""));
        self.tool.ask(root).await?;
        let made = self.tool.ask(rest).await.map(drop);
        if made.is_err() {
            // A part of it is no fault that anybody asked for.
            self.remove(degradation).await?;
        }
        made
    }

    /// Removes it; nothing happens where it is not.
    ///
    /// # Errors
    /// When `tc` refuses.
    pub(super) async fn remove(&self, degradation: &Degradation) -> Result<(), HostError> {
        if self.done(degradation).await?.is_none() {
            return Ok(());
        }
        let (handle, interface) = (handle(degradation), &self.interface);
        let line = format!("qdisc del dev {interface} root handle {handle}");
        self.tool.ask(&line).await.map(drop)
    }

    /// What the discipline of a degradation has done; `None` when it is not there.
    ///
    /// # Errors
    /// When `tc` refuses.
    pub(super) async fn done(
        &self,
        degradation: &Degradation,
    ) -> Result<Option<Queued>, HostError> {
        let list = self.tool.ask("").await?;
        read(&list, &self.interface, &handle(degradation))
            .map_err(|error| self.tool.failed(ErrorKind::Other, error))
    }
}

fn read(list: &str, interface: &str, handle: &str) -> serde_json::Result<Option<Queued>> {
    let list: Value = serde_json::from_str(list)?;
    // Asked for one interface, `tc` does not name it.
    let is_here = |q: &&Value| q["dev"] == interface || q["dev"].is_null();
    let here = || list.as_array().into_iter().flatten().filter(is_here);
    // What is done to packets is counted where it is done.
    let inner = here().find(|q| q["parent"] == format!("{handle}{DEGRADED}"));
    let ours = here().find(|q| q["handle"] == handle).map(|ours| inner.unwrap_or(ours));
    let count = |q: &Value, key: &str| q[key].as_u64().unwrap_or_default();
    Ok(ours.map(|q| Queued { packets: count(q, "packets"), overlimits: count(q, "overlimits") }))
}

/// The discipline that makes a condition; `None` where rules do it.
fn discipline(condition: Condition) -> Option<String> {
    match condition {
        Condition::Rate(rate) => Some(format!("tbf rate {}bit burst {BURST} latency 1s", rate * 8)),
        Condition::Delay(delay) => {
            let (by, jitter) = (delay.by.as_micros(), delay.jitter.as_micros());
            Some(format!("netem limit {MOST_PACKETS} delay {by}us {jitter}us"))
        }
        Condition::Reorder(percent) => {
            let (late, at_once) = (OVERTAKEN.as_millis(), 100 - percent.get());
            Some(format!("netem limit {MOST_PACKETS} delay {late}ms reorder {at_once}%"))
        }
        Condition::Loss(_) | Condition::Duplicate(_) => None,
    }
}

/// The lines that make a discipline which lets packets from a port alone; the first makes its root. Until the last
/// but one is there, HTB sends every packet at once.
fn classes(interface: &str, handle: &str, discipline: &str, control: u16) -> String {
    let class = |number| {
        format!(
            "class add dev {interface} parent {handle} classid {handle}{number} htb {UNLIMITED}"
        )
    };
    [
        format!("qdisc add dev {interface} root handle {handle} htb default {DEGRADED}"),
        class(CONTROL),
        format!(
            "filter add dev {interface} parent {handle} protocol ip prio 1 u32 match ip protocol 6 0xff \
             match ip sport {control} 0xffff flowid {handle}{CONTROL}"
        ),
        class(DEGRADED),
        format!("qdisc add dev {interface} parent {handle}{DEGRADED} {discipline}"),
    ]
    .join("\n")
}

/// What a degradation's discipline is known by.
fn handle(degradation: &Degradation) -> String {
    format!("{:x}:", degradation.tag.number())
}

/// Whether the kernel has netem, tried out on a link that carries nothing.
///
/// # Errors
/// When `tc` is missing or refuses.
pub(super) async fn probe_netem(host: &dyn Host, link: &str) -> Result<(), HostError> {
    try_on(host, link, "netem delay 1ms").await
}

/// Whether a rate can be set, tried out on a link that carries nothing.
///
/// # Errors
/// When `tc` is missing or refuses.
pub(super) async fn probe_rate(host: &dyn Host, link: &str) -> Result<(), HostError> {
    try_on(host, link, "tbf rate 1mbit burst 64kb latency 400ms").await
}

/// Puts a discipline on a link, which goes with that.
async fn try_on(host: &dyn Host, link: &str, discipline: &str) -> Result<(), HostError> {
    let add = Command::new("tc").args(["qdisc", "add", "dev", link, "root"]);
    host.output(&add.args(discipline.split(' '))).await.map(drop)
}

#[cfg(test)]
mod tests {
    use faults::degrade::{Delay, Percent};

    use super::*;

    #[test]
    fn only_the_discipline_with_the_handle_on_the_interface_is_read() {
        let list = r#"[{"kind": "noqueue", "handle": "0:", "dev": "lo"}, {"kind": "tbf",
            "handle": "6b62:", "dev": "eth0", "bytes": 900, "packets": 7, "overlimits": 3}]"#;
        let queued = Some(Queued { packets: 7, overlimits: 3 });
        assert_eq!(read(list, "eth0", "6b62:").unwrap(), queued);
        assert_eq!(read(list, "eth1", "6b62:").unwrap(), None);
        assert_eq!(read(list, "eth0", "6b63:").unwrap(), None);
        assert_eq!(read("[]", "eth0", "6b62:").unwrap(), None);
        let list = r#"[{"kind": "htb", "handle": "6b62:", "dev": "eth0", "root": true, "packets": 9},
            {"kind": "tbf", "handle": "8001:", "dev": "eth0", "parent": "6b62:1", "packets": 7,
            "overlimits": 3}]"#;
        assert_eq!(read(list, "eth0", "6b62:").unwrap(), queued);
        assert_eq!(read(list, "eth0", "6b63:").unwrap(), None);
    }

    #[test]
    fn each_condition_has_a_discipline_or_none() {
        let delay = Delay { by: Duration::from_millis(100), jitter: Duration::from_millis(20) };
        let made = |condition| discipline(condition).unwrap();
        assert_eq!(made(Condition::Delay(delay)), "netem limit 100000 delay 100000us 20000us");
        let percent = Percent::new(20).unwrap();
        let reorder = made(Condition::Reorder(percent));
        assert_eq!(reorder, "netem limit 100000 delay 10ms reorder 80%");
        assert_eq!(made(Condition::Rate(1000)), "tbf rate 8000bit burst 131072 latency 1s");
        assert_eq!(discipline(Condition::Loss(percent)), None);
    }
}
