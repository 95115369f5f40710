//! A cluster on real machines, by ssh: three sshd in network namespaces, with ZooKeeper and Kafka that kbench did not
//! start. Root logs in on the first, an ordinary user on the second, and the third is reached by way of another machine
//! with an agent's key. A kill, a cut, a loss and a rate; a link that is lost in the middle of a cut; the conformance
//! suite.

#![expect(clippy::expect_used, reason = "a test that cannot set itself up has failed")]

mod support;

use std::path::Path;
use std::process::Command;
use std::time::Instant;

use serde_json::Value;
use support::during::await_event;
use support::machines::*;
use support::scenario::{outcomes, valid_report};
use support::*;

#[test]
#[ignore = "starts a real cluster on machines of its own"]
fn machines_behind_ssh_are_a_backend() {
    among_machines("machines_behind_ssh_are_a_backend", |folder, name| {
        permit(folder);
        what_is_not_allowed_is_refused(folder, name);
        faults_are_proven_and_undone(folder, name);
        a_machine_whose_link_is_lost_heals_itself(folder, name);
        a_topic_grows_and_what_servers_take_is_read_on_their_machines(folder, name);
    });
}

#[test]
#[ignore = "starts a real cluster on machines of its own"]
fn machines_behind_ssh_pass_the_conformance_suite() {
    among_machines("machines_behind_ssh_pass_the_conformance_suite", |folder, name| {
        permit(folder);
        let out = support::folder();
        suite::passes(out.path(), &["ssh", &inventory(folder), name]);
        assert_eq!(left(), [""; 0]);
        assert_eq!(tables(), [""; 0]);
    });
}

fn what_is_not_allowed_is_refused(folder: &Path, name: &str) {
    for (arguments, words) in [
        (&["--faults", "none"][..], "asks for what takes trust"),
        (&["--trust-spec", "--faults", "clients-without-leader"], "address of kbench's observer"),
        (&["--trust-spec", "--faults", "slow-network"], "not every kernel holds packets"),
        (&["--trust-spec", "--faults", "link-down"], "goes over its link"),
        (&["--trust-spec", "--faults", "clock-jumps"], "left alone"),
        (&["--trust-spec", "--trials", "2"], "take 2 new clusters"),
    ] {
        let out = support::folder();
        let mut run = kbench();
        run.args(["run", "--cluster", &inventory(folder), "--workload", "smoke"]);
        run.args(["--yes-hurt-this-cluster", name]).args(arguments).arg("--out").arg(out.path());
        let refused = awaited(&mut run);
        let said = flat(&String::from_utf8_lossy(&refused.stderr));
        assert_eq!(refused.status.code(), Some(2), "{arguments:?}: {said}");
        assert!(said.contains(words), "{arguments:?}: {said}");
    }
}

/// That these faults were in effect and undone, whatever the machine did meanwhile.
fn all_proven(report: &Value, ids: &[&str]) {
    let faults = report["faults"].as_array().expect("faults");
    let found: Vec<_> = faults.iter().map(|fault| fault["id"].as_str().unwrap_or("")).collect();
    assert_eq!(found, ids, "{report}");
    for fault in faults {
        let proven = fault["proven"] == true && fault["heal_proven"] == true;
        assert!(proven, "{fault}");
        let (id, took, shown) = (&fault["id"], &fault["took_s"], &fault["shown_s"]);
        eprintln!("{id} took {took} s, shown after {shown} s: {}", fault["evidence"]);
    }
}

fn faults_are_proven_and_undone(folder: &Path, name: &str) {
    let out = support::folder();
    let plan = plan(folder, FAULTS);
    let code = exit_code(&mut run_on(folder, name, out.path(), &plan), RUN, out.path());
    assert_eq!(left(), [""; 0]);
    assert_eq!(tables(), [""; 0]);
    whole(folder);
    all_proven(
        &json(&latest(out.path()).join("report.json")),
        &["leader", "isolated", "loss", "rate"],
    );
    let what = "a kill, a cut, a loss and a rate by ssh";
    let Some(report) = valid_report(what, out.path(), code) else { return };
    let run = latest(out.path());
    let environment = json(&run.join("environment.json"));
    assert_eq!(environment["mode"], "machines of machines, by ssh");
    assert_eq!(environment["kafka"], "3.9.1");
    assert_eq!(environment["settings"]["zk_session_timeout_ms"], 6000);
    let hold = ["leader-failover", "no-acked-loss"];
    outcomes(&report, &hold.map(|id| (id, "holds")));
    let spec = std::fs::read_to_string(run.join("spec.toml")).expect("a file");
    let key = std::fs::read_to_string(folder.join("key")).expect("a file");
    let secret = key.lines().nth(1).expect("a key");
    assert!(spec.contains("inventory.toml") && !spec.contains(secret));
}

/// Lets sessions of ssh see another boot id than kbench's, as those of other machines do. One of a run that is over may
/// end meanwhile.
fn boot_ids_differ(folder: &Path) {
    let uuid = std::fs::read_to_string("/proc/sys/kernel/random/uuid").expect("a uuid");
    let file = folder.join("boot-id");
    std::fs::write(&file, uuid).expect("a file");
    let each = "for pid in $(pgrep -x sshd); do \
                nsenter -t $pid -m mount --bind \"$1\" /proc/sys/kernel/random/boot_id || \
                ! [ -e /proc/$pid/ns/mnt ] || exit 1; done";
    let done = Command::new("sh").args(["-c", each, "sh"]).arg(file).status().expect("sh");
    assert!(done.success());
}

/// What the run comes to is no matter: its servers, which it takes for those of other machines, disturb it.
fn a_topic_grows_and_what_servers_take_is_read_on_their_machines(folder: &Path, name: &str) {
    const GROWS: &str = "scale-out-joined";
    boot_ids_differ(folder);
    let mut dry = kbench();
    dry.args(["run", "--cluster", &inventory(folder), "--workload", "smoke", "--trust-spec"]);
    let (code, said, errors) = output(dry.args(["--faults", GROWS, "--dry-run"]));
    assert_eq!(code, Some(0), "{said}{errors}");
    let made = said.matches("a change of those topics that would be made").count();
    assert!(made == 3 && errors.contains("nothing was done"), "{said}{errors}");

    let out = support::folder();
    let mut run = run_on(folder, name, out.path(), GROWS);
    exit_code(&mut run, RUN, out.path());
    let report = json(&latest(out.path()).join("report.json"));
    let changes = report["changes"].as_array().expect("changes");
    let ended = changes.iter().filter(|change| change["took_s"].is_number()).count();
    assert_eq!((changes.len(), ended), (3, 3), "{changes:?}");
    assert_eq!(left(), [""; 0]);
    let servers = report["servers"].as_array().expect("servers");
    assert_eq!(servers.len(), 6, "{servers:?}");
    for server in servers {
        let figures = ["cores", "memory_bytes", "cpu_share"].map(|name| server[name].as_f64());
        let [cores, memory, cpu] = figures.map(|figure| figure.expect("a figure"));
        let sent = server["network_bytes_per_s"][1].as_f64().expect("a figure");
        // A ZooKeeper server may take less than a tick.
        let worked = cpu > 0.0 || server["process"]["role"] == "zookeeper";
        assert!(cores > 0.0 && memory > 1e6 && worked && sent > 0.0, "{server}");
    }
    let cpu = |one: &Value| one["threshold"] == "cpu" && one["over_s"].as_f64() > Some(0.0);
    let thresholds = report["thresholds"].as_array().expect("thresholds");
    assert_eq!(thresholds.iter().filter(|one| cpu(one)).count(), 3, "{thresholds:?}");
}

fn link(state: &str) {
    // The connections of ssh alone: the cluster goes on.
    let script = match state {
        "down" => {
            "nft 'add table ip away { chain out { type filter hook output priority 0; tcp dport 22 drop; }; }'"
        }
        _ => "nft delete table ip away",
    };
    assert!(Command::new("sh").args(["-c", script]).status().expect("sh").success());
}

/// While a machine is cut off, the connections of ssh are lost: it takes the rules away by itself, and the run says
/// that nothing is known.
fn a_machine_whose_link_is_lost_heals_itself(folder: &Path, name: &str) {
    let out = support::folder();
    let mut run = run_on(folder, name, out.path(), &plan(folder, CUT));
    await_event(&mut run, out.path(), |event| event["event"] == "fault-injected");
    link("down");
    let began = Instant::now();
    assert_eq!(tables().len(), 1, "{:?}", tables());
    assert!(within(HEALED, || tables().is_empty()), "{:?}", tables());
    eprintln!("healed itself after {:.0} s", began.elapsed().as_secs_f64());
    let code = exit_code(&mut run, RUN, out.path());
    link("up");
    assert_eq!(code, 4, "{}\n{}", stdout(out.path()), stderr(out.path()));
    let report = json(&latest(out.path()).join("report.json"));
    assert_ne!(report["verdict"], "violated", "{report}");
    healed(out.path(), name);
}
