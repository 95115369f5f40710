//! Links of nodes: down and up, and how long a way over them takes.

use std::io;
use std::net::TcpStream;
use std::pin::pin;
use std::time::{Duration, Instant};

use faults::cut::Origin;
use faults::port::Process;
use futures::StreamExt as _;
use rtnetlink::packet_route::link::{LinkAttribute, LinkFlags, LinkMessage, State};
use rtnetlink::{Handle, LinkUnspec};

use super::LocalCluster;
use crate::cluster::local::sandbox::{Network, inside};
use crate::failure::Failure;

/// Limit for a connection whose way is measured.
const ROUND_TRIP_LIMIT: Duration = Duration::from_secs(3);

impl LocalCluster {
    /// Takes links down, or up.
    ///
    /// # Errors
    /// When a node has no link of its own, or the kernel refuses.
    pub async fn set_links(&self, nodes: &[String], up: bool) -> Result<(), Failure> {
        let began = Instant::now();
        let set = async {
            let kernel = netlink()?;
            for node in nodes {
                let name = self.link(node)?;
                let link = LinkUnspec::new_with_name(&name);
                let link = if up { link.up() } else { link.down() };
                kernel.link().set(link.build()).execute().await.map_err(io::Error::other)?;
                // That it was done is not among the answers.
                if link_of(&kernel, name).await?.header.flags.contains(LinkFlags::Up) != up {
                    return Err(io::Error::other("the kernel left it as it was"));
                }
            }
            Ok::<_, io::Error>(())
        };
        let set = set.await;
        tracing::info!(?nodes, up, us = began.elapsed().as_micros(), "links are set");
        set.map_err(|error| {
            let links = nodes.join(" and ");
            let to = if up { "up" } else { "down" };
            Failure::infrastructure(format!("the link of {links} cannot be taken {to}: {error}"))
        })
    }

    /// Whether the link of a node is up.
    ///
    /// # Errors
    /// When it has none of its own, or the kernel does not say.
    pub async fn link_is_up(&self, node: &str) -> Result<bool, Failure> {
        let up = async {
            let link = link_of(&netlink()?, self.link(node)?).await?;
            Ok::<_, io::Error>(link.attributes.contains(&LinkAttribute::OperState(State::Up)))
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

/// The kernel's account of links, to read and to change: to start `ip` takes longer than a link may
/// take to go down.
fn netlink() -> io::Result<Handle> {
    let (connection, handle, _) = rtnetlink::new_connection()?;
    // Ends with the last handle.
    tokio::spawn(connection);
    Ok(handle)
}

/// What the kernel says of a link.
async fn link_of(kernel: &Handle, name: String) -> io::Result<LinkMessage> {
    let mut links = pin!(kernel.link().get().match_name(name).execute());
    let link = links.next().await.ok_or_else(|| io::Error::other("no answer"))?;
    link.map_err(io::Error::other)
}
