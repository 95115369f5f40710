//! The nemesis: carries out the steps of a plan, and the changes that go with them, and leaves the cluster as it was, but
//! for these changes.
//!
//! One step: wait until the cluster is steady or the step's time has come, prepare it, resolve the
//! target, write the undo to the ledger, inject, look for evidence, let the fault last, heal, look
//! for evidence. Steps may overlap and heal in any order. Whatever fails and whenever the user
//! interrupts, everything in the ledger is undone as far as possible; what is left is in the error.
//! What is absent: judging what the cluster did meanwhile.

mod group;
mod heal;
mod step;
#[cfg(test)]
pub(crate) mod tests;

use std::cell::{Cell, RefCell};
use std::fmt;

use results::record::event::EventKind;

use crate::ledger::{Ledger, LedgerError, Outstanding};
use crate::plan::Plan;
use crate::port::{ErrorKind, PortError, Ports, Process, RunControl};

use group::Run;
pub use heal::{end_trial, heal_all};
use heal::{heal_outstanding, verdict};

/// What became of a plan whose faults are all healed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NemesisOutcome {
    /// What became of each step, in the plan's order; of each round of those that have rounds.
    pub steps: Vec<StepOutcome>,
    /// Whether the user stopped it.
    pub interrupted: bool,
    /// Whether a fault was healed after which no member of the load's group was replaced yet.
    pub member_due: bool,
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
    /// The processes that were struck.
    pub victims: Vec<Process>,
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
    /// Something could not be undone.
    #[error("step \"{step}\": cannot {undo}: {source}")]
    Undo {
        /// The step that made it necessary.
        step: String,
        /// What was to be done.
        undo: String,
        /// Why it failed.
        source: PortError,
    },
    /// Something was done to undo a fault, and does not show.
    #[error("step \"{step}\": cannot {undo}: {seen}")]
    NotUndone {
        /// The step that made it necessary.
        step: String,
        /// What was done.
        undo: String,
        /// What is seen instead.
        seen: String,
    },
    /// The plan needs a port that the cluster does not have.
    #[error("plan `{plan}` cannot be carried out: {source}")]
    Refused {
        /// The plan.
        plan: String,
        /// What it lacks.
        source: PortError,
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

impl Failure {
    /// What kind of failure it was.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Step { source, .. }
            | Self::Undo { source, .. }
            | Self::Refused { source, .. } => source.kind,
            Self::NotUndone { .. } | Self::Ledger(_) => ErrorKind::Other,
        }
    }
}

impl NemesisError {
    /// What kind of failure came first.
    pub fn kind(&self) -> ErrorKind {
        self.failures.first().map_or(ErrorKind::Other, Failure::kind)
    }
}

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

/// What the nemesis acts on.
#[derive(Clone, Copy)]
struct Nemesis<'a> {
    ports: Ports<'a>,
    /// The run around it; `None` when only what it left is undone.
    run: Option<&'a dyn RunControl>,
    /// Borrowed for one line at a time: steps that overlap share it.
    ledger: &'a RefCell<&'a mut Ledger>,
    /// Whether a fault was healed since a member of the load's group was last replaced.
    healed: &'a Cell<bool>,
    /// Whether the trial is over: what it made itself is undone then, too.
    over: bool,
}

impl Nemesis<'_> {
    /// Appends to the run's events, if there is a run.
    fn record(&self, event: EventKind) {
        if let Some(run) = self.run {
            run.record(run.now(), event);
        }
    }
}

/// Carries out `plan`, whose mix has been drawn. Returns when everything is healed, or cannot be.
///
/// `seed` decides among several brokers that a target could mean.
pub async fn run(
    plan: &Plan,
    ports: Ports<'_>,
    run_control: &dyn RunControl,
    ledger: &mut Ledger,
    seed: u64,
) -> Result<NemesisOutcome, NemesisError> {
    if let Err(source) = ports.provide(&plan.needs()) {
        let refused = Failure::Refused { plan: plan.name.clone(), source };
        return Err(NemesisError { failures: vec![refused], left: ledger.outstanding() });
    }
    let ledger = RefCell::new(ledger);
    let healed = Cell::new(false);
    let nemesis =
        Nemesis { ports, run: Some(run_control), ledger: &ledger, healed: &healed, over: false };
    let run = Run::new(nemesis, run_control, plan, seed);
    let (mut index, mut reason) = (0, None);
    for (number, group) in plan.groups().enumerate() {
        let changes: Vec<_> = plan.changes_beside(number).collect();
        match &reason {
            None => reason = run.group(index, group, &changes).await,
            Some(reason) => run.skip_all(index, group, &changes, reason),
        }
        index += group.len();
    }
    let (steps, mut failures) = run.end();
    // A second attempt at what did not heal, and whatever an earlier run left in this ledger.
    failures.extend(heal_outstanding(nemesis).await);
    verdict(failures, nemesis)?;
    Ok(NemesisOutcome { steps, interrupted: run_control.interrupted(), member_due: healed.get() })
}

const INTERRUPTED: &str = "the run was interrupted";
