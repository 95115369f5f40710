//! How an assignment is written: `{"topic": {"0": [1, 2, 3]}}`. A key of JSON is a string.

use std::collections::BTreeMap;

use results::record::event::BrokerId;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::port::Assignment;

type AssignmentByTopic = BTreeMap<String, BTreeMap<i32, Vec<BrokerId>>>;

pub(super) fn serialize<S: Serializer>(assignment: &Assignment, to: S) -> Result<S::Ok, S::Error> {
    let mut written = AssignmentByTopic::new();
    for ((topic, partition), replicas) in assignment {
        written.entry(topic.clone()).or_default().insert(*partition, replicas.clone());
    }
    written.serialize(to)
}

pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Assignment, D::Error> {
    let topics = AssignmentByTopic::deserialize(from)?.into_iter();
    let partitions = topics.flat_map(|(topic, partitions)| {
        partitions.into_iter().map(move |(number, replicas)| ((topic.clone(), number), replicas))
    });
    Ok(partitions.collect())
}
