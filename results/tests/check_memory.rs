//! What loading and judging a long history costs in memory, counted at the allocator.
//!
//! Alone in its file, because the allocator is the whole program's.

#![allow(clippy::unwrap_used, reason = "a test that cannot write its files has failed")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use results::judge::check::{self, CheckContext};
use results::judge::verdict::Verdict;
use results::record::clock::RunTime;
use results::record::history::{
    Client, Entry, History, LoadRole, Observed, Outcome, Poll, RecordId, Send, StreamHeader,
    StreamWriter,
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

/// Records of the recorded history; an hour at 1000 msg/s has 36 times as many.
const RECORDS: u64 = 100_000;
const HOUR: u64 = 3_600_000;

#[test]
fn an_hour_at_1000_records_a_second_is_judged_in_less_than_1500_mb() {
    let dir = tempfile::tempdir().unwrap();
    record(dir.path());
    PEAK.store(NOW.load(Relaxed), Relaxed);
    let before = NOW.load(Relaxed);
    let history = History::load(dir.path()).unwrap();
    let loaded = PEAK.load(Relaxed) - before;
    let checks = check::all(&history, &CheckContext::default());
    let judged = PEAK.load(Relaxed) - before;
    for check in checks {
        assert!(check.verdict == Verdict::Valid, "{check:?}");
    }
    let hour_mb = |bytes: usize| bytes as u64 * (HOUR / RECORDS) / 1_000_000;
    println!("an hour: {} MB to load, {} MB to judge", hour_mb(loaded), hour_mb(judged));
    assert!(hour_mb(judged) < 1500, "{} MB", hour_mb(judged));
}

/// Three partitions, a producer, three consumers that commit, a drain.
fn record(dir: &Path) {
    let open = |name: &str, client| {
        let topic = "user-events".to_owned();
        let header = StreamHeader { run: 1, topic, partitions: 3, client };
        StreamWriter::create(dir, name, &header).unwrap()
    };
    let role = LoadRole::Main;
    let client = Client::Producer { producer: 0, incarnation: 0, acks: -1, idempotent: true, role };
    let mut producer = open("producer-0", client);
    let mut drain = open("drain", Client::Drain);
    let mut group: Vec<StreamWriter> = (0..3)
        .map(|consumer| {
            let client = Client::GroupConsumer { consumer, group: "analytics".to_owned() };
            open(&format!("consumer-{consumer}"), client)
        })
        .collect();
    for partition in 0..3 {
        let assigned = Entry::Assigned { partition, at: RunTime(1), committed: None };
        group[partition as usize].push(&assigned).unwrap();
    }
    let mut ends = [0; 3];
    for n in 0..RECORDS {
        let partition = (n % 3) as i32;
        let (sequence, offset, key) = (n / 3, (n / 3) as i64, (n % 1000) as u32);
        let due = RunTime(n * 1_000_000 + 5_000_000);
        let [sent, done, at] = [10_000, 3_000_000, 5_000_000].map(|late| RunTime(due.0 + late));
        let outcome = Outcome::Acked { offset };
        let send = Send { partition, sequence, key, warm_up: false, due, sent, done, outcome };
        producer.push(&Entry::Send(send)).unwrap();
        let id = RecordId { producer: 0, incarnation: 0, partition, sequence, key, due };
        let record = Observed::Record(id);
        let poll_at = |at| Entry::Poll(Poll { partition, offset, at, record });
        let consumer = &mut group[partition as usize];
        consumer.push(&poll_at(at)).unwrap();
        // The drain reads after the load has ended.
        drain.push(&poll_at(RunTime((RECORDS + 50) * 1_000_000 + n * 100))).unwrap();
        ends[partition as usize] = offset + 1;
        if n % 1000 < 3 {
            let commit = Entry::Commit { partition, at, offset: offset + 1, error: None };
            consumer.push(&commit).unwrap();
        }
    }
    let at = RunTime((RECORDS + 100) * 1_000_000);
    for (partition, end_offset) in (0..).zip(ends) {
        let drained = Entry::Drained { partition, end_offset, reached: end_offset, at };
        drain.push(&drained).unwrap();
    }
    group.into_iter().chain([producer, drain]).for_each(|stream| stream.finish().unwrap());
}
