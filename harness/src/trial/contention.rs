//! Notices when others than this run take what it needs of the host, and when the host is short of it.
//!
//! A thread looks once a second. What it finds is recorded as a disturbance: seconds without a break as one, once it
//! is over or has lasted for a while.

mod listeners;
mod pressure;
mod taken;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use results::record::clock::RunTime;
use results::record::event::{Cause, EventKind, Place};

use self::pressure::Pressure;
use self::taken::{CpuLook, CpuTaken, Processes, ancestry, taken};
use super::periodic::Periodic;
use crate::cluster::local::sandbox::{ENTER, Outside, SUBCOMMAND};
use crate::failure::Failure;
use crate::recorder::Recorder;

/// Time between two looks.
const LOOK: Duration = Duration::from_secs(1);

/// A disturbance that lasts is recorded after this time: the live view shows what is recorded.
const LATEST: Duration = Duration::from_secs(3);

/// The servers of a cluster that is not kbench's, once they are known: those that run on this host are no others.
pub(super) type TheirServers = Arc<Mutex<Vec<i32>>>;

/// Notes the servers that listen at these addresses, and those that are known by their processes.
pub(super) fn note(
    theirs: &TheirServers,
    outside: Option<&Outside>,
    addresses: &[SocketAddr],
    known: Vec<i32>,
) {
    let listening = |outside: &Outside| listeners::listening(&outside.path(), addresses);
    let mut all = outside.map(listening).unwrap_or_default();
    all.extend(known);
    *theirs.lock().unwrap_or_else(PoisonError::into_inner) = all;
}

/// Starts the thread, which looks at the processes of the host where it can see them.
///
/// # Errors
/// An infrastructure failure when there is none.
pub(super) fn start(
    recorder: Arc<Recorder>,
    outside: Option<Arc<Outside>>,
    theirs: TheirServers,
) -> Result<Periodic, Failure> {
    Periodic::start("host", LOOK, move || {
        let pressure = Pressure::all();
        let mut looks = HostLooks {
            recorder,
            outside,
            theirs,
            pressure,
            last: None,
            span: None,
            recorded: None,
        };
        looks.look();
        move || looks.look()
    })
}

/// What of it is not measured here, in a sentence; `None` when all is.
pub(super) fn unmeasured(outside: Option<&Outside>) -> Option<String> {
    let mut not = vec![];
    match outside {
        None => not.push("CPU time that others take (the host's processes cannot be seen)"),
        // Every process descends from the first one.
        Some(outside) if !outside.path().join("1/stat").exists() => {
            not.push("CPU time that other users take (their processes cannot be seen)");
        }
        Some(_) => {}
    }
    if !Pressure::all().iter().all(Pressure::is_told) {
        not.push("memory and I/O pressure (the kernel has no /proc/pressure)");
    }
    (!not.is_empty()).then(|| format!("not measured: {}", not.join("; ")))
}

/// What the looks compare with, and what they found that is not recorded yet.
struct HostLooks {
    recorder: Arc<Recorder>,
    outside: Option<Arc<Outside>>,
    theirs: TheirServers,
    pressure: [Pressure; 2],
    last: Option<CpuLook>,
    span: Option<TakenSpan>,
    /// Until when what was recorded last lasted.
    recorded: Option<RunTime>,
}

/// CPU time that others took in seconds without a break, in ticks.
struct TakenSpan {
    from: RunTime,
    to: RunTime,
    seconds: u32,
    ticks: u64,
    all: u64,
    by: BTreeMap<String, u64>,
}

impl HostLooks {
    fn look(&mut self) {
        let at = self.recorder.clock().now();
        for pressure in &mut self.pressure {
            pressure.look(at, &self.recorder);
        }
        let Some(outside) = &self.outside else { return };
        let Some(now) = CpuLook::now(at, outside) else {
            self.last = None;
            return self.record();
        };
        let Some(before) = self.last.replace(now.clone()) else { return };
        let theirs = self.theirs.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let roots: Vec<i32> = outside.roots().iter().copied().chain(theirs).collect();
        match taken(&before, &now, &roots) {
            Some(taken) => {
                let arguments = |pid| arguments(outside, pid);
                let span = self.span.get_or_insert_with(|| TakenSpan::new(before.at));
                span.add(at, &taken, &now.processes, &arguments);
                if at.since(span.from) >= LATEST {
                    self.record();
                }
            }
            None => self.record(),
        }
    }

    fn record(&mut self) {
        let recorded = self.recorded;
        let goes_on = |span: &TakenSpan| recorded == Some(span.from);
        if let Some(span) = self.span.take().filter(|span| goes_on(span) || span.matters()) {
            self.recorded = Some(span.to);
            let (detail, from) = (Some(span.detail()), span.from);
            let (cause, place) = (Cause::CpuTaken, Place::Host);
            self.recorder.at(span.to, EventKind::Disturbed { cause, place, from, detail });
        }
    }
}

impl Drop for HostLooks {
    fn drop(&mut self) {
        self.record();
        for pressure in &mut self.pressure {
            pressure.record(&self.recorder);
        }
    }
}

impl TakenSpan {
    fn new(from: RunTime) -> Self {
        Self { from, to: from, seconds: 0, ticks: 0, all: 0, by: BTreeMap::new() }
    }

    fn add(
        &mut self,
        to: RunTime,
        taken: &CpuTaken,
        processes: &Processes,
        arguments: &dyn Fn(i32) -> Vec<String>,
    ) {
        self.to = to;
        self.seconds += 1;
        self.ticks += taken.ticks;
        self.all += taken.all;
        for (pid, ticks) in &taken.by {
            *self.by.entry(describe(*pid, processes, arguments)).or_default() += ticks;
        }
    }

    /// Whether it is more than some program's short work, which no machine is without.
    fn matters(&self) -> bool {
        self.seconds > 1 || self.ticks * 2 >= self.all
    }

    /// How much, and who took most.
    fn detail(&self) -> String {
        let percent = 100 * self.ticks / self.all.max(1);
        match self.by.iter().max_by_key(|(_, ticks)| **ticks) {
            Some((who, _)) => format!("{percent} % of their time, most of it {who}"),
            None => format!("{percent} % of their time"),
        }
    }
}

/// A process in words: the run of another kbench that it is part of, or its name.
fn describe(pid: i32, processes: &Processes, arguments: &dyn Fn(i32) -> Vec<String>) -> String {
    // The topmost is the coordinator, or the entry of a sandbox that outlives who made it.
    match ancestry(processes, pid).filter(|pid| is_run(&arguments(*pid))).last() {
        Some(run) => format!("another kbench run, process {run}"),
        None => {
            let name = processes.get(&pid).map_or("", |process| process.name.as_str());
            format!("{name}, process {pid}")
        }
    }
}

/// Whether these are the arguments of a coordinator, or of a sandbox.
fn is_run(arguments: &[String]) -> bool {
    let [program, rest @ ..] = arguments else { return false };
    let of_sandbox = rest.first().is_some_and(|name| [SUBCOMMAND, ENTER].contains(&name.as_str()));
    let of_user = program.rsplit('/').next() == Some("kbench");
    of_sandbox || of_user && rest.iter().any(|name| ["run", "replay"].contains(&name.as_str()))
}

/// The arguments that a process of the host was started with; none where they cannot be seen.
fn arguments(outside: &Outside, pid: i32) -> Vec<String> {
    let text = std::fs::read(outside.path().join(pid.to_string()).join("cmdline"));
    let text = text.unwrap_or_default();
    let words = text.split(|byte| *byte == 0).map(String::from_utf8_lossy);
    words.map(std::borrow::Cow::into_owned).filter(|word| !word.is_empty()).collect()
}

#[cfg(test)]
mod tests {
    use results::record::clock::RunClock;
    use results::record::event::log;

    use super::*;

    #[test]
    fn what_cannot_be_seen_is_not_measured() {
        let told = unmeasured(None).unwrap();
        assert!(told.starts_with("not measured: CPU time that others take"), "{told}");
    }

    #[test]
    fn another_run_is_known_by_its_coordinator_and_others_by_their_names() {
        let known = |arguments: &[&str]| {
            is_run(&arguments.iter().map(|one| (*one).to_owned()).collect::<Vec<_>>())
        };
        assert!(known(&["target/debug/kbench", "run", "--trials", "5"]));
        assert!(known(&["kbench", "replay", "latest"]));
        assert!(known(&["/proc/self/exe", "__sandbox", "user-namespaces", "__trial"]));
        for other in [&["kbench", "check", "latest"][..], &["/bin/run", "kbench"], &["java"], &[]] {
            assert!(!known(other), "{other:?}");
        }
    }

    #[test]
    fn whoever_took_most_is_named_run_by_run() {
        let processes = taken::tests::family(&[(1, 0), (20, 1), (21, 20), (22, 21), (30, 1)]);
        let arguments = |pid: i32| match pid {
            20 => vec!["kbench".to_owned(), "run".to_owned()],
            21 => vec!["/proc/self/exe".to_owned(), SUBCOMMAND.to_owned()],
            _ => vec!["x".to_owned()],
        };
        let mut span = TakenSpan::new(RunTime(0));
        // No process of the run took as much as the one that is no part of it.
        let by = vec![(20, 10), (21, 30), (22, 30), (30, 50)];
        span.add(RunTime(1), &CpuTaken { ticks: 120, all: 200, by }, &processes, &arguments);
        assert_eq!(span.detail(), "60 % of their time, most of it another kbench run, process 20");
        let by = vec![(30, 80)];
        span.add(RunTime(2), &CpuTaken { ticks: 80, all: 200, by }, &processes, &arguments);
        assert_eq!(span.detail(), "50 % of their time, most of it x, process 30");
    }

    #[test]
    fn a_second_of_little_is_no_disturbance_and_two_are() {
        let (processes, arguments) = (Processes::new(), |_| vec![]);
        let after = |ticks: u64, seconds: u64| {
            let mut span = TakenSpan::new(RunTime(0));
            let taken = CpuTaken { ticks, all: 200, by: vec![] };
            (1..=seconds).for_each(|at| span.add(RunTime(at), &taken, &processes, &arguments));
            span.matters()
        };
        assert_eq!([after(99, 1), after(100, 1), after(50, 2)], [false, true, true]);
    }

    #[test]
    fn a_second_that_follows_what_was_recorded_is_part_of_it() {
        let dir = tempfile::tempdir().unwrap();
        let recorder = Arc::new(Recorder::create(dir.path(), RunClock::start()).unwrap());
        let (pressure, outside) = (Pressure::all(), None);
        let mut looks = HostLooks {
            recorder,
            outside,
            theirs: TheirServers::default(),
            pressure,
            last: None,
            span: None,
            recorded: None,
        };
        let second = |second: u64| RunTime(second * 1_000_000_000);
        for (from, to) in [(1, 2), (5, 8), (8, 9), (10, 11)] {
            let mut span = TakenSpan::new(second(from));
            let taken = CpuTaken { ticks: 50, all: 200, by: vec![] };
            (from..to)
                .for_each(|at| span.add(second(at + 1), &taken, &Processes::new(), &|_| vec![]));
            looks.span = Some(span);
            looks.record();
        }
        let events = log::read(&dir.path().join("events.jsonl")).unwrap().events;
        let spans = events.into_iter().filter_map(|event| match event.kind {
            EventKind::Disturbed { from, .. } => Some((from, event.at)),
            _ => None,
        });
        let expected = [(5, 8), (8, 9)].map(|(from, to)| (second(from), second(to)));
        assert_eq!(spans.collect::<Vec<_>>(), expected);
    }
}
