//! One trial, front to back, inside its sandbox: cluster up, load, nemesis, heal, drain, cluster
//! down. It records and never judges.
//!
//! Runs on one thread (see the sandbox: processes end with the thread that spawned them); clients
//! and observers have threads of their own.

mod backlog;
mod bystanders;
mod change;
mod conformance;
mod contention;
mod drain;
mod ensemble;
mod environment;
mod heartbeat;
mod interrupt;
pub mod lab;
mod lasting;
mod own_topics;
mod periodic;
mod ports;
mod probe;
mod restarts;
mod run_control;
mod undo;
mod usage;
mod warm_up;
mod watch;

use std::cell::RefCell;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::rc::{Rc, Weak};
use std::sync::Arc;
use std::time::Duration;

use faults::ledger::Ledger;
use faults::nemesis;
use faults::plan::Plan;
use faults::port::{Capability, PortError, RunControl};
use nix::sys::signal::Signal;
use results::record::clock::{RunClock, RunTime};
use results::record::event::{EventKind, Stage};
use results::record::manifest;
use results::record::trial::{HISTORY, LEDGER};
use tokio::time::Instant;
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::layer::{Layer as _, SubscriberExt as _};
use tracing_subscriber::util::SubscriberInitExt as _;
use workloads::{Load, LoadContext, LoadError};

use crate::child::{die_with_parent, own};
use crate::cluster::local::host::boot_id;
use crate::cluster::local::sandbox::Outside;
use crate::cluster::servers::ServerProcesses;
use crate::failure::Failure;
use crate::heal::owner;
use crate::recorder::Recorder;
use crate::rundir::RunDir;
use crate::runtime::runtime;
use crate::spec::RunSpec;
pub use undo::{SUBCOMMAND as UNDO, main as undo_main};

use bystanders::BystanderWatch;
use change::Changing;
use contention::TheirServers;
use ensemble::EnsembleWatch;
use interrupt::Interrupt;
use lab::Lab;
use lasting::{is_over, note_cut_short, run_on};
use run_control::TrialRunControl;
use usage::UsageWatch;
use watch::TrialWatch;

pub use conformance::{CONFORMANCE, main as conformance_main};

/// The hidden subcommand under which a sandbox starts its trial.
pub const SUBCOMMAND: &str = "__trial";

/// The hidden subcommand under which a trial starts clients that may be killed.
pub const WORKER: &str = "__worker";

/// Topic of the acks=1 probe; it gets the main topic's assignment.
const PROBE_TOPIC: &str = "kbench-probe";

/// Limit for the cluster to be steady again after the last fault: a request to join a group whose coordinator
/// moves meanwhile is answered by nobody, and librdkafka gave it up after 34 s.
const LAST_LIMIT: Duration = Duration::from_secs(60);

/// Limit for sends still open when the schedule ends; after a heal they complete in seconds.
const CLOSE_LIMIT: Duration = Duration::from_secs(30);

/// Carries out trial `number` of the run in `run_dir`; the sandbox's runner calls this.
pub fn main(run_dir: &Path, number: u32) -> ExitCode {
    in_runtime(trial(run_dir, number))
}

/// Runs `work` to its end on this thread.
pub(crate) fn in_runtime(work: impl Future<Output = Result<(), Failure>>) -> ExitCode {
    log_to_stderr();
    match on_one_thread(work) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            failure.print();
            failure.exit_code()
        }
    }
}

fn on_one_thread<T>(work: impl Future<Output = Result<T, Failure>>) -> Result<T, Failure> {
    runtime()?.block_on(tokio::task::LocalSet::new().run_until(work))
}

/// Is a client of a trial's load in a process of its own.
pub fn worker_main() -> ExitCode {
    log_to_stderr();
    workloads::worker_main()
}

/// The command that starts [`worker_main`]. The worker ends with the thread that starts it.
fn worker() -> Command {
    let mut command = Command::new(own());
    command.arg(WORKER);
    die_with_parent(&mut command, Signal::SIGKILL, false);
    command
}

fn log_to_stderr() {
    let targets = Targets::new()
        .with_default(LevelFilter::INFO)
        .with_target("zookeeper_client", LevelFilter::WARN);
    let asked = std::env::var("RUST_LOG").ok();
    let read = asked.as_deref().map(str::parse::<Targets>);
    let refused = read.as_ref().and_then(|read| read.as_ref().err().map(ToString::to_string));
    let targets = read.and_then(Result::ok).unwrap_or(targets);
    let layer = tracing_subscriber::fmt::layer().with_writer(std::io::stderr).with_ansi(false);
    // Where stderr cannot be written there is nobody to tell.
    let layer = layer.log_internal_errors(false);
    tracing_subscriber::registry().with(layer.with_filter(targets)).init();
    if let Some(error) = refused {
        tracing::warn!(asked, error, "RUST_LOG is no filter by target; the default is used");
    }
}

async fn trial(run_dir: &Path, number: u32) -> Result<(), Failure> {
    let trial = Trial::begin(run_dir, number)?;
    let outcome = trial.carry_out().await;
    let ended = trial.end(outcome);
    trial.recorder.await_told();
    ended
}

struct Trial {
    spec: RunSpec,
    files: PathBuf,
    recorder: Arc<Recorder>,
    number: u32,
    outside: Option<Arc<Outside>>,
}

impl Trial {
    /// Begins the record of trial `number` of the run in `run_dir`.
    fn begin(run_dir: &Path, number: u32) -> Result<Self, Failure> {
        let dir = RunDir::find(run_dir, Path::new("."))?;
        let (spec, read) = (dir.spec()?, dir.spec_checksum()?);
        if number > spec.trials {
            let (name, trials) = (dir.name(), spec.trials);
            return Err(Failure::usage(format!("{name} has no trial {number}: it has {trials}")));
        }
        let files = dir.trial(number, spec.trials);
        let clock = RunClock::start();
        let recorder = Arc::new(Recorder::create(&files, clock)?);
        recorder.now(EventKind::TrialStarted {
            run_id: spec.run_id.clone(),
            trial: number,
            wall_at_start_ms: clock.wall_at_start_ms(),
            spec: read,
        });
        Ok(Self { spec, files, recorder, number, outside: Outside::take().map(Arc::new) })
    }

    /// Ends the record: how the trial went, and what belongs to it. Nothing of that may change from now on.
    fn end(&self, outcome: Result<(), Failure>) -> Result<(), Failure> {
        self.recorder.end(match &outcome {
            Ok(()) => EventKind::TrialEnded,
            Err(failure) => EventKind::TrialFailed {
                text: failure.text().to_owned(),
                cure: failure.cure().map(str::to_owned),
            },
        });
        let listed = manifest::write(&self.files);
        outcome.and(listed.map_err(|error| Failure::infrastructure(error.to_string())))
    }

    /// Time between two pings of an idle broker (ZooKeeper's client pings after a third of its session's
    /// time-out), and the seed of the moments between them at which this trial injects.
    fn moments(&self) -> (Duration, u64) {
        let session = Duration::from_millis(self.spec.cluster.session_timeout_ms());
        (session / 3, self.spec.seed.wrapping_add(self.number.into()))
    }

    fn stage(&self, stage: Stage) {
        self.recorder.now(EventKind::Stage { stage });
    }

    async fn carry_out(&self) -> Result<(), Failure> {
        let interrupt = Interrupt::watch(Arc::clone(&self.recorder))?;
        let theirs = contention::TheirServers::default();
        let watch_host =
            || contention::start(Arc::clone(&self.recorder), self.outside.clone(), theirs.clone());
        let mut contention = self.spec.backend.is_ours().then(watch_host).transpose()?;
        self.stage(Stage::Starting);
        let started = self.recorder.clock().now();
        let lab = Rc::new(Lab::start(&self.spec, &self.files, &self.recorder, self.number).await?);
        let mut watching = Ok(());
        if !self.spec.backend.is_ours() {
            let (lab, outside) = (Rc::downgrade(&lab), self.outside.clone());
            tokio::task::spawn_local(note_servers(lab, outside, Arc::clone(&theirs)));
            // Before its servers were known, they would have been strangers.
            tokio::task::yield_now().await;
            watching = watch_host().map(|watch| contention = Some(watch));
        }
        let act = async |load: &Rc<RefCell<Load>>| self.hurt(&lab, load, &interrupt).await;
        let outcome = match watching {
            Ok(()) => self.with_cluster(&lab, &interrupt, started, act).await,
            Err(failure) => Err(failure),
        };
        // What failed first tells more than what could not go on without it.
        let outcome = interrupt.failure().map_or(outcome, Err);
        self.stage(Stage::Stopping);
        let stopped = lab.stop(outcome.is_ok()).await;
        let deleted = own_topics::delete(&lab, &self.spec, &self.files, self.number).await;
        drop(contention);
        outcome.and(stopped).and(deleted)
    }

    async fn with_cluster(
        &self,
        lab: &Rc<Lab>,
        interrupt: &Rc<Interrupt>,
        started: RunTime,
        act: impl AsyncFnOnce(&Rc<RefCell<Load>>) -> Result<(), Failure>,
    ) -> Result<(), Failure> {
        // From here on something is measured. Before, the servers' JVMs start at once and take every core for a moment.
        let _heartbeat = heartbeat::start(Arc::clone(&self.recorder))?;
        let warm = self.warm_limit();
        let mut load = self.start_load(lab)?;
        let _watch = TrialWatch::start(lab, load.live(), interrupt, &self.recorder);
        let _usage = UsageWatch::start(lab);
        let _bystanders = (!self.spec.backend.is_ours())
            .then(|| BystanderWatch::start(lab, self.spec.run_number));
        load = blocking(move || load.wait_acked(warm).map(|()| load)).await?;
        let took_s = self.recorder.clock().now().secs_since(started);
        self.recorder.now(EventKind::ClusterReady { took_s });
        load.start_group().map_err(client_failure)?;
        self.stage(Stage::WarmingUp);
        let unmeasured = contention::unmeasured(self.outside.as_deref());
        environment::record(&self.spec, lab, &load, &self.files, &self.recorder, unmeasured)
            .await?;
        load = blocking(move || load.wait_warm(warm).map(|()| load)).await?;
        interrupt.sleep(self.spec.workload.phases.warm_up).await;
        load.end_warm_up();
        self.stage(Stage::Baseline);
        let (live, baseline) = (load.live(), self.spec.workload.phases.baseline);
        run_on(|| is_over(&live), Some(baseline), interrupt).await;
        let load = Rc::new(RefCell::new(load));
        lab.load.replace(Some(Rc::clone(&load)));
        let acted = act(&load).await;
        lab.load.take();
        let load = Rc::into_inner(load)
            .map(RefCell::into_inner)
            .ok_or_else(|| Failure::infrastructure("the load is still in use (a defect)"))?;
        self.stop_load(load).await?;
        acted?;
        if interrupt.has_failed() {
            // Nothing more can be recorded.
            return Ok(());
        }
        let drained = self.drain(lab, interrupt).await?;
        self.read_batch_headers(lab, &drained, interrupt).await?;
        // Probes ask about the main load's topic, which every load writes to.
        if let Some((_, main)) = drained.iter().find(|(place, _)| *place == 0) {
            self.probe(lab, main, interrupt).await;
        }
        Ok(())
    }

    fn start_load(&self, lab: &Rc<Lab>) -> Result<Load, Failure> {
        let plan = self.spec.plan.as_ref();
        let kills = plan.is_some_and(|plan| plan.needs().contains(&Capability::Workers));
        let topic = self.spec.cluster.main_topic();
        let recorder = Arc::clone(&self.recorder);
        let events = Arc::clone(&self.recorder);
        Load::start(
            &self.spec.workload,
            LoadContext {
                bootstrap: lab.cluster.servers().bootstrap(),
                connector: lab.cluster.servers().connector(),
                run: self.spec.run_number,
                topic: topic.name.clone(),
                partitions: topic.assignment.len() as u32,
                brokers: self.spec.cluster.brokers(),
                further: self.spec.further_topics(),
                suffix: self.spec.own_name(""),
                probe_topic: self
                    .spec
                    .workload
                    .probe
                    .is_some()
                    .then(|| self.spec.own_name(PROBE_TOPIC)),
                history_dir: self.files.join(HISTORY),
                clock: self.recorder.clock(),
                seed: self.spec.seed,
                worker: kills.then_some(worker),
                on_second: Box::new(move |at, second| recorder.at(at, EventKind::Second(second))),
                on_event: Arc::new(move |at, kind| events.at(at, kind)),
            },
        )
        .map_err(client_failure)
    }

    /// The faults of the plan, or healthy load for the workload's duration.
    async fn hurt(
        &self,
        lab: &Rc<Lab>,
        load: &Rc<RefCell<Load>>,
        interrupt: &Rc<Interrupt>,
    ) -> Result<(), Failure> {
        let Some(plan) = &self.spec.plan else {
            let (phases, live) = (&self.spec.workload.phases, load.borrow().live());
            let whole = run_on(|| is_over(&live), phases.duration, interrupt);
            backlog::during(whole, &self.spec.workload, load, &self.recorder).await;
            if let Some(count) = phases.count.filter(|_| !interrupt.raised()) {
                note_cut_short(&live, count, &self.recorder);
            }
            return Ok(());
        };
        self.stage(Stage::Faults);
        lab.observer.set_fast(true);
        let run_control = TrialRunControl::new(
            lab,
            load,
            self.per_second(),
            self.moments(),
            interrupt,
            &self.recorder,
        );
        let changing = Changing::new(lab, load, &run_control, interrupt, self.moments().1);
        let struck = self.strike(plan, lab, &run_control, &changing, interrupt).await;
        // Whatever became of the faults.
        let undone = changing.undo().await;
        lab.observer.set_fast(false);
        struck.and(undone)
    }

    /// The changes and faults of the plan, until all faults are healed.
    async fn strike(
        &self,
        plan: &Plan,
        lab: &Rc<Lab>,
        run_control: &TrialRunControl,
        changing: &Changing<'_>,
        interrupt: &Interrupt,
    ) -> Result<(), Failure> {
        changing.make(plan.changes_before()).await?;
        let owner = owner(&self.spec, self.number);
        let mut ledger = Ledger::open(&self.files.join(LEDGER), owner)
            .map_err(|error| Failure::infrastructure(error.to_string()))?;
        let ensemble = EnsembleWatch::start(plan, lab);
        let outcome =
            nemesis::run(plan, lab.ports(), run_control, &mut ledger, self.spec.seed).await;
        self.stage(Stage::Healing);
        // The last fault's recovery is watched to its end, as those of the others were. If it does
        // not come, the figures say so.
        if let Ok(outcome) = &outcome
            && !interrupt.raised()
            && let Err(missing) = settle(run_control, outcome.member_due).await
        {
            self.recorder.now(EventKind::NotSteady { missing: missing.to_string() });
        }
        if let Some(ensemble) = ensemble {
            ensemble.end().await;
        }
        outcome.map(drop).map_err(Failure::from)
    }

    async fn stop_load(&self, load: Load) -> Result<(), Failure> {
        self.recorder.now(EventKind::LoadStopping);
        let summary = blocking(move || load.stop(CLOSE_LIMIT)).await?;
        self.recorder.now(EventKind::LoadEnded {
            producer_cpu_s: summary.producer_cpu_s,
            clients_cpu_s: summary.clients_cpu_s,
            over_s: summary.over_s,
            queue_full: summary.queue_full,
        });
        if let Some([message_bytes, request_bytes]) = summary.compressed {
            self.recorder.now(EventKind::Compressed { message_bytes, request_bytes });
        }
        Ok(())
    }
}

/// After the last fault: a steady cluster, then another member of the group if one is due.
async fn settle(run_control: &TrialRunControl, member_due: bool) -> Result<(), PortError> {
    let deadline = Instant::now() + LAST_LIMIT;
    run_control.steady(LAST_LIMIT).await?;
    if member_due {
        let left = deadline.saturating_duration_since(Instant::now());
        run_control.replace_member(left).await?;
    }
    Ok(())
}

/// Runs what blocks on a thread of its own, so that signals and processes are still attended to.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, LoadError> + Send + 'static,
) -> Result<T, Failure> {
    match tokio::task::spawn_blocking(work).await {
        Ok(outcome) => outcome.map_err(client_failure),
        Err(error) => Err(Failure::infrastructure(format!("a client thread ended: {error}"))),
    }
}

fn client_failure(error: LoadError) -> Failure {
    Failure::infrastructure(error.to_string())
}

/// Time between two notes of the servers that run on this host.
const NOTE_EVERY: Duration = Duration::from_millis(500);

/// Keeps a note of the servers of a cluster that is not kbench's which run on this host: they come and go.
async fn note_servers(lab: Weak<Lab>, outside: Option<Arc<Outside>>, theirs: TheirServers) {
    let here = boot_id().ok();
    while let Some(lab) = lab.upgrade() {
        let brokers: Vec<_> = lab.members.brokers().into_values().collect();
        let of = |servers: &dyn ServerProcesses| -> Vec<i32> {
            let all = servers.processes().into_iter();
            let known = all.filter_map(|process| servers.identity(&process));
            known.filter(|it| Some(&it.boot_id) == here.as_ref()).map(|it| it.pid).collect()
        };
        let known = lab.cluster.processes().map(of).unwrap_or_default();
        contention::note(&theirs, outside.as_deref(), &brokers, known);
        drop(lab);
        tokio::time::sleep(NOTE_EVERY).await;
    }
}

#[cfg(test)]
mod tests;
