//! The command line as a stranger meets it: bad input and a lacking machine, each with a message
//! that helps and the documented exit code. Nothing here starts a cluster.

#![expect(clippy::expect_used, reason = "a test that cannot set itself up has failed")]

mod support;

use std::path::Path;
use std::process::{Command, Output};

use support::{flat, kbench, skipped};

fn output(command: &mut Command) -> (i32, String, String) {
    let Output { status, stdout, stderr } = command.output().expect("kbench starts");
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("UTF-8");
    (status.code().expect("not killed"), text(stdout), text(stderr))
}

/// Runs `kbench run` with these arguments; asserts the exit code and that stderr holds each text.
fn refused(arguments: &[&str], code: i32, texts: &[&str]) {
    let out = tempfile::tempdir().expect("a folder");
    let mut command = kbench();
    command.arg("run").arg("--out").arg(out.path()).args(arguments);
    let (got, _, stderr) = output(&mut command);
    assert_eq!(got, code, "{arguments:?}: {stderr}");
    let flat = flat(&stderr);
    for text in texts {
        assert!(flat.contains(text), "{arguments:?}: no {text:?} in:\n{stderr}");
    }
}

fn write(dir: &Path, name: &str, text: &str) -> String {
    let path = dir.join(name);
    std::fs::write(&path, text).expect("a file");
    path.display().to_string()
}

#[test]
fn an_unknown_name_suggests_the_nearest() {
    refused(&["--workload", "1k-msgs"], 2, &["there is no workload `1k-msgs`", "`1k-msg-s`"]);
    refused(&["--faults", "failovr"], 2, &["there is no plan `failovr`", "`failover`"]);
    refused(&["--cluster", "gide"], 2, &["there is no cluster `gide`", "`guide`"]);
}

#[test]
fn damage_that_a_plan_does_not_mean_is_refused_before_anything_starts() {
    let dir = tempfile::tempdir().expect("a folder");
    let text = "name = 'p'\ndescription = 'd'\n[[step]]\nid = 'a'\nfault = 'kill'\n\
                target = 'zk-all'\nhold = '1s'\n";
    let file = write(dir.path(), "plan.toml", text);
    let why = "may take the quorum of ZooKeeper and does not say that it means to";
    refused(&["--faults", &file], 2, &[why, "up to 3 of 3", "`allows = [\"quorum-loss\"]`"]);
}

#[test]
fn consumers_that_are_not_there_cannot_be_struck() {
    let smoke = workloads::shipped().iter().find(|(n, _)| *n == "smoke").expect("shipped").1;
    let at = |part: &str| smoke.find(part).expect("a table of the spec");
    let without = [&smoke[..at("[consumers]")], &smoke[at("[probe]")..]].concat();
    let dir = tempfile::tempdir().expect("a folder");
    let file = write(dir.path(), "without.toml", &without);
    let arguments = ["--workload", &*file, "--faults", "consumers"];
    refused(&arguments, 2, &["plan `consumers` strikes consumers", "[consumers]"]);
}

#[test]
fn a_typo_in_a_spec_is_shown_where_it_is_with_what_is_allowed() {
    let dir = tempfile::tempdir().expect("a folder");
    let shipped = workloads::shipped().iter().find(|(n, _)| *n == "smoke").expect("shipped").1;
    let file = write(dir.path(), "typo.toml", &shipped.replace("record_bytes", "record_byte"));
    refused(
        &["--workload", &file],
        2,
        &["typo.toml", "record_byte", "unknown field", "`record_bytes`", "`rate`"],
    );
    let line = shipped.lines().position(|l| l.starts_with("record_bytes")).expect("a key") + 1;
    refused(&["--workload", &file], 2, &[&format!("typo.toml:{line}:1")]);
}

#[test]
fn impossible_values_are_refused_by_name() {
    refused(&["--set", "workload.load.rate.per_second=0"], 2, &["per_second", "1000000"]);
    refused(&["--set", "workload.load.record_bytes=3"], 2, &["record_bytes"]);
    refused(&["--set", "rate=3"], 2, &["workload., plan., cluster."]);
    refused(&["--set", "workload.producer.acks=2"], 2, &["workload.producer.acks=2", "`all`, `1`"]);
    refused(&["--trials", "0"], 2, &["--trials"]);
    refused(&["--duration", "0s"], 2, &["--duration: phases.duration", "at least \"1s\""]);
    refused(&["--seed", "9223372036854775808"], 2, &["--seed", "9223372036854775807"]);
    refused(&["--mode", "docker"], 2, &["--mode", "user-namespaces", "loopback"]);
    refused(&["--faults", "none", "--set", "plan.name=x"], 2, &["no plan"]);
}

/// kbench starts itself by these: what is malformed is refused, and nothing assumed in its place.
#[test]
fn hidden_commands_refuse_what_is_malformed() {
    for (arguments, wanted) in [
        (&["__trial", "run"][..], "RUN NUMBER"),
        (&["__trial", "run", "one"], "RUN NUMBER"),
        (&["__trial", "run", "0"], "RUN NUMBER"),
        (&["__trial", "run", "-1"], "RUN NUMBER"),
        (&["__trial", "run", "1", "2"], "RUN NUMBER"),
        (&["__sandbox"], "MODE COMMAND"),
        (&["__sandbox", "loopback"], "MODE COMMAND"),
        (&["__sandbox", "moon", "__try", "link"], "MODE COMMAND"),
        (&["__try"], "CAPABILITY"),
        (&["__try", "moon"], "CAPABILITY"),
        (&["__try", "link", "link"], "CAPABILITY"),
        (&["__conformance"], "OUT [MODE]"),
        (&["__conformance", "out", "no-mode"], "OUT [MODE]"),
        (&["__examine"], "RUN"),
        (&["__worker", "1"], "without arguments"),
        (&["__nothing"], "unrecognized"),
    ] {
        let (code, stdout, stderr) = output(kbench().args(arguments));
        assert_eq!((code, &*stdout), (2, ""), "{arguments:?}: {stderr}");
        assert!(stderr.contains(wanted) && stderr.contains(arguments[0]), "{stderr}");
    }
    // A run that is not there is told from arguments that are none.
    let (code, _, stderr) = output(kbench().args(["__trial", "/nowhere", "1"]));
    assert_eq!(code, 2, "{stderr}");
    assert!(stderr.contains("no recorded run /nowhere"), "{stderr}");
}

#[test]
fn a_folder_that_cannot_be_written_is_refused_with_the_cure() {
    let (code, _, stderr) = output(kbench().args(["run", "--out", "/proc/kbench"]));
    assert_eq!(code, 4, "{stderr}");
    assert!(stderr.contains("/proc/kbench") && stderr.contains("--out"), "{stderr}");
}

#[test]
fn validate_tells_kinds_apart_and_fails_on_the_first_mistake() {
    let dir = tempfile::tempdir().expect("a folder");
    let good = write(dir.path(), "good.toml", faults::plan::SHIPPED[0].1);
    let bad = write(dir.path(), "bad.toml", "nothing = 1\n");
    let (code, stdout, _) = output(kbench().args(["validate", &good]));
    assert_eq!((code, stdout.contains("valid plan")), (0, true), "{stdout}");
    let (code, stdout, stderr) = output(kbench().args(["validate", &bad, &good]));
    assert_eq!(code, 2);
    assert!(stderr.contains("none of kbench's specifications"), "{stderr}");
    assert!(stdout.contains("valid plan"), "the rest is still validated: {stdout}");
}

#[test]
fn lists_name_everything_that_is_shipped() {
    for (what, name) in [
        ("workloads", "1k-msg-s"),
        ("workloads", "smoke"),
        ("plans", "failover-two-brokers"),
        ("faults", "kill"),
        ("claims", "controller-failover"),
        ("clusters", "guide"),
        ("clusters", "four-nodes"),
    ] {
        let (code, stdout, stderr) = output(kbench().args(["list", what]));
        assert_eq!(code, 0, "{stderr}");
        assert!(stdout.contains(name), "{what}: {stdout}");
    }
}

#[test]
fn a_missing_run_is_a_usage_error() {
    let out = tempfile::tempdir().expect("a folder");
    for command in ["check", "report", "heal"] {
        let (code, _, stderr) =
            output(kbench().arg(command).arg("nosuch").arg("--out").arg(out.path()));
        assert_eq!(code, 2, "{stderr}");
        assert!(stderr.contains("no recorded run nosuch"), "{stderr}");
    }
}

#[test]
fn a_run_of_another_format_is_refused_by_its_number_and_left_alone() {
    let out = tempfile::tempdir().expect("a folder");
    let run = out.path().join("old");
    std::fs::create_dir(&run).expect("a run's directory");
    write(&run, "spec.toml", "run_id = 'old'\n");
    let refused = |text: &str| {
        for verb in ["check", "report", "replay", "heal"] {
            let mut command = kbench();
            command.arg(verb).arg(&run).arg("--out").arg(out.path());
            let (code, stdout, stderr) = output(&mut command);
            let flat = flat(&stderr);
            assert!(
                code == 2 && stdout.is_empty() && flat.contains(text),
                "{verb}: {code} {stderr}"
            );
            assert!(flat.contains("this kbench reads format 2"), "{verb}: {stderr}");
        }
        let mut all = kbench();
        all.args(["heal", "--all", "--out"]).arg(out.path());
        let (code, _, stderr) = output(&mut all);
        assert!(code == 2 && flat(&stderr).contains(text), "{code} {stderr}");
    };
    refused("has no format number");
    write(&run, "format", "7\n");
    refused("is in format 7 of run directories");
    let mut listed = kbench();
    let (code, stdout, _) = output(listed.args(["list", "runs", "--out"]).arg(out.path()));
    assert!(code == 0 && stdout.contains("another format"), "{stdout}");
    let names = std::fs::read_dir(&run).expect("a folder").count();
    assert_eq!(names, 2, "nothing was written");
}

#[test]
fn doctor_names_what_is_missing_and_the_cure() {
    let empty = tempfile::tempdir().expect("a folder");
    let (code, stdout, _) = output(kbench().arg("doctor").env("PATH", empty.path()));
    assert_eq!(code, 4, "{stdout}");
    for text in ["Java", "openjdk-17-jre-headless", "nftables", "iproute2"] {
        assert!(stdout.contains(text), "no {text} in:\n{stdout}");
    }
}

#[test]
fn without_java_a_run_says_so_before_it_starts() {
    let empty = tempfile::tempdir().expect("a folder");
    let out = tempfile::tempdir().expect("a folder");
    let mut command = kbench();
    command.env("PATH", empty.path()).arg("run").arg("--out").arg(out.path());
    let (code, _, stderr) = output(&mut command);
    assert_eq!(code, 4, "{stderr}");
    assert!(stderr.to_lowercase().contains("java") || stderr.contains("iproute2"), "{stderr}");
}

/// Runs a shell script as root of a user namespace with mounts of its own: what it does to the
/// machine ends with it. `None`, and a line that says so, where user namespaces are switched off.
fn in_a_namespace(script: &str) -> Option<(i32, String, String)> {
    let usable = Command::new("unshare").args(["-Urm", "true"]).status();
    if !usable.is_ok_and(|status| status.success()) {
        skipped(script, "no user namespaces here");
        return None;
    }
    let mut command = Command::new("unshare");
    command.args(["-Urm", "sh", "-euc", script]).env("NO_COLOR", "1");
    Some(output(command.env("KBENCH", env!("CARGO_BIN_EXE_kbench"))))
}

#[test]
fn a_disk_that_is_nearly_full_is_refused_before_the_start() {
    let dir = tempfile::tempdir().expect("a folder");
    let at = dir.path().display();
    let script = format!("mount -t tmpfs -o size=32m none {at}; exec $KBENCH run --out {at}");
    let Some((code, _, stderr)) = in_a_namespace(&script) else { return };
    assert_eq!(code, 4, "{stderr}");
    assert!(stderr.contains("nearly full") && stderr.contains("--out"), "{stderr}");
}

#[test]
fn without_user_namespaces_the_cure_is_told() {
    let forbid = "echo 0 > /proc/sys/user/max_user_namespaces; exec $KBENCH";
    let dir = tempfile::tempdir().expect("a folder");
    let run = format!("{forbid} run --mode user-namespaces --out {}", dir.path().display());
    let Some((code, _, stderr)) = in_a_namespace(&run) else { return };
    assert_eq!(code, 4, "{stderr}");
    assert!(stderr.contains("user.max_user_namespaces"), "{stderr}");
    let (_, stdout, _) = in_a_namespace(&format!("{forbid} doctor")).expect("as before");
    assert!(stdout.contains("user.max_user_namespaces"), "{stdout}");
}

#[test]
fn completions_are_printed() {
    let (code, stdout, _) = output(kbench().args(["completions", "bash"]));
    assert_eq!(code, 0);
    assert!(stdout.contains("kbench") && stdout.contains("--workload"));
}
