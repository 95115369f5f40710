//! The network of a sandbox: one bridge, and for each node a network namespace with one link.
//!
//! kbench's own clients sit on the bridge's side, and beside them whoever watches the cluster, with
//! an address of its own: what cuts the clients off does not blind the observer. Addresses are from 198.18.0.0/15, which is
//! reserved for benchmarks (RFC 2544); in loopback mode each node has a loopback address instead.

use std::io;
use std::net::{Ipv4Addr, SocketAddr, UdpSocket};

use super::Mode;
use crate::cluster::host::{Command, Host as _, HostError};
use crate::cluster::local::LocalHost;

/// Where Kafka's clients are. The bridge's first address: connections have it unless they ask for
/// another.
pub const CLIENTS: Ipv4Addr = Ipv4Addr::new(198, 18, 0, 1);

/// Where kbench watches from.
pub const OBSERVER: Ipv4Addr = Ipv4Addr::new(198, 18, 0, 2);

/// The node's side of its link.
pub const LINK: &str = "eth0";

/// The network of a sandbox.
#[derive(Debug, Clone)]
pub struct SandboxNetwork {
    mode: Mode,
    lab: u8,
}

impl SandboxNetwork {
    /// Makes the network for `nodes`; `lab` tells loopback clusters on one host apart.
    ///
    /// # Errors
    /// When `ip` is missing or refuses.
    pub async fn make(
        here: &LocalHost,
        mode: Mode,
        lab: u8,
        nodes: &[String],
    ) -> Result<Self, HostError> {
        let network = Self::of(mode, lab);
        if mode.has_namespaces() {
            ip(here, &[], host_side(nodes)).await?;
            for (index, node) in nodes.iter().enumerate() {
                let address = network.address(index);
                let text = format!(
                    "addr add {address}/24 dev {LINK}\nlink set {LINK} up\nlink set lo up\n"
                );
                ip(here, &["-n", node], text).await?;
            }
        }
        Ok(network)
    }

    /// A network that was made already.
    pub fn of(mode: Mode, lab: u8) -> Self {
        Self { mode, lab }
    }

    /// Address of the node with this index.
    pub fn address(&self, index: usize) -> Ipv4Addr {
        let host = index as u8 + 1;
        if self.mode.has_namespaces() {
            Ipv4Addr::new(198, 18, 0, 10 + host)
        } else {
            Ipv4Addr::new(127, 0, self.lab, host)
        }
    }

    /// A node as a host.
    ///
    /// # Errors
    /// When its network namespace cannot be opened.
    pub fn host(&self, node: &str) -> io::Result<LocalHost> {
        match self.mode.has_namespaces() {
            true => LocalHost::of_namespace(node, format!("/run/netns/{node}").as_ref()),
            false => Ok(LocalHost::here(node)),
        }
    }

    /// The bridge's side of the link of the node with this index.
    pub fn link(index: usize) -> String {
        format!("kb{}", index + 1)
    }
}

/// The end that a connection to `server` is to have when it watches or steers the cluster; any
/// will do when none. Networks of containers are as those of sandboxes, each with another third number.
pub fn observers_end(server: SocketAddr) -> Option<SocketAddr> {
    let (SocketAddr::V4(server), [one, two, _, host]) = (server, OBSERVER.octets()) else {
        return None;
    };
    let [.., number, _] = server.ip().octets();
    let end = SocketAddr::from(([one, two, number, host], 0));
    let is_of_cluster = server.ip().octets()[..2] == [one, two];
    // Somebody else may have such a network as well, and this machine another address there.
    (is_of_cluster && UdpSocket::bind(end).is_ok()).then_some(end)
}

fn host_side(nodes: &[String]) -> String {
    let mut text = format!(
        "link set lo up\nlink add kb0 type bridge\naddr add {CLIENTS}/24 dev kb0\n\
         addr add {OBSERVER}/24 dev kb0\nlink set kb0 up\n"
    );
    for (index, node) in nodes.iter().enumerate() {
        let link = SandboxNetwork::link(index);
        text.push_str(&format!(
            "netns add {node}\n\
             link add {link} type veth peer name {LINK} netns {node}\n\
             link set {link} master kb0 up\n"
        ));
    }
    text
}

async fn ip(here: &LocalHost, arguments: &[&str], batch: String) -> Result<(), HostError> {
    let mut command = Command::new("ip").args(arguments).args(["-batch", "-"]);
    command.input = batch;
    here.output(&command).await.map(drop)
}
