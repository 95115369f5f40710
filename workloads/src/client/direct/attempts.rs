//! Tries to append a record each, and what came of them.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use kafka_protocol::messages::ProduceRequest;
use rdkafka::types::RDKafkaErrorCode as E;
use results::record::clock::RunClock;
use results::record::history::{Entry, HistoryError, RecordId, Send, SendOutcome, StreamWriter};

use super::leaders::Leaders;
use super::{DirectSetup, Env, LoadClient, LoadTopic};
use crate::client::producer::keys::Keys;
use crate::client::{FromClient, Watch, outcome};
use crate::error::LoadError;
use crate::live::Live;
use crate::record;
use crate::wire::{Connection, Connector, PRODUCE_VERSION, produce_request};

/// Limit for a connection.
const CONNECT_LIMIT: Duration = Duration::from_secs(1);

/// Limit for an answer, the broker's included: the default of `request.timeout.ms`.
const ANSWER_LIMIT: Duration = Duration::from_secs(30);

/// A try that was begun.
pub(super) struct BegunAttempt {
    pub(super) number: u64,
    partition: i32,
    request: Option<ProduceRequest>,
}

/// The tries of a direct producer.
pub(super) struct Attempts {
    name: String,
    setup: DirectSetup,
    run: u64,
    topic: String,
    connector: Connector,
    clock: RunClock,
    live: Arc<Live>,
    watch: Arc<dyn Watch>,
    leaders: Rc<Leaders>,
    keys: RefCell<Keys>,
    warm_up: Cell<bool>,
    stopped: Cell<bool>,
    /// Until it is closed.
    stream: RefCell<Option<StreamWriter>>,
    failure: RefCell<Option<HistoryError>>,
    /// Sequence of the next record of each partition.
    sequences: RefCell<BTreeMap<i32, u64>>,
    /// Those without outcome, by the number of the try.
    open: RefCell<BTreeMap<u64, Send>>,
    sent: Cell<u64>,
    acked: Cell<u64>,
    /// Connections on which nothing is awaited, by broker.
    idle: RefCell<BTreeMap<SocketAddr, Vec<Connection>>>,
}

impl Attempts {
    pub(super) fn new(
        setup: &DirectSetup,
        topic: &LoadTopic,
        env: &Env,
        stream: StreamWriter,
        leaders: Rc<Leaders>,
    ) -> Result<Self, LoadError> {
        Ok(Self {
            name: setup.name(),
            setup: setup.clone(),
            run: topic.run,
            topic: topic.name.clone(),
            connector: env.connector.clone(),
            clock: env.clock,
            live: Arc::clone(&env.live),
            watch: Arc::clone(&env.watch),
            leaders,
            keys: RefCell::new(Keys::new(setup.keys, topic.partitions)?),
            warm_up: Cell::new(true),
            stopped: Cell::new(false),
            stream: RefCell::new(Some(stream)),
            failure: RefCell::default(),
            sequences: RefCell::default(),
            open: RefCell::default(),
            sent: Cell::new(0),
            acked: Cell::new(0),
            idle: RefCell::default(),
        })
    }

    /// Records are not tagged as warm-up any more.
    pub(super) fn end_warm_up(&self) {
        self.warm_up.set(false);
    }

    /// The topic has so many partitions now.
    pub(super) fn grow(&self, partitions: u32) -> Result<(), LoadError> {
        self.keys.replace(Keys::new(self.setup.keys, partitions)?);
        Ok(())
    }

    /// No more are begun.
    pub(super) fn stop(&self) {
        self.stopped.set(true);
    }

    pub(super) fn stopped(&self) -> bool {
        self.stopped.get()
    }

    /// The leaders may not be what was said last.
    pub(super) fn doubt(&self) {
        self.leaders.doubt();
    }

    /// Number of those without outcome.
    pub(super) fn open(&self) -> usize {
        self.open.borrow().len()
    }

    /// Begins a try.
    pub(super) fn begin(&self, partition: i32) -> BegunAttempt {
        let at = self.clock.now();
        let mut sequences = self.sequences.borrow_mut();
        let sequence = sequences.entry(partition).or_default();
        let mut keys = self.keys.borrow_mut();
        let (key, key_name) = keys.turn(partition as usize);
        let id = RecordId {
            producer: self.setup.number,
            incarnation: 0,
            partition,
            sequence: *sequence,
            key,
            due: at,
        };
        let (warm_up, number) = (self.warm_up.get(), self.sent.get());
        let mut value = vec![0; record::HEADER_BYTES];
        record::encode(&mut value, self.run, &id, warm_up);
        let key_name = key_name.map(|name| Bytes::copy_from_slice(name.as_bytes()));
        let (place, acks) = ((self.topic.as_str(), partition), self.setup.acks);
        let request = produce_request(place, key_name, value.into(), acks, ANSWER_LIMIT);
        let send = Send {
            partition,
            sequence: id.sequence,
            key,
            warm_up,
            due: at,
            sent: at,
            done: at,
            outcome: outcome::OPEN,
        };
        keys.advance(partition as usize);
        *sequence += 1;
        self.open.borrow_mut().insert(number, send);
        self.sent.set(number + 1);
        BegunAttempt { number, partition, request }
    }

    /// Carries out a try; on a connection of its own where others are not answered.
    pub(super) async fn carry_out(self: Rc<Self>, attempt: BegunAttempt, anew: bool) {
        let outcome = match (self.leaders.of(attempt.partition), &attempt.request) {
            (Some(leader), Some(request)) => self.send(request, leader, anew).await,
            // It was in no request.
            (None, _) => SendOutcome::Failed { code: E::LeaderNotAvailable as i32 },
            (_, None) => SendOutcome::Failed { code: E::InvalidRecord as i32 },
        };
        self.end(attempt.number, outcome);
    }

    async fn send(&self, request: &ProduceRequest, leader: SocketAddr, anew: bool) -> SendOutcome {
        let idle = self.idle.borrow_mut().get_mut(&leader).filter(|_| !anew).and_then(Vec::pop);
        let mut connection = match idle {
            Some(connection) => connection,
            None => match Connection::open(&self.connector, None, leader, CONNECT_LIMIT).await {
                Ok(connection) => connection,
                // It was in no request.
                Err(_) => return SendOutcome::Failed { code: E::BrokerTransportFailure as i32 },
            },
        };
        let Ok(answer) = connection.call(PRODUCE_VERSION, request, ANSWER_LIMIT).await else {
            // The others will have broken as well.
            self.idle.borrow_mut().remove(&leader);
            return SendOutcome::Indeterminate { code: E::BrokerTransportFailure as i32 };
        };
        self.idle.borrow_mut().entry(leader).or_default().push(connection);
        let mut said = answer.responses.iter().flat_map(|topic| &topic.partition_responses);
        match said.next() {
            Some(said) if said.error_code == 0 => outcome::delivered(said.base_offset),
            Some(said) => outcome::of_only_attempt(i32::from(said.error_code)),
            None => outcome::OPEN,
        }
    }

    /// Gives up a try that is not answered.
    pub(super) fn give_up(&self, number: u64) {
        self.end(number, outcome::OPEN);
    }

    fn end(&self, number: u64, outcome: SendOutcome) {
        let Some(mut send) = self.open.borrow_mut().remove(&number) else { return };
        (send.done, send.outcome) = (self.clock.now(), outcome);
        if let SendOutcome::Acked { offset } = outcome {
            self.acked.set(self.acked.get() + 1);
            // What a broker takes that does not lead may never be in the log: nobody is to wait for it.
            if self.leaders.leads(send.partition) {
                self.live.appended(send.partition, offset);
            }
            self.watch.hear(FromClient::AtWork);
        } else {
            self.leaders.doubt();
        }
        let mut stream = self.stream.borrow_mut();
        let pushed = stream.as_mut().map_or(Ok(()), |stream| stream.push(&Entry::Send(send)));
        if let Err(error) = pushed {
            self.failure.borrow_mut().get_or_insert(error);
        }
    }

    /// # Errors
    /// When what came of a try could not be written.
    pub(super) fn check(&self) -> Result<(), LoadError> {
        self.failure.borrow_mut().take().map_or(Ok(()), |error| Err(self.unwritten(error)))
    }

    /// Writes the history's buffer to its file.
    pub(super) fn flush(&self) -> Result<(), LoadError> {
        let mut stream = self.stream.borrow_mut();
        let flushed = stream.as_mut().map_or(Ok(()), StreamWriter::flush);
        flushed.map_err(|error| self.unwritten(error))
    }

    /// Gives up what has no outcome, and ends the stream; how many were tried and acked.
    pub(super) fn close(&self) -> Result<(u64, u64), LoadError> {
        let open: Vec<u64> = self.open.borrow().keys().copied().collect();
        open.into_iter().for_each(|number| self.give_up(number));
        self.check()?;
        let finished = self.stream.take().map_or(Ok(()), StreamWriter::finish);
        finished.map_err(|error| self.unwritten(error))?;
        Ok((self.sent.get(), self.acked.get()))
    }

    fn unwritten(&self, source: HistoryError) -> LoadError {
        LoadError::History { client: self.name.clone(), source }
    }
}
