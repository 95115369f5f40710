//! What happens to a real cluster, to kbench and to its disk without being part of a plan: it is seen, and
//! not charged to Kafka.

#![expect(clippy::expect_used, reason = "a test that cannot set itself up has failed")]

mod support;

use std::fs::{self, File};
use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;
use support::during::*;
use support::*;

/// Limit for a short run.
const RUN: Duration = Duration::from_secs(180);

fn check(out: &Path, name: &str) -> Value {
    let report = json(&latest(out).join("report.json"));
    let checks = report["checks"].as_array().expect("checks");
    checks.iter().find(|check| check["name"] == name).expect("a check").clone()
}

#[test]
#[ignore = "starts a real cluster"]
fn a_broker_that_is_killed_from_outside_makes_a_healthy_run_invalid() {
    let out = folder();
    let arguments = ["--workload", "smoke", "--faults", "none", "--duration", "15s"];
    let mut run = start(out.path(), &[&arguments[..], &["--set", SHORT_SESSION]].concat());
    await_event(&mut run, out.path(), is_stage("baseline"));
    signal("KILL", process(out.path(), "kafka.Kafka"));
    let code = exit_code(&mut run, RUN, out.path());
    let check = check(out.path(), "disturbance");
    assert_eq!((code, &check["verdict"]), (3, &"invalid-run".into()), "{check}");
    let note = check["note"].as_str().expect("a note");
    assert!(note.contains("broker") && note.contains("ended without an order"), "{note}");
    assert!(stderr(out.path()).contains("disturbed: broker"), "{}", stderr(out.path()));
}

#[test]
#[ignore = "starts a real cluster"]
fn a_broker_that_runs_out_of_memory_is_told_from_one_that_was_killed() {
    let cgroup = match MemoryCgroup::make() {
        Ok(cgroup) => cgroup,
        Err(error) => return skipped("an end for want of memory", &error.to_string()),
    };
    let out = folder();
    let arguments = ["--workload", "smoke", "--faults", "none", "--duration", "15s"];
    let mut run = start(out.path(), &[&arguments[..], &["--set", SHORT_SESSION]].concat());
    await_event(&mut run, out.path(), is_stage("baseline"));
    cgroup.limit(process(out.path(), "kafka.Kafka"), 1 << 20);
    let code = exit_code(&mut run, RUN, out.path());
    let check = check(out.path(), "disturbance");
    assert_eq!((code, &check["verdict"]), (3, &"invalid-run".into()), "{check}");
    let note = check["note"].as_str().expect("a note");
    assert!(note.contains("ran out of memory"), "{note}");
    assert!(note.contains("broker") && note.contains("ended without an order"), "{note}");
}

#[test]
#[ignore = "starts a real cluster"]
fn cpus_that_other_programs_take_make_a_healthy_run_invalid() {
    let out = folder();
    let arguments = ["--workload", "smoke", "--faults", "none", "--duration", "15s"];
    let mut run = start(out.path(), &arguments);
    await_event(&mut run, out.path(), is_stage("baseline"));
    let busy = || Command::new("sh").args(["-c", "while :; do :; done"]).spawn();
    let cores = std::thread::available_parallelism().expect("a number").get();
    let mut hogs: Vec<_> = (0..2 * cores).map(|_| busy().expect("sh starts")).collect();
    std::thread::sleep(Duration::from_secs(5));
    for hog in &mut hogs {
        hog.kill().expect("it runs");
        hog.wait().expect("a child");
    }
    let code = exit_code(&mut run, RUN, out.path());
    let check = check(out.path(), "disturbance");
    assert_eq!((code, &check["verdict"]), (3, &"invalid-run".into()), "{check}");
    let note = check["note"].as_str().expect("a note");
    assert!(note.contains("had its CPUs taken by others"), "{note}");
    assert!(note.contains("most of it sh, process"), "{note}");
}

#[test]
#[ignore = "starts a real cluster"]
fn a_clock_of_the_host_that_steps_is_seen_and_changes_no_figure() {
    let out = folder();
    let (library, ahead) = (out.path().join("ahead.so"), out.path().join("ahead"));
    let source = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/support/ahead.c");
    let built =
        Command::new("cc").args(["-shared", "-fPIC", "-o"]).arg(&library).arg(source).status();
    assert!(built.expect("cc, which built librdkafka").success());
    let arguments = ["--workload", "smoke", "--faults", "none", "--duration", "15s"];
    // The clock of kbench and of all that it starts, as if it was the host's.
    let mut run = run(out.path(), &[&arguments[..], &["--set", SHORT_SESSION]].concat());
    let mut run =
        run.env("LD_PRELOAD", library).env("AHEAD", &ahead).spawn().expect("kbench starts");
    await_event(&mut run, out.path(), is_stage("baseline"));
    std::thread::sleep(Duration::from_secs(3));
    File::create(&ahead).expect("a file");
    let code = exit_code(&mut run, RUN, out.path());
    let disturbed = check(out.path(), "disturbance");
    assert_eq!((code, &disturbed["verdict"]), (3, &"invalid-run".into()), "{disturbed}");
    let note = disturbed["note"].as_str().expect("a note");
    assert!(
        note.contains("the host had its clock stepped") && note.contains("by +3.0 s"),
        "{note}"
    );
    let report = json(&latest(out.path()).join("report.json"));
    let others = report["checks"].as_array().expect("checks").iter();
    let wrong: Vec<_> = others.filter(|check| check["verdict"] == "invalid").collect();
    assert!(wrong.is_empty(), "{wrong:?}");
    let stdout = fs::read_to_string(out.path().join("stdout")).expect("a file");
    let all = stdout.lines().find_map(|line| line.strip_prefix("all: response"));
    let longest = all.and_then(|all| all.split_whitespace().nth(4)?.parse::<f64>().ok());
    assert!(longest.is_some_and(|ms| ms < 2_900.0), "{longest:?} ms\n{stdout}");
}

#[test]
#[ignore = "starts a real cluster"]
fn what_kbench_measured_of_a_fault_while_it_stood_still_is_not_known() {
    let out = folder();
    let arguments = ["--workload", "smoke", "--faults", "zk-server-killed", "--set", SHORT_SESSION];
    let mut run = start(out.path(), &arguments);
    await_event(&mut run, out.path(), |event| event["event"] == "fault-injected");
    let trial = process(out.path(), "__trial");
    signal("STOP", trial);
    std::thread::sleep(Duration::from_secs(2));
    signal("CONT", trial);
    let code = exit_code(&mut run, RUN, out.path());
    let check = check(out.path(), "disturbance");
    assert!(code == 3 && check["verdict"] != "valid", "{code}: {check}");
    assert!(check["note"].as_str().expect("a note").contains("kbench stood still"), "{check}");
}

#[test]
#[ignore = "starts a real cluster"]
fn a_disk_that_fills_ends_the_run_within_seconds() {
    let out = folder();
    // A disk of the run's own: it must not be another's that is filled.
    let script = "mount -t tmpfs -o size=400m tmpfs \"$1\" && exec \"$2\" run --workload smoke \
                  --faults none --duration 2m --out \"$1\"";
    let binary = env!("CARGO_BIN_EXE_kbench");
    let messages = tempfile::NamedTempFile::new().expect("a file");
    let to_file =
        || Stdio::from(File::options().append(true).open(messages.path()).expect("a file"));
    let mut run = Command::new("unshare")
        .args(["--user", "--map-root-user", "--mount", "sh", "-c", script, "sh"])
        .arg(out.path())
        .arg(binary)
        .stdin(Stdio::null())
        .stdout(to_file())
        .stderr(to_file())
        .spawn()
        .expect("unshare starts");
    let inside = Path::new("/proc").join(run.id().to_string()).join("root");
    let inside = inside.join(out.path().strip_prefix("/").expect("an absolute path"));
    let said = || fs::read_to_string(messages.path()).unwrap_or_default();
    let ready = within(RUN, || said().contains("measuring the healthy cluster"));
    assert!(ready, "{}", said());
    let mut filler = File::create(inside.join("filler")).expect("a file");
    while filler.write_all(&[0; 4096]).is_ok() {}
    let filled = Instant::now();
    let code = exit_code(&mut run, RUN, out.path());
    let text = flat(&said());
    assert_eq!(code, 4, "{text}");
    assert!(text.contains("No space left on device") && !text.contains("panicked"), "{text}");
    assert!(filled.elapsed() < Duration::from_secs(40), "{:?}\n{text}", filled.elapsed());
}
