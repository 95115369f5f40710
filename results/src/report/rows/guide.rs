//! Which figures of a report the guide's claims about times are of.
//!
//! A report says how a claim stands, and not by what it is measured. Where the claim is the guide's, the guide says it;
//! of anybody else's nothing is known here.

use std::collections::BTreeSet;

use crate::judge::claim::{Claim, ClaimResult, Measured, Metric, clients, guide, of_led};
use crate::judge::recovery::PartitionRecovery;
use crate::report::text::faults::rows;
use crate::report::{FaultReport, Report};

/// Figures that differ by less are the same, in seconds.
const SAME_S: f64 = 1e-6;

/// The guide's claims.
pub(super) struct GuideClaims(Vec<Claim>);

impl GuideClaims {
    /// Those that kbench has with it; none would be one that a test of them finds.
    pub(super) fn shipped() -> Self {
        Self(guide().unwrap_or_default())
    }

    /// The one that was judged, if it is one of them.
    fn of(&self, judged: &ClaimResult) -> Option<&Claim> {
        let same = |it: &&Claim| {
            (&it.id, &it.text, it.stated_s) == (&judged.id, &judged.text, judged.stated_s)
        };
        self.0.iter().find(same)
    }

    /// The figure of each trial that a claim was judged by; none where they are not known for certain.
    pub(super) fn by_trial(&self, report: &Report, judged: &ClaimResult) -> Vec<f64> {
        let (Some(claim), Some(measured)) = (self.of(judged), &judged.measured_s) else {
            return vec![];
        };
        let trials: BTreeSet<u32> = report.faults.iter().map(|fault| fault.trial).collect();
        let each = trials.into_iter().filter_map(|trial| in_trial(report, claim, trial));
        let each: Vec<f64> = each.collect();
        if agrees(&each, measured) { each } else { vec![] }
    }

    /// What the judged claims state of how long a partition is unavailable: ids and intervals.
    pub(super) fn stated<'a>(
        &self,
        report: &'a Report,
        fault: &FaultReport,
        row: &PartitionRecovery,
    ) -> Vec<(&'a str, [f64; 2])> {
        let states = |judged: &'a ClaimResult| {
            let claim = self.of(judged)?;
            let whole = claim.metric != Metric::NewLeaderServes;
            let of_it = whole && is_tested_by(claim, fault) && is_of(claim, row);
            Some((judged.id.as_str(), judged.stated_s.filter(|_| of_it)?))
        };
        report.claims.iter().filter_map(states).collect()
    }
}

/// Whether the figures are those that were judged: as many, from the same least to the same most.
fn agrees(each: &[f64], measured: &Measured) -> bool {
    let is = |figure: f64, wanted: Option<f64>| {
        wanted.is_some_and(|wanted| (figure - wanted).abs() < SAME_S)
    };
    let most = each.iter().copied().fold(0.0, f64::max);
    each.len() == measured.n
        && is(most, measured.max)
        && each.iter().any(|figure| is(*figure, measured.min))
}

fn is_tested_by(claim: &Claim, fault: &FaultReport) -> bool {
    fault.proven && claim.scenario.contains(&fault.id) && claim.speaks_of(&fault.effect)
}

/// Whether a claim is of such a partition, as such clients saw it.
fn is_of(claim: &Claim, row: &PartitionRecovery) -> bool {
    let same = clients(&claim.metric) == Some(row.stream);
    same && row.led == Some(of_led(&claim.metric)) && !row.added
}

/// The longest over the claim's faults, each of which the trial must have.
fn in_trial(report: &Report, claim: &Claim, trial: u32) -> Option<f64> {
    let of_step = |step: &String| {
        let mut faults = report.faults.iter().filter(|fault| fault.trial == trial);
        let fault = faults.find(|fault| fault.id == *step && is_tested_by(claim, fault))?;
        figure(report, claim, fault)
    };
    let each: Option<Vec<f64>> = claim.scenario.iter().map(of_step).collect();
    each?.into_iter().reduce(f64::max)
}

/// What a claim is measured by, of one fault.
fn figure(report: &Report, claim: &Claim, fault: &FaultReport) -> Option<f64> {
    let controller = fault.controller.as_ref();
    let of_row = |row: &PartitionRecovery| match claim.metric {
        Metric::NewLeaderServes => Some(row.phases_s.metadata? + row.phases_s.answer?),
        _ => Some(row.unavailable_s),
    };
    match claim.metric {
        Metric::ControllerFailover => controller.map(|it| it.failover_s),
        Metric::ControllerElection => controller.and_then(|it| it.phases.elect),
        _ => {
            let own = rows(report, fault).filter(|row| is_of(claim, row));
            own.filter_map(of_row).reduce(f64::max)
        }
    }
}
