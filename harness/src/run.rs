//! The coordinator: runs the trials of a spec in sandboxes, a few at a time, shows them live, and
//! has what they recorded judged.
//!
//! The coordinator measures nothing itself. Each trial is a process of its own (see [`crate::trial`])
//! that writes its files; [`results`] reads and judges those files, here and in `kbench check` alike.

mod left;
pub(crate) mod shared;
mod signals;
mod trials;

use results::judge::offer::Offer;
use results::record::open;
use results::record::trial::SPEC;
use results::report::{self, Judged, Question, Report, RunMeta};
use results::terminal::printable_line;
use workloads::Rate;

use crate::cluster::attached::{CoordinatorLock, LockHolder};
use crate::cluster::docker;
use crate::cluster::local::kept::{ClusterLock, KeptCluster};
use crate::failure::Failure;
use crate::heal::{self, Healed};
use crate::live::MetricsListener;
use crate::private;
use crate::provision;
use crate::rundir::RunDir;
use crate::spec::{Asked, BackendSpec, RunSpec};

pub(crate) use signals::StopSignals;

/// Writes the resolved spec into the run's directory.
///
/// # Errors
/// An infrastructure failure when it cannot be written.
pub fn save_spec(spec: &RunSpec, dir: &RunDir) -> Result<(), Failure> {
    let path = dir.path().join(SPEC);
    let text = toml::to_string(spec)
        .map_err(|error| Failure::infrastructure(format!("the spec cannot be written: {error}")))?;
    open::write(&path, text.as_bytes()).map_err(|error| {
        Failure::infrastructure(format!("{} cannot be written: {error}", path.display()))
    })
}

/// Carries out every trial of the spec, and tells its metrics meanwhile where that is asked for.
///
/// # Errors
/// An infrastructure failure when Kafka is not to be had, or no trial could be carried out.
pub fn run(spec: &RunSpec, dir: &RunDir, metrics: Option<MetricsListener>) -> Result<(), Failure> {
    sweep(dir);
    let _lock = spec.backend.kept().map(|kept| lock(kept, dir)).transpose()?;
    let attached = spec.backend.attached();
    let holder = || LockHolder::run(&spec.run_id);
    let mut coordinator =
        attached.map(|attached| CoordinatorLock::take(attached, holder())).transpose()?;
    let kafka = spec.backend.jars().map(provision::provide).transpose()?;
    if let Some(kafka) = &kafka {
        kafka.has_classes_of(&spec.cluster)?;
    }
    for other in provision::of_plan(spec.plan.as_ref())? {
        other.has_classes_of(&spec.cluster)?;
    }
    let engine = spec.backend.docker().map(docker::ready).transpose()?;
    if engine.is_some() {
        swept(docker::sweep(None)?);
    }
    results::err!(
        "kbench {}: workload {}, {}, {}, seed {}",
        env!("CARGO_PKG_VERSION"),
        spec.workload.name,
        spec.plan.as_ref().map_or("no faults".to_owned(), |plan| format!("plan {}", plan.name)),
        match &spec.backend {
            BackendSpec::Attached(attached) => {
                let (at, id) = (&attached.bootstrap, &attached.cluster_id);
                printable_line(&format!("on the cluster at {at} ({id})")).into_owned()
            }
            BackendSpec::Docker(docker) => {
                let (images, engine) = (docker.images_in_words(), engine.unwrap_or_default());
                printable_line(&format!("containers of {images} (Docker {engine})")).into_owned()
            }
            BackendSpec::Local(local) => {
                let version = kafka.as_ref().map_or("unknown", |kafka| &*kafka.version);
                format!("Apache Kafka {version} in {}", local.mode)
            }
        },
        spec.seed,
    );
    let mode = spec.backend.local().map(|local| local.mode);
    if let Some((mode, warning)) = mode.and_then(|mode| Some((mode, mode.warning()?))) {
        results::err!("{mode}: {warning}");
    }
    if let Some(replayed) = &spec.replays {
        results::err!("replays {replayed}");
    }
    for taken in &spec.trusted {
        results::err!("trusted: {taken}");
    }
    results::err!("run directory: {}", dir.path().display());
    if let Some(Ok(address)) = metrics.as_ref().map(MetricsListener::address) {
        results::err!("metrics: http://{address}/metrics");
    }
    let rounds = spec.trials.div_ceil(spec.parallel.max(1));
    let expected = spec.expected_trial().saturating_mul(rounds);
    results::err!("expected to take about {} s", expected.as_secs());
    let outcome = trials::run_all(spec, dir, coordinator.as_mut(), metrics);
    if spec.backend.docker().is_some() {
        // Of trials that ended before they could.
        match docker::sweep(Some(&spec.run_id)) {
            Ok(what) => swept(what),
            // What failed first tells more.
            Err(failure) => return outcome.and(Err(failure)),
        }
    }
    outcome
}

fn swept(what: Vec<String>) {
    what.iter().for_each(|line| results::err!("containers: {}", printable_line(line)));
}

/// Heals what killed runs in the same folder left; runs that still go on are left alone, and so are those
/// of other users. One that cannot be healed is named, and stops nothing.
fn sweep(dir: &RunDir) {
    for run in dir.path().parent().map(RunDir::all).unwrap_or_default() {
        // What another kbench recorded is for that one to heal; its sandbox has died with it.
        let others = run.is_of_another_kbench() || private::is_of_another_user(run.path());
        if run == *dir || others {
            continue;
        }
        let text = match heal::heal(&run, &Asked::default()) {
            Ok(Healed::Undone(what)) => format!("left by {}: {}", run.name(), what.join(", ")),
            Ok(Healed::Left { left, .. }) => {
                let name = run.name();
                let heal = run.spec().map(|spec| left::heal_command(&spec, &run)).ok();
                let heal = heal.map(|heal| format!(" (`{heal}`)")).unwrap_or_default();
                format!("still left by {name}: {}{heal}", left.join(", "))
            }
            Ok(Healed::Nothing | Healed::StillRunning | Healed::Elsewhere) => continue,
            Err(failure) => format!("{} is passed over: {}", run.name(), failure.text()),
        };
        results::err!("{}", printable_line(&text));
    }
}

/// Takes the kept cluster for this run alone.
fn lock(kept: &KeptCluster, dir: &RunDir) -> Result<ClusterLock, Failure> {
    let lock = kept.lock(&format!("run {}", dir.name()))?.ok_or_else(|| {
        let user = kept.user().unwrap_or_default();
        Failure::usage(format!("the cluster {} is in use: {user}", kept.name()))
            .with_cure("wait for that to end, or start another cluster with `kbench cluster up`")
    })?;
    kept.add_run(dir.path())?;
    Ok(lock)
}

/// Judges what a run recorded; the same every time.
///
/// # Errors
/// A failure when nothing can be judged because no trial left a readable record.
pub fn judge(spec: &RunSpec, dir: &RunDir, strict: bool) -> Result<Judged, Failure> {
    Judged::of(dir.path(), &question(spec, strict))
        .map_err(|error| Failure::unknown(error.to_string()))
}

/// Judges each trial of a recorded run by itself: what it measured.
///
/// # Errors
/// As [`judge`].
pub fn each_trial(spec: &RunSpec, dir: &RunDir) -> Result<Vec<(u32, Report)>, Failure> {
    report::each_trial(dir.path(), &question(spec, false))
        .map_err(|error| Failure::unknown(error.to_string()))
}

/// Writes the report's files into the run's directory.
///
/// # Errors
/// An infrastructure failure when one cannot be written.
pub fn write(judged: &Judged, dir: &RunDir) -> Result<(), Failure> {
    judged.write(dir.path()).map_err(|error| Failure::infrastructure(error.to_string()))
}

/// What the judge needs to know of a run beside its record.
fn question(spec: &RunSpec, strict: bool) -> Question {
    let (brokers, load) = (spec.cluster.brokers().len() as u32, &spec.workload.load);
    let run = RunMeta {
        run_id: spec.run_id.clone(),
        command: spec.command.clone(),
        workload: spec.workload.name.clone(),
        plan: spec.plan.as_ref().map_or("none".to_owned(), |plan| plan.name.clone()),
        seed: spec.seed,
        asked_per_s: load.rate.total(brokers).map_or(0.0, |per_s| per_s as f64),
        offer: match load.rate {
            Rate::Max => Offer::Closed,
            // By count it is over at some time, and nothing is asked for any more.
            _ if load.is_even() && spec.workload.phases.count.is_none() => Offer::Even,
            _ => Offer::Shaped,
        },
        record_bytes: load.record_bytes.mean().round() as u64,
        started: spec.started.clone(),
        kbench: env!("CARGO_PKG_VERSION").to_owned(),
        trials_asked: spec.trials,
        strict,
        gates: spec.workload.gates.clone(),
        trusted: spec.trusted.clone(),
    };
    let allowed = spec.plan.iter().flat_map(|plan| &plan.anomalies);
    let allowed = allowed.map(|anomaly| anomaly.as_str().to_owned()).collect();
    Question { run, claims: spec.claims.clone(), allowed }
}
