//! The conformance suite: what a backend must do to be one, as cases that act on a cluster through its
//! ports. Every backend passes it, and so does the fake that the nemesis is tested with.
//!
//! A case passes, fails with what was seen, or does not apply because the backend does not claim the
//! capability. One that is claimed and does not work is a failure; one that is not claimed must be
//! refused as [`ErrorKind::Unsupported`]. The undo of whatever a case does is in a ledger before it is
//! done, as in a run, and after each case the cluster is as it was: what is not is the case's failure, and
//! ends the suite.
//!
//! What is absent: how a cluster is started, and the load on it. Cases that need records to be written
//! apply where there is a port for the load's clients. [`ErrorKind::TimedOut`] is not provoked: the limits
//! of a backend's verbs are its own, and longer than a suite may wait.

mod bench;
mod clients;
mod machine;
mod metadata;
mod network;
mod servers;
mod settled;
mod undo;
mod unsupported;

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::fmt;
use std::time::Duration;

use futures::future::{LocalBoxFuture, join};
use tokio::time::Instant;

use crate::ledger::{Ledger, LedgerError};
use crate::port::{Capability, PortError, Ports, Subject};
use bench::{Bench, Chosen};
use settled::Settled;

/// A cluster that is examined.
pub struct Backend<'a> {
    /// What it is acted on through.
    pub ports: Ports<'a>,
    /// What it claims to be able to do.
    pub capabilities: BTreeSet<Capability>,
    /// A version of Kafka that its brokers can be started from, other than theirs.
    pub other_version: Option<String>,
}

/// What became of a case.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CaseOutcome {
    /// The backend does what it should.
    Passed,
    /// It does not; what was seen instead.
    Failed(String),
    /// The case does not apply, and why.
    NotApplicable(String),
}

impl fmt::Display for CaseOutcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Passed => write!(f, "passed"),
            Self::Failed(seen) => write!(f, "FAILED: {seen}"),
            Self::NotApplicable(why) => write!(f, "not applicable: {why}"),
        }
    }
}

/// A case that was carried out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CaseResult {
    /// Its name: the subject, and what is so.
    pub name: String,
    /// What became of it.
    pub outcome: CaseOutcome,
    /// How long it took, until the cluster was as before.
    pub took: Duration,
}

impl CaseResult {
    /// Whether the backend does not do what it should.
    pub fn failed(&self) -> bool {
        matches!(self.outcome, CaseOutcome::Failed(_))
    }
}

/// Why a case did not pass.
#[derive(Debug)]
enum NotPassed {
    Failed(String),
    NotApplicable(String),
}

impl NotPassed {
    /// The same, in the course of something larger.
    fn context(self, what: impl fmt::Display) -> Self {
        match self {
            Self::Failed(seen) => Self::Failed(format!("{what}: {seen}")),
            Self::NotApplicable(why) => Self::NotApplicable(why),
        }
    }
}

/// An error where none was expected.
impl From<PortError> for NotPassed {
    fn from(error: PortError) -> Self {
        Self::Failed(format!("{error} ({})", error.kind))
    }
}

impl From<LedgerError> for NotPassed {
    fn from(error: LedgerError) -> Self {
        Self::Failed(error.to_string())
    }
}

type Checked = Result<(), NotPassed>;

type CheckBody = Box<dyn for<'b> Fn(&'b Bench<'b>) -> LocalBoxFuture<'b, Checked>>;

/// One thing that a backend must do.
struct Case {
    name: String,
    /// The port that it is about.
    subject: Subject,
    /// The capabilities without which it does not apply.
    needs: Vec<Capability>,
    check: CheckBody,
}

impl Case {
    fn new(
        subject: Subject,
        what: impl fmt::Display,
        needs: &[Capability],
        check: impl for<'b> Fn(&'b Bench<'b>) -> LocalBoxFuture<'b, Checked> + 'static,
    ) -> Self {
        Self {
            name: format!("{subject}: {what}"),
            subject,
            needs: needs.to_vec(),
            check: Box::new(check),
        }
    }

    /// Why it does not apply to the backend, or what is wrong with the backend's claims.
    fn applies(&self, backend: &Backend<'_>) -> Checked {
        let missing = self.needs.iter().find(|need| !backend.capabilities.contains(need));
        if let Some(missing) = missing {
            return Err(NotPassed::NotApplicable(format!("{missing} is not claimed")));
        }
        let subjects = self.needs.iter().map(|need| (need.subject(), Some(need)));
        for (subject, need) in subjects.chain([(self.subject, None)]) {
            match need {
                _ if backend.ports.has(subject) => {}
                None => return Err(NotPassed::NotApplicable(format!("no port for its {subject}"))),
                Some(need) => {
                    let seen = format!("{need} is claimed, and there is no port for its {subject}");
                    return Err(NotPassed::Failed(seen));
                }
            }
        }
        Ok(())
    }
}

/// Every case, in an order in which few wait for what others brought about.
fn cases(backend: &Backend<'_>) -> Vec<Case> {
    let mut cases = servers::cases();
    cases.extend(metadata::cases());
    cases.extend(network::cases());
    cases.extend(machine::cases());
    cases.extend(clients::cases());
    cases.extend(undo::cases());
    cases.extend(unsupported::cases(backend));
    cases
}

/// Carries out every case, one after the other, and says of each what became of it as soon as that is
/// known. Beside them runs the one that only waits.
///
/// # Errors
/// When the cluster is not as it should be before the first case: nothing was examined then.
pub async fn run(
    backend: &Backend<'_>,
    ledger: Ledger,
    told: impl Fn(&CaseResult),
) -> Result<Vec<CaseResult>, String> {
    let unfit = |not_passed| match not_passed {
        NotPassed::Failed(seen) | NotPassed::NotApplicable(seen) => {
            format!("the cluster is not fit to be examined: {seen}")
        }
    };
    let settled = Settled::now(backend).await.map_err(unfit)?;
    let chosen = Chosen::of(backend.ports).await.map_err(unfit)?;
    let ledger = RefCell::new(ledger);
    let suite = Suite { backend, chosen, settled, ledger, told: &told };
    let (mut results, waited) =
        join(suite.in_a_row(cases(backend)), suite.beside(undo::never_struck())).await;
    results.push(waited);
    Ok(results)
}

/// The suite under way.
struct Suite<'a> {
    backend: &'a Backend<'a>,
    chosen: Chosen,
    settled: Settled,
    ledger: RefCell<Ledger>,
    told: &'a dyn Fn(&CaseResult),
}

impl Suite<'_> {
    async fn in_a_row(&self, cases: Vec<Case>) -> Vec<CaseResult> {
        let (mut results, mut spoilt) = (vec![], None);
        for case in cases {
            let began = Instant::now();
            let outcome = match &spoilt {
                Some(by) => CaseOutcome::NotApplicable(format!("not tried after `{by}`")),
                None => match self.carry_out(&case).await {
                    Ok(outcome) => outcome,
                    Err(left) => {
                        spoilt = Some(case.name.clone());
                        CaseOutcome::Failed(left)
                    }
                },
            };
            results.push(self.result(case, outcome, began));
        }
        results
    }

    /// A case during which others are carried out. It leaves alone what they need.
    async fn beside(&self, case: Case) -> CaseResult {
        let began = Instant::now();
        let bench = self.bench(&case);
        let checked = match case.applies(self.backend) {
            Ok(()) => (case.check)(&bench).await,
            not => not,
        };
        self.result(case, outcome(checked), began)
    }

    /// What became of a case; an error when the cluster is not as before afterwards.
    async fn carry_out(&self, case: &Case) -> Result<CaseOutcome, String> {
        if let Err(not) = case.applies(self.backend) {
            return Ok(outcome(Err(not)));
        }
        let bench = self.bench(case);
        let checked = (case.check)(&bench).await;
        let cleaned = settled::clean_up(&bench, &self.settled).await;
        match (outcome(checked), cleaned) {
            (outcome, Ok(())) => Ok(outcome),
            (outcome, Err(NotPassed::Failed(left) | NotPassed::NotApplicable(left))) => {
                let left = format!("the cluster is not as before: {left}");
                match outcome {
                    CaseOutcome::Failed(seen) => Err(format!("{seen}; {left}")),
                    CaseOutcome::Passed | CaseOutcome::NotApplicable(_) => Err(left),
                }
            }
        }
    }

    fn bench<'b>(&'b self, case: &'b Case) -> Bench<'b> {
        Bench {
            backend: self.backend,
            chosen: &self.chosen,
            ledger: &self.ledger,
            case: &case.name,
        }
    }

    fn result(&self, case: Case, outcome: CaseOutcome, began: Instant) -> CaseResult {
        let result = CaseResult { name: case.name, outcome, took: began.elapsed() };
        (self.told)(&result);
        result
    }
}

fn outcome(checked: Checked) -> CaseOutcome {
    match checked {
        Ok(()) => CaseOutcome::Passed,
        Err(NotPassed::Failed(seen)) => CaseOutcome::Failed(seen),
        Err(NotPassed::NotApplicable(why)) => CaseOutcome::NotApplicable(why),
    }
}

#[cfg(test)]
mod tests;
