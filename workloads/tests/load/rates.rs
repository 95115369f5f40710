//! The schedule is kept at any rate, and to wait for it costs next to nothing.

use std::time::Duration;

use results::record::burst;
use results::record::history::Send;
use workloads::{Load, LoadContext, LoadSummary};

use crate::lab::{LIMIT, Lab, producer_only, run_for, sends};

/// What a load of `rate` records a second sent in `ms` milliseconds, warm-up excluded, by due time.
fn run(rate: u64, ms: u64) -> (LoadSummary, Vec<Send>) {
    let lab = Lab::new();
    let per_second = format!("per_second = {rate}");
    let (load, _seconds) = lab.start(&producer_only(&[("per_second = 200", &per_second)]));
    load.wait_warm(LIMIT).unwrap();
    load.end_warm_up();
    run_for(ms);
    let summary = load.stop(LIMIT).unwrap();
    assert_eq!((summary.acked, summary.queue_full), (summary.sent, 0), "{rate}");
    let mut sends = sends(&lab.history()["producer-0"]);
    sends.retain(|send| !send.warm_up);
    sends.sort_by_key(|send| send.due);
    (summary, sends)
}

/// Every due time is where the schedule has it: so many records in any stretch of it, to one.
fn check_rate(rate: u64, sends: &[Send]) {
    let (first, last) = (sends[0].due, sends[sends.len() - 1].due);
    let due = (last.since(first).as_nanos() * u128::from(rate)).div_ceil(1_000_000_000) as usize;
    assert!((sends.len() - 1).abs_diff(due) <= 1, "{rate}: {} instead of {due}", sends.len() - 1);
}

fn median_lag(sends: &[Send]) -> Duration {
    let mut lags: Vec<_> = sends.iter().map(|send| send.sent.since(send.due)).collect();
    lags.sort_unstable();
    lags[lags.len() / 2]
}

/// The end of the load is no later than its begin.
fn check_drift(rate: u64, sends: &[Send]) {
    let part = sends.len() / 4;
    let (begin, end) = (median_lag(&sends[..part]), median_lag(&sends[sends.len() - part..]));
    // A busy machine may hold a thread up by some milliseconds.
    assert!(end < begin + Duration::from_millis(20), "{rate}: {begin:?}, at the end {end:?}");
}

#[test]
fn the_schedule_is_kept_and_no_core_is_spun_away() {
    // Part of a core that the producing thread may use. What is sent has its own cost, of which an unoptimised build
    // has ten times as much: there only the wait is cheap.
    let optimised = !cfg!(debug_assertions);
    for (rate, ms, share) in [(1, 2500, 0.05), (1000, 2500, 0.15), (20_000, 2500, 0.15)] {
        let share = if optimised || rate < 20_000 { share } else { 0.6 };
        let (summary, sends) = run(rate, ms);
        check_rate(rate, &sends);
        if rate > 1 {
            check_drift(rate, &sends);
        }
        let cpu = summary.producer_cpu_s / summary.over_s;
        println!("{rate}/s: {:.1} % of a core, lag p50 {:?}", cpu * 100.0, median_lag(&sends));
        assert!(cpu <= share, "{rate}: {:.1} % of a core", cpu * 100.0);
    }
}

#[test]
fn bursts_are_a_millisecond_long_and_flatter_no_response() {
    let (_, sends) = run(20_000, 1500);
    check_rate(20_000, &sends);
    let lag = median_lag(&sends);
    assert!(lag > burst::LONGEST / 10 && lag < Duration::from_millis(20), "{lag:?}");
    assert!(sends.iter().all(|send| send.sent >= send.due), "none is sent before its time");
    // What is sent together was due one after the other.
    let together = sends.windows(2).filter(|pair| pair[0].due == pair[1].due).count();
    assert_eq!(together, 0);
}

#[test]
#[ignore = "a measurement of a release build; run it alone, with --nocapture"]
fn what_sending_costs() {
    let rates = [(1000, 5000), (20_000, 5000), (100_000, 5000), (300_000, 3000), (500_000, 2000)];
    for (rate, ms) in rates {
        let (summary, sends) = run(rate, ms);
        check_rate(rate, &sends);
        check_drift(rate, &sends);
        let mut lags: Vec<_> = sends.iter().map(|send| send.sent.since(send.due)).collect();
        lags.sort_unstable();
        let achieved =
            (sends.len() - 1) as f64 / sends[sends.len() - 1].due.secs_since(sends[0].due);
        println!(
            "{rate}/s: {achieved:.2}/s due, producing thread {:.1} % of a core and {:.2} us a record, lag p50 {:?}, \
             p99 {:?}, max {:?}",
            summary.producer_cpu_s / summary.over_s * 100.0,
            summary.producer_cpu_s * 1e6 / summary.sent as f64,
            lags[lags.len() / 2],
            lags[lags.len() * 99 / 100],
            lags[lags.len() - 1],
        );
    }
}

#[test]
#[ignore = "a measurement of a release build; run it alone, with --nocapture"]
fn what_draining_costs() {
    // The mock keeps 5 MB a partition.
    const PARTITIONS: i32 = 48;
    let lab = Lab::with_partitions(PARTITIONS);
    let spec = producer_only(&[
        ("per_second = 200", "per_second = 200000"),
        ("keys = 100", "keys = 2000"),
        ("record_bytes = 256", "record_bytes = 100"),
    ]);
    let context = LoadContext { partitions: PARTITIONS as u32, ..lab.context() };
    let load = Load::start(&spec, context).unwrap();
    load.wait_warm(LIMIT).unwrap();
    run_for(6000);
    load.stop(LIMIT).unwrap();
    for _ in 0..3 {
        std::fs::remove_file(lab.dir.path().join("drain.kbh")).ok();
        let began = std::time::Instant::now();
        let cpu = process_cpu();
        let drained = lab.drain(PARTITIONS as u32, LIMIT);
        let took = began.elapsed();
        assert!(drained.complete);
        println!(
            "{} records in {took:.2?}: {:.0} a second, {:.2} us of CPU a record",
            drained.records,
            drained.records as f64 / took.as_secs_f64(),
            (process_cpu() - cpu) * 1e6 / drained.records as f64,
        );
    }
}

/// CPU time of this process so far, in seconds; the mock cluster is in it.
fn process_cpu() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap();
    let fields: Vec<_> = stat.rsplit_once(')').unwrap().1.split_whitespace().collect();
    let ticks = |at: usize| fields[at].parse::<f64>().unwrap();
    (ticks(11) + ticks(12)) / 100.0
}
