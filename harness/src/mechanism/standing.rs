//! A limit of every node's link that stands as long as the cluster does: a token bucket (tbf) at both ends of the link,
//! the node's own for what it sends and the far one for what it gets, as a switch's port would be. Nothing undoes it: it
//! goes with the links.

use std::collections::BTreeMap;

use futures::future::try_join_all;
use results::record::environment::LinksInForce;
use serde_json::Value;

use super::layout::{Link, NetworkLayout};
use crate::cluster::host::{Command, Host, HostError};
use crate::topology::LinksSpec;

/// What may go at once, in bytes: one packet as large as the kernel hands them down.
const BURST: u64 = 64 * 1024;

/// The longest that a packet waits in the queue, which then drops others, as a switch's port does. The kernel queues 64 KiB
/// as one packet and drops them as one: of a queue of 100 ms at 2 MB/s, which are four of them, TCP made two thirds of the rate.
const LATENCY: &str = "1s";

/// What the discipline is known by.
const HANDLE: &str = "6b62:";

/// The limits of a cluster's links.
pub struct LinkLimits {
    layout: NetworkLayout,
    links: LinksSpec,
    /// Bytes that had come through them before this run.
    before: BTreeMap<String, [u64; 2]>,
}

impl LinkLimits {
    /// Of a cluster whose links are limited.
    pub fn of(layout: &NetworkLayout, links: Option<LinksSpec>) -> Option<Self> {
        let before = BTreeMap::new();
        links.map(|links| Self { layout: layout.clone(), links, before })
    }

    /// Sets them.
    ///
    /// # Errors
    /// When a node has no link of its own, or `tc` is missing or refuses.
    pub async fn set(&self) -> Result<(), HostError> {
        let ends = self.layout.nodes.keys().map(|node| self.ends(node));
        let ends: Vec<_> = ends.collect::<Result<_, _>>()?;
        let (bits, bytes) = (format!("{}bit", self.links.rate * 8), BURST.to_string());
        let set = async |(host, interface): (&dyn Host, &str)| {
            let add = ["qdisc", "add", "dev", interface, "root", "handle", HANDLE, "tbf", "rate"];
            let how = [bits.as_str(), "burst", &bytes, "latency", LATENCY];
            host.output(&Command::new("tc").args(add).args(how)).await.map(drop)
        };
        try_join_all(ends.into_iter().flatten().map(set)).await.map(drop)
    }

    /// The same, of a cluster that others were on before: what came through is counted from here on.
    /// Whether they are in force is asked when a load runs, and not of who heals.
    pub async fn taken_up(self) -> Self {
        let before = self.in_force().await.map(|links| links.passed).unwrap_or_default();
        Self { before, ..self }
    }

    /// What the kernel says of them.
    ///
    /// # Errors
    /// When one is not in force, or nothing has come through it.
    pub async fn in_force(&self) -> Result<LinksInForce, HostError> {
        let of_node = async |node: &String| {
            let mut passed = self.before.get(node).copied().unwrap_or_default();
            for (passed, (host, interface)) in passed.iter_mut().zip(self.ends(node)?) {
                let show = ["-statistics", "-json", "qdisc", "show", "dev", interface];
                let said = host.output(&Command::new("tc").args(show)).await?;
                let why = |why| HostError::other(node, "have its link limited", why);
                *passed = read(&said, self.links.rate, *passed).map_err(why)?;
            }
            Ok::<_, HostError>((node.clone(), passed))
        };
        let passed = try_join_all(self.layout.nodes.keys().map(of_node)).await?;
        let passed = passed.into_iter().collect();
        Ok(LinksInForce { bytes_per_s: self.links.rate, passed })
    }

    /// Where what a node gets is limited, and what it sends.
    fn ends(&self, node: &str) -> Result<[(&dyn Host, &str); 2], HostError> {
        let host = &*self.layout.node(node)?.host;
        let Link { interface, far, far_interface } = self.layout.link(node)?;
        Ok([(&**far, far_interface), (host, interface)])
    }
}

/// Bytes that have come through the limit since there were `before`, by what `tc` says of the disciplines of an interface.
fn read(said: &str, rate: u64, before: u64) -> Result<u64, String> {
    let all: Value = serde_json::from_str(said).map_err(|error| error.to_string())?;
    let mut each = all.as_array().into_iter().flatten();
    let ours = each.find(|it| it["handle"] == HANDLE && it["kind"] == "tbf");
    let ours = ours.ok_or("the limit is not there any more")?;
    let is = ours["options"]["rate"].as_u64();
    if is != Some(rate) {
        let is = is.map_or("not told".to_owned(), |is| format!("{is} bytes/s"));
        return Err(format!("its limit is {is}, and should be {rate} bytes/s"));
    }
    let passed = ours["bytes"].as_u64().and_then(|passed| passed.checked_sub(before));
    passed
        .filter(|passed| *passed > 0)
        .ok_or_else(|| "nothing has come through its limit".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_limit_is_one_that_the_kernel_tells_and_that_something_came_through() {
        let said = |rate: u64, bytes: u64| {
            format!(
                r#"[{{"kind": "tbf", "handle": "6b62:", "root": true, "options": {{"rate": {rate},
                "burst": 65536, "lat": 100000}}, "bytes": {bytes}, "packets": 3}}]"#
            )
        };
        assert_eq!(read(&said(250_000, 900), 250_000, 0), Ok(900));
        assert_eq!(read(&said(250_000, 900), 250_000, 500), Ok(400));
        for (text, before, words) in [
            (said(125_000, 900), 0, "125000 bytes/s, and should be 250000"),
            (said(250_000, 0), 0, "nothing has come through"),
            (said(250_000, 900), 900, "nothing has come through"),
            (r#"[{"kind": "noqueue", "handle": "0:", "root": true}]"#.to_owned(), 0, "not there"),
            ("[]".to_owned(), 0, "not there"),
        ] {
            let why = read(&text, 250_000, before).unwrap_err();
            assert!(why.contains(words), "{why}");
        }
    }
}
