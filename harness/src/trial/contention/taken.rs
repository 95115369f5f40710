//! CPU time that others than this run took, out of two looks at the kernel's counters.
//!
//! Counted are processes that can be seen. Where a container shows the whole host's `/proc/stat` but its own
//! processes only, what others do outside stays unseen: it never looks like somebody's load in here.

use std::collections::BTreeMap;
use std::path::Path;

use procfs::process::all_processes_with_root;
use procfs::{CpuPressure, Current as _, CurrentSI as _, KernelStats};
use results::record::clock::RunTime;

use crate::cluster::local::sandbox::Outside;

/// Part of the CPUs' time that others must have taken, and part of the time that somebody must have waited for
/// a CPU meanwhile.
const TAKEN: f64 = 0.25;

/// PF_KTHREAD of the kernel's `sched.h`.
const KERNEL_THREAD: u32 = 0x0020_0000;

/// SCHED_IDLE of the kernel's `sched.h`.
const SCHED_IDLE: u32 = 5;

/// Steps from a process to its ancestors, at most: the looks at them are not of one moment, and might close
/// a circle.
const ANCESTORS: usize = 64;

/// What the kernel says of one process; CPU time in ticks.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct ProcessTimes {
    pub(super) name: String,
    pub(super) parent: i32,
    /// When it was started: a pid is given again.
    started: u64,
    own: u64,
    /// Of children that have ended and were waited for, with all of theirs.
    reaped: u64,
    /// Whether it runs when nobody else wants to.
    yields: bool,
}

pub(super) type Processes = BTreeMap<i32, ProcessTimes>;

/// One look at the kernel's counters.
#[derive(Debug, Clone)]
pub(super) struct CpuLook {
    pub(super) at: RunTime,
    /// Time of all CPUs, in ticks; and what of it processes took that do not yield, kernel included.
    all: u64,
    busy: u64,
    /// For how long somebody has waited for a CPU, in microseconds; `None` when the kernel does not say.
    waited_us: Option<u64>,
    /// Every process but the kernel's threads.
    pub(super) processes: Processes,
}

/// What others took between two looks, in ticks.
#[derive(Debug, PartialEq)]
pub(super) struct CpuTaken {
    pub(super) ticks: u64,
    pub(super) all: u64,
    /// By whom.
    pub(super) by: Vec<(i32, u64)>,
}

impl CpuLook {
    /// Looks now, which is `at`. `None` when the kernel does not say.
    pub(super) fn now(at: RunTime, outside: &Outside) -> Option<Self> {
        let total = KernelStats::current().ok()?.total;
        let waited = total.idle + total.iowait.unwrap_or_default();
        let interrupts = total.irq.unwrap_or_default() + total.softirq.unwrap_or_default();
        let busy = total.user + total.system;
        let all = busy + total.nice + waited + interrupts + total.steal.unwrap_or_default();
        let waited_us = CpuPressure::current().ok().map(|pressure| pressure.some.total);
        Some(Self { at, all, busy, waited_us, processes: processes(&outside.path())? })
    }
}

/// Every process that the `/proc` in `root` shows.
fn processes(root: &Path) -> Option<Processes> {
    let all = all_processes_with_root(root).ok()?;
    // One that has ended just now is none.
    let stats = all.filter_map(|process| process.ok()?.stat().ok());
    let seen = stats.filter(|stat| stat.flags & KERNEL_THREAD == 0).map(|stat| {
        let times = ProcessTimes {
            parent: stat.ppid,
            started: stat.starttime,
            own: stat.utime + stat.stime,
            reaped: (stat.cutime + stat.cstime).max(0) as u64,
            yields: stat.nice > 0 || stat.policy == Some(SCHED_IDLE),
            name: stat.comm,
        };
        (stat.pid, times)
    });
    Some(seen.collect())
}

/// A process and its ancestors, as far as they are seen.
pub(super) fn ancestry(processes: &Processes, pid: i32) -> impl Iterator<Item = i32> {
    let parent = |pid: &i32| processes.get(pid).map(|process| process.parent);
    std::iter::successors(Some(pid), parent).take(ANCESTORS)
}

/// What some processes took between two looks, in ticks.
#[derive(Debug, Default)]
struct Took {
    own: u64,
    /// Of children that were waited for meanwhile; and what of it was seen before, when they lived.
    reaped: u64,
    known: u64,
}

impl Took {
    fn ticks(&self) -> u64 {
        self.own + self.reaped.saturating_sub(self.known)
    }
}

/// What others than the run that descends from `roots` took between two looks, if it was much and somebody
/// waited for it.
pub(super) fn taken(before: &CpuLook, now: &CpuLook, roots: &[i32]) -> Option<CpuTaken> {
    let all = now.all.checked_sub(before.all).filter(|all| *all > 0)?;
    let of_run = |look: &CpuLook, pid| {
        ancestry(&look.processes, pid).any(|ancestor| roots.contains(&ancestor))
    };
    let lived = |pid: &i32, process: &ProcessTimes, look: &CpuLook| {
        look.processes.get(pid).is_some_and(|other| other.started == process.started)
    };
    // What an ended process had when it was seen last is no news from whoever waited for it.
    let mut ended: BTreeMap<(bool, i32), u64> = BTreeMap::new();
    for (pid, process) in before.processes.iter().filter(|(pid, it)| !lived(pid, it, now)) {
        let of = (of_run(before, *pid), process.parent);
        *ended.entry(of).or_default() += process.own + process.reaped;
    }
    let (mut run, mut others, mut by) = (Took::default(), Took::default(), vec![]);
    for (pid, process) in &now.processes {
        let is_of_run = of_run(now, *pid);
        let known = ended.remove(&(is_of_run, *pid)).unwrap_or_default();
        let seen = before.processes.get(pid).filter(|_| lived(pid, process, before));
        let (own, reaped) = seen.map_or((0, 0), |seen| (seen.own, seen.reaped));
        let own = process.own.saturating_sub(own);
        let reaped = process.reaped.saturating_sub(reaped);
        let sum = match is_of_run {
            true => &mut run,
            false if process.yields => continue,
            false => {
                by.push((*pid, own + reaped.saturating_sub(known)));
                &mut others
            }
        };
        sum.own += own;
        sum.reaped += reaped;
        sum.known += known;
    }
    // Whose parent has ended as well, somebody else has waited for.
    for ((of_run, _), known) in ended {
        let sum = if of_run { &mut run } else { &mut others };
        sum.known += known;
    }
    // What ended children took while they yielded nobody tells, but it is not among what was busy.
    let busy = now.busy.saturating_sub(before.busy).saturating_sub(run.ticks());
    let ticks = others.ticks().min(busy);
    let waited =
        now.waited_us.zip(before.waited_us).map(|(now, before)| now.saturating_sub(before));
    let elapsed_us = now.at.secs_since(before.at) * 1e6;
    let in_want = waited.is_none_or(|us| us as f64 >= elapsed_us * TAKEN);
    let much = ticks as f64 >= all as f64 * TAKEN;
    by.retain(|(_, ticks)| *ticks > 0);
    (much && in_want).then_some(CpuTaken { ticks, all, by })
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// Processes with their parents.
    pub(in crate::trial::contention) fn family(parents: &[(i32, i32)]) -> Processes {
        parents.iter().map(|(pid, parent)| (*pid, process(*parent, 0, 0))).collect()
    }

    /// The run's coordinator.
    const RUN: i32 = 10;

    fn process(parent: i32, own: u64, reaped: u64) -> ProcessTimes {
        ProcessTimes { name: "x".to_owned(), parent, started: 1, own, reaped, yields: false }
    }

    /// A look at this second, when somebody had waited so many milliseconds; two CPUs, all of whose time
    /// processes took that do not yield.
    fn look(second: u64, waited_ms: u64, others: &[(i32, ProcessTimes)]) -> CpuLook {
        let mut processes = Processes::from([
            (1, process(0, 500, 0)),
            (9, process(1, 0, 0)),
            (RUN, process(9, 0, 0)),
            (11, process(RUN, 0, 0)),
            // A server of the run; what it takes is its own.
            (12, process(11, 1000 + second * 100, 0)),
        ]);
        processes.extend(others.iter().cloned());
        let (at, busy) = (RunTime(second * 1_000_000_000), 7000 + second * 200);
        CpuLook { at, all: busy, busy, waited_us: Some(waited_ms * 1000), processes }
    }

    fn ticks(before: &CpuLook, now: &CpuLook) -> Option<u64> {
        taken(before, now, &[RUN]).map(|taken| taken.ticks)
    }

    #[test]
    fn others_take_cpus_where_they_took_much_and_somebody_waited() {
        let other = |own| (20, process(9, own, 0));
        let yielding = |own| (20, ProcessTimes { yields: true, ..process(9, own, 0) });
        let cases = [
            ("the run's own load", vec![], vec![], 900, None),
            ("without waiting", vec![other(30)], vec![other(130)], 240, None),
            ("with waiting", vec![other(30)], vec![other(130)], 250, Some(100)),
            ("a little", vec![other(30)], vec![other(79)], 900, None),
            ("niced", vec![yielding(30)], vec![yielding(130)], 900, None),
            ("a new one", vec![], vec![other(100)], 900, Some(100)),
            ("a counter that goes back", vec![other(500)], vec![other(30)], 900, None),
            ("a child of the run", vec![], vec![(20, process(12, 100, 0))], 900, None),
            (
                "a yielding one's children",
                vec![yielding(0), (21, process(20, 60, 0))],
                vec![(20, ProcessTimes { yields: true, ..process(9, 0, 160) })],
                900,
                None,
            ),
            ("more than was counted", vec![other(0)], vec![other(9000)], 900, Some(100)),
        ];
        for (name, before, now, waited_ms, expected) in cases {
            let (before, now) = (look(1, 100, &before), look(2, 100 + waited_ms, &now));
            assert_eq!(ticks(&before, &now), expected, "{name}");
        }
    }

    #[test]
    fn what_an_ended_process_took_is_counted_once() {
        let make = |reaped| (20, process(9, 0, reaped));
        let cc = |pid, own| (pid, process(20, own, 0));
        // Four compilers one after the other, each seen or not: 60 ticks of which are new.
        let before = look(1, 0, &[make(400), cc(21, 50)]);
        assert_eq!(ticks(&before, &look(2, 900, &[make(400 + 50 + 60)])), Some(60));
        let half = look(2, 900, &[make(400 + 50 + 30), cc(22, 30)]);
        assert_eq!(ticks(&before, &half), Some(60));
        assert_eq!(taken(&before, &half, &[RUN]).unwrap().by, [(20, 30), (22, 30)]);
        // An old process that ends took nothing now.
        let before = look(1, 0, &[make(400), cc(21, 5000)]);
        assert_eq!(ticks(&before, &look(2, 900, &[make(5400)])), None);
        // Nor does it when its parent ends as well, and somebody else waits for it.
        let (mut before, mut now) = (look(1, 0, &[make(400), cc(21, 5000)]), look(2, 900, &[]));
        now.processes.insert(1, process(0, 500, 5000));
        now.processes.insert(9, process(1, 0, 400));
        assert_eq!(ticks(&before, &now), None);
        // Of children that yielded, only the time that nobody yielded can be of others.
        let cargo = (21, ProcessTimes { yields: true, ..process(20, 5000, 0) });
        let mut built = look(2, 900, &[make(5480)]);
        before = look(1, 0, &[make(400), cargo]);
        assert_eq!(ticks(&before, &built), Some(80));
        built.busy -= 60;
        assert_eq!(ticks(&before, &built), None);
        // A server of the run that was killed is the run's.
        let mut server = look(1, 0, &[(22, process(11, 3000, 0))]);
        server.busy -= 40;
        let mut killed = look(2, 900, &[(30, process(9, 100, 0))]);
        killed.processes.insert(11, process(RUN, 0, 3040));
        assert_eq!(ticks(&server, &killed), Some(100));
        // The same pid is another process's.
        (before, now) = (look(1, 0, &[]), look(2, 900, &[]));
        let anew = ProcessTimes { started: 2, ..process(9, 60, 0) };
        before.processes.insert(30, process(9, 50, 0));
        now.processes.insert(30, anew);
        assert_eq!(ticks(&before, &now), Some(60));
    }

    #[test]
    fn where_the_kernel_tells_nothing_of_pressure_the_time_taken_decides() {
        let [mut before, mut now] =
            [(1, 30), (2, 130)].map(|(at, own)| look(at, 0, &[(20, process(9, own, 0))]));
        assert_eq!(ticks(&before, &now), None);
        now.waited_us = None;
        assert_eq!(ticks(&before, &now), Some(100));
        before.waited_us = None;
        assert_eq!(ticks(&before, &now), Some(100));
        // No time has passed, or it went back.
        assert_eq!([ticks(&before, &before), ticks(&now, &before)], [None, None]);
    }

    #[test]
    fn the_kernel_tells_of_this_process_and_not_of_its_own_threads() {
        let seen = processes(Path::new("/proc")).unwrap();
        let own = std::process::id() as i32;
        assert_eq!(seen[&own].parent, std::os::unix::process::parent_id() as i32);
        assert!(ancestry(&seen, own).count() > 1);
        assert!(seen.values().all(|process| !process.name.starts_with("kworker")));
        assert_eq!(processes(Path::new("/no-such-folder")), None);
    }
}
