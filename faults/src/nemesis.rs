//! The nemesis: carries out a plan, step by step, and leaves the cluster as it was.
//!
//! One step: wait until the cluster is steady, prepare it, resolve the target, write the undo to
//! the ledger, inject, look for evidence, let the fault last, heal, look for evidence. Whatever
//! fails and whenever the user interrupts, everything in the ledger is undone as far as possible;
//! what is left is in the error. What is absent: judging what the cluster did meanwhile.

mod heal;
mod step;
#[cfg(test)]
mod tests;

use std::fmt;

use results::event::EventKind;

use crate::ledger::{Ledger, LedgerError, Outstanding};
use crate::plan::{Plan, Step};
use crate::port::{Cluster, Conductor, PortError};

pub use heal::heal_all;
use heal::{heal_fault, heal_outstanding, verdict};
use step::{Stepper, Stop};

/// What became of a plan whose faults are all healed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NemesisOutcome {
    /// What became of each step, in the plan's order.
    pub steps: Vec<StepOutcome>,
    /// Whether the user stopped it.
    pub interrupted: bool,
}

/// What became of a step.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StepOutcome {
    /// The step's id.
    pub id: String,
    /// How it ended.
    pub end: StepEnd,
}

/// How a step ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StepEnd {
    /// Its fault was injected and healed.
    CarriedOut(Injection),
    /// Its fault was not injected, and why.
    Skipped(String),
}

/// A fault that was injected and healed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Injection {
    /// What the target was resolved to.
    pub resolved: Vec<String>,
    /// Whether evidence proves that it took effect.
    pub proven: bool,
    /// Whether the cluster recovered while the fault lasted; none when that was cut short.
    pub recovered: Option<bool>,
}

/// One thing that went wrong for the nemesis (not for Kafka).
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// A step could not be carried out.
    #[error("step \"{step}\": cannot {action}: {source}")]
    Step {
        /// The step.
        step: String,
        /// What failed.
        action: &'static str,
        /// Why.
        source: PortError,
    },
    /// Something could not be undone, or not shown to be.
    #[error("step \"{step}\": cannot {undo}: {why}")]
    Undo {
        /// The step that made it necessary.
        step: String,
        /// What was to be done.
        undo: String,
        /// Why it failed.
        why: String,
    },
    /// The ledger could not be written.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
}

/// What went wrong, and what is still to be undone.
#[derive(Debug)]
pub struct NemesisError {
    /// Everything that failed, in order; may be empty when something is left all the same.
    pub failures: Vec<Failure>,
    /// What the ledger still lists.
    pub left: Outstanding,
}

impl std::error::Error for NemesisError {}

impl fmt::Display for NemesisError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let failures: Vec<_> = self.failures.iter().map(Failure::to_string).collect();
        write!(f, "{}", failures.join("; "))?;
        if self.left.entries.is_empty() {
            return write!(f, "; everything that was injected is undone");
        }
        let left: Vec<_> = self.left.entries.iter().map(|entry| entry.undo.to_string()).collect();
        write!(f, "; still to be undone: {} (try `kbench heal`)", left.join(", "))
    }
}

/// Carries out `plan`. Returns when everything is healed, or cannot be.
///
/// `seed` decides among several brokers that a target could mean.
pub async fn run(
    plan: &Plan,
    cluster: &dyn Cluster,
    conductor: &dyn Conductor,
    ledger: &mut Ledger,
    seed: u64,
) -> Result<NemesisOutcome, NemesisError> {
    let mut run = Run { steps: vec![], failures: vec![] };
    let mut remaining = plan.steps.iter().enumerate();
    let mut reason = None;
    for (index, step) in remaining.by_ref() {
        let seed = seed.wrapping_add(index as u64);
        let end = Stepper { cluster, conductor, ledger, step, seed }.carry_out().await;
        // In any case: what the step planned to undo is undone before anything else happens.
        run.failures.extend(heal_fault(&step.id, cluster, conductor, ledger).await);
        reason = run.note(step, end, conductor);
        if reason.is_some() {
            break;
        }
    }
    if let Some(reason) = reason {
        for (_, step) in remaining {
            run.skip(step, &reason, conductor);
        }
    }
    // A second attempt at what did not heal, and whatever an earlier run left in this ledger.
    run.failures.extend(heal_outstanding(cluster, conductor, ledger).await);
    verdict(run.failures, ledger)?;
    Ok(NemesisOutcome { steps: run.steps, interrupted: conductor.interrupted() })
}

/// A plan under way.
struct Run {
    steps: Vec<StepOutcome>,
    failures: Vec<Failure>,
}

impl Run {
    /// Notes how a step ended; the reason, when no further step may be carried out.
    fn note(
        &mut self,
        step: &Step,
        end: Result<Injection, Stop>,
        conductor: &dyn Conductor,
    ) -> Option<String> {
        match end {
            Ok(injection) => {
                let end = StepEnd::CarriedOut(injection);
                self.steps.push(StepOutcome { id: step.id.clone(), end });
            }
            Err(Stop::Unmet(reason)) => self.skip(step, &reason, conductor),
            Err(Stop::Unsteady(missing)) => {
                let reason = format!("the cluster was not steady: {missing}");
                self.skip(step, &reason, conductor);
                return Some(reason);
            }
            Err(Stop::Interrupted) => self.skip(step, INTERRUPTED, conductor),
            Err(Stop::Failed(failure)) => self.failures.push(failure),
        }
        if conductor.interrupted() {
            return Some(INTERRUPTED.to_owned());
        }
        self.failures.first().map(|_| "a step before it failed".to_owned())
    }

    fn skip(&mut self, step: &Step, reason: &str, conductor: &dyn Conductor) {
        let (fault_id, reason) = (step.id.clone(), reason.to_owned());
        let end = StepEnd::Skipped(reason.clone());
        self.steps.push(StepOutcome { id: fault_id.clone(), end });
        conductor.record(conductor.now(), EventKind::FaultSkipped { fault_id, reason });
    }
}

const INTERRUPTED: &str = "the run was interrupted";
