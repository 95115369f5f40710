//! Cuts as data: which traffic of which nodes is taken away, and which probes that silences.
//!
//! A cut is a set of nodes, what they are cut from, which way and how. What is absent: the rules
//! that do it, which are the cluster's.

use std::fmt;

use results::event::Role;
use serde::{Deserialize, Serialize};

use crate::port::Process;

/// Traffic that is taken away from some nodes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Cut {
    /// The nodes whose traffic it is, one or more, sorted.
    pub nodes: Vec<String>,
    /// What they are cut from, and how.
    pub spec: CutSpec,
}

/// What nodes are cut from, and how.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CutSpec {
    /// The other side.
    pub from: Side,
    /// Which packets are taken away.
    #[serde(default)]
    pub way: Way,
    /// What becomes of them.
    #[serde(default)]
    pub by: By,
}

/// The other side of a cut.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum Side {
    /// Every other node of the cluster, all traffic.
    OtherNodes,
    /// These nodes, all traffic.
    Nodes(Vec<String>),
    /// ZooKeeper's client port of every node, the own one included; the ensemble keeps its links.
    Zookeeper,
    /// The brokers' port, between these nodes and every other one.
    Brokers,
    /// Kafka's clients; whoever watches the cluster still reaches it.
    Clients,
}

/// Which packets, seen from the nodes of the cut.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Way {
    /// All.
    #[default]
    Both,
    /// Those that they send.
    Outbound,
    /// Those that they get.
    Inbound,
}

/// What becomes of packets that are taken away.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum By {
    /// They vanish: the sender waits.
    #[default]
    Drop,
    /// They are answered by a TCP reset: the sender knows at once.
    Reset,
}

/// Where a probe comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    /// A node of the cluster.
    Node(String),
    /// Where Kafka's clients are.
    Clients,
}

/// What became of a probe.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reach {
    /// The connection was accepted.
    Answered,
    /// It was refused.
    Refused,
    /// Nothing came back within the limit, or it could not be tried.
    Unanswered,
}

impl Cut {
    /// Whether a connection from `from` to the client port of `to` needs packets that it takes.
    pub fn silences(&self, from: &Origin, to: &Process) -> bool {
        let cut = |node: &String| self.nodes.contains(node);
        let to_cut = cut(&to.node);
        match (&self.spec.from, from) {
            (Side::Clients, Origin::Clients) => to_cut && to.role == Role::Broker,
            (Side::OtherNodes, Origin::Node(node)) => cut(node) != to_cut,
            (Side::Nodes(others), Origin::Node(node)) => {
                cut(node) && others.contains(&to.node) || others.contains(node) && to_cut
            }
            (Side::Zookeeper, Origin::Node(node)) => cut(node) && to.role == Role::Zookeeper,
            (Side::Brokers, Origin::Node(node)) => cut(node) != to_cut && to.role == Role::Broker,
            (Side::Clients, Origin::Node(_)) | (_, Origin::Clients) => false,
        }
    }
}

impl fmt::Display for Cut {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} from {}", self.nodes.join(" and "), self.spec.from)?;
        match self.spec.way {
            Way::Both => {}
            Way::Outbound => write!(f, ", outbound")?,
            Way::Inbound => write!(f, ", inbound")?,
        }
        match self.spec.by {
            By::Drop => Ok(()),
            By::Reset => write!(f, ", by reset"),
        }
    }
}

impl fmt::Display for Side {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::OtherNodes => write!(f, "all other nodes"),
            Self::Nodes(nodes) => write!(f, "{}", nodes.join(" and ")),
            Self::Zookeeper => write!(f, "ZooKeeper"),
            Self::Brokers => write!(f, "the other brokers"),
            Self::Clients => write!(f, "the clients"),
        }
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Node(node) => write!(f, "{node}"),
            Self::Clients => write!(f, "the clients"),
        }
    }
}

impl Reach {
    /// The word for it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Answered => "answered",
            Self::Refused => "refused",
            Self::Unanswered => "unanswered",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The links that a cut of node1 silences, as "from>to".
    fn silenced(from: Side, nodes: &[&str]) -> Vec<String> {
        let spec = CutSpec { from, way: Way::Both, by: By::Drop };
        let cut = Cut { nodes: nodes.iter().map(|n| (*n).to_owned()).collect(), spec };
        let names = ["1", "2", "3"].map(|id| format!("node{id}"));
        let origins = names.iter().cloned().map(Origin::Node).chain([Origin::Clients]);
        let of = |role| {
            (1..).zip(&names).map(move |(id, node)| Process { node: node.clone(), role, id })
        };
        let processes: Vec<_> = of(Role::Broker).chain(of(Role::Zookeeper)).collect();
        let word = |from: &Origin, to: &Process| {
            format!("{from}>{}{}", &to.role.as_str()[..1], to.id).replace("node", "")
        };
        let links = origins.flat_map(|o| processes.iter().map(move |p| (o.clone(), p)));
        links.filter(|(o, p)| cut.silences(o, p)).map(|(o, p)| word(&o, p)).collect()
    }

    #[test]
    fn each_side_silences_its_links_and_no_other() {
        assert_eq!(silenced(Side::Zookeeper, &["node1"]), ["1>z1", "1>z2", "1>z3"]);
        assert_eq!(silenced(Side::Brokers, &["node1"]), ["1>b2", "1>b3", "2>b1", "3>b1"]);
        assert_eq!(silenced(Side::Clients, &["node1"]), ["the clients>b1"]);
        let isolated = ["1>b2", "1>b3", "1>z2", "1>z3", "2>b1", "2>z1", "3>b1", "3>z1"];
        assert_eq!(silenced(Side::OtherNodes, &["node1"]), isolated);
        assert_eq!(
            silenced(Side::OtherNodes, &["node2", "node3"]),
            ["1>b2", "1>b3", "1>z2", "1>z3", "2>b1", "2>z1", "3>b1", "3>z1"]
        );
        let two = Side::Nodes(vec!["node2".into()]);
        assert_eq!(silenced(two, &["node1"]), ["1>b2", "1>z2", "2>b1", "2>z1"]);
    }
}
