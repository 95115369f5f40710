//! `junit.xml`: one test case a check, a claim and a gate.
//!
//! A violated guarantee is a failure. Unknown and invalid-run are skipped, with the reason. A
//! refuted claim is a failure only when the run was strict; else its case passes and its output
//! says so.

use quick_junit::TestSuite;
use quick_junit::{
    NonSuccessKind, Report as JunitReport, SerializeError, TestCase, TestCaseStatus,
};

use crate::judge::claim::{ClaimResult, Outcome};
use crate::judge::verdict::{Check, Verdict};

use super::{GateOutcome, GateResult, Report};
use crate::terminal::harmless;

/// The report as JUnit's XML.
pub fn render(report: &Report) -> Result<String, SerializeError> {
    let mut checks = TestSuite::new("checks");
    checks.add_test_cases(report.checks.iter().map(check_case));
    let mut claims = TestSuite::new("claims");
    claims.add_test_cases(report.claims.iter().map(|claim| claim_case(claim, report.run.strict)));
    let mut document = JunitReport::new(format!("kbench {}", report.run.run_id));
    let mut gates = TestSuite::new("gates");
    gates.add_test_cases(report.gates.iter().map(gate_case));
    document.add_test_suites([checks, claims, gates]);
    // Control characters are no XML, and are left out by the writer; a terminal may obey others.
    document.to_string().map(|text| harmless(&text).into_owned())
}

fn check_case(check: &Check) -> TestCase {
    let note = check.note.as_deref().unwrap_or("could not be checked in full");
    let status = match check.verdict {
        Verdict::Valid => TestCaseStatus::success(),
        Verdict::Unknown | Verdict::InvalidRun => {
            skipped(&format!("{}: {note}", check.verdict.as_str()))
        }
        Verdict::Violated => {
            let witnesses: Vec<&str> = check.witnesses.iter().map(|w| w.what.as_str()).collect();
            // Not every check has witnesses; its note says what it found then.
            let what = if witnesses.is_empty() { note.to_owned() } else { witnesses.join("\n") };
            failure(&format!("{} found", check.count), &what)
        }
    };
    let mut case = TestCase::new(check.name.as_str(), status);
    case.set_classname("kbench.checks");
    case.set_system_out(format!("{} examined, {} found", check.examined, check.count));
    case
}

fn claim_case(claim: &ClaimResult, strict: bool) -> TestCase {
    let status = match claim.outcome {
        Outcome::Undecided | Outcome::NotTested => {
            skipped(&format!("{}: {}", claim.outcome.as_str(), claim.reason))
        }
        Outcome::Refuted if strict => failure(&format!("refuted: {}", claim.reason), &claim.text),
        Outcome::Refuted | Outcome::Holds => TestCaseStatus::success(),
    };
    let mut case = TestCase::new(claim.id.as_str(), status);
    case.set_classname("kbench.claims");
    case.set_system_out(format!("{}: {}", claim.outcome.as_str(), claim.reason));
    case
}

fn gate_case(gate: &GateResult) -> TestCase {
    let status = match gate.outcome {
        GateOutcome::Passed => TestCaseStatus::success(),
        GateOutcome::Failed => failure(&gate.seen, &gate.gate),
        GateOutcome::Unknown => skipped(&gate.seen),
    };
    let mut case = TestCase::new(gate.gate.as_str(), status);
    case.set_classname("kbench.gates");
    case.set_system_out(format!("{}: {}", gate.outcome.as_str(), gate.seen));
    case
}

fn skipped(message: &str) -> TestCaseStatus {
    let mut status = TestCaseStatus::skipped();
    status.set_message(message);
    status
}

fn failure(message: &str, description: &str) -> TestCaseStatus {
    let mut status = TestCaseStatus::non_success(NonSuccessKind::Failure);
    status.set_message(message).set_description(description);
    status
}
