//! The coordinator: runs the trials of a spec in sandboxes, a few at a time, shows them live, and
//! judges what they recorded.
//!
//! The coordinator measures nothing itself. Each trial is a process of its own (see [`crate::trial`])
//! that writes its files; judging reads those files, here and in `kbench check` alike.

mod trials;

use std::path::Path;

use faults::plan::Plan;
use faults::port::Capability;
use results::check::{self, CheckContext};
use results::environment::Environment;
use results::event::{EventKind, EventLog};
use results::history::History;
use results::report::{self, Report, RunMeta, Trial};

use crate::failure::Failure;
use crate::provision;
use crate::rundir::RunDir;
use crate::sandbox::Mode;
use crate::spec::RunSpec;

/// Writes the resolved spec into the run's directory.
///
/// # Errors
/// An infrastructure failure when it cannot be written.
pub fn save_spec(spec: &RunSpec, dir: &RunDir) -> Result<(), Failure> {
    let path = dir.path().join("spec.toml");
    let text = toml::to_string(spec)
        .map_err(|error| Failure::infrastructure(format!("the spec cannot be written: {error}")))?;
    std::fs::write(&path, text).map_err(|error| {
        Failure::infrastructure(format!("{} cannot be written: {error}", path.display()))
    })
}

/// Refuses a plan that needs more than the mode can do.
///
/// # Errors
/// A usage failure that names what is missing and why.
pub fn refuse_beyond(mode: Mode, plan: &Plan) -> Result<(), Failure> {
    let has = mode.capabilities();
    let missing: Vec<Capability> =
        faults::plan::capabilities(plan).into_iter().filter(|need| !has.contains(need)).collect();
    match missing.first() {
        None => Ok(()),
        Some(need) => Err(Failure::usage(format!(
            "plan `{}` needs to {need}, which {mode} cannot do",
            plan.name
        ))
        .with_cure("`kbench doctor` says what is missing for namespaces")),
    }
}

/// Carries out every trial of the spec.
///
/// # Errors
/// An infrastructure failure when Kafka is not to be had, or no trial could be carried out.
pub fn run(spec: &RunSpec, dir: &RunDir) -> Result<(), Failure> {
    crate::sandbox::sweep();
    let kafka = provision::provide(&spec.kafka)?;
    eprintln!(
        "kbench {}: workload {}, {}, Apache Kafka {} in {}, seed {}",
        env!("CARGO_PKG_VERSION"),
        spec.workload.name,
        spec.plan.as_ref().map_or("no faults".to_owned(), |plan| format!("plan {}", plan.name)),
        kafka.version,
        spec.mode,
        spec.seed,
    );
    eprintln!("run directory: {}", dir.path().display());
    trials::run_all(spec, dir)
}

/// Judges what a run recorded; the same every time.
///
/// # Errors
/// A failure when nothing can be judged because no trial left a readable record.
pub fn judge(spec: &RunSpec, dir: &RunDir) -> Result<Report, Failure> {
    let mut trials = Vec::new();
    let mut unreadable = Vec::new();
    for number in 1..=spec.trials {
        match load_trial(number, &dir.trial(number, spec.trials)) {
            Ok(trial) => trials.push(trial),
            Err(text) => unreadable.push(format!("trial {number}: {text}")),
        }
    }
    if trials.is_empty() {
        return Err(Failure::unknown(format!(
            "{} holds nothing to judge: {}",
            dir.name(),
            unreadable.join("; ")
        )));
    }
    let meta = RunMeta {
        run_id: spec.run_id.clone(),
        command: spec.command.clone(),
        started: spec.started.clone(),
        workload: spec.workload.name.clone(),
        plan: spec.plan.as_ref().map(|plan| plan.name.clone()),
        seed: spec.seed,
        trials_asked: spec.trials,
        asked_per_s: spec.workload.load.per_second(spec.cluster.brokers().len() as u32) as f64,
        unreadable,
    };
    Ok(report::judge(&meta, &trials, &spec.claims))
}

/// Writes the report's files.
///
/// # Errors
/// An infrastructure failure when one cannot be written.
pub fn write_report(report: &Report, dir: &RunDir, strict: bool) -> Result<(), Failure> {
    report.write_all(dir.path(), strict).map_err(|error| {
        Failure::infrastructure(format!("the report cannot be written: {error}"))
    })
}

fn load_trial(number: u32, dir: &Path) -> Result<Trial, String> {
    let (events, cut) =
        EventLog::read(&dir.join("events.jsonl")).map_err(|error| error.to_string())?;
    if let Some(EventKind::TrialFailed { text, .. }) = events
        .iter()
        .map(|event| &event.kind)
        .find(|kind| matches!(kind, EventKind::TrialFailed { .. }))
    {
        if !dir.join("history").is_dir() {
            return Err(text.clone());
        }
    }
    let history = History::load(&dir.join("history")).map_err(|error| error.to_string())?;
    // Written when the cluster is up; a run cut short before has none, and nothing is assumed.
    let environment: Environment = std::fs::read(dir.join("environment.json"))
        .ok()
        .and_then(|bytes| serde_json::from_slice(&bytes).ok())
        .unwrap_or_default();
    let context = CheckContext::from_events(&events);
    let checks = check::all(&history, &context);
    Ok(Trial { number, environment, events, events_cut: cut, history, checks })
}
