//! Clusters of containers, on an engine that `ci/docker-engine` starts for this test: the image, the default
//! scenario, the conformance suite, and what a kbench leaves that is killed.

#![expect(clippy::expect_used, reason = "a test that cannot set itself up has failed")]

mod support;

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant, SystemTime};

use support::scenario::{outcomes, valid_report};
use support::*;

/// Says that the engine is there: the test starts itself again where it is.
const WITH_ENGINE: &str = "KBENCH_TEST_ENGINE";

/// The image that `ci/docker-engine` gives its engine.
const BASE: &str = "kbench-base";

/// Limit for a run of the default scenario: 136 s were measured.
const DEFAULT_RUN: Duration = Duration::from_secs(300);

/// Limit for the conformance suite: 168 s were measured beside a build.
const SUITE: Duration = Duration::from_secs(400);

/// `ci/docker-engine` could not start one.
const NO_ENGINE: i32 = 4;

#[test]
#[ignore = "starts a real cluster of containers"]
fn containers_are_a_backend() {
    if std::env::var_os(WITH_ENGINE).is_none() {
        return with_an_engine();
    }
    let made = kbench().args(["cluster", "image", "--base", BASE]).output().expect("kbench starts");
    let said = String::from_utf8_lossy(&made.stderr);
    if said.contains("has no image") {
        return skipped("containers", "the engine that runs already has no image `kbench-base`");
    }
    assert!(made.status.success(), "{said}");
    what_is_not_to_be_had_is_refused();
    one_that_is_killed_leaves_nothing();
    it_is_a_backend();
    the_default_scenario_is_valid();
}

fn with_an_engine() {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../ci/docker-engine");
    let own = std::env::current_exe().expect("this test");
    let status = Command::new(script)
        .arg("run")
        .arg(own)
        .args(["containers_are_a_backend", "--exact", "--ignored", "--nocapture"])
        .env(WITH_ENGINE, "1")
        .status()
        .expect("the script starts");
    match status.code() {
        Some(NO_ENGINE) => skipped("containers", "no engine can be started here, see above"),
        code => assert_eq!(code, Some(0), "see above"),
    }
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
        (&["--image", "no-such-image"], 2, "kbench cluster image --base"),
        (&["--image", BASE], 2, "was not made by kbench"),
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
    let healthy = kbench().args(["doctor", "--backend", "docker"]).output().expect("kbench starts");
    let said = String::from_utf8_lossy(&healthy.stdout);
    assert!(healthy.status.success() && said.contains("image `kbench-kafka:"), "{said}");
    assert_eq!(left(), "");
}

/// A kbench is killed at a random moment of a run.
fn one_that_is_killed_leaves_nothing() {
    let (out, now) = (folder(), SystemTime::now());
    let since = now.duration_since(SystemTime::UNIX_EPOCH).expect("after 1970");
    let after = Duration::from_millis(500 + u64::from(since.subsec_nanos()) % 20_000);
    eprintln!("killed after {after:?}");
    let arguments = ["--backend", "docker", "--workload", "smoke", "--faults", "none"];
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
    let (out, began) = (folder(), Instant::now());
    let mut suite = kbench();
    suite.arg("__conformance").arg(out.path()).arg("docker").stdin(Stdio::null());
    let mut suite = suite.spawn().expect("kbench starts");
    let mut status = None;
    let ended = within(SUITE, || {
        status = suite.try_wait().expect("a child");
        status.is_some()
    });
    if !ended {
        suite.kill().expect("it runs");
    }
    eprintln!("the suite took {:.0} s", began.elapsed().as_secs_f64());
    assert!(ended, "the suite still runs after {SUITE:?}");
    assert!(status.is_some_and(|status| status.success()), "a case failed, see above");
    assert_eq!(left(), "");
}

fn the_default_scenario_is_valid() {
    let out = folder();
    let arguments = ["--backend", "docker", "--workload", "smoke", "--faults", "failover"];
    let code = exit_code(&mut start(out.path(), &arguments), DEFAULT_RUN, out.path());
    assert_eq!(left(), "");
    let what = "the default scenario on containers";
    let Some(report) = valid_report(what, out.path(), code) else { return };
    let environment = json(&latest(out.path()).join("environment.json"));
    let mode = environment["mode"].as_str().unwrap_or_default();
    assert!(mode.starts_with("containers of kbench-kafka:"), "{mode}");
    // As on a local cluster: see `live_failover`.
    let expected = [
        ("controller-failover", "refuted"),
        ("leader-failover", "holds"),
        ("both-failover", "holds"),
        ("no-acked-loss", "holds"),
        ("consumers-resume", "holds"),
    ];
    outcomes(&report, &expected);
}
