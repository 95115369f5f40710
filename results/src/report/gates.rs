//! The gates of a run, held against its figures.

use serde::{Deserialize, Serialize};

use super::{Population, Report};
use crate::judge::gate::{
    Bound, Gate, GateMetric, GatePhase, LatencyMetric, RateMetric, Statistic,
};
use crate::judge::latency::Percentiles;
use crate::judge::verdict::Verdict;

/// What became of a gate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub enum GateOutcome {
    /// The figure keeps the bound.
    Passed,
    /// It does not.
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
        Err(why) => (GateOutcome::Unknown, why.to_owned()),
        Ok(figure) => {
            let kept = gate.is_kept_by(figure);
            let outcome = if kept { GateOutcome::Passed } else { GateOutcome::Failed };
            (outcome, gate.bound.show(figure))
        }
    };
    GateResult { gate: gate.to_string(), outcome, seen }
}

/// The figure that a gate is about, in its bound's unit.
fn figure(gate: &Gate, report: &Report) -> Result<f64, &'static str> {
    let load = &report.load;
    match gate.metric {
        GateMetric::Latency(latency, statistic) => {
            let all = Population {
                latency_us: load.latency_us,
                service_us: load.service_us,
                schedule_lag_us: load.schedule_lag_us,
                end_to_end_us: load.end_to_end_us,
            };
            let population = match gate.phase {
                GatePhase::Steady => &load.baseline,
                GatePhase::Faults => &load.faults,
                GatePhase::All => &all,
            };
            latency_us(of_population(population, latency), statistic)
        }
        GateMetric::Rate(rate) => {
            let phase = match gate.phase {
                GatePhase::Steady => "steady",
                GatePhase::Faults => "around-faults",
                GatePhase::All => "all",
            };
            let rates = load.rates.get(phase).ok_or("there was no such load")?;
            let per_s = match rate {
                RateMetric::Sent => Some(rates.sent_per_s),
                RateMetric::Acked => rates.acked_per_s,
                RateMetric::Consumed => rates.consumed_per_s,
            };
            let per_s = per_s.ok_or("no acks were asked for, or nobody consumed")?;
            match gate.bound {
                Bound::Share(_) if load.asked_per_s > 0.0 => Ok(per_s / load.asked_per_s * 100.0),
                Bound::Share(_) => Err("nothing was asked for"),
                Bound::Rate(_) | Bound::Time(_) => Ok(per_s),
            }
        }
        GateMetric::ConsumeLag => {
            // A group that got nothing waited for longer than any figure says.
            let waits = report.consuming.iter().map(|group| group.steady.longest_wait_s);
            let longest = waits.reduce(|a, b| Some(a?.max(b?))).flatten();
            longest
                .map(|seconds| seconds * 1e6)
                .ok_or("a group consumed nothing of the steady load")
        }
    }
}

fn of_population(population: &Population, latency: LatencyMetric) -> &Percentiles {
    match latency {
        LatencyMetric::Response => &population.latency_us,
        LatencyMetric::Service => &population.service_us,
        LatencyMetric::ScheduleLag => &population.schedule_lag_us,
        LatencyMetric::EndToEnd => &population.end_to_end_us,
    }
}

fn latency_us(all: &Percentiles, statistic: Statistic) -> Result<f64, &'static str> {
    let us = match statistic {
        Statistic::P50 => all.p50,
        Statistic::P90 => all.p90,
        Statistic::P99 => all.p99,
        Statistic::P999 => all.p999,
        // Of what was never answered nobody knows how long it took.
        Statistic::Max => all.max.filter(|_| all.unanswered == 0),
    };
    us.map(|us| us as f64).ok_or("too few records for it, or too many of them without an answer")
}
