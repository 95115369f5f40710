//! A kept cluster: runs on it, what a killed run leaves on it, and that `kbench heal` undoes that.

#![expect(clippy::expect_used, reason = "a test that cannot set itself up has failed")]

mod support;

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use support::*;

/// Limit for the faults to be injected: the run has to start its load, and no server.
const INJECTED: Duration = Duration::from_secs(90);

/// Limit for what is killed to be gone.
const GONE: Duration = Duration::from_secs(10);

/// Three faults, each of another kind, that last longer than the run: rules in a node's network, a
/// signal, a disk without room. The processes stay up.
const PLAN: &str = r#"
name = "left-behind"
description = "Faults that outlast the run that injected them"

[[step]]
id = "cut"
fault = { cut = { from = "clients" } }
target = { broker = 1 }
hold = "120s"

[[step]]
id = "paused"
fault = "pause"
target = { broker = 2 }
start = { at = "500ms" }
hold = "120s"

[[step]]
id = "full"
fault = "full-disk"
target = { zookeeper = 3 }
start = { at = "500ms" }
hold = "120s"
"#;

/// A kept cluster of one test; it ends with the test, however that ends.
struct Kept {
    folder: tempfile::TempDir,
}

impl Kept {
    fn up(arguments: &[&str]) -> Self {
        let kept = Self { folder: folder() };
        // As somebody does who takes turns: the cluster must not hold the lock on.
        let lock = kept.folder.path().join("turn");
        let mut command = std::process::Command::new("flock");
        command.arg(&lock).arg(env!("CARGO_BIN_EXE_kbench")).args(["cluster", "up"]);
        command.args(arguments).env("KBENCH_CLUSTERS", kept.clusters()).env("NO_COLOR", "1");
        let (code, text, stderr) = output(&mut command);
        assert_eq!(code, Some(0), "{text}{stderr}");
        let turn = std::process::Command::new("flock").arg("-n").arg(&lock).arg("true").status();
        assert!(turn.expect("flock").success(), "the cluster holds what it inherited");
        kept
    }

    fn clusters(&self) -> PathBuf {
        self.folder.path().join("clusters")
    }

    /// Exit code and text of a `kbench` command that knows the cluster and its runs.
    fn kbench(&self, arguments: &[&str]) -> (Option<i32>, String) {
        let mut command = kbench();
        command.args(arguments).env("KBENCH_CLUSTERS", self.clusters());
        let (code, stdout, stderr) = output(command.env("KBENCH_OUT", self.folder.path()));
        (code, format!("{stdout}{stderr}"))
    }

    /// What a command says that is run on a node of the cluster.
    fn on_node(&self, node: &str, command: &[&str]) -> String {
        let exec = ["cluster", "exec", "guide", "--node", node, "--"];
        self.kbench(&[&exec, command].concat()).1
    }

    /// Which faults are in force: by the kernel's word alone.
    fn in_force(&self) -> [bool; 3] {
        let (_, status) = self.kbench(&["cluster", "status", "guide"]);
        let paused =
            status.lines().any(|line| line.contains("broker 2") && line.contains("paused"));
        let disk = self.on_node("worker-node3", &["df", "/run/kbench/worker-node3-zookeeper"]);
        let used = |line: &str| line.split_whitespace().nth(4) == Some("100%");
        let tables = self.on_node("cpu-node1", &["nft", "list", "tables"]);
        [tables.contains("table inet kbench"), paused, disk.lines().any(used)]
    }
}

impl Drop for Kept {
    fn drop(&mut self) {
        // A test that has failed has said why.
        drop(self.kbench(&["cluster", "down", "--all"]));
    }
}

/// Every process of the machine whose environment names a folder.
fn processes_of(folder: &Path) -> Vec<String> {
    let folder = folder.to_string_lossy().into_owned();
    let names = |pid: &str| {
        let environment = fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
        String::from_utf8_lossy(&environment).contains(&format!("KBENCH_DATA={folder}"))
    };
    let all = fs::read_dir("/proc").expect("/proc").flatten();
    let pids = all.map(|entry| entry.file_name().to_string_lossy().into_owned());
    pids.filter(|pid| names(pid)).collect()
}

#[test]
#[ignore = "starts a real cluster"]
fn what_a_killed_run_leaves_on_a_kept_cluster_is_undone_by_heal() {
    let kept = Kept::up(&["--set", SHORT_SESSION]);
    assert_eq!(kept.in_force(), [false; 3]);
    let plan = kept.folder.path().join("left-behind.toml");
    fs::write(&plan, PLAN).expect("a plan");
    let mut run = kbench()
        .args(["run", "--on", "guide", "--workload", "smoke", "--faults"])
        .arg(&plan)
        .env("KBENCH_CLUSTERS", kept.clusters())
        .env("KBENCH_OUT", kept.folder.path())
        .stderr(fs::File::create(kept.folder.path().join("stderr")).expect("a file"))
        .spawn()
        .expect("kbench starts");
    let trial = || latest(kept.folder.path());
    let injected = |id: &str| {
        kept.folder.path().join("latest/events.jsonl").is_file()
            && events(&trial())
                .iter()
                .any(|event| event["event"] == "fault-injected" && event["fault_id"] == id)
    };
    let mut over = false;
    let all = within(INJECTED, || {
        over = run.try_wait().expect("a child").is_some();
        over || ["cut", "paused", "full"].into_iter().all(injected)
    }) && !over;
    assert!(all, "{}", stderr(kept.folder.path()));

    // The cluster is one run's.
    let (code, text) =
        kept.kbench(&["run", "--on", "guide", "--workload", "smoke", "--faults", "none"]);
    assert_eq!(code, Some(2), "{text}");
    assert!(flat(&text).contains("the cluster guide is in use: run "), "{text}");
    fs::remove_file(kept.folder.path().join("latest")).expect("the newest run is the refused one");

    kill(Pid::from_raw(run.id() as i32), Signal::SIGKILL).expect("a signal");
    run.wait().expect("a child");
    let runs = fs::read_dir(kept.folder.path()).expect("a folder").flatten();
    let killed = runs
        .map(|entry| entry.path())
        .find(|path| path.join("undo.jsonl").is_file())
        .expect("the run's directory");
    let gone = within(GONE, || processes_of(&killed).is_empty());
    assert!(gone, "{:?} outlive the coordinator", processes_of(&killed));
    assert_eq!(kept.in_force(), [true; 3], "the faults outlast the run");

    let name = killed.to_string_lossy().into_owned();
    let (code, text) = kept.kbench(&["heal", &name]);
    eprintln!("{text}");
    assert_eq!(code, Some(0), "{text}");
    assert_eq!(kept.in_force(), [false; 3], "{text}");
    for what in ["end the cut of", "resume broker 2", "repair zookeeper 3"] {
        assert!(text.contains(what), "{what}: {text}");
    }
    let (code, text) = kept.kbench(&["heal", &name]);
    assert_eq!(code, Some(0), "{text}");
    assert!(text.contains("nothing to heal"), "{text}");

    // Healed, it is as good as new: nothing of the killed run is in the topics of the next. Another
    // group, as the killed one's members are missed after 45 s.
    let healthy = ["run", "--on", "guide", "--workload", "smoke", "--faults", "none"];
    let more = ["--duration", "3s", "--set", "workload.consumers.group=next"];
    let (_, text) = kept.kbench(&[&healthy[..], &more].concat());
    let report = json(&trial().join("report.json"));
    // A machine that is busy with other work makes a run invalid.
    assert!(
        ["valid", "invalid-run"].contains(&report["verdict"].as_str().unwrap_or("?")),
        "{text}"
    );
    let checks = report["checks"].as_array().expect("checks");
    assert!(!checks.is_empty() && checks.iter().all(|c| c["verdict"] != "violated"), "{text}");

    let (code, text) = kept.kbench(&["cluster", "down", "guide"]);
    assert_eq!(code, Some(0), "{text}");
    assert!(processes_of(kept.folder.path()).is_empty(), "{text}");
    let (_, text) = kept.kbench(&["cluster", "status"]);
    assert!(text.contains("guide: ended") && !text.contains("left"), "{text}");
}

/// A run in a sandbox of its own takes its cluster with it, which `heal` only says when it is so.
#[test]
#[ignore = "starts a real cluster"]
fn a_killed_run_s_cluster_is_gone_when_heal_says_so() {
    let out = folder();
    let arguments = ["--workload", "smoke", "--set", SHORT_SESSION, "--mode", "loopback"];
    let mut run = start(out.path(), &arguments);
    let struck = || {
        let ledger = out.path().join("latest/undo.jsonl");
        fs::read_to_string(ledger).is_ok_and(|text| text.contains("planned"))
    };
    assert!(within(INJECTED, struck), "{}", stderr(out.path()));
    kill(Pid::from_raw(run.id() as i32), Signal::SIGKILL).expect("a signal");
    run.wait().expect("a child");
    let (code, text, stderr) = output(kbench().args(["heal", "latest", "--out"]).arg(out.path()));
    assert_eq!(code, Some(0), "{text}{stderr}");
    assert!(text.contains("gone with the cluster"), "{text}");
    assert!(processes_of(out.path()).is_empty(), "{text}");
    assert!(!latest(out.path()).join("data").exists(), "the servers' data is left");
}
