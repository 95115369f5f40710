//! From a report to kbench's exit code. Codes 2 (usage) and 4 (infrastructure) are never a report's.

use crate::judge::claim::Outcome;
use crate::judge::verdict::Verdict;

use super::{GateOutcome, Report};

/// A guarantee was violated, or a gate failed; with `strict`, also a refuted claim.
const FAILED: u8 = 1;
/// Unknown, which a gate may be as well, or the run itself invalid; with `strict`, also an undecided claim that the plan tests.
const UNKNOWN: u8 = 3;

/// What kbench exits with.
pub fn code(report: &Report) -> u8 {
    let claimed = |outcome| {
        report.run.strict
            && report.claims.iter().any(|claim| claim.tested && claim.outcome == outcome)
    };
    let gated = |outcome| report.gates.iter().any(|gate| gate.outcome == outcome);
    match report.verdict {
        Verdict::Violated => FAILED,
        _ if claimed(Outcome::Refuted) || gated(GateOutcome::Failed) => FAILED,
        Verdict::Unknown | Verdict::InvalidRun => UNKNOWN,
        Verdict::Valid if claimed(Outcome::Undecided) || gated(GateOutcome::Unknown) => UNKNOWN,
        Verdict::Valid => 0,
    }
}
