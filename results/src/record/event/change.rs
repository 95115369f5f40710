//! A change of the cluster that a plan makes under load, as it begins and ends, and so its undo.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::BrokerId;

/// A change or its undo at its begin or end, and where the partitions of the load were then.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChangeSeen {
    /// Id of the change in the plan.
    pub change: String,
    /// Begin or end.
    pub mark: ChangeMark,
    /// What is or was done, in words.
    pub what: String,
    /// The brokers that an undo which begins ends, in this order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub leave: Vec<BrokerId>,
    /// The partitions of the main topic by the metadata of every broker that no fault was on, which agreed.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub partitions: Vec<PlacedPartition>,
    /// Bytes of the main topic's logs on each of these brokers, by its own word.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty", with = "pairs")]
    pub log_bytes: BTreeMap<BrokerId, u64>,
    /// Why either is missing, or which brokers were not asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unseen: Option<String>,
}

/// Which moment of a change it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ChangeMark {
    /// It is made from now on; the cluster was steady, unless the change goes with faults.
    Began,
    /// It is complete, and the cluster is steady again, unless the change goes with faults.
    Done,
    /// It was given up when the run was interrupted, or failed; a reassignment that was under way is cancelled. Without
    /// a begin it was not begun.
    GivenUp,
    /// It is undone from now on, as the plan says; the cluster was steady.
    Undoing,
    /// It is undone, and the cluster is steady again.
    Undone,
    /// It could not be undone.
    NotUndone,
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

/// A map as pairs: the number that a JSON object has as its key is not read back in an event.
mod pairs {
    use std::collections::BTreeMap;

    use serde::{Deserialize as _, Deserializer, Serializer};

    use super::BrokerId;

    pub(super) fn serialize<S: Serializer>(
        map: &BTreeMap<BrokerId, u64>,
        to: S,
    ) -> Result<S::Ok, S::Error> {
        to.collect_seq(map)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(
        from: D,
    ) -> Result<BTreeMap<BrokerId, u64>, D::Error> {
        Ok(Vec::<(BrokerId, u64)>::deserialize(from)?.into_iter().collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::event::EventKind;

    #[test]
    fn a_change_is_read_as_it_was_written() {
        let placed =
            PlacedPartition { partition: 0, leader: 1, replicas: vec![1, 2], isr: vec![1] };
        let event = EventKind::Change(ChangeSeen {
            change: "brokers".to_owned(),
            mark: ChangeMark::Done,
            what: "brokers [4] join".to_owned(),
            leave: vec![],
            partitions: vec![placed],
            log_bytes: BTreeMap::from([(1, 7), (4, 0)]),
            unseen: None,
        });
        let text = serde_json::to_string(&event).unwrap();
        assert_eq!(serde_json::from_str::<EventKind>(&text).unwrap(), event);
    }
}
