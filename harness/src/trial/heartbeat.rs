//! Notices when kbench or its host stands still, and what else the host does to a trial.
//!
//! A thread wakes every 10 ms and looks at its clocks; once a second at the kernel's counters. What it
//! finds is recorded as a disturbance, once it is over.

use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use nix::time::{ClockId, clock_gettime};
use procfs::{CurrentSI as _, KernelStats};
use results::record::clock::RunTime;
use results::record::event::{Cause, EventKind, Place};

use super::periodic::Periodic;
use crate::failure::Failure;
use crate::mechanism::group;
use crate::recorder::Recorder;

/// Time between two beats.
const BEAT: Duration = Duration::from_millis(10);

/// A beat that is late by this much is one at which nothing ran.
const STILL: Duration = Duration::from_millis(250);

/// A clock that differs by this much from what it was a beat before has been stepped.
const STEP_NS: i128 = 100_000_000;

/// Time between two looks at the kernel's counters.
const COUNTERS: Duration = Duration::from_secs(1);

/// Part of the host's CPU time that a hypervisor may take in that time.
const STOLEN: f64 = 0.25;

/// Starts the thread.
///
/// # Errors
/// An infrastructure failure when there is none.
pub(super) fn start(recorder: Arc<Recorder>) -> Result<Periodic, Failure> {
    Periodic::start("heartbeat", BEAT, move || {
        let mut watch = Beats::new(recorder);
        move || watch.beat()
    })
}

/// What the beats compare with.
struct Beats {
    recorder: Arc<Recorder>,
    last: RunTime,
    clocks: Clocks,
    counted: RunTime,
    counters: Option<KernelCounters>,
}

/// How far other clocks are ahead of the monotonic one, in nanoseconds.
#[derive(Clone, Copy)]
struct Clocks {
    wall: i128,
    /// That goes on while the machine is suspended.
    boot: i128,
}

/// KernelCounters of the kernel since the host's start.
#[derive(Clone, Copy)]
struct KernelCounters {
    oom_kills: u64,
    /// Whether a fault withholds memory from a control group.
    withheld: bool,
    /// CPU time that a hypervisor took, and all CPU time, in ticks.
    stolen: u64,
    all: u64,
}

impl Beats {
    fn new(recorder: Arc<Recorder>) -> Self {
        let now = recorder.clock().now();
        let (clocks, counters) = (Clocks::read(), KernelCounters::read());
        Self { recorder, last: now, clocks, counted: now, counters }
    }

    fn beat(&mut self) {
        let (now, clocks) = (self.recorder.clock().now(), Clocks::read());
        let suspended = clocks.boot - self.clocks.boot;
        let stepped = clocks.wall - self.clocks.wall - suspended;
        if suspended >= STEP_NS {
            let seconds = suspended as f64 / 1e9;
            self.disturbed(Cause::Suspended, Place::Host, Some(format!("{seconds:.1} s")));
        } else if now.since(self.last) >= STILL {
            self.disturbed(Cause::StoodStill, Place::Kbench, None);
        }
        if stepped.abs() >= STEP_NS {
            let seconds = stepped as f64 / 1e9;
            self.disturbed(Cause::ClockStepped, Place::Host, Some(format!("by {seconds:+.1} s")));
        }
        (self.last, self.clocks) = (now, clocks);
        if now.since(self.counted) >= COUNTERS {
            self.count();
            self.counted = now;
        }
    }

    fn count(&mut self) {
        let counters = KernelCounters::read();
        if let (Some(before), Some(now)) = (self.counters, counters) {
            let all = now.all.saturating_sub(before.all);
            let stolen = now.stolen.saturating_sub(before.stolen) as f64 / all.max(1) as f64;
            if stolen >= STOLEN {
                let detail = format!("{:.0} %", stolen * 100.0);
                self.record(self.counted, Cause::CpuStolen, Place::Host, Some(detail));
            }
            // One that a fault lets want for memory is ended in its own control group.
            let withheld = now.withheld || before.withheld;
            if now.oom_kills > before.oom_kills && !withheld {
                self.record(self.counted, Cause::OutOfMemory, Place::Host, None);
            }
        }
        self.counters = counters;
    }

    fn disturbed(&self, cause: Cause, place: Place, detail: Option<String>) {
        self.record(self.last, cause, place, detail);
    }

    fn record(&self, from: RunTime, cause: Cause, place: Place, detail: Option<String>) {
        self.recorder.now(EventKind::Disturbed { cause, place, from, detail });
    }
}

impl Clocks {
    fn read() -> Self {
        let read = |clock| {
            let time = clock_gettime(clock).map(Duration::from).unwrap_or_default();
            time.as_nanos() as i128
        };
        let monotonic = read(ClockId::CLOCK_MONOTONIC);
        let wall = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let boot = read(ClockId::CLOCK_BOOTTIME);
        Self { wall: wall.as_nanos() as i128 - monotonic, boot: boot - monotonic }
    }
}

impl KernelCounters {
    /// `None` when the kernel does not say.
    fn read() -> Option<Self> {
        let total = KernelStats::current().ok()?.total;
        let stolen = total.steal.unwrap_or_default();
        let waited = total.idle + total.iowait.unwrap_or_default();
        let worked = total.user + total.nice + total.system;
        let interrupts = total.irq.unwrap_or_default() + total.softirq.unwrap_or_default();
        let vmstat = procfs::vmstat().unwrap_or_default();
        let oom_kills = vmstat.get("oom_kill").copied().unwrap_or_default();
        let all = waited + worked + interrupts + stolen;
        let withheld = group::withholds_memory();
        Some(Self { oom_kills: oom_kills.max(0) as u64, withheld, stolen, all })
    }
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use results::record::clock::RunClock;
    use results::record::event::log;

    use super::*;

    /// What a watch records that last looked at this many seconds ago, with these clocks then.
    fn recorded(ago: f64, before: impl Fn(Clocks) -> Clocks) -> Vec<Cause> {
        let dir = tempfile::tempdir().unwrap();
        let began = Instant::now() - Duration::from_secs(1);
        let recorder = Recorder::create(dir.path(), RunClock::started_at(began)).unwrap();
        let mut watch = Beats::new(Arc::new(recorder));
        watch.clocks = before(watch.clocks);
        watch.last = RunTime(watch.last.0.saturating_sub((ago * 1e9) as u64));
        watch.beat();
        let events = log::read(&dir.path().join("events.jsonl")).unwrap().events;
        let cause = |event: results::record::event::Event| match event.kind {
            EventKind::Disturbed { cause, .. } => Some(cause),
            _ => None,
        };
        events.into_iter().filter_map(cause).collect()
    }

    #[test]
    fn a_beat_tells_standing_still_from_a_step_of_the_clock_and_a_suspended_machine() {
        let second = 1_000_000_000;
        assert_eq!(recorded(0.0, |clocks| clocks), []);
        assert_eq!(recorded(0.3, |clocks| clocks), [Cause::StoodStill]);
        let stepped = |clocks: Clocks| Clocks { wall: clocks.wall - second, ..clocks };
        assert_eq!(recorded(0.0, stepped), [Cause::ClockStepped]);
        let slept =
            |clocks: Clocks| Clocks { wall: clocks.wall - second, boot: clocks.boot - second };
        assert_eq!(recorded(0.3, slept), [Cause::Suspended]);
    }

    #[test]
    fn the_kernel_says_how_much_it_was_robbed_of() {
        let counters = KernelCounters::read().unwrap();
        assert!(counters.all > counters.stolen);
    }
}
