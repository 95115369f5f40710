//! What servers did without an order: ended, were started, stood still.
//!
//! A fault orders of its victims what it takes of them, and nothing else: whoever is only paused is killed by
//! somebody else.

use std::time::Duration;

use super::{Disturbance, STILL_S, reaches};
use crate::judge::span::FaultSpan;
use crate::judge::timeline::Timeline;
use crate::record::clock::RunTime;
use crate::record::event::{Cause, ChangeMark, Event, EventKind, Place, Process, Role, Takes};

/// A server that ended, where that is what the event says.
pub(super) fn ended(timeline: &Timeline, event: &Event) -> Option<Disturbance> {
    let EventKind::ProcessEnded { process, end, .. } = &event.kind else {
        return None;
    };
    let mut faults = timeline.faults.iter().filter(|fault| reaches(fault, event.at, event.at));
    // A plan signals each of its victims once: what was started again since is not among them.
    let again = |fault: &FaultSpan| {
        end.is_by_signal() && starts_of(timeline, process, fault.injecting).any(|at| at < event.at)
    };
    if faults.any(|fault| fault.orders_end(process, end) && !again(fault)) {
        return None;
    }
    if end.is_in_order() && leaves(timeline, process, event.at) {
        return None;
    }
    let started = starts_of(timeline, process, event.at).next();
    // A broker that was started is back when it is registered; not known to be where that was not seen.
    let anew = match timeline.registered_since(process.id, event.at) {
        _ if process.role != Role::Broker => RunTime(0),
        Some(at) => at,
        None if timeline.gone_since(process.id, event.at).is_some() => RunTime(u64::MAX),
        None => RunTime(0),
    };
    Some(Disturbance {
        cause: Cause::Ended,
        place: Place::Server(process.clone()),
        from: event.at,
        to: started.map_or(RunTime(u64::MAX), |at| at.max(anew)),
        detail: Some(end.to_string()),
        clients: None,
    })
}

/// Whether a broker was to leave at this time, because the change by which it joined is undone.
fn leaves(timeline: &Timeline, process: &Process, at: RunTime) -> bool {
    let before = timeline.events().take_while(|event| event.at <= at);
    let changes = before.filter_map(|event| match &event.kind {
        EventKind::Change(seen) => Some(seen),
        _ => None,
    });
    let leaves = |id| process.role == Role::Broker && process.id == id;
    changes.last().is_some_and(|seen| {
        seen.mark == ChangeMark::Undoing && seen.leave.iter().any(|id| leaves(*id))
    })
}

/// When a server was started, from `from` on.
fn starts_of<'a>(
    timeline: &'a Timeline,
    process: &'a Process,
    from: RunTime,
) -> impl Iterator<Item = RunTime> + 'a {
    let later = timeline.from(from);
    later.filter_map(move |event| match &event.kind {
        EventKind::ProcessStarted { process: of, .. } if of == process => Some(event.at),
        _ => None,
    })
}

/// A broker that is there again although nobody of this run has started it since it ended, where the event is its
/// registration.
pub(super) fn started(timeline: &Timeline, event: &Event) -> Option<Disturbance> {
    let EventKind::BrokerRegistered { broker, .. } = event.kind else { return None };
    let is_it = |process: &Process| process.role == Role::Broker && process.id == broker;
    let before = timeline.events().take_while(|earlier| earlier.at < event.at);
    let ended = before.filter(|earlier| match &earlier.kind {
        EventKind::ProcessStarted { process, .. } | EventKind::ProcessEnded { process, .. } => {
            is_it(process)
        }
        _ => false,
    });
    let ended = ended.last()?;
    let EventKind::ProcessEnded { process, .. } = &ended.kind else { return None };
    // The registration that is there may be that of the process that ended.
    timeline.gone_since(broker, ended.at).filter(|gone| *gone < event.at)?;
    let by_plan = timeline.faults.iter().any(|fault| {
        let starts = fault.effect.takes == Takes::ProcessesForARestart
            || fault.healing.is_some_and(|healing| healing <= event.at);
        starts && fault.victims.contains(process) && fault.in_force(event.at)
    });
    // Its next start may be recorded a moment after it was done: where that is the plan's, it is excused above.
    (!by_plan).then(|| Disturbance {
        cause: Cause::Started,
        place: Place::Server(process.clone()),
        from: event.at,
        to: RunTime(u64::MAX),
        detail: None,
        clients: None,
    })
}

/// Whether the plan let a server stand still from one time to another: it began to after a fault began, and went on
/// before one was undone.
pub(super) fn still_is_ordered(
    timeline: &Timeline,
    process: &Process,
    from: RunTime,
    to: RunTime,
) -> bool {
    let faults = || timeline.faults.iter().filter(|fault| fault.lets_stand_still(process));
    // It is looked at a few times a second.
    let until = RunTime(to.0.saturating_sub(Duration::from_secs_f64(STILL_S).as_nanos() as u64));
    faults().any(|fault| fault.in_force(from))
        && faults().any(|fault| fault.in_force(until.max(from)))
}
