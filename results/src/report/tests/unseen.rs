//! What was not observed did not happen for all that is known: it refutes nothing.

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
