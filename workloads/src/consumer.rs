//! The consumer group: each member on a thread (or in a process) of its own, committing what it has processed.
//!
//! Commits are explicit, asynchronous and at intervals; the broker's answer to each goes into the
//! history. A member that leaves makes no last commit, so that whoever takes over re-reads a
//! little, and its resume offset can be compared with the committed one. What becomes of a
//! member's rebalances and commits is told on its own thread, from within its polls.

mod commit;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::Command;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerContext, Rebalance};
use rdkafka::error::KafkaResult;
use rdkafka::message::{BorrowedMessage, Message};
use rdkafka::{ClientContext, Offset, TopicPartitionList};
use results::record::clock::RunClock;
use results::record::history::{Client, Entry, HistoryError, Poll, StreamHeader, StreamWriter};
use serde::{Deserialize, Serialize};

use crate::error::LoadError;
use crate::live::Live;
use crate::outcome::code_of;
use crate::record;
use crate::settings::{self, Settings};
use crate::worker::{Order, Task, Worker};

/// How often a member that does not poll looks whether it is to.
const STALLED: Duration = Duration::from_millis(20);

/// Longest poll: how late a member may notice that it is to leave.
const POLL: Duration = Duration::from_millis(50);

/// How long the coordinator may take to tell a committed offset. It has just led the rebalance,
/// so that it answers unless it dies right then.
const COMMITTED_LIMIT: Duration = Duration::from_secs(5);

/// What a group is made of, wherever its members run.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct GroupSetup {
    /// How many members it starts with.
    pub(crate) members: u16,
    pub(crate) settings: Settings,
    pub(crate) group: String,
    pub(crate) commit_interval: Duration,
    pub(crate) run: u64,
    pub(crate) topic: String,
    pub(crate) partitions: u32,
    pub(crate) history_dir: PathBuf,
}

/// What the members in one process share.
pub(crate) struct Group {
    pub(crate) setup: GroupSetup,
    pub(crate) clock: RunClock,
    pub(crate) watch: Arc<dyn Watch>,
}

/// Whom members tell what they do.
pub(crate) trait Watch: Send + Sync {
    fn assigned(&self, partition: i32, member: u16);
    fn revoked(&self, partition: i32, member: u16);
    fn polled(&self, partition: i32, offset: i64);
    /// Whether everything that was acked has been read.
    fn drained(&self) -> bool;
    /// A member ended before its time.
    fn failed(&self, error: &LoadError);
}

impl Watch for Live {
    fn assigned(&self, partition: i32, member: u16) {
        self.assigned(partition, member);
    }

    fn revoked(&self, partition: i32, member: u16) {
        self.revoked(partition, member);
    }

    fn polled(&self, partition: i32, offset: i64) {
        self.polled(partition, offset);
    }

    fn drained(&self) -> bool {
        self.lag() == 0
    }

    fn failed(&self, error: &LoadError) {
        self.fail(error.to_string());
    }
}

/// A member, under one number after the other.
pub(crate) struct Member {
    number: AtomicU32,
    control: Arc<Control>,
    watch: Arc<dyn Watch>,
    seat: Seat,
}

/// Where a member runs.
enum Seat {
    Thread(JoinHandle<Result<(), LoadError>>),
    Worker(Worker),
}

/// What a member's thread is told.
#[derive(Default)]
pub(crate) struct Control {
    /// One more than the number under which to join anew; 0 for no wish.
    replacement: AtomicU32,
    leaving: AtomicBool,
    /// It does not poll, and stays connected.
    stalled: AtomicBool,
    /// A leaving member reads until the lag is drained or this has passed.
    deadline: Mutex<Option<Instant>>,
}

impl Member {
    /// Starts a member on a thread of this process.
    pub(crate) fn start(group: &Arc<Group>, number: u16) -> Result<Self, LoadError> {
        let control = Arc::new(Control::default());
        let session = Session::open(Arc::clone(group), number)?;
        let own = Arc::clone(&control);
        let watch = Arc::clone(&group.watch);
        let thread = std::thread::Builder::new()
            .name(format!("consumer-{number}"))
            .spawn(move || attend(session, &own).inspect_err(|error| watch.failed(error)))
            .map_err(|source| LoadError::Thread { client: name_of(number), source })?;
        Ok(Self::new(number, control, group, Seat::Thread(thread)))
    }

    /// Starts a member in a process of its own, which `command` starts.
    pub(crate) fn start_worker(
        group: &Arc<Group>,
        number: u16,
        command: Command,
    ) -> Result<Self, LoadError> {
        let task = Task::Member { number, group: group.setup.clone() };
        let watch = Arc::clone(&group.watch);
        let worker = Worker::start(command, name_of(number), task, group.clock, watch)?;
        Ok(Self::new(number, Arc::default(), group, Seat::Worker(worker)))
    }

    fn new(number: u16, control: Arc<Control>, group: &Group, seat: Seat) -> Self {
        Self { number: AtomicU32::new(number.into()), control, watch: group.watch.clone(), seat }
    }

    /// Lets the member leave without a last commit, and a new one, `number`, join.
    pub(crate) fn replace(&self, number: u16) {
        self.number.store(number.into(), Relaxed);
        match &self.seat {
            Seat::Thread(_) => self.control.replace(number),
            Seat::Worker(worker) => worker.tell(Order::Replace { number }),
        }
    }

    /// The number under which it is a member, or is about to be.
    pub(crate) fn number(&self) -> u16 {
        self.number.load(Relaxed) as u16
    }

    /// Lets the member stop polling, or poll again.
    pub(crate) fn stall(&self, stalled: bool) {
        self.control.stall(stalled);
        if let Seat::Worker(worker) = &self.seat {
            worker.tell(Order::Stall { stalled });
        }
    }

    /// Whether it was told not to poll.
    pub(crate) fn is_stalled(&self) -> bool {
        self.control.stalled.load(Relaxed)
    }

    /// Whether it runs in a process of its own.
    pub(crate) fn is_worker(&self) -> bool {
        matches!(self.seat, Seat::Worker(_))
    }

    /// Its name, and that of its stream in the history.
    pub(crate) fn client(&self) -> String {
        name_of(self.number())
    }

    /// Kills the process of a member that has one of its own; how it ended, for people.
    pub(crate) fn kill(self) -> Result<String, LoadError> {
        let client = self.client();
        match self.seat {
            Seat::Worker(worker) => worker.kill(),
            Seat::Thread(_) => Err(LoadError::NoWorker { client }),
        }
    }

    /// Lets the member leave when the lag is drained, at `deadline` at the latest.
    pub(crate) fn leave(&self, deadline: Instant) {
        self.control.leave(deadline);
        if let Seat::Worker(worker) = &self.seat
            && deadline <= Instant::now()
        {
            worker.end();
        }
    }

    /// Waits until the member, which was told to leave, has left.
    pub(crate) fn join(self) -> Result<(), LoadError> {
        match self.seat {
            Seat::Thread(thread) => thread
                .join()
                .unwrap_or_else(|_| Err(LoadError::Ended("a consumer panicked".into()))),
            Seat::Worker(worker) => {
                while !self.control.must_leave(&*self.watch) {
                    std::thread::sleep(STALLED);
                }
                worker.join()
            }
        }
    }
}

impl Control {
    pub(crate) fn replace(&self, number: u16) {
        self.replacement.store(u32::from(number) + 1, Relaxed);
    }

    pub(crate) fn stall(&self, stalled: bool) {
        self.stalled.store(stalled, Relaxed);
    }

    pub(crate) fn leave(&self, deadline: Instant) {
        *self.deadline.lock().unwrap_or_else(PoisonError::into_inner) = Some(deadline);
        self.leaving.store(true, Relaxed);
    }

    fn must_leave(&self, watch: &dyn Watch) -> bool {
        if !self.leaving.load(Relaxed) {
            return false;
        }
        let until = *self.deadline.lock().unwrap_or_else(PoisonError::into_inner);
        watch.drained() || until.is_none_or(|deadline| Instant::now() >= deadline)
    }

    fn replacement(&self) -> Option<u16> {
        self.replacement.swap(0, Relaxed).checked_sub(1).map(|number| number as u16)
    }
}

/// Is a member, under one number after the other, until it is told to leave.
pub(crate) fn attend(first: Session, control: &Control) -> Result<(), LoadError> {
    let mut session = first;
    loop {
        let group = Arc::clone(&session.group);
        let replacement = loop {
            if control.must_leave(&*group.watch) {
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
pub(crate) struct Session {
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
}

impl Session {
    pub(crate) fn open(group: Arc<Group>, number: u16) -> Result<Self, LoadError> {
        let name = name_of(number);
        let setup = &group.setup;
        let header = StreamHeader {
            run: setup.run,
            topic: setup.topic.clone(),
            partitions: setup.partitions,
            client: Client::GroupConsumer { consumer: number, group: setup.group.clone() },
        };
        let answers = Answers {
            clock: group.clock,
            number,
            watch: Arc::clone(&group.watch),
            new: Mutex::default(),
        };
        let consumer: BaseConsumer<Answers> = settings::config(&setup.settings, &name)
            .create_with_context(answers)
            .map_err(|source| LoadError::Client { client: name.clone(), source })?;
        let stream = StreamWriter::create(&setup.history_dir, &name, &header)
            .map_err(|source| LoadError::History { client: name.clone(), source })?;
        consumer.subscribe(&[&setup.topic]).map_err(|source| LoadError::Request {
            client: name.clone(),
            what: "subscribe",
            source,
        })?;
        Ok(Self {
            next_commit: Instant::now() + setup.commit_interval,
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
            self.group.watch.polled(poll.partition, poll.offset);
            self.push(&Entry::Poll(poll))?;
        }
        let now = Instant::now();
        if now >= self.next_commit {
            self.next_commit = now + self.group.setup.commit_interval;
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
            at: self.group.clock.now(),
            partition: message.partition(),
            offset: message.offset(),
            record: record::decode(message.payload(), self.group.setup.run),
        }
    }

    fn commit(&mut self) {
        if self.processed.is_empty() {
            return;
        }
        let topic = &self.group.setup.topic;
        let mut offsets = TopicPartitionList::new();
        for (partition, offset) in std::mem::take(&mut self.processed) {
            let added = offsets.add_partition_offset(topic, partition, Offset::Offset(offset));
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
    watch: Arc<dyn Watch>,
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
            self.watch.assigned(partition, self.number);
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
                    self.watch.revoked(element.partition(), self.number);
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
