//! What was not observed did not happen for all that is known: it refutes nothing.

use std::time::Duration;

use super::*;
use crate::record::event::Event;

type Drops = Box<dyn Fn(&Event) -> bool>;

/// Everything that an observer of the cluster may have missed.
fn unseen() -> Vec<(String, Drops)> {
    let mut all: Vec<(String, Drops)> = vec![];
    for of in 1..=3 {
        let registered = move |e: &Event| matches!(e.kind, EventKind::BrokerRegistered { broker, .. } if broker == of);
        let gone =
            move |e: &Event| matches!(e.kind, EventKind::BrokerGone { broker, .. } if broker == of);
        all.push((format!("registered {of}"), Box::new(registered)));
        all.push((format!("gone {of}"), Box::new(gone)));
        all.push((format!("both {of}"), Box::new(move |e: &Event| registered(e) || gone(e))));
        let again = move |e: &Event| registered(e) && e.at > at(20.0);
        all.push((format!("registered again {of}"), Box::new(again)));
    }
    let mut kind = |name: &str, drops: fn(&EventKind) -> bool| {
        all.push((name.to_owned(), Box::new(move |e: &Event| drops(&e.kind))));
        let later = move |e: &Event| drops(&e.kind) && e.at > at(20.0);
        all.push((format!("{name} since the first fault"), Box::new(later)));
    };
    kind("registered", |kind| matches!(kind, EventKind::BrokerRegistered { .. }));
    kind("elected", |kind| matches!(kind, EventKind::ControllerElected { .. }));
    kind("controller gone", |kind| matches!(kind, EventKind::ControllerGone { .. }));
    kind("epoch", |kind| matches!(kind, EventKind::ControllerEpoch { .. }));
    kind("named", |kind| matches!(kind, EventKind::ControllerSeen { .. }));
    kind("metadata", |kind| matches!(kind, EventKind::MetadataSeen { .. }));
    kind("states", |kind| matches!(kind, EventKind::PartitionState { .. }));
    kind("ended", |kind| matches!(kind, EventKind::ProcessEnded { .. }));
    kind("started", |kind| matches!(kind, EventKind::ProcessStarted { .. }));
    all
}

/// A failover that every claim of the guide survives: the brokers' ends and starts are recorded, too.
fn kept() -> Fixture {
    let mut f = three_faults(1);
    for (s, id) in [(20.0, 3), (50.0, 2), (80.0, 1)] {
        let (process, end) = (fixture::broker(id), crate::record::event::ProcessEnd::Signal(9));
        f.at(s + 0.01, EventKind::ProcessEnded { process: process.clone(), pid: 1, end });
        f.at(s + 20.5, EventKind::ProcessStarted { process, pid: 2 });
    }
    f
}

#[test]
fn what_was_not_seen_refutes_nothing() {
    let whole = report_of(vec![kept().trial()]);
    let refuted = |report: &Report| -> Vec<String> {
        let claims = report.claims.iter().filter(|claim| claim.outcome == Outcome::Refuted);
        claims.map(|claim| claim.id.clone()).collect()
    };
    let known = refuted(&whole);
    assert_eq!(outcome(&whole, "two-copies-remain"), Outcome::Holds);
    for (what, drops) in unseen() {
        let mut f = kept();
        f.events.retain(|event| !drops(event));
        let report = report_of(vec![f.trial()]);
        let more: Vec<_> =
            refuted(&report).into_iter().filter(|claim| !known.contains(claim)).collect();
        assert!(more.is_empty(), "without {what}: {more:?}");
        // After broker 1, no other was killed.
        if ["registered again 2", "registered again 3", "states"].contains(&what.as_str()) {
            let copies = outcome(&report, "two-copies-remain");
            assert_eq!(copies, Outcome::Undecided, "without {what}");
        }
        if what == "elected since the first fault" || what == "epoch since the first fault" {
            let controller = outcome(&report, "controller-failover");
            let seen = what.starts_with("epoch");
            let wanted = if seen { Outcome::Refuted } else { Outcome::Undecided };
            assert_eq!(controller, wanted, "without {what}");
        }
        // A phase is what was seen to be missing; without that it is unknown, not another one.
        if what.contains("registered") || what.contains("gone") || what.contains("both") {
            for (row, full) in report.recovery.iter().zip(&whole.recovery) {
                for ((name, seconds), (_, known)) in
                    row.phases_s.named().into_iter().zip(full.phases_s.named())
                {
                    let as_known = seconds.is_none_or(|s| known.is_some_and(|k| s <= k + 1e-6));
                    assert!(as_known, "without {what}: {name} of {row:?}, known {full:?}");
                }
            }
        }
    }
}

/// What a cluster that is only connected to does not show: its metadata plane, its servers' processes and logs.
fn of_hosts_or_plane(event: &Event) -> bool {
    matches!(
        event.kind,
        EventKind::BrokerRegistered { .. }
            | EventKind::BrokerGone { .. }
            | EventKind::ControllerElected { .. }
            | EventKind::ControllerGone { .. }
            | EventKind::ControllerEpoch { .. }
            | EventKind::PartitionState { .. }
            | EventKind::ProcessStarted { .. }
            | EventKind::ProcessEnded { .. }
            | EventKind::LogMark { .. }
    )
}

#[test]
fn where_brokers_metadata_alone_were_seen_no_figure_has_a_phase_and_no_claim_that_needs_more_is_decided()
 {
    let whole = report_of(vec![kept().trial()]);
    let mut f = kept();
    f.events.retain(|event| !of_hosts_or_plane(event));
    let mut trial = f.trial();
    if let Some(environment) = &mut trial.environment {
        let settings = &mut environment.settings;
        (settings.zk_session_timeout_ms, settings.zk_tick_ms, settings.zk_servers) =
            (None, None, None);
    }
    let report = report_of(vec![trial]);
    let decided = |report: &Report| -> Vec<String> {
        let claims = report.claims.iter().filter(|it| it.outcome != Outcome::Undecided);
        claims.map(|claim| claim.id.clone()).collect()
    };
    let of_faults =
        ["controller-failover", "leader-failover", "both-failover", "two-copies-remain"];
    assert!(of_faults.iter().all(|id| decided(&whole).contains(&(*id).to_owned())));
    for id in of_faults {
        assert_eq!(outcome(&report, id), Outcome::Undecided, "{id}");
    }
    for row in &report.recovery {
        assert_eq!((row.led, row.min_isr, row.min_live_isr), (None, None, None), "{row:?}");
        assert!(row.phases_s.is_empty() || !row.interrupted, "{row:?}");
    }
    assert!(report.faults.iter().all(|fault| fault.controller.is_none()));
    // What the clients saw and the logs hold is known all the same.
    let named = |report: &Report, name: &str| {
        let check = report.checks.iter().find(|check| check.name == name);
        check.map(|check| (check.verdict, check.examined))
    };
    for name in ["lost", "lost-tail", "duplicate", "order-producer", "poll-skip"] {
        assert_eq!(named(&report, name), named(&whole, name), "{name}");
    }
    assert!(report.claims.iter().all(|claim| claim.predicted_s.is_none()));
}

#[test]
fn a_client_whose_times_cannot_be_decides_nothing() {
    for (stream, claims) in [
        ("main", &["leader-failover", "both-failover"][..]),
        ("probe", &["leaders-serve-uninterrupted-acks-1"]),
        ("reads", &["leaders-serve-uninterrupted-reads"]),
    ] {
        let mut trial = three_faults(1).trial();
        fixture::change(&mut trial, |history| {
            let of = history.streams.iter_mut().find(|it| it.name.starts_with(stream)).unwrap();
            match &mut of.entries[40] {
                Entry::Send(send) => send.done = at(0.1),
                Entry::Read { done, .. } => *done = at(0.1),
                other => panic!("{other:?}"),
            }
        });
        let report = report_of(vec![trial]);
        assert_eq!((report.verdict, report.exit_code), (Verdict::Unknown, 3), "{stream}");
        let named = |text: &String| text.contains(stream) && text.contains("says once what cannot");
        assert!(report.problems.iter().any(named), "{:?}", report.problems);
        for claim in claims {
            let claim = report.claims.iter().find(|it| it.id == *claim).unwrap();
            assert_eq!(claim.outcome, Outcome::Undecided, "{}", claim.id);
            assert!(named(&claim.reason), "{}", claim.reason);
        }
    }
}

#[test]
fn a_partition_that_is_added_within_a_fault_spoils_no_claim() {
    let with = |leader_epoch: i32| {
        let mut f = three_faults(1);
        let plane = crate::record::event::MetadataPlane::Zookeeper;
        let probe = fixture::PROBE;
        for (s, topic, isr) in
            [(60.0, TOPIC, vec![3, 1]), (60.0, probe, vec![3, 1]), (75.0, TOPIC, vec![3, 1, 2])]
        {
            let topic = topic.to_owned();
            let (partition, leader, mtime_ms) = (3, 3, 0);
            let kind = EventKind::PartitionState {
                plane,
                topic,
                partition,
                leader,
                leader_epoch,
                isr,
                mtime_ms,
            };
            f.at(s, kind);
        }
        let mut trial = f.trial();
        fixture::change(&mut trial, |history| {
            for stream in history.streams.iter_mut().filter(|it| it.name != "reads") {
                let sends = stream.entries.iter().filter_map(|entry| match entry {
                    Entry::Send(send) if send.partition == 0 && send.due > at(61.0) => {
                        // Clients learn of it a second late.
                        let done = send.due.plus(Duration::from_millis(5)).max(at(62.5));
                        Some(Entry::Send(Send { partition: 3, done, ..*send }))
                    }
                    _ => None,
                });
                let sends: Vec<_> = sends.collect();
                stream.entries.extend(sends);
            }
        });
        report_of(vec![trial])
    };
    let report = with(0);
    for claim in ["leader-failover", "both-failover", "two-copies-remain"] {
        let claim = report.claims.iter().find(|it| it.id == claim).unwrap();
        assert_eq!(claim.outcome, Outcome::Holds, "{}: {}", claim.id, claim.reason);
    }
    let added = row(&report, "leader", StreamKind::Main, 3);
    assert!(added.added && added.led.is_none(), "{added:?}");
    // From the first that was asked of it: there was nothing to be had before.
    assert!((0.5..1.5).contains(&added.unavailable_s), "{added:?}");
    assert!(added.note.as_ref().unwrap().contains("added within this fault's window"));
    let later = row(&report, "both", StreamKind::Main, 3);
    assert!(!later.added && later.led == Some(false), "{later:?}");
    // One that was there before, unseen, is none that was added.
    let unseen = with(5);
    assert_eq!(outcome(&unseen, "leader-failover"), Outcome::Undecided);
    assert_eq!(outcome(&unseen, "two-copies-remain"), Outcome::Undecided);
}
