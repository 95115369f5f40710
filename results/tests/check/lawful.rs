//! What a policy took is not lost, and nothing else is excused by it.

use std::collections::BTreeMap;

use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::TestRunner;
use results::judge::check::{self, CheckContext};
use results::judge::policy::Policies;
use results::judge::timeline::Timeline;
use results::judge::verdict::{Check, Verdict};
use results::record::clock::RunTime;
use results::record::environment::Environment;
use results::record::event::{Event, EventKind, LogMark, Process, Role};
use results::record::history::{Committed, Entry, History, Observed, Poll, SendOutcome};

use super::good::good_history;
use super::mutate::append;
use super::world::{TOPIC, eventful};

/// All checks of a history under a policy; they find the same when they look at every record.
pub(crate) fn checks(history: &History, cleanup: &str, events: &[Event]) -> Vec<Check> {
    let mut environment = Environment::default();
    environment.settings.topic = TOPIC.to_owned();
    environment.settings.topic_config =
        BTreeMap::from([("cleanup.policy".to_owned(), cleanup.to_owned())]);
    let policies = Policies::of(&environment, &Timeline::new(events));
    let context = CheckContext { policies, ..CheckContext::default() };
    let checks = check::all(history, &context).unwrap();
    assert_eq!(checks, check::in_full(history, &context).unwrap());
    checks
}

pub(crate) fn found<'a>(checks: &'a [Check], name: &str) -> &'a Check {
    checks.iter().find(|check| check.name == name).unwrap()
}

fn not_valid(checks: &[Check]) -> Vec<(&str, Verdict)> {
    let bad = checks.iter().filter(|check| check.verdict != Verdict::Valid);
    bad.map(|check| (&*check.name, check.verdict)).collect()
}

fn drain(history: &mut History) -> &mut Vec<Entry> {
    let mut streams = history.streams.iter_mut();
    &mut streams.find(|stream| stream.name == "drain").unwrap().entries
}

/// The records of the drain: where, and of which key.
pub(crate) fn drained(history: &mut History) -> Vec<(i32, i64, u32)> {
    let polls = drain(history).iter().filter_map(|entry| match entry {
        Entry::Poll(Poll { partition, offset, record: Observed::Record(id), .. }) => {
            Some((*partition, *offset, id.key))
        }
        _ => None,
    });
    polls.collect()
}

pub(crate) fn remove(history: &mut History, gone: &[(i32, i64)]) {
    drain(history).retain(|entry| match entry {
        Entry::Poll(poll) => !gone.contains(&(poll.partition, poll.offset)),
        _ => true,
    });
}

/// Records below `start` are deleted, and the drain says so.
fn move_start(history: &mut History, of: i32, start: i64) {
    drain(history).retain(|entry| match entry {
        Entry::Poll(poll) => poll.partition != of || poll.offset >= start,
        _ => true,
    });
    for entry in drain(history) {
        if let Entry::Drained { partition, start_offset, .. } = entry
            && *partition == of
        {
            *start_offset = start;
        }
    }
}

/// A broker's log tells that it moved the start of a log.
fn moved(at: RunTime, partition: i32, to: i64) -> Event {
    let process = Process { node: "n".into(), role: Role::Broker, id: 1 };
    let line = format!(
        "INFO [UnifiedLog partition={TOPIC}-{partition}, dir=/d] Incremented log start offset to {to} due to \
         segment deletion (kafka.log.UnifiedLog)"
    );
    let mark = LogMark::LogStartMoved;
    Event { at, kind: EventKind::LogMark { process, mark, wall_ms: 0, line } }
}

fn acked(history: &History, partition: i32) -> Vec<i64> {
    let entries = history.streams.iter().flat_map(|stream| &stream.entries);
    let acked = entries.filter_map(|entry| match entry {
        Entry::Send(send) if send.partition == partition => match send.outcome {
            SendOutcome::Acked { offset } => Some(offset),
            _ => None,
        },
        _ => None,
    });
    acked.collect()
}

#[test]
fn compaction_may_take_all_but_the_newest_record_of_a_key_and_that_one_is_lost_without_it() {
    let mut runner = TestRunner::deterministic();
    let strategy = (good_history(), prop::collection::vec(any::<bool>(), 64));
    let (mut compacted, mut lost) = (0, 0);
    for _ in 0..200 {
        let (mut history, flags) = strategy.new_tree(&mut runner).unwrap().current();
        let records = drained(&mut history);
        let newest = |(partition, offset, key): &(i32, i64, u32)| {
            !records.iter().any(|(p, o, k)| (p, k) == (partition, key) && o > offset)
        };
        let taken: Vec<_> =
            records.iter().filter(|it| !newest(it) && flags[it.1 as usize % 64]).collect();
        let taken: Vec<_> = taken.into_iter().map(|(p, o, _)| (*p, *o)).collect();
        let mut whole = history.clone();
        remove(&mut history, &taken);
        let acks: u64 =
            taken.iter().filter(|(p, o)| acked(&history, *p).contains(o)).count() as u64;
        if !acked(&history, 0).is_empty() {
            assert_eq!(
                not_valid(&checks(&history, "compact", &[])),
                not_valid(&checks(&whole, "compact", &[]))
            );
        }
        // Without the policy the same absence is a loss.
        let without = checks(&history, "delete", &[]);
        assert_eq!(found(&without, "lost").count, acks);
        compacted += acks;
        // The newest of a key is promised.
        let last: Vec<_> = records.iter().filter(|it| newest(it)).take(1).collect();
        let last: Vec<_> = last.into_iter().map(|(p, o, _)| (*p, *o)).collect();
        remove(&mut whole, &last);
        let acks = last.iter().filter(|(p, o)| acked(&whole, *p).contains(o)).count() as u64;
        let older = |(p, o): &(i32, i64)| {
            let key = records.iter().find(|it| (it.0, it.1) == (*p, *o)).unwrap().2;
            drained(&mut whole.clone()).iter().any(|it| it.0 == *p && it.2 == key && it.1 > *o)
        };
        assert!(!last.iter().any(older));
        assert_eq!(found(&checks(&whole, "compact", &[]), "lost").count, acks, "{last:?}");
        lost += acks;
    }
    assert!(compacted > 500 && lost > 50, "too few: {compacted}, {lost}");
}

#[test]
fn what_is_written_over_is_lost_in_a_compacted_topic_as_well() {
    let mut history = eventful();
    let at = drain(&mut history)
        .iter()
        .position(|entry| matches!(entry, Entry::Poll(p) if p.offset == 3));
    let polls = drain(&mut history);
    let Entry::Poll(other) = polls[at.unwrap() + 1] else { panic!("not a record") };
    if let Entry::Poll(poll) = &mut polls[at.unwrap()] {
        poll.record = other.record;
    }
    let checks = checks(&history, "compact", &[]);
    assert_eq!(found(&checks, "lost").verdict, Verdict::Violated);
}

#[test]
fn retention_that_a_broker_s_log_tells_of_is_no_loss_and_without_it_nothing_is_known() {
    let whole = eventful();
    let all = acked(&whole, 0);
    for start in [1, 7, 40, i64::try_from(all.len()).unwrap()] {
        let mut history = whole.clone();
        move_start(&mut history, 0, start);
        let gone = all.iter().filter(|offset| **offset < start).count();
        let told = [moved(RunTime(u64::MAX / 2), 0, start)];
        let with = checks(&history, "delete", &told);
        assert_eq!(not_valid(&with), [], "{start}");
        let lost = found(&with, "lost");
        let words = format!("{gone} acked record");
        assert!(lost.note.as_ref().is_some_and(|note| note.starts_with(&words)), "{lost:?}");
        assert_eq!(lost.examined, (all.len() - gone + acked(&history, 1).len()) as u64);
        // Another log's start, or less than is missing, is no evidence.
        for told in
            [vec![], vec![moved(RunTime(9), 1, start)], vec![moved(RunTime(9), 0, start - 1)]]
        {
            let without = checks(&history, "delete", &told);
            assert_eq!(not_valid(&without), [("lost", Verdict::Unknown)], "{told:?}");
        }
        // What is missing behind the start is lost.
        let behind = all.iter().copied().filter(|offset| *offset >= start).min();
        if let Some(behind) = behind {
            remove(&mut history, &[(0, behind)]);
            assert_eq!(found(&checks(&history, "delete", &told), "lost").count, 1);
        }
        // A start that the drain did not tell is none.
        for entry in drain(&mut history) {
            if let Entry::Drained { start_offset, .. } = entry {
                *start_offset = 0;
            }
        }
        assert_eq!(found(&checks(&history, "delete", &told), "lost").verdict, Verdict::Violated);
    }
}

#[test]
fn a_member_may_pass_over_what_was_deleted_before_and_not_what_was_deleted_later() {
    let mut history = eventful();
    move_start(&mut history, 0, 20);
    // The member passes over three records.
    let mut passed_at = None;
    for stream in history.streams.iter_mut().filter(|stream| stream.name.starts_with("consumer")) {
        stream.entries.retain(|entry| {
            let Entry::Poll(poll) = entry else { return true };
            if poll.partition == 0 && poll.offset == 13 {
                passed_at = Some(poll.at);
            }
            poll.partition != 0 || !(10..13).contains(&poll.offset)
        });
    }
    let at = passed_at.unwrap();
    for (deleted, verdict) in
        [(RunTime(at.0 - 1), Verdict::Valid), (RunTime(at.0 + 1), Verdict::Unknown)]
    {
        let checks = checks(&history, "delete", &[moved(deleted, 0, 20)]);
        assert_eq!(found(&checks, "poll-skip").verdict, verdict);
    }
}

#[test]
fn a_member_may_start_behind_what_was_deleted_before_and_not_what_was_deleted_later() {
    let mut history = eventful();
    move_start(&mut history, 0, 20);
    let mut first = None;
    for stream in history.streams.iter_mut().filter(|stream| stream.name == "consumer-0") {
        stream
            .entries
            .retain(|entry| !matches!(entry, Entry::Poll(p) if p.partition == 0 && p.offset < 13));
        for entry in &mut stream.entries {
            match entry {
                Entry::Assigned { partition: 0, committed, .. } => *committed = Committed::At(0),
                Entry::Poll(poll) if poll.partition == 0 && poll.offset == 13 => {
                    first = Some(poll.at)
                }
                _ => {}
            }
        }
        // What the member had not read it did not commit either.
        stream
            .entries
            .retain(|entry| !matches!(entry, Entry::Commit { partition: 0, offset: ..13, .. }));
    }
    let at = first.unwrap();
    for (deleted, verdict) in
        [(RunTime(at.0 - 1), Verdict::Valid), (RunTime(at.0 + 1), Verdict::Unknown)]
    {
        let checks = checks(&history, "delete", &[moved(deleted, 0, 20)]);
        let check = found(&checks, "commit-skip");
        assert_eq!(check.verdict, verdict, "{check:?}");
    }
}

#[test]
fn of_two_records_that_were_acked_at_one_offset_a_policy_took_one_at_the_most() {
    let mut history = eventful();
    let start = 20;
    move_start(&mut history, 0, start);
    let told = [moved(RunTime(9), 0, start)];
    assert_eq!(found(&checks(&history, "delete", &told), "lost").verdict, Verdict::Valid);
    // The log was cut back to 5 after record 7 was acked, and written anew.
    for entry in history.streams.iter_mut().flat_map(|stream| &mut stream.entries) {
        if let Entry::Send(send) = entry
            && send.partition == 0
            && let SendOutcome::Acked { offset } = &mut send.outcome
            && (12..15).contains(offset)
        {
            *offset -= 7;
        }
    }
    let checks = checks(&history, "delete", &told);
    let lost = found(&checks, "lost");
    assert_eq!((lost.verdict, lost.count), (Verdict::Violated, 3), "{lost:?}");
}

#[test]
fn a_policy_excuses_nothing_that_was_gone_before_it_was_in_force() {
    let mut history = eventful();
    let ended = drain(&mut history).iter().find_map(|entry| match entry {
        Entry::Drained { partition: 0, at, .. } => Some(*at),
        _ => None,
    });
    let records = drained(&mut history);
    let superseded = |it: &&(i32, i64, u32)| {
        let acks = acked(&history, 0);
        it.0 == 0
            && acks.contains(&it.1)
            && records.iter().any(|(p, o, k)| *p == 0 && *k == it.2 && *o > it.1)
    };
    let gone = records.iter().find(superseded).map(|it| (it.0, it.1)).unwrap();
    remove(&mut history, &[gone]);
    let ended = ended.unwrap();
    for (since, verdict) in [(ended.0 - 1, Verdict::Valid), (ended.0 + 1, Verdict::Violated)] {
        let (topic, name) = (TOPIC.to_owned(), "cleanup.policy".to_owned());
        let value = Some("compact".to_owned());
        let kind = EventKind::TopicSettingChanged { topic, name, value };
        let checks = checks(&history, "delete", &[Event { at: RunTime(since), kind }]);
        assert_eq!(found(&checks, "lost").verdict, verdict);
    }
    // Where the settings are not known, it may have been in force all the time.
    let policies = Policies::without_settings(&Timeline::new(&[]));
    let context = CheckContext { policies, ..CheckContext::default() };
    let checks = check::all(&history, &context).unwrap();
    assert_eq!(found(&checks, "lost").verdict, Verdict::Unknown);
}

#[test]
fn a_record_that_this_run_did_not_write_is_unknown_and_no_violation() {
    for record in [Observed::OtherRun { run: 3 }, Observed::Foreign] {
        let mut history = eventful();
        append(&mut history, 0, record);
        assert_eq!(not_valid(&checks(&history, "delete", &[])), [("phantom", Verdict::Unknown)]);
    }
}
