//! A recorded trial as a plan: the same faults at the same times on the same processes.
//!
//! Pure: it reads the plan and the events of the trial. Steps that were prepared wait for a steady
//! cluster again and are prepared again, since that is part of what happened; all others begin as
//! long after the step before them that did so (or after the first steady moment) as they did then.

use std::time::Duration;

use results::judge::span::FaultSpans;
use results::record::clock::RunTime;
use results::record::event::{Event, EventKind};

use super::{Plan, Prepare, Start, Step};
use crate::port::Process;
use crate::target::Target;

/// Why a trial cannot be repeated.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct NotReplayable(String);

/// The faults that `events` record of a run of `plan`, as a plan of concrete steps.
pub fn replay(plan: &Plan, events: &[Event], processes: &[Process]) -> Result<Plan, NotReplayable> {
    let end = events.iter().map(|event| event.at).max().unwrap_or_default();
    let mut zero = events.iter().find(|e| e.kind == EventKind::Steady).map(|e| e.at);
    let mut steps = vec![];
    for span in FaultSpans::new(events, end).faults {
        let original = original(plan, &span.id).ok_or_else(|| {
            NotReplayable(format!("the plan \"{}\" has no step \"{}\"", plan.name, span.id))
        })?;
        let targets = span.victims.iter().map(|victim| concrete(victim, processes));
        let targets: Vec<_> = targets.collect::<Result<_, _>>()?;
        let injected = span.injected.unwrap_or(span.injecting);
        let prepared = original.prepare != Prepare::None && span.id == original.round_id(1);
        let start = match zero.filter(|_| !prepared) {
            None => {
                zero = Some(span.injecting);
                None
            }
            Some(zero) => Some(Start::At(between(zero, span.injecting))),
        };
        let hold = between(injected, span.healing.unwrap_or(end)).max(Duration::from_millis(1));
        steps.push(Step {
            id: span.id,
            target: None,
            targets,
            prepare: if start.is_none() { original.prepare } else { Prepare::None },
            until: None,
            recover_within: None,
            hold: Some(hold),
            flapping: original.flapping,
            start,
            repeat: None,
            rolling: false,
            fault: original.fault.clone(),
            expect: original.expect,
        });
    }
    if steps.is_empty() {
        return Err(NotReplayable("it injected no fault".to_owned()));
    }
    Ok(Plan { steps, mix: None, ..plan.clone() })
}

/// The step that a round of this id is one of.
fn original<'a>(plan: &'a Plan, round: &str) -> Option<&'a Step> {
    let number = round.rsplit_once('-').and_then(|(_, number)| number.parse().ok()).unwrap_or(1);
    plan.steps.iter().find(|step| step.round_id(number) == round)
}

fn concrete(victim: &Process, processes: &[Process]) -> Result<Target, NotReplayable> {
    if !processes.contains(victim) {
        return Err(NotReplayable(format!("the cluster of its spec has no {victim}")));
    }
    Ok(Target::of(victim))
}

/// In whole milliseconds, so that the plan is read by people as well.
fn between(from: RunTime, to: RunTime) -> Duration {
    Duration::from_millis(to.0.saturating_sub(from.0) / 1_000_000)
}
