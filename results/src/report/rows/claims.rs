//! Claims, each with its figures on a scale of its own.

use serde::Serialize;

use super::{BAD, DOUBT, GOOD, ToneClass};
use crate::judge::claim::{ClaimResult, Outcome};
use crate::report::Report;
use crate::report::text::claims::{distribution, predicted, stated};

/// A claim as it is shown.
#[derive(Serialize)]
pub(in crate::report) struct ClaimRow<'a> {
    pub(in crate::report) claim: &'a ClaimResult,
    pub(in crate::report) outcome: &'static str,
    tone: ToneClass,
    pub(in crate::report) stated: String,
    pub(in crate::report) measured: String,
    pub(in crate::report) predicted: String,
    scale: Option<ClaimScale>,
}

/// Stated, predicted and measured times on one line, in per cent of its length.
#[derive(Serialize)]
struct ClaimScale {
    /// Seconds at its end.
    end_s: f64,
    /// Begin and length.
    stated: Option<[f64; 2]>,
    predicted: Option<[f64; 2]>,
    /// The least and the most that was measured, as begin and length; and the median.
    measured: Option<[f64; 2]>,
    median: Option<f64>,
}

pub(in crate::report) fn claims(report: &Report) -> Vec<ClaimRow<'_>> {
    report.claims.iter().map(ClaimRow::of).collect()
}

impl<'a> ClaimRow<'a> {
    fn of(claim: &'a ClaimResult) -> Self {
        let tone = match claim.outcome {
            Outcome::Holds => GOOD,
            Outcome::Undecided | Outcome::NotTested => DOUBT,
            Outcome::Refuted => BAD,
        };
        Self {
            claim,
            outcome: claim.outcome.as_str(),
            tone,
            stated: stated(claim),
            measured: claim.measured_s.as_ref().map(distribution).unwrap_or_default(),
            predicted: predicted(claim),
            scale: ClaimScale::of(claim),
        }
    }
}

impl ClaimScale {
    /// None where no time was measured.
    fn of(claim: &ClaimResult) -> Option<Self> {
        let measured = claim.measured_s.as_ref()?;
        let (least, most) = (measured.min?, measured.max?);
        let ends = [claim.stated_s, claim.predicted_s].into_iter().flatten().map(|[_, end]| end);
        // A little longer than the longest, and never nothing.
        let end_s = ends.fold(most, f64::max).max(0.001) * 1.05;
        let part = |[from, to]: [f64; 2]| [from / end_s * 100.0, (to - from) / end_s * 100.0];
        Some(Self {
            end_s,
            stated: claim.stated_s.map(part),
            predicted: claim.predicted_s.map(part),
            measured: Some(part([least, most])),
            median: measured.median.map(|median| median / end_s * 100.0),
        })
    }
}
