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
    topic: LoadTopic,
    clock: RunClock,
    watch: Arc<dyn Watch>,
    name: String,
    /// Ends before the consumer that it asks.
    learning: Option<Learning>,
    consumer: Arc<BaseConsumer<Answers>>,
    stream: StreamWriter,
    /// Per partition: next offset to read, for those read on since the last commit.
    processed: BTreeMap<i32, i64>,
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
        let answers = Answers::new(env.clock, setup.number, Arc::clone(&env.watch));
        let consumer: BaseConsumer<Answers> =
            settings::config(&setup.settings, &name, env.connector.security())
                .create_with_context(answers)
                .map_err(|source| LoadError::Client { client: name.clone(), source })?;
        let (consumer_number, group) = (setup.number, setup.group.clone());
        let written_by = history::Client::GroupConsumer { consumer: consumer_number, group };
        let stream = topic.stream(&name, written_by)?;
        consumer.subscribe(&[&topic.name]).map_err(|source| LoadError::Request {
            client: name.clone(),
            what: "subscribe",
            source,
        })?;
        Ok(Self {
            next_commit: Instant::now() + setup.commit_interval,
            setup: setup.clone(),
            topic: topic.clone(),
            clock: env.clock,
            watch: Arc::clone(&env.watch),
            name,
            learning: None,
            consumer: Arc::new(consumer),
            stream,
            processed: BTreeMap::new(),
            committing: false,
            paused: false,
        })
    }

    /// Lets the consumer learn that its topic has `count` partitions, and the group share them.
    pub(super) fn learn(&mut self, count: u32) -> Result<(), LoadError> {
        // Whatever was being learnt before is part of this.
        self.learning = None;
        let consumer = Arc::clone(&self.consumer);
        let ask = move |limit| consumer.fetch_metadata(None, limit);
        self.learning = Some(Learning::start(&self.name, &self.topic.name, count, ask, || ())?);
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
            Some(Ok(message)) => Some(self.read(&message)),
            // librdkafka goes on by itself after every error that a consumer can see here.
            Some(Err(error)) => {
                tracing::debug!(consumer = self.name, %error, "poll");
                None
            }
            None => None,
        };
        self.record_answers()?;
        if let Some(poll) = poll {
            self.processed.insert(poll.partition, poll.offset + 1);
            let (partition, offset) = (poll.partition, poll.offset);
            self.watch.hear(FromClient::Polled { partition, offset });
            self.push(&Entry::Poll(poll))?;
        }
        let now = Instant::now();
        if now >= self.next_commit {
            self.next_commit = now + self.setup.commit_interval;
            // What a commit says was read is on file first: whoever is killed has committed nothing
            // that the history does not know.
            self.stream.flush().map_err(|source| self.failed(source))?;
            if !self.committing {
                self.commit();
            }
        }
        Ok(())
    }

    fn read(&self, message: &BorrowedMessage<'_>) -> Poll {
        Poll {
            at: self.clock.now(),
            partition: message.partition(),
            offset: message.offset(),
            record: record::decode(message.payload(), self.topic.run),
        }
    }

    fn commit(&mut self) {
        if self.processed.is_empty() {
            return;
        }
        let topic = &self.topic.name;
        let mut offsets = TopicPartitionList::new();
        for (partition, offset) in std::mem::take(&mut self.processed) {
            let added = offsets.add_partition_offset(topic, partition, Offset::Offset(offset));
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
        for entry in self.consumer.context().take() {
            match entry {
                Entry::Assigned { .. } => assigned = true,
                Entry::Revoked { partition, .. } => drop(self.processed.remove(&partition)),
                Entry::Commit { .. } => self.committing = false,
                _ => {}
            }
            self.push(&entry)?;
        }
        // Whether a partition is paused outlasts its assignment: one that comes back may be what it was before.
        if assigned { self.pause(self.paused) } else { Ok(()) }
    }

    fn push(&mut self, entry: &Entry) -> Result<(), LoadError> {
        self.stream.push(entry).map_err(|source| self.failed(source))
    }

    fn failed(&self, source: HistoryError) -> LoadError {
        LoadError::History { client: self.name.clone(), source }
    }

    /// Leaves the group, without a commit.
    pub(super) fn close(mut self) -> Result<(), LoadError> {
        let answers = Arc::clone(self.consumer.context());
        drop(self.learning);
        closing::close(&self.name, self.consumer);
        let client = self.name;
        let failed = |source| LoadError::History { client: client.clone(), source };
        for entry in answers.take() {
            self.stream.push(&entry).map_err(failed)?;
        }
        self.stream.finish().map_err(failed)
    }
}
