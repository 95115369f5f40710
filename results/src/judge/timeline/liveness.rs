//! Whether a broker is there: it is until a fault takes it or its process ends, and again from the moment on
//! at which its return was seen. Where nobody saw it return although it was started again, it is not known.

use std::collections::BTreeMap;

use super::{Timeline, registrations};
use crate::judge::span::FaultSpan;
use crate::record::clock::RunTime;
use crate::record::event::{BrokerId, Event, EventKind, Process, Role};

/// What is known of a broker at a moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Liveness {
    /// Nothing has taken it, or it was seen to be back.
    Alive,
    /// Taken by whichever fault, or ended by itself, since then.
    Away(RunTime),
    /// It was started again or its fault was undone, and its return was not seen.
    Unknown,
}

/// A broker went away.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct TimeAway {
    from: RunTime,
    /// Until when it was certainly away.
    to: RunTime,
    /// Since when it was there again; never, where that was not seen.
    back: RunTime,
}

const NEVER: RunTime = RunTime(u64::MAX);

impl Timeline<'_> {
    /// What is known of `broker` at `at`.
    pub fn liveness(&self, broker: BrokerId, at: RunTime) -> Liveness {
        let absences = self.away.get(&broker).into_iter().flatten();
        let open: Vec<_> = absences.filter(|it| it.from <= at && at < it.back).collect();
        let away = open.iter().filter(|it| at < it.to).map(|it| it.from).min();
        match (away, open.is_empty()) {
            (Some(since), _) => Liveness::Away(since),
            (None, false) => Liveness::Unknown,
            (None, true) => Liveness::Alive,
        }
    }

    /// Whether `broker` is known to be away at `at`.
    pub fn is_away(&self, broker: BrokerId, at: RunTime) -> bool {
        matches!(self.liveness(broker, at), Liveness::Away(_))
    }

    /// When brokers went away and came back, or may have.
    pub fn comings_and_goings(&self) -> impl Iterator<Item = RunTime> + '_ {
        self.away.values().flatten().flat_map(|it| [it.from, it.to, it.back])
    }
}

/// When each broker was away. A fault that is undone before its broker lost its registration has not
/// taken it away for longer.
pub(super) fn away(ordered: &[&Event], faults: &[FaultSpan]) -> BTreeMap<BrokerId, Vec<TimeAway>> {
    let mut began: Vec<(BrokerId, RunTime, Option<RunTime>)> = vec![];
    for fault in faults {
        let lost = fault.lost_brokers().map(|broker| (broker, fault.injecting, fault.healed));
        began.extend(lost);
    }
    let ended = ordered.iter().filter_map(|event| match &event.kind {
        EventKind::ProcessEnded { process, .. } if process.role == Role::Broker => {
            Some((process.id, event.at, None))
        }
        _ => None,
    });
    began.extend(ended);
    let registrations = registrations(ordered);
    let mut away: BTreeMap<BrokerId, Vec<TimeAway>> = BTreeMap::new();
    for (broker, from, healed) in began {
        let mut later =
            registrations.iter().filter(|(at, of, _)| *at > from && *of == broker).peekable();
        let kept = healed.filter(|healed| later.peek().is_none_or(|(at, ..)| at > healed));
        let anew = later.find(|(.., there)| *there).map(|(at, ..)| *at);
        let back = kept.into_iter().chain(anew).min().unwrap_or(NEVER);
        // One that was seen to return was away until then.
        let to = if back < NEVER { back } else { revived(ordered, faults, broker, from) };
        away.entry(broker).or_default().push(TimeAway { from, to, back });
    }
    away
}

/// When a broker that went away at `from` may have been there again for the first time: its process was
/// started, or the undoing of a fault that took it began.
fn revived(ordered: &[&Event], faults: &[FaultSpan], broker: BrokerId, from: RunTime) -> RunTime {
    let is_it = |process: &Process| process.role == Role::Broker && process.id == broker;
    let started = ordered.iter().find(|event| match &event.kind {
        EventKind::ProcessStarted { process, .. } => event.at > from && is_it(process),
        _ => false,
    });
    let undone = faults.iter().filter(|fault| fault.victims.iter().any(is_it));
    let undone = undone.filter_map(|fault| fault.healing).filter(|at| *at >= from);
    undone.chain(started.map(|event| event.at)).min().unwrap_or(NEVER)
}
