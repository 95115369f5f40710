//! Good histories are never accused, and no history makes a checker fail.

use std::ops::Range;

use proptest::prelude::*;
use results::judge::verdict::Verdict;
use results::record::clock::RunTime;
use results::record::history::{
    Client, Committed, Ending, Entry, History, LoadRole, Observed, Poll, RecordId, Send,
    SendOutcome, Stream, StreamHeader,
};

use super::world::{Handover, World, eventful};
use super::{checks, with_verdict};

/// A good history out of random steps.
pub(crate) fn good_history() -> impl Strategy<Value = History> {
    history(0..22, false)
}

/// A history out of random steps, some of which cut the log of a partition back. All that was in a
/// log is acked.
pub(crate) fn cut_history() -> impl Strategy<Value = History> {
    history(0..23, true)
}

fn history(kinds: Range<u8>, certain: bool) -> impl Strategy<Value = History> {
    let steps = prop::collection::vec((kinds, 0..6_usize, 0..6_usize, any::<bool>()), 0..400);
    (1..4_usize, 1..4_usize, 1..4_usize, steps).prop_map(
        move |(producers, partitions, members, steps)| {
            let mut world = World::new(producers, partitions, members);
            for (step, a, b, flag) in steps {
                let (producer, member, partition) = (a % producers, a % members, b % partitions);
                match step {
                    0..5 => world.send(producer, partition),
                    5..9 => world.append(producer, partition),
                    9 if flag => world.resolve(producer, partition, certain),
                    9..13 => world.resolve(producer, partition, true),
                    13 if flag => world.assign(partition, member, Handover::AtOnce, true),
                    13 => world.assign(partition, member, Handover::LateAnswer, true),
                    14 => world.arrive(),
                    15 => world.commit(partition, flag),
                    20 => world.assign(partition, member, Handover::Stalled, true),
                    21 if flag => world.assign(partition, member, Handover::AtOnce, false),
                    22 => world.cut_back(partition, 3 * a),
                    _ => world.poll(partition),
                }
            }
            world.finish()
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 300,
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn a_good_history_is_never_accused(history in good_history()) {
        for check in checks(&history) {
            prop_assert_eq!(check.count, 0, "{:?}", check);
            prop_assert!(check.verdict != Verdict::Violated, "{:?}", check);
            prop_assert!(check.verdict == Verdict::Valid || check.note.is_some(), "{:?}", check);
        }
    }

    #[test]
    fn no_history_makes_a_checker_fail(history in any_history()) {
        for check in checks(&history) {
            prop_assert!(!check.note.as_deref().unwrap_or_default().contains("defect"), "{check:?}");
        }
    }
}

#[test]
fn everything_is_checked_in_an_eventful_history() {
    let history = eventful();
    assert_eq!(with_verdict(&history, Verdict::Valid).len(), 17);
    // No partition was added to it.
    for check in checks(&history).iter().filter(|check| check.name != "order-key") {
        assert!(check.examined > 0 && check.note.is_none(), "{check:?}");
    }
}

/// Small numbers that collide, and the largest ones.
fn number() -> impl Strategy<Value = i64> {
    prop_oneof![6 => 0..6_i64, 1 => Just(i64::MAX), 1 => Just(i64::MIN), 1 => Just(-1)]
}

fn committed(kind: i64, offset: i64) -> Committed {
    match kind {
        1.. => Committed::At(offset),
        0 => Committed::Nothing,
        ..0 => Committed::Unknown,
    }
}

/// Entries of any kind in any stream, whether they make sense or not.
pub(crate) fn any_history() -> impl Strategy<Value = History> {
    let partition = || prop_oneof![8 => 0..2_i32, 1 => Just(-1), 1 => Just(i32::MAX)];
    let numbers = || (partition(), number(), number(), number(), 0..14_u8);
    let entry = numbers().prop_map(|(partition, a, b, c, kind)| {
        let (at, offset) = (RunTime(c as u64), a);
        let (sequence, due) = (b as u64, RunTime(b as u64));
        match kind {
            0..4 => Entry::Send(Send {
                partition,
                sequence,
                key: 0,
                warm_up: false,
                due,
                sent: RunTime(a as u64),
                done: at,
                outcome: match kind {
                    0 => SendOutcome::Failed { code: 1 },
                    1 => SendOutcome::Indeterminate { code: 1 },
                    _ => SendOutcome::Acked { offset },
                },
            }),
            4..9 => {
                let id = RecordId { producer: 0, incarnation: 0, partition, sequence, key: 0, due };
                let record = match kind {
                    4 => Observed::Corrupt,
                    5 => Observed::OtherRun { run: 1 },
                    6 => Observed::Foreign,
                    _ => Observed::Record(id),
                };
                Entry::Poll(Poll { partition, offset, at, record })
            }
            9 => Entry::Assigned { partition, at, committed: committed(b, offset) },
            10 => Entry::Revoked { partition, at },
            11 => Entry::Commit { partition, asked: RunTime(b as u64), at, offset, error: None },
            12 => Entry::Read { partition, asked: at, done: at, answered: true },
            _ => Entry::Drained { partition, start_offset: 0, end_offset: a, reached: b, at },
        }
    });
    let clients = [
        Client::Producer {
            producer: 0,
            incarnation: 0,
            acks: -1,
            idempotent: true,
            role: LoadRole::Main,
        },
        Client::GroupConsumer { consumer: 0, group: "g".to_owned() },
        Client::GroupConsumer { consumer: 1, group: "g".to_owned() },
        Client::Drain,
    ];
    prop::collection::vec(prop::collection::vec(entry, 0..40), 4).prop_map(move |streams| {
        let streams =
            clients.iter().cloned().zip(streams).enumerate().map(|(number, (client, entries))| {
                Stream {
                    name: number.to_string(),
                    header: StreamHeader { run: 1, topic: "t".to_owned(), partitions: 2, client },
                    entries,
                    ending: Ending::Complete,
                }
            });
        History { streams: streams.collect() }
    })
}
