//! What a workload cannot be: values that cannot work, named by their keys.

use std::collections::BTreeMap;
use std::time::Duration;

use rdkafka::ClientConfig;
use rdkafka::error::KafkaError;
use results::record::{line, secret};

use super::allowed::{is_allowed, is_known};
use super::{
    Acks, ConsumersSpec, LoadSpec, ProbeSpec, ProducerSpec, SpecError, TopicsSpec, WorkloadSpec,
    limits, offered,
};

/// Names of producers that kbench starts by itself.
const RESERVED: [&str; 4] = ["main", "probe", "killable", "direct"];

impl WorkloadSpec {
    /// Refuses values that cannot work, naming the key; a file that was not read as well.
    pub fn validate(&self) -> Result<(), SpecError> {
        let why = "is read with the workload's file, of which a run has the sizes (weighted)";
        let loads = [("load".to_owned(), &self.load.record_bytes)].into_iter();
        let named = self.producers.iter();
        let named = named.map(|(name, one)| (format!("producers.{name}"), &one.record_bytes));
        for (table, bytes) in loads.chain(named) {
            let unread = bytes.samples();
            let key = format!("{table}.record_bytes.samples");
            require(unread.is_none(), &key, format!("\"{}\"", unread.unwrap_or_default()), why)?;
        }
        self.validate_written()
    }

    /// The same, but that files are to be read yet.
    pub(super) fn validate_written(&self) -> Result<(), SpecError> {
        name("name", &self.name)?;
        self.topics.as_ref().map_or(Ok(()), TopicsSpec::validate)?;
        offered::load("load", &self.load)?;
        producer("producer", &self.producer, &self.load)?;
        if let Some(spec) = &self.consumers {
            name("consumers.group", &spec.group)?;
            group("consumers", spec)?;
        }
        self.probe.as_ref().map_or(Ok(()), probe)?;
        let each = self.each_broker.as_ref().map(|each| ("each_broker", each.per_second));
        let direct_rates = self.direct.as_ref().map(|direct| ("direct", direct.per_second));
        direct_rates.into_iter().chain(each).try_for_each(direct)?;
        self.validate_named()?;
        self.validate_choices()?;
        self.phases.validate()?;
        self.validate_backlog()?;
        self.count_clients()
    }

    /// Refuses what librdkafka refuses of the settings that take trust, once they have it: it acts on some
    /// when it is told of them.
    ///
    /// # Errors
    /// The setting, its value, and why.
    pub fn validate_trusted(&self) -> Result<(), SpecError> {
        for (table, settings) in self.settings() {
            let others = settings.iter().filter(|(name, _)| !is_allowed(name));
            others.into_iter().try_for_each(|(name, value)| taken(&table, name, value))?;
        }
        Ok(())
    }

    fn validate_named(&self) -> Result<(), SpecError> {
        let why = "a producer of kbench's own is called so; choose another name";
        let mut producers = self.producers.keys();
        let reserved = producers.find(|name| RESERVED.contains(&name.as_str()));
        require(reserved.is_none(), "producers", reserved.map_or("", |name| name), why)?;
        let why = "the group of [consumers] has this id; choose another name";
        let main = self.consumers.as_ref().map(|consumers| &consumers.group);
        let twice = main.filter(|group| self.groups.contains_key(*group));
        require(twice.is_none(), "groups", twice.map_or("", |name| name), why)?;
        for (kind, name, spec) in self.named() {
            spec.validate(&named(kind, name)?)?;
        }
        Ok(())
    }
}

/// Refuses a name that is no part of a file's name.
fn name(key: &str, name: &str) -> Result<(), SpecError> {
    let why = line::check_name(name).err().map(|why| format!("it {why}; choose another name"));
    require(why.is_none(), key, format!("\"{name}\""), why.as_deref().unwrap_or_default())
}

/// The key of a named client's table. Names are parts of file names.
fn named(kind: &str, name: &str) -> Result<String, SpecError> {
    let allowed = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    let why = "a name is made of a-z, 0-9 and -, and begins with a letter";
    let good = name.chars().all(allowed)
        && name.starts_with(|c: char| c.is_ascii_lowercase())
        && name.len() <= line::MOST_NAME_BYTES;
    require(good, kind, format!("\"{name}\""), why)?;
    Ok(format!("{kind}.{name}"))
}

pub(super) fn producer(
    table: &str,
    producer: &ProducerSpec,
    load: &LoadSpec,
) -> Result<(), SpecError> {
    let why = format!("needs {table}.acks = \"all\"; set idempotence = false for fewer acks");
    let possible = !producer.idempotence || producer.acks == Acks::All;
    require(possible, &format!("{table}.idempotence"), true, &why)?;
    settings(table, &producer.settings)?;
    offered::sendable(table, producer, load)
}

pub(super) fn group(table: &str, group: &ConsumersSpec) -> Result<(), SpecError> {
    let why = format!("must be from 1 to 100; remove [{table}] for a load that it does not read");
    let members = group.members;
    require((1..=100).contains(&members), &format!("{table}.members"), members, &why)?;
    interval(&format!("{table}.commit_interval"), group.commit_interval)?;
    settings(table, &group.settings)
}

fn probe(probe: &ProbeSpec) -> Result<(), SpecError> {
    let why = "must be from 1 to 1000 records per second and partition; \
               remove [probe] for a load without probe";
    require((1..=1000).contains(&probe.per_second), "probe.per_second", probe.per_second, why)?;
    offered::record_size("probe.record_bytes", probe.record_bytes)?;
    probe.read_interval.map_or(Ok(()), |read| interval("probe.read_interval", read))
}

/// A table of direct producers, and their rate.
fn direct((table, per_second): (&str, u64)) -> Result<(), SpecError> {
    let why = format!(
        "must be from 1 to 20 records per second and partition; remove [{table}] for a load without"
    );
    let key = format!("{table}.per_second");
    require((1..=20).contains(&per_second), &key, per_second, &why)
}

/// Shortest interval: librdkafka waits in whole milliseconds, and 10 of them are exact enough.
const MIN_INTERVAL: Duration = Duration::from_millis(10);

/// Refuses settings that are kbench's own to make, since a second place for one is a contradiction, and
/// those that librdkafka does not take.
fn settings(table: &str, settings: &BTreeMap<String, String>) -> Result<(), SpecError> {
    for (name, value) in settings {
        let key = format!("{table}.settings.\"{name}\"");
        let shown = format!("\"{}\"", secret::shown(name, value));
        if let Some(why) = [name, value].into_iter().find_map(|text| line::check(text).err()) {
            return require(false, &key, shown, &format!("its name or value {why}"));
        }
        let owner = match name.as_str() {
            "acks" | "request.required.acks" => &format!("{table}.acks"),
            "enable.idempotence" => &format!("{table}.idempotence"),
            "compression.type" | "compression.codec" => &format!("{table}.compression"),
            "group.id" => "the workload's name of the group",
            "bootstrap.servers" | "metadata.broker.list" => "the cluster",
            "client.id"
            | "statistics.interval.ms"
            | "enable.auto.commit"
            | "auto.commit.enable"
            | "auto.offset.reset"
            | "transactional.id"
            | "enable.gapless.guarantee" => "kbench itself",
            name if is_allowed(name) => {
                taken(table, name, value)?;
                continue;
            }
            name if is_known(name) => continue,
            _ => {
                return require(
                    false,
                    &key,
                    shown,
                    "is refused by librdkafka: it knows no such setting",
                );
            }
        };
        let why = format!("is set by {owner}; remove it");
        require(false, &key, shown, &why)?;
    }
    Ok(())
}

/// Refuses a setting whose value librdkafka refuses.
fn taken(table: &str, name: &str, value: &str) -> Result<(), SpecError> {
    let key = format!("{table}.settings.\"{name}\"");
    let shown = format!("\"{}\"", secret::shown(name, value));
    let made = ClientConfig::new().set(name, value).create_native_config();
    match made {
        Err(KafkaError::ClientConfig(_, why, ..)) => {
            let why = format!("is refused by librdkafka: {}", why.trim_end_matches('.'));
            require(false, &key, shown, &why)
        }
        _ => Ok(()),
    }
}

/// Refuses an interval that is too short, or too long.
pub(crate) fn interval(key: &str, value: Duration) -> Result<(), SpecError> {
    limits::duration(key, value)?;
    let why = format!(
        "must be at least \"{}\"",
        humantime_serde::re::humantime::format_duration(MIN_INTERVAL)
    );
    require(value >= MIN_INTERVAL, key, shown(value), &why)
}

pub(super) fn shown(value: Duration) -> String {
    format!("\"{}\"", humantime_serde::re::humantime::format_duration(value))
}

pub(super) fn require(
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
    use crate::spec::{Rate, shipped};

    fn text() -> &'static str {
        shipped()[0].1
    }

    #[test]
    fn impossible_values_name_their_key() {
        for (from, to, key) in [
            ("per_second = 1000", "per_second = 0", "load.rate.per_second"),
            ("record_bytes = 1024", "record_bytes = 48", "load.record_bytes"),
            ("record_bytes = 1024", "record_bytes = 20000001", "load.record_bytes"),
            ("keys = 1000", "keys = 0", "load.keys"),
            ("members = 3", "members = 0", "consumers.members"),
            ("group = \"analytics\"", "group = \"\"", "consumers.group"),
            ("\"1s\"", "\"0s\"", "consumers.commit_interval"),
            ("per_second = 20", "per_second = 0", "probe.per_second"),
            ("record_bytes = 100\n", "record_bytes = 10\n", "probe.record_bytes"),
            ("\"50ms\"", "\"1ms\"", "probe.read_interval"),
            ("per_second = 4\n", "per_second = 21\n", "direct.per_second"),
            (
                "per_second = 4\n",
                "per_second = 4\n[each_broker]\nper_second = 0\n",
                "each_broker.per_second",
            ),
            ("\"60s\"", "\"0s\"", "phases.duration"),
            ("acks = \"all\"", "acks = \"1\"", "producer.idempotence"),
            (
                "compression = \"none\"",
                "compression = \"none\"\nsettings = { \"acks\" = \"1\" }",
                "producer.settings.\"acks\"",
            ),
            (
                "compression = \"none\"",
                "compression = \"none\"\nsettings = { \"linger.ms\" = \"soon\" }",
                "producer.settings.\"linger.ms\"",
            ),
            (
                "compression = \"none\"",
                "compression = \"none\"\nsettings = { \"lingr.ms\" = \"5\" }",
                "producer.settings.\"lingr.ms\"",
            ),
            (
                "group = \"analytics\"",
                "group = \"analytics\"\nsettings = { \"session.timeout.ms\" = \"0\" }",
                "consumers.settings.\"session.timeout.ms\"",
            ),
        ] {
            assert!(text().contains(from), "{from}");
            match WorkloadSpec::parse(&text().replacen(from, to, 1)) {
                Err(SpecError::Impossible { key: found, .. }) => assert_eq!(found, key),
                other => panic!("{to}: {other:?}"),
            }
        }
    }

    /// One more client of each kind.
    const NAMED: &str = r#"
[producers.bulk]
rate = { per_broker_per_second = 10 }
record_bytes = 100
keys = 90
acks = "1"
idempotence = false
compression = "lz4"

[groups.audit]
members = 2
commit_interval = "2s"

[readers.oldest]
interval = "250ms"
"#;

    #[test]
    fn further_clients_have_names_and_the_main_ones_keys_below_them() {
        let text = format!("{}{NAMED}", text());
        let spec = WorkloadSpec::parse(&text).unwrap();
        let bulk = &spec.producers["bulk"];
        assert_eq!((bulk.rate, bulk.acks), (Rate::PerBrokerPerSecond(10), Acks::Leader));
        let names: Vec<_> = spec.named().iter().map(|(kind, name, _)| (*kind, *name)).collect();
        assert_eq!(names, [("producers", "bulk"), ("groups", "audit"), ("readers", "oldest")]);
        let again = toml::to_string(&spec).unwrap();
        assert_eq!(WorkloadSpec::parse(&again).unwrap(), spec);
        for (from, to, key) in [
            ("second = 10 ", "second = 0 ", "producers.bulk.rate.per_broker_per_second"),
            ("keys = 90", "keys = 0", "producers.bulk.keys"),
            (
                "\"1\"\nidempotence = false",
                "\"1\"\nidempotence = true",
                "producers.bulk.idempotence",
            ),
            ("members = 2", "members = 101", "groups.audit.members"),
            ("\"250ms\"", "\"1ms\"", "readers.oldest.interval"),
            ("producers.bulk", "producers.killable", "producers"),
            ("producers.bulk", "producers.\"../bulk\"", "producers"),
            ("groups.audit", "groups.analytics", "groups"),
            ("[readers.oldest]", "[readers.\"\"]", "readers"),
        ] {
            assert!(text.contains(from), "{from}");
            match WorkloadSpec::parse(&text.replacen(from, to, 1)) {
                Err(SpecError::Impossible { key: found, .. }) => assert_eq!(found, key),
                other => panic!("{to}: {other:?}"),
            }
        }
        let typo = text.replace("interval = \"250ms\"", "interval = \"250ms\"\ntopic = \"a\"");
        assert!(matches!(WorkloadSpec::parse(&typo), Err(SpecError::Syntax(_))));
    }
}
