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
                let all = Population {
                    latency_us: load.latency_us,
                    service_us: load.service_us,
                    schedule_lag_us: load.schedule_lag_us,
                    end_to_end_us: load.end_to_end_us,
                };
                let population = match self.phase {
                    LoadPhase::Steady => &load.baseline,
                    LoadPhase::Faults => &load.faults,
                    LoadPhase::All => &all,
                };
                latency_us(of_population(population, latency), statistic)
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
            MetricFigure::ConsumeLag => {
                // A group that got nothing waited for longer than any figure says.
                let waits = report.consuming.iter().map(|group| group.steady.longest_wait_s);
                let longest = waits.reduce(|a, b| Some(a?.max(b?))).flatten();
                longest
                    .map(|seconds| seconds * 1e6)
                    .ok_or("a group consumed nothing of the steady load")
            }
            MetricFigure::Recovery => {
                let mut checks = report.checks.iter();
                if checks.any(|it| it.name == "disturbance" && it.verdict != Verdict::Valid) {
                    return Err("something disturbed the run");
                }
                let rows = report.recovery.iter().filter(|row| row.stream == StreamKind::Main);
                let of = |row: &PartitionRecovery| match row.censored {
                    true => Err("an outage had not ended when the run did"),
                    false => Ok(row.total_s),
                };
                let longest = rows.map(of).reduce(|a, b| Ok(a?.max(b?)));
                longest.ok_or("there was no fault")?.map(|seconds| seconds * 1e6)
            }
        }
    }
}

impl LoadMetric {
    /// What was asked for in the phase that it is about, in records a second; 0 where nothing was.
    pub(super) fn asked_per_s(self, report: &Report) -> f64 {
        let of_phase = report.load.rates.get(key(self.phase)).and_then(|rates| rates.asked_per_s);
        of_phase.unwrap_or(report.load.asked_per_s)
    }
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
