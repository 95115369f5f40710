//! Sets with known effects, and without.

use std::sync::LazyLock;

use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};

use super::*;
use crate::fixture::{self, Fixture};
use crate::report::judge;

fn metrics() -> Vec<LoadMetric> {
    METRICS.map(|metric| metric.parse().unwrap()).to_vec()
}

fn options() -> CompareOptions {
    CompareOptions { metrics: metrics(), least_effect: 0.05, differing: vec![] }
}

/// A set of trials of one run whose latencies scatter by 2 % around `by` times the fixture's.
fn set(trials: usize, by: f64, seed: u64) -> Vec<Replicate> {
    static REPORT: LazyLock<Report> =
        LazyLock::new(|| judge(&fixture::question(1), &[Fixture::new(1, 60.0).trial()]));
    let report = &*REPORT;
    assert_eq!(report.verdict, Verdict::Valid, "{:?}", report.problems);
    let conditions = Conditions::of(&report.environments[0].environment);
    let mut random = StdRng::seed_from_u64(seed);
    let mut one = |number: usize| {
        let mut report = report.clone();
        let by = by * normal(&mut random, 0.02).exp();
        for percentiles in
            [&mut report.load.baseline.latency_us, &mut report.load.baseline.end_to_end_us]
        {
            for us in [&mut percentiles.p50, &mut percentiles.p90, &mut percentiles.p99] {
                *us = us.map(|_| (10_000.0 * by) as u64);
            }
        }
        Replicate { name: format!("run {number}"), report, conditions: conditions.clone() }
    };
    (1..=trials).map(&mut one).collect()
}

/// A draw of the normal distribution around 0: the sum of twelve even ones has a variance of 1.
fn normal(random: &mut StdRng, deviation: f64) -> f64 {
    let sum: f64 = (0..12).map(|_| random.random::<f64>()).sum();
    (sum - 6.0) * deviation
}

fn changes(sets: &ComparedSets) -> Vec<MetricChange> {
    sets.metrics.iter().map(|metric| metric.change).collect()
}

#[test]
fn a_planted_regression_is_found_and_an_improvement_is_none() {
    use MetricChange::{Improvement, NoneSeen, Regression};
    let slower = compare(&set(6, 1.0, 1), &set(6, 1.1, 2), &options()).unwrap();
    assert_eq!(changes(&slower), [NoneSeen, Regression, Regression, Regression], "{slower:?}");
    assert_eq!(slower.exit_code(), 1);
    let ratio = slower.metrics[1].ratio.unwrap();
    let (low, high) = slower.metrics[1].interval.unwrap();
    assert!((1.05..1.15).contains(&ratio) && low > 1.0 && low <= ratio && ratio <= high);
    let faster = compare(&set(6, 1.1, 3), &set(6, 1.0, 4), &options()).unwrap();
    assert_eq!(changes(&faster), [NoneSeen, Improvement, Improvement, Improvement]);
    assert_eq!(faster.exit_code(), 0);
    let same = compare(&set(6, 1.0, 5), &set(6, 1.0, 6), &options()).unwrap();
    assert_eq!((changes(&same), same.exit_code()), (vec![NoneSeen; 4], 0));
    let detectable = same.metrics[1].smallest_detectable.unwrap();
    assert!((0.01..0.15).contains(&detectable), "{detectable}");
    insta::assert_snapshot!(render(&slower));
}

#[test]
fn an_effect_below_the_least_that_counts_is_negligible() {
    let options = CompareOptions { least_effect: 0.2, ..options() };
    let sets = compare(&set(6, 1.0, 1), &set(6, 1.1, 2), &options).unwrap();
    assert_eq!((sets.metrics[1].change, sets.exit_code()), (MetricChange::Negligible, 0));
}

#[test]
fn too_few_trials_are_unknown_and_how_many_are_needed_is_said() {
    let sets = compare(&set(3, 1.0, 1), &set(3, 2.0, 2), &options()).unwrap();
    assert_eq!((sets.metrics[1].change, sets.exit_code()), (MetricChange::Unknown, 3));
    // Three metrics differ at all: 2 / C(2n, n) <= 0.05 / 3 from n = 5 on.
    assert_eq!(sets.trials_needed, 5);
    assert!(render(&sets).contains("needs 5 trials a side"), "{}", render(&sets));
    let enough = compare(&set(5, 1.0, 1), &set(5, 2.0, 2), &options()).unwrap();
    assert_eq!(enough.metrics[1].change, MetricChange::Regression);
}

#[test]
fn a_figure_that_a_trial_does_not_have_is_not_made_up() {
    let (a, mut b) = (set(5, 1.0, 1), set(5, 1.0, 2));
    b[0].report.load.baseline.latency_us.p99 = None;
    let sets = compare(&a, &b, &options()).unwrap();
    let p99 = &sets.metrics[2];
    assert_eq!((p99.a.len(), p99.b.len(), p99.change), (5, 4, MetricChange::Unknown));
    assert!(render(&sets).contains("(n=4)"));
    // Slower without its slowest is slower.
    let mut slow = set(7, 1.5, 2);
    slow[0].report.load.baseline.latency_us.p99 = None;
    let sets = compare(&set(7, 1.0, 1), &slow, &options()).unwrap();
    assert_eq!(sets.metrics[2].change, MetricChange::Regression);
    let faster = compare(&set(7, 2.0, 1), &slow, &options()).unwrap();
    assert_eq!(faster.metrics[2].change, MetricChange::Unknown);
    b.iter_mut().for_each(|it| it.report.load.baseline.latency_us.p99 = None);
    let sets = compare(&a, &b, &options()).unwrap();
    assert_eq!((sets.metrics[2].change, sets.exit_code()), (MetricChange::Unknown, 3));
}

#[test]
fn trials_that_are_no_measurement_are_left_out_by_name() {
    let (a, mut b) = (set(6, 1.0, 1), set(6, 1.0, 2));
    b[2].report.verdict = Verdict::InvalidRun;
    b[4].report.verdict = Verdict::Unknown;
    b[5].report.verdict = Verdict::Violated;
    let sets = compare(&a, &b, &options()).unwrap();
    assert_eq!(sets.left_out, ["run 3 is invalid-run", "run 5 is unknown"]);
    assert_eq!((sets.a.len(), sets.b.len()), (6, 4));
    b.iter_mut().for_each(|it| it.report.verdict = Verdict::InvalidRun);
    let error = compare(&a, &b, &options()).unwrap_err().to_string();
    assert!(error.starts_with("no run of B is a measurement: run 1 is invalid-run; "), "{error}");
}

#[test]
fn sets_that_differ_are_refused_unless_it_is_allowed() {
    let (a, mut b) = (set(5, 1.0, 1), set(5, 1.0, 2));
    for it in &mut b {
        it.conditions.add(Aspect::Workload, "producer.acks", &"1".into());
    }
    let error = compare(&a, &b, &options()).unwrap_err().to_string();
    let words = "workload: producer.acks is not set in A and 1 in B";
    assert!(error.contains(words), "{error}");
    let allowing = CompareOptions { differing: vec![Aspect::Workload], ..options() };
    let sets = compare(&a, &b, &allowing).unwrap();
    assert!(render(&sets).contains(&format!("allowed to differ: {words}")), "{}", render(&sets));
    let other = CompareOptions { differing: vec![Aspect::Machine], ..options() };
    assert!(matches!(compare(&a, &b, &other), Err(NotComparable::Unlike(_))));
    b[3].conditions = a[0].conditions.clone();
    let mixed = compare(&a, &b, &allowing);
    assert!(matches!(mixed, Err(NotComparable::Mixed { set: 'B', .. })), "{mixed:?}");
}

/// How often one of four metrics was called different, of comparisons of `trials` trials a side.
fn alarms(comparisons: u64, trials: usize, effect: f64) -> f64 {
    let mut random = StdRng::seed_from_u64(7);
    let mut draw = |by: f64| -> Vec<f64> {
        (0..trials).map(|_| by * normal(&mut random, 0.04).exp()).collect()
    };
    let mut alarm = || {
        let mut metrics: Vec<_> = metrics()
            .into_iter()
            .map(|metric| ComparedMetric::new(metric, draw(1.0), draw(effect), [trials; 2]))
            .collect();
        correct(&mut metrics);
        metrics.iter().any(|metric| metric.p.is_some_and(|p| p <= ALPHA))
    };
    (0..comparisons).filter(|_| alarm()).count() as f64 / comparisons as f64
}

#[test]
fn sets_of_the_same_kind_raise_an_alarm_at_most_as_often_as_promised() {
    for trials in [5, 8, 12] {
        let share = alarms(1_000, trials, 1.0);
        // Four standard errors of a share of 5 % in 1000.
        assert!(share <= ALPHA + 0.028, "{trials} trials: {share}");
    }
    let found = alarms(300, 12, 1.1);
    assert!(found > 0.95, "{found}");
}
