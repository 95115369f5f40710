//! Containers that run already, on an engine that `ci/docker-engine` starts for this test: they are hurt, also by a kbench
//! that is killed, and left as they were.

#![expect(clippy::expect_used, reason = "a test that cannot set itself up has failed")]

mod support;

use std::path::Path;
use std::process::Child;
use std::time::Duration;

use serde_json::Value;
use support::adopted::{Adopted, docker, fact, facts};
use support::during::await_event;
use support::engine::{WITH_ENGINE, image_is_made, timed, with_an_engine};
use support::scenario::{outcomes, valid_report};
use support::*;

/// Limit for a run.
const RUN: Duration = Duration::from_secs(300);

/// A leader is killed, one is cut off, one loses packets.
const KILL_CUT_LOSS: &str = r#"
name = "kill-cut-loss"
description = "A leader is killed, one is cut off for a moment, one loses packets"

[[step]]
id = "leader"
fault = "kill"
target = { leader = { not_controller = true } }
prepare = "restore-leaders"
until = "recovered"
recover_within = "60s"

[[step]]
id = "isolated"
fault = { cut = { from = "other-nodes" } }
target = { leader = { not_controller = true } }
prepare = "restore-leaders"
hold = "4s"
expect = "anything"

[[step]]
id = "loss"
fault = { degrade = { loss = 10 } }
target = { leader = { not_controller = true } }
prepare = "restore-leaders"
hold = "5s"
expect = "anything"
"#;

/// One broker is cut off, one stands still, one is killed: all at once, for longer than anybody waits.
const ALL_AT_ONCE: &str = r#"
name = "all-at-once"
description = "Each broker is hurt in a way of its own"
allows = ["data-loss"]

[[step]]
id = "isolated"
fault = { cut = { from = "other-nodes" } }
target = { broker = CUT }
hold = "90s"
expect = "anything"

[[step]]
id = "paused"
fault = "pause"
target = { broker = PAUSED }
start = { at = "500ms" }
hold = "90s"
expect = "anything"

[[step]]
id = "killed"
fault = "kill"
target = { broker = KILLED }
start = { at = "1s" }
hold = "90s"
expect = "anything"
"#;

#[test]
#[ignore = "starts a real cluster in containers"]
fn containers_that_run_already_are_left_as_they_were() {
    if std::env::var_os(WITH_ENGINE).is_none() {
        return with_an_engine("containers_that_run_already_are_left_as_they_were");
    }
    if !image_is_made() {
        return;
    }
    let adopted = Adopted::start();
    let name = adopted.hurt_name();
    adopted.is_as_before();
    timed("refusals", || what_cannot_be_adopted_is_refused(&adopted, &name));
    timed("faults", || faults_are_undone(&adopted, &name));
    timed("a kbench that is killed", || what_a_killed_kbench_leaves_is_healed(&adopted, &name));
}

/// `kbench run` on adopted containers.
fn on_adopted(adopted: &Adopted, name: &str, out: &Path, faults: &str) -> Child {
    let inventory = adopted.inventory().display().to_string();
    let arguments = ["--cluster", &inventory, "--yes-hurt-this-cluster", name];
    start(out, &[&arguments[..], &["--workload", "smoke", "--faults", faults]].concat())
}

/// A plan of the test's own, in a file.
fn plan_of(adopted: &Adopted, text: &str) -> String {
    let file = adopted.folder.path().join("plan.toml");
    std::fs::write(&file, text).expect("a file");
    file.display().to_string()
}

fn what_cannot_be_adopted_is_refused(adopted: &Adopted, name: &str) {
    let good = std::fs::read_to_string(adopted.inventory()).expect("a file");
    let exchanged = good.replace("broker = 1", "broker = 9");
    let exchanged =
        exchanged.replace("broker = 2", "broker = 1").replace("broker = 9", "broker = 2");
    for (text, faults, code, words) in [
        (good.clone(), "clock-jumps", 2, "are left alone"),
        (good.clone(), "link-down", 2, "has lost its routes"),
        (good.replace("\"restart\", ", ""), "failover", 2, "does not allow `restart`"),
        (exchanged, "failover", 4, "does not lead into its container"),
        (good.replace("\"zookeeper\"\nzoo", "\"nobody\"\nzoo"), "failover", 2, "has 0 containers"),
    ] {
        let out = folder();
        let file = out.path().join("inventory.toml");
        std::fs::write(&file, text).expect("a file");
        let mut run = kbench();
        run.args([
            "run",
            "--workload",
            "smoke",
            "--faults",
            faults,
            "--yes-hurt-this-cluster",
            name,
        ]);
        let (seen, _, said) = output(run.arg("--cluster").arg(&file).arg("--out").arg(out.path()));
        let said = flat(&said);
        assert!(seen == Some(code) && said.contains(words), "{faults}: {seen:?} {said}");
    }
    adopted.is_as_before();
}

fn faults_are_undone(adopted: &Adopted, name: &str) {
    let out = folder();
    let mut run = on_adopted(adopted, name, out.path(), &plan_of(adopted, KILL_CUT_LOSS));
    await_event(&mut run, out.path(), |event| event["event"] == "fault-injected");
    assert_eq!(fact("kafka-1", "{{.HostConfig.RestartPolicy.Name}}"), "no", "it is held off");
    let code = exit_code(&mut run, RUN, out.path());
    adopted.is_as_before();
    let report = json(&latest(out.path()).join("report.json"));
    let faults = report["faults"].as_array().expect("faults");
    assert_eq!(faults.len(), 3, "{report}");
    for fault in faults {
        assert!(fault["proven"] == true && fault["heal_proven"] == true, "{fault}");
        eprintln!("{}: {}", fault["id"], fault["evidence"]);
    }
    let Some(report) = valid_report("faults on adopted containers", out.path(), code) else {
        return;
    };
    let environment = json(&latest(out.path()).join("environment.json"));
    let mode = environment["mode"].as_str().unwrap_or_default();
    assert!(mode.starts_with("containers of adopted, which ran already"), "{mode}");
    assert!(mode.contains("held off: restart policy always of kafka-1"), "{mode}");
    assert_eq!(environment["kafka"], "3.9.1", "{environment}");
    assert_eq!(environment["settings"]["zk_session_timeout_ms"], 6000);
    outcomes(&report, &[("leader-failover", "holds"), ("no-acked-loss", "holds")]);
    let marks = events(&latest(out.path()));
    assert!(marks.iter().any(|event| event["event"] == "log-mark"), "no log was fetched");
}

/// Who coordinates the group that is kbench's lock: the leader of the partition by whose number Kafka finds it, the
/// `hashCode` of its name among the 10 that there are.
fn lock_coordinator() -> u8 {
    let java = [
        "exec",
        "kafka-1",
        "java",
        "-cp",
        "/opt/kafka/libs/*",
        "org.apache.kafka.tools.TopicCommand",
    ];
    let which = ["--bootstrap-server", "198.19.200.11:9092", "--topic", "__consumer_offsets"];
    let said = docker(&[&java[..], &which, &["--describe"]].concat());
    let leader = |broker: &u8| said.contains(&format!("Partition: 3\tLeader: {broker}"));
    (1..=3).find(leader).unwrap_or_else(|| panic!("{said}"))
}

fn what_a_killed_kbench_leaves_is_healed(adopted: &Adopted, name: &str) {
    let out = folder();
    // Who coordinates the group that is kbench's lock is cut off: it answers, and can do nothing.
    let cut = lock_coordinator();
    let [paused, killed] = [cut % 3 + 1, (cut + 1) % 3 + 1];
    let brokers = [("CUT", cut), ("PAUSED", paused), ("KILLED", killed)];
    let plan = brokers.into_iter().fold(ALL_AT_ONCE.to_owned(), |plan, (role, broker)| {
        plan.replace(role, &broker.to_string())
    });
    let plan = plan_of(adopted, &plan);
    let mut run = on_adopted(adopted, name, out.path(), &plan);
    let injected =
        |event: &Value| event["event"] == "fault-injected" && event["fault_id"] == "killed";
    await_event(&mut run, out.path(), injected);
    run.kill().expect("it runs");
    run.wait().expect("a child");
    let of_killed = format!("kafka-{killed}");
    let ended = || fact(&of_killed, "{{.State.Status}}") == "exited";
    assert!(within(Duration::from_secs(10), ended), "{}", facts());
    assert_eq!(fact(&of_killed, "{{.HostConfig.RestartPolicy.Name}}"), "no");
    let left = adopted.hurt();
    let is_left = |what: String| left.iter().any(|line| line.starts_with(&what));
    assert!(left.len() == 2 && is_left(format!("kafka-{paused} stands still")), "{left:?}");
    assert!(is_left(format!("kafka-{cut}: table inet kbench-")), "{left:?}");
    let heal = || {
        let mut heal = kbench();
        heal.args(["heal", "latest", "--yes-hurt-this-cluster", name, "--out"]).arg(out.path());
        output(&mut heal)
    };
    let (code, said, wrong) = heal();
    assert_eq!(code, Some(0), "{said}\n{wrong}");
    eprintln!("{said}{wrong}");
    assert!(flat(&wrong).contains("its coordinator cannot store them"), "{wrong}");
    adopted.is_as_before();
    let (code, again, wrong) = heal();
    assert!(code == Some(0) && !again.contains("restart policy"), "{again}{wrong}");
}
