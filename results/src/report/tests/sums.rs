//! Phases add up to the total of their row, and no figure is a negative zero, whatever was recorded.

use proptest::prelude::*;
use serde_json::Value;

use super::*;
use crate::judge::recovery::Phases;

/// Kinds of events that may be missing from a record.
const LOSABLE: [&str; 7] = [
    "broker-gone",
    "controller-gone",
    "controller-elected",
    "controller-seen",
    "metadata-seen",
    "partition-state",
    "broker-registered",
];

/// One trial: the controller dies, which leads nothing, and is healed.
#[derive(Debug, Clone)]
struct Course {
    /// Seconds until its registration goes.
    detected: f64,
    /// Seconds until the main load is served again.
    served: f64,
    /// Seconds of the heal that kbench waits for a registration.
    waited: f64,
    /// Events of this kind are lost from 19 s on.
    lost: Option<&'static str>,
    /// Whether the main load is never served again.
    for_ever: bool,
}

fn any_course() -> impl Strategy<Value = Course> {
    let lost = prop::option::of(prop::sample::select(LOSABLE.to_vec()));
    (0.0..18.0, 0.0..30.0, 0.0..5.0, lost, prop::bool::weighted(0.2)).prop_map(
        |(detected, served, waited, lost, for_ever)| Course {
            detected,
            served,
            waited,
            lost,
            for_ever,
        },
    )
}

fn trial(number: u32, course: &Course) -> TrialRecord {
    let mut f = Fixture::new(number, 60.0);
    f.inject("controller", 20.0, &[3]);
    f.detect(20.0 + course.detected, &[3], Some(1));
    f.heal("controller", 40.0, course.waited, &[3], true);
    for partition in 0..3 {
        let to = (!course.for_ever).then_some(20.0 + course.served);
        f.outage("main", partition, 20.0, to);
    }
    f.events.retain(|event| {
        let kind = &serde_json::to_value(event).unwrap()["event"];
        event.at < at(19.0) || course.lost.is_none_or(|lost| kind != lost)
    });
    f.trial()
}

/// What `phases` and `rest` add up to; `None` where there are none.
fn sum(phases: &Phases, rest: f64) -> Option<f64> {
    let known: Vec<f64> = phases.named().iter().filter_map(|(_, seconds)| *seconds).collect();
    (!known.is_empty() || rest != 0.0).then(|| known.iter().sum::<f64>() + rest)
}

fn assert_sum(sum: Option<f64>, total: f64, row: &dyn std::fmt::Debug) {
    assert!(sum.is_none_or(|sum| (sum - total).abs() < 1e-6), "{sum:?} is not {total}: {row:?}");
}

fn assert_adds_up(report: &Report) {
    for row in &report.recovery {
        let sum = sum(&row.phases_s, row.heal_s + row.phase_residual_s);
        assert_sum(sum, row.unavailable_s, row);
        assert_eq!(sum.is_some(), row.interrupted, "{row:?}");
    }
    for failover in report.faults.iter().filter_map(|fault| fault.controller.as_ref()) {
        let sum = sum(&failover.phases, failover.phase_residual_s);
        assert!(sum.is_some(), "{failover:?}");
        assert_sum(sum, failover.failover_s, failover);
    }
    for claim in &report.claims {
        let median = claim.measured_s.as_ref().and_then(|measured| measured.median);
        if let (Some(phases), Some(median)) = (claim.phases_s, median) {
            let sum = sum(&phases, claim.phase_rest_s.unwrap());
            assert_sum(sum, median, claim);
            // Without phases there was no gap, and the figure is a response.
            assert!(sum.is_some() || median < 0.5, "{claim:?}");
        }
    }
}

/// No number that is shown or written is a negative zero; none is negative at all.
fn assert_no_negative(report: &Report) {
    fn negative(value: &Value) -> bool {
        match value {
            Value::Number(number) => number.as_f64().is_some_and(f64::is_sign_negative),
            Value::Array(values) => values.iter().any(negative),
            // The number of an error is a name, and not a figure.
            Value::Object(values) => {
                values.iter().any(|(key, value)| key != "code" && negative(value))
            }
            _ => false,
        }
    }
    let json: Value = serde_json::to_value(report).unwrap();
    for (key, value) in json.as_object().unwrap() {
        assert!(!negative(value), "{key}: {value}");
    }
    let mut csv = Vec::new();
    csv::write(&mut csv, report).unwrap();
    let shown = text::render(report, None, false) + &String::from_utf8(csv).unwrap();
    assert!(!shown.contains("-0."), "{shown}");
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(24) })]

    #[test]
    fn phases_add_up_in_every_row(courses in prop::collection::vec(any_course(), 1..4)) {
        let trials = (1..).zip(&courses).map(|(number, course)| trial(number, course));
        let report = report_of(trials.collect());
        assert_adds_up(&report);
        assert_no_negative(&report);
    }
}

#[test]
fn so_they_do_in_whole_runs() {
    let quiet = || Fixture::new(1, 30.0).trial();
    let mut unloaded = quiet();
    fixture::change(&mut unloaded, |history| history.streams.clear());
    unloaded.events.clear();
    for trial in [three_faults(1).trial(), two_brokers(), quiet(), unloaded] {
        let report = report_of(vec![trial]);
        assert_adds_up(&report);
        assert_no_negative(&report);
    }
}

#[test]
fn what_the_phases_leave_is_shown_where_there_is_any() {
    let course = Course { detected: 9.0, served: 22.0, waited: 0.0, lost: None, for_ever: false };
    let late = text::render(&report_of(vec![trial(1, &course)]), None, false);
    let column =
        |text: &str, name| text.lines().filter(|l| l.split("  ").any(|c| c.trim() == name)).count();
    // The claims of acks=all end 2 s after the heal began; the faults' table has a column for that.
    assert_eq!(column(&late, "rest"), 1, "{late}");
    let unseen = Course { lost: Some("broker-gone"), served: 15.0, ..course.clone() };
    let unseen = text::render(&report_of(vec![trial(1, &unseen)]), None, false);
    assert_eq!(column(&unseen, "rest"), 2, "{unseen}");
    let clean = Course { served: 15.0, ..course };
    let clean = text::render(&report_of(vec![trial(1, &clean)]), None, false);
    assert_eq!(column(&clean, "rest"), 0, "{clean}");
}

#[test]
fn a_run_without_faults_shows_nothing_around_faults() {
    let report = report_of(vec![Fixture::new(1, 30.0).trial()]);
    let text = text::render(&report, None, false);
    assert!(text.contains("steady: response") && !text.contains("around faults"), "{text}");
}
