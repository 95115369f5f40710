//! Claims, each with its figures on a scale of its own.

use serde::Serialize;

use super::{BAD, DOUBT, GOOD, ToneClass};
use crate::judge::claim::{ClaimResult, Outcome, TrialTime};
use crate::report::Report;
use crate::report::text::claims::{distribution, predicted, stated};
use crate::report::text::seconds;

/// A claim as it is shown.
#[derive(Serialize)]
pub(in crate::report) struct ClaimRow<'a> {
    pub(in crate::report) claim: &'a ClaimResult,
    pub(in crate::report) outcome: &'static str,
    tone: ToneClass,
    pub(in crate::report) stated: String,
    pub(in crate::report) measured: String,
    pub(in crate::report) predicted: String,
    /// The figures of several trials.
    trials: String,
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
    /// What was measured in each of several trials.
    trials: Vec<f64>,
}

pub(in crate::report) fn claims(report: &Report) -> Vec<ClaimRow<'_>> {
    report.claims.iter().map(ClaimRow::of).collect()
}

/// The figures of several trials, the shortest first; none of one, which says it all by itself.
fn several(claim: &ClaimResult) -> Vec<TrialTime> {
    let measured = claim.measured_s.iter().flat_map(|it| &it.trials);
    let mut trials: Vec<TrialTime> = measured.copied().collect();
    trials.sort_by(|a, b| a.seconds.total_cmp(&b.seconds));
    if trials.len() > 1 { trials } else { vec![] }
}

impl<'a> ClaimRow<'a> {
    fn of(claim: &'a ClaimResult) -> Self {
        let trials = several(claim);
        let word = |it: &TrialTime| {
            let least = if it.censored { ">= " } else { "" };
            format!("{least}{}", seconds(it.seconds))
        };
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
            trials: trials.iter().map(word).collect::<Vec<_>>().join(", "),
            scale: ClaimScale::of(claim, &trials),
        }
    }
}

impl ClaimScale {
    /// None where no time was measured.
    fn of(claim: &ClaimResult, trials: &[TrialTime]) -> Option<Self> {
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
            trials: trials.iter().map(|it| it.seconds / end_s * 100.0).collect(),
        })
    }
}
