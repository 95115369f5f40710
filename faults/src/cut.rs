//! Cuts as data: which traffic of which nodes is taken away, and which probes that silences.
//!
//! A cut is a set of nodes, what they are cut from, which way and how. What is absent: the rules
//! that do it, which are the cluster's.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use results::record::event::{Process, Role};
use serde::{Deserialize, Serialize};

use crate::tag::Tag;

/// Traffic that is taken away from some nodes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Cut {
    /// What its rules are known by.
    pub tag: Tag,
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
    /// The shape of a bridge: the *other* nodes are cut into two halves, by their names' order, and
    /// only the nodes of the cut still see both.
    AcrossBridge,
    /// The shape of a ring: each node of the cut sees only those that are next to it, by name.
    NonNeighbours,
    /// ZooKeeper's client port of every node, the own one included; the ensemble keeps its links.
    Zookeeper,
    /// The ports that ZooKeeper servers use among themselves, between these nodes and every other
    /// one; clients still reach each server.
    Ensemble,
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

/// The nodes whose rules put a cut in force, each with the nodes that it is cut from: none where the
/// other side is no set of nodes.
pub type Ends = BTreeMap<String, BTreeSet<String>>;

/// What a probe connects to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Service {
    /// The port for clients.
    Clients,
    /// The port on which a ZooKeeper server hears the votes of the others.
    Elections,
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
    /// Nothing came back within the limit.
    Unanswered,
}

impl Cut {
    /// Who is cut from whom in a cluster of these nodes.
    pub fn ends(&self, nodes: &BTreeSet<String>) -> Ends {
        let cut: BTreeSet<_> = self.nodes.iter().cloned().collect();
        let rest = nodes - &cut;
        let from = |others: &BTreeSet<String>| {
            cut.iter().map(|node| (node.clone(), others.clone())).collect()
        };
        match &self.spec.from {
            Side::OtherNodes | Side::Ensemble | Side::Brokers => from(&rest),
            Side::Nodes(others) => from(&others.iter().cloned().collect()),
            Side::Zookeeper | Side::Clients => from(&BTreeSet::new()),
            Side::AcrossBridge => {
                let (one, other): (Vec<_>, Vec<_>) =
                    (0..).zip(rest.iter().cloned()).partition(|(n, _)| *n < rest.len() / 2);
                let names = |half: Vec<(usize, String)>| half.into_iter().map(|(_, node)| node);
                let other: BTreeSet<_> = names(other).collect();
                names(one).map(|node| (node, other.clone())).collect()
            }
            Side::NonNeighbours => {
                let ring: Vec<_> = nodes.iter().collect();
                let steps = |a: usize, b: usize| a.abs_diff(b).min(ring.len() - a.abs_diff(b));
                let far = |at: usize| {
                    let others = (0..ring.len()).filter(|other| steps(at, *other) > 1);
                    others.filter_map(|other| ring.get(other).map(|node| (*node).clone())).collect()
                };
                let of_cut = (0..).zip(&ring).filter(|(_, node)| cut.contains(**node));
                of_cut.map(|(at, node)| ((*node).clone(), far(at))).collect()
            }
        }
    }

    /// Whether a connection from `from` to a port of `to` needs packets that it takes, in a cluster
    /// of these nodes.
    pub fn silences(
        &self,
        nodes: &BTreeSet<String>,
        from: &Origin,
        to: &Process,
        service: Service,
    ) -> bool {
        let ends = self.ends(nodes);
        let Origin::Node(from) = from else {
            let to_broker = to.role == Role::Broker && service == Service::Clients;
            return self.spec.from == Side::Clients && to_broker && ends.contains_key(&to.node);
        };
        let apart = |one: &String, other| ends.get(one).is_some_and(|from| from.contains(other));
        let apart = apart(from, &to.node) || apart(&to.node, from);
        match (&self.spec.from, service) {
            (Side::Clients, _) => false,
            (Side::Zookeeper, Service::Clients) => {
                ends.contains_key(from) && to.role == Role::Zookeeper
            }
            (Side::Zookeeper | Side::Brokers, Service::Elections) => false,
            (Side::Brokers, Service::Clients) => apart && to.role == Role::Broker,
            (Side::Ensemble, _) => apart && service == Service::Elections,
            (Side::OtherNodes | Side::Nodes(_) | Side::AcrossBridge | Side::NonNeighbours, _) => {
                apart
            }
        }
    }
}

impl fmt::Display for Cut {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let nodes = self.nodes.join(" and ");
        match self.spec.from {
            Side::AcrossBridge => write!(f, "all nodes but {nodes} from each other's half")?,
            _ => write!(f, "{nodes} from {}", self.spec.from)?,
        }
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
            Self::AcrossBridge => write!(f, "the other half"),
            Self::NonNeighbours => write!(f, "all but their neighbours"),
            Self::Zookeeper => write!(f, "ZooKeeper"),
            Self::Ensemble => write!(f, "the other ZooKeeper servers"),
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

    fn names(count: usize) -> BTreeSet<String> {
        (1..=count).map(|id| format!("node{id}")).collect()
    }

    fn cut(from: Side, nodes: &[&str]) -> Cut {
        let spec = CutSpec { from, way: Way::Both, by: By::Drop };
        let tag = Tag { run: "run".into(), entry: 1 };
        Cut { tag, nodes: nodes.iter().map(|n| (*n).to_owned()).collect(), spec }
    }

    /// The links of three nodes that a cut silences, as "from>to".
    fn silenced(from: Side, nodes: &[&str]) -> Vec<String> {
        let (cut, names) = (cut(from, nodes), names(3));
        let origins: Vec<_> =
            names.iter().cloned().map(Origin::Node).chain([Origin::Clients]).collect();
        let of = |role| {
            (1..).zip(&names).map(move |(id, node)| Process { node: node.clone(), role, id })
        };
        let processes: Vec<_> = of(Role::Broker).chain(of(Role::Zookeeper)).collect();
        let word = |from: &Origin, to: &Process, service| {
            let election = if service == Service::Elections { "e" } else { "" };
            format!("{from}>{}{}{election}", &to.role.as_str()[..1], to.id).replace("node", "")
        };
        let mut silenced = vec![];
        for from in &origins {
            for to in &processes {
                let at = |service| cut.silences(&names, from, to, service);
                if at(Service::Clients) {
                    silenced.push(word(from, to, Service::Clients));
                }
                if to.role == Role::Zookeeper && at(Service::Elections) {
                    silenced.push(word(from, to, Service::Elections));
                }
            }
        }
        silenced
    }

    #[test]
    fn each_side_silences_its_links_and_no_other() {
        assert_eq!(silenced(Side::Zookeeper, &["node1"]), ["1>z1", "1>z2", "1>z3"]);
        assert_eq!(silenced(Side::Brokers, &["node1"]), ["1>b2", "1>b3", "2>b1", "3>b1"]);
        assert_eq!(silenced(Side::Ensemble, &["node1"]), ["1>z2e", "1>z3e", "2>z1e", "3>z1e"]);
        assert_eq!(silenced(Side::Clients, &["node1"]), ["the clients>b1"]);
        let everybody = ["node1", "node2", "node3"];
        assert_eq!(silenced(Side::Clients, &everybody).len(), 3);
        assert_eq!(silenced(Side::Zookeeper, &everybody).len(), 9);
        let isolated = [
            "1>b2", "1>b3", "1>z2", "1>z2e", "1>z3", "1>z3e", "2>b1", "2>z1", "2>z1e", "3>b1",
            "3>z1", "3>z1e",
        ];
        assert_eq!(silenced(Side::OtherNodes, &["node1"]), isolated);
        // The same line seen from its other end.
        assert_eq!(silenced(Side::OtherNodes, &["node2", "node3"]), isolated);
        let two = Side::Nodes(vec!["node2".into()]);
        let link = ["1>b2", "1>z2", "1>z2e", "2>b1", "2>z1", "2>z1e"];
        assert_eq!(silenced(two, &["node1"]), link);
        // With three nodes a bridge leaves one link out: that between the other two.
        assert_eq!(silenced(Side::AcrossBridge, &["node3"]), link);
    }

    /// Who is cut from whom, as "node: others".
    fn ends(from: Side, nodes: &[&str], of: usize) -> Vec<String> {
        let ends = cut(from, nodes).ends(&names(of)).into_iter();
        let word = |(node, others): (String, BTreeSet<String>)| {
            format!("{node}: {}", others.into_iter().collect::<Vec<_>>().join(" "))
        };
        ends.map(|end| word(end).replace("node", "")).collect()
    }

    #[test]
    fn a_bridge_sees_both_halves_and_the_halves_not_each_other() {
        assert_eq!(ends(Side::AcrossBridge, &["node3"], 5), ["1: 4 5", "2: 4 5"]);
        assert_eq!(ends(Side::AcrossBridge, &["node1"], 4), ["2: 3 4"]);
        assert_eq!(ends(Side::AcrossBridge, &["node1"], 2), [""; 0]);
    }

    #[test]
    fn on_a_ring_each_node_sees_its_neighbours() {
        let all = ["node1", "node2", "node3", "node4", "node5"];
        let five = ["1: 3 4", "2: 4 5", "3: 1 5", "4: 1 2", "5: 2 3"];
        assert_eq!(ends(Side::NonNeighbours, &all, 5), five);
        assert_eq!(ends(Side::NonNeighbours, &all[..4], 4), ["1: 3", "2: 4", "3: 1", "4: 2"]);
        // Three nodes are all next to each other.
        assert_eq!(ends(Side::NonNeighbours, &all[..3], 3), ["1: ", "2: ", "3: "]);
    }
}
