//! Which record of a load is next, and when: on a schedule, or as soon as the client takes it.

use std::time::Duration;

use results::record::clock::{RunClock, RunTime};

use super::ProducerSetup;
use super::schedule::Schedule;
use super::tempo::Tempo;
use crate::spec::{Arrivals, Shape};
use crate::wake::Wake;

/// From the last first ack to the first scheduled record: time to get the thread to sleep, so
/// that the schedule does not begin late.
const LEAD: Duration = Duration::from_millis(10);

/// Where a load is.
pub(super) struct LoadPace {
    /// Records a second; `None`: as many as the client takes.
    rate: Option<u64>,
    shape: Shape,
    arrivals: Arrivals,
    seed: u64,
    tempo: Tempo,
    begun: Option<Begun>,
    /// Number of the next record.
    next: u64,
    /// Number of the schedule's first.
    first: u64,
    /// Number of the first that is not sent any more.
    end: u64,
}

enum Begun {
    Scheduled(Box<Schedule>),
    Closed,
}

impl LoadPace {
    pub(super) fn of(setup: &ProducerSetup) -> Self {
        Self {
            rate: setup.rate,
            shape: setup.shape.clone(),
            arrivals: setup.arrivals,
            seed: setup.seed,
            tempo: setup.rate.map_or(Tempo::NONE, Tempo::of),
            begun: None,
            next: 0,
            first: 0,
            end: u64::MAX,
        }
    }

    pub(super) fn has_begun(&self) -> bool {
        self.begun.is_some()
    }

    /// Begins, a little after `now` where there is a schedule.
    pub(super) fn begin(&mut self, now: RunTime) {
        self.first = self.next;
        self.begun = Some(match self.rate {
            Some(rate) => {
                let start = now.plus(LEAD);
                let (shape, arrivals, seed) = (&self.shape, self.arrivals, self.seed);
                let schedule = Schedule::shaped(start, rate, shape, arrivals, seed);
                Begun::Scheduled(Box::new(schedule))
            }
            None => Begun::Closed,
        });
    }

    /// Changes the rate behind `at`; what had none has a schedule from then on.
    pub(super) fn change(&mut self, at: RunTime, per_second: u64) {
        self.rate = Some(per_second);
        self.tempo = Tempo::of(per_second);
        match &mut self.begun {
            Some(Begun::Scheduled(schedule)) => schedule.change(at, per_second),
            Some(Begun::Closed) => self.begin(at),
            None => {}
        }
    }

    /// Number of the next record.
    pub(super) fn next(&self) -> u64 {
        self.next
    }

    pub(super) fn advance(&mut self) {
        self.next += 1;
    }

    /// Ends the load `count` records from now.
    pub(super) fn end_after(&mut self, count: u64) {
        self.end = self.next.saturating_add(count);
    }

    /// Whether the last record was sent.
    pub(super) fn is_over(&self) -> bool {
        self.next >= self.end
    }

    /// Whether a full queue is what it is for.
    pub(super) fn is_closed(&self) -> bool {
        matches!(self.begun, Some(Begun::Closed))
    }

    /// When the next record is due; none where nothing is scheduled.
    pub(super) fn due(&self) -> Option<RunTime> {
        match &self.begun {
            Some(Begun::Scheduled(schedule)) => Some(schedule.due(self.next - self.first)),
            Some(Begun::Closed) | None => None,
        }
    }

    /// When the next record is sent; after all time where none is left.
    pub(super) fn sent_at(&self, now: RunTime) -> RunTime {
        if self.is_over() {
            return RunTime(u64::MAX);
        }
        self.tempo.sent_at(self.due().unwrap_or(now))
    }

    /// Number of the records that are due by `now`, and of those that may be sent.
    pub(super) fn due_by(&self, now: RunTime) -> (u64, u64) {
        let (due, sendable) = match &self.begun {
            Some(Begun::Scheduled(schedule)) => {
                let due = self.first + schedule.due_by(now);
                (due, due)
            }
            Some(Begun::Closed) => (self.next, u64::MAX),
            None => (self.next, self.next),
        };
        (due.min(self.end), sendable.min(self.end))
    }

    /// Sleeps until `until`, less when `wake` rings.
    pub(super) fn wait(&self, clock: RunClock, now: RunTime, until: RunTime, wake: &Wake) {
        self.tempo.wait(clock, now, until, wake);
    }
}
