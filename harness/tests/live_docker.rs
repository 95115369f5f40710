//! Clusters of containers, on an engine that `ci/docker-engine` starts for this test: images, ours and such as others
//! make them, faults, the conformance suite, an engine that ends, and what a kbench leaves that is killed.

#![expect(clippy::expect_used, reason = "a test that cannot set itself up has failed")]

mod support;

use std::io::Write as _;
use std::process::{Command, Stdio};
use std::time::Duration;

use serde_json::Value;
use support::engine::{BASE, WITH_ENGINE, image_is_made, timed, with_an_engine};
use support::scenario::{outcomes, valid_report};
use support::*;

/// The file with the engine's pid, where it is one that may be ended.
const ENGINE_PID: &str = "KBENCH_ENGINE_PID";

/// Limit for a run.
const RUN: Duration = Duration::from_secs(300);

/// Kills are spread over this long after the start: into the second fault.
const KILL_WITHIN: Duration = Duration::from_secs(40);

/// One kill of the default scenario, which shows whether its outcome is the local cluster's, and what containers do by
/// their control groups.
const PLAN: &str = r#"
name = "containers"
description = "A leader is killed, another is slowed down, a third one gets no more memory"

[[step]]
id = "leader"
fault = "kill"
target = { leader = { not_controller = true } }
until = "recovered"
recover_within = "60s"

[[step]]
id = "cpu"
fault = { slow-cpu = { percent = 20 } }
target = { leader = { not_controller = true } }
hold = "3s"
expect = "anything"

[[step]]
id = "memory"
fault = "no-memory"
target = { leader = { not_controller = true } }
hold = "5s"
expect = "anything"
"#;

/// Images that are laid out as others' are, made of ours and its base: what is copied where, and what else is done.
const STAND_INS: [(&str, &str, &str); 5] = [
    (
        "stand-in/cp-kafka",
        "/usr/share/java/kafka",
        "cd /usr/share/java/kafka && mv kafka_2.13-3.9.1.jar kafka_2.13-7.9.1-ccs.jar",
    ),
    (
        "stand-in/zookeeper",
        "/apache-zookeeper-3.8.4-bin/lib",
        "rm /apache-zookeeper-3.8.4-bin/lib/kafka* && mkdir -p /opt/java && \
         ln -s $(dirname $(dirname $(readlink -f /usr/bin/java))) /opt/java/openjdk && rm /usr/bin/java",
    ),
    (
        "stand-in/bitnami-kafka",
        "/opt/bitnami/kafka/libs",
        "ln -s $(dirname $(dirname $(readlink -f /usr/bin/java))) /opt/bitnami/java && rm /usr/bin/java",
    ),
    ("stand-in/bitnami-zookeeper", "/opt/bitnami/zookeeper/lib", "true"),
    ("stand-in/no-java", "/opt/kafka/libs", "rm /usr/bin/java"),
];

#[test]
#[ignore = "starts a real cluster of containers"]
fn containers_are_a_backend() {
    if std::env::var_os(WITH_ENGINE).is_none() {
        return with_an_engine("containers_are_a_backend");
    }
    if !image_is_made() {
        return;
    }
    for (name, jars, change) in STAND_INS {
        make(name, jars, change);
    }
    timed("refusals", what_is_not_to_be_had_is_refused);
    timed("a kbench that is killed", one_that_is_killed_leaves_nothing);
    timed("the suite", it_is_a_backend);
    timed("faults", faults_on_images_of_others);
    timed("an engine that is started again", an_engine_that_is_started_again_is_no_finding);
}

/// Makes an image by the engine's own client.
fn make(name: &str, jars: &str, change: &str) {
    let text = format!(
        "FROM kbench-kafka:3.9.1 AS ours\nFROM {BASE}\nCOPY --from=ours /opt/kafka/libs {jars}\n\
         RUN {change}\nVOLUME /data\nEXPOSE 9092 2181\nUSER nobody\nENTRYPOINT [\"/bin/false\"]\n"
    );
    let mut docker = Command::new("docker");
    docker.args(["build", "--quiet", "--tag", name, "-"]).env("DOCKER_BUILDKIT", "0");
    docker.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut docker = docker.spawn().expect("docker starts");
    let mut input = docker.stdin.take().expect("a pipe");
    input.write_all(text.as_bytes()).expect("it reads");
    drop(input);
    let built = docker.wait_with_output().expect("docker ends");
    assert!(built.status.success(), "{name}: {}", String::from_utf8_lossy(&built.stderr));
}

/// What Docker still has that is kbench's.
fn left() -> String {
    let listed = |of: &[&str]| {
        let ours = ["--quiet", "--filter", "label=io.kbench.holder"];
        let listed = awaited(Command::new("docker").args(of).args(ours));
        assert!(listed.status.success(), "{}", String::from_utf8_lossy(&listed.stderr));
        String::from_utf8_lossy(&listed.stdout).into_owned()
    };
    listed(&["ps", "--all"]) + &listed(&["network", "ls"])
}

fn what_is_not_to_be_had_is_refused() {
    for (arguments, code, words) in [
        (&["--faults", "clock-jumps"][..], 2, "clocks of containers are not acted on"),
        (&["--faults", "rolling-upgrade"], 2, "an image holds one version"),
        (&["--image", "no-such-image"], 4, "kbench cluster image --base"),
        (&["--image", BASE], 2, "/opt/kafka/libs (as in apache/kafka)"),
        (&["--image", "broker=stand-in/zookeeper"], 2, "has no broker that kbench finds"),
        (&["--image", "stand-in/no-java"], 2, "has no Java: `java` was looked for in"),
        (&["--image", "controller=x"], 2, "no role `controller`"),
        (&["--kafka-version", "2.8.2", "--image", "kbench-kafka:3.9.1"], 2, "has Kafka 3.9.1"),
    ] {
        let out = folder();
        let run = ["run", "--backend", "docker", "--workload", "smoke"];
        let mut command = kbench();
        command.args(run).args(arguments).arg("--out").arg(out.path());
        let refused = awaited(&mut command);
        let said = flat(&String::from_utf8_lossy(&refused.stderr));
        assert_eq!(refused.status.code(), Some(code), "{arguments:?}: {said}");
        assert!(said.contains(words), "{arguments:?}: {said}");
    }
    let bitnami = [
        "--image",
        "broker=stand-in/bitnami-kafka",
        "--image",
        "zookeeper=stand-in/bitnami-zookeeper",
    ];
    for (images, named) in [
        (&[][..], "image kbench-kafka:3.9.1 is there"),
        (&bitnami, "image stand-in/bitnami-kafka and stand-in/bitnami-zookeeper is there"),
    ] {
        let mut doctor = kbench();
        let healthy = awaited(doctor.args(["doctor", "--backend", "docker"]).args(images));
        let said = String::from_utf8_lossy(&healthy.stdout);
        assert!(healthy.status.success() && said.contains(named), "{said}");
    }
    assert_eq!(left(), "");
}

/// A kbench is killed at a moment of a run with faults: in its start, its load, or in the middle of a fault.
fn one_that_is_killed_leaves_nothing() {
    let rounds = kills(1);
    (0..rounds).for_each(|round| killed_after(moment(round, rounds, KILL_WITHIN)));
}

fn killed_after(after: Duration) {
    let out = folder();
    eprintln!("killed after {after:?}");
    let arguments = ["--backend", "docker", "--workload", "smoke", "--set", SHORT_SESSION];
    let mut killed = start(out.path(), &arguments);
    std::thread::sleep(after);
    killed.kill().expect("it runs");
    killed.wait().expect("a child");
    let named = format!("KBENCH_DATA={}", out.path().display());
    let ours = || processes().into_iter().any(|(.., line)| line.contains(&named));
    assert!(within(Duration::from_secs(20), || !ours()), "processes are left");
    let heal = || awaited(kbench().args(["heal", "--all", "--out"]).arg(out.path()));
    let healed = heal();
    let said = String::from_utf8_lossy(&healed.stdout);
    assert!(healed.status.success(), "{said}");
    assert_eq!(left(), "", "{said}");
    let again = String::from_utf8_lossy(&heal().stdout).into_owned();
    assert!(!again.contains("removed"), "{again}");
}

fn it_is_a_backend() {
    suite::passes(folder().path(), &["docker"]);
    assert_eq!(left(), "");
}

fn faults_on_images_of_others() {
    let out = folder();
    let plan = out.path().join("containers.toml");
    std::fs::write(&plan, PLAN).expect("the plan");
    let plan = plan.display().to_string();
    let images = ["--image", "broker=stand-in/cp-kafka", "--image", "zookeeper=stand-in/zookeeper"];
    let arguments = ["--backend", "docker", "--workload", "smoke", "--faults", plan.as_str()];
    let arguments = [&arguments[..], &images].concat();
    let code = exit_code(&mut start(out.path(), &arguments), RUN, out.path());
    assert_eq!(left(), "");
    let what = "faults on containers of others' images";
    let Some(report) = valid_report(what, out.path(), code) else { return };
    let environment = json(&latest(out.path()).join("environment.json"));
    let mode = environment["mode"].as_str().unwrap_or_default();
    assert!(mode.starts_with("containers of stand-in/cp-kafka and stand-in/zookeeper"), "{mode}");
    assert_eq!(environment["kafka"], "7.9.1-ccs", "{environment}");
    // As on a local cluster: see `live_failover`.
    outcomes(&report, &[("leader-failover", "holds"), ("no-acked-loss", "holds")]);
    let events = events(&latest(out.path()));
    let events = events.iter().map(Value::to_string).collect::<Vec<_>>();
    for (step, seen) in [("cpu", "its control group has 20 % of a CPU"), ("memory", "allowed: ")] {
        let of_step = |event: &&String| event.contains(&format!("\"{step}\""));
        let told: Vec<_> = events.iter().filter(of_step).collect();
        assert!(told.iter().any(|event| event.contains(seen)), "{told:#?}");
        for word in
            told.iter().flat_map(|event| event.split('"')).filter(|word| word.contains("group"))
        {
            eprintln!("{word}");
        }
    }
}

/// An engine that ends takes its containers with it, which is nothing that Kafka did.
fn an_engine_that_is_started_again_is_no_finding() {
    let Some(file) = std::env::var_os(ENGINE_PID) else {
        return skipped("an engine that is started again", "it is not this test's to end");
    };
    let out = folder();
    let arguments = ["--backend", "docker", "--workload", "smoke", "--faults", "none"];
    let mut run = start(out.path(), &arguments);
    let loaded = within(RUN, || {
        let events = std::fs::read_to_string(out.path().join("latest/events.jsonl"));
        events.is_ok_and(|events| events.contains("cluster-ready"))
    });
    assert!(loaded, "{}", stderr(out.path()));
    let pid = std::fs::read_to_string(&file).expect("the engine's pid");
    let ended = Command::new("kill").arg(pid.trim()).status().expect("kill starts");
    assert!(ended.success());
    let code = exit_code(&mut run, RUN, out.path());
    let said = flat(&stderr(out.path()));
    assert_eq!(code, 4, "{said}");
    assert!(said.contains("has ended in the middle of the trial"), "{said}");
    let report = json(&latest(out.path()).join("report.json"));
    assert_ne!(report["verdict"], "violated", "{report}");
    let answers = || awaited(Command::new("docker").arg("version")).status.success();
    assert!(within(Duration::from_secs(30), answers), "the engine is not there again");
    let healed = awaited(kbench().args(["heal", "--all", "--out"]).arg(out.path()));
    assert!(healed.status.success());
    assert_eq!(left(), "");
}
