//! Where a trial ran and with which settings *in force*: `environment.json`.
//!
//! Settings are read back from the running servers, never copied from what was asked for.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};

use super::event::BrokerId;
use super::secret::redact;

/// Host, versions and settings of one trial.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Environment {
    /// kbench's own version.
    pub kbench: String,
    /// Version of Apache Kafka.
    pub kafka: String,
    /// Version of Apache ZooKeeper.
    pub zookeeper: String,
    /// Version of librdkafka.
    pub librdkafka: String,
    /// How long librdkafka's broker threads wait, in microseconds, where they ask poll(2) not to wait
    /// (kbench interposes poll: they would spin); absent where it was not written down.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub librdkafka_poll_wait_us: Option<u64>,
    /// What the observer sees less precisely than it might, in a sentence; absent where there is nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observer: Option<String>,
    /// What others may take of the host unseen, in a sentence; absent where there is nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host: Option<String>,
    /// First line of `java -version`.
    pub java: String,
    /// SHA-256 of each jar by its name, by version: of those whose jars kbench does not know by itself.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub jars: BTreeMap<String, BTreeMap<String, String>>,
    /// Kernel release.
    pub kernel: String,
    /// CPU cores that the run could use.
    pub cores: u32,
    /// Memory of the host, in bytes.
    pub memory_bytes: u64,
    /// How the cluster ran: "user namespaces", "root namespaces", "loopback processes", or that it was only
    /// connected to.
    pub mode: String,
    /// Where the servers' data lay: "memory", "disk" or, where nobody can look, "not seen".
    pub storage: String,
    /// What the cluster was run for, which decided how its servers started: "failover" or "benchmark"; absent
    /// where nobody saw them start.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub profile: Option<String>,
    /// The limit of each node's link, as the kernel told it; absent where links take what the machine can send.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub links: Option<LinksInForce>,
    /// Whether the JVMs used a class-data archive; absent where nobody saw them start.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub class_archive: Option<bool>,
    /// Settings in force that decide what the claims can be.
    pub settings: Settings,
    /// The client's settings, main producer.
    pub producer: BTreeMap<String, String>,
}

impl Environment {
    /// Takes the secrets out of all settings.
    pub fn redact(&mut self) {
        let Settings { broker, topic_config, other_topics, .. } = &mut self.settings;
        [broker, topic_config, &mut self.producer]
            .into_iter()
            .chain(other_topics.iter_mut().map(|topic| &mut topic.config))
            .for_each(|settings| drop(redact(settings)));
    }
}

/// A limit of every node's link, read back from the kernel while the load warmed up.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct LinksInForce {
    /// Bytes a second that each link takes, to its node and from it, Ethernet's headers included.
    pub bytes_per_s: u64,
    /// Bytes that had come through the limit by then, to each node and from it.
    pub passed: BTreeMap<String, [u64; 2]>,
}

impl fmt::Display for LinksInForce {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "limited to {:.3} MB/s each way", self.bytes_per_s as f64 / 1e6)
    }
}

/// Settings in force, read back from brokers and ZooKeeper servers.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Settings {
    /// The brokers' ZooKeeper session time-out *as negotiated*, in milliseconds.
    pub zk_session_timeout_ms: Option<u64>,
    /// ZooKeeper's `tickTime`, in milliseconds.
    pub zk_tick_ms: Option<u64>,
    /// Number of ZooKeeper servers; absent where they are not seen.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub zk_servers: Option<u32>,
    /// Number of brokers.
    pub brokers: u32,
    /// Topic of the main load.
    pub topic: String,
    /// Its number of partitions.
    pub partitions: u32,
    /// Its replication factor.
    pub replication_factor: u32,
    /// Replicas of each of its partitions when the load began, the preferred leader first; none where that is not told.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub assignment: Vec<Vec<BrokerId>>,
    /// Its `min.insync.replicas`.
    pub min_insync_replicas: Option<u32>,
    /// Its `unclean.leader.election.enable`.
    pub unclean_leader_election: Option<bool>,
    /// The brokers' `replica.lag.time.max.ms`.
    pub replica_lag_time_max_ms: Option<u64>,
    /// Other broker settings worth quoting, as the first broker describes them.
    pub broker: BTreeMap<String, String>,
    /// The topic's configuration, as described.
    pub topic_config: BTreeMap<String, String>,
    /// The other topics that the load writes to, in the cluster's order; none where it writes to one.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub other_topics: Vec<OtherTopic>,
}

/// A topic of the load that is not that of the main load.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct OtherTopic {
    /// Its name.
    pub topic: String,
    /// Its number of partitions.
    pub partitions: u32,
    /// Its configuration, as described.
    pub config: BTreeMap<String, String>,
}
