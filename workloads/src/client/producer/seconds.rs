//! Figures of each second of load, for the live view and the per-second log.
//!
//! A second is reported at its end, with that end as its time. The producing thread only counts;
//! a thread of its own calls the receiver, which may therefore take its time.

use std::sync::mpsc::Sender;
use std::time::Duration;

use hdrhistogram::Histogram;
use results::record::clock::RunTime;
use results::record::event::Second;
use results::record::history::{NO_ACK_ASKED, Send, SendOutcome};

const ONE: Duration = Duration::from_secs(1);

/// Counts the current second.
pub(crate) struct Seconds {
    end: RunTime,
    second: Second,
    response_us: Histogram<u64>,
    service_us: Histogram<u64>,
    lag_us: Histogram<u64>,
    due_before: u64,
    consumed_before: u64,
    out: Sender<(RunTime, Second)>,
}

impl Seconds {
    pub(crate) fn new(now: RunTime, out: Sender<(RunTime, Second)>) -> Self {
        Self {
            end: now.plus(ONE),
            second: Second::default(),
            response_us: histogram_us(),
            service_us: histogram_us(),
            lag_us: histogram_us(),
            due_before: 0,
            consumed_before: 0,
            out,
        }
    }

    /// When the current second ends.
    pub(crate) fn end(&self) -> RunTime {
        self.end
    }

    pub(crate) fn sent(&mut self, due: RunTime, sent: RunTime) {
        self.second.sent += 1;
        self.lag_us.saturating_record(micros(due, sent));
    }

    pub(crate) fn done(&mut self, send: &Send) {
        match send.outcome {
            SendOutcome::Acked { .. } => {
                self.second.acked += 1;
                self.response_us.saturating_record(micros(send.due, send.done));
                self.service_us.saturating_record(micros(send.sent, send.done));
            }
            SendOutcome::Indeterminate { code: NO_ACK_ASKED } => {}
            SendOutcome::Failed { .. } | SendOutcome::Indeterminate { .. } => {
                self.second.failed += 1
            }
        }
    }

    /// Reports the second if it has ended. `due` counts all sends that were due so far, `outstanding`
    /// those without outcome, `consumed` all records that the group has read.
    pub(crate) fn turn(&mut self, now: RunTime, due: u64, outstanding: u64, consumed: u64) {
        if now < self.end {
            return;
        }
        let percentile = |h: &Histogram<u64>, q| (!h.is_empty()).then(|| h.value_at_quantile(q));
        let second = Second {
            due: due - self.due_before,
            consumed: consumed - self.consumed_before,
            outstanding,
            response_p50_us: percentile(&self.response_us, 0.5),
            response_p99_us: percentile(&self.response_us, 0.99),
            response_max_us: percentile(&self.response_us, 1.0),
            service_p50_us: percentile(&self.service_us, 0.5),
            service_p99_us: percentile(&self.service_us, 0.99),
            schedule_lag_p99_us: percentile(&self.lag_us, 0.99),
            ..std::mem::take(&mut self.second)
        };
        // Nobody listens any more when the load is being dropped.
        self.out.send((self.end, second)).ok();
        self.response_us.reset();
        self.service_us.reset();
        self.lag_us.reset();
        (self.due_before, self.consumed_before) = (due, consumed);
        while self.end <= now {
            self.end = self.end.plus(ONE);
        }
    }
}

/// Microseconds between two times.
fn micros(from: RunTime, to: RunTime) -> u64 {
    to.0.saturating_sub(from.0) / 1000
}

/// Up to ten minutes in microseconds, to three digits; longer times saturate.
#[expect(clippy::expect_used, reason = "the bounds are constants that the library accepts")]
fn histogram_us() -> Histogram<u64> {
    Histogram::new_with_bounds(1, 600_000_000, 3).expect("constant bounds")
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::channel;

    use super::*;

    fn ms(ms: u64) -> RunTime {
        RunTime(ms * 1_000_000)
    }

    /// A send that was handed over 400 ms late, with this outcome.
    fn send(due: u64, service: u64, outcome: SendOutcome) -> Send {
        let (partition, sequence, key, warm_up) = (0, 0, 0, false);
        let (due, sent, done) = (ms(due), ms(due + 400), ms(due + 400 + service));
        Send { partition, sequence, key, warm_up, due, sent, done, outcome }
    }

    #[test]
    fn service_is_from_when_a_record_was_sent_and_response_from_when_it_was_due() {
        let (out, seen) = channel();
        let mut seconds = Seconds::new(ms(0), out);
        for service in 1..=100 {
            seconds.done(&send(0, service, SendOutcome::Acked { offset: 0 }));
        }
        // What was not acked has neither.
        seconds.done(&send(0, 90_000, SendOutcome::Failed { code: -192 }));
        seconds.turn(ms(1000), 101, 0, 0);
        seconds.turn(ms(2000), 101, 0, 0);
        let (at, first) = seen.recv().unwrap();
        let near = |us: Option<u64>, wanted_ms: u64| {
            us.is_some_and(|us| us.abs_diff(wanted_ms * 1000) <= wanted_ms * 2)
        };
        assert_eq!((at, first.acked, first.failed), (ms(1000), 100, 1));
        assert!(near(first.service_p50_us, 50) && near(first.service_p99_us, 99), "{first:?}");
        assert!(near(first.response_p50_us, 450) && near(first.response_p99_us, 499), "{first:?}");
        // Nothing of a second is left in the next.
        let (_, second) = seen.recv().unwrap();
        assert_eq!((second.acked, second.service_p50_us, second.service_p99_us), (0, None, None));
    }
}
