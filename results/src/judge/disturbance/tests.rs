//! What disturbs, and what it touches.

mod late;
mod sight;
mod throttled;
mod vanished;

use super::*;
use crate::fixture::{self, Fixture, at, broker, three_faults};
use crate::judge::claim::Outcome;
use crate::record::event::{Detection, Effect, Expectation, ProcessEnd, Risk};
use crate::record::history::Entry;
use crate::report::{Report, judge};

fn ended(id: i32) -> EventKind {
    EventKind::ProcessEnded { process: broker(id), pid: 1, end: ProcessEnd::Signal(9) }
}

fn still(from: f64, place: Place) -> EventKind {
    EventKind::Disturbed { cause: Cause::StoodStill, place, from: at(from), detail: None }
}

/// The three faults of the fixture, with this event besides.
fn with(seconds: f64, kind: EventKind) -> Report {
    let mut f: Fixture = three_faults(1);
    f.at(seconds, kind);
    judge(&fixture::question(1), &[f.trial()])
}

fn verdict(report: &Report) -> Verdict {
    report.checks.iter().find(|check| check.name == "disturbance").unwrap().verdict
}

fn outcome(report: &Report, id: &str) -> Outcome {
    report.claims.iter().find(|claim| claim.id == id).unwrap().outcome
}

#[test]
fn a_broker_that_ends_while_the_cluster_is_healthy_makes_the_run_invalid() {
    let report = with(15.0, ended(1));
    assert_eq!((verdict(&report), report.verdict), (Verdict::InvalidRun, Verdict::InvalidRun));
    assert_eq!(report.exit_code, 3);
}

#[test]
fn a_broker_that_ends_during_another_fault_decides_no_claim_about_it() {
    // A second broker ends; it is started again before the next fault.
    let mut f = three_faults(1);
    f.at(55.0, ended(3));
    f.at(60.0, EventKind::ProcessStarted { process: broker(3), pid: 2 });
    let report = judge(&fixture::question(1), &[f.trial()]);
    assert_eq!(verdict(&report), Verdict::Unknown);
    assert_eq!(outcome(&report, "leader-failover"), Outcome::Undecided);
    assert_eq!(outcome(&report, "both-failover"), Outcome::Holds);
    assert_eq!(outcome(&report, "no-acked-loss"), Outcome::Holds);
}

#[test]
fn what_the_plan_orders_is_no_disturbance() {
    let quiet = judge(&fixture::question(1), &[three_faults(1).trial()]);
    assert_eq!(verdict(&quiet), Verdict::Valid);
    // The victim of "leader" ends while it is struck.
    assert_eq!(verdict(&with(50.1, ended(2))), Verdict::Valid);
    assert_eq!(verdict(&with(60.0, still(51.0, Place::Server(broker(3))))), Verdict::Unknown);
}

/// The three faults with another effect, and with this event besides.
fn of_effect(takes: Takes, seconds: f64, kind: EventKind) -> Verdict {
    let mut f = three_faults(1);
    f.at(seconds, kind);
    for event in &mut f.events {
        if let EventKind::FaultInjecting { effect, .. } = &mut event.kind {
            effect.takes = takes;
        }
    }
    verdict(&judge(&fixture::question(1), &[f.trial()]))
}

#[test]
fn a_fault_orders_what_it_takes_of_its_victims_and_nothing_else() {
    // Whether a signal, an exit of its own, and standing still are the plan's. "leader" strikes broker 2 from
    // 50 s to 70 s.
    let table = [
        (Takes::Processes, [true, true, false]),
        (Takes::ProcessesForARestart, [true, true, false]),
        (Takes::ProcessesInTime, [false, true, false]),
        (Takes::PerhapsProcesses, [false, true, false]),
        (Takes::Answers, [false, true, true]),
        (Takes::Nothing, [false, true, true]),
        (Takes::Nodes, [false, true, false]),
        (Takes::Links, [false, true, false]),
        (Takes::Zookeeper, [false, true, false]),
        (Takes::Registrations, [false, true, false]),
        (Takes::Leadership, [false, true, false]),
        (Takes::Replicas, [false, true, false]),
    ];
    let ended = |end| EventKind::ProcessEnded { process: broker(2), pid: 1, end };
    for (takes, expected) in table {
        let ends = [ProcessEnd::Signal(9), ProcessEnd::Exit(143), ProcessEnd::Signal(15)];
        for end in ends {
            let ordered = of_effect(takes, 55.0, ended(end)) == Verdict::Valid;
            assert_eq!(ordered, expected[0], "{takes:?}");
        }
        for end in [ProcessEnd::Exit(1), ProcessEnd::Signal(6), ProcessEnd::Signal(11)] {
            let ordered = of_effect(takes, 55.0, ended(end)) == Verdict::Valid;
            assert_eq!(ordered, expected[1], "{takes:?}");
        }
        let still = still(51.0, Place::Server(broker(2)));
        let ordered = of_effect(takes, 60.0, still) == Verdict::Valid;
        assert_eq!(ordered, expected[2], "{takes:?}");
    }
}

#[test]
fn what_the_plan_started_again_is_killed_by_nobody_of_the_plan() {
    // Broker 2 is killed at 50 s and started again at 70 s, by "leader", or by a stranger before that.
    for takes in [Takes::Processes, Takes::ProcessesForARestart] {
        for (started, end, expected) in [
            (None, ProcessEnd::Signal(9), Verdict::Valid),
            (Some(54.0), ProcessEnd::Exit(1), Verdict::Valid),
            (Some(54.0), ProcessEnd::Signal(9), Verdict::InvalidRun),
            (Some(54.0), ProcessEnd::Exit(143), Verdict::InvalidRun),
        ] {
            let mut f = three_faults(1);
            if let Some(at) = started {
                f.at(at, EventKind::ProcessStarted { process: broker(2), pid: 2 });
            }
            let ended = EventKind::ProcessEnded { process: broker(2), pid: 2, end: end.clone() };
            f.at(55.0, ended);
            for event in &mut f.events {
                if let EventKind::FaultInjecting { effect, .. } = &mut event.kind {
                    effect.takes = takes;
                }
            }
            let found = verdict(&judge(&fixture::question(1), &[f.trial()]));
            assert_eq!(found, expected, "{takes:?} {started:?} {end}");
        }
    }
}

#[test]
fn a_pause_of_the_plan_excuses_none_that_began_before_or_outlasts_it() {
    let paused = |from, to| of_effect(Takes::Answers, to, still(from, Place::Server(broker(2))));
    assert_eq!(paused(50.01, 70.1), Verdict::Valid);
    assert_eq!(paused(45.0, 69.0), Verdict::InvalidRun);
    assert_ne!(paused(50.01, 78.0), Verdict::Valid);
}

#[test]
fn a_broker_that_the_plan_killed_is_started_by_the_plan_alone() {
    let plane = crate::record::event::MetadataPlane::Zookeeper;
    let back = EventKind::BrokerRegistered { plane, broker: 2, session: 9, ctime_ms: 0 };
    let judged = |at: f64, started: Option<f64>| {
        let mut f = Fixture::new(1, 80.0);
        f.kill("leader", 20.0, 2, None);
        f.at(20.01, ended(2));
        if let Some(at) = started {
            f.at(at, EventKind::ProcessStarted { process: broker(2), pid: 2 });
        }
        f.at(at, back.clone());
        judge(&fixture::question(1), &[f.trial()])
    };
    // It is gone from 36 s on, and started again from 40 s on.
    let report = judged(38.0, None);
    assert_eq!(verdict(&report), Verdict::InvalidRun);
    let check = report.checks.iter().find(|check| check.name == "disturbance").unwrap();
    let note = check.note.as_ref().unwrap();
    assert!(note.contains("broker 2 (node2) was started without an order at 38.0 s"), "{note}");
    assert_eq!(verdict(&judged(38.0, Some(37.0))), Verdict::Valid);
    // A registration that is read again is not a new one.
    assert_eq!(verdict(&judged(30.0, None)), Verdict::Valid);
    assert_eq!(verdict(&judged(40.1, Some(40.05))), Verdict::Valid);
}

#[test]
fn standing_still_counts_from_a_quarter_second_or_a_tenth_of_the_figure() {
    let kbench = |seconds| with(52.0 + seconds, still(52.0, Place::Kbench));
    // The outage of "leader" is one of 16.2 s.
    assert_eq!(verdict(&kbench(1.5)), Verdict::Valid);
    let long = kbench(2.0);
    assert_eq!(verdict(&long), Verdict::Unknown);
    assert_eq!(outcome(&long, "leader-failover"), Outcome::Undecided);
    assert_eq!(outcome(&long, "both-failover"), Outcome::Holds);
    let steady = |seconds| verdict(&with(12.0 + seconds, still(12.0, Place::Kbench)));
    assert_eq!([steady(0.2), steady(0.3)], [Verdict::Valid, Verdict::InvalidRun]);
}

#[test]
fn a_disturbance_touches_what_it_can_have_changed() {
    // Standing still late in a fault that interrupted nobody: the longest response is kbench's own.
    let kbench = with(32.0, still(30.0, Place::Kbench));
    let of = |id: &str| outcome(&kbench, id);
    assert_eq!(of("leaders-serve-uninterrupted-acks-1"), Outcome::Undecided);
    assert_eq!(of("leaders-serve-uninterrupted-reads"), Outcome::Undecided);
    // Copies are counted by ZooKeeper's word; a client that sends late changes nothing of them.
    assert_eq!(of("two-copies-remain"), Outcome::Holds);
    let server = with(32.0, still(30.0, Place::Server(broker(1))));
    assert_eq!(outcome(&server, "two-copies-remain"), Outcome::Undecided);
}

/// The host was short of something from one time on.
fn short(cause: Cause, from: f64, detail: &str) -> EventKind {
    EventKind::Disturbed {
        cause,
        place: Place::Host,
        from: at(from),
        detail: Some(detail.to_owned()),
    }
}

#[test]
fn what_the_host_is_short_of_disturbs_whatever_was_measured() {
    for cause in [Cause::CpuTaken, Cause::CpuStolen, Cause::MemoryPressure, Cause::IoPressure] {
        let short = |from| short(cause, from, "50 %");
        let steady = with(13.0, short(12.0));
        assert_eq!((steady.verdict, steady.exit_code), (Verdict::InvalidRun, 3), "{cause}");
        // During a fault, whoever its victim is: no fault of a plan does that to the host.
        let of_fault = with(52.0, short(51.0));
        assert_eq!(verdict(&of_fault), Verdict::Unknown, "{cause}");
        assert_eq!(outcome(&of_fault, "leader-failover"), Outcome::Undecided, "{cause}");
        assert_eq!(outcome(&of_fault, "both-failover"), Outcome::Holds, "{cause}");
        // Before anything was measured, and once the cluster is stopped.
        assert_eq!(verdict(&with(2.0, short(1.0))), Verdict::Valid, "{cause}");
        assert_eq!(verdict(&with(114.0, short(113.0))), Verdict::Valid, "{cause}");
    }
}

#[test]
fn what_lasts_is_recorded_bit_by_bit_and_told_once() {
    let mut f = three_faults(1);
    f.at(15.0, short(Cause::CpuTaken, 12.0, "50 % of their time, most of it sh, process 7"));
    f.at(18.0, short(Cause::CpuTaken, 15.0, "60 % of their time, most of it sh, process 7"));
    f.at(20.0, short(Cause::CpuTaken, 19.0, "70 % of their time, most of it sh, process 8"));
    let report = judge(&fixture::question(1), &[f.trial()]);
    let check = report.checks.iter().find(|check| check.name == "disturbance").unwrap();
    assert_eq!(
        (check.count, check.note.as_deref()),
        (
            2,
            Some(
                "the host had its CPUs taken by others for 6.0 s at 12.0 s (50 % of their time, most of it \
                 sh, process 7); the host had its CPUs taken by others for 1.0 s at 19.0 s (70 % of their \
                 time, most of it sh, process 8)"
            )
        )
    );
}

#[test]
fn a_topic_whose_setting_is_changed_is_measured_under_another_one_from_then_on() {
    let changed = |seconds| {
        let (topic, name) = ("user-events".to_owned(), "min.insync.replicas".to_owned());
        with(seconds, EventKind::TopicSettingChanged { topic, name, value: Some("1".to_owned()) })
    };
    let (early, late) = (changed(12.0), changed(51.0));
    assert_eq!((early.verdict, early.exit_code), (Verdict::InvalidRun, 3));
    assert!(verdict(&late) >= Verdict::Unknown);
    assert_eq!(outcome(&late, "leader-failover"), Outcome::Undecided);
    let told = early.checks.iter().find(|check| check.name == "disturbance").unwrap();
    let note = "topic user-events had a setting changed at 12.0 s (min.insync.replicas=1)";
    assert_eq!(told.note.as_deref(), Some(note));
}

#[test]
fn somebody_else_s_records_disturb_and_are_not_charged_to_kafka() {
    let (mut trial, mut strange) = (three_faults(1).trial(), 0);
    fixture::change(&mut trial, |history| {
        let polls = history.streams.iter_mut().flat_map(|stream| &mut stream.entries);
        for entry in polls {
            if let Entry::Poll(poll) = entry
                && (at(12.0)..at(12.5)).contains(&poll.at)
            {
                poll.record = Observed::Foreign;
                strange += 1;
            }
        }
    });
    assert!(strange > 10);
    let report = judge(&fixture::question(1), &[trial]);
    let check = |name| report.checks.iter().find(|check| check.name == name).unwrap();
    assert_eq!(check("disturbance").verdict, Verdict::InvalidRun);
    assert_eq!(check("phantom").verdict, Verdict::Unknown);
    assert_eq!(check("corrupt").verdict, Verdict::Valid);
    let note = check("disturbance").note.as_ref().unwrap();
    assert!(note.starts_with("topic user-events got records that are not this run's"), "{note}");
}

#[test]
fn a_broker_that_somebody_killed_is_away_until_it_is_registered_anew() {
    let mut f = Fixture::new(1, 60.0);
    f.kill("leader", 20.0, 2, None);
    let plane = crate::record::event::MetadataPlane::Zookeeper;
    f.at(19.2, ended(3));
    f.at(19.6, EventKind::ProcessStarted { process: broker(3), pid: 2 });
    f.at(19.7, EventKind::BrokerGone { plane, broker: 3 });
    f.at(33.0, EventKind::BrokerRegistered { plane, broker: 3, session: 9, ctime_ms: 0 });
    let report = judge(&fixture::question(1), &[f.trial()]);
    assert_eq!(verdict(&report), Verdict::Unknown);
    assert_eq!(outcome(&report, "leader-failover"), Outcome::Undecided);
    assert_eq!(outcome(&report, "two-copies-remain"), Outcome::Undecided);
}

#[test]
fn a_broker_whose_return_nobody_saw_disturbs_what_comes_after() {
    let mut f = three_faults(1);
    let plane = crate::record::event::MetadataPlane::Zookeeper;
    f.at(55.0, ended(3));
    f.at(60.0, EventKind::ProcessStarted { process: broker(3), pid: 2 });
    f.at(61.0, EventKind::BrokerGone { plane, broker: 3 });
    let report = judge(&fixture::question(1), &[f.trial()]);
    assert_eq!(outcome(&report, "both-failover"), Outcome::Undecided);
}

#[test]
fn a_setting_that_is_changed_while_the_logs_are_read_makes_the_run_unknown() {
    let changed = |seconds| {
        let (topic, name) = ("user-events".to_owned(), "retention.ms".to_owned());
        with(seconds, EventKind::TopicSettingChanged { topic, name, value: Some("1".to_owned()) })
    };
    // The load ends at 110 s, and the cluster is stopped from 112 s on.
    let report = changed(111.0);
    assert_eq!((verdict(&report), report.exit_code), (Verdict::Unknown, 3));
    assert_eq!(verdict(&changed(112.5)), Verdict::Valid);
}

#[test]
fn what_disturbs_the_reading_of_the_logs_is_told_and_makes_it_unknown_only_where_it_was_not_read() {
    let disturbed =
        |cause, place| EventKind::Disturbed { cause, place, from: at(110.5), detail: None };
    let topic = Place::Topic("user-events".to_owned());
    // The load ends at 110 s, and the cluster is stopped from 112 s on.
    let cases = [
        (ended(3), "broker 3 (node3) ended without an order at 111.0 s (signal 9)"),
        (
            still(110.5, Place::Server(broker(3))),
            "broker 3 (node3) stood still for 0.5 s at 110.5 s",
        ),
        (disturbed(Cause::Suspended, Place::Host), "the host was suspended for 0.5 s at 110.5 s"),
        (
            disturbed(Cause::ObserverLost, Place::Kbench),
            "kbench lost sight of the cluster for 0.5 s at 110.5 s",
        ),
        (
            disturbed(Cause::OtherWriter, topic),
            "topic user-events got records that are not this run's for 0.5 s at 110.5 s",
        ),
    ];
    for (kind, expected) in cases {
        let report = with(111.0, kind.clone());
        let check = report.checks.iter().find(|check| check.name == "disturbance").unwrap();
        assert_eq!((check.verdict, check.count), (Verdict::Valid, 1), "{expected}");
        assert_eq!(check.note.as_deref(), Some(expected));
        assert_eq!((report.verdict, report.exit_code), (Verdict::Valid, 0), "{expected}");
        assert_eq!(outcome(&report, "no-acked-loss"), Outcome::Holds);

        let mut f = three_faults(1);
        f.at(111.0, kind);
        let mut trial = f.trial();
        fixture::change(&mut trial, |history| {
            for entry in history.streams.iter_mut().flat_map(|stream| &mut stream.entries) {
                if let Entry::Drained { end_offset, .. } = entry {
                    *end_offset = i64::MAX;
                }
            }
        });
        let unread = judge(&fixture::question(1), &[trial]);
        let check = unread.checks.iter().find(|check| check.name == "disturbance").unwrap();
        let why = format!("{expected}; the logs were not all read to their ends meanwhile");
        assert_eq!((check.verdict, check.note.as_ref()), (Verdict::Unknown, Some(&why)));
        assert_eq!((unread.verdict, unread.exit_code), (Verdict::Unknown, 3), "{expected}");
    }
    // kbench ends the servers itself, and nobody minds a moment.
    for (seconds, kind) in [(112.5, ended(3)), (111.0, still(110.8, Place::Server(broker(3))))] {
        let report = with(seconds, kind);
        let check = report.checks.iter().find(|check| check.name == "disturbance").unwrap();
        assert_eq!((check.verdict, check.note.as_deref()), (Verdict::Valid, None));
    }
}

#[test]
fn kbench_standing_still_violates_no_expectation_of_a_plan() {
    let judged = |still_for: Option<f64>| {
        let mut f = Fixture::new(1, 60.0);
        f.inject("leader", 20.0, &[2]);
        f.detect(36.0, &[2], None);
        f.heal("leader", 40.0, 0.0, &[2], true);
        for event in &mut f.events {
            if let EventKind::FaultRecovered { expected, .. } = &mut event.kind {
                *expected = Some(Expectation::GapsBelow(Duration::from_secs(2)));
            }
        }
        (0..3).for_each(|partition| f.outage("main", partition, 24.0, Some(29.0)));
        if let Some(seconds) = still_for {
            f.at(29.0, still(29.0 - seconds, Place::Kbench));
        }
        let report = judge(&fixture::question(1), &[f.trial()]);
        let check = report.checks.iter().find(|check| check.name == "plan-expectation").unwrap();
        (check.verdict, report.exit_code)
    };
    assert_eq!(judged(None), (Verdict::Violated, 1));
    assert_eq!(judged(Some(0.1)), (Verdict::Violated, 1), "far less than the gap");
    assert_eq!(judged(Some(5.0)), (Verdict::Unknown, 3));
}

#[test]
fn a_member_that_the_plan_takes_excuses_no_producer_that_sends_late() {
    let judged = |detection: Detection| {
        let mut f = Fixture::new(1, 60.0);
        f.inject("client", 20.0, &[]);
        let (client, history_bytes) = ("worker".to_owned(), 9);
        f.at(20.005, EventKind::ClientKilled { client, history_bytes });
        f.heal("client", 40.0, 0.0, &[], true);
        for event in &mut f.events {
            if let EventKind::FaultInjecting { effect, .. } = &mut event.kind {
                *effect = Effect { takes: Takes::Clients, detection, risk: Risk::None };
            }
        }
        let mut trial = f.trial();
        fixture::change(&mut trial, |history| {
            for entry in &mut history.streams[0].entries {
                if let Entry::Send(send) = entry
                    && (at(24.0)..at(29.0)).contains(&send.due)
                {
                    (send.sent, send.done) = (at(29.0), at(29.003));
                }
            }
        });
        verdict(&judge(&fixture::question(1), &[trial]))
    };
    assert_eq!(judged(Detection::Nothing), Verdict::Valid, "the producer was killed");
    assert_eq!(judged(Detection::Timeout), Verdict::Unknown, "a member was");
}
