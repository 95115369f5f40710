//! Driver files of the OpenMessaging Benchmark, of its driver for Kafka: settings of Java's clients, as librdkafka has them.

use std::collections::BTreeMap;

use workloads::{Acks, Compression, SpecError, WorkloadSpec};

use super::flat_yaml;

/// The class of the driver for Kafka.
const CLASS: &str = "io.openmessaging.benchmark.driver.kafka.KafkaBenchmarkDriver";

/// Settings that librdkafka has by another name.
const RENAMED: [(&str, &str); 4] = [
    ("max.request.size", "message.max.bytes"),
    ("fetch.max.wait.ms", "fetch.wait.max.ms"),
    ("send.buffer.bytes", "socket.send.buffer.bytes"),
    ("receive.buffer.bytes", "socket.receive.buffer.bytes"),
];

/// Settings of consumers that are kbench's own to make.
const OF_KBENCH: [&str; 3] = ["auto.offset.reset", "enable.auto.commit", "group.id"];

/// A driver file.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct OmbDriver {
    replication_factor: u32,
    topic: BTreeMap<String, String>,
    common: BTreeMap<String, String>,
    producer: BTreeMap<String, String>,
    consumer: BTreeMap<String, String>,
}

impl OmbDriver {
    /// Reads a file.
    ///
    /// # Errors
    /// What is not such a file, or of another system's driver.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let mut values = flat_yaml::read(text)?;
        let mut take = |key: &str| values.remove(key).map(|(value, _)| value).unwrap_or_default();
        let class = take("driverClass");
        if class != CLASS {
            return Err(format!(
                "driverClass: {class}: kbench is for Kafka, whose driver is {CLASS}"
            ));
        }
        // Of the benchmark's own lists.
        take("name");
        let factor = take("replicationFactor");
        let replication_factor =
            factor.parse().map_err(|_| format!("replicationFactor: {factor}: not a number"))?;
        let mut properties = |key: &str| properties(key, &take(key));
        let read = Self {
            replication_factor,
            topic: properties("topicConfig")?,
            common: properties("commonConfig")?,
            producer: properties("producerConfig")?,
            consumer: properties("consumerConfig")?,
        };
        match values.into_iter().next() {
            Some((key, (_, line))) => {
                Err(format!("line {line}: `{key}` is no key of a driver for Kafka"))
            }
            None => Ok(read),
        }
    }

    /// Makes a workload's clients and topics as the driver does; what they have otherwise is added to the notes.
    ///
    /// # Errors
    /// Values that no producer has.
    pub(super) fn apply(
        &self,
        spec: &mut WorkloadSpec,
        notes: &mut Vec<String>,
    ) -> Result<(), String> {
        if let Some(topics) = &mut spec.topics {
            topics.replication_factor = self.replication_factor;
            topics.config.clone_from(&self.topic);
        }
        let mut producer = self.producer.clone();
        spec.producer.acks = match producer.remove("acks").as_deref() {
            // Java's default since Kafka 3.0.
            None | Some("all" | "-1") => Acks::All,
            Some("1") => Acks::Leader,
            Some("0") => Acks::None,
            Some(other) => return Err(format!("acks={other}: all, 1 or 0")),
        };
        let in_flight = producer.get("max.in.flight.requests.per.connection");
        let in_flight = in_flight.and_then(|most| most.parse::<u32>().ok()).unwrap_or(5);
        spec.producer.idempotence = match producer.remove("enable.idempotence").as_deref() {
            // Java's default, where nothing else contradicts it.
            None => spec.producer.acks == Acks::All && in_flight <= 5,
            Some(value) => value == "true",
        };
        spec.producer.compression = match producer.remove("compression.type").as_deref() {
            None | Some("none") => Compression::None,
            Some("lz4") => Compression::Lz4,
            Some("gzip") => Compression::Gzip,
            Some("snappy") => Compression::Snappy,
            Some("zstd") => Compression::Zstd,
            Some(other) => return Err(format!("compression.type={other}: there is no such codec")),
        };
        let mut common = self.common.clone();
        if let Some(servers) = common.remove("bootstrap.servers") {
            notes.push(format!(
                "bootstrap.servers: {servers}: --bootstrap-server names a cluster that runs already"
            ));
        }
        let all = common.iter().chain(&producer).map(|(name, value)| (&**name, &**value));
        let set = taken(spec, all, notes, |spec| &mut spec.producer.settings);
        spec.producer.settings = set;
        if spec.consumers.is_some() {
            let own = self.consumer.iter().filter(|(name, _)| !OF_KBENCH.contains(&name.as_str()));
            let all = common.iter().chain(own).map(|(name, value)| (&**name, &**value));
            let set = taken(spec, all, notes, settings_of_consumers);
            spec.groups.values_mut().for_each(|group| group.settings.clone_from(&set));
            *settings_of_consumers(spec) = set;
        }
        Ok(())
    }
}

fn settings_of_consumers(spec: &mut WorkloadSpec) -> &mut BTreeMap<String, String> {
    let consumers = spec.consumers.get_or_insert_with(|| workloads::ConsumersSpec {
        group: "sub-000".to_owned(),
        members: 1,
        topics: workloads::TopicChoice::First,
        commit_interval: std::time::Duration::from_secs(1),
        settings: BTreeMap::new(),
    });
    &mut consumers.settings
}

/// The settings that librdkafka takes, by its names; the others are noted with the reason.
fn taken<'a>(
    spec: &WorkloadSpec,
    settings: impl Iterator<Item = (&'a str, &'a str)>,
    notes: &mut Vec<String>,
    table: impl Fn(&mut WorkloadSpec) -> &mut BTreeMap<String, String>,
) -> BTreeMap<String, String> {
    let mut set = BTreeMap::new();
    for (java, value) in settings {
        let (name, value) = match java {
            "buffer.memory" => {
                let kbytes = value
                    .parse::<u64>()
                    .map_or(value.to_owned(), |bytes| (bytes / 1024).to_string());
                ("queue.buffering.max.kbytes", kbytes)
            }
            _ => {
                let renamed = RENAMED.iter().find(|(of_java, _)| *of_java == java);
                (renamed.map_or(java, |(_, name)| name), value.to_owned())
            }
        };
        let mut alone = spec.clone();
        *table(&mut alone) = BTreeMap::from([(name.to_owned(), value.clone())]);
        match alone.validate() {
            Ok(()) => drop(set.insert(name.to_owned(), value)),
            Err(error) => {
                let why = match error {
                    SpecError::Impossible { why, .. } => why,
                    other => other.to_string(),
                };
                let note = format!("left out: {java} = {value}: {why}");
                if !notes.contains(&note) {
                    notes.push(note);
                }
            }
        }
    }
    set
}

/// The lines `NAME=VALUE` of a key's text.
fn properties(key: &str, text: &str) -> Result<BTreeMap<String, String>, String> {
    let lines =
        text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
    let read = |line: &str| {
        let (name, value) =
            line.split_once('=').ok_or_else(|| format!("{key}: `{line}` is no NAME=VALUE"))?;
        Ok((name.trim().to_owned(), value.trim().to_owned()))
    };
    lines.map(read).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(producer: &str) -> String {
        let lines: String = producer.lines().map(|line| format!("  {line}\n")).collect();
        format!(
            "name: Kafka\ndriverClass: {CLASS}\nreplicationFactor: 2\nproducerConfig: |\n{lines}"
        )
    }

    fn applied(producer: &str) -> Result<(WorkloadSpec, Vec<String>), String> {
        let smoke = workloads::shipped().iter().find(|(name, _)| *name == "smoke").unwrap().1;
        let mut spec = WorkloadSpec::parse(smoke).unwrap();
        let mut notes = vec![];
        OmbDriver::parse(&text(producer))?.apply(&mut spec, &mut notes)?;
        Ok((spec, notes))
    }

    #[test]
    fn idempotence_is_java_s_default_where_acks_and_requests_allow_it() {
        for (producer, acks, idempotence) in [
            ("linger.ms=1", Acks::All, true),
            ("acks=1", Acks::Leader, false),
            ("acks=all\nmax.in.flight.requests.per.connection=10", Acks::All, false),
            ("acks=all\nenable.idempotence=false", Acks::All, false),
        ] {
            let (spec, _) = applied(producer).unwrap();
            assert_eq!(
                (spec.producer.acks, spec.producer.idempotence),
                (acks, idempotence),
                "{producer}"
            );
        }
    }

    #[test]
    fn settings_have_librdkafka_s_names_or_are_left_out_in_words() {
        let (spec, notes) =
            applied("max.request.size=4194304\nbuffer.memory=67108864\npartitioner.class=x.Y")
                .unwrap();
        let settings = &spec.producer.settings;
        assert_eq!(settings["message.max.bytes"], "4194304");
        assert_eq!(settings["queue.buffering.max.kbytes"], "65536");
        assert_eq!(settings.len(), 2, "{settings:?}");
        assert!(
            notes.iter().any(|note| note.starts_with("left out: partitioner.class = x.Y")),
            "{notes:?}"
        );
    }

    #[test]
    fn what_is_no_driver_for_kafka_is_refused() {
        let pulsar = text("acks=all").replace("kafka.Kafka", "pulsar.Pulsar");
        assert!(OmbDriver::parse(&pulsar).unwrap_err().contains("driverClass: io.openmessaging"));
        assert!(
            OmbDriver::parse(&format!("{}colour: red\n", text("")))
                .unwrap_err()
                .contains("`colour`")
        );
        assert!(applied("acks=2").unwrap_err().contains("acks=2"));
        assert!(applied("nonsense").unwrap_err().contains("`nonsense` is no NAME=VALUE"));
        assert!(applied("compression.type=brotli").unwrap_err().contains("brotli"));
    }
}
