//! What bounds are held against: the longest outage that clients felt, whosever it was, and though the heal began it.

use std::time::Duration;

use super::*;
use crate::record::event::{Cause, Expectation, Place};
use crate::report::{GateOutcome, gates};

/// A broker that nobody misses, killed at 20 s and healed at 25; the main load has this outage of partition 0.
fn after_heal(from: f64, to: Option<f64>) -> Fixture {
    after_heal_in(1, from, to)
}

fn after_heal_in(trial: u32, from: f64, to: Option<f64>) -> Fixture {
    let mut f = Fixture::new(trial, 80.0);
    f.inject("leader", 20.0, &[2]);
    f.detect(20.5, &[2], None);
    f.heal("leader", 25.0, 0.0, &[2], true);
    f.outage("main", 0, from, to);
    f
}

/// The report of a trial whose faults are to make no gap above `seconds`.
fn expecting(seconds: u64, mut f: Fixture) -> Report {
    for event in &mut f.events {
        if let EventKind::FaultRecovered { expected, .. } = &mut event.kind {
            *expected = Some(Expectation::GapsBelow(Duration::from_secs(seconds)));
        }
    }
    report_of(vec![f.trial()])
}

fn gate(report: &mut Report, written: &str) -> (GateOutcome, String) {
    report.verdict = Verdict::Valid;
    report.run.gates = vec![written.parse().unwrap()];
    let result = gates::judge(report).remove(0);
    (result.outcome, result.seen)
}

fn expected(report: &Report) -> (Verdict, String) {
    let check = report.checks.iter().find(|check| check.name == "plan-expectation").unwrap();
    (check.verdict, check.note.clone().unwrap_or_default())
}

#[test]
fn an_outage_that_the_heal_began_keeps_no_bound() {
    let mut report = expecting(5, after_heal(27.0, Some(35.0)));
    let felt = row(&report, "leader", StreamKind::Main, 0);
    assert!(!felt.interrupted && (felt.felt_s - 8.0).abs() < 0.03, "{felt:?}");
    let note = felt.note.as_deref().unwrap();
    assert!(note.contains("a gap of 8.00 s began after kbench had begun to heal"), "{note}");
    let shown = text::render(&report, None, false);
    assert!(shown.contains("began after kbench had begun to heal"), "{shown}");
    let (verdict, why) = expected(&report);
    assert_eq!(verdict, Verdict::Violated, "{why}");
    assert!(why.contains("unavailable for 8.00 s after kbench began to heal"), "{why}");
    assert_eq!(gate(&mut report, "faults.recovery<5s").0, GateOutcome::Failed);
    assert_eq!(gate(&mut report, "faults.recovery<9s").0, GateOutcome::Passed);
    assert_eq!(
        outcome(&report, "leader-failover"),
        outcome(&expecting(5, after_heal(0.0, Some(0.0))), "leader-failover")
    );
    let kept = expecting(9, after_heal(27.0, Some(35.0)));
    assert_eq!(expected(&kept).0, Verdict::Valid);
    let two = after_heal_in(2, 27.0, Some(35.0));
    let shown = text::render(
        &report_of(vec![after_heal(0.0, Some(0.0)).trial(), two.trial()]),
        None,
        false,
    );
    assert!(shown.contains("main user-events-0: 8.00 s that began after the heal"), "{shown}");
}

#[test]
fn an_outage_that_did_not_end_is_held_against_bounds_below_it_alone() {
    for (from, f) in [(20.0, after_heal(20.0, None)), (27.0, after_heal(27.0, None))] {
        let mut report = expecting(100, f);
        assert_eq!(expected(&report).0, Verdict::Unknown, "since {from} s");
        let (outcome, seen) = gate(&mut report, "faults.recovery<5s");
        assert_eq!(outcome, GateOutcome::Failed, "since {from} s: {seen}");
        assert!(seen.starts_with(">= 5") || seen.starts_with(">= 6"), "{seen}");
        assert_eq!(gate(&mut report, "faults.recovery<100s").0, GateOutcome::Unknown);
        assert_eq!(gate(&mut report, "faults.recovery>5s").0, GateOutcome::Unknown);
        let broken = expecting(5, after_heal(from, None));
        assert_eq!(expected(&broken).0, Verdict::Violated, "since {from} s");
    }
}

#[test]
fn a_longest_response_beside_some_that_never_came_breaks_a_bound_below_it() {
    let mut report = report_of(vec![three_faults(1).trial()]);
    report.load.faults.latency_us.unanswered = 1;
    assert_eq!(gate(&mut report, "faults.response.max<1s").0, GateOutcome::Failed);
    assert_eq!(gate(&mut report, "faults.response.max<60s").0, GateOutcome::Unknown);
}

#[test]
fn a_gate_sees_the_longest_outage_as_the_client_saw_it() {
    // Away for 16.2 s with the cluster, and then for 32 s by its own end.
    let mut f = Fixture::new(1, 80.0);
    f.kill("leader", 20.0, 2, None);
    f.fail(38.0, 70.0);
    let mut report = report_of(vec![f.trial()]);
    let led = row(&report, "leader", StreamKind::Main, 1);
    assert!((led.unavailable_s - 16.2).abs() < 0.03 && (led.felt_s - 32.0).abs() < 0.03, "{led:?}");
    assert_eq!(gate(&mut report, "faults.recovery<20s").0, GateOutcome::Failed);
    assert_eq!(gate(&mut report, "faults.recovery<33s").0, GateOutcome::Passed);
}

#[test]
fn an_outage_after_the_heal_that_a_stall_may_have_made_decides_nothing() {
    let mut f = after_heal(25.5, Some(27.5));
    let (cause, place) = (Cause::StoodStill, Place::Kbench);
    f.at(27.4, EventKind::Disturbed { cause, place, from: at(25.6), detail: None });
    let mut report = expecting(1, f);
    assert_eq!(expected(&report).0, Verdict::Unknown, "{}", expected(&report).1);
    assert_eq!(gate(&mut report, "faults.recovery<1s").0, GateOutcome::Unknown);
    assert_eq!(expected(&expecting(1, after_heal(25.5, Some(27.5)))).0, Verdict::Violated);
}
