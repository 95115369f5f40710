//! The conformance suite inside its sandbox: the cluster of a trial with its load, examined instead of
//! hurt by a plan.

use std::cell::RefCell;
use std::path::Path;
use std::process::ExitCode;
use std::rc::Rc;
use std::sync::Arc;

use faults::conformance::{self, Backend, CaseResult};
use faults::ledger::Ledger;
use faults::port::Capability;
use results::record::clock::RunClock;
use results::record::trial::LEDGER;

use super::lab::Lab;
use super::warm_up::WARM_LIMIT;
use super::{Trial, blocking, client_failure, own_topics, owner};
use crate::failure::Failure;
use crate::recorder::Recorder;
use crate::rundir::RunDir;

/// The hidden subcommand under which a sandbox starts the suite.
pub const CONFORMANCE: &str = "__examine";

/// Examines the cluster of the run in `run_dir`; fails when a case does.
pub fn main(run_dir: &Path) -> ExitCode {
    super::log_to_stderr();
    match super::on_one_thread(examine(run_dir)) {
        Ok(results) if results.iter().any(CaseResult::failed) => ExitCode::FAILURE,
        Ok(_) => ExitCode::SUCCESS,
        Err(failure) => {
            failure.print();
            failure.exit_code()
        }
    }
}

async fn examine(run_dir: &Path) -> Result<Vec<CaseResult>, Failure> {
    let dir = RunDir::find(run_dir, Path::new("."))?;
    let spec = dir.spec()?;
    let files = dir.trial(1, spec.trials);
    let recorder = Arc::new(Recorder::create(&files, RunClock::start())?);
    let trial = Trial { spec, files, recorder: Arc::clone(&recorder), number: 1, outside: None };
    let lab = Rc::new(Lab::start(&trial.spec, &trial.files, &recorder, 1).await?);
    let results = trial.examine(&lab).await;
    let stopped = lab.stop(false).await;
    let deleted = own_topics::delete(&lab, &trial.spec, &trial.files, 1).await;
    results.and_then(|results| stopped.and(deleted).map(|()| results))
}

impl Trial {
    async fn examine(&self, lab: &Rc<Lab>) -> Result<Vec<CaseResult>, Failure> {
        let mut load = self.start_load(lab)?;
        load = blocking(move || load.wait_acked(WARM_LIMIT).map(|()| load)).await?;
        load.start_group().map_err(client_failure)?;
        load = blocking(move || load.wait_warm(WARM_LIMIT).map(|()| load)).await?;
        lab.observer.set_fast(true);
        lab.load.replace(Some(Rc::new(RefCell::new(load))));
        let owner = owner(&self.spec, self.number);
        let ledger = Ledger::open(&self.files.join(LEDGER), owner);
        let ledger = ledger.map_err(|error| Failure::infrastructure(error.to_string()))?;
        let backend = &self.spec.backend;
        let all = Capability::ALL.into_iter();
        let backend = Backend {
            ports: lab.ports(),
            capabilities: all.filter(|one| backend.missing(*one).is_none()).collect(),
            other_version: self
                .spec
                .plan
                .as_ref()
                .and_then(|plan| plan.versions().into_iter().next().map(str::to_owned)),
        };
        let results = conformance::run(&backend, ledger, told).await;
        if let Some(load) = lab.load.take().and_then(Rc::into_inner) {
            self.stop_load(load.into_inner()).await?;
        }
        results.map_err(Failure::infrastructure)
    }
}

/// A case in a line.
fn told(result: &CaseResult) {
    results::out!("{:6.1} s  {}: {}", result.took.as_secs_f64(), result.name, result.outcome);
}
