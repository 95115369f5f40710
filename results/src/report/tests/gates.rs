//! Gates, from the figures to the exit code.

use super::*;
use crate::report::{GateOutcome, exit, gates, junit};

/// The report of a run with these gates, its verdict aside.
fn gated(written: &[&str], change: impl FnOnce(&mut Report)) -> Report {
    let mut report = report_of(vec![three_faults(1).trial()]);
    report.run.gates = written.iter().map(|gate| gate.parse().unwrap()).collect();
    change(&mut report);
    report.gates = gates::judge(&report);
    report.exit_code = exit::code(&report);
    report
}

#[test]
fn each_gate_is_held_against_its_figure() {
    // Responses of 3 ms at 150 records/s; around faults there are outages of 16 s.
    for (gate, outcome, seen) in [
        ("response.p99<50ms", GateOutcome::Passed, "ms"),
        ("response.p50<1ms", GateOutcome::Failed, "3.0"),
        ("faults.response.max<1s", GateOutcome::Failed, "16."),
        ("faults.response.max<60s", GateOutcome::Passed, "16."),
        ("acked.rate>=99%", GateOutcome::Passed, "100.00 %"),
        ("acked.rate>151", GateOutcome::Failed, "150.0 records/s"),
        ("all.sent.rate>=149", GateOutcome::Passed, "150.0 records/s"),
        ("response.p99.9<50ms", GateOutcome::Unknown, "too few records"),
        ("faults.recovery<10s", GateOutcome::Failed, "16."),
        ("faults.recovery<20s", GateOutcome::Passed, "16."),
    ] {
        let report = gated(&[gate], |_| ());
        let result = &report.gates[0];
        assert_eq!((result.outcome, &*result.gate), (outcome, gate), "{result:?}");
        assert!(result.seen.contains(seen), "{result:?}");
        let code = match outcome {
            GateOutcome::Passed => 0,
            GateOutcome::Failed => 1,
            GateOutcome::Unknown => 3,
        };
        assert_eq!(report.exit_code, code, "{result:?}");
        let text = text::render(&report, None, false);
        assert!(text.contains("Gates") && text.contains(outcome.as_str()), "{text}");
        let document = junit::render(&report).unwrap();
        assert!(document.contains("kbench.gates"), "{document}");
        assert_eq!(document.contains("<failure"), outcome == GateOutcome::Failed, "{document}");
    }
}

#[test]
fn what_was_not_measured_passes_no_gate() {
    let outcome = |gate: &str, change: fn(&mut Report)| gated(&[gate], change).gates[0].outcome;
    assert_eq!(outcome("consume.lag<10s", |_| ()), GateOutcome::Passed);
    let unread = |report: &mut Report| report.consuming[0].steady.longest_wait_s = None;
    assert_eq!(outcome("consume.lag<10s", unread), GateOutcome::Unknown);
    assert_eq!(outcome("consume.lag<10s", |it| it.consuming.clear()), GateOutcome::Unknown);
    let censored = |report: &mut Report| {
        let steady = &mut report.consuming[0].steady;
        (steady.longest_wait_s, steady.censored) = (Some(5.0), true);
    };
    assert_eq!(outcome("consume.lag<10s", censored), GateOutcome::Unknown);
    assert_eq!(outcome("consume.lag<2s", censored), GateOutcome::Failed);
    assert_eq!(outcome("acked.rate>1", |it| it.load.rates.clear()), GateOutcome::Unknown);
    let unanswered = |report: &mut Report| report.load.baseline.latency_us.unanswered = 1;
    assert_eq!(outcome("response.max<50s", unanswered), GateOutcome::Unknown);
    let recovery = |change| outcome("faults.recovery<50s", change);
    assert_eq!(recovery(|it| it.recovery.clear()), GateOutcome::Unknown);
    assert_eq!(recovery(|it| it.recovery[0].censored = true), GateOutcome::Unknown);
    let disturbed = |report: &mut Report| {
        let check = report.checks.iter_mut().find(|check| check.name == "disturbance");
        check.unwrap().verdict = Verdict::Unknown;
    };
    assert_eq!(recovery(disturbed), GateOutcome::Unknown);
    let invalid = |report: &mut Report| report.verdict = Verdict::InvalidRun;
    assert_eq!(outcome("response.p99<50s", invalid), GateOutcome::Unknown);
}

#[test]
fn the_worst_gate_decides_and_a_violation_before_it() {
    let code = |gates: &[&str], verdict| gated(gates, |report| report.verdict = verdict).exit_code;
    let (passes, fails, unknown) = ("response.p99<9s", "response.p99<1us", "response.p99.9<9s");
    assert_eq!(code(&[passes, fails, unknown], Verdict::Valid), 1);
    assert_eq!(code(&[passes, unknown], Verdict::Valid), 3);
    assert_eq!(code(&[passes], Verdict::Valid), 0);
    assert_eq!(code(&[fails], Verdict::Unknown), 1, "what was measured stands");
    assert_eq!(code(&[fails], Verdict::InvalidRun), 3);
    assert_eq!(code(&[passes], Verdict::Violated), 1);
}

/// The three faults of the fixture, whose load of 150 records a second is asked for so.
fn offered(offer: Offer, asked_per_s: f64) -> Report {
    let mut question = fixture::question(1);
    (question.run.offer, question.run.asked_per_s) = (offer, asked_per_s);
    question.run.gates =
        vec!["acked.rate>=99%".parse().unwrap(), "acked.rate>100".parse().unwrap()];
    judge(&question, &[three_faults(1).trial()])
}

#[test]
fn shares_are_of_what_a_shape_offered_and_of_nothing_in_a_closed_loop() {
    let report = offered(Offer::Shaped, 1000.0);
    assert_eq!(report.verdict, Verdict::Valid, "{:?}", report.problems);
    assert!((report.load.asked_per_s - 150.0).abs() < 1.0, "{}", report.load.asked_per_s);
    let steady = report.load.rates["steady"].asked_per_s.unwrap();
    assert!((steady - 150.0).abs() < 1.0, "{steady}");
    let outcomes = |report: &Report| report.gates.iter().map(|it| it.outcome).collect::<Vec<_>>();
    assert_eq!(outcomes(&report), [GateOutcome::Passed; 2]);
    let text = text::render(&report, None, false);
    assert!(text.contains("asked 150.0/s on the average, 1000.0/s at most"), "{text}");

    let report = offered(Offer::Closed, 0.0);
    assert_eq!(report.verdict, Verdict::Valid, "{:?}", report.problems);
    assert_eq!(outcomes(&report), [GateOutcome::Unknown, GateOutcome::Passed]);
    let text = text::render(&report, None, false);
    assert!(text.contains("closed loop: each record was due when"), "{text}");
    assert!(text.contains("asked as much as the client takes"), "{text}");
    assert_eq!(offered(Offer::Even, 1000.0).verdict, Verdict::InvalidRun);
}

#[test]
fn how_far_batches_were_compressed_is_told() {
    let mut f = three_faults(1);
    assert_eq!(report_of(vec![three_faults(1).trial()]).load.compressed, None);
    f.at(104.0, EventKind::Compressed { message_bytes: 1000, request_bytes: 520 });
    let report = report_of(vec![f.trial()]);
    assert_eq!(report.load.compressed, Some(0.52));
    let text = text::render(&report, None, false);
    assert!(text.contains("compressed to 0.520 of the keys and values"), "{text}");
}
