//! The client of a producing thread, and the record of each of its sends from produce to outcome.
//!
//! Every record that the client took has a slot until its outcome is in the history; what is left
//! at the end is written as indeterminate. So the history holds every record that may be in a log, unless
//! the process is killed.

use std::sync::Arc;
use std::time::Duration;

use rdkafka::error::{KafkaError, KafkaResult};
use rdkafka::metadata::Metadata;
use rdkafka::producer::{BaseProducer, Producer as _, PurgeConfig};
use rdkafka::types::{RDKafka, RDKafkaErrorCode};
use results::record::clock::{RunClock, RunTime};
use results::record::event::ClientTimes;
use results::record::history::{Entry, NO_ACK_ASKED, RecordId, Send, SendOutcome, StreamWriter};

use super::ProducerSetup;
use super::handle::TopicHandle;
use super::keys::Keys;
use super::reports::{DeliveryReport, DeliveryReports};
use super::seconds::Seconds;
use super::slots::{OpenSend, Slots};
use super::values::Values;
use crate::client::outcome::{self, OPEN};
use crate::client::{Counts, LoadClient, LoadTopic};
use crate::error::LoadError;
use crate::live::Live;
use crate::record;
use crate::security::Security;
use crate::settings::{self, STATISTICS_INTERVAL};
use crate::spec::Acks;

/// Whether the client took a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Given {
    /// It did, or refused it for good: its outcome is or will be in the history.
    Taken,
    /// Its queue is full: the same record again later.
    QueueFull,
    /// It takes none any more: the same record again in its next life.
    Failed,
}

/// The client of a producing thread.
pub(crate) struct Sender {
    setup: ProducerSetup,
    name: String,
    topic: LoadTopic,
    clock: RunClock,
    /// For clients that are made anew.
    security: Security,
    handle: TopicHandle,
    stream: StreamWriter,
    live: Arc<Live>,
    keys: Keys,
    values: Values,
    partitions: Vec<SenderPartition>,
    slots: Slots,
    /// Delivery reports that are being recorded, and the sends that they are of; none between two calls.
    reports: Vec<DeliveryReport>,
    ended: Vec<Option<OpenSend>>,
    /// Partitions with acks that the load's figures do not have yet.
    news: Vec<usize>,
    purged: bool,
    /// No send is tried a second time before that has passed.
    retry: Duration,
    counts: Counts,
}

/// What a sender sent to one partition.
#[derive(Debug, Default, Clone)]
struct SenderPartition {
    next_sequence: u64,
    /// Sends without outcome.
    open: usize,
    /// Whether it has acked a record; with acks=0, whether one was handed over.
    acked: bool,
    /// Highest due time and offset of what was acked since the load's figures were told.
    news: Option<(RunTime, i64)>,
}

impl Sender {
    pub(crate) fn new(
        setup: &ProducerSetup,
        topic: &LoadTopic,
        clock: RunClock,
        live: Arc<Live>,
        security: Security,
    ) -> Result<Self, LoadError> {
        let name = setup.name();
        let keys = Keys::new(setup.keys, topic.partitions)?;
        let values = Values::new(setup.seed, &setup.record_bytes, setup.payload);
        let handle = handle(setup, &name, &topic.name, &security, &values)?;
        Ok(Self {
            stream: topic.stream(&name, setup.header())?,
            values,
            partitions: vec![SenderPartition::default(); topic.partitions as usize],
            setup: setup.clone(),
            name,
            topic: topic.clone(),
            clock,
            security,
            handle,
            live,
            keys,
            slots: Slots::default(),
            reports: vec![],
            ended: vec![],
            news: vec![],
            purged: false,
            retry: outcome::first_retry(&setup.settings),
            counts: Counts::default(),
        })
    }

    pub(crate) fn native(&self) -> *mut RDKafka {
        self.client().client().native_ptr()
    }

    fn client(&self) -> &BaseProducer<DeliveryReports> {
        self.handle.client()
    }

    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    pub(crate) fn topic(&self) -> &str {
        &self.topic.name
    }

    /// How to ask the brokers for all topics, from another thread.
    pub(crate) fn ask(&self) -> impl Fn(Duration) -> KafkaResult<Metadata> + use<> {
        let client = Arc::clone(self.handle.client());
        move |limit| client.client().fetch_metadata(None, limit)
    }

    /// Number of partitions.
    pub(crate) fn partitions(&self) -> u32 {
        self.partitions.len() as u32
    }

    /// Makes room for more partitions.
    pub(crate) fn grow(&mut self, partitions: u32) -> Result<(), LoadError> {
        self.keys = Keys::new(self.setup.keys, partitions)?;
        self.partitions.resize(partitions as usize, SenderPartition::default());
        Ok(())
    }

    /// Partitions that never acked a record.
    pub(crate) fn unacked(&self) -> impl Iterator<Item = usize> {
        (0..self.partitions.len()).filter(|p| !self.partitions[*p].acked)
    }

    /// Whether a partition has acked a record.
    pub(crate) fn has_acked(&self, partition: usize) -> bool {
        self.partitions.get(partition).is_some_and(|p| p.acked)
    }

    /// Whether no send to a partition is without outcome.
    pub(crate) fn idle(&self, partition: usize) -> bool {
        self.partitions.get(partition).is_some_and(|p| p.open == 0)
    }

    /// Where the client has said that time went, since the last call, and when it said so.
    pub(crate) fn take_times(&self) -> Option<(RunTime, ClientTimes)> {
        let (at, brokers) = self.client().context().take_times()?;
        let interval = self.setup.settings.get(STATISTICS_INTERVAL).and_then(|ms| ms.parse().ok());
        let (client, over_ms) = (self.name.clone(), interval.unwrap_or_default());
        Some((at, ClientTimes { client, over_ms, brokers }))
    }

    /// Sends that have no outcome yet.
    pub(crate) fn open(&self) -> usize {
        self.slots.open
    }

    pub(crate) fn count_queue_full(&mut self) {
        self.counts.queue_full += 1;
    }

    /// The key of record `number` of the load and its partition, where keys are chosen.
    pub(crate) fn choose(&self, number: u64) -> Option<(u32, usize)> {
        self.keys.choose(self.setup.seed, number)
    }

    /// Hands the next record of `partition` to the client, with a key that was chosen or the partition's next; it is due
    /// now where it has no other time.
    pub(crate) fn send(
        &mut self,
        partition: usize,
        chosen: Option<u32>,
        due: Option<RunTime>,
        warm_up: bool,
        seconds: Option<&mut Seconds>,
    ) -> Result<Given, LoadError> {
        let (key, key_name) = match chosen {
            Some(key) => (key, self.keys.name(key)),
            None => self.keys.turn(partition),
        };
        let sent = self.clock.now();
        let due = due.unwrap_or(sent);
        let id = RecordId {
            producer: self.setup.number,
            incarnation: self.setup.incarnation,
            partition: partition as i32,
            sequence: self.partitions[partition].next_sequence,
            key,
            due,
        };
        let slot = self.slots.take(OpenSend {
            partition: id.partition,
            sequence: id.sequence,
            key,
            warm_up,
            due,
            sent,
        });
        let series = u64::from(id.producer) << 32 | partition as u64;
        let value = self.values.value(slot, series, id.sequence);
        record::encode_header(value.bytes, value.filling, self.topic.run, &id, warm_up);
        let key_bytes = key_name.map(str::as_bytes);
        let refused = self.handle.produce(id.partition, key_bytes, &value, slot).err();
        let given = match refused {
            Some(RDKafkaErrorCode::QueueFull) => Given::QueueFull,
            Some(RDKafkaErrorCode::Fatal) => Given::Failed,
            _ => Given::Taken,
        };
        if given != Given::Taken {
            self.slots.free(slot);
            if given == Given::Failed {
                self.client().context().fail();
            }
            return Ok(given);
        }
        if chosen.is_none() {
            self.keys.advance(partition);
        }
        self.partitions[partition].next_sequence += 1;
        self.partitions[partition].open += 1;
        self.values.advance();
        self.counts.sent += 1;
        let mut seconds = seconds;
        if let Some(seconds) = &mut seconds {
            seconds.sent(due, sent);
        }
        if let Some(code) = refused {
            // It was in no request.
            let outcome = SendOutcome::Failed { code: code as i32 };
            let open = self.slots.free(slot);
            self.end(open, self.clock.now(), |_| outcome, seconds)?;
        }
        Ok(Given::Taken)
    }

    /// Takes one event from the client.
    pub(crate) fn poll(&self) {
        self.client().context().polled_at(self.clock.now());
        self.client().poll(Duration::ZERO);
    }

    /// Records the outcomes that were reported since the last call.
    pub(crate) fn collect(&mut self, mut seconds: Option<&mut Seconds>) -> Result<(), LoadError> {
        let mut reports = std::mem::take(&mut self.reports);
        self.client().context().take(&mut reports);
        let flush = self.setup.prompt && !reports.is_empty();
        let (purged, retry, asks) = (self.purged, self.retry, self.setup.acks != Acks::None);
        // Sends are seldom in a cache; when all are fetched at once, one need not wait for the other.
        let mut ended = std::mem::take(&mut self.ended);
        ended.extend(reports.iter().map(|report| self.slots.free(report.slot)));
        for (DeliveryReport { at, reported, .. }, open) in reports.drain(..).zip(ended.drain(..)) {
            let outcome = |send: &Send| match reported.outcome(at.since(send.sent), retry, asks) {
                sent @ SendOutcome::Indeterminate { code: NO_ACK_ASKED } => sent,
                // What was open when we gave up has no error of its own.
                SendOutcome::Indeterminate { .. } if purged => OPEN,
                outcome => outcome,
            };
            self.end(open, at, outcome, seconds.as_deref_mut())?;
        }
        (self.reports, self.ended) = (reports, ended);
        self.tell_acks();
        if flush { self.flush() } else { Ok(()) }
    }

    /// Tells the load's figures what was acked, once a partition.
    fn tell_acks(&mut self) {
        for partition in self.news.drain(..) {
            if let Some((due, offset)) = self.partitions[partition].news.take() {
                self.live.acked(partition as i32, due, offset);
            }
        }
    }

    fn end(
        &mut self,
        open: Option<OpenSend>,
        at: RunTime,
        outcome: impl FnOnce(&Send) -> SendOutcome,
        seconds: Option<&mut Seconds>,
    ) -> Result<(), LoadError> {
        let Some(open) = open else {
            return Ok(());
        };
        let mut send = open.ended(at);
        send.outcome = outcome(&send);
        let number = send.partition as usize;
        let partition = &mut self.partitions[number];
        partition.open -= 1;
        match send.outcome {
            SendOutcome::Acked { offset } => {
                self.counts.acked += 1;
                partition.acked = true;
                if partition.news.is_none() {
                    self.news.push(number);
                }
                let (due, end) = partition.news.get_or_insert((send.due, offset));
                (*due, *end) = (send.due.max(*due), offset.max(*end));
            }
            SendOutcome::Indeterminate { code: NO_ACK_ASKED } => {
                self.counts.indeterminate += 1;
                // There is nothing more to wait for.
                partition.acked = true;
                self.live.handed_over(send.partition, send.due);
                if let Some(seconds) = seconds {
                    seconds.done(&send);
                }
                return self.write(&Entry::Send(send));
            }
            SendOutcome::Failed { .. } => self.counts.failed += 1,
            SendOutcome::Indeterminate { .. } => self.counts.indeterminate += 1,
        }
        let is_acked = matches!(send.outcome, SendOutcome::Acked { .. });
        self.live.ended(send.due, send.done, is_acked);
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
        self.client().purge(PurgeConfig::default().queue().inflight());
    }

    /// The error that the client cannot go on after, in its own words.
    pub(crate) fn failure(&self) -> Option<String> {
        if !self.client().context().has_failed() {
            return None;
        }
        let words = |(code, words)| format!("{code}: {words}");
        Some(self.client().client().fatal_error().map_or("no words".to_owned(), words))
    }

    /// Number and name of the client's next life.
    pub(crate) fn next_life(&self) -> (u16, String) {
        let incarnation = self.setup.incarnation + 1;
        (incarnation, ProducerSetup { incarnation, ..self.setup.clone() }.name())
    }

    /// Ends stream and client as [`close`](Self::close) does, and begins the next life of both.
    pub(crate) fn begin_anew(&mut self) -> Result<(), LoadError> {
        self.give_up_open()?;
        self.count_bytes();
        let former = self.name.clone();
        (self.setup.incarnation, self.name) = self.next_life();
        self.topic.partitions = self.partitions();
        let stream = self.topic.stream(&self.name, self.setup.header())?;
        let ended = std::mem::replace(&mut self.stream, stream).finish();
        ended.map_err(|source| LoadError::History { client: former, source })?;
        self.values.renew();
        self.handle =
            handle(&self.setup, &self.name, &self.topic.name, &self.security, &self.values)?;
        self.partitions.iter_mut().for_each(|partition| partition.next_sequence = 0);
        self.purged = false;
        Ok(())
    }

    /// Adds what this life of the client says that it sent.
    fn count_bytes(&mut self) {
        // Of what is not compressed there is nothing to tell.
        if !self.setup.compresses() {
            return;
        }
        let [messages, requests] = self.client().context().sent_bytes();
        self.counts.message_bytes += messages;
        self.counts.request_bytes += requests;
    }

    /// Writes what never had an outcome.
    fn give_up_open(&mut self) -> Result<(), LoadError> {
        let at = self.clock.now();
        for slot in self.slots.taken() {
            let open = self.slots.free(slot);
            self.end(open, at, |_| OPEN, None)?;
        }
        Ok(())
    }

    /// Writes what never had an outcome, ends the stream and the client.
    pub(crate) fn close(mut self) -> Result<Counts, LoadError> {
        self.give_up_open()?;
        self.count_bytes();
        let client = self.name;
        self.stream.finish().map_err(|source| LoadError::History { client, source })?;
        Ok(self.counts)
    }
}

/// librdkafka's client of a producer that calls itself `name`, and its handle of the topic.
fn handle(
    setup: &ProducerSetup,
    name: &str,
    topic: &str,
    security: &Security,
    values: &Values,
) -> Result<TopicHandle, LoadError> {
    let failed = |source| LoadError::Client { client: name.to_owned(), source };
    let made = settings::config(&setup.settings, name, security)
        .create_with_context(DeliveryReports::new(values.memory()))
        .map_err(failed)?;
    TopicHandle::new(Arc::new(made), topic)
        .map_err(|code| failed(KafkaError::ClientCreation(format!("the topic {topic}: {code}"))))
}
