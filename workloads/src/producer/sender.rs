//! The client of a producing thread, and the record of each of its sends from produce to outcome.
//!
//! Every record that the client took has a slot until its outcome is in the history; what is left
//! at the end is written as indeterminate. So the history holds every record that may be in a log, unless
//! the process is killed.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rand::{Rng, SeedableRng};
use rdkafka::ClientContext;
use rdkafka::message::DeliveryResult;
use rdkafka::producer::{BaseProducer, BaseRecord, Producer as _, ProducerContext, PurgeConfig};
use rdkafka::types::{RDKafka, RDKafkaErrorCode};
use results::record::clock::{RunClock, RunTime};
use results::record::history::{
    Client, Entry, LoadRole, Outcome, RecordId, Send, StreamHeader, StreamWriter,
};
use serde::{Deserialize, Serialize};

use super::Produced;
use crate::error::LoadError;
use crate::keys::Keys;
use crate::live::Live;
use crate::outcome::{self, NO_ERROR};
use crate::record;
use crate::seconds::Seconds;
use crate::settings::{self, Settings};
use crate::spec::Acks;

/// Number of different values, made before the run; enough that no batch repeats itself.
const VALUES: usize = 64;

/// What a sender is made of, wherever it runs.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct SenderSetup {
    pub(crate) run: u64,
    pub(crate) topic: String,
    pub(crate) partitions: u32,
    pub(crate) producer: u16,
    /// Life of the producer: restarts count up.
    pub(crate) incarnation: u16,
    pub(crate) role: LoadRole,
    pub(crate) acks: Acks,
    pub(crate) idempotent: bool,
    pub(crate) settings: Settings,
    pub(crate) keys: u32,
    pub(crate) record_bytes: usize,
    pub(crate) seed: u64,
    pub(crate) history_dir: PathBuf,
}

impl SenderSetup {
    /// Name of the client in errors, of its stream and of its connections.
    pub(crate) fn name(&self) -> String {
        let Self { producer, incarnation, .. } = self;
        match self.role {
            LoadRole::Main => format!("producer-{producer}"),
            LoadRole::Probe => format!("probe-producer-{producer}"),
            LoadRole::Worker => format!("worker-producer-{producer}-{incarnation}"),
        }
    }

    fn header(&self) -> StreamHeader {
        StreamHeader {
            run: self.run,
            topic: self.topic.clone(),
            partitions: self.partitions,
            client: Client::Producer {
                producer: self.producer,
                incarnation: self.incarnation,
                acks: self.acks.number(),
                idempotent: self.idempotent,
                role: self.role,
            },
        }
    }
}

/// Whether the client took a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Given {
    /// It did, or refused it for good: its outcome is or will be in the history.
    Taken,
    /// Its queue is full: the same record again later.
    QueueFull,
}

/// The client of a producing thread.
pub(crate) struct Sender {
    name: String,
    clock: RunClock,
    run: u64,
    producer: u16,
    incarnation: u16,
    /// Whether each outcome is written to the file at once: the process may be killed.
    prompt: bool,
    topic: String,
    client: BaseProducer<Reports>,
    stream: StreamWriter,
    live: Arc<Live>,
    keys: Keys,
    values: Vec<Vec<u8>>,
    next_value: usize,
    next_sequence: Vec<u64>,
    acked: Vec<bool>,
    slots: Slots,
    purged: bool,
    produced: Produced,
}

impl Sender {
    pub(crate) fn new(
        setup: SenderSetup,
        clock: RunClock,
        live: Arc<Live>,
    ) -> Result<Self, LoadError> {
        let name = setup.name();
        let keys = Keys::new(setup.keys, setup.partitions)
            .map_err(|partition| LoadError::Keys { keys: setup.keys, partition })?;
        let reports = Reports { clock, new: Mutex::default() };
        let client = settings::config(&setup.settings, &name)
            .create_with_context(reports)
            .map_err(|source| LoadError::Client { client: name.clone(), source })?;
        let stream = StreamWriter::create(&setup.history_dir, &name, &setup.header())
            .map_err(|source| LoadError::History { client: name.clone(), source })?;
        Ok(Self {
            name,
            clock,
            run: setup.run,
            producer: setup.producer,
            incarnation: setup.incarnation,
            prompt: setup.role == LoadRole::Worker,
            topic: setup.topic,
            client,
            stream,
            live,
            keys,
            values: values(setup.seed, setup.record_bytes),
            next_value: 0,
            next_sequence: vec![0; setup.partitions as usize],
            acked: vec![false; setup.partitions as usize],
            slots: Slots::default(),
            purged: false,
            produced: Produced::default(),
        })
    }

    pub(crate) fn native(&self) -> *mut RDKafka {
        self.client.client().native_ptr()
    }

    /// Whether every partition has acked a record.
    pub(crate) fn all_acked(&self) -> bool {
        self.acked.iter().all(|acked| *acked)
    }

    /// Partitions that never acked a record and have none open.
    pub(crate) fn untried(&self) -> Vec<usize> {
        let idle = |p: &usize| !self.acked[*p] && self.live.outstanding(*p as u32) == 0;
        (0..self.acked.len()).filter(idle).collect()
    }

    /// Sends that have no outcome yet.
    pub(crate) fn open(&self) -> usize {
        self.slots.open
    }

    pub(crate) fn count_queue_full(&mut self) {
        self.produced.queue_full += 1;
    }

    /// Hands the next record of `partition` to the client.
    pub(crate) fn send(
        &mut self,
        partition: usize,
        due: RunTime,
        warm_up: bool,
        seconds: Option<&mut Seconds>,
    ) -> Result<Given, LoadError> {
        let (key, key_name) = self.keys.turn(partition);
        let id = RecordId {
            producer: self.producer,
            incarnation: self.incarnation,
            partition: partition as i32,
            sequence: self.next_sequence[partition],
            key,
            due,
        };
        let value = &mut self.values[self.next_value];
        record::encode(value, self.run, &id, warm_up);
        let sent = self.clock.now();
        let slot = self.slots.take(Send {
            partition: id.partition,
            sequence: id.sequence,
            key,
            warm_up,
            due,
            sent,
            done: sent,
            outcome: Outcome::Indeterminate { code: NO_ERROR },
        });
        let record = BaseRecord::with_opaque_to(&self.topic, slot)
            .partition(id.partition)
            .key(key_name)
            .payload(value.as_slice());
        let refused = self.client.send(record).err().map(|(error, _)| outcome::code_of(&error));
        if refused == Some(RDKafkaErrorCode::QueueFull) {
            self.slots.free(slot);
            return Ok(Given::QueueFull);
        }
        self.keys.advance(partition);
        self.next_sequence[partition] += 1;
        self.next_value = (self.next_value + 1) % self.values.len();
        self.produced.sent += 1;
        self.live.sent(id.partition);
        let mut seconds = seconds;
        if let Some(seconds) = &mut seconds {
            seconds.sent(due, sent);
        }
        if let Some(code) = refused {
            let outcome = Outcome::Failed { code: code as i32 };
            self.end(Report { slot, at: self.clock.now(), outcome }, seconds)?;
        }
        Ok(Given::Taken)
    }

    /// Takes one event from the client.
    pub(crate) fn poll(&self) {
        self.client.poll(Duration::ZERO);
    }

    /// Records the outcomes that were reported since the last call.
    pub(crate) fn collect(&mut self, mut seconds: Option<&mut Seconds>) -> Result<(), LoadError> {
        let reports = self.client.context().take();
        let flush = self.prompt && !reports.is_empty();
        for report in reports {
            self.end(report, seconds.as_deref_mut())?;
        }
        if flush { self.flush() } else { Ok(()) }
    }

    fn end(&mut self, report: Report, seconds: Option<&mut Seconds>) -> Result<(), LoadError> {
        let Some(mut send) = self.slots.free(report.slot) else {
            return Ok(());
        };
        send.done = report.at;
        send.outcome = match report.outcome {
            // What was open when we gave up has no error of its own.
            Outcome::Indeterminate { .. } if self.purged => {
                Outcome::Indeterminate { code: NO_ERROR }
            }
            other => other,
        };
        let acked = match send.outcome {
            Outcome::Acked { offset } => {
                self.produced.acked += 1;
                self.acked[send.partition as usize] = true;
                Some(offset)
            }
            Outcome::Failed { .. } => {
                self.produced.failed += 1;
                None
            }
            Outcome::Indeterminate { .. } => {
                self.produced.indeterminate += 1;
                None
            }
        };
        self.live.done(send.partition, send.due, send.done, acked);
        if let Some(seconds) = seconds {
            seconds.done(&send);
        }
        self.write(&Entry::Send(send))
    }

    fn write(&mut self, entry: &Entry) -> Result<(), LoadError> {
        let client = || self.name.clone();
        self.stream.push(entry).map_err(|source| LoadError::History { client: client(), source })
    }

    /// Writes the history's buffer to its file.
    pub(crate) fn flush(&mut self) -> Result<(), LoadError> {
        let client = || self.name.clone();
        self.stream.flush().map_err(|source| LoadError::History { client: client(), source })
    }

    /// Gives up what is open; the client reports each as purged.
    pub(crate) fn purge(&mut self) {
        self.purged = true;
        self.client.purge(PurgeConfig::default().queue().inflight());
    }

    /// Writes what never had an outcome, ends the stream and the client.
    pub(crate) fn close(mut self) -> Result<Produced, LoadError> {
        let at = self.clock.now();
        for slot in self.slots.taken() {
            let outcome = Outcome::Indeterminate { code: NO_ERROR };
            self.end(Report { slot, at, outcome }, None)?;
        }
        let client = self.name;
        self.stream.finish().map_err(|source| LoadError::History { client, source })?;
        Ok(self.produced)
    }
}

/// Values of random bytes: nothing about the load can be compressed by accident.
fn values(seed: u64, bytes: usize) -> Vec<Vec<u8>> {
    let mut random = rand::rngs::StdRng::seed_from_u64(seed);
    (0..VALUES)
        .map(|_| {
            let mut value = vec![0; bytes];
            random.fill_bytes(&mut value);
            value
        })
        .collect()
}

/// One delivery report.
#[derive(Debug, Clone, Copy)]
struct Report {
    slot: usize,
    at: RunTime,
    outcome: Outcome,
}

/// Where the client's delivery reports arrive, on the thread that polls.
struct Reports {
    clock: RunClock,
    new: Mutex<Vec<Report>>,
}

impl Reports {
    fn take(&self) -> Vec<Report> {
        std::mem::take(&mut *self.new.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl ClientContext for Reports {}

impl ProducerContext for Reports {
    type DeliveryOpaque = usize;

    fn delivery(&self, report: &DeliveryResult<'_>, slot: usize) {
        let report = Report { slot, at: self.clock.now(), outcome: outcome::of(report) };
        self.new.lock().unwrap_or_else(PoisonError::into_inner).push(report);
    }
}

/// Sends without outcome, numbered by what the client carries along.
#[derive(Default)]
struct Slots {
    sends: Vec<Option<Send>>,
    unused: Vec<usize>,
    open: usize,
}

impl Slots {
    fn take(&mut self, send: Send) -> usize {
        self.open += 1;
        if let Some(slot) = self.unused.pop() {
            self.sends[slot] = Some(send);
            return slot;
        }
        self.sends.push(Some(send));
        self.sends.len() - 1
    }

    fn free(&mut self, slot: usize) -> Option<Send> {
        let send = self.sends.get_mut(slot)?.take()?;
        self.unused.push(slot);
        self.open -= 1;
        Some(send)
    }

    fn taken(&self) -> Vec<usize> {
        (0..self.sends.len()).filter(|slot| self.sends[*slot].is_some()).collect()
    }
}
