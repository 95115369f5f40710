//! Further producers and groups.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{
    Acks, Arrivals, Compression, ConsumersSpec, KeySpec, LoadSpec, NamedSpec, Payload,
    ProducerSpec, Rate, RecordBytes, Shape, SpecError, TopicChoice, offered, validate,
};
use crate::load::List;

/// A further producer: what it sends, and its settings.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NamedProducerSpec {
    /// Which topics it writes to. Several have a producer each, and each an equal share of the rate.
    #[serde(default, skip_serializing_if = "TopicChoice::is_first")]
    pub topics: TopicChoice,
    /// Records per second; the highest where the rate has a shape.
    pub rate: Rate,
    /// How the rate goes with time.
    #[serde(default, skip_serializing_if = "Shape::is_constant")]
    pub shape: Shape,
    /// How records follow each other.
    #[serde(default, skip_serializing_if = "Arrivals::is_even")]
    pub arrivals: Arrivals,
    /// Bytes of a record's value, kbench's header included.
    pub record_bytes: RecordBytes,
    /// What records are filled with.
    #[serde(default, skip_serializing_if = "Payload::is_default")]
    pub payload: Payload,
    /// Which keys records have.
    pub keys: KeySpec,
    /// Who must have a record before it is acked.
    pub acks: Acks,
    /// Whether the broker removes duplicates of retries.
    pub idempotence: bool,
    /// Compression of batches.
    pub compression: Compression,
    /// Further settings of librdkafka, by its own names.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub settings: BTreeMap<String, String>,
}

impl NamedProducerSpec {
    /// What it sends, and how fast.
    pub fn load(&self) -> LoadSpec {
        self.tables().0
    }

    /// The two tables of the main producer that say the same.
    pub(super) fn tables(&self) -> (LoadSpec, ProducerSpec) {
        let Self { rate, shape, arrivals, record_bytes, payload, keys, .. } = self.clone();
        let load = LoadSpec { rate, shape, arrivals, record_bytes, payload, keys };
        let Self { acks, idempotence, compression, settings, .. } = self.clone();
        (load, ProducerSpec { acks, idempotence, compression, settings })
    }
}

/// A further group; its table's name is its group id.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NamedGroupSpec {
    /// Which topics it reads; each member subscribes to all of them.
    #[serde(default, skip_serializing_if = "TopicChoice::is_first")]
    pub topics: TopicChoice,
    /// Number of members.
    pub members: u16,
    /// Time between two commits of a member.
    #[serde(with = "humantime_serde")]
    pub commit_interval: Duration,
    /// Further settings of librdkafka, by its own names.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub settings: BTreeMap<String, String>,
}

impl NamedGroupSpec {
    /// The table `[consumers]` that says the same.
    fn table(&self, group: &str) -> ConsumersSpec {
        let Self { topics, members, commit_interval, settings } = self.clone();
        ConsumersSpec { group: group.to_owned(), members, topics, commit_interval, settings }
    }
}

impl NamedSpec for NamedProducerSpec {
    fn validate(&self, table: &str) -> Result<(), SpecError> {
        let (load, producer) = self.tables();
        offered::load(table, &load)?;
        validate::producer(table, &producer, &load)
    }

    fn add_to(&self, name: &str, list: &mut List<'_>) {
        let (load, producer) = self.tables();
        list.producers(name, &self.topics, &load, &producer);
    }
}

impl NamedSpec for NamedGroupSpec {
    fn validate(&self, table: &str) -> Result<(), SpecError> {
        // The name is the group's id, and has been looked at.
        validate::group(table, &self.table(""))
    }

    fn add_to(&self, name: &str, list: &mut List<'_>) {
        list.group(&self.table(name));
    }
}
