//! Histories with known changes, and without.

use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};

use super::*;
use crate::fixture::{self, Fixture};
use crate::report::judge;

fn key() -> SeriesKey {
    let mut conditions = Conditions::default();
    for (key, value) in [("cores", "2"), ("kernel", "6.1.0"), ("mode", "user namespaces")] {
        conditions.add(Aspect::Machine, key, &value.into());
    }
    let [workload, plan, profile] = ["user-events", "failover", "failover"].map(str::to_owned);
    SeriesKey { workload, plan, profile, trials: 1, conditions }
}

/// So many nights of a figure around 20 ms with a deviation of 3 %; from night `at` on it is `by` times as long, and
/// Kafka another.
pub(crate) fn nights(all: usize, at: usize, by: f64) -> PastSeries {
    let mut random = StdRng::seed_from_u64(1);
    let mut normal = || (0..12).map(|_| random.random::<f64>()).sum::<f64>() - 6.0;
    let mut run = |night: usize| {
        let by = if night < at { 1.0 } else { by };
        let mut versions = Conditions::default();
        let kafka = if night < at { "3.8.1" } else { "3.9.1" };
        versions.add(Aspect::Versions, "kafka", &kafka.into());
        let mut near = |figure: f64| figure * (0.03 * normal()).exp();
        let figures = [
            ("acked.rate", near(1000.0)),
            ("response.p99", near(20_000.0) * by),
            ("response.max", near(90_000.0)),
            ("claim.controller-failover", near(17e6)),
        ];
        PastRun {
            id: format!("night-{night:02}"),
            started: format!("2026-{:02}-{:02}T02:00:00Z", 1 + night / 28, 1 + night % 28),
            verdict: Verdict::Valid,
            versions,
            figures: figures.map(|(name, figure)| (name.to_owned(), figure)).into(),
        }
    };
    PastSeries { key: key(), runs: (0..all).map(&mut run).collect() }
}

fn options() -> TrendOptions {
    TrendOptions { metrics: vec![], least_effect: 0.05, last: 100 }
}

fn of(series: PastSeries, options: &TrendOptions) -> SeriesTrend {
    Trends::of(&[series], options).series.remove(0)
}

fn named<'a>(series: &'a SeriesTrend, metric: &str) -> &'a MetricTrend {
    series.metrics.iter().find(|it| it.metric.to_string() == metric).unwrap()
}

#[test]
fn a_night_from_which_on_it_is_slower_is_named_with_what_else_changed() {
    let trends = Trends::of(&[nights(30, 22, 1.1)], &options());
    assert!(trends.regressed());
    let names: Vec<_> = trends.series[0].metrics.iter().map(|it| it.metric.to_string()).collect();
    assert_eq!(names, ["acked.rate", "response.p99", "claim.controller-failover"]);
    let slower = named(&trends.series[0], "response.p99");
    assert_eq!((slower.changes.len(), slower.change), (1, MetricChange::Regression));
    let change = &slower.changes[0];
    assert_eq!((&*change.run, &*change.since, change.index), ("night-22", "night-21", 22));
    assert!((1.05..1.15).contains(&change.ratio.unwrap()) && change.p <= SIGNIFICANT);
    assert_eq!(change.versions[0].to_string(), "versions: kafka is 3.8.1 in A and 3.9.1 in B");
    for other in ["acked.rate", "claim.controller-failover"] {
        let quiet = named(&trends.series[0], other);
        assert_eq!((quiet.change, quiet.changes.len()), (MetricChange::NoneSeen, 0), "{other}");
    }
    insta::assert_snapshot!(render(&trends));
}

#[test]
fn what_became_better_or_changed_hardly_is_no_regression() {
    let faster = Trends::of(&[nights(30, 15, 0.8)], &options());
    assert_eq!(named(&faster.series[0], "response.p99").change, MetricChange::Improvement);
    assert!(!faster.regressed());
    let lenient = TrendOptions { least_effect: 0.2, ..options() };
    let hardly = Trends::of(&[nights(30, 15, 1.1)], &lenient);
    assert_eq!(named(&hardly.series[0], "response.p99").change, MetricChange::Negligible);
    assert!(!hardly.regressed());
    let rate = TrendMetric::Load("acked.rate".parse().unwrap());
    assert_eq!(judged(&rate, 900.0, 1000.0, 0.05), MetricChange::Improvement);
    assert_eq!(judged(&rate, 1000.0, 900.0, 0.05), MetricChange::Regression);
    let claim = TrendMetric::Claim("x".to_owned());
    assert_eq!(judged(&claim, 0.0, 1.0, 0.05), MetricChange::Regression);
}

#[test]
fn only_the_newest_change_decides() {
    let mut series = nights(40, 15, 1.2);
    for run in &mut series.runs[28..] {
        *run.figures.get_mut("response.p99").unwrap() /= 1.3;
    }
    let trends = Trends::of(&[series.clone()], &options());
    let p99 = named(&trends.series[0], "response.p99");
    let changes: Vec<_> = p99.changes.iter().map(|it| (it.index, it.change)).collect();
    assert_eq!(changes, [(15, MetricChange::Regression), (28, MetricChange::Improvement)]);
    assert!(!trends.regressed());
    // Those after the first change alone.
    let last = of(series, &TrendOptions { last: 24, ..options() });
    let p99 = named(&last, "response.p99");
    assert_eq!((last.runs.len(), p99.changes.len(), p99.changes[0].index), (24, 1, 12));
}

#[test]
fn too_few_runs_say_nothing() {
    let series = of(nights(LEAST_FIGURES - 1, 6, 2.0), &options());
    let p99 = named(&series, "response.p99");
    assert_eq!((p99.change, p99.changes.len()), (MetricChange::Unknown, 0));
    let text = render(&Trends { series: vec![series] });
    assert!(text.contains(&format!("it takes {LEAST_FIGURES} runs")), "{text}");
    let enough = of(nights(LEAST_FIGURES, 7, 2.0), &options());
    assert_eq!(named(&enough, "response.p99").change, MetricChange::Regression);
}

#[test]
fn runs_that_are_no_measurement_and_figures_that_a_run_has_not_are_no_points() {
    let mut series = nights(20, 10, 1.2);
    series.runs[3].verdict = Verdict::InvalidRun;
    series.runs[12].verdict = Verdict::Violated;
    series.runs[5].figures.remove("response.p99");
    let series = of(series, &options());
    assert_eq!(series.left_out, ["night-03 is invalid-run"]);
    assert_eq!((series.runs.len(), series.runs_lacking_a_figure()), (19, 1));
    let p99 = named(&series, "response.p99");
    assert_eq!(p99.figures[4], None);
    assert_eq!((&*p99.changes[0].run, p99.changes[0].index), ("night-10", 9));
    let csv = TrendExport::Otava.document(&Trends { series: vec![series] }).unwrap();
    assert_eq!(csv.lines().count(), 1 + 18, "{csv}");
}

#[test]
fn metrics_are_chosen_by_name() {
    let metrics = vec!["response.max".parse().unwrap(), "claim.none".parse().unwrap()];
    let series = of(nights(14, 14, 1.0), &TrendOptions { metrics, ..options() });
    let names: Vec<_> = series.metrics.iter().map(|it| it.metric.to_string()).collect();
    assert_eq!(names, ["response.max"], "what no run has is left out");
    assert!("response.p95".parse::<TrendMetric>().unwrap_err().contains("claim.ID"));
    assert!("claim.".parse::<TrendMetric>().is_err());
}

#[test]
fn a_series_is_what_compare_calls_alike_whatever_the_versions() {
    let report = judge(&fixture::question(1), &[Fixture::new(1, 60.0).trial()]);
    let environment = |change: &dyn Fn(&mut crate::record::environment::Environment)| {
        let mut environment = report.environments[0].environment.clone();
        change(&mut environment);
        PastRun::of(&report, Conditions::of(&environment))
    };
    let (key, run) = environment(&|_| {});
    let (newer, of_newer) = environment(&|it| it.kafka = "4.0.0".to_owned());
    assert_eq!((newer.id(), key.id().len()), (key.id(), 8));
    assert_ne!(run.versions, of_newer.versions);
    assert_ne!(environment(&|it| it.cores += 1).0.id(), key.id());
    let mut of_two = report.clone();
    of_two.run.trials_asked = 2;
    assert_ne!(
        PastRun::of(&of_two, Conditions::default()).0.id(),
        PastRun::of(&report, Conditions::default()).0.id()
    );
    assert_eq!((&run.id, &run.started), (&report.run.run_id, &report.run.started));
    let p50 = report.load.baseline.latency_us.p50.unwrap() as f64;
    assert_eq!(run.figures["response.p50"], p50);
    assert!(run.figures.contains_key("acked.rate") && !run.figures.contains_key("faults.recovery"));
}

#[test]
fn the_time_of_a_claim_is_its_median_in_microseconds() {
    let report = judge(&fixture::question(1), &[fixture::three_faults(1).trial()]);
    let (_, run) = PastRun::of(&report, Conditions::default());
    let timed = report.claims.iter().find_map(|it| Some((&it.id, it.measured_s.as_ref()?.median?)));
    let (id, median) = timed.expect("a claim with a time");
    assert_eq!(run.figures[&format!("claim.{id}")], median * 1e6);
}

#[test]
fn other_tools_get_the_figures_in_their_form() {
    let trends = Trends::of(&[nights(20, 20, 1.0)], &options());
    let export = |form: &str| form.parse::<TrendExport>().unwrap().document(&trends).unwrap();
    let csv = export("otava");
    let mut lines = csv.lines();
    assert_eq!(lines.next(), Some("time,run,acked.rate,response.p99,claim.controller-failover"));
    assert!(lines.next().unwrap().starts_with("2026-01-01T02:00:00Z,night-00,"), "{csv}");
    assert_eq!(lines.count(), 19);
    let name = format!("user-events/failover/failover/{}", key().id());
    let newest = |metric| named(&trends.series[0], metric).newest.unwrap();
    let bencher: serde_json::Value = serde_json::from_str(&export("bencher")).unwrap();
    assert_eq!(bencher[&name]["response.p99"]["value"], newest("response.p99"));
    let github: serde_json::Value = serde_json::from_str(&export("github-benchmark")).unwrap();
    let entries = github.as_array().unwrap();
    assert_eq!(entries.len(), 3);
    assert_eq!(entries[0]["name"], format!("{name}: acked.rate, as the time of a record"));
    assert_eq!(entries[0]["value"], 1e6 / newest("acked.rate"));
    assert_eq!(
        (&entries[1]["unit"], &entries[1]["value"]),
        (&"us".into(), &newest("response.p99").into())
    );
    assert_eq!(entries[1]["extra"], "run night-19");
    let both = Trends::of(&[nights(3, 3, 1.0), nights(3, 3, 1.0)], &options());
    assert_eq!(TrendExport::Otava.document(&both), Err(ExportError::SeveralSeries(2)));
    let none = Trends { series: vec![] };
    assert_eq!(TrendExport::Bencher.document(&none), Err(ExportError::Nothing));
    assert!(
        "hunter".parse::<TrendExport>().unwrap_err().contains("otava, bencher, github-benchmark")
    );
}
