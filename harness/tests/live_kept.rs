//! A kept cluster: runs on it, what a killed run leaves on it, and that `kbench heal` undoes that.

#![expect(clippy::expect_used, reason = "a test that cannot set itself up has failed")]

mod support;

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use support::kept::Kept;
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

/// What a command says that is run on a node of the cluster.
fn on_node(kept: &Kept, node: &str, command: &[&str]) -> String {
    let exec = ["cluster", "exec", "guide", "--node", node, "--"];
    kept.kbench(&[&exec, command].concat()).1
}

/// Which faults are in force: by the kernel's word alone.
fn in_force(kept: &Kept) -> [bool; 3] {
    let (_, status) = kept.kbench(&["cluster", "status", "guide"]);
    let paused = status.lines().any(|line| line.contains("broker 2") && line.contains("paused"));
    let disk = on_node(kept, "worker-node3", &["df", "/run/kbench/worker-node3-zookeeper"]);
    let used = |line: &str| line.split_whitespace().nth(4) == Some("100%");
    let tables = on_node(kept, "cpu-node1", &["nft", "list", "tables"]);
    [tables.contains("table inet kbench"), paused, disk.lines().any(used)]
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
    assert_eq!(in_force(&kept), [false; 3]);
    let plan = kept.folder().join("left-behind.toml");
    fs::write(&plan, PLAN).expect("a plan");
    let mut run = kbench()
        .args(["run", "--on", "guide", "--workload", "smoke", "--faults"])
        .arg(&plan)
        .env("KBENCH_CLUSTERS", kept.clusters())
        .env("KBENCH_OUT", kept.folder())
        .stderr(fs::File::create(kept.folder().join("stderr")).expect("a file"))
        .spawn()
        .expect("kbench starts");
    let trial = || latest(kept.folder());
    let injected = |id: &str| {
        kept.folder().join("latest/events.jsonl").is_file()
            && events(&trial())
                .iter()
                .any(|event| event["event"] == "fault-injected" && event["fault_id"] == id)
    };
    let mut over = false;
    let all = within(INJECTED, || {
        over = run.try_wait().expect("a child").is_some();
        over || ["cut", "paused", "full"].into_iter().all(injected)
    }) && !over;
    assert!(all, "{}", stderr(kept.folder()));

    // The cluster is one run's.
    let (code, text) =
        kept.kbench(&["run", "--on", "guide", "--workload", "smoke", "--faults", "none"]);
    assert_eq!(code, Some(2), "{text}");
    assert!(flat(&text).contains("the cluster guide is in use: run "), "{text}");
    fs::remove_file(kept.folder().join("latest")).expect("the newest run is the refused one");

    kill(Pid::from_raw(run.id() as i32), Signal::SIGKILL).expect("a signal");
    run.wait().expect("a child");
    let runs = fs::read_dir(kept.folder()).expect("a folder").flatten();
    let killed = runs
        .map(|entry| entry.path())
        .find(|path| path.join("undo.jsonl").is_file())
        .expect("the run's directory");
    let gone = within(GONE, || processes_of(&killed).is_empty());
    assert!(gone, "{:?} outlive the coordinator", processes_of(&killed));
    assert_eq!(in_force(&kept), [true; 3], "the faults outlast the run");

    // What a copy of the run asks for is not done to a cluster, whoever wrote it.
    let copy = kept.folder().join("copy");
    let copied = Command::new("cp").arg("-a").args([&killed, &copy]).status();
    assert!(copied.expect("cp").success());
    let (code, text) = kept.kbench(&["heal", &copy.to_string_lossy()]);
    assert!(code == Some(3) && text.contains("no run in this directory"), "{code:?} {text}");
    assert_eq!(in_force(&kept), [true; 3], "{text}");
    fs::remove_dir_all(copy).expect("a folder");

    let name = killed.to_string_lossy().into_owned();
    let (code, text) = kept.kbench(&["heal", &name]);
    eprintln!("{text}");
    assert_eq!(code, Some(0), "{text}");
    assert_eq!(in_force(&kept), [false; 3], "{text}");
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
    assert!(processes_of(kept.folder()).is_empty(), "{text}");
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
