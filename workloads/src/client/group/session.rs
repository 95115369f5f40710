//! One membership, from joining to leaving, with a client and a stream of its own.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::message::{BorrowedMessage, Message};
use rdkafka::{Offset, TopicPartitionList};
use results::record::clock::RunClock;
use results::record::history::{self, Entry, HistoryError, Poll, StreamWriter};

use super::answers::Answers;
use super::{MemberSetup, commit};
use crate::client::partitions::Learning;
use crate::client::{Env, FromClient, LoadClient, LoadTopic, Watch};
use crate::closing;
use crate::error::LoadError;
use crate::record;
use crate::settings;

/// Longest poll: how late a member may notice what it is told.
const POLL: Duration = Duration::from_millis(50);

/// One membership, from joining to leaving.
pub(super) struct Session {
    setup: MemberSetup,
    /// Those that it reads, and its stream of each.
    topics: Vec<(LoadTopic, StreamWriter)>,
    clock: RunClock,
    watch: Arc<dyn Watch>,
    name: String,
    /// Ends before the consumer that it asks.
    learning: BTreeMap<usize, Learning>,
    consumer: Arc<BaseConsumer<Answers>>,
    /// Per topic and partition: next offset to read, for those read on since the last commit.
    processed: BTreeMap<(usize, i32), i64>,
    /// Whether a commit is not answered yet. Only one is: of two under way, librdkafka may repeat
    /// the older one after the newer was accepted, and the committed offset goes back.
    committing: bool,
    /// Whether nothing is to be read, of partitions that it is given from now on as well.
    paused: bool,
    next_commit: Instant,
}

impl Session {
    /// Joins the group.
    pub(super) fn open(
        setup: &MemberSetup,
        topic: &LoadTopic,
        env: &Env,
    ) -> Result<Self, LoadError> {
        let name = setup.name();
        let read = || std::iter::once(topic).chain(&setup.others);
        let places = read().map(|topic| (topic.name.clone(), topic.place)).collect();
        let answers = Answers::new(env.clock, setup.number, Arc::clone(&env.watch), places);
        let consumer: BaseConsumer<Answers> =
            settings::config(&setup.settings, &name, env.connector.security())
                .create_with_context(answers)
                .map_err(|source| LoadError::Client { client: name.clone(), source })?;
        let written_by =
            history::Client::GroupConsumer { consumer: setup.number, group: setup.group.clone() };
        let mut topics = vec![(topic.clone(), topic.stream(&name, written_by.clone())?)];
        for other in &setup.others {
            let stream = other.stream(&setup.stream_of(other), written_by.clone())?;
            topics.push((other.clone(), stream));
        }
        let names: Vec<&str> = read().map(|topic| topic.name.as_str()).collect();
        consumer.subscribe(&names).map_err(|source| LoadError::Request {
            client: name.clone(),
            what: "subscribe",
            source,
        })?;
        Ok(Self {
            next_commit: Instant::now() + setup.commit_interval,
            setup: setup.clone(),
            topics,
            clock: env.clock,
            watch: Arc::clone(&env.watch),
            name,
            learning: BTreeMap::new(),
            consumer: Arc::new(consumer),
            processed: BTreeMap::new(),
            committing: false,
            paused: false,
        })
    }

    /// Lets the consumer learn that its topic at `place` has `count` partitions, and the group share them.
    pub(super) fn learn(&mut self, place: usize, count: u32) -> Result<(), LoadError> {
        // Whatever was being learnt before is part of this.
        self.learning.remove(&place);
        let consumer = Arc::clone(&self.consumer);
        let ask = move |limit| consumer.fetch_metadata(None, limit);
        if let Some((topic, _)) = self.topics.iter().find(|(topic, _)| topic.place == place) {
            let learning = Learning::start(&self.name, &topic.name, count, ask, || ())?;
            self.learning.insert(place, learning);
        }
        Ok(())
    }

    /// Pauses all partitions that it has or is given from now on, or resumes them where they were.
    pub(super) fn pause(&mut self, paused: bool) -> Result<(), LoadError> {
        self.paused = paused;
        let assigned = self.consumer.assignment();
        let done = assigned.and_then(|all| match paused {
            true => self.consumer.pause(&all),
            false => self.consumer.resume(&all),
        });
        let (client, what) = (self.name.clone(), if paused { "pause" } else { "resume" });
        done.map_err(|source| LoadError::Request { client, what, source })
    }

    /// One poll, and what is due besides.
    pub(super) fn turn(&mut self) -> Result<(), LoadError> {
        let poll = match self.consumer.poll(POLL) {
            Some(Ok(message)) => self.read(&message),
            // librdkafka goes on by itself after every error that a consumer can see here.
            Some(Err(error)) => {
                tracing::debug!(consumer = self.name, %error, "poll");
                None
            }
            None => None,
        };
        self.record_answers()?;
        if let Some((topic, place, poll)) = poll {
            self.processed.insert((topic, poll.partition), poll.offset + 1);
            let (partition, offset) = (poll.partition, poll.offset);
            self.watch.hear(FromClient::Polled { place, partition, offset });
            self.push(topic, &Entry::Poll(poll))?;
        }
        let now = Instant::now();
        if now >= self.next_commit {
            self.next_commit = now + self.setup.commit_interval;
            // What a commit says was read is on file first: whoever is killed has committed nothing
            // that the history does not know.
            for (_, stream) in &mut self.topics {
                stream.flush().map_err(failed(&self.name))?;
            }
            if !self.committing {
                self.commit();
            }
        }
        Ok(())
    }

    /// What was read, and of which topic: the how many-th that it reads, and its place in the load.
    fn read(&self, message: &BorrowedMessage<'_>) -> Option<(usize, usize, Poll)> {
        let at = self.clock.now();
        let of = match self.topics.len() {
            1 => 0,
            _ => self.topics.iter().position(|(topic, _)| topic.name == message.topic())?,
        };
        let (topic, _) = self.topics.get(of)?;
        let (partition, offset) = (message.partition(), message.offset());
        let record = record::decode(message.payload(), topic.run);
        Some((of, topic.place, Poll { at, partition, offset, record }))
    }

    fn commit(&mut self) {
        if self.processed.is_empty() {
            return;
        }
        let mut offsets = TopicPartitionList::new();
        for ((topic, partition), offset) in std::mem::take(&mut self.processed) {
            let Some((LoadTopic { name, .. }, _)) = self.topics.get(topic) else { continue };
            let added = offsets.add_partition_offset(name, partition, Offset::Offset(offset));
            debug_assert!(added.is_ok(), "an offset that was read is one that can be committed");
        }
        self.consumer.context().asking();
        // A commit that is not even accepted for sending has no answer; the next one follows.
        match commit::commit(&self.consumer, &offsets) {
            Ok(()) => self.committing = true,
            Err(error) => tracing::warn!(consumer = self.name, %error, "commit"),
        }
    }

    fn record_answers(&mut self) -> Result<(), LoadError> {
        let mut assigned = false;
        for (topic, entry) in self.consumer.context().take() {
            match entry {
                Entry::Assigned { .. } => assigned = true,
                Entry::Revoked { partition, .. } => {
                    self.processed.remove(&(topic, partition));
                }
                Entry::Commit { .. } => self.committing = false,
                _ => {}
            }
            self.push(topic, &entry)?;
        }
        // Whether a partition is paused outlasts its assignment: one that comes back may be what it was before.
        if assigned { self.pause(self.paused) } else { Ok(()) }
    }

    /// Writes down what is of this topic of its own.
    fn push(&mut self, topic: usize, entry: &Entry) -> Result<(), LoadError> {
        let stream = self.topics.get_mut(topic).map(|(_, stream)| stream);
        stream.map_or(Ok(()), |stream| stream.push(entry).map_err(failed(&self.name)))
    }

    /// Leaves the group, without a commit.
    pub(super) fn close(self) -> Result<(), LoadError> {
        let answers = Arc::clone(self.consumer.context());
        drop(self.learning);
        closing::close(&self.name, self.consumer);
        let mut topics = self.topics;
        for (topic, entry) in answers.take() {
            if let Some((_, stream)) = topics.get_mut(topic) {
                stream.push(&entry).map_err(failed(&self.name))?;
            }
        }
        topics.into_iter().try_for_each(|(_, stream)| stream.finish().map_err(failed(&self.name)))
    }
}

fn failed(client: &str) -> impl Fn(HistoryError) -> LoadError {
    move |source| LoadError::History { client: client.to_owned(), source }
}
