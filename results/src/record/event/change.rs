//! A change of the cluster that a plan makes under load, as it begins and ends.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::BrokerId;

/// A change at its begin or end, and where the partitions of the load were then.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChangeSeen {
    /// Id of the change in the plan.
    pub change: String,
    /// Begin or end.
    pub mark: ChangeMark,
    /// What is or was done, in words.
    pub what: String,
    /// The partitions of the main topic by the metadata of every broker, which agreed.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub partitions: Vec<PlacedPartition>,
    /// Bytes of the main topic's logs on each broker, by its own word.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub log_bytes: BTreeMap<BrokerId, u64>,
    /// Why either is missing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unseen: Option<String>,
}

/// Which moment of a change it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ChangeMark {
    /// It is made from now on; the cluster was steady.
    Began,
    /// It is complete, and the cluster is steady again.
    Done,
    /// It was given up when the run was interrupted, or failed; a reassignment that was under way is cancelled.
    GivenUp,
}

/// A partition as brokers' metadata has it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlacedPartition {
    /// Its number.
    pub partition: i32,
    /// Its leader, or -1.
    pub leader: BrokerId,
    /// Its replicas, the preferred leader first.
    pub replicas: Vec<BrokerId>,
    /// Those of them in sync.
    pub isr: Vec<BrokerId>,
}
