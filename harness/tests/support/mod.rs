//! What the live tests share: starting kbench in a folder of its own, and waiting for conditions.

#![allow(dead_code, reason = "each test binary uses a part")]
#![expect(clippy::expect_used, reason = "a test that cannot set itself up has failed")]

pub(crate) mod adopted;
pub(crate) mod attached;
pub(crate) mod catalogue;
pub(crate) mod during;
pub(crate) mod engine;
pub(crate) mod kept;
pub(crate) mod kraft;
pub(crate) mod machines;
pub(crate) mod scenario;
pub(crate) mod suite;

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;

/// How often conditions are looked at.
const LOOK: Duration = Duration::from_millis(50);

/// Limit for a command whose end is waited for: more than any of them takes.
const OUTPUT_LIMIT: Duration = Duration::from_secs(900);

/// A session time-out of 6 s: faults were seen to be detected in 5 to 8 s then, and a test that is
/// not about the default is over three times sooner.
pub(crate) const SHORT_SESSION: &str = "cluster.broker.settings.zookeeper.session.timeout.ms=6000";

pub(crate) fn kbench() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_kbench"));
    command.env("NO_COLOR", "1").env_remove("KBENCH_OUT");
    command
}

/// As [`output`], of a command that nothing killed.
pub(crate) fn exited(command: &mut Command) -> (i32, String, String) {
    let (code, stdout, stderr) = output(command);
    (code.expect("not killed"), stdout, stderr)
}

/// Says that a part of a test cannot be done here. Past the test harness, which would hide it when the
/// test passes: `ci/test` counts these lines.
pub(crate) fn skipped(what: &str, why: &str) {
    let line = format!("skipped: {what}: {why}\n");
    std::io::stderr().write_all(line.as_bytes()).expect("stderr");
}

/// A folder for the runs of one test.
pub(crate) fn folder() -> tempfile::TempDir {
    tempfile::Builder::new().prefix("live-").tempdir().expect("a folder")
}

/// How often kbench is killed at a moment of its own: `KBENCH_KILLS`, or so often.
pub(crate) fn kills(usual: u32) -> u32 {
    std::env::var("KBENCH_KILLS").ok().and_then(|text| text.parse().ok()).unwrap_or(usual)
}

/// The moment of a round: rounds are spread evenly, jittered by the clock, so that they differ from run to run.
pub(crate) fn moment(round: u32, rounds: u32, within: Duration) -> Duration {
    let nanos = std::time::UNIX_EPOCH.elapsed().unwrap_or_default().subsec_nanos();
    let share = (f64::from(round) + f64::from(nanos % 1000) / 1000.0) / f64::from(rounds.max(1));
    within.mul_f64(share)
}

pub(crate) fn write(dir: &Path, name: &str, text: &str) -> String {
    let path = dir.join(name);
    std::fs::write(&path, text).expect("a file");
    path.display().to_string()
}

/// Starts `kbench run ARGUMENTS --out OUT`, its messages in the file `stderr` there.
pub(crate) fn start(out: &Path, arguments: &[&str]) -> Child {
    run(out, arguments).spawn().expect("kbench starts")
}

/// `kbench run ARGUMENTS --out OUT`, its messages in the file `stderr` there.
pub(crate) fn run(out: &Path, arguments: &[&str]) -> Command {
    let mut run = kbench();
    run.args(["run", "--verbose"])
        .args(arguments)
        .arg("--out")
        .arg(out)
        .stdin(Stdio::null())
        .stdout(fs::File::create(out.join("stdout")).expect("a file"))
        .stderr(fs::File::create(out.join("stderr")).expect("a file"));
    run
}

/// What kbench has written to stderr so far.
pub(crate) fn stderr(out: &Path) -> String {
    fs::read_to_string(out.join("stderr")).unwrap_or_default()
}

/// A text without the line breaks of its tables.
pub(crate) fn flat(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// What kbench has written to stdout so far.
pub(crate) fn stdout(out: &Path) -> String {
    fs::read_to_string(out.join("stdout")).unwrap_or_default()
}

/// Waits for kbench; its exit code.
///
/// # Panics
/// When it does not end within `limit`.
pub(crate) fn exit_code(kbench: &mut Child, limit: Duration, out: &Path) -> i32 {
    let mut status = None;
    let ended = within(limit, || {
        status = kbench.try_wait().expect("a child");
        status.is_some()
    });
    assert!(ended, "kbench still runs after {limit:?}:\n{}", stderr(out));
    status.and_then(|status| status.code()).unwrap_or_else(|| panic!("killed: {status:?}"))
}

/// Waits for a condition; false when the limit passed first.
pub(crate) fn within(limit: Duration, mut condition: impl FnMut() -> bool) -> bool {
    let deadline = Instant::now() + limit;
    while !condition() {
        if Instant::now() > deadline {
            return false;
        }
        std::thread::sleep(LOOK);
    }
    true
}

/// The newest run in `out`.
pub(crate) fn latest(out: &Path) -> PathBuf {
    fs::canonicalize(out.join("latest")).expect("a run")
}

pub(crate) fn json(path: &Path) -> Value {
    serde_json::from_slice(&fs::read(path).expect("a file")).expect("JSON")
}

/// Whether what a check says may be the doing of a machine that is busy with other work.
pub(crate) fn of_the_machine(check: &Value) -> bool {
    let note = check["note"].as_str().unwrap_or_default();
    let not_judged = check["name"] == "plan-expectation" && check["verdict"] == "unknown";
    let told = check["name"] == "disturbance" || not_judged;
    check["name"] == "schedule-lag" || (told && stood_still(note))
}

/// Whether a text says that kbench or a client of it stood still, or what the host lacked.
pub(crate) fn stood_still(text: &str) -> bool {
    let of_clients = ["kbench stood still", "handed records over late"];
    let of_host =
        ["lost its cores", "had its CPUs taken", "was short of memory", "waited for its disks"];
    let host = of_host.iter().any(|what| text.contains(&format!("the host {what}")));
    host || of_clients.iter().any(|what| text.contains(what))
}

/// Every event of a trial.
pub(crate) fn events(trial: &Path) -> Vec<Value> {
    let text = fs::read_to_string(trial.join("events.jsonl")).expect("events");
    text.lines().map(|line| serde_json::from_str(line).expect("an event")).collect()
}

/// Exit code, stdout and stderr of a command that is [awaited].
pub(crate) fn output(command: &mut Command) -> (Option<i32>, String, String) {
    let Output { status, stdout, stderr } = awaited(command);
    let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
    (status.code(), text(stdout), text(stderr))
}

/// What a command says, and how it ends. One that has not ended after [`OUTPUT_LIMIT`] is killed, and the test fails with
/// what it said.
pub(crate) fn awaited(command: &mut Command) -> Output {
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let child = command.spawn().expect("the program starts");
    let pid = child.id().to_string();
    let (ended, has_ended) = mpsc::channel::<()>();
    let limit = thread::spawn(move || {
        let over = has_ended.recv_timeout(OUTPUT_LIMIT) == Err(mpsc::RecvTimeoutError::Timeout);
        over.then(|| Command::new("kill").args(["-KILL", &pid]).status())
    });
    let output = child.wait_with_output().expect("it ends");
    drop(ended);
    let in_time = limit.join().expect("it waits").is_none();
    assert!(in_time, "{command:?} still ran after {OUTPUT_LIMIT:?}: {output:?}");
    output
}

/// Every process, with its parent and its command line, behind which stands the variable that names the data of the
/// trial or kept cluster that it is of: servers see other folders than we do.
pub(crate) fn processes() -> Vec<(i32, i32, String)> {
    fs::read_dir("/proc")
        .expect("/proc")
        .flatten()
        .filter_map(|entry| {
            let pid: i32 = entry.file_name().to_str()?.parse().ok()?;
            let stat = fs::read_to_string(entry.path().join("stat")).ok()?;
            let mut fields = stat.rsplit_once(')')?.1.split_whitespace();
            let state = fields.next()?;
            let parent = fields.next()?.parse().ok()?;
            let mut line = fs::read(entry.path().join("cmdline")).ok()?;
            let environment = fs::read(entry.path().join("environ")).unwrap_or_default();
            let mut variables = environment.split(|byte| *byte == 0);
            line.extend(variables.find(|it| it.starts_with(b"KBENCH_DATA=")).unwrap_or_default());
            // A zombie holds nothing; its parent reaps it.
            (state != "Z").then(|| (pid, parent, String::from_utf8_lossy(&line).into_owned()))
        })
        .collect()
}
