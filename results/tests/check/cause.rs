//! One cause is one anomaly, and a check that has no meaning under the settings says so.

use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::TestRunner;
use results::judge::check::{self, CheckContext};
use results::judge::durability::Durability;
use results::judge::timeline::Timeline;
use results::judge::verdict::{Check, Verdict};
use results::record::clock::RunTime;
use results::record::environment::Environment;
use results::record::event::{Event, EventKind, MetadataPlane};
use results::record::history::{
    Client, Committed, Ending, Entry, History, SendOutcome, Stream, StreamHeader,
};

use super::good::cut_history;
use super::world::{Handover, TOPIC, World, eventful};
use super::{checks, named, with_verdict};

/// Whether the check has found what follows from a loss.
fn explained(check: &Check) -> bool {
    check.note.as_deref().is_some_and(|note| note.contains("explained by \"lost"))
}

/// Records are acked and read; the log is cut back to the fourth, and written anew.
fn written_over() -> History {
    let mut world = World::new(1, 1, 1);
    world.assign(0, 0, Handover::AtOnce, true);
    let write = |world: &mut World, records| {
        for _ in 0..records {
            world.send(0, 0);
            world.append(0, 0);
            world.resolve(0, 0, true);
            world.poll(0);
        }
        world.commit(0, true);
    };
    write(&mut world, 10);
    world.cut_back(0, 4);
    write(&mut world, 5);
    write(&mut world, 5);
    world.finish()
}

#[test]
fn records_that_were_written_over_are_lost_and_nothing_else_is_wrong() {
    let history = written_over();
    assert_eq!(with_verdict(&history, Verdict::Violated), ["lost"]);
    assert_eq!(named(&history, "lost").count, 6);
    for (name, number) in [
        ("offset-mismatch", 6),
        ("divergent-read", 6),
        ("order-realtime", 6),
        ("poll-regress", 1),
        ("commit-regress", 1),
    ] {
        let check = named(&history, name);
        assert_eq!((check.verdict, check.count), (Verdict::Valid, 0), "{check:?}");
        let note = format!("{number} explained by \"lost\", not counted again");
        assert_eq!(check.note, Some(note), "{name}");
        assert!(check.witnesses.is_empty());
    }
}

#[test]
fn a_read_that_no_promise_covers_is_divergent_although_the_log_was_written_over() {
    let mut history = written_over();
    for entry in history.streams.iter_mut().flat_map(|stream| &mut stream.entries) {
        if let Entry::Send(send) = entry
            && send.outcome == (SendOutcome::Acked { offset: 5 })
            && send.sequence == 5
        {
            send.outcome = SendOutcome::Indeterminate { code: -185 };
        }
    }
    assert_eq!(with_verdict(&history, Verdict::Violated), ["lost", "divergent-read"]);
    assert_eq!(named(&history, "lost").count, 5);
    assert_eq!(named(&history, "divergent-read").count, 1);
    // What was read was in all in-sync replicas: it has the cause that the lost records have.
    let state = |s: u64, leader, isr: &[i32]| {
        let (plane, topic, partition) = (MetadataPlane::default(), TOPIC.to_owned(), 0);
        let (isr, leader_epoch, mtime_ms) = (isr.to_vec(), 1, 0);
        let kind = EventKind::PartitionState {
            plane,
            topic,
            partition,
            leader,
            leader_epoch,
            isr,
            mtime_ms,
        };
        Event { at: RunTime(s * 1_000_000_000), kind }
    };
    let elections = [state(0, 1, &[1]), state(100_000, 2, &[2])];
    for (events, cause) in
        [(&elections[..1], None), (&elections[..], Some("unclean leader election"))]
    {
        let (timeline, environment) = (Timeline::new(events), Environment::default());
        let durability = Some(Durability::new(&environment, &timeline));
        let context = CheckContext { durability, ..CheckContext::default() };
        for check in check::all(&history, &context).unwrap() {
            if !["lost", "divergent-read"].contains(&check.name.as_str()) {
                continue;
            }
            let said = |cause| format!("{} lost because of this: {cause}", check.count);
            let note = check.note.unwrap_or_default();
            assert!(cause.is_none_or(|cause| note.contains(&said(cause))), "{note}");
            assert!(cause.is_some() || !note.contains("because of this"), "{note}");
            let what = &check.witnesses[0].what;
            assert!(
                what.contains("in sync at the ack: broker 1") == (check.name == "lost"),
                "{what}"
            );
            assert!(what.contains("in sync when it was read: broker 1") == (check.name != "lost"));
        }
    }
}

#[test]
fn logs_that_are_cut_back_at_random_lose_records_and_nothing_else() {
    let mut runner = TestRunner::deterministic();
    let strategy = cut_history();
    let mut seen = std::collections::BTreeMap::new();
    for _ in 0..400 {
        let history = strategy.new_tree(&mut runner).unwrap().current();
        let checks = checks(&history);
        for check in &checks {
            let lost = check.name.starts_with("lost");
            assert!(lost || check.verdict != Verdict::Violated, "{check:?} of {history:#?}");
            *seen.entry(check.name.clone()).or_insert(0) += u32::from(explained(check));
        }
        let lost = checks.iter().any(|check| check.verdict == Verdict::Violated);
        assert!(lost || !checks.iter().any(explained), "explained by nothing: {checks:?}");
    }
    for name in
        ["offset-mismatch", "divergent-read", "order-realtime", "poll-regress", "commit-regress"]
    {
        assert!(seen[name] >= 5, "too seldom: {name}; {seen:?}");
    }
}

#[test]
fn what_has_no_meaning_without_acks_of_all_is_not_applicable() {
    for (acks, without) in [
        (1, &["order-realtime"][..]),
        (0, &["lost", "lost-tail", "offset-mismatch", "order-realtime"][..]),
    ] {
        let mut history = eventful();
        for stream in &mut history.streams {
            if let Client::Producer { acks: of_producer, idempotent, .. } =
                &mut stream.header.client
            {
                (*of_producer, *idempotent) = (acks, false);
                // A record that was not acked comes without an offset.
                for entry in stream.entries.iter_mut().filter(|_| acks == 0) {
                    if let Entry::Send(send) = entry
                        && let SendOutcome::Acked { .. } = send.outcome
                    {
                        send.outcome = SendOutcome::Indeterminate { code: 0 };
                    }
                }
            }
        }
        for damaged in [false, true] {
            for check in checks(&history) {
                let applicable = !without.contains(&&*check.name);
                let note = check.note.clone().unwrap_or_default();
                assert_eq!(
                    note == format!("not applicable: acks={acks}"),
                    !applicable,
                    "{check:?}"
                );
                assert!(damaged && applicable || check.verdict == Verdict::Valid, "{check:?}");
            }
            let what = "it is cut".to_owned();
            let ending = Ending::Truncated { at_byte: 10, what, size: None };
            history.streams.iter_mut().for_each(|stream| stream.ending = ending.clone());
        }
    }
}

/// One member's stream.
fn member(consumer: u16, entries: Vec<Entry>) -> Stream {
    let client = Client::GroupConsumer { consumer, group: "analytics".to_owned() };
    Stream {
        name: format!("consumer-{consumer}"),
        header: StreamHeader { run: 77, topic: TOPIC.to_owned(), partitions: 2, client },
        entries,
        ending: Ending::Complete,
    }
}

/// Consumer, offset, when it was sent, when its answer came.
type TimedCommit = (u16, i64, u64, u64);

/// When a third member is told the committed offset.
const FOUND_AT: u64 = 100;

/// The verdict on these commits, and on what a third member found.
fn commits(commits: &[TimedCommit], committed: Committed) -> (Verdict, u64) {
    let mut history = eventful();
    history.streams.retain(|stream| !stream.name.starts_with("consumer"));
    let partition = 0;
    for consumer in 0..2 {
        let of_member = commits.iter().filter(|commit| commit.0 == consumer);
        let entries = of_member.map(|&(_, offset, asked, at)| {
            let (asked, at) = (RunTime(asked), RunTime(at));
            Entry::Commit { partition, asked, at, offset, error: None }
        });
        history.streams.push(member(consumer, entries.collect()));
    }
    let assigned = Entry::Assigned { partition, at: RunTime(FOUND_AT), committed };
    history.streams.push(member(2, vec![assigned]));
    let check = named(&history, "commit-regress");
    (check.verdict, check.count)
}

#[test]
fn a_commit_takes_effect_between_its_sending_and_its_answer() {
    use Committed::{At, Nothing, Unknown};
    let (good, bad) = ((Verdict::Valid, 0), (Verdict::Violated, 1));
    for (all, committed, verdict) in [
        // The old owner stood still: its answer is polled after the new one's commits.
        (&[(0, 5, 10, 60), (1, 9, 30, 40)][..], At(9), good),
        (&[(0, 5, 10, 60), (1, 9, 30, 40)], At(5), bad),
        // It was sent after the higher one had been accepted.
        (&[(0, 5, 50, 60), (1, 9, 30, 40)], At(9), bad),
        (&[(0, 5, 40, 60), (1, 9, 30, 40)], At(9), good),
        // Each of two pairs can be put in order, and so can all three.
        (&[(0, 5, 10, 60), (1, 9, 30, 40), (1, 12, 50, 70)], At(12), good),
        // What is found may have been asked for before the commit took effect.
        (&[(0, 5, 10, 20), (1, 9, 90, 110)], At(5), good),
        (&[(0, 5, 10, 20), (1, 9, 90, 110)], Nothing, bad),
        (&[(0, 5, 10, 20)], Nothing, bad),
        (&[(0, 5, 10, 120)], Nothing, good),
        // No answer says nothing.
        (&[(0, 5, 10, 20)], Unknown, good),
        (&[(0, 9, 10, 20), (1, 5, 110, 120)], Unknown, bad),
    ] {
        assert_eq!(commits(all, committed), verdict, "{all:?}, {committed:?}");
    }
}

#[test]
fn a_committed_offset_that_was_not_told_is_said_to_be_not_judged() {
    let mut history = eventful();
    for entry in history.streams.iter_mut().flat_map(|stream| &mut stream.entries) {
        if let Entry::Assigned { committed, .. } = entry {
            *committed = Committed::Unknown;
        }
    }
    assert_eq!(with_verdict(&history, Verdict::Violated), [""; 0]);
    let note = named(&history, "commit-regress").note.unwrap();
    assert!(note.starts_with("4 assignments not judged"), "{note}");
}

/// Whether the commits that are left can take effect from `now` on, one after another, each at its
/// time and none below the one before, and the third member find what it does at [`FOUND_AT`].
fn explains(left: &[TimedCommit], now: u64, highest: i64, found: Option<Committed>) -> bool {
    let finds = |found| match found {
        Committed::At(offset) => offset >= highest,
        Committed::Nothing => highest < 0,
        Committed::Unknown => true,
    };
    if let Some(found) = found
        && now <= FOUND_AT
        && finds(found)
        && explains(left, FOUND_AT, highest, None)
    {
        return true;
    }
    let next = |at: usize| {
        let (_, offset, asked, answered) = left[at];
        let mut others = left.to_vec();
        others.remove(at);
        let now = now.max(asked);
        offset >= highest && now <= answered && explains(&others, now, offset, found)
    };
    (left.is_empty() && found.is_none()) || (0..left.len()).any(next)
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 300,
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn commits_are_accused_exactly_when_no_order_explains_them(
        drawn in prop::collection::vec((0..2_u16, 1..5_i64, 96..104_u64, 0..6_u64), 1..5),
        found in prop_oneof![
            1 => Just(Committed::Nothing),
            1 => Just(Committed::Unknown),
            4 => (1..5_i64).prop_map(Committed::At),
        ],
    ) {
        let timed = drawn.iter().map(|&(member, offset, asked, long)| {
            (member, offset, asked, asked + long)
        });
        let all: Vec<TimedCommit> = timed.collect();
        let (verdict, _) = commits(&all, found);
        let explained = explains(&all, 0, -1, Some(found));
        prop_assert_eq!(verdict == Verdict::Valid, explained, "{:?} {:?}", all, found);
    }
}
