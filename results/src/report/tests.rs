//! Whole synthetic runs, judged and rendered.

mod backlog;
mod changes;
mod client_ends;
mod cluster;
mod damage;
mod direct;
mod felt;
mod files;
mod gates;
mod gave_up;
mod html;
mod matrix;
mod outcomes;
mod probes;
mod published;
mod several_gaps;
mod silences;
mod strangers;
mod sums;
mod terminal;
mod trusted;
mod undelivered;
mod unseen;
mod zombies;

use super::*;
use crate::fixture::{self, Fixture, TOPIC, at, three_faults};
use crate::judge::claim::{ClaimResult, Outcome};
use crate::judge::recovery::StreamKind;
use crate::record::event::EventKind;
use crate::record::history::{Client, Ending, Entry, History, LoadRole, Poll, Send, SendOutcome};
use crate::record::trial::{self, TrialRecord};

fn report_of(trials: Vec<TrialRecord>) -> Report {
    judge(&fixture::question(trials.len() as u32), &trials)
}

/// What a strict run of this report would exit with.
fn strict_code(mut report: Report) -> u8 {
    report.run.strict = true;
    exit::code(&report)
}

fn outcome(report: &Report, id: &str) -> Outcome {
    report.claims.iter().find(|c| c.id == id).unwrap().outcome
}

fn row<'a>(
    report: &'a Report,
    fault: &str,
    stream: StreamKind,
    partition: i32,
) -> &'a crate::judge::recovery::PartitionRecovery {
    let mut rows = report.recovery.iter();
    rows.find(|r| r.fault == fault && r.stream == stream && r.partition == partition).unwrap()
}

#[test]
fn a_clean_run_is_valid_and_its_claims_are_judged() {
    let report = report_of(vec![three_faults(1).trial()]);
    assert_eq!((report.verdict, report.exit_code), (Verdict::Valid, 0), "{:?}", report.problems);
    let outcomes: Vec<(&str, Outcome)> =
        report.claims.iter().map(|c| (c.id.as_str(), c.outcome)).collect();
    use Outcome::{Holds, Refuted};
    assert_eq!(
        outcomes,
        [
            ("controller-failover", Refuted),
            ("controller-election", Holds),
            ("leader-failover", Holds),
            ("takes-over-immediately", Refuted),
            ("new-leader-serves", Holds),
            ("both-failover", Holds),
            ("leaders-serve-uninterrupted-acks-all", Refuted),
            ("leaders-serve-uninterrupted-acks-1", Holds),
            ("leaders-serve-uninterrupted-reads", Holds),
            ("detects-via-zookeeper", Holds),
            ("order-within-partition", Holds),
            ("no-acked-loss", Holds),
            ("two-copies-remain", Holds),
            ("consumers-resume", Holds),
        ]
    );
    let both = report.claims.iter().find(|c| c.id == "both-failover").unwrap();
    assert!(both.faster_than_stated && !both.outside_prediction);
    assert_eq!(strict_code(report), 1, "a refuted claim fails a strict run");
}

#[test]
fn figures_are_those_that_were_built_in() {
    let report = report_of(vec![three_faults(1).trial()]);
    let led = row(&report, "leader", StreamKind::Main, 1);
    assert_eq!((led.led, led.interrupted, led.censored), (Some(true), true, false));
    assert!((led.unavailable_s - 16.2).abs() < 0.03, "{}", led.unavailable_s);
    let phases = led.phases_s;
    for (found, built) in [
        (phases.detect, 16.0),
        (phases.elect, 0.02),
        (phases.metadata, 0.05),
        (phases.client, 0.13),
    ] {
        assert!((found.unwrap() - built).abs() < 0.03, "{phases:?}");
    }
    assert!(led.phase_residual_s.abs() < 0.05);
    assert_eq!((led.min_isr, led.min_live_isr), (Some(2), Some(2)));
    assert!((led.isr_full_s.unwrap() - 22.5).abs() < 0.03);
    assert_eq!(led.throughput_restored_s, Some(16.0).map(|_| 16.0), "first whole second at rate");

    let other = row(&report, "leader", StreamKind::Probe, 0);
    assert_eq!((other.led, other.interrupted), (Some(false), false));
    assert!(other.unavailable_s < 0.01);
    assert_eq!(other.phases_s, crate::judge::recovery::Phases::default());
    let led_read = row(&report, "leader", StreamKind::Reads, 1);
    assert!((led_read.unavailable_s - 16.3).abs() < 0.15, "{}", led_read.unavailable_s);

    let controller = report.faults[0].controller.as_ref().unwrap();
    assert_eq!(
        (controller.from, controller.to, controller.epochs),
        (3, Some(1), (Some(1), Some(2)))
    );
    assert!((controller.failover_s - 16.02).abs() < 1e-6);
    assert!(report.faults[1].controller.is_none(), "the leader's step does not touch it");
    assert!((report.time[0].detection_s - 48.0).abs() < 1e-6);
    let steady = report.load.baseline.latency_us;
    assert!((2_990..=3_010).contains(&steady.p50.unwrap()), "{steady:?}");
    assert!(report.load.faults.latency_us.max.unwrap() > 16_000_000);
}

#[test]
fn a_gap_that_never_ends_is_censored_and_refutes_only_beyond_the_bound() {
    let build = |load_end: f64| {
        let mut f = Fixture::new(1, load_end);
        f.inject("leader", 20.0, &[2]);
        f.detect(36.0, &[2], None);
        f.outage("main", 1, 20.0, None);
        report_of(vec![f.trial()])
    };
    let long = build(60.0);
    let r = row(&long, "leader", StreamKind::Main, 1);
    assert!(r.censored && r.first_ack_s.is_none() && r.unavailable_s > 40.0);
    assert_eq!(outcome(&long, "leader-failover"), Outcome::Refuted);
    let short = build(45.0);
    assert!(row(&short, "leader", StreamKind::Main, 1).censored);
    assert_eq!(outcome(&short, "leader-failover"), Outcome::Undecided);
    assert_eq!(long.verdict, Verdict::Unknown, "a fault that was never healed is a doubt");
}

#[test]
fn an_unproven_fault_decides_nothing() {
    let mut f = three_faults(1);
    for event in &mut f.events {
        if let EventKind::FaultInjected { fault_id, proven, .. } = &mut event.kind {
            *proven = fault_id != "controller";
        }
    }
    let report = report_of(vec![f.trial()]);
    assert_eq!((report.verdict, report.exit_code), (Verdict::Unknown, 3));
    assert_eq!(outcome(&report, "controller-failover"), Outcome::Undecided);
    assert_eq!(outcome(&report, "two-copies-remain"), Outcome::Undecided);
    assert_eq!(outcome(&report, "leader-failover"), Outcome::Holds);
}

#[test]
fn a_missing_anchor_leaves_its_phases_unknown_and_says_so() {
    let mut f = three_faults(1);
    f.events.retain(|e| !matches!(e.kind, EventKind::MetadataSeen { .. }));
    let report = report_of(vec![f.trial()]);
    let r = row(&report, "leader", StreamKind::Main, 1);
    assert!(r.phases_s.detect.is_some() && r.phases_s.elect.is_some());
    assert_eq!((r.phases_s.metadata, r.phases_s.client), (None, None));
    assert!((r.phase_residual_s - 0.18).abs() < 0.03, "{}", r.phase_residual_s);
    assert!(r.note.as_ref().unwrap().contains("no live broker's metadata"));
}

/// Controller 3 and leader 2 die together; one copy remains, min.insync.replicas is 2.
fn two_brokers() -> TrialRecord {
    let mut f = Fixture::new(1, 110.0);
    f.inject("two-brokers", 20.0, &[2, 3]);
    f.detect(36.0, &[2, 3], Some(1));
    f.heal("two-brokers", 60.0, 5.0, &[2, 3], false);
    f.at(100.0, EventKind::ConsumerRestarted { consumer: 7 });
    for partition in 0..3 {
        f.outage("main", partition, 20.0, Some(68.0));
    }
    f.trial()
}

#[test]
fn an_outage_that_ends_only_after_healing_says_so_without_kbench_s_wait() {
    let report = report_of(vec![two_brokers()]);
    let r = row(&report, "two-brokers", StreamKind::Main, 0);
    assert!(r.ended_after_heal);
    assert!((r.total_s - 48.0).abs() < 0.03 && (r.kbench_wait_s - 5.0).abs() < 1e-6);
    assert!((r.unavailable_s - 43.0).abs() < 0.03);
    assert!((r.heal_s - 3.0).abs() < 0.01, "{}", r.heal_s);
    assert!((r.phases_s.copies.unwrap() - 23.98).abs() < 0.03, "{:?}", r.phases_s);
    assert!(r.phase_residual_s.abs() < 0.05);
    assert_eq!(r.min_live_isr, Some(1));
    assert!(r.note.as_ref().unwrap().contains("min.insync.replicas is 2"), "{:?}", r.note);
    assert_eq!(outcome(&report, "controller-failover"), Outcome::Undecided);
    assert!(report.claims.iter().any(|c| c.id == "leader-failover" && !c.tested));
    let code = report.exit_code;
    assert_eq!(strict_code(report), code, "what the plan lacks is not strict's");
}

#[test]
fn interrupted_overloaded_and_truncated_runs_are_no_pass() {
    let mut f = three_faults(1);
    f.at(105.0, EventKind::Interrupted);
    let interrupted = report_of(vec![f.trial()]);
    assert_eq!((interrupted.verdict, interrupted.exit_code), (Verdict::Unknown, 3));
    assert!(interrupted.claims.iter().all(|c| c.outcome == Outcome::Undecided));

    let mut question = fixture::question(1);
    question.run.asked_per_s = 200.0;
    let overloaded = judge(&question, &[three_faults(1).trial()]);
    assert_eq!((overloaded.verdict, overloaded.exit_code), (Verdict::InvalidRun, 3));
    assert_eq!(outcome(&overloaded, "leader-failover"), Outcome::Undecided);

    let mut cut = three_faults(1).trial();
    let what = "half a frame".to_owned();
    fixture::change(&mut cut, |history| {
        history.streams[0].ending = Ending::Truncated { at_byte: 9, what, size: Some(9) };
    });
    let truncated = report_of(vec![cut]);
    assert_eq!(truncated.verdict, Verdict::Unknown);

    let missing = judge(&fixture::question(2), &[three_faults(1).trial()]);
    assert_eq!(missing.verdict, Verdict::Unknown);
}

#[test]
fn a_cluster_that_was_not_steady_again_is_no_pass() {
    let mut f = three_faults(1);
    let missing = "the consumers lag 9000 records behind".to_owned();
    f.at(105.0, EventKind::NotSteady { missing });
    let report = report_of(vec![f.trial()]);
    assert_eq!((report.verdict, report.exit_code), (Verdict::Unknown, 3));
    assert!(report.problems.iter().any(|problem| problem.contains("lag 9000")));
}

#[test]
fn a_violated_guarantee_refutes_its_claim_and_fails_the_run() {
    let mut bad = three_faults(1).trial();
    fixture::change(&mut bad, |history| {
        let drain = history.streams.iter_mut().find(|stream| stream.name == "drain").unwrap();
        let lost = |entry: &Entry| matches!(entry, Entry::Poll(Poll { offset: 70, .. }));
        drain.entries.retain(|entry| !lost(entry));
    });
    let report = report_of(vec![bad]);
    let lost = report.checks.iter().find(|check| check.name == "lost").unwrap();
    assert_eq!((lost.verdict, lost.count), (Verdict::Violated, 3));
    assert_eq!((report.verdict, report.exit_code), (Verdict::Violated, 1));
    assert_eq!(outcome(&report, "no-acked-loss"), Outcome::Refuted);
    let xml = junit::render(&report).unwrap();
    assert_eq!(xml.matches("<failure").count(), 1, "{xml}");

    let mut nobody = three_faults(1).trial();
    fixture::change(&mut nobody, |history| {
        history.streams.retain(|stream| stream.name != "consumer-7");
    });
    let unread = report_of(vec![nobody]);
    let regress = unread.checks.iter().find(|check| check.name == "commit-regress").unwrap();
    assert_eq!((regress.verdict, regress.examined), (Verdict::Valid, 0));
    assert_eq!(outcome(&unread, "consumers-resume"), Outcome::Undecided);
}

/// Of partition 0, records that were acked at 70 to 72 are lost, and what follows lies where they were.
fn write_over(history: &mut History) {
    let behind = |offset: &mut i64| *offset -= if *offset >= 73 { 3 } else { 0 };
    let lost =
        |entry: &Entry| matches!(entry, Entry::Poll(Poll { partition: 0, offset: 70..=72, .. }));
    for stream in &mut history.streams {
        if stream.header.topic != TOPIC {
            continue;
        }
        if stream.header.client == Client::Drain {
            stream.entries.retain(|entry| !lost(entry));
        }
        for entry in &mut stream.entries {
            match entry {
                Entry::Send(Send {
                    partition: 0, outcome: SendOutcome::Acked { offset }, ..
                })
                | Entry::Poll(Poll { partition: 0, offset, .. })
                | Entry::Commit { partition: 0, offset, .. } => behind(offset),
                Entry::Drained { partition: 0, end_offset, reached, .. } => {
                    (*end_offset, *reached) = (*end_offset - 3, *reached - 3);
                }
                _ => {}
            }
        }
    }
}

#[test]
fn records_that_were_written_over_refute_what_speaks_of_loss_and_not_what_speaks_of_order() {
    let mut bad = three_faults(1).trial();
    fixture::change(&mut bad, write_over);
    let report = report_of(vec![bad]);
    let violated = report.checks.iter().filter(|check| check.verdict == Verdict::Violated);
    assert_eq!(violated.map(|check| &*check.name).collect::<Vec<_>>(), ["lost"]);
    let explained = report.checks.iter().filter(|check| {
        check.note.as_deref().is_some_and(|note| note.contains("explained by \"lost\""))
    });
    let explained: Vec<_> = explained.map(|check| &*check.name).collect();
    assert_eq!(explained, ["offset-mismatch", "divergent-read", "order-realtime", "poll-regress"]);
    assert_eq!(outcome(&report, "no-acked-loss"), Outcome::Refuted);
    assert_eq!(outcome(&report, "order-within-partition"), Outcome::Holds);
}

#[test]
fn what_acks_of_all_promise_is_not_applicable_to_other_acks() {
    for of_run in [0, 1] {
        let mut trial = three_faults(1).trial();
        fixture::change(&mut trial, |history| {
            for stream in &mut history.streams {
                if let Client::Producer { acks, idempotent, role: LoadRole::Main, .. } =
                    &mut stream.header.client
                {
                    (*acks, *idempotent) = (of_run, false);
                }
            }
        });
        let report = report_of(vec![trial]);
        let check = report.checks.iter().find(|check| check.name == "order-realtime").unwrap();
        let note = format!("not applicable: acks={of_run}");
        assert_eq!((check.verdict, check.note.as_deref()), (Verdict::Valid, Some(&*note)));
        for id in
            ["order-within-partition", "no-acked-loss", "leaders-serve-uninterrupted-acks-all"]
        {
            let claim = report.claims.iter().find(|claim| claim.id == id).unwrap();
            assert_eq!((claim.outcome, claim.tested), (Outcome::Undecided, false), "{id}");
            assert!(claim.reason.starts_with("not applicable"), "{}", claim.reason);
        }
        let open = |claim: &&ClaimResult| claim.tested && claim.outcome == Outcome::Undecided;
        assert_eq!(report.claims.iter().filter(open).count(), 0);
    }
}

#[test]
fn a_gap_that_began_after_healing_is_not_the_fault_s() {
    let mut f = three_faults(1);
    f.outage("probe", 0, 41.0, Some(43.0));
    let report = report_of(vec![f.trial()]);
    let r = row(&report, "controller", StreamKind::Probe, 0);
    assert!(!r.interrupted && (r.after_heal_gap_s.unwrap() - 2.0).abs() < 0.03);
    assert_eq!(outcome(&report, "leaders-serve-uninterrupted-acks-1"), Outcome::Holds);
}

#[test]
fn a_send_in_flight_at_the_injection_belongs_to_the_fault() {
    let mut f = three_faults(1);
    f.outage("main", 1, 49.97, Some(66.2));
    let report = report_of(vec![f.trial()]);
    let r = row(&report, "leader", StreamKind::Main, 1);
    assert!((r.unavailable_s - 16.22).abs() < 0.005, "{}", r.unavailable_s);
    let before = row(&report, "controller", StreamKind::Main, 1);
    assert!((before.unavailable_s - 16.2).abs() < 0.03, "{}", before.unavailable_s);
}

#[test]
fn a_gap_that_was_there_before_the_injection_is_counted_from_just_before_it() {
    let mut f = three_faults(1);
    f.outage("main", 1, 48.0, Some(66.2));
    let report = report_of(vec![f.trial()]);
    let r = row(&report, "leader", StreamKind::Main, 1);
    assert!(r.interrupted && (r.unavailable_s - 16.7).abs() < 0.005, "{}", r.unavailable_s);
    assert!(r.note.as_ref().unwrap().contains("late already"), "{:?}", r.note);
    let before = row(&report, "controller", StreamKind::Main, 1);
    assert!((before.after_heal_gap_s.unwrap() - 2.0).abs() < 0.03, "{before:?}");
}

fn five_trials() -> Report {
    report_of(
        (1..=5)
            .map(|number| {
                let mut f = three_faults(number);
                for event in &mut f.events {
                    // Each trial's first election comes a little later.
                    let first = at(36.0) <= event.at && event.at < at(36.06);
                    if first && matches!(event.kind, EventKind::ControllerElected { .. }) {
                        event.at = at(36.02 + f64::from(number) * 0.1);
                    }
                }
                f.trial()
            })
            .collect(),
    )
}

#[test]
fn several_trials_give_a_distribution() {
    let report = five_trials();
    let claim = report.claims.iter().find(|c| c.id == "controller-failover").unwrap();
    let m = claim.measured_s.as_ref().unwrap();
    assert_eq!((m.n, m.censored), (5, 0));
    for (found, built) in [(m.min, 16.12), (m.median, 16.32), (m.max, 16.52)] {
        assert!((found.unwrap() - built).abs() < 1e-6, "{m:?}");
    }
    assert_eq!(report.checks.iter().find(|c| c.name == "lost").unwrap().examined, 75_000);
    assert_eq!(report.load.latency_us.n, 5 * 15_000);
}

#[test]
fn what_a_terminal_would_obey_or_nobody_would_read_is_not_printed() {
    let mut report = report_of(vec![three_faults(1).trial()]);
    let evil = format!("\u{1b}[2J\u{9b}31m{}", "x".repeat(50_000_000));
    report.problems = vec![evil.clone(), "\n".repeat(100_000)];
    report.checks[0].note = Some(evil.clone());
    report.faults[0].target = evil.clone();
    report.claims[0].reason = evil.clone();
    report.environments[0].environment.kafka = evil;
    let dir = std::path::Path::new("runs/a folder/it's\u{1b}[2J");
    let plain = text::render(&report, Some(dir), false);
    assert!(plain.len() < 50_000, "{}", plain.len());
    assert!(!plain.chars().any(|c| c.is_control() && c != '\n'));
    assert!(plain.contains(r"kbench check 'runs/a folder/it'\''s"), "{plain}");
}

#[test]
fn what_was_not_seen_is_said_in_words_and_one_is_not_many() {
    let mut report = report_of(vec![three_faults(1).trial()]);
    let failover = report.faults.iter_mut().find_map(|fault| fault.controller.as_mut()).unwrap();
    (failover.known_s, failover.phases.detect) = (None, None);
    let settings = &mut report.environments[0].environment;
    (settings.cores, settings.settings.brokers) = (1, 1);
    let plain = text::render(&report, None, false);
    assert!(!plain.contains("? s") && plain.contains("detect not seen + elect"), "{plain}");
    assert!(plain.contains("1 trial,") && plain.contains("1 core,"), "{plain}");
    for (at, _) in plain.match_indices("1 ") {
        let (before, rest) = plain.split_at(at);
        let word = rest[2..].split(|c: char| !c.is_ascii_alphabetic()).next().unwrap_or_default();
        let is_one = !before.ends_with(|c: char| c.is_ascii_digit() || ".,-".contains(c));
        let many = ["trials", "brokers", "cores", "partitions", "records", "members"];
        assert!(!(is_one && many.contains(&word)), "1 {word}: {plain}");
    }
}
