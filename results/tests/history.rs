//! The history codec: exact round trips, damage that is recognised, errors that say what to do,
//! and the size of an hour of load.

#![allow(clippy::unwrap_used, reason = "a test that cannot write its files has failed")]

use std::fs;
use std::path::Path;

use proptest::prelude::*;
use proptest::strategy::ValueTree;
use results::record::budget::MOST_RUN_TIME;
use results::record::clock::RunTime;
use results::record::history::{
    Client, Committed, Ending, Entry, History, HistoryError, LoadRole, Observed, Poll,
    ProducerEpoch, RecordId, Send, SendOutcome, StreamHeader, StreamWriter,
};

fn header() -> StreamHeader {
    StreamHeader {
        run: 0xfeed,
        topic: "user-events".to_owned(),
        partitions: 3,
        client: Client::Producer {
            producer: 0,
            incarnation: 0,
            acks: -1,
            idempotent: true,
            role: LoadRole::Main,
        },
    }
}

/// Writes `entries`, with a flush after each of `flushes`, and ends the stream.
fn write(dir: &Path, name: &str, entries: &[Entry], flush_every: usize) {
    let mut writer = StreamWriter::create(dir, name, &header()).unwrap();
    for (n, entry) in entries.iter().enumerate() {
        writer.push(entry).unwrap();
        if (n + 1) % flush_every == 0 {
            writer.flush().unwrap();
        }
    }
    writer.finish().unwrap();
}

fn time() -> impl Strategy<Value = RunTime> {
    prop_oneof![0..=MOST_RUN_TIME, 0..u64::from(u32::MAX)].prop_map(RunTime)
}

fn outcome() -> impl Strategy<Value = SendOutcome> {
    prop_oneof![
        any::<i64>().prop_map(|offset| SendOutcome::Acked { offset }),
        any::<i32>().prop_map(|code| SendOutcome::Failed { code }),
        any::<i32>().prop_map(|code| SendOutcome::Indeterminate { code }),
    ]
}

fn observed() -> impl Strategy<Value = Observed> {
    let record = (any::<(u16, u16, i32, u64, u32)>(), time()).prop_map(
        |((producer, incarnation, partition, sequence, key), due)| {
            Observed::Record(RecordId { producer, incarnation, partition, sequence, key, due })
        },
    );
    prop_oneof![
        4 => record,
        1 => any::<u64>().prop_map(|run| Observed::OtherRun { run }),
        1 => Just(Observed::Corrupt),
        1 => Just(Observed::Foreign),
    ]
}

fn committed() -> impl Strategy<Value = Committed> {
    prop_oneof![
        any::<i64>().prop_map(Committed::At),
        Just(Committed::Nothing),
        Just(Committed::Unknown),
    ]
}

fn entry() -> impl Strategy<Value = Entry> {
    let send = (any::<(i32, u64, u32, bool)>(), time(), time(), time(), outcome()).prop_map(
        |((partition, sequence, key, warm_up), due, sent, done, outcome)| {
            Entry::Send(Send { partition, sequence, key, warm_up, due, sent, done, outcome })
        },
    );
    let poll =
        (any::<(i32, i64)>(), time(), observed()).prop_map(|((partition, offset), at, record)| {
            Entry::Poll(Poll { partition, offset, at, record })
        });
    prop_oneof![
        4 => send,
        4 => poll,
        1 => (any::<i32>(), time(), committed())
            .prop_map(|(partition, at, committed)| Entry::Assigned { partition, at, committed }),
        1 => (any::<i32>(), time()).prop_map(|(partition, at)| Entry::Revoked { partition, at }),
        1 => (any::<(i32, i64, Option<i32>)>(), time(), time()).prop_map(
            |((partition, offset, error), asked, at)| Entry::Commit {
                partition,
                asked,
                at,
                offset,
                error
            }
        ),
        1 => (any::<(i32, bool)>(), time(), time()).prop_map(
            |((partition, answered), asked, done)| Entry::Read { partition, asked, done, answered }
        ),
        1 => (any::<(i32, i64, i64, i64)>(), time()).prop_map(
            |((partition, start_offset, end_offset, reached), at)| Entry::Drained {
                partition,
                start_offset,
                end_offset,
                reached,
                at
            }
        ),
        1 => (any::<(i32, i64, i64, i64, i16)>(), time()).prop_map(
            |((partition, first, end, id, epoch), at)| Entry::Batches {
                partition,
                first,
                end,
                epoch: ProducerEpoch { id, epoch },
                at
            }
        ),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 100,
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn any_entries_come_back_exactly(
        entries in prop::collection::vec(entry(), 0..300),
        flush_every in 1_usize..100,
    ) {
        let dir = tempfile::tempdir().unwrap();
        write(dir.path(), "producer-0", &entries, flush_every);
        let history = History::load(dir.path()).unwrap();
        prop_assert_eq!(history.streams.len(), 1);
        let stream = &history.streams[0];
        prop_assert_eq!(&stream.name, "producer-0");
        prop_assert_eq!(&stream.header, &header());
        prop_assert_eq!(&stream.ending, &Ending::Complete);
        prop_assert_eq!(&stream.entries, &entries);
    }
}

/// A fixed mixture of entries for the tests of damage.
fn sample() -> Vec<Entry> {
    let mut runner = proptest::test_runner::TestRunner::deterministic();
    let entries = prop::collection::vec(entry(), 40);
    entries.new_tree(&mut runner).unwrap().current()
}

#[test]
fn a_file_cut_anywhere_gives_the_whole_blocks_before_the_cut() {
    let dir = tempfile::tempdir().unwrap();
    let entries = sample();
    write(dir.path(), "producer-0", &entries, 10);
    let path = dir.path().join("producer-0.kbh");
    let whole = fs::read(&path).unwrap();
    let mut seen = std::collections::BTreeSet::new();
    for cut in 0..whole.len() {
        fs::write(&path, &whole[..cut]).unwrap();
        match History::load(dir.path()) {
            Ok(history) => {
                let stream = &history.streams[0];
                assert_eq!(stream.entries.len() % 10, 0, "whole blocks only");
                assert_eq!(stream.entries, entries[..stream.entries.len()]);
                assert!(
                    matches!(stream.ending, Ending::Truncated { at_byte, .. } if at_byte <= cut as u64)
                );
                seen.insert(stream.entries.len());
            }
            Err(HistoryError::Header { .. }) => {}
            Err(other) => panic!("cut at {cut}: {other}"),
        }
    }
    assert_eq!(seen.into_iter().collect::<Vec<_>>(), [0, 10, 20, 30, 40]);
}

#[test]
fn a_flipped_bit_never_gives_an_entry_that_was_not_pushed() {
    let dir = tempfile::tempdir().unwrap();
    let entries = sample();
    write(dir.path(), "producer-0", &entries, 10);
    let path = dir.path().join("producer-0.kbh");
    let whole = fs::read(&path).unwrap();
    for byte in 0..whole.len() {
        let mut damaged = whole.clone();
        damaged[byte] ^= 1 << (byte % 8);
        fs::write(&path, &damaged).unwrap();
        if let Ok(history) = History::load(dir.path()) {
            let stream = &history.streams[0];
            assert!(matches!(stream.ending, Ending::Truncated { .. }), "byte {byte}");
            assert_eq!(stream.entries, entries[..stream.entries.len()]);
        }
    }
}

#[test]
fn a_truncated_stream_says_where_and_how_much_was_read() {
    let dir = tempfile::tempdir().unwrap();
    let history_dir = dir.path().join("history");
    write(&history_dir, "producer-0", &sample(), 10);
    let path = history_dir.join("producer-0.kbh");
    let whole = fs::read(&path).unwrap();
    fs::write(&path, &whole[..whole.len() - 20]).unwrap();
    let history = History::load(&history_dir).unwrap();
    let Ending::Truncated { at_byte, what, .. } = &history.streams[0].ending else { panic!() };
    assert_eq!(
        what,
        &format!(
            "history/producer-0.kbh ends in the middle of a block at byte {at_byte}; \
             30 entries before it were read"
        )
    );
    assert_eq!(fs::read(&path).unwrap(), whole[..whole.len() - 20], "the file is left as it was");
}

#[test]
fn what_was_flushed_is_there_although_the_writer_never_ended() {
    let dir = tempfile::tempdir().unwrap();
    let entries = sample();
    let mut writer = StreamWriter::create(dir.path(), "consumer-1", &header()).unwrap();
    entries[..25].iter().for_each(|entry| writer.push(entry).unwrap());
    writer.flush().unwrap();
    entries[25..].iter().for_each(|entry| writer.push(entry).unwrap());
    let flushed = History::load(dir.path()).unwrap();
    assert_eq!(flushed.streams[0].entries, entries[..25]);
    drop(writer);
    let dropped = History::load(dir.path()).unwrap();
    assert_eq!(dropped.streams[0].entries, entries);
    assert!(matches!(&dropped.streams[0].ending,
        Ending::Truncated { what, .. } if what.contains("ends without its end mark")));
}

#[test]
fn streams_come_by_name_and_other_files_are_left_alone() {
    let dir = tempfile::tempdir().unwrap();
    for name in ["producer-0", "drain", "consumer-0"] {
        write(dir.path(), name, &sample(), 10);
    }
    fs::write(dir.path().join("notes.txt"), "mine").unwrap();
    let history = History::load(dir.path()).unwrap();
    let names: Vec<_> = history.streams.iter().map(|stream| stream.name.as_str()).collect();
    assert_eq!(names, ["consumer-0", "drain", "producer-0"]);
}

#[test]
fn trouble_is_named_with_its_cure() {
    let dir = tempfile::tempdir().unwrap();
    let text = |path: &Path| {
        let error = History::load(path).unwrap_err();
        error.to_string().replace(&dir.path().display().to_string(), "RUN")
    };
    assert_eq!(
        text(&dir.path().join("history")),
        "there is no history at RUN/history: no such directory; name the directory of a \
         recorded run"
    );
    assert_eq!(
        text(dir.path()),
        "there is no history at RUN: the directory holds no .kbh file; the run ended before a \
         client started"
    );
    let path = dir.path().join("drain.kbh");
    write(dir.path(), "drain", &sample(), 10);
    let again = StreamWriter::create(dir.path(), "drain", &header()).unwrap_err();
    assert!(matches!(again, HistoryError::Exists { .. }), "{again}");
    let whole = fs::read(&path).unwrap();

    let mut other = whole.clone();
    other[8] = 7;
    fs::write(&path, &other).unwrap();
    assert_eq!(
        text(dir.path()),
        "RUN/drain.kbh is in format 7 of the history, and this kbench reads format 4; use the \
         kbench that recorded it"
    );
    fs::write(&path, "offset,key\n1,2\n3,4\n").unwrap();
    assert_eq!(
        text(dir.path()),
        "RUN/drain.kbh is not a stream of a kbench history: its first bytes are other ones"
    );
    fs::write(&path, &whole[..20]).unwrap();
    assert!(text(dir.path()).contains("damaged in its header"), "{}", text(dir.path()));
}

/// A cheap source of noise; quality does not matter, repeatability does.
struct Noise(u64);

impl Noise {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 =
            self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % bound
    }
}

/// Sixty seconds of `1k-msg-s`: noisy nanoseconds everywhere, random keys, flushes every second.
#[test]
fn an_hour_at_1000_records_a_second_stays_under_100_mb() {
    const SECONDS: u64 = 60;
    const RATE: u64 = 1000;
    let dir = tempfile::tempdir().unwrap();
    let mut noise = Noise(1);
    let [mut producer, mut drain] = ["producer-0", "drain"]
        .map(|name| StreamWriter::create(dir.path(), name, &header()).unwrap());
    let mut group = ["consumer-0", "consumer-1", "consumer-2"]
        .map(|name| StreamWriter::create(dir.path(), name, &header()).unwrap());
    let mut drained_at = 4_000_000_000_000;
    for n in 0..SECONDS * RATE {
        let partition = (n % 3) as i32;
        let (sequence, offset) = (n / 3, (n / 3) as i64);
        let due = 5_123_456_789 + n * 1_000_000;
        let sent = due + 6_000 + noise.below(40_000);
        let done = sent + 1_500_000 + noise.below(6_000_000);
        let key = noise.below(1000) as u32;
        producer
            .push(&Entry::Send(Send {
                partition,
                sequence,
                key,
                warm_up: false,
                due: RunTime(due),
                sent: RunTime(sent),
                done: RunTime(done),
                outcome: SendOutcome::Acked { offset },
            }))
            .unwrap();
        let record = Observed::Record(RecordId {
            producer: 0,
            incarnation: 0,
            partition,
            sequence,
            key,
            due: RunTime(due),
        });
        let at = RunTime(done + noise.below(5_000_000));
        group[partition as usize]
            .push(&Entry::Poll(Poll { partition, offset, at, record }))
            .unwrap();
        drained_at += noise.below(20_000);
        let at = RunTime(drained_at);
        drain.push(&Entry::Poll(Poll { partition, offset, at, record })).unwrap();
        if n % RATE == RATE - 1 {
            for (partition, consumer) in group.iter_mut().enumerate() {
                let at = RunTime(done + noise.below(1_000_000));
                let partition = partition as i32;
                consumer
                    .push(&Entry::Commit { partition, asked: at, at, offset, error: None })
                    .unwrap();
                consumer.flush().unwrap();
            }
            producer.flush().unwrap();
        }
    }
    producer.finish().unwrap();
    drain.finish().unwrap();
    group.into_iter().for_each(|consumer| consumer.finish().unwrap());

    let bytes: u64 =
        fs::read_dir(dir.path()).unwrap().map(|file| file.unwrap().metadata().unwrap().len()).sum();
    let per_record = bytes as f64 / (SECONDS * RATE) as f64;
    let hour_mb = per_record * (3600 * RATE) as f64 / 1e6;
    println!("{per_record:.1} bytes a record, {hour_mb:.0} MB an hour");
    assert!(hour_mb < 80.0, "{per_record:.1} bytes a record, {hour_mb:.0} MB an hour");
    let history = History::load(dir.path()).unwrap();
    let entries: usize = history.streams.iter().map(|stream| stream.entries.len()).sum();
    assert_eq!(entries as u64, 3 * SECONDS * RATE + 3 * SECONDS);
}
