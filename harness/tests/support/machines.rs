//! Three machines with sshd, ZooKeeper and Kafka, in network namespaces (`machines.sh`): the test starts itself again
//! among them.

#![allow(dead_code, reason = "each test binary uses a part")]

use std::collections::BTreeSet;
use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::sync::LazyLock;
use std::time::{Duration, Instant};

use super::{awaited, flat, kbench, kept, output, skipped, start, within};

/// A broker is killed, cut off and slowed down where an ordinary user logs in, and one that is reached by way of another
/// machine loses packets. The cut is over long before
/// its ZooKeeper server gives up on the ensemble (10 s) and lets go of an observer that is connected to it.
pub(crate) const FAULTS: &str = r#"
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
pub(crate) const CUT: &str = r#"
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
pub(crate) const RUN: Duration = Duration::from_secs(300);

/// Limit for the machines to serve: 15 s were measured.
pub(crate) const UP: Duration = Duration::from_secs(120);

/// The test starts itself again where the machines are.
pub(crate) const AMONG_MACHINES: &str = "KBENCH_TEST_MACHINES";

/// Limit for a machine to heal itself: 30 s of silence, and what it takes a broker to start.
pub(crate) const HEALED: Duration = Duration::from_secs(90);

/// Carries out the test of this name where the machines are: it starts itself again there. `work` is given their
/// folder, and the name by which their cluster may be hurt.
pub(crate) fn among_machines(test: &str, work: impl FnOnce(&Path, &str)) {
    if let Some(folder) = std::env::var_os(AMONG_MACHINES) {
        let folder = PathBuf::from(folder);
        LazyLock::force(&BEFORE);
        let name = hurt_name(&folder);
        return work(&folder, &name);
    }
    if !Path::new("/usr/sbin/sshd").exists() || !nix::unistd::geteuid().is_root() {
        return skipped("machines behind ssh", "openssh-server and root are needed for them");
    }
    let folder = super::folder();
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
pub(crate) fn doctor(folder: &Path, change: impl FnOnce(&mut Command)) -> (Option<i32>, String) {
    let mut doctor = kbench();
    doctor.args(["doctor", "--cluster", &inventory(folder)]);
    change(&mut doctor);
    let (code, said, errors) = output(&mut doctor);
    (code, flat(&(said + &errors)))
}

/// Where sudo finds what the ordinary user may do; none without sudo.
pub(crate) fn sudoers(folder: &Path) -> Option<PathBuf> {
    let place = folder.join("sudoers.d");
    if !place.exists() {
        skipped("an ordinary user on a machine", "sudo is not installed");
        return None;
    }
    Some(place.join("kbench"))
}

/// Lets the ordinary user do by sudo what `kbench doctor` says that he must, and nothing else.
pub(crate) fn permit(folder: &Path) {
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

/// Folder of Kafka's jars, which are there from here on.
pub(crate) fn jars() -> PathBuf {
    let prepared = awaited(kbench().args(["doctor", "--prepare"]));
    assert!(prepared.status.success(), "{}", String::from_utf8_lossy(&prepared.stderr));
    kept::jars("3.9.1")
}

pub(crate) fn inventory(folder: &Path) -> String {
    folder.join("inventory.toml").display().to_string()
}

/// The name by which the cluster may be hurt, as kbench tells it to whoever forgot.
pub(crate) fn hurt_name(folder: &Path) -> String {
    let out = super::folder();
    let began = Instant::now();
    loop {
        let mut run = kbench();
        run.args(["run", "--cluster", &inventory(folder), "--workload", "smoke", "--trust-spec"]);
        let refused = awaited(run.arg("--out").arg(out.path()));
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

pub(crate) fn run_on(folder: &Path, name: &str, out: &Path, faults: &str) -> Child {
    let inventory = inventory(folder);
    let arguments = ["--cluster", &inventory, "--trust-spec", "--yes-hurt-this-cluster", name];
    start(out, &[&arguments[..], &["--workload", "smoke", "--faults", faults]].concat())
}

/// What kbench has in the folder of temporary files, which the machines share here.
pub(crate) fn folders() -> BTreeSet<String> {
    let all = std::fs::read_dir("/tmp").expect("a folder").flatten();
    let names = all.map(|entry| entry.file_name().to_string_lossy().into_owned());
    names.filter(|name| name.starts_with("kbench-")).collect()
}

/// What was there before the first run.
pub(crate) static BEFORE: LazyLock<BTreeSet<String>> = LazyLock::new(folders);

/// What of kbench's is left on the machines.
pub(crate) fn left() -> Vec<String> {
    folders().difference(&BEFORE).cloned().collect()
}

/// A plan of the test's own, in a file.
pub(crate) fn plan(folder: &Path, text: &str) -> String {
    let name = text.lines().find_map(|line| line.strip_prefix("name = ")).expect("a name");
    let file = folder.join(format!("{}.toml", name.trim_matches('"')));
    std::fs::write(&file, text).expect("a file");
    file.display().to_string()
}

/// Tables of rules that machines have.
pub(crate) fn tables() -> Vec<String> {
    let of = |number: u8| {
        let mut list = Command::new("ip");
        list.args(["netns", "exec", &format!("m{number}"), "nft", "list", "tables"]);
        let (code, all, wrong) = output(&mut list);
        assert_eq!(code, Some(0), "{wrong}");
        all.lines().map(|table| format!("m{number}: {table}")).collect::<Vec<_>>()
    };
    (1..=3).flat_map(of).collect()
}

/// Waits until every replica is in sync: a cluster that is not well is left alone.
pub(crate) fn in_sync(folder: &Path) {
    let inventory = inventory(folder);
    let looks = || output(kbench().args(["doctor", "--cluster", &inventory]));
    let well =
        |(_, said, _): (Option<i32>, String, String)| said.contains("takes connections from here");
    assert!(within(HEALED, || well(looks())), "{:?}", looks());
}

/// Waits until every broker runs, as its machine sees it.
pub(crate) fn whole(folder: &Path) {
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

/// Heals what a run left: nothing is left on the machines, nor of its topics.
pub(crate) fn healed(out: &Path, name: &str) {
    let mut heal = kbench();
    heal.args(["heal", "latest", "--yes-hurt-this-cluster", name, "--out"]).arg(out);
    let healed = awaited(&mut heal);
    let said = String::from_utf8_lossy(&healed.stdout).into_owned();
    let errors = String::from_utf8_lossy(&healed.stderr).into_owned();
    assert!(healed.status.success(), "{said}\n{errors}");
    eprintln!("{said}");
    let gone = within(Duration::from_secs(60), || left().is_empty());
    assert!(gone, "{:?}", left());
}
