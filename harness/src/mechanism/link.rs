//! Links down and up: the far end of a node's link, as with a pulled cable. So it acts on the host that
//! the node is plugged into, and never on the node, which might not be reached afterwards.
//!
//! Undone by the same command with `up`, which any `ip` on that host can do.

use serde_json::Value;

use super::batch::{Batch, Tool};
use crate::cluster::host::{Command, ErrorKind, Host, HostError};

const TOOL: Tool = Tool {
    program: "ip",
    arguments: &["-force", "-json", "-batch", "-"],
    list: "link show",
    answer: "[{\"ifindex\"",
    nothing: "[]",
};

/// `ip` on a host that nodes are plugged into.
pub(super) struct Links(Batch);

impl Links {
    /// Starts it.
    ///
    /// # Errors
    /// When it is missing.
    pub(super) async fn start(host: &dyn Host) -> Result<Self, HostError> {
        let links = Self(Batch::start(host, TOOL).await?);
        links.0.ask("").await?;
        Ok(links)
    }

    /// Takes interfaces down, or up; nothing happens to those that are so.
    ///
    /// # Errors
    /// When one does not exist, or `ip` refuses.
    pub(super) async fn set(&self, interfaces: &[String], up: bool) -> Result<(), HostError> {
        let to = if up { "up" } else { "down" };
        let lines: Vec<_> =
            interfaces.iter().map(|interface| format!("link set {interface} {to}")).collect();
        self.0.ask(&lines.join("\n")).await.map(drop)
    }

    /// Whether an interface carries packets.
    ///
    /// # Errors
    /// When there is no such interface, or `ip` refuses.
    pub(super) async fn is_up(&self, interface: &str) -> Result<bool, HostError> {
        let list: Value = serde_json::from_str(&self.0.ask("").await?)
            .map_err(|error| self.0.failed(ErrorKind::Other, error))?;
        let mut links = list.as_array().into_iter().flatten();
        let link = links.find(|link| link["ifname"] == interface);
        let none = || self.0.failed(ErrorKind::Gone, format!("there is no interface {interface}"));
        Ok(link.ok_or_else(none)?["operstate"] == "UP")
    }
}

/// The link that probes try things out on.
const TRIED: &str = "kbench-try";

/// Makes a link that carries nothing, lets `work` try something out on it, and removes it.
///
/// # Errors
/// When `ip` is missing or refuses, or what `work` returns.
pub(super) async fn with_link_to_try(
    host: &dyn Host,
    work: impl AsyncFnOnce(&str) -> Result<(), HostError>,
) -> Result<(), HostError> {
    let ip = |arguments: &str| Command::new("ip").args(arguments.split(' '));
    let peer = format!("link add {TRIED} type veth peer name {TRIED}-peer");
    host.output(&ip(&peer)).await?;
    let tried = work(TRIED).await;
    host.output(&ip(&format!("link del {TRIED}"))).await?;
    tried
}

/// Whether a link can be taken up and down, tried out on one that carries nothing.
///
/// # Errors
/// When `ip` is missing or refuses.
pub(super) async fn probe(host: &dyn Host, link: &str) -> Result<(), HostError> {
    let (links, tried) = (Links::start(host).await?, [link.to_owned()]);
    links.set(&tried, true).await?;
    links.set(&tried, false).await
}
