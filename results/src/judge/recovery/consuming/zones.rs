//! Which fault a moment belongs to, as far as groups are concerned.

use crate::judge::recovery::gap::DELAYED;
use crate::judge::timeline::{Interval, Timeline};
use crate::record::clock::RunTime;
use crate::record::event::EventKind;

/// The times of one fault. It ends with its window, or when kbench replaced a member of the group: what
/// comes of that is kbench's doing.
#[derive(Debug, Clone, Copy)]
pub(super) struct FaultTimes {
    pub(super) injecting: RunTime,
    /// When kbench began to heal; the end when it did not.
    pub(super) healing: RunTime,
    pub(super) end: RunTime,
}

/// What a moment belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Zone {
    /// The fault at this position.
    Fault(usize),
    /// Steady load, of no fault.
    Steady,
    /// Warm-up, preparations, or kbench replacing a member.
    Other,
}

/// The times of a trial.
#[derive(Debug, Clone)]
pub(crate) struct Zones {
    pub(super) faults: Vec<FaultTimes>,
    pub(super) steady: Vec<Interval>,
    /// When a fault was injected, or a planned backlog began.
    planned: Vec<RunTime>,
}

impl Zones {
    pub(super) fn of(timeline: &Timeline) -> Self {
        let faults = timeline.faults.iter().map(|fault| {
            let replaced = timeline
                .from(fault.injecting)
                .find(|event| matches!(event.kind, EventKind::ConsumerRestarted { .. }));
            let end = replaced.map_or(fault.window_end, |event| event.at.min(fault.window_end));
            let healing = fault.healing.unwrap_or(end).min(end);
            FaultTimes { injecting: fault.injecting, healing, end }
        });
        let injections = timeline.faults.iter().map(|fault| fault.injecting);
        let planned = injections.chain(timeline.backlog.map(|backlog| backlog.paused)).collect();
        let mut zones = Self { faults: faults.collect(), steady: vec![], planned };
        let steady = timeline.steady().into_iter();
        zones.steady = steady.filter(|(from, _)| zones.at(*from) == Zone::Other).collect();
        zones
    }

    /// Whether a wait from `from` to `to` is of the steady load: it began in it, whenever it ended, and nothing planned
    /// began meanwhile.
    pub(super) fn is_steady(&self, from: RunTime, to: RunTime) -> bool {
        let in_steady = self.steady.iter().any(|(begin, end)| *begin <= from && from < *end);
        in_steady && !self.planned.iter().any(|at| from <= *at && *at < to)
    }

    pub(super) fn at(&self, at: RunTime) -> Zone {
        // Faults do not overlap.
        let begun = self.faults.partition_point(|fault| fault.injecting <= at);
        let fault = begun.checked_sub(1).filter(|last| at < self.faults[*last].end);
        match fault {
            Some(fault) => Zone::Fault(fault),
            None if self.steady.iter().any(|(from, to)| *from <= at && at < *to) => Zone::Steady,
            None => Zone::Other,
        }
    }
}

impl FaultTimes {
    /// Whether a wait from `from` to `to` belongs to what comes after this fault.
    pub(super) fn is_over(&self, from: RunTime, to: RunTime) -> bool {
        from.plus(DELAYED) >= self.end && to > self.end
    }
}
