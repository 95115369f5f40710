//! What judging a long clean history costs in memory: something for each batch, and next to nothing
//! where one producer writes alone.
//!
//! Alone in its file, because the counting allocator is the whole program's. By default 200 000
//! records are judged. Ten million, and the peak of the resident set, are for
//! `cargo test -p results --test check_memory -- --ignored --nocapture`: a minute in a debug build.

#![allow(clippy::unwrap_used, reason = "a test that cannot read its own history has failed")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use results::judge::check::{self, CheckContext};
use results::judge::verdict::Verdict;
use results::record::clock::RunTime;
use results::record::history::{
    Block, Blocks, Client, Committed, Ending, Entry, HistoryError, LoadRole, Observed, Poll,
    RecordId, Send, SendOutcome, Source, StreamHeader, StreamRef,
};

/// Counts what is allocated now, and the most that ever was.
struct Counting;

static NOW: AtomicUsize = AtomicUsize::new(0);
static PEAK: AtomicUsize = AtomicUsize::new(0);

// SAFETY: every call is handed to the system's allocator unchanged.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let now = NOW.fetch_add(layout.size(), Relaxed) + layout.size();
        PEAK.fetch_max(now, Relaxed);
        // SAFETY: the caller's contract is the same.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        NOW.fetch_sub(layout.size(), Relaxed);
        // SAFETY: the caller's contract is the same.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

const PARTITIONS: i64 = 3;
/// Entries that the source hands out at once, about as many as a block of a file has.
const BLOCK: usize = 8192;

/// A clean history that is made while it is read: every record acked, in the log once, read by a
/// consumer. Producers take turns in each partition, a batch each.
#[derive(Debug)]
struct Clean {
    producers: u16,
    /// Records in a batch.
    batch: i64,
    /// Records in a partition.
    records: i64,
    streams: Vec<(String, StreamHeader)>,
}

impl Clean {
    fn new(producers: u16, batch: i64, records: i64) -> Self {
        let stream = |name: String, client| {
            let header = StreamHeader {
                run: 1,
                topic: "t".to_owned(),
                partitions: PARTITIONS as u32,
                client,
            };
            (name, header)
        };
        let mut streams: Vec<_> = (0..producers)
            .map(|producer| {
                let (incarnation, role) = (0, LoadRole::Main);
                let client =
                    Client::Producer { producer, incarnation, acks: -1, idempotent: true, role };
                stream(format!("producer-{producer}"), client)
            })
            .collect();
        streams.extend((0..PARTITIONS as u16).map(|consumer| {
            let client = Client::GroupConsumer { consumer, group: "g".to_owned() };
            stream(format!("consumer-{consumer}"), client)
        }));
        streams.push(stream("drain".to_owned(), Client::Drain));
        Self { producers, batch, records: records / PARTITIONS, streams }
    }

    fn id(&self, partition: i64, offset: i64) -> RecordId {
        let (turn, producers) = (offset / self.batch, i64::from(self.producers));
        RecordId {
            producer: (turn % producers) as u16,
            incarnation: 0,
            partition: partition as i32,
            sequence: (turn / producers * self.batch + offset % self.batch) as u64,
            key: (offset % 1000) as u32,
            due: RunTime(((offset * PARTITIONS + partition) * 100_000 + 5_000_000) as u64),
        }
    }

    /// When the batch was acked that the record is in.
    fn acked(&self, partition: i64, offset: i64) -> RunTime {
        let last = offset - offset % self.batch + self.batch - 1;
        RunTime(self.id(partition, last).due.0 + 3_000_000)
    }

    fn sends(&self, producer: i64) -> impl Iterator<Item = Entry> {
        let turns = (producer..self.records / self.batch).step_by(self.producers.into());
        let of_batch = move |turn: i64, partition: i64| {
            (turn * self.batch..(turn + 1) * self.batch).map(move |offset| {
                let RecordId { sequence, key, due, .. } = self.id(partition, offset);
                Entry::Send(Send {
                    partition: partition as i32,
                    sequence,
                    key,
                    warm_up: false,
                    due,
                    sent: RunTime(due.0 + 10_000),
                    done: self.acked(partition, offset),
                    outcome: SendOutcome::Acked { offset },
                })
            })
        };
        turns.flat_map(move |turn| (0..PARTITIONS).flat_map(move |p| of_batch(turn, p)))
    }

    fn poll(&self, partition: i64, offset: i64, at: RunTime) -> Entry {
        let record = Observed::Record(self.id(partition, offset));
        Entry::Poll(Poll { partition: partition as i32, offset, at, record })
    }

    /// Offsets behind the last whole batch.
    fn end(&self) -> i64 {
        self.records - self.records % self.batch
    }

    fn consumed(&self, number: i64) -> impl Iterator<Item = Entry> {
        let partition = number as i32;
        let assigned = Entry::Assigned { partition, at: RunTime(1), committed: Committed::Nothing };
        let reads = (0..self.end()).flat_map(move |offset| {
            let at = RunTime(self.acked(number, offset).0 + 2_000_000);
            let commit =
                Entry::Commit { partition, asked: at, at, offset: offset + 1, error: None };
            let commits = offset % 10_000 == 0;
            [self.poll(number, offset, at)].into_iter().chain(commits.then_some(commit))
        });
        [assigned].into_iter().chain(reads)
    }

    /// As a consumer fetches: some thousand records of each partition in turn.
    fn drained(&self) -> impl Iterator<Item = Entry> {
        const FETCH: usize = 3000;
        let began = self.acked(PARTITIONS, self.records).0;
        let end = self.end();
        let fetched = move |from: i64, partition: i64| {
            let to = (from + FETCH as i64).min(end);
            let polls = (from..to).map(move |offset| {
                self.poll(partition, offset, RunTime(began + offset as u64 * 10))
            });
            let drained = Entry::Drained {
                start_offset: 0,
                partition: partition as i32,
                end_offset: end,
                reached: end,
                at: RunTime(began + end as u64 * 10),
            };
            polls.chain((to == end).then_some(drained))
        };
        (0..end)
            .step_by(FETCH)
            .flat_map(move |from| (0..PARTITIONS).flat_map(move |p| fetched(from, p)))
    }
}

impl Source for Clean {
    fn streams(&self) -> Vec<StreamRef<'_>> {
        let streams = self.streams.iter().enumerate();
        streams.map(|(number, (name, header))| StreamRef { number, name, header }).collect()
    }

    fn read(&self, number: usize) -> Result<Box<dyn Blocks + '_>, HistoryError> {
        let rest: Box<dyn Iterator<Item = Entry> + '_> = match self.streams[number].1.client {
            Client::Producer { producer, .. } => Box::new(self.sends(producer.into())),
            Client::GroupConsumer { consumer, .. } => Box::new(self.consumed(consumer.into())),
            _ => Box::new(self.drained()),
        };
        Ok(Box::new(Made { rest, block: Vec::with_capacity(BLOCK) }))
    }
}

struct Made<'a> {
    rest: Box<dyn Iterator<Item = Entry> + 'a>,
    block: Vec<Entry>,
}

impl Blocks for Made<'_> {
    fn next(&mut self) -> Result<Block<'_>, HistoryError> {
        self.block.clear();
        self.block.extend(self.rest.by_ref().take(BLOCK));
        if self.block.is_empty() {
            Ok(Block::End(Ending::Complete))
        } else {
            Ok(Block::Entries(&self.block))
        }
    }
}

/// One history after another: they share the allocator.
static TURN: Mutex<()> = Mutex::new(());

/// Judges so many clean records; the most bytes that this took.
fn judge(producers: u16, batch: i64, records: i64) -> usize {
    let _turn = TURN.lock().unwrap();
    let history = Clean::new(producers, batch, records);
    let before = NOW.load(Relaxed);
    PEAK.store(before, Relaxed);
    let checks = check::all(&history, &CheckContext::default()).unwrap();
    let judged = PEAK.load(Relaxed) - before;
    for check in checks {
        assert!(check.verdict == Verdict::Valid, "{check:?}");
        if ["lost", "duplicate", "order-producer"].contains(&&*check.name) {
            assert_eq!(check.examined as i64, PARTITIONS * history.end());
        }
    }
    println!("{records} records, {producers} producers, batches of {batch}: {judged} bytes");
    judged
}

#[test]
fn a_partition_with_one_producer_costs_next_to_nothing() {
    assert!(judge(1, 10, 200_000) < 2_000_000);
}

#[test]
fn producers_that_take_turns_cost_some_bytes_a_batch() {
    assert!(judge(4, 10, 200_000) < 6_000_000);
}

#[test]
#[ignore = "takes a minute in a debug build"]
fn ten_million_records_are_judged_in_less_than_300_mb() {
    judge(1, 100, 10_000_000);
    judge(4, 5, 10_000_000);
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    let kb: u64 = peak.trim().trim_end_matches(" kB").parse().unwrap();
    println!("peak of the resident set: {} MB", kb / 1000);
    assert!(kb < 300_000, "{kb} kB");
}
