//! Workload files of the OpenMessaging Benchmark: its class `Workload`, whose keys and defaults they have.

use std::collections::BTreeMap;
use std::str::FromStr;
use std::time::Duration;

use workloads::spec::{ChosenKeys, KeyChoice, NamedGroupSpec, Partitioner};
use workloads::{
    Acks, Arrivals, BacklogSpec, Compression, ConsumersSpec, KeySpec, LoadSpec, Payload,
    PhasesSpec, ProducerSpec, Rate, Shape, TopicChoice, TopicsSpec, WorkloadSpec,
};

use super::flat_yaml::{self, YamlValues};

/// Different keys that its distributors have.
const KEYS: u32 = 10_000;

/// The rate of its workloads that are to send as fast as they can.
const AS_FAST_AS_IT_CAN: u64 = 10_000_000;

/// What of the measured time is kbench's baseline: both are steady load without faults.
const BASELINE: Duration = Duration::from_secs(10);

/// From one commit to the next; it commits after each poll.
const COMMIT_INTERVAL: Duration = Duration::from_secs(1);

/// A workload file.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct OmbWorkload {
    name: String,
    topics: u32,
    partitions: u32,
    keys: KeySpec,
    message_size: usize,
    /// What is left of a payload that is compressed; none of one from a file.
    random_ratio: Option<f64>,
    payload_file: Option<String>,
    subscriptions: u32,
    producers: u32,
    consumers: u16,
    rate: u64,
    backlog_gb: u64,
    /// What part of the backlog is to be gone before it counts as read off.
    drained: f64,
    minutes: u64,
    warm_up_minutes: u64,
}

/// Keys of a file that are still to be read.
struct UnreadKeys(YamlValues);

impl UnreadKeys {
    fn text(&mut self, key: &str) -> Option<(String, usize)> {
        self.0.remove(key)
    }

    fn value<T: FromStr>(&mut self, key: &str, default: Option<T>) -> Result<T, String> {
        match (self.0.remove(key), default) {
            (Some((text, line)), _) => {
                text.parse().map_err(|_| format!("line {line}: {key}: {text}: not such a value"))
            }
            (None, Some(default)) => Ok(default),
            (None, None) => Err(format!("`{key}` is missing")),
        }
    }
}

impl OmbWorkload {
    /// Reads a file.
    ///
    /// # Errors
    /// What is not such a file, or has a key that no workload has.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let mut keys = UnreadKeys(flat_yaml::read(text)?);
        if keys.0.contains_key("driverClass") {
            return Err(
                "`driverClass`: it is a driver's file, which is the second argument".to_owned()
            );
        }
        let distributor = keys.text("keyDistributor").map(|(value, _)| value);
        let chosen = |chosen| {
            let partitioner = Partitioner::default();
            KeySpec::Chosen(ChosenKeys { count: KEYS, chosen, partitioner })
        };
        let of_keys = match distributor.as_deref() {
            None | Some("NO_KEY") => KeySpec::None,
            Some("KEY_ROUND_ROBIN") => chosen(KeyChoice::RoundRobin),
            Some("RANDOM_NANO") => chosen(KeyChoice::Uniform),
            Some(other) => {
                return Err(format!("keyDistributor: {other}: there is no such distributor"));
            }
        };
        let randomized = keys.value("useRandomizedPayloads", Some(false))?;
        let ratio = keys.value("randomBytesRatio", Some(0.0))?;
        // So many different payloads take turns there; here each record is filled anew.
        let _pool: u32 = keys.value("randomizedPayloadPoolSize", Some(0))?;
        let drained: f64 = keys.value("backlogDrainRatio", Some(1.0))?;
        let read = Self {
            name: keys.value("name", None)?,
            topics: keys.value("topics", None)?,
            partitions: keys.value("partitionsPerTopic", None)?,
            keys: of_keys,
            message_size: keys.value("messageSize", None)?,
            random_ratio: randomized.then_some(ratio),
            payload_file: keys.text("payloadFile").map(|(value, _)| value),
            subscriptions: keys.value("subscriptionsPerTopic", None)?,
            producers: keys.value("producersPerTopic", None)?,
            consumers: keys.value("consumerPerSubscription", None)?,
            rate: keys.value("producerRate", None)?,
            backlog_gb: keys.value("consumerBacklogSizeGB", Some(0))?,
            drained,
            minutes: keys.value("testDurationMinutes", None)?,
            warm_up_minutes: keys.value("warmupDurationMinutes", Some(1))?,
        };
        match keys.0.into_iter().next() {
            Some((key, (_, line))) => Err(format!("line {line}: `{key}` is no key of a workload")),
            None => Ok(read),
        }
    }

    /// The workload of kbench; what it has otherwise is added to the notes.
    ///
    /// # Errors
    /// What it has not.
    pub(super) fn spec(
        &self,
        name: &str,
        one_topic: bool,
        notes: &mut Vec<String>,
    ) -> Result<WorkloadSpec, String> {
        if self.producers == 0 {
            return Err("producersPerTopic: 0: kbench always produces".to_owned());
        }
        if self.producers > 1 {
            notes.push(format!(
                "producersPerTopic: {}: the main producer sends all of it, since the figures are its own",
                self.producers
            ));
        }
        let (consumers, groups) = self.groups();
        let backlog = self.backlog(notes)?;
        Ok(WorkloadSpec {
            name: slug(name),
            description: self.name.clone(),
            gates: vec![],
            topics: Some(self.topics(one_topic, notes)?),
            load: LoadSpec {
                rate: self.rate(notes)?,
                shape: Shape::Constant,
                arrivals: Arrivals::Even,
                record_bytes: self.message_size.into(),
                payload: self.payload(notes),
                keys: self.keys,
            },
            producer: ProducerSpec {
                acks: Acks::All,
                idempotence: true,
                compression: Compression::None,
                settings: BTreeMap::new(),
            },
            consumers,
            probe: None,
            direct: None,
            each_broker: None,
            producers: BTreeMap::new(),
            groups,
            readers: BTreeMap::new(),
            backlog,
            phases: self.phases(backlog, notes)?,
        })
    }

    fn topics(&self, one_topic: bool, notes: &mut Vec<String>) -> Result<TopicsSpec, String> {
        let partitions = match (self.topics, one_topic) {
            (1, _) => self.partitions,
            (topics, true) => {
                notes.push(format!(
                    "topics: {topics} of {} partitions: they are partitions of one topic here",
                    self.partitions
                ));
                topics.saturating_mul(self.partitions)
            }
            (topics, false) => {
                return Err(format!(
                    "topics: {topics}: kbench's main load goes to one topic, and the figures are its own; --one-topic makes them partitions of one"
                ));
            }
        };
        Ok(TopicsSpec {
            count: 1,
            partitions,
            replication_factor: 3,
            further: BTreeMap::new(),
            config: BTreeMap::new(),
        })
    }

    fn rate(&self, notes: &mut Vec<String>) -> Result<Rate, String> {
        const MOST: u64 = 1_000_000;
        match self.rate {
            0 => {
                notes.push(
                    "producerRate: 0, the highest that can be sustained: `kbench max-rate` searches it; this sends as \
                     fast as the client can"
                        .to_owned(),
                );
                Ok(Rate::Max)
            }
            AS_FAST_AS_IT_CAN => {
                notes.push(format!(
                    "producerRate: {AS_FAST_AS_IT_CAN}, as fast as the client can; `kbench max-rate` searches the highest \
                     rate that can be sustained"
                ));
                Ok(Rate::Max)
            }
            rate if rate > MOST => Err(format!(
                "producerRate: {rate}: a producer of kbench's sends at most {MOST} records a second"
            )),
            rate => Ok(Rate::PerSecond(rate)),
        }
    }

    fn payload(&self, notes: &mut Vec<String>) -> Payload {
        if let Some(ratio) = self.random_ratio {
            // All zeros still take something.
            return Payload::Ratio(ratio.clamp(0.01, 1.0));
        }
        let file = self.payload_file.as_deref().unwrap_or("none");
        notes.push(format!(
            "payloadFile: {file}: hexadecimal digits there, the same in each record; here each is filled anew, with as much \
             that can be compressed in it"
        ));
        Payload::Ratio(0.5)
    }

    /// The first subscription is the main group.
    fn groups(&self) -> (Option<ConsumersSpec>, BTreeMap<String, NamedGroupSpec>) {
        let name = |number: u32| format!("sub-{number:03}");
        let read = self.consumers > 0;
        let main = (read && self.subscriptions > 0).then(|| ConsumersSpec {
            group: name(0),
            members: self.consumers,
            topics: TopicChoice::First,
            commit_interval: COMMIT_INTERVAL,
            settings: BTreeMap::new(),
        });
        let more = (1..self.subscriptions).filter(|_| read).map(|number| {
            let group = NamedGroupSpec {
                topics: TopicChoice::First,
                members: self.consumers,
                commit_interval: COMMIT_INTERVAL,
                settings: BTreeMap::new(),
            };
            (name(number), group)
        });
        (main, more.collect())
    }

    /// It pauses all consumers until there is so much to read by all subscriptions together, in gigabytes of 2^30 bytes.
    fn backlog(&self, notes: &mut Vec<String>) -> Result<Option<BacklogSpec>, String> {
        let key = format!("consumerBacklogSizeGB: {}", self.backlog_gb);
        if self.backlog_gb == 0 {
            return Ok(None);
        }
        if self.rate == 0 {
            return Err(format!(
                "{key}: with producerRate: 0, which the benchmark refuses as well"
            ));
        }
        let all = self.backlog_gb.checked_mul(1 << 30).ok_or(format!("{key}: too many bytes"))?;
        let bytes = all / u64::from(self.subscriptions.max(1));
        notes.push(format!(
            "{key}: {bytes} bytes of each group; backlogDrainRatio: {}: here a backlog is gone when nothing waits for \
             longer than a second",
            self.drained
        ));
        Ok(Some(BacklogSpec::Bytes(bytes)))
    }

    fn phases(
        &self,
        backlog: Option<BacklogSpec>,
        notes: &mut Vec<String>,
    ) -> Result<PhasesSpec, String> {
        let minutes = |minutes: u64| Duration::from_secs(minutes.saturating_mul(60));
        if self.minutes == 0 {
            return Err("testDurationMinutes: 0, without end: kbench's loads end".to_owned());
        }
        let (baseline, mut rest) = (BASELINE, minutes(self.minutes).saturating_sub(BASELINE));
        if let Some(BacklogSpec::Bytes(bytes)) = backlog {
            let per_s = self.rate.saturating_mul(self.message_size as u64).max(1);
            let builds = Duration::from_secs(bytes.div_ceil(per_s));
            rest = rest.saturating_add(builds.saturating_mul(2));
            notes.push(format!(
                "the backlog takes {} s to build at this rate and has as long again to be read off, before the test's \
                 own minutes; one that takes longer is told as not read off",
                builds.as_secs()
            ));
        }
        notes.push(format!(
            "testDurationMinutes: {} are baseline and duration together; with a plan of faults the load lasts as long \
             as its steps take (--faults none)",
            self.minutes
        ));
        let warm_up = minutes(self.warm_up_minutes);
        Ok(PhasesSpec { warm_up, baseline, duration: Some(rest), count: None })
    }
}

/// A file's name as that of a workload.
fn slug(name: &str) -> String {
    let plain =
        |c: char| if c.is_ascii_alphanumeric() || c == '-' { c.to_ascii_lowercase() } else { '-' };
    name.chars().map(plain).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "name: x\ntopics: 1\npartitionsPerTopic: 3\nmessageSize: 100\nsubscriptionsPerTopic: 3\n\
        consumerPerSubscription: 2\nproducersPerTopic: 1\nproducerRate: 1000\nuseRandomizedPayloads: true\n\
        randomBytesRatio: 0.0\ntestDurationMinutes: 1\n";

    fn spec(text: &str) -> Result<WorkloadSpec, String> {
        let spec = OmbWorkload::parse(text)?.spec("a_File", false, &mut vec![])?;
        spec.validate().map_err(|error| error.to_string())?;
        Ok(spec)
    }

    #[test]
    fn each_subscription_is_a_group_and_keys_are_its_distributors() {
        let read = spec(TEXT).unwrap();
        assert_eq!((&*read.name, read.load.payload), ("a-file", Payload::Ratio(0.01)));
        assert_eq!(read.groups.keys().collect::<Vec<_>>(), ["sub-001", "sub-002"]);
        assert_eq!(read.load.keys, KeySpec::None);
        let turns = spec(&format!("{TEXT}keyDistributor: KEY_ROUND_ROBIN\n")).unwrap();
        let KeySpec::Chosen(chosen) = turns.load.keys else { panic!("{:?}", turns.load.keys) };
        assert_eq!((chosen.count, chosen.chosen), (10_000, KeyChoice::RoundRobin));
        let both = spec(&format!("{TEXT}consumerBacklogSizeGB: 3\n")).unwrap();
        // It counts what all subscriptions have to read together.
        assert_eq!(both.backlog, Some(BacklogSpec::Bytes(1 << 30)));
        let unread =
            spec(&TEXT.replace("consumerPerSubscription: 2", "consumerPerSubscription: 0"));
        assert_eq!(unread.unwrap().consumers, None);
    }

    #[test]
    fn what_is_no_workload_is_refused_by_its_key() {
        for (from, to, words) in [
            ("topics: 1\n", "", "`topics` is missing"),
            ("topics: 1\n", "topics: many\n", "line 2: topics: many"),
            ("topics: 1\n", "topics: 1\ncolour: red\n", "line 3: `colour` is no key"),
            ("producerRate: 1000", "producerRate: 2000000", "producerRate: 2000000"),
            ("testDurationMinutes: 1", "testDurationMinutes: 0", "testDurationMinutes: 0"),
            ("producersPerTopic: 1", "producersPerTopic: 0", "producersPerTopic: 0"),
            (
                "producerRate: 1000",
                "producerRate: 0\nconsumerBacklogSizeGB: 1",
                "consumerBacklogSizeGB: 1: with producerRate: 0",
            ),
            ("messageSize: 100", "messageSize: 10", "load.record_bytes = 10"),
            ("topics: 1\n", "topics: 1\nkeyDistributor: ZIPF\n", "keyDistributor: ZIPF"),
        ] {
            assert!(TEXT.contains(from), "{from}");
            let why = spec(&TEXT.replace(from, to)).expect_err(to);
            assert!(why.contains(words), "{to}: {why}");
        }
    }
}
