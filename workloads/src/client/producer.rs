//! A producer: an open loop that sends each record when it is due.
//!
//! The schedule never waits. A late record is sent at once, none is skipped or re-spaced; a record
//! that finds the client's queue full keeps its due time and is tried again as soon as the client
//! has told something, so that the wait shows as schedule lag. The thread that sends also polls,
//! so that outcomes are seen in order. How it waits for the schedule, exactly or from burst to burst, is
//! in [`tempo`].
//!
//! A client that ends with a fatal error is made anew, as an application would do it: what is open gets
//! its outcome, its stream ends, and after [`RENEW_AFTER`] its next life (an *incarnation*) begins with a
//! stream of its own. The schedule goes on where it was; what was due meanwhile is sent late.
//!
//! The schedule begins when it is told to. One record is acked by each partition before it begins there (KAFKA-15591: the first
//! batch of an idempotent producer on an empty partition may be refused or reordered).

mod handle;
pub(crate) mod keys;
mod pace;
mod reports;
mod schedule;
pub(crate) mod seconds;
mod sender;
mod slots;
pub(crate) mod statistics;
mod tempo;
mod turns;
mod values;

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
use std::time::{Duration, Instant};

use results::record::clock::{RunClock, RunTime};
use results::record::history::{self, LoadRole};
use serde::{Deserialize, Serialize};

use super::partitions::Learning;
use super::{Counts, Env, FromClient, Inbox, LoadClient, LoadTopic, OpenClient, ToClient, Watch};
use crate::error::LoadError;
use crate::live::Live;
use crate::settings::ClientSettings;
use crate::spec::{Acks, Arrivals, Compression, KeySpec, Payload, RecordBytes, Shape};
use crate::wake::{Events, exact_timers, thread_cpu_s};
use pace::LoadPace;
use seconds::Seconds;
use sender::{Given, Sender};
use turns::Turns;

/// Most records that are sent before it is looked again what there is to hear: a few milliseconds' worth.
const SENT_AT_ONCE: u64 = 1000;

/// Longest sleep of a thread that waits for its client: events and messages wake it, this is for
/// purges only.
const IDLE: Duration = Duration::from_millis(100);

/// How long a purged client may take to report what it purged; it does so from memory.
const PURGE_LIMIT: Duration = Duration::from_secs(2);

/// From a client's fatal error to its next life: long enough for what is on its way to be answered, and
/// for a cluster that refuses every client at once not to be stormed; as long as Kafka's own clients
/// back off at the most (`reconnect.backoff.max.ms`).
const RENEW_AFTER: Duration = Duration::from_secs(1);

/// Time between two writes of the history's buffer to its file.
const FLUSH_EVERY: Duration = Duration::from_secs(1);

/// What a producer is made of.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct ProducerSetup {
    /// What the workload calls it.
    pub(crate) name: String,
    /// Its number in every record; no other producer of the run has it.
    pub(crate) number: u16,
    /// Life of the producer: restarts count up.
    pub(crate) incarnation: u16,
    pub(crate) role: LoadRole,
    /// Records a second, at most where they have a shape. `None`: as many as the client takes.
    pub(crate) rate: Option<u64>,
    pub(crate) shape: Shape,
    pub(crate) arrivals: Arrivals,
    pub(crate) acks: Acks,
    pub(crate) idempotent: bool,
    pub(crate) settings: ClientSettings,
    pub(crate) keys: KeySpec,
    pub(crate) record_bytes: RecordBytes,
    pub(crate) payload: Payload,
    pub(crate) seed: u64,
    /// After so many records behind the warm-up it sends no more; `None`: until it is told to stop.
    pub(crate) count: Option<u64>,
    /// Whether each outcome is written to the file at once: the process may be killed.
    pub(crate) prompt: bool,
}

impl ProducerSetup {
    /// Refuses a number of partitions of which one would have no key.
    pub(crate) fn check(&self, partitions: u32) -> Result<(), LoadError> {
        self.keys.check_over(partitions)
    }

    /// Whether it is, or is one of, what the workload calls so: a table's producers of several topics have its
    /// name, a dot, and the topic's number.
    pub(crate) fn is_called(&self, name: &str) -> bool {
        self.name.split('.').next() == Some(name)
    }

    /// Whether its batches are compressed.
    fn compresses(&self) -> bool {
        self.settings
            .get("compression.type")
            .is_some_and(|codec| codec != Compression::None.as_str())
    }

    fn header(&self) -> history::Client {
        history::Client::Producer {
            producer: self.number,
            incarnation: self.incarnation,
            acks: self.acks.number(),
            idempotent: self.idempotent,
            role: self.role,
        }
    }
}

impl LoadClient for ProducerSetup {
    fn name(&self) -> String {
        match self.role {
            LoadRole::Main => format!("producer-{}", self.incarnation),
            LoadRole::Probe | LoadRole::Extra | LoadRole::Direct | LoadRole::Broker(_) => {
                format!("{}-producer-{}", self.name, self.incarnation)
            }
        }
    }

    fn writes(&self) -> bool {
        true
    }

    fn open(&self, topic: &LoadTopic, env: Env) -> Result<Box<dyn OpenClient>, LoadError> {
        let security = env.connector.security().clone();
        let sender = Sender::new(self, topic, env.clock, Arc::clone(&env.live), security)?;
        Ok(Box::new(Producer {
            learning: None,
            clock: env.clock,
            live: env.live,
            inbox: env.inbox,
            watch: env.watch,
            ready: (0..topic.partitions as usize).collect(),
            sender,
            seconds: env.seconds,
            warm_up: true,
            count: self.count,
            turns: Turns::new(self.keys != KeySpec::None),
            pace: LoadPace::of(self),
            may_begin: false,
            deadline: None,
            asked: topic.partitions,
            known: Arc::new(AtomicU32::new(topic.partitions)),
        }))
    }
}

struct Producer {
    /// Ends before the client that it asks.
    learning: Option<Learning>,
    clock: RunClock,
    live: Arc<Live>,
    inbox: Arc<Inbox>,
    watch: Arc<dyn Watch>,
    sender: Sender,
    seconds: Option<Seconds>,
    /// Whether records are tagged as warm-up.
    warm_up: bool,
    /// Records behind the warm-up, while that lasts.
    count: Option<u64>,
    /// Begins when the first records are acked and the load says so.
    pace: LoadPace,
    may_begin: bool,
    /// Partitions that the schedule feeds.
    ready: Vec<usize>,
    turns: Turns,
    /// When set: nothing more is sent, and what is open is waited for until then.
    deadline: Option<Instant>,
    /// Number of partitions that there are to be.
    asked: u32,
    /// Number of partitions that librdkafka's client knows.
    known: Arc<AtomicU32>,
}

impl OpenClient for Producer {
    fn run(mut self: Box<Self>) -> Result<Counts, LoadError> {
        exact_timers();
        let lived = self.lives();
        drop(self.learning);
        let mut counts = self.sender.close()?;
        lived?;
        counts.cpu_s = thread_cpu_s();
        Ok(counts)
    }
}

impl Producer {
    /// One life of the client after the other, until it is told to stop.
    fn lives(&mut self) -> Result<(), LoadError> {
        loop {
            let events = Events::of(self.sender.native(), Arc::clone(self.inbox.wake()));
            let sent = self.first_records(&events).and_then(|()| self.scheduled(&events));
            let failed = self.tell_failure();
            sent.and(self.finish(&events))?;
            match failed {
                // It may fail while it waits for its last outcomes.
                None => {
                    self.tell_failure();
                    return Ok(());
                }
                Some(at) if !self.renew(at)? => return Ok(()),
                Some(_) => {}
            }
        }
    }

    /// Tells of the client's own end, if it has come to that; when.
    fn tell_failure(&self) -> Option<RunTime> {
        let (error, at) = (self.sender.failure()?, self.clock.now());
        let client = self.sender.name().to_owned();
        self.watch.hear(FromClient::Failed { at, client, error });
        Some(at)
    }

    /// Begins the client's next life, [`RENEW_AFTER`] after it `failed`. False when it was told to stop
    /// before.
    fn renew(&mut self, failed: RunTime) -> Result<bool, LoadError> {
        let until = failed.plus(RENEW_AFTER);
        loop {
            if self.is_told_to_stop()? {
                return Ok(false);
            }
            let now = self.clock.now();
            self.report_second(now);
            if now >= until {
                break;
            }
            self.inbox.wake().wait(until.since(now).min(IDLE));
        }
        self.learning = None;
        let failed = self.sender.name().to_owned();
        let (incarnation, client) = self.sender.next_life();
        let at = self.clock.now();
        self.watch.hear(FromClient::Renewed { at, failed, client, incarnation });
        self.sender.begin_anew()?;
        if self.asked > self.sender.partitions() {
            self.learn(self.asked)?;
        }
        Ok(true)
    }

    /// Whether it is to go on, and the client can.
    fn goes_on(&mut self) -> Result<bool, LoadError> {
        Ok(!self.is_told_to_stop()? && self.sender.failure().is_none())
    }

    /// Reads what it was told. Whether it is to stop.
    fn is_told_to_stop(&mut self) -> Result<bool, LoadError> {
        while let Some(message) = self.inbox.next() {
            match message {
                ToClient::Begin => self.may_begin = true,
                ToClient::EndWarmUp => {
                    (self.may_begin, self.warm_up) = (true, false);
                    self.count.take().into_iter().for_each(|count| self.pace.end_after(count));
                }
                ToClient::Rate { per_second } => {
                    self.pace.change(self.clock.now(), per_second);
                }
                ToClient::Partitions { count, .. } => self.learn(count)?,
                ToClient::Stop { within } => {
                    let deadline = Instant::now() + within;
                    self.deadline = Some(self.deadline.map_or(deadline, |own| own.min(deadline)));
                }
                ToClient::Replace { .. } | ToClient::Stall { .. } | ToClient::Pause { .. } => {}
            }
        }
        Ok(self.deadline.is_some())
    }

    /// Lets the client learn that there are `count` partitions.
    fn learn(&mut self, count: u32) -> Result<(), LoadError> {
        // Whatever was being learnt before is part of this.
        self.learning = None;
        self.asked = count;
        let (ask, known, wake) =
            (self.sender.ask(), Arc::clone(&self.known), Arc::clone(self.inbox.wake()));
        let learnt = move || {
            known.store(count, Relaxed);
            wake.ring();
        };
        let (client, topic) = (self.sender.name(), self.sender.topic());
        self.learning = Some(Learning::start(client, topic, count, ask, learnt)?);
        Ok(())
    }

    /// One record to each partition, again where it was not acked, until all are acked; then it waits for the word to
    /// begin.
    fn first_records(&mut self, events: &Events) -> Result<(), LoadError> {
        let mut at_work = false;
        while !self.pace.has_begun() && self.goes_on()? {
            self.collect(events)?;
            if !at_work && self.sender.unacked().next().is_none() {
                self.watch.hear(FromClient::AtWork);
                at_work = true;
            }
            if at_work && self.may_begin {
                return Ok(());
            }
            self.try_first_records()?;
            self.inbox.wake().wait(IDLE);
        }
        Ok(())
    }

    /// A record to each partition that never acked one and has none open.
    fn try_first_records(&mut self) -> Result<(), LoadError> {
        let untried: Vec<_> = self.sender.unacked().filter(|p| self.sender.idle(*p)).collect();
        for partition in untried {
            self.sender.send(partition, None, None, true, self.seconds.as_mut())?;
        }
        Ok(())
    }

    fn scheduled(&mut self, events: &Events) -> Result<(), LoadError> {
        let mut flush = self.clock.now().plus(FLUSH_EVERY);
        let mut held_up = None;
        while self.goes_on()? {
            if !self.pace.has_begun() {
                self.pace.begin(self.clock.now());
            }
            self.collect(events)?;
            self.take_up_partitions()?;
            let now = self.clock.now();
            self.report_second(now);
            self.tell_times();
            if now >= flush {
                self.sender.flush()?;
                flush = now.plus(FLUSH_EVERY);
            }
            if self.pace.is_over() && self.sender.open() == 0 {
                self.live.complete();
            }
            let at = self.pace.sent_at(now);
            if now < at {
                let until = self.seconds.as_ref().map_or(at, |seconds| at.min(seconds.end()));
                self.pace.wait(self.clock, now, until.min(flush), self.inbox.wake());
            } else if self.send_due(now)? == Given::QueueFull {
                let next = self.pace.next();
                if held_up.replace(next) != Some(next) && !self.pace.is_closed() {
                    self.sender.count_queue_full();
                }
                self.inbox.wake().wait(IDLE);
            }
        }
        Ok(())
    }

    /// Sends what is due by `now`, up to [`SENT_AT_ONCE`] records. What the client did with the last.
    fn send_due(&mut self, now: RunTime) -> Result<Given, LoadError> {
        let end = self.pace.due_by(now).1.min(self.pace.next() + SENT_AT_ONCE);
        while self.pace.next() < end {
            let next = self.pace.next();
            // No key is chosen for a partition that has not acked its first record yet.
            let chosen = self.sender.choose(next).filter(|(_, to)| self.sender.has_acked(*to));
            let due = self.pace.due();
            let turn = self.ready[self.turns.of(next, due.unwrap_or(now), self.ready.len())];
            let to = chosen.map_or(turn, |(_, to)| to);
            let key = chosen.map(|(key, _)| key);
            let given = self.sender.send(to, key, due, self.warm_up, self.seconds.as_mut())?;
            if given != Given::Taken {
                return Ok(given);
            }
            self.pace.advance();
        }
        Ok(Given::Taken)
    }

    /// Gives partitions that the client has come to know their first record, and their turns once that
    /// is acked.
    fn take_up_partitions(&mut self) -> Result<(), LoadError> {
        let known = self.known.load(Relaxed);
        if known as usize == self.ready.len() {
            return Ok(());
        }
        if known > self.sender.partitions() {
            self.sender.grow(known)?;
            self.live.grow(known);
        }
        let acked = (0..known as usize).filter(|p| self.sender.has_acked(*p));
        self.ready = acked.collect();
        self.try_first_records()
    }

    fn report_second(&mut self, now: RunTime) {
        if let Some(seconds) = self.seconds.as_mut().filter(|_| self.pace.has_begun()) {
            let (open, consumed) = (self.sender.open() as u64, self.live.consumed());
            seconds.turn(now, self.pace.due_by(now).0, open, consumed);
        }
    }

    /// Passes on what the client has said of its brokers.
    fn tell_times(&self) {
        if let Some((at, times)) = self.sender.take_times() {
            self.watch.hear(FromClient::Times { at, times });
        }
    }

    /// Waits for the outcome of what is open, then gives the rest up.
    fn finish(&mut self, events: &Events) -> Result<(), LoadError> {
        let deadline = self.deadline.unwrap_or_else(|| Instant::now() + RENEW_AFTER);
        self.await_outcomes(events, deadline)?;
        if self.sender.open() > 0 {
            self.sender.purge();
            self.await_outcomes(events, Instant::now() + PURGE_LIMIT)?;
        }
        Ok(())
    }

    fn await_outcomes(&mut self, events: &Events, deadline: Instant) -> Result<(), LoadError> {
        loop {
            self.collect(events)?;
            let left = deadline.saturating_duration_since(Instant::now());
            if self.sender.open() == 0 || left.is_zero() {
                return Ok(());
            }
            self.inbox.wake().wait(left.min(IDLE));
        }
    }

    fn collect(&mut self, events: &Events) -> Result<(), LoadError> {
        while events.waiting() {
            self.sender.poll();
        }
        self.sender.collect(self.seconds.as_mut())
    }
}
