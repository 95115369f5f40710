//! The lab on a real cluster: it starts in every mode that this machine allows, tells at once when
//! a server ends, and leaves nothing behind however it is killed.
//!
//! What is left is looked for by the run's own folder: every process of a lab has its path in its
//! command line or in that of its ancestors. Network namespaces are told by the processes in them
//! and mounts by the lab's data folder: both end with the sandbox. `KBENCH_KILLS` sets how often
//! kbench is killed in each mode (default 7: 21 times in three modes); `live_docker` and `live_ssh` heed it too.

#![expect(clippy::expect_used, reason = "a test that cannot set itself up has failed")]

mod support;

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::time::{Duration, Instant};

use support::{awaited, folder, kbench, kills, moment, processes, skipped, stderr, within};

/// Limit for a healthy short run: 42 s were measured, 72 s on a machine with a load of 20.
const RUN_LIMIT: Duration = Duration::from_secs(240);

/// Limit for everything to be gone after a kill: the kernel tears six JVMs down.
const GONE_LIMIT: Duration = Duration::from_secs(20);

/// Kills are spread over this long after the start: from fetching the sandbox to load.
const KILL_WITHIN: Duration = Duration::from_secs(12);

fn modes() -> Vec<&'static str> {
    let modes = ["user-namespaces", "root-namespaces", "loopback"];
    let doctor = awaited(kbench().arg("doctor"));
    let text = String::from_utf8_lossy(&doctor.stdout).into_owned();
    let usable = |mode: &&str| {
        let name = mode.replace('-', " ");
        let usable = text.lines().any(|line| line.starts_with("ok") && line.contains(&name));
        if !usable {
            skipped(mode, "`kbench doctor` says why it is not usable here");
        }
        usable
    };
    modes.into_iter().filter(usable).collect()
}

/// A short run without faults in one of the modes.
fn start(out: &Path, mode: &str, more: &[&str]) -> Child {
    let arguments = ["--workload", "smoke", "--faults", "none", "--mode", mode];
    support::start(out, &[&arguments, more].concat())
}

/// Processes of the run in `out`, the coordinator included.
fn of_run(out: &Path) -> Vec<(i32, i32, String)> {
    let folder = out.display().to_string();
    processes().into_iter().filter(|(.., line)| line.contains(&folder)).collect()
}

/// Whether nothing of a process is left. The first thread of one that was killed may have ended, and its name be gone,
/// while others still wait for a disk and hold its files and ports.
fn is_gone(pid: i32) -> bool {
    let tasks = fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().count();
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    let state = stat.rsplit_once(')').and_then(|(_, rest)| rest.split_whitespace().next());
    tasks == 0 || (tasks == 1 && state == Some("Z"))
}

/// Names in the temporary folder that a JVM, a sandbox or kbench may leave there.
fn temporary() -> BTreeSet<PathBuf> {
    let mut found = BTreeSet::new();
    for entry in fs::read_dir(std::env::temp_dir()).expect("a temporary folder").flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        let library =
            [".so", "jni", "snappy", "lz4", "netty"].iter().any(|part| name.contains(part));
        if library || name.starts_with("kbench") {
            found.insert(entry.path());
        }
    }
    found
}

/// Mount points such as a lab has. A machine may have some of its own: `ip netns` leaves one.
fn mounts() -> BTreeSet<PathBuf> {
    let text = fs::read_to_string("/proc/self/mountinfo").expect("mounts");
    let points = text.lines().filter_map(|line| line.split(' ').nth(4)).map(PathBuf::from);
    points
        .filter(|point| ["/run/kbench", "/run/netns"].iter().any(|of| point.starts_with(of)))
        .collect()
}

/// What the machine had before a lab was started on it.
struct Before {
    temporary: BTreeSet<PathBuf>,
    mounts: BTreeSet<PathBuf>,
}

impl Before {
    fn now() -> Before {
        Before { temporary: temporary(), mounts: mounts() }
    }

    /// Asserts that nothing of the run in `out` exists any more, save its record.
    fn assert_nothing_left(&self, out: &Path, when: &str) {
        let gone = within(GONE_LIMIT, || of_run(out).is_empty());
        assert!(gone, "{when}: processes are left: {:#?}", of_run(out));
        let new: Vec<_> = mounts().difference(&self.mounts).cloned().collect();
        assert!(new.is_empty(), "{when}: mounts are left: {new:?}");
        let new: Vec<_> = temporary().difference(&self.temporary).cloned().collect();
        assert!(new.is_empty(), "{when}: files are left: {new:?}");
    }
}

/// Folders of servers' data under `out`: loopback mode keeps them on disk.
fn data_left(out: &Path) -> Vec<PathBuf> {
    let runs =
        fs::read_dir(out).into_iter().flatten().flatten().map(|entry| entry.path().join("data"));
    runs.filter(|path| path.exists()).collect()
}

#[test]
#[ignore = "starts a real cluster"]
fn a_cluster_runs_in_every_mode_and_leaves_only_its_record() {
    for mode in modes() {
        let out = folder();
        let before = Before::now();
        let mut run = start(out.path(), mode, &[]);
        let mut status = None;
        within(RUN_LIMIT, || {
            status = run.try_wait().expect("a child");
            status.is_some()
        });
        let events = fs::read_to_string(out.path().join("latest/events.jsonl")).unwrap_or_default();
        assert!(events.contains("cluster-ready"), "{mode}: {status:?}\n{}", stderr(out.path()));
        assert_eq!(events.matches("\"process-ended\"").count(), 6, "{mode}");
        before.assert_nothing_left(out.path(), mode);
        assert!(data_left(out.path()).is_empty(), "{mode}: data is left");
    }
}

#[test]
#[ignore = "starts a real cluster"]
fn a_broker_that_gives_up_is_told_at_once_with_the_reason() {
    let out = folder();
    let began = Instant::now();
    // A class that is there and is no reporter: only the broker itself can find that out.
    let reporter = "cluster.broker.settings.metric.reporters=kafka.Kafka";
    let setting = ["--set", reporter, "--trust-spec"];
    let status = start(out.path(), modes()[0], &setting).wait().expect("a child");
    let text = stderr(out.path());
    assert_eq!(status.code(), Some(4), "{text}");
    assert!(text.contains("ended while starting") && text.contains("kafka.Kafka"), "{text}");
    // Far below the limit for a start, which is what a reader that misses the end would wait for.
    assert!(began.elapsed() < Duration::from_secs(45), "told after {:?}", began.elapsed());
}

/// Which process of a lab is killed: kbench itself, the sandbox's entry, its init, the trial.
const VICTIMS: [&str; 4] = ["coordinator", "entry", "init", "trial"];

/// The victim, if it exists yet. The chain is followed from the coordinator down.
fn victim(name: &str, run: &Child) -> Option<i32> {
    let all = processes();
    let child_of = |parent: i32, what: &str| {
        all.iter().find(|(_, of, line)| *of == parent && line.contains(what)).map(|(pid, ..)| *pid)
    };
    let coordinator = run.id() as i32;
    let entry = child_of(coordinator, "__sandbox");
    // In loopback mode the entry is the init as well.
    let init = entry.and_then(|entry| child_of(entry, "__sandbox")).or(entry);
    match name {
        "coordinator" => Some(coordinator),
        "entry" => entry,
        "init" => init,
        _ => init.and_then(|init| child_of(init, "__trial")),
    }
}

#[test]
#[ignore = "starts a real cluster"]
fn nothing_is_left_when_any_process_of_the_lab_is_killed_at_any_moment() {
    let kills = kills(7);
    for mode in modes() {
        let out = folder();
        let before = Before::now();
        for round in 0..kills {
            let name = VICTIMS[round as usize % VICTIMS.len()];
            let delay = moment(round, kills, KILL_WITHIN);
            let mut run = start(out.path(), mode, &[]);
            let began = Instant::now();
            let mut pid = None;
            let found = within(Duration::from_secs(60), || {
                pid = victim(name, &run);
                pid.is_some() && began.elapsed() >= delay
            });
            let when =
                format!("{mode}, {name} killed after {:.2} s", began.elapsed().as_secs_f64());
            assert!(found, "{when}: no such process\n{}", stderr(out.path()));
            let lab: Vec<i32> = of_run(out.path()).into_iter().map(|(pid, ..)| pid).collect();
            let killed =
                Command::new("kill").args(["-KILL", &pid.expect("found").to_string()]).status();
            assert!(killed.expect("kill").success(), "{when}");
            run.wait().expect("a child");
            before.assert_nothing_left(out.path(), &when);
            let gone = within(GONE_LIMIT, || lab.iter().all(|pid| is_gone(*pid)));
            assert!(gone, "{when}: processes have not ended: {lab:?}");
            // The entry removes data in loopback mode; when it is the one killed, the next run does.
            if mode != "loopback" || !["entry", "init"].contains(&name) {
                let removed = within(GONE_LIMIT, || data_left(out.path()).is_empty());
                assert!(removed, "{when}: data is left: {:?}", data_left(out.path()));
            }
            eprintln!("{when}: nothing left");
        }
        let heal = awaited(kbench().args(["heal", "--all", "--out"]).arg(out.path()));
        assert!(heal.status.success(), "{}", String::from_utf8_lossy(&heal.stderr));
        assert!(data_left(out.path()).is_empty(), "{mode}: data is left after healing");
    }
}
