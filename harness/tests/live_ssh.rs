//! A cluster on real machines, by ssh: three sshd in network namespaces, with ZooKeeper and Kafka that kbench did not
//! start. Root logs in on the first, an ordinary user on the second, and the third is reached by way of another machine
//! with an agent's key. A kill, a cut, a loss and a rate; a link that is lost in the middle of a cut, and a kbench that is killed;
//! the conformance suite; what a user lacks, a machine that is started again, a disk that is full.

#![expect(clippy::expect_used, reason = "a test that cannot set itself up has failed")]

mod support;

use std::collections::BTreeSet;
use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::sync::LazyLock;
use std::time::{Duration, Instant};

use serde_json::Value;
use support::during::{await_event, is_stage};
use support::scenario::{outcomes, valid_report};
use support::*;

/// A broker is killed, cut off and slowed down where an ordinary user logs in, and one that is reached by way of another
/// machine loses packets. The cut is over long before
/// its ZooKeeper server gives up on the ensemble (10 s) and lets go of an observer that is connected to it.
const FAULTS: &str = r#"
name = "kill-cut-loss-rate"
description = "A leader is killed, cut off for a moment and slowed down, one loses packets"
[[step]]
id = "leader"
fault = "kill"
target = { broker = 2 }
prepare = "restore-leaders"
until = "recovered"
recover_within = "60s"
[[step]]
id = "isolated"
fault = { cut = { from = "other-nodes" } }
target = { broker = 2 }
prepare = "restore-leaders"
hold = "4s"
expect = "anything"
[[step]]
id = "loss"
fault = { degrade = { loss = 10 } }
target = { broker = 3 }
prepare = "restore-leaders"
hold = "5s"
expect = "anything"
[[step]]
id = "rate"
fault = { degrade = { rate = 100000 } }
target = { broker = 2 }
prepare = "restore-leaders"
hold = "5s"
expect = "anything"
"#;

/// A broker is cut off.
const CUT: &str = r#"
name = "cut"
description = "A leader is cut off"
[[step]]
id = "isolated"
fault = { cut = { from = "other-nodes" } }
target = { leader = { not_controller = true } }
prepare = "restore-leaders"
hold = "20s"
"#;

/// Limit for a run: 80 s were measured.
const RUN: Duration = Duration::from_secs(300);

/// Kills are spread over this long after the start: into the second fault.
const KILL_WITHIN: Duration = Duration::from_secs(45);

/// Limit for the machines to serve: 15 s were measured.
const UP: Duration = Duration::from_secs(120);

/// The test starts itself again where the machines are.
const AMONG_MACHINES: &str = "KBENCH_TEST_MACHINES";

/// Limit for a machine to heal itself: 30 s of silence, and what it takes a broker to start.
const HEALED: Duration = Duration::from_secs(90);

#[test]
#[ignore = "starts a real cluster on machines of its own"]
fn machines_behind_ssh_are_a_backend() {
    among_machines("machines_behind_ssh_are_a_backend", |folder, name| {
        permit(folder);
        what_is_not_allowed_is_refused(folder, name);
        faults_are_proven_and_undone(folder, name);
        a_machine_whose_link_is_lost_heals_itself(folder, name);
    });
}

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
fn machines_behind_ssh_pass_the_conformance_suite() {
    among_machines("machines_behind_ssh_pass_the_conformance_suite", |folder, name| {
        permit(folder);
        let out = support::folder();
        suite::passes(out.path(), &["ssh", &inventory(folder), name]);
        assert_eq!(left(), [""; 0]);
        assert_eq!(tables(), [""; 0]);
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

/// Carries out the test of this name where the machines are: it starts itself again there. `work` is given their
/// folder, and the name by which their cluster may be hurt.
fn among_machines(test: &str, work: impl FnOnce(&Path, &str)) {
    if let Some(folder) = std::env::var_os(AMONG_MACHINES) {
        let folder = PathBuf::from(folder);
        LazyLock::force(&BEFORE);
        let name = hurt_name(&folder);
        return work(&folder, &name);
    }
    if !Path::new("/usr/sbin/sshd").exists() || !nix::unistd::geteuid().is_root() {
        return skipped("machines behind ssh", "openssh-server and root are needed for them");
    }
    let folder = folder();
    let own = std::env::current_exe().expect("this test");
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/support/machines.sh");
    let mut machines = Command::new("unshare")
        .args(["--mount", "--net", "--pid", "--fork", "--kill-child", "--mount-proc"])
        .arg(script)
        .arg(folder.path())
        .arg(jars())
        .arg(own)
        .args([test, "--exact", "--ignored", "--nocapture"])
        .env(AMONG_MACHINES, folder.path())
        .spawn()
        .expect("unshare starts");
    assert!(machines.wait().expect("a child").success(), "see above");
}

/// Exit code and text of `kbench doctor` on the machines.
fn doctor(folder: &Path, change: impl FnOnce(&mut Command)) -> (Option<i32>, String) {
    let mut doctor = kbench();
    doctor.args(["doctor", "--cluster", &inventory(folder)]);
    change(&mut doctor);
    let (code, said, errors) = output(&mut doctor);
    (code, flat(&(said + &errors)))
}

/// Where sudo finds what the ordinary user may do; none without sudo.
fn sudoers(folder: &Path) -> Option<PathBuf> {
    let place = folder.join("sudoers.d");
    if !place.exists() {
        skipped("an ordinary user on a machine", "sudo is not installed");
        return None;
    }
    Some(place.join("kbench"))
}

/// Lets the ordinary user do by sudo what `kbench doctor` says that he must, and nothing else.
fn permit(folder: &Path) {
    let Some(file) = sudoers(folder) else { return };
    let (code, said) = doctor(folder, |_| ());
    assert_eq!(code, Some(4), "{said}");
    let line = said.split_once("the line `").and_then(|(_, after)| after.split('`').next());
    let line = line.unwrap_or_else(|| panic!("no line for sudoers: {said}"));
    assert!(line.starts_with("tester ALL=(root) NOPASSWD: /"), "{line}");
    std::fs::write(&file, format!("{line}\n")).expect("a file");
    std::fs::set_permissions(&file, Permissions::from_mode(0o440)).expect("a file of ours");
    let (code, said) = doctor(folder, |_| ());
    assert_eq!(code, Some(0), "{said}");
    assert!(said.contains("m2: kill, nft, tc by sudo, without a password"), "{said}");
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

/// Folder of Kafka's jars, which are there from here on.
fn jars() -> PathBuf {
    let prepared = kbench().args(["doctor", "--prepare"]).output().expect("kbench starts");
    assert!(prepared.status.success(), "{}", String::from_utf8_lossy(&prepared.stderr));
    kept::jars("3.9.1")
}

fn inventory(folder: &Path) -> String {
    folder.join("inventory.toml").display().to_string()
}

/// The name by which the cluster may be hurt, as kbench tells it to whoever forgot.
fn hurt_name(folder: &Path) -> String {
    let out = support::folder();
    let began = Instant::now();
    loop {
        let mut run = kbench();
        run.args(["run", "--cluster", &inventory(folder), "--workload", "smoke", "--trust-spec"]);
        let refused = run.arg("--out").arg(out.path()).output().expect("kbench starts");
        let said = flat(&String::from_utf8_lossy(&refused.stderr));
        if let Some((_, after)) = said.split_once("--yes-hurt-this-cluster ") {
            assert_eq!(refused.status.code(), Some(2), "{said}");
            return after.split(',').next().unwrap_or_default().to_owned();
        }
        // Brokers are told of each other a moment after they are there.
        assert!(said.contains("metadata") && began.elapsed() < UP, "{said}");
        std::thread::sleep(Duration::from_millis(500));
    }
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
        let refused = run.output().expect("kbench starts");
        let said = flat(&String::from_utf8_lossy(&refused.stderr));
        assert_eq!(refused.status.code(), Some(2), "{arguments:?}: {said}");
        assert!(said.contains(words), "{arguments:?}: {said}");
    }
}

fn run_on(folder: &Path, name: &str, out: &Path, faults: &str) -> Child {
    let inventory = inventory(folder);
    let arguments = ["--cluster", &inventory, "--trust-spec", "--yes-hurt-this-cluster", name];
    start(out, &[&arguments[..], &["--workload", "smoke", "--faults", faults]].concat())
}

/// What kbench has in the folder of temporary files, which the machines share here.
fn folders() -> BTreeSet<String> {
    let all = std::fs::read_dir("/tmp").expect("a folder").flatten();
    let names = all.map(|entry| entry.file_name().to_string_lossy().into_owned());
    names.filter(|name| name.starts_with("kbench-")).collect()
}

/// What was there before the first run.
static BEFORE: LazyLock<BTreeSet<String>> = LazyLock::new(folders);

/// What of kbench's is left on the machines.
fn left() -> Vec<String> {
    folders().difference(&BEFORE).cloned().collect()
}

/// A plan of the test's own, in a file.
fn plan(folder: &Path, text: &str) -> String {
    let name = text.lines().find_map(|line| line.strip_prefix("name = ")).expect("a name");
    let file = folder.join(format!("{}.toml", name.trim_matches('"')));
    std::fs::write(&file, text).expect("a file");
    file.display().to_string()
}

/// Tables of rules that machines have.
fn tables() -> Vec<String> {
    let of = |number: u8| {
        let mut list = Command::new("ip");
        list.args(["netns", "exec", &format!("m{number}"), "nft", "list", "tables"]);
        let (code, all, wrong) = output(&mut list);
        assert_eq!(code, Some(0), "{wrong}");
        all.lines().map(|table| format!("m{number}: {table}")).collect::<Vec<_>>()
    };
    (1..=3).flat_map(of).collect()
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

/// Waits until every replica is in sync: a cluster that is not well is left alone.
fn in_sync(folder: &Path) {
    let inventory = inventory(folder);
    let looks = || output(kbench().args(["doctor", "--cluster", &inventory]));
    let well =
        |(_, said, _): (Option<i32>, String, String)| said.contains("takes connections from here");
    assert!(within(HEALED, || well(looks())), "{:?}", looks());
}

/// Waits until every broker runs, as its machine sees it.
fn whole(folder: &Path) {
    let runs = |number: u8| {
        let pid = std::fs::read_to_string(folder.join(format!("m{number}/kafka.pid")));
        let pid = pid.unwrap_or_default();
        Path::new("/proc").join(pid.trim()).join("stat").exists() && !pid.trim().is_empty()
    };
    assert!(within(HEALED, || (1..=3).all(runs)), "a broker does not run");
    // It registers a moment later.
    let listens =
        |number: u8| std::net::TcpStream::connect(format!("198.18.9.1{number}:9092")).is_ok();
    assert!(within(HEALED, || (1..=3).all(listens)), "a broker does not listen");
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

/// Heals what a run left: nothing is left on the machines, nor of its topics.
fn healed(out: &Path, name: &str) {
    let mut heal = kbench();
    heal.args(["heal", "latest", "--yes-hurt-this-cluster", name, "--out"]).arg(out);
    let healed = heal.output().expect("kbench starts");
    let said = String::from_utf8_lossy(&healed.stdout).into_owned();
    let errors = String::from_utf8_lossy(&healed.stderr).into_owned();
    assert!(healed.status.success(), "{said}\n{errors}");
    eprintln!("{said}");
    let gone = within(Duration::from_secs(60), || left().is_empty());
    assert!(gone, "{:?}", left());
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
