//! What to load the cluster with: [`WorkloadSpec`], written in TOML.
//!
//! Parsing is strict: an unknown key or a value that cannot work is an error that names the key.
//! A spec that parsed is valid; nothing is checked or defaulted later. The specs of
//! `workloads/specs/` are embedded, see [`shipped`].
//!
//! The load's main clients have tables of their own (`[load]` and `[producer]`, `[consumers]`,
//! `[probe]`, `[direct]`); further ones of a kind have names (`[producers.NAME]`, `[groups.NAME]`,
//! `[readers.NAME]`).

mod allowed;
mod backlog;
mod choice;
mod keys;
mod limits;
mod named;
mod offered;
mod payload;
mod phases;
mod shape;
mod size;
mod topics;
mod validate;

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use results::judge::gate::Gate;
use results::record::secret;
use serde::{Deserialize, Serialize};

pub use crate::client::direct::{DirectSpec, EachBrokerSpec};
pub use crate::client::reader::ReaderSpec;
use crate::load::List;
pub use backlog::BacklogSpec;
pub use choice::TopicChoice;
pub use keys::{ChosenKeys, KeyChoice, KeySpec, Partitioner};
pub use named::{NamedGroupSpec, NamedProducerSpec};
pub use payload::Payload;
pub use phases::PhasesSpec;
pub(crate) use shape::Stretches;
pub use shape::{Arrivals, Shape};
pub(crate) use size::SizeDraw;
pub use size::{RecordBytes, Sizes};
pub use topics::{MOST_PARTITIONS, TopicsSpec};
pub(crate) use validate::interval;

/// The workloads that come with kbench: name and TOML text.
pub fn shipped() -> &'static [(&'static str, &'static str)] {
    &[
        ("1k-msg-s", include_str!("../specs/1k-msg-s.toml")),
        ("1k-per-broker", include_str!("../specs/1k-per-broker.toml")),
        ("backlog", include_str!("../specs/backlog.toml")),
        ("bursts", include_str!("../specs/bursts.toml")),
        ("many-topics", include_str!("../specs/many-topics.toml")),
        ("max", include_str!("../specs/max.toml")),
        ("mixed", include_str!("../specs/mixed.toml")),
        ("smoke", include_str!("../specs/smoke.toml")),
        ("three-topics", include_str!("../specs/three-topics.toml")),
    ]
}

/// A workload: what is sent, who reads it, what is probed, for how long.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WorkloadSpec {
    /// Name, as in `--workload NAME`.
    pub name: String,
    /// One sentence for `kbench list`.
    pub description: String,
    /// Bounds that the figures of a run have to keep, as `response.p99<50ms`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub gates: Vec<Gate>,
    /// Topics by number; absent: those of the cluster.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub topics: Option<TopicsSpec>,
    /// What is sent, and how fast.
    pub load: LoadSpec,
    /// The producer's settings.
    pub producer: ProducerSpec,
    /// The consumer group; absent: nobody reads while the load runs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub consumers: Option<ConsumersSpec>,
    /// The acks=1 probe on a topic of its own; absent: no probe.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub probe: Option<ProbeSpec>,
    /// The direct producer on the same topic, which does without librdkafka; absent: none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub direct: Option<DirectSpec>,
    /// Producers with acks=1 that write to a broker each, whoever leads; absent: none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub each_broker: Option<EachBrokerSpec>,
    /// Further producers, by name: checked as the main one is, in no figure of it.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub producers: BTreeMap<String, NamedProducerSpec>,
    /// Further groups, by group id.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub groups: BTreeMap<String, NamedGroupSpec>,
    /// Readers of topics' first records, by name.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub readers: BTreeMap<String, ReaderSpec>,
    /// A backlog that is built on a healthy cluster and read off; absent: groups read all the while.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub backlog: Option<BacklogSpec>,
    /// How long each phase lasts.
    pub phases: PhasesSpec,
}

/// What is sent, and how fast.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LoadSpec {
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
}

impl LoadSpec {
    /// An even load of random bytes whose keys are spread over the partitions.
    pub(crate) fn plain(rate: Rate, record_bytes: usize, keys: u32) -> Self {
        let (shape, arrivals, payload) = Default::default();
        let (record_bytes, keys) = (record_bytes.into(), keys.into());
        Self { rate, shape, arrivals, record_bytes, payload, keys }
    }

    /// The part of it that each of so many topics has.
    pub(crate) fn shared(mut self, topics: usize) -> Self {
        self.rate = self.rate.shared(topics);
        self
    }

    /// Records a second on a cluster of `brokers` that room is made for: the highest rate, and what a small
    /// cluster takes where the load sends as fast as it can.
    pub fn most_per_s(&self, brokers: u32) -> u64 {
        /// A client sends no more records, and no more bytes, on a machine that is shared with brokers.
        const RECORDS: f64 = 200_000.0;
        const BYTES: f64 = 100e6;
        let closed = || (BYTES / self.record_bytes.mean().max(1.0)).clamp(1.0, RECORDS) as u64;
        self.rate.total(brokers).unwrap_or_else(closed)
    }

    /// Whether the rate is one number at all times.
    pub fn is_even(&self) -> bool {
        self.shape.is_constant() && self.arrivals.is_even()
    }
}

/// Records per second, absolute or by the size of the cluster, or as many as the producer takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Rate {
    /// In total, over all partitions.
    PerSecond(u64),
    /// For each broker of the cluster.
    PerBrokerPerSecond(u64),
    /// The next as soon as the producer's queue takes it: a closed loop, whose response times are no latency
    /// at any rate.
    Max,
}

impl Rate {
    /// The part of it that each of so many topics has; at least 1 a second.
    fn shared(self, topics: usize) -> Self {
        let share = |n: u64| (n / (topics as u64).max(1)).max(1);
        match self {
            Self::PerSecond(n) => Self::PerSecond(share(n)),
            Self::PerBrokerPerSecond(n) => Self::PerBrokerPerSecond(share(n)),
            Self::Max => Self::Max,
        }
    }

    /// Records per second in total on a cluster of `brokers`; `None` as many as the producer takes.
    pub fn total(self, brokers: u32) -> Option<u64> {
        match self {
            Self::PerSecond(n) => Some(n),
            Self::PerBrokerPerSecond(n) => Some(n.saturating_mul(u64::from(brokers))),
            Self::Max => None,
        }
    }
}

/// The producer's settings.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ProducerSpec {
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

/// Who must have a record before it is acked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Acks {
    /// Every in-sync replica.
    #[serde(rename = "all")]
    All,
    /// The leader.
    #[serde(rename = "1")]
    Leader,
    /// Nobody: no send ever has a known outcome.
    #[serde(rename = "0")]
    None,
}

impl Acks {
    /// The protocol's number: -1 is all.
    pub fn number(self) -> i16 {
        match self {
            Self::All => -1,
            Self::Leader => 1,
            Self::None => 0,
        }
    }
}

/// Compression of batches.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Compression {
    /// None.
    None,
    /// LZ4.
    Lz4,
    /// gzip.
    Gzip,
    /// Snappy.
    Snappy,
    /// Zstandard.
    Zstd,
}

impl Compression {
    /// The name by which librdkafka knows it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Lz4 => "lz4",
            Self::Gzip => "gzip",
            Self::Snappy => "snappy",
            Self::Zstd => "zstd",
        }
    }
}

/// The consumer group.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ConsumersSpec {
    /// Group id.
    pub group: String,
    /// Number of members.
    pub members: u16,
    /// Which topics it reads; the first in any case.
    #[serde(default, skip_serializing_if = "TopicChoice::is_first")]
    pub topics: TopicChoice,
    /// Time between two commits of a member.
    #[serde(with = "humantime_serde")]
    pub commit_interval: Duration,
    /// Further settings of librdkafka, by its own names.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub settings: BTreeMap<String, String>,
}

/// The acks=1 probe and the read probe, on a topic of their own.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ProbeSpec {
    /// Records per second *to each partition*.
    pub per_second: u64,
    /// Bytes of a record's value, kbench's header included.
    pub record_bytes: usize,
    /// Time between two reads of a partition's first record; absent: no reads.
    #[serde(default, with = "humantime_serde", skip_serializing_if = "Option::is_none")]
    pub read_interval: Option<Duration>,
}

/// A spec that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum SpecError {
    /// Not TOML, or not a workload. The source knows the span; its text has line and column.
    #[error("not a workload: {0}")]
    Syntax(#[source] Box<toml::de::Error>),
    /// A value that cannot work.
    #[error("{key} = {value}: {why}")]
    Impossible {
        /// The key, with its table.
        key: String,
        /// Its value as written.
        value: String,
        /// What is wrong and what would be right.
        why: String,
    },
}

/// A further client, or clients, with a table of its own.
pub(crate) trait NamedSpec {
    /// Refuses values that cannot work; `table` is the table's key.
    fn validate(&self, table: &str) -> Result<(), SpecError>;

    /// Adds the clients to the load's list; `name` is the table's.
    fn add_to(&self, name: &str, list: &mut List<'_>);
}

impl WorkloadSpec {
    /// The tables of further clients: kind, name, and what each says.
    pub(crate) fn named(&self) -> Vec<(&'static str, &str, &dyn NamedSpec)> {
        fn tables<'a, T: NamedSpec>(
            kind: &'static str,
            of_kind: &'a BTreeMap<String, T>,
        ) -> impl Iterator<Item = (&'static str, &'a str, &'a dyn NamedSpec)> {
            of_kind.iter().map(move |(name, spec)| (kind, name.as_str(), spec as &dyn NamedSpec))
        }
        tables("producers", &self.producers)
            .chain(tables("groups", &self.groups))
            .chain(tables("readers", &self.readers))
            .collect()
    }

    /// The settings of librdkafka, each with the key of its table.
    fn settings(&self) -> Vec<(String, &BTreeMap<String, String>)> {
        let groups =
            self.groups.iter().map(|(id, group)| (format!("groups.{id}"), &group.settings));
        let producers = self.producers.iter();
        let producers = producers.map(|(name, one)| (format!("producers.{name}"), &one.settings));
        let main = self.consumers.iter().map(|group| ("consumers".to_owned(), &group.settings));
        let first = [("producer".to_owned(), &self.producer.settings)];
        first.into_iter().chain(main).chain(groups).chain(producers).collect()
    }

    /// What each producer sends and how, with the key of its table.
    fn producing(&self) -> Vec<(String, LoadSpec, ProducerSpec)> {
        let main = ("producer".to_owned(), self.load.clone(), self.producer.clone());
        let named = self.producers.iter().map(|(name, one)| {
            let (load, producer) = one.tables();
            (format!("producers.{name}"), load, producer)
        });
        std::iter::once(main).chain(named).collect()
    }

    /// Takes the secrets out of the clients' settings; the keys of those that were there.
    pub fn redact(&mut self) -> Vec<String> {
        let groups = self.groups.values_mut().map(|group| &mut group.settings);
        let producers = self.producers.values_mut().map(|producer| &mut producer.settings);
        let main = self.consumers.iter_mut().map(|consumers| &mut consumers.settings);
        let topics = self.topics.iter_mut().map(|topics| &mut topics.config);
        let all = main.chain(groups).chain(producers).chain([&mut self.producer.settings]);
        let all = all.chain(topics);
        all.flat_map(secret::redact).collect()
    }

    /// Parses and validates `text`.
    pub fn parse(text: &str) -> Result<Self, SpecError> {
        let spec: Self = toml::from_str(text).map_err(|e| SpecError::Syntax(Box::new(e)))?;
        spec.validate_written()?;
        Ok(spec)
    }

    /// With the files read that it names, which are in `folder`.
    ///
    /// # Errors
    /// A file that is not there or has something else in it, and what [`validate`](Self::validate) refuses.
    pub fn resolved(mut self, folder: Option<&Path>) -> Result<Self, SpecError> {
        let main = [("load".to_owned(), &mut self.load.record_bytes)].into_iter();
        let named = self.producers.iter_mut();
        let named = named.map(|(name, one)| (format!("producers.{name}"), &mut one.record_bytes));
        for (table, bytes) in main.chain(named) {
            let Some(file) = bytes.samples() else { continue };
            let sizes = size::read_samples(folder, file).map_err(|why| SpecError::Impossible {
                key: format!("{table}.record_bytes.samples"),
                value: format!("\"{file}\""),
                why,
            })?;
            *bytes = RecordBytes::Drawn(sizes);
        }
        self.validate()?;
        Ok(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text() -> &'static str {
        shipped()[0].1
    }

    #[test]
    fn every_shipped_spec_is_valid_and_named_as_its_file() {
        assert_eq!(std::fs::read_dir("specs").unwrap().count(), shipped().len());
        for (name, text) in shipped() {
            let spec = WorkloadSpec::parse(text).unwrap_or_else(|e| panic!("{name}: {e}"));
            assert_eq!(spec.name, *name);
            let again = toml::to_string(&spec).unwrap();
            assert_eq!(WorkloadSpec::parse(&again).unwrap(), spec);
        }
    }

    #[test]
    fn a_typo_is_told_with_line_column_and_allowed_keys() {
        let error = WorkloadSpec::parse(&text().replace("record_bytes = 1024", "record_byts = 1"));
        let SpecError::Syntax(source) = error.unwrap_err() else { panic!("not a syntax error") };
        let words = source.to_string();
        assert!(words.contains("line 7, column 1"), "{words}");
        assert!(words.contains("`record_byts`") && words.contains("`record_bytes`"), "{words}");
        assert!(source.span().is_some());
    }

    #[test]
    fn a_rate_per_broker_grows_with_the_cluster() {
        assert_eq!(Rate::PerSecond(1000).total(3), Some(1000));
        assert_eq!(Rate::PerBrokerPerSecond(1000).total(3), Some(3000));
        assert_eq!(Rate::Max.total(3), None);
        let most = |bytes| LoadSpec::plain(Rate::Max, bytes, 1).most_per_s(3);
        assert_eq!((most(100), most(1000), most(20_000_000)), (200_000, 100_000, 5));
    }
}
