//! Sends that were not acked, by what is known of them.

use super::*;
use crate::record::history::{NO_ACK_ASKED, Stream};

/// The three faults of the fixture, in which the main producer's outcomes are these where they are given.
fn with_outcomes(change: impl Fn(&Send) -> Option<SendOutcome>) -> Report {
    let mut trial = three_faults(1).trial();
    fixture::change(&mut trial, |history| {
        for entry in &mut history.streams[0].entries {
            if let Entry::Send(send) = entry
                && let Some(outcome) = change(send)
            {
                send.outcome = outcome;
            }
        }
    });
    report_of(vec![trial])
}

#[test]
fn sends_without_an_ack_are_told_by_error_and_by_what_is_certain() {
    let report = with_outcomes(|send| match (send.partition, send.sequence) {
        (0, 10..15) => Some(SendOutcome::Failed { code: 32 }),
        (1, 10..13) => Some(SendOutcome::Indeterminate { code: 6 }),
        (2, 10) => Some(SendOutcome::Indeterminate { code: 9999 }),
        _ => None,
    });
    let told: Vec<_> =
        report.load.errors.iter().map(|e| (e.error.as_str(), e.failed, e.sends)).collect();
    let wanted = [
        ("NOT_LEADER_FOR_PARTITION", false, 3),
        ("error 9999", false, 1),
        ("INVALID_TIMESTAMP", true, 5),
    ];
    assert_eq!(told, wanted);
    let text = text::render(&report, None, false);
    assert!(text.contains("5 failed: INVALID_TIMESTAMP"), "{text}");
    assert!(text.contains("3 without outcome: NOT_LEADER_FOR_PARTITION"), "{text}");
}

/// The three faults of the fixture, with a main producer that asks for so many acks.
fn with_acks(asked: i16) -> Report {
    let mut trial = three_faults(1).trial();
    fixture::change(&mut trial, |history| {
        let Stream { header, entries, .. } = &mut history.streams[0];
        if let Client::Producer { acks, idempotent, .. } = &mut header.client {
            (*acks, *idempotent) = (asked, false);
        }
        for entry in entries {
            if let Entry::Send(send) = entry
                && asked == 0
            {
                send.outcome = SendOutcome::Indeterminate { code: NO_ACK_ASKED };
                send.done = send.sent;
            }
        }
    });
    report_of(vec![trial])
}

#[test]
fn fewer_acks_make_nothing_unknown() {
    for acks in [0, 1] {
        let report = with_acks(acks);
        let told: Vec<_> = report.checks.iter().map(|c| (&c.name, c.verdict, &c.note)).collect();
        assert_eq!((report.verdict, report.exit_code), (Verdict::Valid, 0), "{told:?}");
        let main = report.recovery.iter().filter(|row| row.stream == StreamKind::Main).count();
        assert_eq!(main > 0, acks == 1, "without acks nobody sees an outage");
        let reason = |id| {
            let claim = report.claims.iter().find(|claim| claim.id == id).unwrap();
            (claim.outcome, claim.reason.clone())
        };
        for id in
            ["no-acked-loss", "order-within-partition", "leaders-serve-uninterrupted-acks-all"]
        {
            let (outcome, why) = reason(id);
            assert_eq!(outcome, Outcome::Undecided);
            assert_eq!(why, "not applicable: the main load does not use acks=all");
        }
        let (outcome, why) = reason("leader-failover");
        assert_eq!(outcome == Outcome::Undecided, acks == 0, "{why}");
        assert!(acks == 1 || why.contains("asks for no acks (acks=0)"), "{why}");
        assert_eq!(reason("leaders-serve-uninterrupted-acks-1").0, Outcome::Holds);
        assert_eq!(reason("leaders-serve-uninterrupted-reads").0, Outcome::Holds);
        assert_eq!(reason("controller-failover").0, Outcome::Refuted, "as with all acks");
    }
}

#[test]
fn what_another_producer_lost_that_waits_for_all_acks_refutes_although_the_main_load_does_not() {
    let mut trial = three_faults(1).trial();
    fixture::change(&mut trial, |history| {
        let mut extra = history.streams[0].clone();
        if let Client::Producer { producer, role, .. } = &mut extra.header.client {
            (*producer, *role) = (5, LoadRole::Extra);
        }
        extra.name = "extra".to_owned();
        extra.entries.truncate(1);
        if let Client::Producer { acks, idempotent, .. } = &mut history.streams[0].header.client {
            (*acks, *idempotent) = (1, false);
        }
        history.streams.push(extra);
    });
    let report = report_of(vec![trial]);
    let claim = report.claims.iter().find(|claim| claim.id == "no-acked-loss").unwrap();
    assert_eq!((claim.outcome, claim.tested), (Outcome::Refuted, true), "{}", claim.reason);
    assert_eq!(outcome(&report, "order-within-partition"), Outcome::Undecided);
}

#[test]
fn where_no_ack_is_asked_for_none_is_missing() {
    let report = with_outcomes(|_| Some(SendOutcome::Indeterminate { code: NO_ACK_ASKED }));
    let load = &report.load;
    assert_eq!((load.sent, load.acked, load.indeterminate), (load.no_ack_asked, 0, 0));
    assert_eq!((load.latency_us.n, load.latency_us.unanswered, load.errors.len()), (0, 0, 0));
}

#[test]
fn where_nobody_asks_for_longer_than_the_bound_no_service_is_seen() {
    // The next fault begins at 50 s.
    let unasked_until =
        [(20.6, Outcome::Holds), (26.0, Outcome::Undecided), (50.0, Outcome::Undecided)];
    for (until, outcome_of_reads) in unasked_until {
        let mut trial = three_faults(1).trial();
        fixture::change(&mut trial, |history| {
            let reads = history.streams.iter_mut().find(|stream| stream.name == "reads").unwrap();
            reads.entries.retain(|entry| match entry {
                Entry::Read { partition: 0, asked, .. } => !(at(20.0)..at(until)).contains(asked),
                _ => true,
            });
        });
        let report = report_of(vec![trial]);
        let id = "leaders-serve-uninterrupted-reads";
        let claim = report.claims.iter().find(|claim| claim.id == id).unwrap();
        assert_eq!(claim.outcome, outcome_of_reads, "{}", claim.reason);
        assert_eq!(outcome(&report, "leaders-serve-uninterrupted-acks-1"), Outcome::Holds);
    }
}

#[test]
fn a_fault_that_is_undone_before_it_can_be_detected_shows_no_failover() {
    // The detection of a dead broker takes 12 s at the least, and the claim states 10 to 30 s.
    for (lasted, back, outcome_of_leader) in [
        (5.0, 8.0, Outcome::Undecided),
        (5.0, 40.0, Outcome::Refuted),
        (14.0, 17.0, Outcome::Holds),
    ] {
        let mut f = Fixture::new(1, 80.0);
        f.inject("leader", 20.0, &[2]);
        (0..3).for_each(|partition| f.outage("main", partition, 20.0, Some(20.0 + back)));
        f.heal("leader", 20.0 + lasted, 0.0, &[2], false);
        let report = report_of(vec![f.trial()]);
        let claim = report.claims.iter().find(|claim| claim.id == "leader-failover").unwrap();
        assert_eq!(claim.outcome, outcome_of_leader, "{lasted}: {}", claim.reason);
    }
}

#[test]
fn the_formula_of_an_interval_is_that_of_all_its_trials() {
    let with_timeout = |number: u32, timeout| {
        let mut trial = three_faults(number).trial();
        trial.environment.as_mut().unwrap().settings.zk_session_timeout_ms = Some(timeout);
        trial
    };
    let report =
        report_of(vec![with_timeout(1, 18_000), with_timeout(2, 9_000), with_timeout(3, 9_000)]);
    let claim = report.claims.iter().find(|claim| claim.id == "leader-failover").unwrap();
    let formula = claim.formula.as_ref().unwrap();
    assert_eq!(formula.matches("; or ").count(), 1, "{formula}");
    assert!(formula.contains("18") && formula.contains('9'), "{formula}");
}
