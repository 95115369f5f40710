//! A member that passes over a record of a compacted topic: whether it can have been compacted by then.

use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::TestRunner;
use results::judge::verdict::Verdict;
use results::record::history::{Client, Entry, History, Poll, Send, SendOutcome};

use super::good::good_history;
use super::lawful::{checks, drained, found, remove};

fn sends(history: &History) -> impl Iterator<Item = &Send> {
    history.streams.iter().flat_map(|stream| &stream.entries).filter_map(|entry| match entry {
        Entry::Send(send) => Some(send),
        _ => None,
    })
}

/// The polls that a member makes one after the other of one partition, without the first of each assignment:
/// where each is, and the next one.
fn steps(history: &History) -> Vec<(usize, usize, Poll, Poll)> {
    let mut steps = Vec::new();
    for (s, stream) in history.streams.iter().enumerate() {
        if !matches!(stream.header.client, Client::GroupConsumer { .. }) {
            continue;
        }
        let mut last: Vec<(usize, Poll, bool)> = Vec::new();
        for (e, entry) in stream.entries.iter().enumerate() {
            match entry {
                Entry::Assigned { partition, .. } | Entry::Revoked { partition, .. } => {
                    last.retain(|(_, poll, _)| poll.partition != *partition);
                }
                Entry::Poll(poll) => {
                    let before = last.iter().position(|(_, it, _)| it.partition == poll.partition);
                    let before = before.map(|before| last.swap_remove(before));
                    if let Some((at, skipped, true)) = before {
                        steps.push((s, at, skipped, *poll));
                    }
                    last.push((e, *poll, before.is_some()));
                }
                _ => {}
            }
        }
    }
    steps
}

#[test]
fn only_what_had_a_newer_record_of_its_key_may_have_been_compacted() {
    let mut runner = TestRunner::deterministic();
    let strategy = (good_history(), any::<prop::sample::Index>());
    let (mut lawful, mut unknown) = (0, 0);
    for _ in 0..300 {
        let (mut history, pick) = strategy.new_tree(&mut runner).unwrap().current();
        let whole = history.clone();
        let records = drained(&mut history);
        let mut candidates = steps(&history);
        candidates.retain(|(.., skipped, _)| {
            let (partition, offset) = (skipped.partition, skipped.offset);
            let read = whole.streams.iter().filter(|stream| stream.name != "drain");
            let read = read.flat_map(|stream| &stream.entries).filter(|entry| {
                matches!(entry, Entry::Poll(poll) if (poll.partition, poll.offset) == (partition, offset))
            });
            let once = read.count() == 1;
            let key = records.iter().find(|it| (it.0, it.1) == (partition, offset)).map(|it| it.2);
            let newer =
                records.iter().any(|(p, o, k)| *p == partition && *o > offset && Some(*k) == key);
            let acked = sends(&whole).any(|send| {
                send.partition == partition && send.outcome == SendOutcome::Acked { offset }
            });
            once && newer && acked
        });
        if candidates.is_empty() {
            continue;
        }
        let (stream, entry, skipped, next) = candidates[pick.index(candidates.len())];
        let (partition, offset) = (skipped.partition, skipped.offset);
        history.streams[stream].entries.remove(entry);
        // It is compacted now.
        remove(&mut history, &[(partition, offset)]);
        let own = sends(&whole).find(|send| {
            send.partition == partition && send.outcome == SendOutcome::Acked { offset }
        });
        let own = own.unwrap();
        let newer = sends(&whole).any(|send| {
            let may = match send.outcome {
                SendOutcome::Acked { offset: other } => other > offset,
                SendOutcome::Failed { .. } => false,
                SendOutcome::Indeterminate { .. } => {
                    let place = |poll: &Poll| {
                        matches!(&poll.record, results::record::history::Observed::Record(id)
                            if (id.sequence, id.key, id.due) == (send.sequence, send.key, send.due))
                    };
                    let drain = whole.streams.iter().find(|stream| stream.name == "drain").unwrap();
                    let there = drain.entries.iter().find_map(|entry| match entry {
                        Entry::Poll(poll) if poll.partition == partition && place(poll) => {
                            Some(poll.offset)
                        }
                        _ => None,
                    });
                    there.is_none_or(|other| other > offset)
                }
            };
            may && send.partition == partition && send.key == own.key && send.sent <= next.at
        });
        let checks = checks(&history, "compact", &[]);
        let skip = found(&checks, "poll-skip");
        let wanted = if newer { Verdict::Valid } else { Verdict::Unknown };
        assert_eq!(skip.verdict, wanted, "{skip:?}");
        if newer {
            lawful += 1;
        } else {
            unknown += 1;
            let told = &skip.witnesses[0].what;
            assert!(told.contains("of which 1 were the newest of their keys then"), "{told}");
        }
        // Not compacted, it was lost.
        assert_eq!(found(&super::lawful::checks(&history, "delete", &[]), "lost").count, 1);
    }
    assert!(lawful > 5 && unknown > 5, "{lawful} lawful, {unknown} unknown");
}
