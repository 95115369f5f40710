//! A reader: reads the first record of each partition again and again.
//!
//! It shows whether a partition can be read while acks=all writes to it are stalled. Each partition
//! is asked for on its own (assigned from its first offset, and given back once the record is there), so
//! that one that does not answer delays no other. It begins with a partition when a producer of this
//! process has had a record acked there: from then on offset 0 lies below the high watermark. Where the
//! first record was deleted since, librdkafka begins at the new first one (`auto.offset.reset`).

use std::time::Duration;

use rdkafka::consumer::{BaseConsumer, Consumer, DefaultConsumerContext};
use rdkafka::error::KafkaError;
use rdkafka::message::Message;
use rdkafka::{Offset, TopicPartitionList};
use results::record::clock::RunTime;
use results::record::history::{self, Entry, HistoryError, StreamWriter};
use serde::{Deserialize, Serialize};

use super::{ClientSetup, Counts, Env, FromClient, LoadClient, LoadTopic, OpenClient, ToClient};
use crate::closing;
use crate::error::LoadError;
use crate::load::List;
use crate::settings::{self, ClientSettings};
use crate::spec::{NamedSpec, SpecError, TopicChoice, interval};

/// Longest poll: how late the reader may notice that it is to stop.
const POLL: Duration = Duration::from_millis(50);

/// Time between two writes of the history's buffer to its file.
const FLUSH_EVERY: Duration = Duration::from_secs(1);

/// A reader of each partition's first record.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ReaderSpec {
    /// Which topics it reads; several have a reader each.
    #[serde(default, skip_serializing_if = "TopicChoice::is_first")]
    pub topics: TopicChoice,
    /// Time between two reads of a partition.
    #[serde(with = "humantime_serde")]
    pub interval: Duration,
}

impl NamedSpec for ReaderSpec {
    fn validate(&self, table: &str) -> Result<(), SpecError> {
        interval(&format!("{table}.interval"), self.interval)
    }

    fn add_to(&self, name: &str, list: &mut List<'_>) {
        for (name, topic) in list.on_each(name, &self.topics) {
            let (name, bootstrap) = (format!("{name}-reader"), list.bootstrap().to_owned());
            let setup = ReaderSetup { name, bootstrap, interval: self.interval };
            list.push_on(ClientSetup::Reader(setup), topic);
        }
    }
}

/// What a reader is made of.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct ReaderSetup {
    /// Its name, and that of its stream.
    pub(crate) name: String,
    pub(crate) bootstrap: String,
    /// Time between two reads of a partition.
    pub(crate) interval: Duration,
}

impl LoadClient for ReaderSetup {
    fn name(&self) -> String {
        self.name.clone()
    }

    fn writes(&self) -> bool {
        false
    }

    fn open(&self, topic: &LoadTopic, env: Env) -> Result<Box<dyn OpenClient>, LoadError> {
        let name = self.name.clone();
        let consumer: BaseConsumer<DefaultConsumerContext> =
            settings::config(&settings(&self.bootstrap, &name), &name, env.connector.security())
                .create()
                .map_err(|source| LoadError::Client { client: name.clone(), source })?;
        let stream = topic.stream(&name, history::Client::ReadProbe)?;
        let turns = vec![Turn::Next(RunTime(0)); topic.partitions as usize];
        let first = vec![0; turns.len()];
        let (interval, topic) = (self.interval, topic.name.clone());
        Ok(Box::new(FirstRecordReader {
            name,
            topic,
            interval,
            env,
            consumer,
            stream,
            turns,
            first,
        }))
    }
}

/// Where the reading of a partition stands.
#[derive(Clone, Copy)]
enum Turn {
    /// Not assigned; to be asked for next at this time.
    Next(RunTime),
    /// Asked for at this time, no record yet.
    Asked(RunTime),
}

struct FirstRecordReader {
    name: String,
    topic: String,
    interval: Duration,
    env: Env,
    consumer: BaseConsumer,
    stream: StreamWriter,
    turns: Vec<Turn>,
    /// The first offset of each partition, as far as it is known.
    first: Vec<i64>,
}

/// One small batch from each fetch, and no waiting for more: only the first record is wanted.
fn settings(bootstrap: &str, name: &str) -> ClientSettings {
    let mut settings = settings::reader(bootstrap, &format!("kbench-{name}"));
    for (name, value) in [
        ("fetch.message.max.bytes", "1"),
        ("queued.min.messages", "1"),
        ("fetch.wait.max.ms", "5"),
        ("fetch.queue.backoff.ms", "5"),
    ] {
        settings.insert(name.into(), value.into());
    }
    settings
}

impl OpenClient for FirstRecordReader {
    fn run(mut self: Box<Self>) -> Result<Counts, LoadError> {
        let mut flush = self.env.clock.now().plus(FLUSH_EVERY);
        while self.goes_on() {
            let next = self.ask()?;
            let now = self.env.clock.now();
            if let Some(Ok(message)) = self.consumer.poll(next.since(now).min(POLL)) {
                let (partition, offset) = (message.partition(), message.offset());
                drop(message);
                self.got(partition, offset)?;
            }
            if self.env.clock.now() >= flush {
                flush = self.env.clock.now().plus(FLUSH_EVERY);
                self.stream.flush().map_err(|source| failed(&self.name, source))?;
            }
        }
        let stopped = self.env.clock.now();
        let Self { consumer, mut stream, name, turns, .. } = *self;
        closing::close(&name, consumer);
        for (partition, turn) in (0..).zip(turns) {
            if let Turn::Asked(asked) = turn {
                let read = Entry::Read { partition, asked, done: stopped, answered: false };
                stream.push(&read).map_err(|source| failed(&name, source))?;
            }
        }
        stream.finish().map_err(|source| failed(&name, source))?;
        Ok(Counts::default())
    }
}

impl FirstRecordReader {
    /// Reads what it was told. Whether it is to go on.
    fn goes_on(&mut self) -> bool {
        while let Some(message) = self.env.inbox.next() {
            match message {
                ToClient::Stop { .. } => return false,
                // Each is begun with when a record of it is acked: the brokers know it then.
                ToClient::Partitions { count, .. } => {
                    self.turns.resize(count as usize, Turn::Next(RunTime(0)));
                    self.first.resize(count as usize, 0);
                }
                ToClient::Begin
                | ToClient::EndWarmUp
                | ToClient::Rate { .. }
                | ToClient::Replace { .. }
                | ToClient::Stall { .. }
                | ToClient::Pause { .. } => {}
            }
        }
        true
    }

    /// Asks for every partition whose turn it is; tells when the next one's is.
    fn ask(&mut self) -> Result<RunTime, LoadError> {
        let now = self.env.clock.now();
        let mut next = now.plus(POLL);
        for partition in 0..self.turns.len() {
            let Turn::Next(at) = self.turns[partition] else {
                continue;
            };
            if at > now {
                next = next.min(at);
            } else if self.env.live.acked_offset(partition as u32).is_some() {
                let first = self.first_of(partition as i32)?;
                self.turns[partition] = Turn::Asked(self.env.clock.now());
                let assigned = self.consumer.incremental_assign(&first);
                assigned.map_err(|error| self.refused("assign", error))?;
            }
        }
        Ok(next)
    }

    fn got(&mut self, partition: i32, offset: i64) -> Result<(), LoadError> {
        let got = self.env.clock.now();
        // Behind the first record a fetch may bring others along: nobody asks then, as librdkafka drops what
        // was fetched for an assignment that has ended.
        let at = partition as usize;
        let Some(&Turn::Asked(asked)) = self.turns.get(at) else {
            return Ok(());
        };
        self.turns[at] = Turn::Next(asked.plus(self.interval).max(got));
        let first = self.first_of(partition)?;
        self.first[at] = offset;
        let unassigned = self.consumer.incremental_unassign(&first);
        unassigned.map_err(|error| self.refused("unassign", error))?;
        self.env.live.read(partition, asked);
        self.env.watch.hear(FromClient::AtWork);
        let read = Entry::Read { partition, asked, done: got, answered: true };
        self.stream.push(&read).map_err(|source| failed(&self.name, source))
    }

    fn first_of(&self, partition: i32) -> Result<TopicPartitionList, LoadError> {
        let mut list = TopicPartitionList::new();
        let first = Offset::Offset(self.first[partition as usize]);
        list.add_partition_offset(&self.topic, partition, first)
            .map_err(|error| self.refused("assign", error))?;
        Ok(list)
    }

    fn refused(&self, what: &'static str, source: KafkaError) -> LoadError {
        LoadError::Request { client: self.name.clone(), what, source }
    }
}

fn failed(name: &str, source: HistoryError) -> LoadError {
    LoadError::History { client: name.to_owned(), source }
}
