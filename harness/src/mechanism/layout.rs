//! What the network of a cluster is: its nodes with their hosts, addresses and links. A backend says so.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::path::PathBuf;
use std::rc::Rc;

use super::cut::TcpPorts;
use crate::cluster::host::{ErrorKind, Host, HostError};

/// A node on a network.
#[derive(Clone)]
pub struct NetworkNode {
    /// The node's host.
    pub host: Rc<dyn Host>,
    /// Its address.
    pub address: Ipv4Addr,
    /// Its interface with that address, and the far end of its link; `None` where the node shares the
    /// network of others, and nothing can be done to it.
    pub link: Option<Link>,
    /// The port of the node on which kbench itself reaches it, over the same network: its packets are let
    /// alone whatever a rule takes. `None` where kbench has another way.
    pub control: Option<u16>,
}

/// A node's link.
#[derive(Clone)]
pub struct Link {
    /// The node's end.
    pub interface: String,
    /// The host that the node is plugged into.
    pub far: Rc<dyn Host>,
    /// The interface on that host.
    pub far_interface: String,
}

/// What the network of a cluster is.
#[derive(Clone)]
pub struct NetworkLayout {
    /// The nodes, by name.
    pub nodes: BTreeMap<String, NetworkNode>,
    /// Where Kafka's clients are.
    pub here: Rc<dyn Host>,
    /// The clients' address.
    pub clients: Ipv4Addr,
    /// The address of whoever watches the cluster, whose packets are spared.
    pub observer: Ipv4Addr,
    /// The servers' ports.
    pub ports: TcpPorts,
    /// kbench's own binary, as each host finds it.
    pub kbench: PathBuf,
}

impl NetworkLayout {
    /// A node by its name.
    pub(super) fn node(&self, name: &str) -> Result<&NetworkNode, HostError> {
        let none = || HostError::new(ErrorKind::Gone, name, "be found", "there is no such node");
        self.nodes.get(name).ok_or_else(none)
    }

    /// The link of a node.
    pub(super) fn link(&self, node: &str) -> Result<&Link, HostError> {
        self.node(node)?.link.as_ref().ok_or_else(|| Self::no_network(node))
    }

    /// Why faults of the network cannot be had on a host.
    pub(super) fn no_network(host: &str) -> HostError {
        let why = "it has no network of its own";
        HostError::new(ErrorKind::Unsupported, host, "have faults of the network", why)
    }
}
