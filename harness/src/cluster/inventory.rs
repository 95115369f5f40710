//! What inventories of clusters that run already have in common, on machines as in containers: what they allow, why one
//! cannot be, and from where its nodes see kbench.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket};
use std::ops::Range;

use faults::port::{Capability, Subject};
use serde::{Deserialize, Serialize};

use crate::failure::Failure;

/// Something that may be done to a cluster which is not kbench's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Allowed {
    /// Signals to the servers: kill, pause, terminate.
    Signal,
    /// Starting servers again.
    Restart,
    /// What is done to packets between nodes: cuts, losses, rates.
    Network,
    /// What Kafka's and ZooKeeper's protocols do: moving the run's own partitions, ending a session.
    Metadata,
}

/// Whether something that an inventory decides is allowed: the reason why not, if it is not. `None` where it is none of
/// an inventory's.
pub fn not_allowed(need: Capability, allow: &BTreeSet<Allowed>) -> Option<Option<&'static str>> {
    let (what, why) = match need {
        Capability::Signal => (Allowed::Signal, "its inventory does not allow `signal`"),
        Capability::Start => (Allowed::Restart, "its inventory does not allow `restart`"),
        Capability::MoveLeaders | Capability::ExpireSession => {
            (Allowed::Metadata, "its inventory does not allow `metadata`")
        }
        Capability::Cut | Capability::Loss | Capability::Rate => {
            (Allowed::Network, "its inventory does not allow `network`")
        }
        other => return (other.subject() == Subject::Clients).then_some(None),
    };
    Some((!allow.contains(&what)).then_some(why))
}

/// An inventory that cannot be: why, and where in its text.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct InventoryError {
    /// What is wrong, and what is allowed.
    pub message: String,
    /// Bytes of the text that are wrong, where they are known.
    pub span: Option<Range<usize>>,
}

impl InventoryError {
    /// Of something that is wrong in no single place.
    pub fn of(message: String) -> Self {
        Self { message, span: None }
    }
}

impl From<toml::de::Error> for InventoryError {
    fn from(error: toml::de::Error) -> Self {
        Self { message: error.message().trim().to_owned(), span: error.span() }
    }
}

/// The address that the nodes see kbench's connections come from.
///
/// # Errors
/// When it is not the same for all, or is a node's: rules between nodes would take the load's packets as well.
pub(in crate::cluster) fn clients_address(
    nodes: &[(&str, Ipv4Addr)],
    own: impl Fn(Ipv4Addr) -> std::io::Result<Ipv4Addr>,
) -> Result<Ipv4Addr, Failure> {
    let mut all = BTreeMap::new();
    for (name, address) in nodes {
        let from = own(*address).map_err(|error| {
            Failure::infrastructure(format!("there is no way to {name} ({address}): {error}"))
        })?;
        all.entry(from).or_insert(*name);
    }
    if let Some((name, address)) = nodes.iter().find(|(_, address)| all.contains_key(address)) {
        return Err(Failure::usage(format!(
            "kbench runs on {name} ({address}): a rule between nodes would take packets of its load and of its \
             own connections"
        ))
        .with_cure("run it on a machine that is no node of the cluster, or a plan without faults of networks"));
    }
    let mut addresses = all.iter();
    match (addresses.next(), addresses.next()) {
        (Some((one, _)), None) => Ok(*one),
        (Some((one, first)), Some((other, second))) => Err(Failure::usage(format!(
            "{first} is reached from {one} and {second} from {other}: rules know one address of the clients"
        ))
        .with_cure("one route to all nodes, or a plan without faults of networks")),
        _ => Err(Failure::infrastructure("the inventory has no node with a server")),
    }
}

/// Where connections to an address come from, as the kernel routes them; no packet is sent.
pub(in crate::cluster) fn own_address(to: Ipv4Addr) -> std::io::Result<Ipv4Addr> {
    let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0))?;
    socket.connect(SocketAddr::from((to, 9)))?;
    match socket.local_addr()?.ip() {
        IpAddr::V4(address) => Ok(address),
        IpAddr::V6(_) => Err(std::io::ErrorKind::AddrNotAvailable.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NODES: [(&str, Ipv4Addr); 2] =
        [("a", Ipv4Addr::new(198, 18, 0, 11)), ("b", Ipv4Addr::new(198, 18, 0, 12))];

    #[test]
    fn the_clients_have_one_address_and_no_node_s() {
        let here = Ipv4Addr::new(198, 18, 0, 1);
        let address = |own: fn(Ipv4Addr) -> Ipv4Addr| {
            clients_address(&NODES, |to| Ok(own(to))).map_err(|failure| failure.text().to_owned())
        };
        assert_eq!(address(|_| Ipv4Addr::new(198, 18, 0, 1)), Ok(here));
        let on_a_node = address(|_| Ipv4Addr::new(198, 18, 0, 12)).unwrap_err();
        assert!(on_a_node.contains("kbench runs on b (198.18.0.12)"), "{on_a_node}");
        let two_ways = address(|to| Ipv4Addr::from(u32::from(to) + 100)).unwrap_err();
        let words = "a is reached from 198.18.0.111 and b from 198.18.0.112";
        assert!(two_ways.contains(words), "{two_ways}");
        let no_way =
            clients_address(&NODES, |_| Err(std::io::ErrorKind::NetworkUnreachable.into()));
        assert!(no_way.unwrap_err().text().contains("there is no way to a"));
        assert!(own_address(Ipv4Addr::LOCALHOST).unwrap().is_loopback());
    }
}
