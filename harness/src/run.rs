//! The coordinator: runs the trials of a spec in sandboxes, a few at a time, shows them live, and
//! judges what they recorded.
//!
//! The coordinator measures nothing itself. Each trial is a process of its own (see [`crate::trial`])
//! that writes its files; judging reads those files, here and in `kbench check` alike.

mod trials;

use std::path::Path;
use std::time::Duration;

use faults::plan::Plan;
use results::judge::check::{self, CheckContext};
use results::judge::timeline::Timeline;
use results::record::environment::Environment;
use results::record::event::{EventKind, log};
use results::record::history::Files;
use results::report::{self, Report, RunMeta, Trial};

use crate::failure::Failure;
use crate::heal::{self, Healed};
use crate::provision;
use crate::rundir::RunDir;
use crate::spec::RunSpec;

/// A judged run: the report, and the records that it was made of.
pub struct Judged {
    /// The report.
    pub report: Report,
    trials: Vec<Trial>,
}

impl Judged {
    /// Writes the report's files into the run's directory.
    ///
    /// # Errors
    /// An infrastructure failure when one cannot be written.
    pub fn write(&self, dir: &RunDir) -> Result<(), Failure> {
        self.report
            .write_all(dir.path(), &self.trials)
            .map_err(|error| Failure::infrastructure(error.to_string()))
    }
}

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

/// Carries out every trial of the spec.
///
/// # Errors
/// An infrastructure failure when Kafka is not to be had, or no trial could be carried out.
pub fn run(spec: &RunSpec, dir: &RunDir) -> Result<(), Failure> {
    sweep(dir)?;
    let kafka = provision::provide(&spec.kafka)?;
    provision::of_plan(spec.plan.as_ref())?;
    eprintln!(
        "kbench {}: workload {}, {}, Apache Kafka {} in {}, seed {}",
        env!("CARGO_PKG_VERSION"),
        spec.workload.name,
        spec.plan.as_ref().map_or("no faults".to_owned(), |plan| format!("plan {}", plan.name)),
        kafka.version,
        spec.mode,
        spec.seed,
    );
    if let Some(replayed) = &spec.replays {
        eprintln!("replays {replayed}");
    }
    eprintln!("run directory: {}", dir.path().display());
    eprintln!("expected to take about {} s", estimate(spec).as_secs());
    trials::run_all(spec, dir)
}

/// How long the run is likely to take on two cores that have nothing else to do.
fn estimate(spec: &RunSpec) -> Duration {
    /// Cluster up, group joined; at the end, records read back and judged.
    const AROUND: Duration = Duration::from_secs(14);
    let phases = &spec.workload.phases;
    let middle = match &spec.plan {
        None => phases.duration,
        Some(plan) => plan.estimate(Duration::from_millis(spec.cluster.session_timeout_ms())),
    };
    let rounds = spec.trials.div_ceil(spec.parallel.max(1));
    (AROUND + phases.warm_up + phases.baseline + middle) * rounds
}

/// Heals what killed runs in the same folder left; runs that still go on are left alone.
fn sweep(dir: &RunDir) -> Result<(), Failure> {
    for run in dir.path().parent().map(RunDir::all).unwrap_or_default() {
        if run != *dir
            && let Healed::Undone(what) = heal::heal(&run)?
        {
            eprintln!("left by {}: {}", run.name(), what.join(", "));
        }
    }
    Ok(())
}

/// Judges what a run recorded; the same every time.
///
/// # Errors
/// A failure when nothing can be judged because no trial left a readable record.
pub fn judge(spec: &RunSpec, dir: &RunDir, strict: bool) -> Result<Judged, Failure> {
    let mut trials = Vec::new();
    let mut problems = Vec::new();
    for number in 1..=spec.trials {
        match load_trial(number, &dir.trial(number, spec.trials), spec.plan.as_ref()) {
            Ok((trial, cut)) => {
                trials.push(trial);
                problems.extend(cut.map(|cut| format!("trial {number}: {cut}")));
            }
            Err(text) => problems.push(format!("trial {number}: {text}")),
        }
    }
    if trials.is_empty() {
        let name = dir.name();
        let why = problems.join("; ");
        return Err(Failure::unknown(format!("{name} holds nothing to judge: {why}")));
    }
    let brokers = spec.cluster.brokers().len() as u32;
    let meta = RunMeta {
        run_id: spec.run_id.clone(),
        command: spec.command.clone(),
        workload: spec.workload.name.clone(),
        plan: spec.plan.as_ref().map_or("none".to_owned(), |plan| plan.name.clone()),
        seed: spec.seed,
        asked_per_s: spec.workload.load.rate.total(brokers) as f64,
        record_bytes: spec.workload.load.record_bytes as u64,
        started: spec.started.clone(),
        kbench: env!("CARGO_PKG_VERSION").to_owned(),
        trials_asked: spec.trials,
        strict,
    };
    let mut report = report::judge(&meta, &trials, &spec.claims)
        .map_err(|error| Failure::unknown(format!("{} cannot be judged: {error}", dir.name())))?;
    report.problems.extend(problems);
    Ok(Judged { report, trials })
}

fn load_trial(
    number: u32,
    dir: &Path,
    plan: Option<&Plan>,
) -> Result<(Trial, Option<String>), String> {
    let (events, cut) = log::read(&dir.join("events.jsonl")).map_err(|e| e.to_string())?;
    let failed = events.iter().find_map(|event| match &event.kind {
        EventKind::TrialFailed { text, .. } => Some(text.clone()),
        _ => None,
    });
    let history_dir = dir.join("history");
    if let (Some(text), false) = (&failed, history_dir.is_dir()) {
        return Err(text.clone());
    }
    let killed = events.iter().filter_map(|event| match &event.kind {
        EventKind::ClientKilled { client, history_bytes } => {
            Some((client.as_str(), *history_bytes))
        }
        _ => None,
    });
    let history = Files::open(&history_dir).map_err(|error| error.to_string())?.killed(killed);
    // Written when the cluster is up; a trial cut short before has none, and nothing is assumed.
    let environment: Environment = std::fs::read(dir.join("environment.json"))
        .ok()
        .and_then(|bytes| serde_json::from_slice(&bytes).ok())
        .unwrap_or_default();
    let allowed = plan.into_iter().flat_map(|plan| &plan.anomalies).map(|one| one.as_str());
    let faults = Timeline::new(&events).faults;
    let context = CheckContext { faults, allowed: allowed.collect() };
    let checks = check::all(&history, &context).map_err(|error| error.to_string())?;
    let history = Box::new(history);
    Ok((Trial { number, environment, events, history, checks }, failed.or(cut)))
}
