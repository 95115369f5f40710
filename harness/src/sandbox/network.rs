//! The network of a sandbox: one bridge, and for each node a network namespace with one link.
//!
//! kbench's own clients sit on the bridge's side, and beside them whoever watches the cluster, with
//! an address of its own: what cuts the clients off does not blind the observer. Addresses are from 198.18.0.0/15, which is
//! reserved for benchmarks (RFC 2544); in loopback mode each node has a loopback address instead.

use std::fs::File;
use std::io::{self, Write as _};
use std::net::{Ipv4Addr, SocketAddr};
use std::process::{Command, Stdio};

use super::Mode;

/// Where Kafka's clients are. The bridge's first address: connections have it unless they ask for
/// another.
pub const CLIENTS: Address = Ipv4Addr::new(198, 18, 0, 1);

/// Where kbench watches from.
const OBSERVER: Address = Ipv4Addr::new(198, 18, 0, 2);

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
                let text =
                    format!("addr add {address}/24 dev eth0\nlink set eth0 up\nlink set lo up\n");
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
        let link = index + 1;
        text.push_str(&format!(
            "netns add {node}\n\
             link add kb{link} type veth peer name eth0 netns {node}\n\
             link set kb{link} master kb0 up\n"
        ));
    }
    text
}

fn ip(arguments: &[&str], batch: &str) -> io::Result<()> {
    let mut child = Command::new("ip")
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(|error| match error.kind() {
            io::ErrorKind::NotFound => io::Error::other("`ip` is missing (package iproute2)"),
            _ => error,
        })?;
    if let Some(mut stdin) = child.stdin.take() {
        stdin.write_all(batch.as_bytes())?;
    }
    let output = child.wait_with_output()?;
    if output.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    Err(io::Error::other(format!("ip: {}", said.trim())))
}
