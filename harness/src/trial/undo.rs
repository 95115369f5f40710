//! The undos of a trial that was killed, carried out on the kept cluster that it ran on, inside the
//! cluster's sandbox: by the code that the nemesis uses, without a load.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::ExitCode;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use faults::ledger::Ledger;
use faults::nemesis;
use faults::plan::ChangeStep;
use faults::port::{ErrorKind, Metadata as _, PortError, Process, RunControl};
use faults::until;
use results::record::clock::{RunClock, RunTime};
use results::record::event::EventKind;
use results::record::trial::LEDGER;

use super::lab::Lab;
use crate::failure::Failure;
use crate::heal::owner;
use crate::recorder::Recorder;
use crate::rundir::RunDir;

/// The hidden subcommand under which kbench undoes what a trial did, in the sandbox of its cluster.
pub const SUBCOMMAND: &str = "__undo";

/// Limit for the observer to see a cluster whose ZooKeeper is well.
const SEEN_SOON: Duration = Duration::from_secs(3);

/// Limit for the observer to see the cluster: it tries again five times a second, for 5 s each.
const SEEN_LIMIT: Duration = Duration::from_secs(20);

/// How often the cluster is looked at.
const LOOK: Duration = Duration::from_millis(50);

/// Undoes what trial `number` of the run in `run_dir` did.
pub fn main(run_dir: &Path, number: u32) -> ExitCode {
    super::in_runtime(undo(run_dir, number))
}

async fn undo(run_dir: &Path, number: u32) -> Result<(), Failure> {
    let dir = RunDir::find(run_dir, Path::new("."))?;
    let spec = dir.spec()?;
    let files = dir.trial(number, spec.trials);
    let clock = RunClock::start();
    // Each attempt has a log of its own.
    let mut logs = (1..).map(|attempt| match attempt {
        1 => files.join("heal.jsonl"),
        more => files.join(format!("heal-{more}.jsonl")),
    });
    let free = logs.find(|log| !log.exists()).unwrap_or_default();
    let recorder = Arc::new(Recorder::open(&free, clock)?);
    let lab = Rc::new(Lab::of_killed(&spec, &files, &recorder).await?);
    let mut ledger = Ledger::open(&files.join(LEDGER), owner(&spec, number))
        .map_err(|error| Failure::unknown(error.to_string()))?;
    let run_control = NoRun { lab: Rc::clone(&lab), recorder: Arc::clone(&recorder) };
    // Nothing follows from a look in vain: it may be the cluster that cannot be seen.
    run_control.seen(SEEN_SOON).await.ok();
    let mut healed = nemesis::heal_all(lab.ports(), Some(&run_control), &mut ledger).await;
    if healed.is_err() && run_control.seen(SEEN_LIMIT).await.is_ok() {
        // What blinded the observer may be undone now, and it sees what the other undos ask for.
        healed = nemesis::heal_all(lab.ports(), Some(&run_control), &mut ledger).await;
    }
    lab.observer.stop();
    if !spec.backend.is_ours() && healed.is_ok() {
        // Nothing of it is stopped: what undoes a fault without kbench is taken away, when nothing is left to do.
        lab.cluster.stop(false).await?;
    }
    healed.map_err(|error| {
        recorder.now(EventKind::Problem { text: error.to_string() });
        Failure::unknown(error.to_string())
    })
}

/// What undos ask of a run that is over: the cluster's own state, no load.
struct NoRun {
    lab: Rc<Lab>,
    recorder: Arc<Recorder>,
}

impl NoRun {
    /// Waits until somebody sees the cluster.
    async fn seen(&self, limit: Duration) -> Result<(), PortError> {
        until(limit, LOOK, async || self.lab.view().await.map(drop)).await
    }
}

#[async_trait(?Send)]
impl RunControl for NoRun {
    fn now(&self) -> RunTime {
        self.recorder.clock().now()
    }

    fn record(&self, at: RunTime, event: EventKind) {
        self.recorder.at(at, event);
    }

    async fn steady(&self, limit: Duration) -> Result<(), PortError> {
        until(limit, LOOK, async || {
            let missing = self.lab.members.missing(&self.lab.view().await?);
            missing.map_or(Ok(()), |missing| {
                let limit = limit.as_secs();
                let what = format!("the cluster was not steady within {limit} s: {missing}");
                Err(PortError::new(ErrorKind::TimedOut, what))
            })
        })
        .await
    }

    async fn replace_member(&self, _: Duration) -> Result<(), PortError> {
        // The group ended with the run.
        Ok(())
    }

    async fn recovered(&self, _: RunTime, _: &[Process], _: Duration) -> bool {
        // Only a load shows it.
        false
    }

    async fn change(&self, _: &ChangeStep, _: &dyn Fn() -> BTreeSet<Process>) -> bool {
        // Nothing is changed any more.
        false
    }

    fn delay_before(&self, _: &str) -> Duration {
        Duration::ZERO
    }

    fn interrupted(&self) -> bool {
        false
    }
}
