//! Trouble that only a machine with Java, Maven and a cluster can have, and the ordinary user.

#![expect(clippy::expect_used, reason = "a test that cannot set itself up has failed")]

mod support;

use std::fs;
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use support::*;

/// Limit for a short run.
const SHORT_RUN: Duration = Duration::from_secs(180);

/// The one that owns nothing: `nobody`.
const ORDINARY: &str = "65534";

#[test]
#[ignore = "starts servers"]
fn a_taken_port_is_named_with_the_cure() {
    let taken = TcpListener::bind("0.0.0.0:0").expect("a port");
    let port = taken.local_addr().expect("an address").port();
    let out = folder();
    let setting = format!("cluster.broker.port={port}");
    let arguments =
        ["--workload", "smoke", "--faults", "none", "--mode", "loopback", "--set", &setting];
    let code = exit_code(&mut start(out.path(), &arguments), SHORT_RUN, out.path());
    let text = flat(&stderr(out.path()));
    assert_eq!(code, 4, "{text}");
    assert!(text.contains(&format!("{port}, which is taken")), "{text}");
    assert!(text.contains("choose other ports: --set cluster.broker.port="), "{text}");
}

#[test]
#[ignore = "asks Maven"]
fn a_version_of_kafka_that_does_not_exist_is_a_usage_error() {
    let out = folder();
    let arguments = ["--kafka-version", "3.9.999"];
    let code = exit_code(&mut start(out.path(), &arguments), SHORT_RUN, out.path());
    let text = stderr(out.path());
    assert_eq!(code, 2, "{text}");
    assert!(text.contains("there is no Apache Kafka 3.9.999"), "{text}");
}

/// Copies a folder of files and folders.
fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).expect("a folder");
    for entry in fs::read_dir(from).expect("a folder").flatten() {
        let target = to.join(entry.file_name());
        if entry.file_type().expect("a type").is_dir() {
            copy(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).expect("a copy");
        }
    }
}

fn cache() -> PathBuf {
    let set = std::env::var_os("XDG_CACHE_HOME").filter(|value| !value.is_empty());
    let home = || PathBuf::from(std::env::var_os("HOME").expect("a home")).join(".cache");
    set.map_or_else(home, PathBuf::from)
}

/// kbench as a user who owns nothing but `home`. Root becomes one: with root's rights a rootless lab
/// proves little. Who is none stays who he is.
fn ordinary(binary: &Path, home: &Path) -> Command {
    if !nix::unistd::geteuid().is_root() {
        return Command::new(binary);
    }
    let owned = Command::new("chown").args(["-R", ORDINARY]).arg(home).status();
    assert!(owned.expect("chown").success());
    let mut command = Command::new("setpriv");
    command.args(["--reuid", ORDINARY, "--regid", ORDINARY, "--clear-groups", "--"]).arg(binary);
    command
}

#[test]
#[ignore = "starts a real cluster"]
fn an_ordinary_user_gets_a_report_too() {
    let home = folder();
    copy(&cache().join("kbench/kafka"), &home.path().join("cache/kbench/kafka"));
    let binary = home.path().join("kbench");
    fs::copy(env!("CARGO_BIN_EXE_kbench"), &binary).expect("a copy");
    fs::set_permissions(&binary, fs::Permissions::from_mode(0o755)).expect("a mode");
    let mut command = ordinary(&binary, home.path());
    command
        .args(["run", "--workload", "smoke", "--set", SHORT_SESSION, "--out", "runs"])
        .current_dir(home.path())
        .env("HOME", home.path())
        .env("XDG_CACHE_HOME", home.path().join("cache"))
        .env("NO_COLOR", "1");
    let (code, text, stderr) = output(&mut command);
    eprintln!("{text}");
    assert!(stderr.contains("in user namespaces"), "{stderr}");
    let report = json(&latest(&home.path().join("runs")).join("report.json"));
    // How far the generator lags, and that kbench stands still, is the machine's doing, which may be busy
    // with other work. It makes a run invalid, for root as well; nothing else may be wrong with this one.
    let checks = report["checks"].as_array().expect("checks");
    let bad: Vec<_> = checks.iter().filter(|check| check["verdict"] != "valid").collect();
    assert!(bad.iter().all(|check| of_the_machine(check)), "{bad:#?}");
    let exit = if bad.is_empty() { 0 } else { 3 };
    assert_eq!((report["verdict"] == "valid", code), (bad.is_empty(), Some(exit)), "{stderr}");
    let faults = report["faults"].as_array().expect("faults");
    assert!(faults.len() == 3 && faults.iter().all(|f| f["proven"] == true), "{faults:?}");
}
