//! Runs on clusters that run already.

#![allow(dead_code, reason = "each test binary uses a part")]

use std::path::Path;

use super::*;

/// Exit code and text of `kbench run` on a cluster.
pub(crate) fn run(out: &Path, bootstrap: &str, arguments: &[&str]) -> (Option<i32>, String) {
    let mut command = kbench();
    command.args(["run", "--workload", "smoke", "--bootstrap-server", bootstrap]);
    command.args(arguments).arg("--out").arg(out);
    let (code, stdout, stderr) = output(&mut command);
    (code, format!("{stdout}{stderr}"))
}

/// Asserts that the newest run in `out` found nothing wrong but with the machine, and that what it cannot have
/// seen is not there.
pub(crate) fn assert_valid(out: &Path, text: &str) -> serde_json::Value {
    let report = json(&latest(out).join("report.json"));
    eprintln!("{}: {}", report["run"]["plan"], report["verdict"]);
    let checks = report["checks"].as_array().expect("checks");
    let busy = checks.iter().any(|check| check["verdict"] != "valid" && of_the_machine(check));
    for check in checks {
        // On a machine that is busy, what was expected of the plan is not judged.
        let unjudged = busy && check["verdict"] == "unknown";
        let fine = check["verdict"] == "valid" || of_the_machine(check) || unjudged;
        assert!(fine, "{check}\n{text}");
    }
    // Its own servers are no others that take its CPUs, though they are on this machine.
    let theirs = text.lines().filter(|line| line.contains("most of it java"));
    assert_eq!(theirs.collect::<Vec<_>>(), [""; 0], "{text}");
    assert!(report["load"]["acked"].as_u64().is_some_and(|acked| acked > 500), "{text}");
    let environment = &report["environments"][0]["environment"];
    assert_eq!(environment["java"], "not seen", "{environment}");
    for unseen in ["zk_session_timeout_ms", "zk_tick_ms", "zk_servers"] {
        assert!(environment["settings"][unseen].is_null(), "{unseen}: {environment}");
    }
    assert!(flat(text).contains("nothing is predicted: "), "{text}");
    let of_plane =
        ["controller-elected", "broker-registered", "partition-state", "process-started"];
    for event in events(&latest(out)) {
        assert!(!of_plane.iter().any(|name| event["event"] == *name), "{event}");
    }
    report
}
