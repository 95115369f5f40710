//! Two sets of runs, compared: is B worse than A?
//!
//! The replicate is the trial: its records share its fate, and say no more about the next trial than one figure
//! does. Each metric has its ratio of medians with a bootstrap interval, an exact rank-sum test corrected by Holm's
//! method for all metrics that are judged, and the smallest effect that these runs would have shown. Figures of
//! trials that are no measurement are left out, by name.

mod alike;
mod rank;
mod ratio;
mod text;

use std::cmp::Ordering;

use serde::Serialize;

use crate::judge::metric::LoadMetric;
use crate::judge::verdict::Verdict;
use crate::report::Report;

pub use alike::{Aspect, Conditions, Unlike};
pub use ratio::{interval, median, ratio};
pub use text::render;

/// Chance of a false alarm that is allowed, over all metrics.
pub const ALPHA: f64 = 0.05;

/// Metrics that are judged where none are named.
pub const METRICS: [&str; 4] = ["acked.rate", "response.p50", "response.p99", "end-to-end.p99"];

/// One trial of a run.
#[derive(Debug, Clone)]
pub struct Replicate {
    /// The run and the trial, as they are told.
    pub name: String,
    /// The trial, judged by itself.
    pub report: Report,
    /// What it was made in.
    pub conditions: Conditions,
}

/// What a comparison is told.
#[derive(Debug, Clone)]
pub struct CompareOptions {
    /// Metrics to judge.
    pub metrics: Vec<LoadMetric>,
    /// The smallest effect that counts, as a part of A's figure.
    pub least_effect: f64,
    /// Aspects in which the sets may differ.
    pub differing: Vec<Aspect>,
}

/// What became of a metric.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum MetricChange {
    /// B is worse.
    Regression,
    /// B is better.
    Improvement,
    /// There is a difference, smaller than what counts.
    Negligible,
    /// No difference was seen.
    NoneSeen,
    /// These runs cannot tell: not all of them have the figure, or too few.
    Unknown,
}

impl MetricChange {
    /// The words for it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Regression => "regression",
            Self::Improvement => "improvement",
            Self::Negligible => "negligible",
            Self::NoneSeen => "none seen",
            Self::Unknown => "unknown",
        }
    }
}

/// A metric of both sets.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ComparedMetric {
    /// The metric.
    pub metric: LoadMetric,
    /// Its figures in A.
    pub a: Vec<f64>,
    /// In B.
    pub b: Vec<f64>,
    /// Median of B over that of A.
    pub ratio: Option<f64>,
    /// The ratio's 95 % interval.
    pub interval: Option<(f64, f64)>,
    /// p-value of the exact rank-sum test, corrected for all metrics that are judged; none where all figures are the
    /// same, or there are too few.
    pub p: Option<f64>,
    /// The smallest change, as a part of A's figure, that such trials show in four of five comparisons.
    pub smallest_detectable: Option<f64>,
    /// What became of it.
    pub change: MetricChange,
    /// Whether every trial has it.
    #[serde(skip)]
    whole: bool,
}

/// Two sets, compared.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ComparedSets {
    /// Trials of A that were compared.
    pub a: Vec<String>,
    /// Of B.
    pub b: Vec<String>,
    /// Trials that were left out, with the reasons.
    pub left_out: Vec<String>,
    /// In what the sets differ, as allowed.
    pub unlike: Vec<Unlike>,
    /// The metrics.
    pub metrics: Vec<ComparedMetric>,
    /// Trials a side that are needed at least, for any difference to be significant.
    pub trials_needed: usize,
}

/// Why two sets cannot be compared.
#[derive(Debug, thiserror::Error)]
pub enum NotComparable {
    /// They differ in what they should not.
    #[error("the runs are not comparable: {}", .0.iter().map(Unlike::to_string).collect::<Vec<_>>().join("; "))]
    Unlike(Vec<Unlike>),
    /// The runs of one set differ among themselves.
    #[error("the runs of {set} differ among themselves ({first} and {second}): {unlike}")]
    Mixed {
        /// Which set.
        set: char,
        /// A trial.
        first: String,
        /// One that differs from it.
        second: String,
        /// In what, with the values of both as A and B.
        unlike: Box<Unlike>,
    },
    /// Nothing is left of a set.
    #[error("no run of {set} is a measurement: {}", left_out.join("; "))]
    NoMeasurement {
        /// Which set.
        set: char,
        /// What was left out, and why.
        left_out: Vec<String>,
    },
}

/// Compares two sets of trials.
///
/// # Errors
/// When they are not comparable.
pub fn compare(
    a: &[Replicate],
    b: &[Replicate],
    options: &CompareOptions,
) -> Result<ComparedSets, NotComparable> {
    let mut left_out = Vec::new();
    let a = measurements('A', a, &mut left_out)?;
    let b = measurements('B', b, &mut left_out)?;
    let unlike = a[0].conditions.unlike(&b[0].conditions);
    let forbidden: Vec<_> =
        unlike.iter().filter(|it| !options.differing.contains(&it.aspect)).cloned().collect();
    if !forbidden.is_empty() {
        return Err(NotComparable::Unlike(forbidden));
    }
    let figures = |set: &[&Replicate], metric: LoadMetric| -> Vec<f64> {
        set.iter().filter_map(|it| metric.of(&it.report).ok()).collect()
    };
    let mut metrics: Vec<_> = options
        .metrics
        .iter()
        .map(|metric| {
            let (of_a, of_b) = (figures(&a, *metric), figures(&b, *metric));
            ComparedMetric::new(*metric, of_a, of_b, [a.len(), b.len()])
        })
        .collect();
    let judged = correct(&mut metrics);
    let alpha = ALPHA / judged.max(1) as f64;
    metrics.iter_mut().for_each(|metric| metric.judge(options.least_effect, alpha));
    let needed = (1..).find(|runs| rank::smallest_p_value(*runs, *runs) <= alpha);
    let names = |set: &[&Replicate]| set.iter().map(|it| it.name.clone()).collect();
    Ok(ComparedSets {
        a: names(&a),
        b: names(&b),
        left_out,
        unlike,
        metrics,
        trials_needed: needed.unwrap_or_default(),
    })
}

/// The trials of a set that are measurements, all made alike; those that are none go into `left_out`.
fn measurements<'a>(
    set: char,
    all: &'a [Replicate],
    left_out: &mut Vec<String>,
) -> Result<Vec<&'a Replicate>, NotComparable> {
    let mut out = Vec::new();
    let is_one = |it: &&Replicate| {
        let verdict = it.report.verdict;
        let measured = matches!(verdict, Verdict::Valid | Verdict::Violated);
        if !measured {
            out.push(format!("{} is {}", it.name, verdict.as_str()));
        }
        measured
    };
    let kept: Vec<_> = all.iter().filter(is_one).collect();
    let Some(first) = kept.first() else {
        return Err(NotComparable::NoMeasurement { set, left_out: out });
    };
    for other in &kept[1..] {
        if let Some(unlike) = first.conditions.unlike(&other.conditions).into_iter().next() {
            let [first, second] = [first, other].map(|it| it.name.clone());
            let unlike = Box::new(unlike);
            return Err(NotComparable::Mixed { set, first, second, unlike });
        }
    }
    left_out.append(&mut out);
    Ok(kept)
}

impl ComparedMetric {
    /// With the p-value as it is by itself.
    fn new(metric: LoadMetric, a: Vec<f64>, b: Vec<f64>, trials: [usize; 2]) -> Self {
        let mut all = a.iter().chain(&b);
        let first = all.next();
        let differ = all.any(|figure| Some(figure) != first);
        let some = !a.is_empty() && !b.is_empty();
        let ratio = ratio::ratio(&a, &b);
        // The figure that a trial lacks may be its worst: a recovery that never came has none. What is worse without the
        // worst of B is worse with them.
        let whole = [a.len(), b.len()] == trials;
        let worse = ratio.is_some_and(|ratio| (ratio < 1.0) == metric.higher_is_better());
        let tells = whole || a.len() == trials[0] && worse;
        Self {
            metric,
            ratio,
            interval: None,
            p: (some && differ && tells).then(|| rank::p_value(&a, &b)),
            whole,
            smallest_detectable: None,
            change: MetricChange::Unknown,
            a,
            b,
        }
    }

    /// Says what became of it, by its corrected p-value.
    fn judge(&mut self, least_effect: f64, alpha: f64) {
        let (a, b) = (self.a.len(), self.b.len());
        let enough = rank::smallest_p_value(a, b) <= alpha;
        let better = match self.ratio.map(|ratio| ratio.total_cmp(&1.0)) {
            Some(Ordering::Greater) => self.metric.higher_is_better(),
            _ => !self.metric.higher_is_better(),
        };
        let effect = self.ratio.map(|ratio| ratio.max(1.0 / ratio) - 1.0);
        let change = match (self.p, effect) {
            // Figures that are all the same need no test, but some.
            (None, _) if enough && !self.a.is_empty() => MetricChange::NoneSeen,
            (Some(p), Some(effect)) if enough && p <= ALPHA => match effect >= least_effect {
                false => MetricChange::Negligible,
                true if better => MetricChange::Improvement,
                true => MetricChange::Regression,
            },
            (Some(_), Some(_)) if enough => MetricChange::NoneSeen,
            _ => MetricChange::Unknown,
        };
        self.change = match change {
            MetricChange::Regression => change,
            _ if self.whole => change,
            _ => MetricChange::Unknown,
        };
        if self.ratio.is_some() {
            self.interval = ratio::interval(&self.a, &self.b);
        }
        if self.p.is_some() && enough {
            let ratio = ratio::smallest_detectable(&self.a, &self.b, alpha);
            self.smallest_detectable = ratio.map(|ratio| ratio - 1.0);
        }
    }
}

/// Corrects the p-values by Holm's method; how many there are.
fn correct(metrics: &mut [ComparedMetric]) -> usize {
    let mut tested: Vec<_> = metrics.iter_mut().filter_map(|metric| metric.p.as_mut()).collect();
    tested.sort_by(|x, y| x.total_cmp(y));
    let (all, mut least) = (tested.len(), 0.0_f64);
    for (done, p) in tested.into_iter().enumerate() {
        least = least.max(*p * (all - done) as f64).min(1.0);
        *p = least;
    }
    all
}

impl ComparedSets {
    /// What `kbench compare` exits with: 1 for a regression, 3 where a metric cannot be told, else 0.
    pub fn exit_code(&self) -> u8 {
        let any = |change| self.metrics.iter().any(|metric| metric.change == change);
        match () {
            () if any(MetricChange::Regression) => 1,
            () if any(MetricChange::Unknown) => 3,
            () => 0,
        }
    }
}

#[cfg(test)]
mod tests;
