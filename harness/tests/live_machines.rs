//! Machines that differ, with a cluster: odd folders, variables of the caller's that change any Java, a cache that
//! cannot be written, a kbench that is built anew meanwhile.

#![expect(clippy::expect_used, reason = "a test that cannot set itself up has failed")]

mod support;

use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use support::{SHORT_SESSION, exit_code, folder, json, latest, of_the_machine, stderr, within};

/// Limit for a run.
const RUN: Duration = Duration::from_secs(300);

/// Starts a short healthy run by another kbench than the one that was built.
fn start(kbench: &Path, out: &Path, trials: &str, set: impl FnOnce(&mut Command)) -> Child {
    let mut command = Command::new(kbench);
    command.env("NO_COLOR", "1").env_remove("KBENCH_OUT");
    command.args(["run", "--workload", "smoke", "--faults", "none", "--set", SHORT_SESSION]);
    command.args(["--trials", trials, "--out"]).arg(out);
    command.stdin(Stdio::null()).stdout(Stdio::null());
    command.stderr(fs::File::create(out.join("stderr")).expect("a file"));
    set(&mut command);
    command.spawn().expect("kbench starts")
}

/// Whether nothing is wrong with a run but what a busy machine does.
fn assert_good(code: i32, out: &Path) {
    let report = json(&latest(out).join("report.json"));
    let checks = report["checks"].as_array().expect("checks");
    let bad: Vec<_> = checks.iter().filter(|check| check["verdict"] != "valid").collect();
    assert!(bad.iter().all(|check| of_the_machine(check)), "{code}: {bad:#?}\n{}", stderr(out));
}

#[test]
#[ignore = "starts a real cluster"]
fn a_run_may_lie_anywhere_and_the_caller_s_variables_reach_no_server() {
    let place = folder();
    let out = place.path().join(OsStr::from_bytes(b"a b,c:d#e%20f\xff"));
    fs::create_dir(&out).expect("a folder");
    let kbench = Path::new(env!("CARGO_BIN_EXE_kbench"));
    let mut run = start(kbench, &out, "1", |command| {
        // A Java that heard of these would not start.
        for name in ["_JAVA_OPTIONS", "JAVA_TOOL_OPTIONS", "JDK_JAVA_OPTIONS"] {
            command.env(name, "-Xmx1k");
        }
        command.env("LC_ALL", "C").env("CLASSPATH", "/nowhere").env("TMPDIR", "/nowhere");
    });
    let code = exit_code(&mut run, RUN, &out);
    assert_good(code, &out);
}

#[test]
#[ignore = "starts a real cluster"]
fn a_kbench_that_is_built_anew_does_not_break_later_trials() {
    let place = folder();
    let kbench = place.path().join("kbench");
    fs::copy(env!("CARGO_BIN_EXE_kbench"), &kbench).expect("a copy");
    let mut run = start(&kbench, place.path(), "2", |_| {});
    let first =
        || fs::read_dir(place.path().join("latest/trials")).is_ok_and(|mut it| it.next().is_some());
    assert!(within(RUN, first), "{}", stderr(place.path()));
    fs::remove_file(&kbench).expect("it is there");
    fs::write(&kbench, "another one").expect("a file");
    let code = exit_code(&mut run, RUN, place.path());
    assert_good(code, place.path());
    let report = json(&latest(place.path()).join("report.json"));
    assert_eq!(report["trials"], 2, "{}", stderr(place.path()));
}
