//! The history of runs over nights: where did a figure change?
//!
//! Runs are of one series when all is alike that [`Conditions`](crate::compare::Conditions) hold, versions excepted:
//! what changes from night to night is what is looked for, and is told beside a change. A point is a run with all its
//! trials, so their number is the series' too. Where the figures change is found by [`divisive`].

mod divisive;
mod export;
mod metric;
mod text;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use xxhash_rust::xxh3::xxh3_64;

use crate::compare::{Aspect, Conditions, METRICS, MetricChange, Unlike, median};
use crate::judge::metric::LoadMetric;
use crate::judge::verdict::Verdict;
use crate::report::Report;

pub use divisive::{LEAST_FIGURES, SIGNIFICANT};
pub use export::{ExportError, TrendExport};
pub use metric::TrendMetric;
pub use text::render;

/// What the runs of a series have in common.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SeriesKey {
    /// Name of the workload.
    pub workload: String,
    /// Name of the plan, or "none".
    pub plan: String,
    /// What the cluster was run for; "not seen" where nobody saw it start.
    pub profile: String,
    /// Trials of each run.
    pub trials: u32,
    /// All that has to be alike.
    pub conditions: Conditions,
}

/// A run as it is kept: its figures, and no record.
#[derive(Debug, Clone, PartialEq)]
pub struct PastRun {
    /// Its name.
    pub id: String,
    /// When it began (RFC 3339, UTC).
    pub started: String,
    /// Its verdict.
    pub verdict: Verdict,
    /// Versions of what it was made with.
    pub versions: Conditions,
    /// Its figures by the names of their metrics: times in microseconds, rates in records a second.
    pub figures: BTreeMap<String, f64>,
}

/// A series with its runs, oldest first.
#[derive(Debug, Clone, PartialEq)]
pub struct PastSeries {
    /// What they have in common.
    pub key: SeriesKey,
    /// The runs.
    pub runs: Vec<PastRun>,
}

impl SeriesKey {
    /// A short name of it, the same on every machine: a hash of all that has to be alike.
    pub fn id(&self) -> String {
        // Maps in the order of their keys: the same text every time.
        let text = serde_json::to_string(self).unwrap_or_default();
        format!("{:08x}", xxh3_64(text.as_bytes()) >> 32)
    }
}

impl PastRun {
    /// A run by its report and what it was made in, with the series that it is of.
    pub fn of(report: &Report, mut conditions: Conditions) -> (SeriesKey, Self) {
        let versions = conditions.split_off(Aspect::Versions);
        let run = &report.run;
        let environment = report.environments.first();
        let profile = environment.and_then(|it| it.environment.profile.clone());
        let key = SeriesKey {
            workload: run.workload.clone(),
            plan: run.plan.clone(),
            profile: profile.unwrap_or_else(|| "not seen".to_owned()),
            trials: run.trials_asked,
            conditions,
        };
        let (id, started, verdict) = (run.run_id.clone(), run.started.clone(), report.verdict);
        (key, Self { id, started, verdict, versions, figures: metric::figures(report) })
    }

    fn measured(&self) -> bool {
        matches!(self.verdict, Verdict::Valid | Verdict::Violated)
    }
}

/// What is looked at.
#[derive(Debug, Clone)]
pub struct TrendOptions {
    /// Metrics; where none are named those of [`METRICS`], and the times of claims.
    pub metrics: Vec<TrendMetric>,
    /// The smallest change that counts, as a part of the figure before it.
    pub least_effect: f64,
    /// How many runs of a series, the newest.
    pub last: usize,
}

/// Series, each with what became of its metrics.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Trends {
    /// The series.
    pub series: Vec<SeriesTrend>,
}

/// A series.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct SeriesTrend {
    /// Its short name.
    pub id: String,
    /// What its runs have in common.
    #[serde(flatten)]
    pub key: SeriesKey,
    /// Runs that are measurements, oldest first.
    pub runs: Vec<RunPoint>,
    /// Runs that are none, with their verdicts.
    pub left_out: Vec<String>,
    /// The metrics that any run has.
    pub metrics: Vec<MetricTrend>,
}

/// A run of a series.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct RunPoint {
    /// Its name.
    pub id: String,
    /// When it began.
    pub started: String,
}

/// A metric of a series.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct MetricTrend {
    /// The metric.
    pub metric: TrendMetric,
    /// Its figure in each run of the series; none where the run has none.
    pub figures: Vec<Option<f64>>,
    /// The newest run's figure.
    pub newest: Option<f64>,
    /// Median of all figures before the newest run's.
    pub median_before: Option<f64>,
    /// Where they changed, in the order of the runs.
    pub changes: Vec<ChangePoint>,
    /// What became of it at the newest change; unknown where there are too few figures.
    pub change: MetricChange,
}

/// A run from which on a figure is another.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ChangePoint {
    /// Number of the run in its series, from 0.
    pub index: usize,
    /// The run.
    pub run: String,
    /// The last one before it that has the figure.
    pub since: String,
    /// Median since the change before, or the first run.
    pub before: f64,
    /// Median up to the next change, or the last run.
    pub after: f64,
    /// After over before; none where that is 0.
    pub ratio: Option<f64>,
    /// Share of random orders of the figures that split as well.
    pub p: f64,
    /// Whether it became worse.
    pub change: MetricChange,
    /// Versions that are others than those of the run before.
    pub versions: Vec<Unlike>,
}

impl Trends {
    /// Of these series.
    pub fn of(all: &[PastSeries], options: &TrendOptions) -> Self {
        Self { series: all.iter().map(|series| SeriesTrend::of(series, options)).collect() }
    }

    /// Whether the newest change of any figure is a regression.
    pub fn regressed(&self) -> bool {
        let mut metrics = self.series.iter().flat_map(|series| &series.metrics);
        metrics.any(|metric| metric.change == MetricChange::Regression)
    }
}

impl SeriesTrend {
    /// The figures of a run, by its number; none where it lacks one.
    fn all_figures_of(&self, run: usize) -> Option<Vec<f64>> {
        self.metrics.iter().map(|metric| metric.figures[run]).collect()
    }

    /// Runs that lack some figure: a table of all has no row for them.
    pub fn runs_lacking_a_figure(&self) -> usize {
        (0..self.runs.len()).filter(|run| self.all_figures_of(*run).is_none()).count()
    }

    fn of(series: &PastSeries, options: &TrendOptions) -> Self {
        let all = &series.runs[series.runs.len().saturating_sub(options.last)..];
        let (runs, others): (Vec<_>, Vec<_>) = all.iter().partition(|run| run.measured());
        let has = |metric: &TrendMetric| {
            let name = metric.to_string();
            runs.iter().any(|run| run.figures.contains_key(&name))
        };
        let metrics = match options.metrics.is_empty() {
            false => options.metrics.clone(),
            true => usual(&runs),
        };
        let of = |metric: &TrendMetric| MetricTrend::of(metric, &runs, options.least_effect);
        Self {
            id: series.key.id(),
            key: series.key.clone(),
            left_out: others
                .iter()
                .map(|run| format!("{} is {}", run.id, run.verdict.as_str()))
                .collect(),
            metrics: metrics.iter().filter(|it| has(it)).map(of).collect(),
            runs: runs
                .iter()
                .map(|run| RunPoint { id: run.id.clone(), started: run.started.clone() })
                .collect(),
        }
    }
}

/// The metrics that are looked at where none are named.
fn usual(runs: &[&PastRun]) -> Vec<TrendMetric> {
    let of_load = METRICS.iter().filter_map(|name| name.parse::<LoadMetric>().ok());
    let names = runs.iter().flat_map(|run| run.figures.keys());
    let mut claims: Vec<_> = names.filter_map(|name| metric::claim(name)).collect();
    claims.sort();
    claims.dedup();
    of_load.map(TrendMetric::Load).chain(claims.into_iter().map(TrendMetric::Claim)).collect()
}

impl MetricTrend {
    fn of(metric: &TrendMetric, runs: &[&PastRun], least_effect: f64) -> Self {
        let name = metric.to_string();
        let figures: Vec<_> = runs.iter().map(|run| run.figures.get(&name).copied()).collect();
        // Runs that have the figure, and their figures.
        let (there, known): (Vec<usize>, Vec<f64>) =
            figures.iter().enumerate().filter_map(|(i, it)| Some((i, (*it)?))).unzip();
        let splits = divisive::splits(&known);
        let ends = splits.iter().map(|split| split.at).skip(1).chain([known.len()]);
        let starts = [0].into_iter().chain(splits.iter().map(|split| split.at));
        let mut changes = Vec::new();
        for ((split, start), end) in splits.iter().zip(starts).zip(ends) {
            let (first, last) = (runs[there[split.at]], runs[there[split.at - 1]]);
            let sides = (median(&known[start..split.at]), median(&known[split.at..end]));
            let (Some(before), Some(after)) = sides else { continue };
            let differing = last.versions.unlike(&first.versions);
            changes.push(ChangePoint {
                index: there[split.at],
                run: first.id.clone(),
                since: last.id.clone(),
                before,
                after,
                ratio: (before > 0.0).then(|| after / before),
                p: split.p,
                change: judged(metric, before, after, least_effect),
                versions: differing,
            });
        }
        let change = match changes.last() {
            Some(newest) => newest.change,
            None if known.len() < LEAST_FIGURES => MetricChange::Unknown,
            None => MetricChange::NoneSeen,
        };
        let newest = figures.last().copied().flatten();
        let earlier = &known[..known.len() - usize::from(newest.is_some())];
        Self {
            metric: metric.clone(),
            newest,
            median_before: median(earlier),
            changes,
            change,
            figures,
        }
    }

    /// How the newest figure differs from the median before, as a part of that.
    pub fn newest_effect(&self) -> Option<f64> {
        let before = self.median_before.filter(|it| *it > 0.0)?;
        Some(self.newest? / before - 1.0)
    }
}

/// What a change from one median to another is.
fn judged(metric: &TrendMetric, before: f64, after: f64, least_effect: f64) -> MetricChange {
    let (low, high) = (before.min(after), before.max(after));
    match () {
        // From 0, anything counts.
        () if low > 0.0 && high / low - 1.0 < least_effect => MetricChange::Negligible,
        () if (after > before) == metric.higher_is_better() => MetricChange::Improvement,
        () => MetricChange::Regression,
    }
}

#[cfg(test)]
pub(crate) mod tests;
