//! The consumer group: each member on a thread of its own, committing what it has processed.
//!
//! Commits are explicit, asynchronous and at intervals; the broker's answer to each goes into the
//! history. A member that leaves makes no last commit, so that whoever takes over re-reads a
//! little, and its resume offset can be compared with the committed one. What becomes of a
//! member's rebalances and commits is told on its own thread, from within its polls.

mod commit;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerContext, Rebalance};
use rdkafka::error::KafkaResult;
use rdkafka::message::{BorrowedMessage, Message};
use rdkafka::{ClientContext, Offset, TopicPartitionList};
use results::clock::RunClock;
use results::history::{Client, Entry, HistoryError, Poll, StreamHeader, StreamWriter};

use crate::error::LoadError;
use crate::live::Live;
use crate::outcome::code_of;
use crate::record;
use crate::settings::{self, Settings};

/// How often a member that does not poll looks whether it is to.
const STALLED: Duration = Duration::from_millis(20);

/// Longest poll: how late a member may notice that it is to leave.
const POLL: Duration = Duration::from_millis(50);

/// How long the coordinator may take to tell a committed offset. It has just led the rebalance,
/// so that it answers unless it dies right then.
const COMMITTED_LIMIT: Duration = Duration::from_secs(5);

/// Time between two writes of the history's buffer to its file.
const FLUSH_EVERY: Duration = Duration::from_secs(1);

/// What all members share.
pub(crate) struct Group {
    /// How many members it starts with.
    pub(crate) members: u16,
    pub(crate) settings: Settings,
    pub(crate) group: String,
    pub(crate) commit_interval: Duration,
    pub(crate) run: u64,
    pub(crate) topic: String,
    pub(crate) partitions: u32,
    pub(crate) clock: RunClock,
    pub(crate) history_dir: PathBuf,
    pub(crate) live: Arc<Live>,
}

/// A thread that is a member, under one number after the other.
pub(crate) struct Member {
    number: AtomicU32,
    control: Arc<Control>,
    thread: JoinHandle<Result<(), LoadError>>,
}

#[derive(Default)]
struct Control {
    /// One more than the number under which to join anew; 0 for no wish.
    replacement: AtomicU32,
    leaving: AtomicBool,
    /// It does not poll, and stays connected.
    stalled: AtomicBool,
    /// A leaving member reads until the lag is drained or this has passed.
    deadline: Mutex<Option<Instant>>,
}

impl Member {
    pub(crate) fn start(group: &Arc<Group>, number: u16) -> Result<Self, LoadError> {
        let control = Arc::new(Control::default());
        let first = Session::open(Arc::clone(group), number)?;
        let own = Arc::clone(&control);
        let live = Arc::clone(&group.live);
        let thread = std::thread::Builder::new()
            .name(format!("consumer-{number}"))
            .spawn(move || attend(first, &own).inspect_err(|e| live.fail(e.to_string())))
            .map_err(|source| LoadError::Thread { client: name_of(number), source })?;
        Ok(Self { number: AtomicU32::new(number.into()), control, thread })
    }

    /// Lets the member leave without a last commit, and a new one, `number`, join.
    pub(crate) fn replace(&self, number: u16) {
        self.number.store(number.into(), Relaxed);
        self.control.replacement.store(u32::from(number) + 1, Relaxed);
    }

    /// The number under which it is a member, or is about to be.
    pub(crate) fn number(&self) -> u16 {
        self.number.load(Relaxed) as u16
    }

    /// Lets the member stop polling, or poll again.
    pub(crate) fn stall(&self, stalled: bool) {
        self.control.stalled.store(stalled, Relaxed);
    }

    /// Whether it was told not to poll.
    pub(crate) fn is_stalled(&self) -> bool {
        self.control.stalled.load(Relaxed)
    }

    /// Lets the member leave when the lag is drained, at `deadline` at the latest.
    pub(crate) fn leave(&self, deadline: Instant) {
        let mut until = self.control.deadline.lock().unwrap_or_else(PoisonError::into_inner);
        *until = Some(deadline);
        self.control.leaving.store(true, Relaxed);
    }

    /// Waits for the thread, which was told to leave.
    pub(crate) fn join(self) -> Result<(), LoadError> {
        self.thread.join().unwrap_or_else(|_| Err(LoadError::Ended("a consumer panicked".into())))
    }
}

impl Control {
    fn must_leave(&self, live: &Live) -> bool {
        if !self.leaving.load(Relaxed) {
            return false;
        }
        let until = *self.deadline.lock().unwrap_or_else(PoisonError::into_inner);
        live.lag() == 0 || until.is_none_or(|deadline| Instant::now() >= deadline)
    }

    fn replacement(&self) -> Option<u16> {
        self.replacement.swap(0, Relaxed).checked_sub(1).map(|number| number as u16)
    }
}

fn attend(first: Session, control: &Control) -> Result<(), LoadError> {
    let mut session = first;
    loop {
        let group = Arc::clone(&session.group);
        let replacement = loop {
            if control.must_leave(&group.live) {
                break None;
            }
            if let Some(number) = control.replacement() {
                break Some(number);
            }
            if control.stalled.load(Relaxed) {
                std::thread::sleep(STALLED);
                continue;
            }
            session.turn()?;
        };
        session.close()?;
        let Some(number) = replacement else {
            return Ok(());
        };
        session = Session::open(group, number)?;
    }
}

fn name_of(number: u16) -> String {
    format!("consumer-{number}")
}

/// One membership, from joining to leaving.
struct Session {
    group: Arc<Group>,
    name: String,
    consumer: BaseConsumer<Answers>,
    stream: StreamWriter,
    /// Per partition: next offset to read, for those read on since the last commit.
    processed: BTreeMap<i32, i64>,
    /// Whether a commit is not answered yet. Only one is: of two under way, librdkafka may repeat
    /// the older one after the newer was accepted, and the committed offset goes back.
    committing: bool,
    next_commit: Instant,
    next_flush: Instant,
}

impl Session {
    fn open(group: Arc<Group>, number: u16) -> Result<Self, LoadError> {
        let name = name_of(number);
        let header = StreamHeader {
            run: group.run,
            topic: group.topic.clone(),
            partitions: group.partitions,
            client: Client::GroupConsumer { consumer: number, group: group.group.clone() },
        };
        let answers = Answers {
            clock: group.clock,
            number,
            live: Arc::clone(&group.live),
            new: Mutex::default(),
        };
        let consumer: BaseConsumer<Answers> = settings::config(&group.settings, &name)
            .create_with_context(answers)
            .map_err(|source| LoadError::Client { client: name.clone(), source })?;
        let stream = StreamWriter::create(&group.history_dir, &name, &header)
            .map_err(|source| LoadError::History { client: name.clone(), source })?;
        consumer.subscribe(&[&group.topic]).map_err(|source| LoadError::Request {
            client: name.clone(),
            what: "subscribe",
            source,
        })?;
        let now = Instant::now();
        Ok(Self {
            next_commit: now + group.commit_interval,
            next_flush: now + FLUSH_EVERY,
            processed: BTreeMap::new(),
            committing: false,
            group,
            name,
            consumer,
            stream,
        })
    }

    /// One poll, and what is due besides.
    fn turn(&mut self) -> Result<(), LoadError> {
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
            self.group.live.polled(poll.partition, poll.offset);
            self.push(&Entry::Poll(poll))?;
        }
        let now = Instant::now();
        if now >= self.next_commit && !self.committing {
            self.next_commit = now + self.group.commit_interval;
            self.commit();
        }
        if now >= self.next_flush {
            self.next_flush = now + FLUSH_EVERY;
            self.stream.flush().map_err(|source| self.failed(source))?;
        }
        Ok(())
    }

    fn read(&self, message: &BorrowedMessage<'_>) -> Poll {
        Poll {
            at: self.group.clock.now(),
            partition: message.partition(),
            offset: message.offset(),
            record: record::decode(message.payload(), self.group.run),
        }
    }

    fn commit(&mut self) {
        if self.processed.is_empty() {
            return;
        }
        let mut offsets = TopicPartitionList::new();
        for (partition, offset) in std::mem::take(&mut self.processed) {
            let added =
                offsets.add_partition_offset(&self.group.topic, partition, Offset::Offset(offset));
            debug_assert!(added.is_ok(), "an offset that was read is one that can be committed");
        }
        // A commit that is not even accepted for sending has no answer; the next one follows.
        match commit::commit(&self.consumer, &offsets) {
            Ok(()) => self.committing = true,
            Err(error) => tracing::warn!(consumer = self.name, %error, "commit"),
        }
    }

    fn record_answers(&mut self) -> Result<(), LoadError> {
        for entry in self.consumer.context().take() {
            match entry {
                Entry::Revoked { partition, .. } => drop(self.processed.remove(&partition)),
                Entry::Commit { .. } => self.committing = false,
                _ => {}
            }
            self.push(&entry)?;
        }
        Ok(())
    }

    fn push(&mut self, entry: &Entry) -> Result<(), LoadError> {
        self.stream.push(entry).map_err(|source| self.failed(source))
    }

    fn failed(&self, source: HistoryError) -> LoadError {
        LoadError::History { client: self.name.clone(), source }
    }

    /// Leaves the group, without a commit.
    fn close(mut self) -> Result<(), LoadError> {
        let answers = Arc::clone(self.consumer.context());
        drop(self.consumer);
        let client = self.name;
        let failed = |source| LoadError::History { client: client.clone(), source };
        for entry in answers.take() {
            self.stream.push(&entry).map_err(failed)?;
        }
        self.stream.finish().map_err(failed)
    }
}

/// Where rebalances and answers to commits arrive, on the thread that polls.
struct Answers {
    clock: RunClock,
    number: u16,
    live: Arc<Live>,
    new: Mutex<Vec<Entry>>,
}

impl Answers {
    fn take(&self) -> Vec<Entry> {
        std::mem::take(&mut *self.new.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn push(&self, entry: Entry) {
        self.new.lock().unwrap_or_else(PoisonError::into_inner).push(entry);
    }

    fn assigned(&self, consumer: &BaseConsumer<Self>, partitions: &TopicPartitionList) {
        let committed = consumer.committed_offsets(partitions.clone(), COMMITTED_LIMIT);
        if let Err(error) = &committed {
            tracing::warn!(consumer = self.number, %error, "committed offsets are not known");
        }
        let committed = committed.ok();
        let at = self.clock.now();
        for element in partitions.elements() {
            let (topic, partition) = (element.topic(), element.partition());
            let offset = committed.as_ref().and_then(|c| c.find_partition(topic, partition));
            let committed = match offset.map(|element| element.offset()) {
                Some(Offset::Offset(offset)) => Some(offset),
                _ => None,
            };
            self.live.assigned(partition, self.number);
            self.push(Entry::Assigned { partition, at, committed });
        }
    }
}

impl ClientContext for Answers {}

impl ConsumerContext for Answers {
    fn pre_rebalance(&self, consumer: &BaseConsumer<Self>, rebalance: &Rebalance<'_>) {
        match rebalance {
            Rebalance::Assign(partitions) => self.assigned(consumer, partitions),
            Rebalance::Revoke(partitions) => {
                let at = self.clock.now();
                for element in partitions.elements() {
                    self.live.revoked(element.partition(), self.number);
                    self.push(Entry::Revoked { partition: element.partition(), at });
                }
            }
            Rebalance::Error(error) => {
                tracing::warn!(consumer = self.number, %error, "rebalance");
            }
        }
    }

    fn commit_callback(&self, result: KafkaResult<()>, offsets: &TopicPartitionList) {
        let whole = result.err().map(|error| code_of(&error) as i32);
        let at = self.clock.now();
        for element in offsets.elements() {
            let Offset::Offset(offset) = element.offset() else {
                continue;
            };
            let own = element.error().err().map(|error| code_of(&error) as i32);
            let partition = element.partition();
            self.push(Entry::Commit { partition, at, offset, error: own.or(whole) });
        }
    }
}
