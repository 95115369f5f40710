//! What explains a loss, and what does not.

use super::*;
use crate::record::event::{Detection, Effect, Event, MetadataPlane, Takes};

fn at(s: f64) -> RunTime {
    RunTime((s * 1e9) as u64)
}

fn state(s: f64, leader: BrokerId, isr: &[BrokerId]) -> Event {
    let plane = MetadataPlane::default();
    let (topic, partition, leader_epoch, mtime_ms) = ("t".to_owned(), 0, 1, 0);
    let isr = isr.to_vec();
    let kind =
        EventKind::PartitionState { plane, topic, partition, leader, leader_epoch, isr, mtime_ms };
    Event { at: at(s), kind }
}

fn fault(s: f64, risk: Risk, struck: &[BrokerId]) -> Event {
    let process = |id: &BrokerId| Process { node: "n".into(), role: Role::Broker, id: *id };
    let kind = EventKind::FaultInjecting {
        fault_id: format!("at-{s}"),
        fault: "power-loss".to_owned(),
        target: "brokers".to_owned(),
        victims: struck.iter().map(process).collect(),
        effect: Effect { takes: Takes::Processes, detection: Detection::SessionExpiry, risk },
    };
    Event { at: at(s), kind }
}

fn lost(acks_all: bool) -> LostAck<'static> {
    LostAck { topic: "t", partition: 0, offset: 7, acked: at(10.0), acks_all, then: AT_ACK }
}

fn judged(events: &[Event], acks_all: bool) -> (Option<LossCause>, String) {
    let (timeline, environment) = (Timeline::new(events), Environment::default());
    let durability = Durability::new(&environment, &timeline);
    (durability.cause(lost(acks_all)), durability.describe(lost(acks_all)))
}

#[test]
fn each_cause_is_told_from_what_was_seen() {
    let whole = state(1.0, 1, &[1, 2, 3]);
    let alone = state(5.0, 1, &[1]);
    for (events, acks_all, cause, words) in [
        (vec![whole.clone()], false, Some(LossCause::Acks), "brokers 1, 2 and 3"),
        (vec![whole.clone()], true, None, "nothing that was seen explains it"),
        (vec![], true, None, "the ISR at the ack was not seen"),
        (
            vec![alone.clone(), state(20.0, -1, &[1]), state(30.0, 2, &[2])],
            true,
            Some(LossCause::UncleanElection),
            "in sync at the ack: broker 1; broker 2 was elected at 30.0 s, out of sync",
        ),
        (
            vec![alone.clone(), fault(12.0, Risk::Data, &[1])],
            true,
            Some(LossCause::LastInSyncPower),
            "what broker 1 had not flushed was lost at 12.0 s",
        ),
        (
            vec![whole.clone(), state(11.0, 1, &[1]), fault(12.0, Risk::Data, &[1])],
            true,
            Some(LossCause::LastInSyncPower),
            "in sync at the ack: brokers 1, 2 and 3; what broker 1 had not",
        ),
        (
            vec![whole.clone(), fault(12.0, Risk::Data, &[1, 2, 3])],
            true,
            Some(LossCause::EveryPower),
            "what brokers 1, 2 and 3 had not flushed was lost at 12.0 s",
        ),
        // It had the record, and lost it with its power.
        (
            vec![
                whole.clone(),
                fault(12.0, Risk::Data, &[2]),
                state(15.0, 1, &[1]),
                state(21.0, 2, &[2]),
            ],
            true,
            Some(LossCause::UncleanElection),
            "broker 2 was elected at 21.0 s, out of sync",
        ),
        // An observer is behind: the replica was out of sync at the ack.
        (
            vec![whole.clone(), state(10.2, 1, &[1]), state(21.0, 2, &[2])],
            true,
            Some(LossCause::UncleanElection),
            "broker 2 was elected at 21.0 s, out of sync",
        ),
        // One after the other, before any was back in sync.
        (
            vec![
                state(5.0, 1, &[1, 2]),
                fault(12.0, Risk::Data, &[1]),
                fault(13.0, Risk::Data, &[2]),
            ],
            true,
            Some(LossCause::EveryPower),
            "what brokers 1 and 2 had not flushed was lost at 12.0, 13.0 s",
        ),
    ] {
        let (found, told) = judged(&events, acks_all);
        assert_eq!(found, cause, "{told}");
        assert!(told.contains(words), "{told}");
    }
}

#[test]
fn what_cannot_have_taken_the_record_is_no_cause() {
    let whole = state(1.0, 1, &[1, 2, 3]);
    for events in [
        // A copy was left, or the broker lost nothing.
        vec![whole.clone(), fault(12.0, Risk::Data, &[1])],
        vec![whole.clone(), fault(12.0, Risk::Data, &[1, 2])],
        vec![state(1.0, 1, &[1]), fault(12.0, Risk::Process, &[1])],
        // Each had it again when the next was struck.
        vec![
            whole.clone(),
            fault(12.0, Risk::Data, &[1]),
            state(13.0, 2, &[2, 3]),
            state(20.0, 2, &[1, 2, 3]),
            fault(22.0, Risk::Data, &[2]),
            state(23.0, 1, &[1, 3]),
            state(30.0, 1, &[1, 2, 3]),
            fault(32.0, Risk::Data, &[3]),
        ],
        // It was in sync at the ack, and has its copy.
        vec![whole.clone(), state(15.0, 1, &[1]), state(20.0, -1, &[1]), state(21.0, 2, &[2])],
        // The return of broker 1 to the ISR was not seen apart from its election.
        vec![state(1.0, 2, &[2, 3]), state(20.0, 1, &[1, 2, 3])],
        // Before the ack.
        vec![state(1.0, 2, &[2]), state(2.0, 1, &[1])],
        // Another leader out of the ISR.
        vec![whole.clone(), state(12.0, -1, &[2, 3]), state(13.0, 2, &[2, 3])],
        // The ISR of two grew since.
        vec![state(1.0, 1, &[1]), state(11.0, 1, &[1, 2]), fault(12.0, Risk::Process, &[1])],
    ] {
        assert_eq!(judged(&events, true).0, None, "{events:?}");
    }
}

/// That all which these brokers had was flushed when they lost their power at `s`.
fn flushed(s: f64, brokers: &[BrokerId]) -> Event {
    let all = crate::record::event::NOTHING_TO_TAKE;
    let line = |id: &BrokerId| format!("broker {id} (n): known to be flushed: all; {all}");
    let kind = EventKind::FaultInjected {
        fault_id: format!("at-{s}"),
        evidence: brokers.iter().map(line).collect(),
        proven: true,
        took_s: None,
        shown_s: None,
    };
    Event { at: at(s + 0.1), kind }
}

#[test]
fn a_power_loss_that_took_nothing_of_the_record_is_no_cause() {
    let pair = state(1.0, 1, &[1, 2]);
    let struck = [1, 2].map(|broker| fault(12.0 + f64::from(broker), Risk::Data, &[broker]));
    let [first, second] = struck;
    for (events, words) in [
        // Of one of them, all was flushed.
        (vec![first.clone(), flushed(13.0, &[1]), second.clone()], "nothing that was seen"),
        (vec![first.clone(), second.clone(), flushed(14.0, &[2])], "nothing that was seen"),
        // A broker that never had it, and a loss of power after all was lost.
        (
            vec![fault(11.0, Risk::Data, &[3]), first.clone(), second.clone()],
            "1 and 2 had not flushed was lost at 13.0, 14.0 s",
        ),
        (
            vec![first.clone(), second.clone(), fault(20.0, Risk::Data, &[1])],
            "1 and 2 had not flushed was lost at 13.0, 14.0 s",
        ),
        // It had the record again.
        (
            vec![
                fault(11.0, Risk::Data, &[2]),
                state(11.5, 1, &[1]),
                state(12.5, 1, &[1, 2]),
                first.clone(),
                second.clone(),
            ],
            "1 and 2 had not flushed was lost at 13.0, 14.0 s",
        ),
    ] {
        let (cause, told) = judged(&[vec![pair.clone()], events].concat(), true);
        assert!(told.contains(words), "{told}");
        assert_eq!(cause.is_some(), words.starts_with('1'), "{told}");
    }
}

#[test]
fn a_commit_is_a_record_of_its_group_s_log() {
    // All 50 partitions of the offsets topic, of which the group has one.
    let states: Vec<Event> = (0..50)
        .map(|number| {
            let mut event = state(1.0, 1, &[1]);
            if let EventKind::PartitionState { topic, partition, .. } = &mut event.kind {
                (*topic, *partition) = (OFFSETS_TOPIC.to_owned(), number);
            }
            event
        })
        .collect();
    let environment = Environment::default();
    let cause = |events: &[Event]| {
        let timeline = Timeline::new(events);
        let durability = Durability::new(&environment, &timeline);
        durability.commit("analytics", at(10.0)).map(|commit| durability.cause(commit))
    };
    assert_eq!(cause(&[]), None);
    assert_eq!(cause(&states), Some(None));
    let power = [&states[..], &[fault(12.0, Risk::Data, &[1])]].concat();
    assert_eq!(cause(&power), Some(Some(LossCause::LastInSyncPower)));
}

#[test]
fn a_log_that_was_cut_is_told() {
    let process = Process { node: "n".into(), role: Role::Broker, id: 3 };
    let line =
        |to: i64| format!("INFO [UnifiedLog partition=t-0, dir=/d] Truncating to offset {to} (k)");
    let mark = |to| EventKind::LogMark {
        process: process.clone(),
        mark: LogMark::LogTruncated,
        wall_ms: 0,
        line: line(to),
    };
    let events = [Event { at: at(9.0), kind: mark(1) }, Event { at: at(12.0), kind: mark(8) }];
    assert!(!judged(&events, true).1.contains("cut"), "before the ack, and behind the record");
    let (_, told) = judged(&[Event { at: at(12.0), kind: mark(7) }], true);
    assert!(told.ends_with("broker 3 cut its log back to offset 7 at 12.0 s"), "{told}");
}
