//! The faults of a recorded trial once more, at their times and on their processes.

use std::path::Path;

use faults::plan;
use results::record::event::log::{self, LogEnd};

use super::RunSpec;
use super::request::{Asked, fresh_number, name_of_run, permitted};
use crate::failure::Failure;

/// What repeats trial `number` of the run of `recorded`; `events` is the trial's record of them.
///
/// # Errors
/// Usage failures: the run has no such trial, or nothing in it that can be repeated; the plan is one
/// that this machine cannot carry out. A failure when the record cannot be read.
pub fn replay(
    recorded: RunSpec,
    number: u32,
    events: &Path,
    asked: &Asked,
) -> Result<RunSpec, Failure> {
    let (name, trials) = (recorded.run_id.clone(), recorded.trials);
    if !(1..=trials).contains(&number) {
        return Err(Failure::usage(format!("{name} has no trial {number}: it has {trials}")));
    }
    let cannot = |why: &dyn std::fmt::Display| {
        Failure::usage(format!("trial {number} of {name} cannot be repeated: {why}"))
    };
    let plan = recorded.plan.as_ref().ok_or_else(|| cannot(&"it had no plan"))?;
    let read = log::read(events).map_err(|error| cannot(&error))?;
    if let LogEnd::Altered(what) = read.end {
        return Err(cannot(&format_args!("{} {what}", events.display())));
    }
    let plan = plan::replay(plan, &read.events, &recorded.cluster.processes())
        .map_err(|error| cannot(&error))?;
    permitted(&plan, &recorded.cluster, recorded.mode, asked)?;
    let random = fresh_number();
    let (run_id, started) = name_of_run(&recorded.workload.name, random);
    Ok(RunSpec {
        run_id,
        run_number: random,
        command: asked.command.clone(),
        started,
        replays: Some(format!("trial {number} of {name}")),
        trials: 1,
        parallel: 1,
        plan: Some(plan),
        // Repeated on a new cluster, as other runs are.
        kept: None,
        ..recorded
    })
}
