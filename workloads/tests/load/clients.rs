//! Clients that are replaced, killed and started again, several of a kind, more and other load.

use std::num::NonZeroU64;
use std::process::{Command, Stdio};

use results::record::history::{Client, Committed, Ending, Entry, History, LoadRole};
use workloads::{ClientKind, Load, LoadError, WorkloadSpec};

use crate::lab::{
    LIMIT, Lab, TOPIC, await_that, check_all, check_sequences_of, producer_only, run_for, sends,
    spec,
};

#[test]
fn a_replaced_member_goes_on_from_the_committed_offset() {
    let lab = Lab::new();
    let (mut load, _seconds) = lab.start(&spec(&[("members = 3", "members = 1")]));
    load.wait_warm(LIMIT).unwrap();
    run_for(1200);
    assert_eq!(load.restart_consumer(), Some(1));
    let live = load.live();
    await_that(&load, &|_| (0..3).all(|p| live.owner(p) == Some(1)));
    let acked: Vec<_> = (0..3).map(|p| live.acked_offset(p)).collect();
    await_that(&load, &|_| (0..).zip(&acked).all(|(p, acked)| live.consumed_offset(p) >= *acked));
    load.stop(LIMIT).unwrap();
    let history = lab.history();
    let (old, new) = (&history["consumer-0"], &history["consumer-1"]);
    assert_eq!(old.ending, Ending::Complete);
    for partition in 0..3 {
        let accepted = |entry: &Entry| match entry {
            Entry::Commit { partition: p, asked, at, offset, error: None } if *p == partition => {
                assert!(asked.0 > 0 && asked < at, "sent before it was answered");
                Some(*offset)
            }
            _ => None,
        };
        let last_commit = old.entries.iter().filter_map(accepted).max();
        assert!(last_commit.is_some(), "partition {partition} was committed");
        let assigned = new.entries.iter().find_map(|entry| match entry {
            Entry::Assigned { partition: p, committed, .. } if *p == partition => Some(*committed),
            _ => None,
        });
        assert_eq!(assigned, last_commit.map(Committed::At));
        let first_poll = new.entries.iter().find_map(|entry| match entry {
            Entry::Poll(poll) if poll.partition == partition => Some(poll.offset),
            _ => None,
        });
        assert_eq!(first_poll, last_commit, "it resumes there");
    }
    let revoked = |e: &&Entry| matches!(e, Entry::Revoked { .. });
    assert_eq!(old.entries.iter().filter(revoked).count(), 3);
}

#[test]
fn clients_that_are_killed_leave_what_they_saw_and_are_started_again() {
    let mut lab = Lab::new();
    lab.worker = Some(worker);
    let (mut load, _seconds) = lab.start(&spec(&[]));
    load.wait_warm(LIMIT).unwrap();
    load.end_warm_up();
    let works = |load: &Load| load.killable(ClientKind::Producer).is_ok();
    await_that(&load, &works);
    run_for(1500);
    let read_by_worker = |load: &Load| (0..3).any(|p| load.live().owner(p) == Some(0));
    // Member 0 has a process of its own.
    await_that(&load, &read_by_worker);
    let names = ["killable-producer-0", "consumer-0"];
    let kinds = [ClientKind::Producer, ClientKind::Member];
    assert_eq!(kinds.map(|kind| load.killable(kind).unwrap()), names);
    let [producer, consumer] = names.map(|name| load.kill(name).unwrap());
    assert_eq!([&*producer.client, &*consumer.client], names);
    assert!(producer.how.contains("signal: 9") && consumer.how.contains("signal: 9"));
    assert!(!works(&load));
    assert!(matches!(load.kill(names[1]), Err(LoadError::NoProcess { .. })));
    let absent: Vec<_> = load.clients().into_iter().filter(|client| !client.runs).collect();
    assert_eq!(absent.iter().map(|client| client.kind).collect::<Vec<_>>(), kinds);
    assert_eq!(load.live().failure(), None, "it was asked for");
    load.restore().unwrap();
    await_that(&load, &|load| works(load) && !read_by_worker(load));
    run_for(500);
    load.stop(LIMIT).unwrap();
    assert!(lab.drain(3, LIMIT).complete);

    let streams = lab.history();
    let cut =
        |name: &&str| matches!(streams[*name].ending, Ending::Truncated { size: Some(_), .. });
    assert!(names.iter().all(cut) && !cut(&"killable-producer-1") && !cut(&"consumer-3"));
    let measured = |name: &str| sends(&streams[name]).iter().filter(|send| !send.warm_up).count();
    assert!(measured(names[0]) > 100, "it had outcomes before it was killed");
    assert!(
        measured("killable-producer-1") > 10,
        "the one after it knows that the warm-up is over"
    );
    let mut history = History::load(lab.dir.path()).unwrap();
    history.killed([&producer, &consumer].map(|one| (&*one.client, one.history_bytes)));
    check_all(&history);
}

pub(crate) fn worker() -> Command {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--ignored", "--exact", "worker"]).stderr(Stdio::inherit());
    command
}

/// One more client of each kind.
fn with_named(spec: WorkloadSpec) -> WorkloadSpec {
    let named = r#"
[producers.bulk]
rate = { per_second = 100 }
record_bytes = 100
keys = 90
acks = "all"
idempotence = true
compression = "lz4"

[groups.audit]
members = 1
commit_interval = "500ms"

[readers.oldest]
interval = "50ms"
"#;
    let text = toml::to_string(&spec).unwrap() + named;
    WorkloadSpec::parse(&text).unwrap()
}

#[test]
fn several_clients_of_a_kind_share_a_topic_and_grow_with_it() {
    let mut lab = Lab::with_partitions(4);
    lab.worker = Some(worker);
    let (mut load, _seconds) = lab.start(&with_named(spec(&[("members = 3", "members = 2")])));
    load.wait_warm(LIMIT).unwrap();
    load.end_warm_up();
    await_that(&load, &|load| load.clients().iter().all(|client| client.at_work));
    run_for(300);
    let error = load.grow(TOPIC, 200).unwrap_err();
    assert!(error.to_string().contains("keys = 100 leaves partition"), "{error}");
    assert_eq!(load.live().partitions(), 3, "nothing has changed");
    load.grow(TOPIC, 4).unwrap();
    let live = load.live();
    await_that(&load, &|_| live.last_acked_due(3).is_some() && live.consumed_offset(3).is_some());
    run_for(1500);
    let summary = load.stop(LIMIT).unwrap();
    assert_eq!(summary.acked, summary.sent);
    assert_eq!(live.lag(), 0, "both groups have read everything before they leave");
    assert!(lab.drain(4, LIMIT).complete);

    let history = lab.history();
    for producer in ["producer-0", "bulk-producer-0", "killable-producer-0"] {
        let sends = sends(&history[producer]);
        check_sequences_of(&sends);
        let new: Vec<_> = sends.iter().filter(|send| send.partition == 3).collect();
        assert!(new.len() > 10, "{producer} feeds the new partition: {}", new.len());
        assert_eq!(new.iter().map(|send| send.sequence).min(), Some(0));
        let Client::Producer { role, .. } = history[producer].header.client else { panic!() };
        let main = producer == "producer-0";
        assert_eq!(role, if main { LoadRole::Main } else { LoadRole::Extra });
    }
    let number = |name: &str| match history[name].header.client {
        Client::Producer { producer, .. } => producer,
        _ => panic!("{name}"),
    };
    let producers = ["producer-0", "probe-producer-0", "killable-producer-0", "bulk-producer-0"];
    assert_eq!(producers.map(number), [0, 1, 2, 3], "each record says who sent it");
    let reads = |e: &&Entry| matches!(e, Entry::Read { partition: 3, .. });
    assert!(history["oldest-reader"].entries.iter().any(|entry| reads(&entry)));
    assert!(!history["read-probe"].entries.iter().any(|entry| reads(&entry)), "another topic");
    let groups = |group: &str| {
        let of = |client: &Client| matches!(client, Client::GroupConsumer { group: g, .. } if g == group);
        history.values().filter(|stream| of(&stream.header.client)).count()
    };
    assert_eq!((groups("analytics"), groups("audit")), (2, 1));
    check_all(&History::load(lab.dir.path()).unwrap());
}

#[test]
fn a_rate_that_changes_leaves_neither_burst_nor_gap() {
    let lab = Lab::new();
    let (mut load, _seconds) = lab.start(&producer_only(&[]));
    load.wait_warm(LIMIT).unwrap();
    load.end_warm_up();
    run_for(700);
    let mut changes = vec![];
    for rate in [1000, 50] {
        changes.push((lab.clock.now(), rate));
        load.set_rate("main", NonZeroU64::new(rate).unwrap()).unwrap();
        run_for(700);
    }
    let rate = NonZeroU64::new(1).unwrap();
    assert!(matches!(load.set_rate("bulk", rate), Err(LoadError::NoProducer { .. })));
    let summary = load.stop(LIMIT).unwrap();
    assert_eq!(summary.acked, summary.sent);
    let mut due: Vec<_> = sends(&lab.history()["producer-0"])
        .iter()
        .filter(|send| !send.warm_up)
        .map(|send| send.due.0)
        .collect();
    due.sort_unstable();
    let apart_us: Vec<_> = due.windows(2).map(|pair| (pair[1] - pair[0] + 500) / 1000).collect();
    // One rate after the other, each exact; at a change one interval has a part of both.
    let mut rates = apart_us.chunk_by(|a, b| a == b).map(|same| (same[0], same.len()));
    let long: Vec<_> = rates.clone().filter(|(_, count)| *count > 1).map(|(us, _)| us).collect();
    assert_eq!(long, [5000, 1000, 20_000]);
    let mixed: Vec<_> = rates.by_ref().filter(|(_, count)| *count == 1).map(|(us, _)| us).collect();
    assert!(mixed.len() <= 2, "{mixed:?}");
    for (us, (low, high)) in mixed.iter().zip([(1000, 5000), (1000, 20_000)]) {
        assert!((low..=high).contains(us), "{us} us between two sends at a change");
    }
    for ((at, _), (before, after)) in changes.iter().zip([(5000, 1000), (1000, 20_000)]) {
        let next = due.iter().position(|due| *due > at.0 + 50_000_000).unwrap();
        assert_eq!(apart_us[next], after, "{before} us apart until the change, and no longer");
    }
}
