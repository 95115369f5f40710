//! Clusters of containers, on an engine that `ci/docker-engine` starts for this test: images, ours and such as others
//! make them, faults, the conformance suite, an engine that ends, and what a kbench leaves that is killed. And containers
//! that run already, which are hurt and left as they were.

#![expect(clippy::expect_used, reason = "a test that cannot set itself up has failed")]

mod support;

use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;
use support::adopted::{Adopted, fact, facts};
use support::during::await_event;
use support::scenario::{outcomes, valid_report};
use support::*;

/// Says that the engine is there: the test starts itself again where it is.
const WITH_ENGINE: &str = "KBENCH_TEST_ENGINE";

/// The image that `ci/docker-engine` gives its engine.
const BASE: &str = "kbench-base";

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

/// The same as by ssh: a leader is killed, one is cut off, one loses packets.
const ADOPTED: &str = r#"
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
target = { broker = 3 }
hold = "90s"
expect = "anything"

[[step]]
id = "paused"
fault = "pause"
target = { broker = 2 }
start = { at = "500ms" }
hold = "90s"
expect = "anything"

[[step]]
id = "killed"
fault = "kill"
target = { broker = 1 }
start = { at = "1s" }
hold = "90s"
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

/// `ci/docker-engine` could not start one.
const NO_ENGINE: i32 = 4;

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

/// Makes our image of the engine's base; false, with a word, where that is not there.
fn image_is_made() -> bool {
    let made = kbench().args(["cluster", "image", "--base", BASE]).output().expect("kbench starts");
    let said = String::from_utf8_lossy(&made.stderr);
    if said.contains("has no image") {
        skipped("containers", "the engine that runs already has no image `kbench-base`");
        return false;
    }
    assert!(made.status.success(), "{said}");
    true
}

fn timed(what: &str, part: impl FnOnce()) {
    let began = Instant::now();
    part();
    eprintln!("{what}: {:.0} s", began.elapsed().as_secs_f64());
}

fn with_an_engine(test: &str) {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../ci/docker-engine");
    let own = std::env::current_exe().expect("this test");
    let status = Command::new(script)
        .arg("run")
        .arg(own)
        .args([test, "--exact", "--ignored", "--nocapture"])
        .env(WITH_ENGINE, "1")
        .status()
        .expect("the script starts");
    match status.code() {
        Some(NO_ENGINE) => skipped("containers", "no engine can be started here, see above"),
        code => assert_eq!(code, Some(0), "see above"),
    }
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
        let listed = Command::new("docker").args(of).args(ours).output().expect("docker starts");
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
        let refused = command.output().expect("kbench starts");
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
        let healthy = doctor.args(["doctor", "--backend", "docker"]).args(images).output();
        let healthy = healthy.expect("kbench starts");
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
    let healed = kbench().args(["heal", "--all", "--out"]).arg(out.path()).output();
    let healed = healed.expect("kbench starts");
    let said = String::from_utf8_lossy(&healed.stdout);
    assert!(healed.status.success(), "{said}");
    assert_eq!(left(), "", "{said}");
    let again = kbench().args(["heal", "--all", "--out"]).arg(out.path()).output();
    let again = String::from_utf8_lossy(&again.expect("kbench starts").stdout).into_owned();
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
    let answers =
        || Command::new("docker").arg("version").output().is_ok_and(|it| it.status.success());
    assert!(within(Duration::from_secs(30), answers), "the engine is not there again");
    let healed = kbench().args(["heal", "--all", "--out"]).arg(out.path()).output();
    assert!(healed.expect("kbench starts").status.success());
    assert_eq!(left(), "");
}

/// `kbench run` on adopted containers.
fn on_adopted(adopted: &Adopted, name: &str, out: &Path, faults: &str) -> std::process::Child {
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
    let mut run = on_adopted(adopted, name, out.path(), &plan_of(adopted, ADOPTED));
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

fn what_a_killed_kbench_leaves_is_healed(adopted: &Adopted, name: &str) {
    let out = folder();
    let mut run = on_adopted(adopted, name, out.path(), &plan_of(adopted, ALL_AT_ONCE));
    let injected =
        |event: &Value| event["event"] == "fault-injected" && event["fault_id"] == "killed";
    await_event(&mut run, out.path(), injected);
    run.kill().expect("it runs");
    run.wait().expect("a child");
    let ended = || fact("kafka-1", "{{.State.Status}}") == "exited";
    assert!(within(Duration::from_secs(10), ended), "{}", facts());
    assert_eq!(fact("kafka-1", "{{.HostConfig.RestartPolicy.Name}}"), "no");
    let left = adopted.hurt();
    assert!(left.len() == 2 && left[0] == "kafka-2 stands still", "{left:?}");
    assert!(left[1].starts_with("kafka-3: table inet kbench-"), "{left:?}");
    let heal = || {
        let mut heal = kbench();
        heal.args(["heal", "latest", "--yes-hurt-this-cluster", name, "--out"]).arg(out.path());
        output(&mut heal)
    };
    let (code, said, wrong) = heal();
    assert_eq!(code, Some(0), "{said}\n{wrong}");
    eprintln!("{said}");
    adopted.is_as_before();
    let (code, again, wrong) = heal();
    assert!(code == Some(0) && !again.contains("restart policy"), "{again}{wrong}");
}
