//! The network of a sandbox: one bridge, and for each node a network namespace with one link.
//!
//! kbench's own clients sit on the bridge's side, and beside them whoever watches the cluster, with
//! an address of its own: what cuts the clients off does not blind the observer. Addresses are from 198.18.0.0/15, which is
//! reserved for benchmarks (RFC 2544); in loopback mode each node has a loopback address instead.

use std::collections::BTreeMap;
use std::fs::File;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};

use super::tool::tool;
use super::{Mode, Nft};

/// Where Kafka's clients are. The bridge's first address: connections have it unless they ask for
/// another.
pub const CLIENTS: Address = Ipv4Addr::new(198, 18, 0, 1);

/// Where kbench watches from.
pub const OBSERVER: Address = Ipv4Addr::new(198, 18, 0, 2);

/// The node's side of its link.
pub const LINK: &str = "eth0";

/// A node's address.
pub type Address = Ipv4Addr;

/// The network of a sandbox.
#[derive(Debug, Clone)]
pub struct Network {
    mode: Mode,
    lab: u8,
}

impl Network {
    /// Makes the network for `nodes`; `lab` tells loopback clusters on one host apart.
    ///
    /// # Errors
    /// When `ip` is missing or refuses.
    pub fn make(mode: Mode, lab: u8, nodes: &[String]) -> io::Result<Self> {
        let network = Self { mode, lab };
        if mode.has_namespaces() {
            ip(&["-batch", "-"], &host_side(nodes))?;
            for (index, node) in nodes.iter().enumerate() {
                let address = network.address(index);
                let text = format!(
                    "addr add {address}/24 dev {LINK}\nlink set {LINK} up\nlink set lo up\n"
                );
                ip(&["-n", node, "-batch", "-"], &text)?;
            }
        }
        Ok(network)
    }

    /// Address of the node with this index.
    pub fn address(&self, index: usize) -> Address {
        let host = index as u8 + 1;
        if self.mode.has_namespaces() {
            Ipv4Addr::new(198, 18, 0, 10 + host)
        } else {
            Ipv4Addr::new(127, 0, self.lab, host)
        }
    }

    /// The node's network namespace, for a process to enter; none in loopback mode.
    ///
    /// # Errors
    /// When it cannot be opened.
    pub fn namespace(&self, node: &str) -> io::Result<Option<File>> {
        if !self.mode.has_namespaces() {
            return Ok(None);
        }
        File::open(format!("/run/netns/{node}")).map(Some)
    }

    /// The bridge's side of the link of the node with this index.
    pub fn link(index: usize) -> String {
        format!("kb{}", index + 1)
    }

    /// An `nft` for each node; none where there is no such tool, or no network of its own.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn rules(&self, nodes: &[String]) -> io::Result<BTreeMap<String, Nft>> {
        let mut each = BTreeMap::new();
        for node in nodes {
            let Some(namespace) = self.namespace(node)? else { continue };
            match Nft::start(Some(namespace)) {
                Ok(nft) => each.insert(node.clone(), nft),
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                Err(error) => return Err(error),
            };
        }
        Ok(each)
    }
}

/// Brings up a link: whether this process may, and has the tool.
///
/// # Errors
/// When `ip` is missing or refuses.
pub(super) fn try_link() -> io::Result<()> {
    ip(&["-batch", "-"], &host_side(&["try".to_owned()]))
}

/// The end that a connection to `server` is to have when it watches or steers the cluster; any
/// will do when none.
pub fn observers_end(server: SocketAddr) -> Option<SocketAddr> {
    let network = |ip: Ipv4Addr| ip.octets()[..3] == OBSERVER.octets()[..3];
    match server {
        SocketAddr::V4(v4) if network(*v4.ip()) => Some(SocketAddr::from((OBSERVER, 0))),
        _ => None,
    }
}

fn host_side(nodes: &[String]) -> String {
    let mut text = format!(
        "link set lo up\nlink add kb0 type bridge\naddr add {CLIENTS}/24 dev kb0\n\
         addr add {OBSERVER}/24 dev kb0\nlink set kb0 up\n"
    );
    for (index, node) in nodes.iter().enumerate() {
        let link = Network::link(index);
        text.push_str(&format!(
            "netns add {node}\n\
             link add {link} type veth peer name {LINK} netns {node}\n\
             link set {link} master kb0 up\n"
        ));
    }
    text
}

fn ip(arguments: &[&str], batch: &str) -> io::Result<()> {
    tool("ip", arguments, batch).map(drop)
}
