//! What happens to machines that are reached by ssh, and to kbench, and is no verdict about Kafka: what a user lacks, a
//! machine that is started again, a disk that is full, a kbench that is killed. The machines are those of `live_ssh`.

#![expect(clippy::expect_used, reason = "a test that cannot set itself up has failed")]

mod support;

use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use serde_json::Value;
use support::during::{await_event, is_stage};
use support::machines::*;
use support::*;

/// Kills are spread over this long after the start: into the second fault.
const KILL_WITHIN: Duration = Duration::from_secs(45);

#[test]
#[ignore = "starts a real cluster on machines of its own"]
fn machines_survive_a_kbench_that_is_killed() {
    among_machines("machines_survive_a_kbench_that_is_killed", |folder, name| {
        permit(folder);
        what_a_killed_kbench_leaves_is_healed(folder, name);
        kbench_is_killed_at_any_moment(folder, name);
        machines_whose_kbench_is_killed_heal_themselves(folder, name);
    });
}

#[test]
#[ignore = "starts a real cluster on machines of its own"]
fn what_happens_to_machines_is_no_verdict_about_kafka() {
    among_machines("what_happens_to_machines_is_no_verdict_about_kafka", |folder, name| {
        what_a_user_may_not_do_is_named_before_anything_is_done(folder, name);
        machines_are_reached_as_the_inventory_says(folder);
        a_machine_that_is_started_again_ends_the_run(folder, name);
        a_disk_that_is_full_ends_the_run(folder, name);
    });
}

fn what_a_user_may_not_do_is_named_before_anything_is_done(folder: &Path, name: &str) {
    if sudoers(folder).is_some() {
        let out = support::folder();
        let plan = plan(folder, FAULTS);
        let code = exit_code(&mut run_on(folder, name, out.path(), &plan), RUN, out.path());
        let said = flat(&stderr(out.path()));
        assert_eq!(code, 4, "{said}");
        assert!(said.contains("m2: `kill` cannot be run: sudo: "), "{said}");
        let events = events(&latest(out.path()));
        let done = |event: &Value| event["event"] == "fault-injecting";
        assert!(!events.iter().any(done), "{said}");
        assert_eq!(left(), [""; 0]);
    }
    permit(folder);
}

/// By way of another machine, with a key that an agent alone has; the load goes there by itself.
fn machines_are_reached_as_the_inventory_says(folder: &Path) {
    let (code, said) = doctor(folder, |_| ());
    assert_eq!(code, Some(0), "{said}");
    assert!(said.contains("m3: as root") && said.contains("takes connections from here"), "{said}");
    let (code, said) = doctor(folder, |doctor| {
        doctor.env_remove("SSH_AUTH_SOCK");
    });
    assert_eq!(code, Some(4), "{said}");
    assert!(said.contains("m3 ") && said.contains("it does not take our key"), "{said}");
    let table = "table ip load { chain out { type filter hook output priority 0; \
                 ip daddr 198.18.9.13 tcp dport 9092 drop; }; }";
    let nft = |rules: &str| Command::new("nft").arg(rules).status().expect("nft starts");
    assert!(nft(&format!("add {table}")).success());
    let (code, said) = doctor(folder, |_| ());
    assert!(nft("delete table ip load").success());
    assert_eq!(code, Some(4), "{said}");
    let way = "it is connected to from this machine, and not by the jump host";
    assert!(said.contains("m3: as root") && said.contains(way), "{said}");
    assert!(said.contains("m3: broker at 198.18.9.13:9092"), "{said}");
}

/// Mounts something over the boot id that the second machine's sessions see, or what is there away.
fn over_boot_id(change: &[&str]) {
    let (_, pids, _) = output(Command::new("ip").args(["netns", "pids", "m2"]));
    let is_sshd = |pid: &&str| {
        let name = std::fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default();
        name.trim() == "sshd"
    };
    let sshd = pids.lines().find(is_sshd).expect("an sshd");
    let mut change_it = Command::new("nsenter");
    change_it.args(["-m", "-t", sshd]).args(change).arg("/proc/sys/kernel/random/boot_id");
    assert!(change_it.status().expect("nsenter starts").success());
}

/// Its boot id is another one in the middle of a cut: nothing is said of Kafka, and the cut is undone.
fn a_machine_that_is_started_again_ends_the_run(folder: &Path, name: &str) {
    in_sync(folder);
    let out = support::folder();
    let another = folder.join("boot-id");
    std::fs::write(&another, "0a0b0c0d-1111-4222-8333-444455556666\n").expect("a file");
    let mut run = run_on(folder, name, out.path(), &plan(folder, CUT));
    await_event(&mut run, out.path(), |event| event["event"] == "fault-injected");
    let began = Instant::now();
    over_boot_id(&["mount", "--bind", &another.display().to_string()]);
    let code = exit_code(&mut run, RUN, out.path());
    eprintln!("ended {:.0} s after a machine was started again", began.elapsed().as_secs_f64());
    says_nothing_of_kafka(out.path(), code, "m2 was started again");
    healed(out.path(), name);
    over_boot_id(&["umount"]);
    assert_eq!(tables(), [""; 0]);
}

/// Its broker ends for want of it, and the run names the place.
fn a_disk_that_is_full_ends_the_run(folder: &Path, name: &str) {
    in_sync(folder);
    let out = support::folder();
    let (inventory, fill) = (inventory(folder), folder.join("m3/kafka/fill"));
    let arguments = ["--cluster", &inventory, "--trust-spec", "--yes-hurt-this-cluster", name];
    let load = ["--workload", "smoke", "--faults", "none", "--duration", "60s"];
    let mut run = start(out.path(), &[&arguments[..], &load].concat());
    await_event(&mut run, out.path(), is_stage("baseline"));
    let mut file = std::fs::File::create(&fill).expect("a file");
    let full = std::io::copy(&mut std::io::repeat(0), &mut file);
    assert_eq!(full.expect_err("it is full").kind(), std::io::ErrorKind::StorageFull);
    let code = exit_code(&mut run, RUN, out.path());
    std::fs::remove_file(&fill).expect("a file");
    says_nothing_of_kafka(out.path(), code, "a disk of m3 is full: ");
}

fn says_nothing_of_kafka(out: &Path, code: i32, why: &str) {
    let said = flat(&(stdout(out) + &stderr(out)));
    assert_eq!(code, 4, "{said}");
    assert!(said.contains(why), "{said}");
    let report = json(&latest(out).join("report.json"));
    assert_ne!(report["verdict"], "violated", "{report}");
}

/// A run of a plan whose kbench is killed when its first fault is there.
fn killed(folder: &Path, name: &str, out: &Path, faults: &str) {
    in_sync(folder);
    let mut run = run_on(folder, name, out, faults);
    await_event(&mut run, out, |event| event["event"] == "fault-injected");
    run.kill().expect("it runs");
    run.wait().expect("a child");
}

fn what_a_killed_kbench_leaves_is_healed(folder: &Path, name: &str) {
    let out = support::folder();
    killed(folder, name, out.path(), &plan(folder, CUT));
    assert_eq!(tables().len(), 1, "{:?}", tables());
    healed(out.path(), name);
    assert_eq!(tables(), [""; 0]);
}

/// A broker that was killed runs again before anybody heals; then there is nothing left to do.
fn machines_whose_kbench_is_killed_heal_themselves(folder: &Path, name: &str) {
    let out = support::folder();
    killed(folder, name, out.path(), "failover");
    whole(folder);
    healed(out.path(), name);
    whole(folder);
}

/// At a moment of the start, of the load or of a fault.
fn kbench_is_killed_at_any_moment(folder: &Path, name: &str) {
    let rounds = kills(1);
    for round in 0..rounds {
        in_sync(folder);
        let (out, after) = (support::folder(), moment(round, rounds, KILL_WITHIN));
        eprintln!("killed after {after:?}");
        let mut run = run_on(folder, name, out.path(), "failover");
        std::thread::sleep(after);
        run.kill().expect("it runs");
        run.wait().expect("a child");
        if out.path().join("latest/spec.toml").exists() {
            healed(out.path(), name);
        }
        assert_eq!(tables(), [""; 0]);
        whole(folder);
    }
}
