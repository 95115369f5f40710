//! Whatever a file of a run or a specification holds: no panic, no endless loop, bounded memory.
//!
//! Inputs are small valid files, changed with knowledge of their structure: bytes, nodes of JSON and TOML trees
//! (lines sealed again, frames with their checksums made right), entries of a history. Each input follows from
//! its number: `KBENCH_FUZZ_FROM=N KBENCH_FUZZ=1` repeats number N. Without them some thousands are tried;
//! `ci/fuzz` tries a million.

#![expect(clippy::expect_used, reason = "a test that cannot set itself up has failed")]

mod mutate;
mod seeds;
mod targets;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use nix::time::{ClockId, clock_gettime};

use seeds::Seeds;
use targets::Targets;

/// Inputs that are tried in a normal test.
const FEW: u64 = 10_000;

/// CPU time that an input may take: a second of a release build.
const LONGEST: Duration = Duration::from_secs(if cfg!(debug_assertions) { 10 } else { 1 });

/// Time after which an input does not end.
const ENDLESS: Duration = Duration::from_secs(60);

/// The most memory of the process, in kB.
const MOST_KB: u64 = 1 << 20;

/// CPU time of this thread.
fn cpu_time() -> Duration {
    let now = clock_gettime(ClockId::CLOCK_THREAD_CPUTIME_ID).expect("a clock");
    Duration::from(now)
}

/// The most memory that the process ever had, in kB.
fn peak_kb() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").expect("the kernel");
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kb = peak.and_then(|text| text.trim().trim_end_matches(" kB").parse().ok());
    kb.expect("a number")
}

fn asked(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|text| text.parse().expect("a number"))
}

/// Ends the process where one input takes for ever.
fn watch(current: &Arc<AtomicU64>) {
    let current = Arc::clone(current);
    std::thread::spawn(move || {
        loop {
            let before = current.load(Relaxed);
            std::thread::sleep(ENDLESS);
            if current.load(Relaxed) == before {
                eprintln!("input {before} does not end");
                std::process::abort();
            }
        }
    });
}

#[test]
fn nothing_that_a_file_holds_makes_kbench_panic_hang_or_swell() {
    let (from, number) = (asked("KBENCH_FUZZ_FROM").unwrap_or(0), asked("KBENCH_FUZZ"));
    let place = std::path::Path::new("/dev/shm");
    let place = if place.is_dir() { place.to_owned() } else { std::env::temp_dir() };
    let folder = tempfile::Builder::new().prefix("kbench-fuzz-").tempdir_in(place);
    let folder = folder.expect("a folder");
    let seeds = Seeds::make(folder.path());
    let mut targets = Targets::new(folder.path(), &seeds);
    let current = Arc::new(AtomicU64::new(from));
    watch(&current);
    let (mut failed, mut slowest, mut peak) = (vec![], (Duration::ZERO, 0), peak_kb());
    let before = peak;
    for input in from..from + number.unwrap_or(FEW) {
        current.store(input, Relaxed);
        let began = cpu_time();
        if catch_unwind(AssertUnwindSafe(|| targets.take(input))).is_err() {
            failed.push(format!("input {input} ({}): panic", targets.current()));
        }
        let took = cpu_time() - began;
        slowest = slowest.max((took, input));
        if took > LONGEST {
            failed.push(format!("input {input} ({}): {took:?}", targets.current()));
        }
        if input % 64 == 0 || targets.is_large() {
            let now = peak_kb();
            if now > peak + (64 << 10) {
                let grown = (now - peak) >> 10;
                println!("input {input} ({}) or one before: {grown} MiB more", targets.current());
            }
            peak = now;
            if peak > MOST_KB && before <= MOST_KB {
                failed.push(format!("input {input} ({}): {peak} kB", targets.current()));
                break;
            }
        }
        if failed.len() > 20 {
            break;
        }
    }
    println!("{}", targets.tried());
    let (took, input) = slowest;
    println!("slowest: input {input}, {took:?}; most memory: {} MiB", peak_kb() >> 10);
    assert!(failed.is_empty(), "{}", failed.join("\n"));
    assert!(targets.accepted() > 0, "no input was valid: the search is broken");
}
