//! The faults of a recorded trial once more, at their times and on their processes.

use faults::plan;
use results::record::event::log;
use results::record::trial::EVENTS;

use super::RunSpec;
use super::request::{Asked, fresh_number, name_of_run, permitted};
use crate::failure::Failure;
use crate::rundir::RunDir;

/// What repeats trial `number` of a recorded run.
///
/// # Errors
/// Usage failures: the run has no such trial, or nothing in it that can be repeated; the plan is one
/// that this machine cannot carry out. A failure when the record cannot be read.
pub fn replay(of: &RunDir, number: u32, asked: &Asked) -> Result<RunSpec, Failure> {
    let spec = of.spec()?;
    if !(1..=spec.trials).contains(&number) {
        let (name, trials) = (of.name(), spec.trials);
        return Err(Failure::usage(format!("{name} has no trial {number}: it has {trials}")));
    }
    let cannot = |why: &dyn std::fmt::Display| {
        Failure::usage(format!("trial {number} of {} cannot be repeated: {why}", of.name()))
    };
    let recorded = spec.plan.as_ref().ok_or_else(|| cannot(&"it had no plan"))?;
    let events = of.trial(number, spec.trials).join(EVENTS);
    let (events, _) = log::read(&events).map_err(|error| cannot(&error))?;
    let plan = plan::replay(recorded, &events, &spec.cluster.processes())
        .map_err(|error| cannot(&error))?;
    permitted(&plan, &spec.cluster, spec.mode, asked)?;
    let random = fresh_number();
    let (run_id, started) = name_of_run(&spec.workload.name, random);
    Ok(RunSpec {
        run_id,
        run_number: random,
        command: asked.command.clone(),
        started,
        replays: Some(format!("trial {number} of {}", of.name())),
        trials: 1,
        parallel: 1,
        plan: Some(plan),
        // Repeated on a new cluster, as other runs are.
        kept: None,
        ..spec
    })
}
