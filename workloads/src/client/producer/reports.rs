//! What librdkafka's client tells the thread that polls it: outcomes of sends, and its own end.

use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Mutex, PoisonError};

use rdkafka::ClientContext;
use rdkafka::error::KafkaError;
use rdkafka::message::DeliveryResult;
use rdkafka::producer::ProducerContext;
use rdkafka::types::RDKafkaErrorCode;
use results::record::clock::{RunClock, RunTime};

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
    clock: RunClock,
    new: Mutex<Vec<DeliveryReport>>,
    failed: AtomicBool,
}

impl DeliveryReports {
    pub(super) fn new(clock: RunClock) -> Self {
        Self { clock, new: Mutex::default(), failed: AtomicBool::new(false) }
    }

    /// The outcomes that were reported since the last call.
    pub(super) fn take(&self) -> Vec<DeliveryReport> {
        std::mem::take(&mut *self.new.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// The client has said that it cannot go on.
    pub(super) fn fail(&self) {
        self.failed.store(true, Relaxed);
    }

    /// Whether it has said so.
    pub(super) fn has_failed(&self) -> bool {
        self.failed.load(Relaxed)
    }
}

impl ClientContext for DeliveryReports {
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
        let report = DeliveryReport { slot, at: self.clock.now(), reported: Reported::of(report) };
        self.new.lock().unwrap_or_else(PoisonError::into_inner).push(report);
    }
}
