//! Links of nodes: down and up, and how long a way over them takes.

use std::io;
use std::net::TcpStream;
use std::time::{Duration, Instant};

use faults::cut::Origin;
use faults::port::Process;
use serde_json::Value;

use super::LocalCluster;
use crate::failure::Failure;
use crate::sandbox::{Network, inside, tool};

/// Limit for a connection whose way is measured.
const ROUND_TRIP_LIMIT: Duration = Duration::from_secs(3);

impl LocalCluster {
    /// Takes links down, or up; all at one stroke of `ip`.
    ///
    /// # Errors
    /// When a node has no link of its own, or `ip` refuses.
    pub async fn set_links(&self, nodes: &[String], up: bool) -> Result<(), Failure> {
        let to = if up { "up" } else { "down" };
        let began = Instant::now();
        let set = async {
            let mut batch = String::new();
            for node in nodes {
                batch.push_str(&format!("link set {} {to}\n", self.link(node)?));
            }
            inside(None, move || tool("ip", &["-batch", "-"], &batch)).await
        };
        let set = set.await;
        tracing::info!(?nodes, up, us = began.elapsed().as_micros(), "links are set");
        set.map(drop).map_err(|error| {
            let links = nodes.join(" and ");
            Failure::infrastructure(format!("the link of {links} cannot be taken {to}: {error}"))
        })
    }

    /// Whether the link of a node is up.
    ///
    /// # Errors
    /// When it has none of its own, or `ip` does not say.
    pub async fn link_is_up(&self, node: &str) -> Result<bool, Failure> {
        let up = async {
            let link = self.link(node)?;
            let list = inside(None, move || tool("ip", &["-j", "link", "show", &link], "")).await?;
            let list: Value = serde_json::from_str(&list)?;
            Ok::<_, io::Error>(list[0]["operstate"] == "UP")
        };
        up.await.map_err(|error| {
            Failure::infrastructure(format!("the link of {node} cannot be looked at: {error}"))
        })
    }

    /// The bridge's side of a node's link.
    fn link(&self, node: &str) -> io::Result<String> {
        if self.network.namespace(node)?.is_none() {
            return Err(io::Error::other(format!("{node} has no network of its own")));
        }
        let index = self.topology.node.iter().position(|known| known.name == node);
        let index = index.ok_or_else(|| io::Error::other(format!("there is no node {node}")))?;
        Ok(Network::link(index))
    }

    /// How long a connection takes to be accepted.
    pub async fn round_trip(&self, from: &Origin, to: &Process) -> Option<Duration> {
        let namespace = match from {
            Origin::Node(node) => self.network.namespace(node).ok()?,
            Origin::Clients => None,
        };
        let address = self.address(to);
        let connect = move || {
            let began = Instant::now();
            TcpStream::connect_timeout(&address, ROUND_TRIP_LIMIT).map(|_| began.elapsed())
        };
        inside(namespace, connect).await.ok()
    }
}
