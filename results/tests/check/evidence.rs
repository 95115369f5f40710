//! What the settings promise decides the verdict, and missing evidence never ends *valid*.

use results::judge::check::{self, CheckContext};
use results::judge::verdict::Verdict;
use results::record::clock::RunTime;
use results::record::history::{
    Client, Ending, Entry, History, LoadRole, ProducerEpoch, Stream, StreamHeader,
};

use super::mutate::MUTATORS;
use super::world::{TOPIC, eventful};
use super::{checks, named, with_verdict};

fn mutant(what: &str) -> History {
    let (_, _, mutate) = MUTATORS.iter().find(|(_, text, _)| *text == what).unwrap();
    let mut history = eventful();
    assert!(mutate(&mut history, 17));
    history
}

fn set_producers(history: &mut History, new_acks: i16, new_idempotent: bool) {
    for stream in &mut history.streams {
        if let Client::Producer { acks, idempotent, .. } = &mut stream.header.client {
            (*acks, *idempotent) = (new_acks, new_idempotent);
        }
    }
}

fn streams<'a>(history: &'a mut History, prefix: &'a str) -> impl Iterator<Item = &'a mut Stream> {
    history.streams.iter_mut().filter(move |stream| stream.name.starts_with(prefix))
}

/// Size of a stream's file that is cut.
const CUT: u64 = 12;

fn truncate(history: &mut History, prefix: &str) {
    for stream in streams(history, prefix) {
        let what = format!("history/{}.kbh ends in the middle of a block", stream.name);
        stream.ending = Ending::Truncated { at_byte: 10, what, size: Some(CUT) };
    }
}

#[test]
fn without_acks_all_a_loss_is_counted_and_shown_but_not_judged() {
    for (name, what) in [
        ("lost", "drop an acked record from the log"),
        ("lost-tail", "truncate the log"),
        ("offset-mismatch", "swap two producers' records in the log"),
    ] {
        let mut history = mutant(what);
        set_producers(&mut history, 1, false);
        let check = named(&history, name);
        assert_eq!(check.verdict, Verdict::Valid, "{check:?}");
        assert!(check.count > 0 && !check.witnesses.is_empty(), "{check:?}");
        assert!(check.note.unwrap().contains("not judged"));
    }
}

#[test]
fn without_idempotence_duplicates_and_disorder_are_counted_but_not_judged() {
    for (name, what) in [
        ("duplicate", "append a record again"),
        ("order-producer", "swap two records of one producer, acks included"),
    ] {
        let mut history = mutant(what);
        set_producers(&mut history, -1, false);
        let check = named(&history, name);
        assert_eq!((check.verdict, check.count), (Verdict::Valid, 1), "{check:?}");
        assert!(check.note.unwrap().contains("not judged"));
    }
}

#[test]
fn a_probes_acks_are_not_judged() {
    let mut history = mutant("drop an acked record from the log");
    for stream in &mut history.streams {
        if let Client::Producer { role, .. } = &mut stream.header.client {
            *role = LoadRole::Probe;
        }
    }
    assert!(with_verdict(&history, Verdict::Violated).is_empty());
    let check = named(&history, "lost");
    assert_eq!((check.verdict, check.count), (Verdict::Unknown, 0), "{check:?}");

    // Beside a main load, a probe on a topic of its own changes nothing at all.
    let mut both = eventful();
    for stream in history.streams {
        let mut probe = Stream { name: format!("probe-{}", stream.name), ..stream };
        probe.header.topic = "probe".to_owned();
        both.streams.push(probe);
    }
    assert_eq!(checks(&both), checks(&eventful()));
}

#[test]
fn a_drain_that_did_not_end_is_unseen_and_leaves_losses_unknown() {
    let mut history = eventful();
    for drain in streams(&mut history, "drain") {
        drain.entries.retain(
            |entry| !matches!(entry, Entry::Poll(poll) if poll.partition == 1 && poll.offset >= 50),
        );
        for entry in &mut drain.entries {
            if let Entry::Drained { partition: 1, reached, .. } = entry {
                *reached = 50;
            }
        }
    }
    assert!(with_verdict(&history, Verdict::Violated).is_empty());
    let check = named(&history, "unseen");
    assert_eq!((check.verdict, check.count), (Verdict::Unknown, 1));
    assert_eq!(
        check.witnesses[0].what,
        "the drain of user-events partition 1 ended at offset 50 of 118"
    );
    assert_eq!(named(&history, "lost").verdict, Verdict::Unknown);
    assert_eq!(named(&history, "poll-skip").verdict, Verdict::Valid);
}

#[test]
fn a_partition_without_drain_is_unseen() {
    let mut history = eventful();
    for drain in streams(&mut history, "drain") {
        drain.entries.retain(|entry| !matches!(entry, Entry::Drained { partition: 0, .. }));
    }
    let check = named(&history, "unseen");
    assert_eq!((check.verdict, check.count), (Verdict::Unknown, 1));
}

#[test]
fn without_any_drain_nothing_about_the_log_is_valid() {
    let mut history = eventful();
    history.streams.retain(|stream| stream.name != "drain");
    let unknown = with_verdict(&history, Verdict::Unknown);
    let of_the_log = [
        "lost",
        "lost-tail",
        "offset-mismatch",
        "divergent-read",
        "duplicate",
        "phantom",
        "failed-visible",
        "order-producer",
        "order-realtime",
        "corrupt",
        "unseen",
    ];
    assert_eq!(unknown, of_the_log);
    let context = CheckContext::default();
    let note = check::all(&history, &context).unwrap()[0].note.clone().unwrap();
    assert!(note.contains("the run ended before user-events partition 0 was drained"), "{note}");
}

#[test]
fn an_ack_that_came_after_the_drain_began_is_unseen_and_not_lost() {
    let mut history = mutant("truncate the log");
    for producer in streams(&mut history, "producer") {
        for entry in &mut producer.entries {
            if let Entry::Send(send) = entry {
                send.done.0 += 1_000_000_000;
            }
        }
    }
    assert_eq!(with_verdict(&history, Verdict::Violated), [""; 0]);
    let check = named(&history, "unseen");
    assert_eq!(check.verdict, Verdict::Unknown);
    assert!(check.witnesses[0].what.contains("was acked after the drain"), "{check:?}");
}

#[test]
fn a_truncated_stream_is_unseen_and_casts_doubt_where_it_matters() {
    for (prefix, doubted, sure) in [
        ("producer-1", "lost", "poll-skip"),
        ("consumer-1", "commit-skip", "lost"),
        ("drain", "duplicate", "commit-regress"),
    ] {
        let mut history = eventful();
        truncate(&mut history, prefix);
        assert!(with_verdict(&history, Verdict::Violated).is_empty(), "{prefix}");
        for name in ["unseen", doubted] {
            let check = named(&history, name);
            assert_eq!(check.verdict, Verdict::Unknown, "{prefix}: {check:?}");
            assert!(check.note.unwrap().contains("in the middle of a block"));
        }
        assert_eq!(named(&history, sure).verdict, Verdict::Valid, "{prefix}");
    }
}

#[test]
fn a_record_whose_send_may_have_been_cut_off_is_no_phantom_for_certain() {
    let mut history = eventful();
    for producer in streams(&mut history, "producer-0") {
        producer.entries.truncate(30);
    }
    assert_eq!(named(&history, "phantom").verdict, Verdict::Violated);
    truncate(&mut history, "producer-0");
    let check = named(&history, "phantom");
    assert_eq!(check.verdict, Verdict::Unknown);
    assert!(check.count > 0);
}

#[test]
fn without_a_group_there_is_nothing_to_check_and_that_is_said() {
    let mut history = eventful();
    history.streams.retain(|stream| !stream.name.starts_with("consumer"));
    for name in ["poll-skip", "commit-regress", "commit-skip"] {
        let check = named(&history, name);
        assert_eq!((check.verdict, check.examined), (Verdict::Valid, 0), "{check:?}");
        assert_eq!(check.note.unwrap(), "no consumer group");
    }
}

#[test]
fn a_group_that_never_commits_leaves_commits_unknown() {
    let mut history = eventful();
    for consumer in streams(&mut history, "consumer") {
        consumer.entries.retain(|entry| !matches!(entry, Entry::Commit { .. }));
    }
    for name in ["commit-regress", "commit-skip"] {
        let check = named(&history, name);
        assert_eq!(check.verdict, Verdict::Unknown, "{check:?}");
        assert!(check.note.unwrap().contains("no commit of the group was accepted"));
    }
}

#[test]
fn an_empty_history_is_unknown_in_everything() {
    assert_eq!(with_verdict(&History::default(), Verdict::Unknown).len(), 17);
}

#[test]
fn what_a_killed_producer_had_under_way_may_be_there_and_what_it_was_acked_must_be() {
    let mut history = eventful();
    let killed = streams(&mut history, "producer").next().unwrap();
    let name = killed.name.clone();
    // The last that it knew of; what came after is in the log without a send.
    let forgotten = killed.entries.split_off(killed.entries.len() / 2);
    assert!(forgotten.iter().any(|entry| matches!(entry, Entry::Send(_))));
    assert_eq!(named(&history, "phantom").verdict, Verdict::Violated, "nobody was killed");
    truncate(&mut history, &name);
    assert_eq!(named(&history, "phantom").verdict, Verdict::Unknown, "its history is cut");
    history.killed([(name.as_str(), CUT + 1)]);
    assert_eq!(named(&history, "phantom").verdict, Verdict::Unknown, "more was there at the kill");
    history.killed([(name.as_str(), CUT)]);
    for check in checks(&history) {
        assert_eq!(check.verdict, Verdict::Valid, "{check:?}");
    }
    let mut lost = mutant("drop an acked record from the log");
    truncate(&mut lost, "");
    lost.streams.iter_mut().for_each(|stream| stream.ending = Ending::Killed);
    assert_eq!(named(&lost, "lost").verdict, Verdict::Violated);
}

/// The log's batches, as if one epoch had written those before `again` and another what follows.
fn batches(again: i64, [before, after]: [ProducerEpoch; 2], partitions: u32) -> Stream {
    let at = RunTime(1);
    let header =
        StreamHeader { run: 77, topic: TOPIC.to_owned(), partitions, client: Client::BatchHeaders };
    let of =
        |partition| {
            [(0, again, before), (again, i64::MAX, after)]
                .map(|(first, end, epoch)| Entry::Batches { partition, first, end, epoch, at })
        };
    Stream {
        name: "batches".to_owned(),
        header,
        entries: (0..partitions as i32).flat_map(of).collect(),
        ending: Ending::Complete,
    }
}

#[test]
fn a_plan_may_allow_duplicates_in_a_new_epoch_and_no_others() {
    let twice = mutant("append a record again");
    let again = named(&twice, "duplicate").witnesses[0].offset.unwrap();
    let judged = |epochs: Option<[(i64, i16); 2]>, allowed: &[&str]| {
        let mut history = twice.clone();
        let partitions = history.streams[0].header.partitions;
        history.streams.extend(epochs.map(|epochs| {
            batches(again, epochs.map(|(id, epoch)| ProducerEpoch { id, epoch }), partitions)
        }));
        let context = CheckContext {
            allowed: allowed.iter().map(|name| (*name).to_owned()).collect(),
            ..CheckContext::default()
        };
        let checks = check::all(&history, &context).unwrap();
        let check = checks.into_iter().find(|check| check.name == "duplicate").unwrap();
        (check.verdict, check.witnesses[0].what.clone(), check.note.unwrap_or_default())
    };
    let [same, epoch, id] = [[(7, 0), (7, 0)], [(7, 0), (7, 1)], [(7, 0), (8, 0)]];
    for (epochs, words) in [
        (None, "in a producer epoch that is not known"),
        (Some(same), "in the same producer epoch"),
        (Some(epoch), "in a new producer epoch"),
        (Some(id), "in a new producer epoch"),
    ] {
        let (verdict, what, _) = judged(epochs, &["duplicate"]);
        assert_eq!(verdict, Verdict::Violated);
        assert!(what.ends_with(words), "{what}");
        let (verdict, _, note) = judged(epochs, &[check::NEW_EPOCH]);
        let excused = words.contains("new");
        assert_eq!(verdict, if excused { Verdict::Valid } else { Verdict::Violated }, "{words}");
        assert_eq!(note.contains("the plan allows it"), excused, "{note}");
    }
}

#[test]
fn a_killed_client_excuses_no_damage() {
    let mut history = eventful();
    truncate(&mut history, "producer");
    for stream in streams(&mut history, "producer") {
        if let Ending::Truncated { size, .. } = &mut stream.ending {
            *size = None;
        }
    }
    let names: Vec<String> = history.streams.iter().map(|stream| stream.name.clone()).collect();
    history.killed(names.iter().map(|name| (name.as_str(), CUT)));
    assert_eq!(named(&history, "lost").verdict, Verdict::Unknown);
}
