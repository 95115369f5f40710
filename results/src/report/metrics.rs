//! The figures of a report by their names.

use super::{Population, Report};
use crate::judge::latency::Percentiles;
use crate::judge::metric::{
    LatencyMetric, LoadMetric, LoadPhase, MetricFigure, RateMetric, Statistic,
};
use crate::judge::recovery::{PartitionRecovery, StreamKind};
use crate::judge::verdict::Verdict;

impl LoadMetric {
    /// Its figure in a report: latencies in microseconds, rates in records a second.
    ///
    /// # Errors
    /// Why there is none.
    pub fn of(self, report: &Report) -> Result<f64, &'static str> {
        let load = &report.load;
        match self.figure {
            MetricFigure::Latency(latency, statistic) => {
                latency_us(&self.percentiles(latency, report), statistic)
            }
            MetricFigure::Rate(rate) => {
                let rates = load.rates.get(key(self.phase)).ok_or("there was no such load")?;
                let per_s = match rate {
                    RateMetric::Sent => Some(rates.sent_per_s),
                    RateMetric::Acked => rates.acked_per_s,
                    RateMetric::Consumed => rates.consumed_per_s,
                };
                per_s.ok_or("no acks were asked for, or nobody consumed")
            }
            MetricFigure::ConsumeLag => match longest_wait(report)? {
                (_, true) => Err("records of the steady load were never delivered"),
                (seconds, false) => Ok(seconds * 1e6),
            },
            MetricFigure::Recovery => match recovery(report)? {
                (_, true) => Err("an outage had not ended when the run did"),
                (seconds, false) => Ok(seconds * 1e6),
            },
        }
    }

    /// What its figure is at the least, in the unit of [`of`](Self::of), where no more is known of it.
    pub fn at_least(self, report: &Report) -> Option<f64> {
        match self.figure {
            MetricFigure::Recovery => recovery(report).ok().map(|(seconds, _)| seconds * 1e6),
            MetricFigure::Latency(latency, Statistic::Max) => {
                self.percentiles(latency, report).max.map(|us| us as f64)
            }
            MetricFigure::ConsumeLag => longest_wait(report).ok().map(|(seconds, _)| seconds * 1e6),
            MetricFigure::Latency(..) | MetricFigure::Rate(_) => None,
        }
    }

    fn percentiles(self, latency: LatencyMetric, report: &Report) -> Percentiles {
        let load = &report.load;
        let all = load.all();
        let population = match self.phase {
            LoadPhase::Steady => &load.baseline,
            LoadPhase::Faults => &load.faults,
            LoadPhase::All => &all,
        };
        *of_population(population, latency)
    }

    /// What was asked for in the phase that it is about, in records a second; 0 where nothing was.
    pub(super) fn asked_per_s(self, report: &Report) -> f64 {
        let of_phase = report.load.rates.get(key(self.phase)).and_then(|rates| rates.asked_per_s);
        of_phase.unwrap_or(report.load.asked_per_s)
    }
}

/// The longest wait from an ack to the delivery in the steady load, in seconds, and whether that is a lower bound.
fn longest_wait(report: &Report) -> Result<(f64, bool), &'static str> {
    // None where nothing was acked then, or all of it waited for what was planned.
    let waits = report
        .consuming
        .iter()
        .map(|group| group.steady.longest_wait_s.map(|seconds| (seconds, group.steady.censored)));
    let longest = waits.reduce(|a, b| a.zip(b).map(|(a, b)| (a.0.max(b.0), a.1 || b.1)));
    longest.flatten().ok_or("no wait of a group for the steady load is known")
}

/// The longest outage that the main load felt, in seconds, and whether that is a lower bound.
fn recovery(report: &Report) -> Result<(f64, bool), &'static str> {
    let mut checks = report.checks.iter();
    if checks.any(|it| it.name == "disturbance" && it.verdict != Verdict::Valid) {
        return Err("something disturbed the run");
    }
    let rows = report.recovery.iter().filter(|row| row.stream == StreamKind::Main);
    let of = |row: &PartitionRecovery| {
        // Reports of old have no more than these two.
        let gaps = row.total_s.max(row.after_heal_gap_s.unwrap_or_default());
        (row.felt_s.max(gaps), row.felt_censored || row.censored || row.after_heal_censored)
    };
    let longest = rows.map(of).reduce(|a, b| (a.0.max(b.0), a.1 || b.1));
    longest.ok_or("there was no fault")
}

/// The name of a phase in the report.
fn key(phase: LoadPhase) -> &'static str {
    match phase {
        LoadPhase::Steady => "steady",
        LoadPhase::Faults => "around-faults",
        LoadPhase::All => "all",
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
