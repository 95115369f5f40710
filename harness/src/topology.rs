//! A cluster as data: nodes, their servers, settings, topics. Read from strict TOML.

mod jvm;
mod limits;
mod links;
mod placement;
mod profile;
mod rules;
mod security;
pub mod settings;
mod trust;

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use crate::admin::NewTopic;
use faults::guard::GuardedCluster;
use faults::port::{Assignment, Process};
use results::record::event::{BrokerId, Role};
use results::record::secret;
use serde::{Deserialize, Serialize};
use workloads::TopicsSpec;

pub use limits::ProcessLimits;
pub use links::LinksSpec;
pub(crate) use placement::{placed as placed_topics, round_robin};
pub use profile::Profile;
pub use rules::PEER_PORTS;
pub(crate) use rules::topics as check_topics;
pub use security::ListenerSecurity;

/// A cluster.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Topology {
    /// Name.
    pub name: String,
    /// What it is, in a sentence.
    pub description: String,
    /// What it is run for.
    #[serde(default)]
    pub profile: Profile,
    /// How its brokers are connected to.
    #[serde(default, skip_serializing_if = "ListenerSecurity::is_none")]
    pub security: ListenerSecurity,
    /// What each node's link takes; none where it takes what the machine can send.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub links: Option<LinksSpec>,
    /// Apache Kafka.
    pub kafka: KafkaSpec,
    /// Every broker.
    pub broker: ServerSpec,
    /// Every ZooKeeper server.
    pub zookeeper: ServerSpec,
    /// The machines.
    pub node: Vec<Node>,
    /// The topics; the first takes the main load.
    pub topic: Vec<Topic>,
}

/// Which Apache Kafka.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KafkaSpec {
    /// Version, as Maven Central has it.
    pub version: String,
}

/// What all servers of a role have in common.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ServerSpec {
    /// Port for clients.
    pub port: u16,
    /// Heap of the JVM, in MiB.
    pub heap_mb: u32,
    /// Further options of the JVM.
    #[serde(default)]
    pub jvm: Vec<String>,
    /// Options of the JVM that make it start quickly and run slower later, which a benchmark leaves out.
    #[serde(default)]
    pub quick_start: Vec<String>,
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
    /// Whether the cluster starts without its broker, which may join while the load runs.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub standby: bool,
}

/// One topic. As it is written it may be by number, and several; a cluster that was read has every topic by itself, with
/// its assignment.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Topic {
    /// Name; with a count what the names begin with.
    pub name: String,
    /// Replicas of each partition, the preferred leader first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub assignment: Vec<Vec<BrokerId>>,
    /// In place of an assignment: how many partitions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub partitions: Option<u32>,
    /// How many replicas each partition has then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub replication_factor: Option<u32>,
    /// How many such topics, `NAME-0001` and so on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub count: Option<u32>,
    /// Its configuration.
    #[serde(default)]
    pub config: BTreeMap<String, String>,
}

/// The clusters that come with kbench: name and TOML text.
pub const SHIPPED: &[(&str, &str)] = &[
    ("guide", include_str!("../clusters/guide.toml")),
    ("four-nodes", include_str!("../clusters/four-nodes.toml")),
    ("five-brokers", include_str!("../clusters/five-brokers.toml")),
    ("seven-nodes", include_str!("../clusters/seven-nodes.toml")),
    ("scale-out", include_str!("../clusters/scale-out.toml")),
];

/// A cluster that cannot be: why, and where in its text.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct TopologyError {
    /// What is wrong, and what is allowed.
    pub message: String,
    /// Bytes of the text that are wrong, where they are known.
    pub span: Option<Range<usize>>,
}

impl Topology {
    /// Reads a cluster and checks it.
    ///
    /// # Errors
    /// What is not TOML, not a cluster, or cannot work.
    pub fn parse(text: &str) -> Result<Self, TopologyError> {
        let mut topology: Self = toml::from_str(text).map_err(|error| TopologyError {
            message: error.message().trim().to_owned(),
            span: error.span(),
        })?;
        let brokers: Vec<BrokerId> = topology.brokers().into_iter().collect();
        topology.topic = placement::placed(&topology.topic, &brokers)
            .map_err(|message| TopologyError { message, span: None })?;
        topology.check()?;
        Ok(topology)
    }

    /// Takes the topics that a workload says by number in place of its own, on these brokers in this order. Names of
    /// topics end in `suffix`, before and after.
    ///
    /// # Errors
    /// More than there can be.
    pub fn load_topics(
        &mut self,
        topics: &TopicsSpec,
        brokers: &[BrokerId],
        suffix: &str,
    ) -> Result<(), String> {
        self.topic = placement::of_workload(topics, self.main_topic(), brokers, suffix)?;
        Ok(())
    }

    /// Refuses what cannot work, wherever it was read from.
    ///
    /// # Errors
    /// What is wrong, and what is allowed.
    pub fn check(&self) -> Result<(), TopologyError> {
        rules::check(self).map_err(|message| TopologyError { message, span: None })
    }

    /// What of it would run its author's code or reach files beyond the run, and where that stands.
    pub fn of_trust(&self) -> Vec<String> {
        trust::of_trust(self)
    }

    /// The same as [`Self::check`] for a cluster that runs already, of whose servers nothing is known that
    /// starting one takes.
    ///
    /// # Errors
    /// What is wrong, and what is allowed.
    pub fn check_attached(&self) -> Result<(), TopologyError> {
        rules::check_attached(self).map_err(|message| TopologyError { message, span: None })
    }

    /// Refuses heaps and other memory of JVMs that a machine with so many bytes of it has not.
    ///
    /// # Errors
    /// What is too large, and what there is.
    pub fn fits(&self, memory_bytes: u64) -> Result<(), String> {
        limits::memory(self, memory_bytes)
    }

    /// Refuses more replicas on a broker than a process can have files open and mapped.
    ///
    /// # Errors
    /// How many they are, and what there may be.
    pub fn fits_process(&self, may: ProcessLimits) -> Result<(), String> {
        limits::replicas(self, may)
    }

    /// Takes the secrets out of the servers' settings; the keys of those that were there.
    pub fn redact(&mut self) -> Vec<String> {
        let [brokers, others] = [&mut self.broker, &mut self.zookeeper];
        let servers = [&mut brokers.settings, &mut others.settings];
        let topics = self.topic.iter_mut().map(|topic| &mut topic.config);
        let settings = servers.into_iter().chain(topics).flat_map(secret::redact);
        let options =
            [&mut brokers.jvm, &mut brokers.quick_start, &mut others.jvm, &mut others.quick_start];
        let options = options.into_iter().flatten();
        settings.chain(options.filter_map(jvm::redact)).collect()
    }

    /// The topic of the main load. A parsed topology has one.
    #[expect(clippy::indexing_slicing, reason = "validated: there is at least one topic")]
    pub fn main_topic(&self) -> &Topic {
        &self.topic[0]
    }

    /// Every topic, as it is to be created.
    pub fn topics(&self) -> Vec<NewTopic> {
        let new = |topic: &Topic| NewTopic {
            name: topic.name.clone(),
            assignment: topic.assignment.clone(),
            config: topic.config.clone(),
        };
        self.topic.iter().map(new).collect()
    }

    /// The replicas of every partition of every topic.
    pub fn assignment(&self) -> Assignment {
        let of = |topic: &Topic| {
            let each = (0..).zip(topic.assignment.clone());
            each.map(|(p, replicas)| ((topic.name.clone(), p), replicas)).collect::<Vec<_>>()
        };
        self.topic.iter().flat_map(of).collect()
    }

    /// Ids of the brokers that the cluster starts with.
    pub fn brokers(&self) -> BTreeSet<BrokerId> {
        self.node.iter().filter(|node| !node.standby).filter_map(|node| node.broker).collect()
    }

    /// The server processes that the cluster starts with, ZooKeeper first.
    pub fn first_members(&self) -> Vec<Process> {
        let mut processes = self.processes();
        let on_standby =
            |process: &Process| self.node.iter().any(|n| n.standby && n.name == process.node);
        processes.retain(|process| !on_standby(process));
        processes
    }

    /// Every server process, those on standby included, ZooKeeper first.
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

    /// What faults could cost this cluster. kbench makes every cluster that is described so.
    pub fn guarded(&self) -> GuardedCluster {
        let of_topics = self.topic.iter().flat_map(|topic| &topic.assignment).map(Vec::len);
        let of_brokers = |key: &str| self.broker.settings.get(key).map(String::as_str);
        let offsets = of_brokers("offsets.topic.replication.factor");
        let offsets = offsets.and_then(|factor| factor.parse().ok());
        // What brokers have is in force for internal topics, and for the others that do not say otherwise.
        let in_force = |topics: &str, brokers: &str, default: &str| {
            let own = of_brokers(brokers).unwrap_or(default);
            let of_topics = self.topic.iter().filter_map(|topic| topic.config.get(topics));
            of_topics.cloned().chain([own.to_owned()]).collect::<Vec<_>>()
        };
        let [insync, unclean] = ["min.insync.replicas", "unclean.leader.election.enable"];
        let flushes = in_force("flush.messages", "log.flush.interval.messages", "never");
        GuardedCluster {
            name: self.name.clone(),
            ours: true,
            processes: self.processes(),
            least_replicas: of_topics.chain(offsets).min().unwrap_or_default(),
            min_insync_replicas: in_force(insync, insync, "1")
                .iter()
                .filter_map(|value| value.trim().parse().ok())
                .min()
                .unwrap_or(1),
            unclean_election: in_force(unclean, unclean, "false")
                .iter()
                .any(|value| value.trim().eq_ignore_ascii_case("true")),
            flushes_each_record: flushes.iter().all(|messages| messages.trim() == "1"),
        }
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
}

#[cfg(test)]
mod tests {
    use super::*;

    fn guide() -> &'static str {
        SHIPPED[0].1
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
        let guarded = topology.guarded();
        assert_eq!((guarded.least_replicas, guarded.min_insync_replicas), (3, 2));
        assert!(!guarded.unclean_election && !guarded.flushes_each_record);
    }

    #[test]
    fn no_secret_of_a_server_is_left_in_a_spec() {
        let mut topology = Topology::parse(guide()).unwrap();
        assert_eq!(topology.redact(), [""; 0]);
        let option = "-Djavax.net.ssl.keyStorePassword=hunter2".to_owned();
        topology.zookeeper.quick_start.push(option);
        let key = "password.encoder.secret".to_owned();
        topology.broker.settings.insert(key.clone(), "hunter2".to_owned());
        assert_eq!(topology.redact(), [&*key, "-Djavax.net.ssl.keyStorePassword"]);
        assert!(!toml::to_string(&topology).unwrap().contains("hunter2"));
        assert_eq!(topology.redact(), [""; 0]);
    }

    #[test]
    fn the_guard_sees_the_weakest_setting_of_brokers_and_topics() {
        let with = |brokers: &[(&str, &str)], topics: &[(&str, &str)]| {
            let owned = |pairs: &[(&str, &str)]| -> Vec<(String, String)> {
                pairs.iter().map(|(key, value)| ((*key).into(), (*value).into())).collect()
            };
            let mut topology = Topology::parse(guide()).unwrap();
            topology.broker.settings.extend(owned(brokers));
            topology.topic[0].config.extend(owned(topics));
            topology.guarded()
        };
        let (insync, unclean) = ("min.insync.replicas", "unclean.leader.election.enable");
        for (brokers, topics, least) in [("2", "1", 1), ("1", "2", 1), ("2", "3", 2)] {
            let guarded = with(&[(insync, brokers)], &[(insync, topics)]);
            assert_eq!(guarded.min_insync_replicas, least, "{brokers} {topics}");
        }
        assert!(with(&[(unclean, "true")], &[]).unclean_election);
        assert!(with(&[], &[(unclean, "true")]).unclean_election);
        let each = [("log.flush.interval.messages", "1")];
        assert!(with(&each, &[]).flushes_each_record);
        assert!(!with(&each, &[("flush.messages", "100")]).flushes_each_record);
        assert!(!with(&[], &[("flush.messages", "1")]).flushes_each_record, "internal topics");
    }
}
