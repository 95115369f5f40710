//! What to load the cluster with: [`WorkloadSpec`], written in TOML.
//!
//! Parsing is strict: an unknown key or a value that cannot work is an error that names the key.
//! A spec that parsed is valid; nothing is checked or defaulted later. The specs of
//! `workloads/specs/` are embedded, see [`shipped`].

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::record::HEADER_BYTES;

/// The workloads that come with kbench: name and TOML text.
pub fn shipped() -> &'static [(&'static str, &'static str)] {
    &[
        ("1k-msg-s", include_str!("../specs/1k-msg-s.toml")),
        ("1k-per-broker", include_str!("../specs/1k-per-broker.toml")),
        ("smoke", include_str!("../specs/smoke.toml")),
    ]
}

/// A workload: what is sent, who reads it, what is probed, for how long.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WorkloadSpec {
    /// Name, as in `--workload NAME`.
    pub name: String,
    /// One sentence for `kbench list`.
    pub description: String,
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
    /// How long each phase lasts.
    pub phases: PhasesSpec,
}

/// What is sent, and how fast.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LoadSpec {
    /// Records per second.
    pub rate: Rate,
    /// Bytes of a record's value, kbench's header included.
    pub record_bytes: usize,
    /// Number of different keys.
    pub keys: u32,
}

/// Records per second, absolute or by the size of the cluster.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Rate {
    /// In total, over all partitions.
    PerSecond(u64),
    /// For each broker of the cluster.
    PerBrokerPerSecond(u64),
}

impl Rate {
    /// Records per second in total on a cluster of `brokers`.
    pub fn total(self, brokers: u32) -> u64 {
        match self {
            Self::PerSecond(n) => n,
            Self::PerBrokerPerSecond(n) => n.saturating_mul(u64::from(brokers)),
        }
    }

    fn written(self) -> (&'static str, u64) {
        match self {
            Self::PerSecond(n) => ("load.rate.per_second", n),
            Self::PerBrokerPerSecond(n) => ("load.rate.per_broker_per_second", n),
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
}

impl Compression {
    /// The name by which librdkafka knows it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Lz4 => "lz4",
            Self::Gzip => "gzip",
            Self::Snappy => "snappy",
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

/// How long each phase lasts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PhasesSpec {
    /// Load that is tagged as warm-up.
    #[serde(with = "humantime_serde")]
    pub warm_up: Duration,
    /// Load on a healthy cluster before the first fault.
    #[serde(with = "humantime_serde")]
    pub baseline: Duration,
    /// Length of the load after the warm-up when there are no faults.
    #[serde(with = "humantime_serde")]
    pub duration: Duration,
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

impl WorkloadSpec {
    /// Parses and validates `text`.
    pub fn parse(text: &str) -> Result<Self, SpecError> {
        let spec: Self = toml::from_str(text).map_err(|e| SpecError::Syntax(Box::new(e)))?;
        spec.validate()?;
        Ok(spec)
    }

    /// Refuses values that cannot work, naming the key.
    pub fn validate(&self) -> Result<(), SpecError> {
        require(!self.name.trim().is_empty(), "name", "\"\"", "a workload needs a name")?;
        self.validate_load()?;
        self.validate_producer()?;
        self.validate_readers()?;
        let phases = [("baseline", self.phases.baseline), ("duration", self.phases.duration)];
        for (key, value) in phases {
            let why = "a phase without time measures nothing; give it at least \"1s\"";
            require(value >= Duration::from_secs(1), &format!("phases.{key}"), shown(value), why)?;
        }
        Ok(())
    }

    fn validate_load(&self) -> Result<(), SpecError> {
        let (key, rate) = self.load.rate.written();
        let why = "must be from 1 to 1000000 records per second";
        require((1..=1_000_000).contains(&rate), key, rate, why)?;
        record_size("load.record_bytes", self.load.record_bytes)?;
        let why = "must be from 1 to 1000000 keys; each partition needs one of its own";
        require((1..=1_000_000).contains(&self.load.keys), "load.keys", self.load.keys, why)
    }

    fn validate_producer(&self) -> Result<(), SpecError> {
        let producer = &self.producer;
        let why = "needs producer.acks = \"all\"; set idempotence = false for fewer acks";
        let possible = !producer.idempotence || producer.acks == Acks::All;
        require(possible, "producer.idempotence", true, why)?;
        settings("producer.settings", &producer.settings)
    }

    fn validate_readers(&self) -> Result<(), SpecError> {
        if let Some(c) = &self.consumers {
            let why = "a group needs a name";
            require(!c.group.trim().is_empty(), "consumers.group", "\"\"", why)?;
            let why = "must be from 1 to 100; remove [consumers] for a load that nobody reads";
            require((1..=100).contains(&c.members), "consumers.members", c.members, why)?;
            interval("consumers.commit_interval", c.commit_interval)?;
            settings("consumers.settings", &c.settings)?;
        }
        if let Some(p) = &self.probe {
            let why = "must be from 1 to 1000 records per second and partition; \
                       remove [probe] for a load without probe";
            require((1..=1000).contains(&p.per_second), "probe.per_second", p.per_second, why)?;
            record_size("probe.record_bytes", p.record_bytes)?;
            if let Some(read) = p.read_interval {
                interval("probe.read_interval", read)?;
            }
        }
        Ok(())
    }
}

/// Largest record: the brokers' `message.max.bytes` is 1048588 by default, batch overhead included.
const MAX_RECORD_BYTES: usize = 1_000_000;

/// Shortest interval: librdkafka waits in whole milliseconds, and 10 of them are exact enough.
const MIN_INTERVAL: Duration = Duration::from_millis(10);

fn record_size(key: &str, bytes: usize) -> Result<(), SpecError> {
    let why = format!(
        "must be from {HEADER_BYTES} (kbench's header) to {MAX_RECORD_BYTES} (what brokers take)"
    );
    require((HEADER_BYTES..=MAX_RECORD_BYTES).contains(&bytes), key, bytes, &why)
}

/// Refuses settings that are kbench's own to make: a second place for one is a contradiction.
fn settings(table: &str, settings: &BTreeMap<String, String>) -> Result<(), SpecError> {
    for (name, value) in settings {
        let owner = match name.as_str() {
            "acks" | "request.required.acks" => "producer.acks",
            "enable.idempotence" => "producer.idempotence",
            "compression.type" | "compression.codec" => "producer.compression",
            "group.id" => "consumers.group",
            "bootstrap.servers" | "metadata.broker.list" => "the cluster",
            "client.id"
            | "statistics.interval.ms"
            | "enable.auto.commit"
            | "auto.offset.reset"
            | "transactional.id"
            | "enable.gapless.guarantee" => "kbench itself",
            _ => continue,
        };
        let why = format!("is set by {owner}; remove it");
        require(false, &format!("{table}.{name:?}"), format!("{value:?}"), &why)?;
    }
    Ok(())
}

fn interval(key: &str, value: Duration) -> Result<(), SpecError> {
    let why = format!(
        "must be at least \"{}\"",
        humantime_serde::re::humantime::format_duration(MIN_INTERVAL)
    );
    require(value >= MIN_INTERVAL, key, shown(value), &why)
}

fn shown(value: Duration) -> String {
    format!("\"{}\"", humantime_serde::re::humantime::format_duration(value))
}

fn require(
    holds: bool,
    key: &str,
    value: impl std::fmt::Display,
    why: &str,
) -> Result<(), SpecError> {
    if holds {
        return Ok(());
    }
    let value = value.to_string();
    Err(SpecError::Impossible { key: key.into(), value, why: why.into() })
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
    fn impossible_values_name_their_key() {
        for (from, to, key) in [
            ("per_second = 1000", "per_second = 0", "load.rate.per_second"),
            ("record_bytes = 1024", "record_bytes = 48", "load.record_bytes"),
            ("record_bytes = 1024", "record_bytes = 2000000", "load.record_bytes"),
            ("keys = 1000", "keys = 0", "load.keys"),
            ("members = 3", "members = 0", "consumers.members"),
            ("group = \"analytics\"", "group = \"\"", "consumers.group"),
            ("\"1s\"", "\"0s\"", "consumers.commit_interval"),
            ("per_second = 20", "per_second = 0", "probe.per_second"),
            ("record_bytes = 100\n", "record_bytes = 10\n", "probe.record_bytes"),
            ("\"50ms\"", "\"1ms\"", "probe.read_interval"),
            ("\"60s\"", "\"0s\"", "phases.duration"),
            ("acks = \"all\"", "acks = \"1\"", "producer.idempotence"),
            (
                "compression = \"none\"",
                "compression = \"none\"\nsettings = { \"acks\" = \"1\" }",
                "producer.settings.\"acks\"",
            ),
        ] {
            assert!(text().contains(from), "{from}");
            match WorkloadSpec::parse(&text().replacen(from, to, 1)) {
                Err(SpecError::Impossible { key: found, .. }) => assert_eq!(found, key),
                other => panic!("{to}: {other:?}"),
            }
        }
    }

    #[test]
    fn a_rate_per_broker_grows_with_the_cluster() {
        assert_eq!(Rate::PerSecond(1000).total(3), 1000);
        assert_eq!(Rate::PerBrokerPerSecond(1000).total(3), 3000);
    }
}
