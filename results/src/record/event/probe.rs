//! What probes saw of the cluster when the load had ended: a question each that no load asks.
//!
//! A probe says what it saw, and never what that means: `judge/claim/guarantee/probe.rs` does.

mod by_id;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::BrokerId;

/// What is asked of the cluster.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ClusterProbe {
    /// A Produce request to brokers that do not lead the partition, and to the one that does.
    ProduceToFollower,
    /// Clients that are given one broker each, and a list with an address where nobody listens.
    AnyBootstrap,
    /// The trees of all ZooKeeper servers.
    ZookeeperTrees,
    /// The parts of ZooKeeper's servers, and a write through each.
    ZookeeperWrites,
    /// The segments of all replicas of the main topic, below the high watermark.
    ReplicaLogs,
    /// Whom consumers fetch from, and what a follower answers.
    FollowerFetch,
    /// Keys of one client, sent several times.
    KeysOfOneClient,
    /// Keys before and after partitions were added.
    KeysAcrossPartitions,
    /// Keys of two clients, each with its default partitioner.
    KeysOfTwoClients,
}

/// A probe, and what it saw.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Probed {
    /// Which.
    pub probe: ClusterProbe,
    /// What it saw.
    pub saw: ProbeSaw,
}

/// What a probe saw.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ProbeSaw {
    /// Nothing: it was not carried out, and why.
    NotCarriedOut(String),
    /// Answers to Produce requests.
    Produced(Vec<ProduceSeen>),
    /// What became of clients.
    Clients(Vec<BootstrapSeen>),
    /// Trees of ZooKeeper servers.
    Trees(TreesSeen),
    /// Writes to ZooKeeper.
    ZookeeperWrites(ZookeeperWritesSeen),
    /// Segments of a partition's replicas.
    Logs(Vec<PartitionLogsSeen>),
    /// Answers to Fetch requests.
    Fetched(FetchesSeen),
    /// Where keys were placed.
    Keys(KeysSeen),
}

/// One Produce request of one record with acks=all, and its answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ProduceSeen {
    /// Topic.
    pub topic: String,
    /// Partition.
    pub partition: i32,
    /// The broker that led it.
    pub leader: BrokerId,
    /// The broker that was asked.
    pub asked: BrokerId,
    /// Kafka's error code in the answer; 0 is success, 6 `NOT_LEADER_OR_FOLLOWER`.
    pub error_code: i16,
    /// The end of the leader's log before and after.
    pub log_end: [i64; 2],
}

/// What became of a client that was given some addresses.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BootstrapSeen {
    /// The brokers among the addresses that it was given.
    pub brokers: Vec<BrokerId>,
    /// Whether the first address was one that refused a connection just before.
    pub dead_first: bool,
    /// Why it did not produce a record and read it back; `None` when it did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

/// The trees of ZooKeeper's servers, each walked after a sync.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TreesSeen {
    /// Rounds of walks that were made.
    pub rounds: u32,
    /// Whether the first server's tree was the same before and after the others were walked, in the last round.
    pub still: bool,
    /// Each server's.
    pub servers: Vec<TreeSeen>,
    /// The first znode that is not the same everywhere, in words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub difference: Option<String>,
}

/// The tree of one ZooKeeper server.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TreeSeen {
    /// Its id.
    pub server: BrokerId,
    /// Znodes.
    pub znodes: u64,
    /// Bytes of their data.
    pub bytes: u64,
    /// CRC-32 of every path with its data, versions, zxids and owner.
    pub crc32: u32,
}

/// The parts of ZooKeeper's servers, and a write through each.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ZookeeperWritesSeen {
    /// Each server's `Mode` by `srvr`.
    #[serde(with = "by_id")]
    pub modes: BTreeMap<BrokerId, String>,
    /// The epoch of the leader: the upper half of the last zxid that it names.
    pub leader_epoch: Option<i64>,
    /// In the order in which they were made.
    pub writes: Vec<ZookeeperWriteSeen>,
    /// The server on which the session is that owns a broker's registration, by `cons`.
    #[serde(with = "by_id")]
    pub sessions: BTreeMap<BrokerId, BrokerId>,
}

/// A znode that was created through one server.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ZookeeperWriteSeen {
    /// The server.
    pub through: BrokerId,
    /// The zxid of its creation.
    pub zxid: i64,
    /// The servers that had it with that zxid after a sync.
    pub seen_by: Vec<BrokerId>,
}

/// The segments of a partition's replicas.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PartitionLogsSeen {
    /// Topic.
    pub topic: String,
    /// Partition.
    pub partition: i32,
    /// Offsets that were compared: from the first that all replicas have, to before the high watermark.
    pub offsets: [i64; 2],
    /// What each broker's segments have of these offsets.
    pub replicas: Vec<ReplicaLogSeen>,
    /// The first difference, in words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub difference: Option<String>,
}

/// What the segments of one replica have.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ReplicaLogSeen {
    /// The broker.
    pub broker: BrokerId,
    /// Record batches.
    pub batches: u64,
    /// Their bytes.
    pub bytes: u64,
    /// CRC-32 of them.
    pub crc32: u32,
}

/// Fetch requests for one partition.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FetchesSeen {
    /// Topic.
    pub topic: String,
    /// Partition.
    pub partition: i32,
    /// The broker that led it.
    pub leader: BrokerId,
    /// Answers to requests that the probe wrote itself, as a consumer.
    pub answers: Vec<FetchSeen>,
    /// What librdkafka's consumers did.
    pub consumers: Vec<ConsumerSeen>,
}

/// The answer of one broker to one Fetch request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FetchSeen {
    /// The broker.
    pub broker: BrokerId,
    /// Version of the request; from 11 on it has a rack (KIP-392).
    pub version: i16,
    /// The rack in it.
    pub rack: String,
    /// Kafka's error code in the answer.
    pub error_code: i16,
    /// Bytes of records in it.
    pub bytes: u64,
    /// The replica that it tells the consumer to read from, or -1.
    pub preferred_replica: BrokerId,
}

/// What a consumer of librdkafka did that read a partition to its end.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ConsumerSeen {
    /// Its `client.rack`; `None` where it has none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rack: Option<String>,
    /// Records read.
    pub records: u64,
    /// Fetch requests to each broker, by its own statistics.
    #[serde(with = "by_id")]
    pub fetches: BTreeMap<BrokerId, u64>,
}

/// Where keys were placed, each at least twice.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KeysSeen {
    /// How the records of a key were sent the first and the second time, in words.
    pub sent: [String; 2],
    /// Keys.
    pub keys: u64,
    /// Those whose records are in more than one partition.
    pub moved: u64,
    /// One of them, in words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub example: Option<String>,
}
