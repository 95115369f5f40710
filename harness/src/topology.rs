//! A cluster as data: nodes, their servers, settings, topics. Read from strict TOML.

use std::collections::{BTreeMap, BTreeSet};

use faults::port::Process;
use results::event::{BrokerId, Role};
use serde::{Deserialize, Serialize};

use crate::spec::{Mistake, Spec};

/// Most nodes that a local cluster can have: one octet of its addresses, less the bridge.
const MOST_NODES: usize = 100;

/// A cluster.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Topology {
    /// Name.
    pub name: String,
    /// What it is, in a sentence.
    pub description: String,
    /// Apache Kafka.
    pub kafka: Kafka,
    /// Every broker.
    pub broker: Server,
    /// Every ZooKeeper server.
    pub zookeeper: Server,
    /// The machines.
    pub node: Vec<Node>,
    /// The topics; the first takes the main load.
    pub topic: Vec<Topic>,
}

/// Which Apache Kafka.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Kafka {
    /// Version, as Maven Central has it.
    pub version: String,
}

/// What all servers of a role have in common.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Server {
    /// Port for clients.
    pub port: u16,
    /// Heap of the JVM, in MiB.
    pub heap_mb: u32,
    /// Further options of the JVM.
    #[serde(default)]
    pub jvm: Vec<String>,
    /// Lines of its configuration file.
    #[serde(default)]
    pub settings: BTreeMap<String, String>,
}

/// One machine.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Node {
    /// Host name.
    pub name: String,
    /// `broker.id` of its broker, if it has one.
    pub broker: Option<BrokerId>,
    /// `myid` of its ZooKeeper server, if it has one.
    pub zookeeper: Option<BrokerId>,
}

/// One topic.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Topic {
    /// Name.
    pub name: String,
    /// Replicas of each partition, the preferred leader first.
    pub assignment: Vec<Vec<BrokerId>>,
    /// Its configuration.
    #[serde(default)]
    pub config: BTreeMap<String, String>,
}

impl Spec for Topology {
    const KIND: &'static str = "cluster";

    fn shipped() -> &'static [(&'static str, &'static str)] {
        &[("guide", include_str!("../clusters/guide.toml"))]
    }

    fn parse(text: &str) -> Result<Self, Mistake> {
        let topology: Self = toml::from_str(text)
            .map_err(|error| (error.message().trim().to_owned(), error.span()))?;
        topology.validate().map_err(|message| (message, None))?;
        Ok(topology)
    }
}

impl Topology {
    /// The topic of the main load. A parsed topology has one.
    #[expect(clippy::indexing_slicing, reason = "validated: there is at least one topic")]
    pub fn main_topic(&self) -> &Topic {
        &self.topic[0]
    }

    /// Ids of the brokers.
    pub fn brokers(&self) -> BTreeSet<BrokerId> {
        self.node.iter().filter_map(|node| node.broker).collect()
    }

    /// Every server process, ZooKeeper first.
    pub fn processes(&self) -> Vec<Process> {
        let of = |role: Role, id: fn(&Node) -> Option<BrokerId>| {
            self.node.iter().filter_map(move |node| {
                Some(Process { node: node.name.clone(), role, id: id(node)? })
            })
        };
        of(Role::Zookeeper, |node| node.zookeeper)
            .chain(of(Role::Broker, |node| node.broker))
            .collect()
    }

    /// Names of the nodes.
    pub fn node_names(&self) -> Vec<String> {
        self.node.iter().map(|node| node.name.clone()).collect()
    }

    /// The brokers' ZooKeeper session time-out as asked for, in milliseconds (Kafka's default when
    /// it is not set: KIP-537).
    pub fn session_timeout_ms(&self) -> u64 {
        self.broker
            .settings
            .get("zookeeper.session.timeout.ms")
            .and_then(|value| value.parse().ok())
            .unwrap_or(18_000)
    }

    /// Refuses what cannot work, in words.
    fn validate(&self) -> Result<(), String> {
        let names: BTreeSet<&str> = self.node.iter().map(|node| node.name.as_str()).collect();
        if names.len() != self.node.len() || self.node.len() > MOST_NODES {
            return Err(format!("nodes need names of their own, and at most {MOST_NODES}"));
        }
        let plain = |c: char| c.is_ascii_alphanumeric() || c == '-';
        if let Some(bad) = names.iter().find(|name| name.is_empty() || !name.chars().all(plain)) {
            return Err(format!("node name `{bad}`: letters, digits and `-` only"));
        }
        for (what, ids) in [
            ("broker", self.node.iter().filter_map(|node| node.broker).collect::<Vec<_>>()),
            ("zookeeper", self.node.iter().filter_map(|node| node.zookeeper).collect()),
        ] {
            let distinct: BTreeSet<_> = ids.iter().collect();
            if ids.is_empty() || distinct.len() != ids.len() || ids.iter().any(|id| *id < 1) {
                return Err(format!("a cluster needs at least one {what}; ids differ, from 1"));
            }
        }
        if self.topic.is_empty() {
            return Err("a cluster needs a [[topic]]: the first takes the main load".to_owned());
        }
        self.topic.iter().try_for_each(|topic| self.validate_topic(topic))
    }

    fn validate_topic(&self, topic: &Topic) -> Result<(), String> {
        let name = &topic.name;
        let brokers = self.brokers();
        let factor = topic.assignment.first().map_or(0, Vec::len);
        if factor == 0 {
            return Err(format!("topic {name}: `assignment` lists the replicas of each partition"));
        }
        for (partition, replicas) in topic.assignment.iter().enumerate() {
            let distinct: BTreeSet<_> = replicas.iter().copied().collect();
            if distinct.len() != replicas.len() || replicas.len() != factor {
                return Err(format!(
                    "topic {name}, partition {partition}: {factor} different brokers expected"
                ));
            }
            if let Some(unknown) = distinct.difference(&brokers).next() {
                return Err(format!("topic {name}, partition {partition}: no broker {unknown}"));
            }
        }
        let min_isr = topic.config.get("min.insync.replicas").and_then(|v| v.parse::<usize>().ok());
        match min_isr {
            Some(min_isr) if min_isr > factor => Err(format!(
                "topic {name}: min.insync.replicas {min_isr} exceeds its {factor} replicas; \
                 nothing could ever be written with acks=all"
            )),
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn guide() -> &'static str {
        Topology::shipped()[0].1
    }

    #[test]
    fn the_guide_s_cluster_is_as_the_guide_says() {
        let topology = Topology::parse(guide()).unwrap();
        assert_eq!(topology.node_names(), ["cpu-node1", "cpu-node2", "worker-node3"]);
        assert_eq!(topology.processes().len(), 6);
        let topic = topology.main_topic();
        assert_eq!(topic.name, "user-events");
        assert_eq!(topic.assignment, [[1, 2, 3], [2, 3, 1], [3, 1, 2]]);
        assert_eq!(topology.session_timeout_ms(), 18_000);
    }

    #[test]
    fn what_cannot_work_is_refused_in_words() {
        for (from, to, word) in [
            ("[1, 2, 3],", "[1, 2, 4],", "no broker 4"),
            ("[1, 2, 3],", "[1, 1, 3],", "different brokers"),
            ("broker = 2", "broker = 1", "ids differ"),
            ("\"cpu-node2\"", "\"cpu-node1\"", "names of their own"),
            ("\"cpu-node2\"", "\"cpu node2\"", "letters"),
            ("\"min.insync.replicas\" = \"2\"\n", "", ""),
        ] {
            let text = guide().replacen(from, to, 1);
            match Topology::parse(&text) {
                Err((message, _)) => assert!(message.contains(word), "{message}"),
                Ok(_) => assert_eq!(word, "", "{from} -> {to} was accepted"),
            }
        }
        let text =
            guide().replace("\"min.insync.replicas\" = \"2\"", "\"min.insync.replicas\" = \"4\"");
        assert!(Topology::parse(&text).unwrap_err().0.contains("exceeds"));
    }
}
