//! What librdkafka's client tells the thread that polls it: outcomes of sends, and its own end.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};

use rdkafka::ClientContext;
use rdkafka::error::KafkaError;
use rdkafka::message::DeliveryResult;
use rdkafka::producer::ProducerContext;
use rdkafka::types::RDKafkaErrorCode;
use results::record::clock::RunTime;
use results::record::event::BrokerTimes;

use super::statistics::{self, Statistics};
use super::values::ValueMemory;
use crate::client::outcome::{self, Reported};

/// One delivery report.
#[derive(Debug, Clone, Copy)]
pub(super) struct DeliveryReport {
    pub(super) slot: usize,
    pub(super) at: RunTime,
    pub(super) reported: Reported,
}

/// Where the client's reports arrive, on the thread that polls.
pub(super) struct DeliveryReports {
    /// When the event was taken whose reports arrive, in nanoseconds.
    polled: AtomicU64,
    new: Mutex<Vec<DeliveryReport>>,
    failed: AtomicBool,
    /// Bytes of keys and values that were sent, and of the requests that they were sent in, as of the client's
    /// last statistics.
    sent_bytes: [AtomicU64; 2],
    /// What the client said last of its brokers, and when, until it is taken.
    times: Mutex<Option<(RunTime, Vec<BrokerTimes>)>>,
    /// What the client reads values from; it ends before this.
    _memory: Arc<ValueMemory>,
}

impl DeliveryReports {
    pub(super) fn new(memory: Arc<ValueMemory>) -> Self {
        let (polled, failed, sent_bytes, times) = Default::default();
        Self { polled, new: Mutex::default(), failed, sent_bytes, times, _memory: memory }
    }

    /// What is reported from now on is reported at `at`: all of an event is told at once.
    pub(super) fn polled_at(&self, at: RunTime) {
        self.polled.store(at.0, Relaxed);
    }

    /// Exchanges the outcomes that were reported since the last call for an empty list.
    pub(super) fn take(&self, empty: &mut Vec<DeliveryReport>) {
        let mut new = self.new.lock().unwrap_or_else(PoisonError::into_inner);
        std::mem::swap(&mut *new, empty);
    }

    /// What the client has said of its brokers since the last call, and when.
    pub(super) fn take_times(&self) -> Option<(RunTime, Vec<BrokerTimes>)> {
        self.times.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    /// The client has said that it cannot go on.
    pub(super) fn fail(&self) {
        self.failed.store(true, Relaxed);
    }

    /// Bytes of keys and values that were sent, and of the requests; zeros without statistics.
    pub(super) fn sent_bytes(&self) -> [u64; 2] {
        self.sent_bytes.each_ref().map(|bytes| bytes.load(Relaxed))
    }

    /// Whether it has said so.
    pub(super) fn has_failed(&self) -> bool {
        self.failed.load(Relaxed)
    }
}

impl ClientContext for DeliveryReports {
    fn stats_raw(&self, statistics: &[u8]) {
        match serde_json::from_slice(statistics) {
            Ok(Statistics { txmsg_bytes, tx_bytes, brokers }) => {
                let [messages, requests] = &self.sent_bytes;
                messages.store(txmsg_bytes, Relaxed);
                requests.store(tx_bytes, Relaxed);
                let at = RunTime(self.polled.load(Relaxed));
                let times = (at, statistics::times(brokers));
                self.times.lock().unwrap_or_else(PoisonError::into_inner).replace(times);
            }
            Err(error) => tracing::warn!(%error, "librdkafka's statistics"),
        }
    }

    fn error(&self, error: KafkaError, reason: &str) {
        tracing::error!(%error, reason, "librdkafka");
        if outcome::code_of(&error) == RDKafkaErrorCode::Fatal {
            self.fail();
        }
    }
}

impl ProducerContext for DeliveryReports {
    type DeliveryOpaque = usize;

    fn delivery(&self, report: &DeliveryResult<'_>, slot: usize) {
        let at = RunTime(self.polled.load(Relaxed));
        let report = DeliveryReport { slot, at, reported: Reported::of(report) };
        self.new.lock().unwrap_or_else(PoisonError::into_inner).push(report);
    }
}
