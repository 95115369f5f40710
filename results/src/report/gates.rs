//! The gates of a run, held against its figures.

use serde::{Deserialize, Serialize};

use super::Report;
use crate::judge::gate::{Bound, Gate};
use crate::judge::verdict::Verdict;

/// What became of a gate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub enum GateOutcome {
    /// The figure keeps the bound.
    Passed,
    /// It does not; nor can it where no more than a lower bound of it is known.
    Failed,
    /// There is no such figure, or the run is worth nothing as a measurement.
    Unknown,
}

/// A gate, and what it was held against.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct GateResult {
    /// The gate as it is written.
    pub gate: String,
    /// What became of it.
    pub outcome: GateOutcome,
    /// The figure, or why there is none.
    pub seen: String,
}

impl GateOutcome {
    /// The word for it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Passed => "passed",
            Self::Failed => "failed",
            Self::Unknown => "unknown",
        }
    }
}

/// Judges the gates of a report whose figures and verdict stand.
pub(super) fn judge(report: &Report) -> Vec<GateResult> {
    report.run.gates.iter().map(|gate| one(gate, report)).collect()
}

fn one(gate: &Gate, report: &Report) -> GateResult {
    let (outcome, seen) = match figure(gate, report) {
        _ if report.verdict == Verdict::InvalidRun => {
            (GateOutcome::Unknown, "not judged: the run is invalid".to_owned())
        }
        Err(why) => match at_least(gate, report).filter(|least| gate.is_broken_from(*least)) {
            Some(least) => (GateOutcome::Failed, format!(">= {}", gate.bound.show(least))),
            None => (GateOutcome::Unknown, why.to_owned()),
        },
        Ok(figure) => {
            let kept = gate.is_kept_by(figure);
            let outcome = if kept { GateOutcome::Passed } else { GateOutcome::Failed };
            (outcome, gate.bound.show(figure))
        }
    };
    GateResult { gate: gate.to_string(), outcome, seen }
}

/// What the figure is at the least, where no more is known of it: times alone have such bounds.
fn at_least(gate: &Gate, report: &Report) -> Option<f64> {
    matches!(gate.bound, Bound::Time(_)).then(|| gate.metric.at_least(report)).flatten()
}

/// The figure that a gate is about, in its bound's unit.
fn figure(gate: &Gate, report: &Report) -> Result<f64, &'static str> {
    let (figure, asked) = (gate.metric.of(report)?, gate.metric.asked_per_s(report));
    match gate.bound {
        Bound::Share(_) if asked > 0.0 => Ok(figure / asked * 100.0),
        Bound::Share(_) => Err("nothing was asked for"),
        Bound::Rate(_) | Bound::Time(_) => Ok(figure),
    }
}
