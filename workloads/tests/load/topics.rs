//! A load on several topics.

use std::num::NonZeroU64;

use results::record::history::{Ending, Entry, History, Observed, Send, Stream};
use workloads::{ClientKind, FurtherTopic, Load, LoadContext, LoadError, WorkloadSpec};

use crate::clients::worker;
use crate::lab::{LIMIT, Lab, await_that, check_all, run_for, sends, spec};

/// The topics beside the first, and their partitions.
const FURTHER: [(&str, u32); 2] = [("audit", 1), ("clicks", 12)];

/// The smoke load, and producers, groups and readers of the other topics.
fn on_three() -> WorkloadSpec {
    let mut spec = spec(&[("[consumers]", "[consumers]\ntopics = \"all\"")]);
    let producer = "topics = \"others\"\nrate = { per_second = 400 }\nrecord_bytes = 100\nkeys = 240\n\
                    acks = \"all\"\nidempotence = true\ncompression = \"none\"\n";
    spec.producers.insert("rest".into(), toml::from_str(producer).unwrap());
    let group = "topics = [\"clicks\"]\nmembers = 2\ncommit_interval = \"500ms\"\n\
                 settings = { \"session.timeout.ms\" = \"2000\", \"heartbeat.interval.ms\" = \"200\" }";
    spec.groups.insert("clicking".into(), toml::from_str(group).unwrap());
    let reader = "topics = [\"audit\"]\ninterval = \"50ms\"";
    spec.readers.insert("oldest".into(), toml::from_str(reader).unwrap());
    spec
}

/// A cluster with those topics, named as those of a run that shares it.
fn lab() -> (Lab, Vec<FurtherTopic>) {
    let lab = Lab::new();
    let further = FURTHER.map(|(name, partitions)| {
        let name = format!("{name}-events");
        lab.cluster().create_topic(&name, partitions as i32, 3).unwrap();
        FurtherTopic { name, partitions }
    });
    (lab, further.to_vec())
}

fn context(lab: &Lab, further: &[FurtherTopic]) -> LoadContext {
    LoadContext { further: further.to_vec(), suffix: "-events".into(), ..lab.context() }
}

fn drained(lab: &Lab) -> [u64; 3] {
    let all = [(("user-events", "drain"), 3), (("audit-events", "drain.2"), 1)];
    let all = all.into_iter().chain([(("clicks-events", "drain.3"), 12)]);
    let records = all.map(|(topic, partitions)| {
        let drained = lab.drain_topic(topic, partitions, LIMIT);
        assert!(drained.complete, "{topic:?}");
        drained.records
    });
    records.collect::<Vec<_>>().try_into().unwrap()
}

fn polls(stream: &Stream) -> usize {
    let polls = |entry: &&Entry| matches!(entry, Entry::Poll(_));
    stream.entries.iter().filter(polls).count()
}

#[test]
fn several_topics_are_written_read_drained_and_checked() {
    let (lab, further) = lab();
    let mut load = Load::start(&on_three(), context(&lab, &further)).unwrap();
    load.start_group().unwrap();
    load.wait_warm(LIMIT).unwrap();
    load.end_warm_up();
    run_for(2500);
    let (since, lives) = (lab.clock.now(), load.lives());
    await_that(&load, &|load| load.served_since(since));
    load.stop(LIMIT).unwrap();
    assert_eq!(lives.lag(), 0, "the groups read what was acked on all topics before they leave");

    let records = drained(&lab);
    let history = lab.history();
    for (name, stream) in &history {
        assert_eq!(stream.ending, Ending::Complete, "{name}");
    }
    for (name, topic, partitions, records) in [
        ("rest.2-producer-0", "audit-events", 1, records[1]),
        ("rest.3-producer-0", "clicks-events", 12, records[2]),
    ] {
        let (stream, header) = (&history[name], &history[name].header);
        assert_eq!((header.topic.as_str(), header.partitions), (topic, partitions));
        let sends: Vec<Send> = sends(stream);
        assert_eq!(sends.len() as u64, records, "{name}: nobody else writes there");
        for partition in 0..partitions as i32 {
            assert!(sends.iter().any(|send| send.partition == partition), "{name}: {partition}");
        }
        let scheduled: Vec<_> = sends.iter().filter(|send| !send.warm_up).collect();
        let span = scheduled.last().unwrap().due.secs_since(scheduled[0].due);
        let rate = scheduled.len() as f64 / span;
        assert!((150.0..260.0).contains(&rate), "{name}: half of 400 a second: {rate}");
    }
    let of_main =
        |member: usize, topic: &str| history[&format!("consumer-{member}{topic}")].clone();
    for (topic, name, records) in [
        ("", "user-events", records[0]),
        (".2", "audit-events", records[1]),
        (".3", "clicks-events", records[2]),
    ] {
        let read: Vec<Stream> = (0..3).map(|member| of_main(member, topic)).collect();
        assert!(read.iter().all(|stream| stream.header.topic == name));
        let read: usize = read.iter().map(polls).sum();
        assert!(read as u64 >= records, "{name}: {read} of {records} records");
    }
    let clicking = |member: usize| polls(&history[&format!("consumer-{member}")]);
    assert!(
        clicking(3) > 0 && clicking(4) > 0,
        "the group of one other topic has a stream a member"
    );
    assert!(!history.contains_key("consumer-3.3"));
    let oldest = &history["oldest.2-reader"];
    assert_eq!(oldest.header.topic, "audit-events");
    let answered = |entry: &Entry| matches!(entry, Entry::Read { answered: true, .. });
    assert!(oldest.entries.iter().any(answered));

    let mut history = History::load(lab.dir.path()).unwrap();
    check_all(&history);
    // An acked record that is gone is found wherever it was written.
    let drain = history.streams.iter_mut().find(|stream| stream.name == "drain.3").unwrap();
    let last = drain.entries.iter().rposition(|entry| match entry {
        Entry::Poll(poll) => matches!(poll.record, Observed::Record(id) if id.partition == 7),
        _ => false,
    });
    drain.entries.remove(last.unwrap());
    let judged = results::judge::check::all(&history, &Default::default()).unwrap();
    let lost = judged.iter().find(|check| check.name == "lost").unwrap();
    assert_eq!(lost.count, 1);
    assert_eq!(
        (lost.witnesses[0].topic.as_str(), lost.witnesses[0].partition),
        ("clicks-events", 7)
    );
}

#[test]
fn a_member_that_is_killed_leaves_a_stream_of_each_topic() {
    let (mut lab, further) = lab();
    lab.worker = Some(worker);
    let mut load = Load::start(&on_three(), context(&lab, &further)).unwrap();
    load.start_group().unwrap();
    load.wait_warm(LIMIT).unwrap();
    await_that(&load, &|load| load.killable(ClientKind::Member).is_ok());
    run_for(1000);
    let killed = load.kill("consumer-0").unwrap();
    let names: Vec<&str> = killed.further.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, ["consumer-0.2", "consumer-0.3"]);
    load.restore().unwrap();
    load.wait_warm(LIMIT).unwrap();
    load.stop(LIMIT).unwrap();
    drained(&lab);
    let mut history = History::load(lab.dir.path()).unwrap();
    let first = (killed.client.as_str(), killed.history_bytes);
    let others = killed.further.iter().map(|(name, bytes)| (name.as_str(), *bytes));
    history.killed(others.chain([first]));
    check_all(&history);
}

#[test]
fn the_rate_of_a_table_is_that_of_its_producers_together() {
    let (lab, further) = lab();
    let spec = WorkloadSpec { consumers: None, probe: None, direct: None, ..on_three() };
    let spec = WorkloadSpec { groups: [].into(), readers: [].into(), ..spec };
    let mut load = Load::start(&spec, context(&lab, &further)).unwrap();
    load.wait_warm(LIMIT).unwrap();
    let changed = lab.clock.now();
    load.set_rate("rest", NonZeroU64::new(1000).unwrap()).unwrap();
    let none = load.set_rate("res", NonZeroU64::MIN);
    assert!(matches!(none, Err(LoadError::NoProducer { .. })));
    run_for(2000);
    let until = lab.clock.now();
    load.stop(LIMIT).unwrap();
    let seconds = until.secs_since(changed);
    for name in ["rest.2-producer-0", "rest.3-producer-0"] {
        let sends = sends(&lab.history()[name]);
        let since = sends.iter().filter(|send| changed < send.due && send.due <= until).count();
        let rate = since as f64 / seconds;
        assert!((400.0..=510.0).contains(&rate), "{name}: {rate}");
    }
}

#[test]
fn a_topic_beside_the_first_grows_under_its_load() {
    let (lab, mut further) = lab();
    further[1].partitions = 11;
    let mut load = Load::start(&on_three(), context(&lab, &further)).unwrap();
    load.start_group().unwrap();
    load.wait_warm(LIMIT).unwrap();
    let error = load.grow("clicks-events", 400).unwrap_err().to_string();
    assert!(error.contains("keys = 240 leaves partition"), "{error}");
    load.grow("nobody's", 400).unwrap();
    load.grow("clicks-events", 12).unwrap();
    let since = lab.clock.now();
    load.wait_warm(LIMIT).unwrap();
    await_that(&load, &|load| load.served_since(since));
    run_for(500);
    load.stop(LIMIT).unwrap();
    drained(&lab);
    let sends = sends(&lab.history()["rest.3-producer-0"]);
    let new = sends.iter().filter(|send| send.partition == 11).count();
    assert!(new > 3, "{new} records went to the new partition");
    check_all(&History::load(lab.dir.path()).unwrap());
}

#[test]
fn a_topic_that_is_not_there_is_refused() {
    let (lab, mut further) = lab();
    further.pop();
    let why = Load::start(&on_three(), context(&lab, &further)).map(drop).unwrap_err().to_string();
    assert!(why.contains("groups.clicking.topics") && why.contains("no topic `clicks`"), "{why}");
}
