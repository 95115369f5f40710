//! Old and new versions of Kafka carry out the main plan, from a broker 0 on, at a short session time-out.

mod support;

use std::time::Duration;

use support::*;

/// Limit for a run, the fetch of its jars included.
const RUN: Duration = Duration::from_secs(300);

/// Of these, the first two come with a ZooKeeper without persistent watches.
const VERSIONS: [(&str, bool); 4] =
    [("2.6.3", false), ("2.8.2", false), ("3.0.2", true), ("3.5.2", true)];

/// The guide's cluster with brokers 0 to 2.
fn from_zero() -> String {
    let mut text = kbench::topology::SHIPPED[0].1.to_owned();
    for (from, to) in [
        ("broker = 1\n", "broker = 0\n"),
        ("broker = 2\n", "broker = 1\n"),
        ("broker = 3\n", "broker = 2\n"),
        ("[[1, 2, 3], [2, 3, 1], [3, 1, 2]]", "[[0, 1, 2], [1, 2, 0], [2, 0, 1]]"),
    ] {
        assert!(text.contains(from), "{from}");
        text = text.replace(from, to);
    }
    text
}

#[test]
#[ignore = "starts a real cluster"]
fn the_oldest_and_later_versions_carry_out_failover() {
    for (version, persistent) in VERSIONS {
        let out = folder();
        let cluster = out.path().join("cluster.toml");
        std::fs::write(&cluster, from_zero()).expect("a file");
        let cluster = cluster.display().to_string();
        let arguments = ["--kafka-version", version, "--cluster", &cluster];
        let load = ["--workload", "smoke", "--set", SHORT_SESSION];
        let mut run = start(out.path(), &[&arguments[..], &load].concat());
        let code = exit_code(&mut run, RUN, out.path());
        let said = stderr(out.path());
        if said.contains("Maven could not fetch") || said.contains("Maven cannot be started") {
            skipped(version, "its jars cannot be fetched here");
            continue;
        }
        let text = stdout(out.path());
        eprintln!("{text}");
        assert_eq!(code, 0, "{version}: {said}");
        let report = json(&latest(out.path()).join("report.json"));
        assert_eq!(report["verdict"], "valid", "{version}: {text}");
        let environment = &report["environments"][0]["environment"];
        assert_eq!(environment["kafka"], version);
        assert_eq!(environment["observer"].is_null(), persistent, "{version}: {environment}");
        assert_eq!(flat(&text).contains("no persistent watches"), !persistent, "{text}");
        let faults = report["faults"].as_array().expect("faults");
        assert_eq!(faults.len(), 3, "{version}");
        for fault in faults {
            assert_eq!((&fault["proven"], &fault["heal_proven"]), (&true.into(), &true.into()));
            // The controller was lost in the first and the last, and its successor seen.
            let failover = &fault["controller"];
            assert_eq!(failover.is_null(), fault["id"] == "leader", "{version}: {fault}");
            assert!(failover.is_null() || failover["to"].is_i64(), "{version}: {failover}");
        }
    }
}
