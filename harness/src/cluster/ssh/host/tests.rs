//! A host is tried on a real sshd, in a network namespace of the test's own.

use std::path::PathBuf;
use std::process::{Child, Command as Process, Stdio};
use std::time::Instant;

use faults::until;
use nix::sched::{CloneFlags, unshare};

use super::*;
use crate::cluster::inventory::Allowed;
use crate::cluster::ssh::inventory::{Commands, PidFile};
use crate::cluster::ssh::look::look;
use crate::cluster::ssh::{Driver, Inventory};
use crate::mechanism::tests::{block_on, skipped};

/// Limit for what takes a host milliseconds.
const SOON: Duration = Duration::from_secs(5);

/// How often it is looked.
const LOOK: Duration = Duration::from_millis(20);

/// An sshd that this thread reaches, and nobody else.
pub(in crate::cluster::ssh) struct TestHost {
    sshd: Child,
    dir: tempfile::TempDir,
}

impl TestHost {
    /// Starts one; `None` with a word where that cannot be.
    pub(in crate::cluster::ssh) fn start(test: &str) -> Option<Self> {
        Self::with_sessions(test, 10)
    }

    /// One that lets so many sessions be at once.
    fn with_sessions(test: &str, sessions: u32) -> Option<Self> {
        let sshd = PathBuf::from("/usr/sbin/sshd");
        if !sshd.exists() || !nix::unistd::geteuid().is_root() {
            skipped(test, "it takes openssh-server, and root for a network namespace");
            return None;
        }
        // Of this thread alone, and of what it starts.
        if let Err(error) = unshare(CloneFlags::CLONE_NEWNET) {
            skipped(test, &format!("no network namespace: {error}"));
            return None;
        }
        let dir = tempfile::tempdir().unwrap();
        let file = |name: &str| dir.path().join(name).to_str().unwrap().to_owned();
        let run = |program: &str, arguments: &[&str]| {
            let status = Process::new(program).args(arguments).stdout(Stdio::null()).status();
            assert!(status.unwrap().success(), "{program} {arguments:?}");
        };
        run("ip", &["link", "set", "lo", "up"]);
        run("ip", &["address", "add", "198.18.0.11/15", "dev", "lo"]);
        for name in ["key", "host", "other"] {
            run("ssh-keygen", &["-q", "-t", "ed25519", "-N", "", "-f", &file(name)]);
        }
        let host_key = std::fs::read_to_string(file("host.pub")).unwrap();
        std::fs::write(file("known"), format!("[198.18.0.11]:2222 {host_key}")).unwrap();
        std::fs::create_dir_all("/run/sshd").unwrap();
        // With mounts of its own.
        let mut command = Process::new("unshare");
        command.arg("--mount").arg(sshd);
        command.args(["-D", "-e", "-f", "/dev/null", "-p", "2222", "-h", &file("host")]);
        for option in [
            "PidFile=none".to_owned(),
            "StrictModes=no".to_owned(),
            "PermitRootLogin=yes".to_owned(),
            format!("MaxSessions={sessions}"),
            format!("AuthorizedKeysFile={}", file("key.pub")),
        ] {
            command.args(["-o", &option]);
        }
        let sshd = command.stderr(Stdio::null()).spawn().unwrap();
        let began = Instant::now();
        while std::net::TcpStream::connect("198.18.0.11:2222").is_err() {
            assert!(began.elapsed() < Duration::from_secs(10), "sshd does not listen");
            std::thread::sleep(LOOK);
        }
        Some(Self { sshd, dir })
    }

    fn file(&self, name: &str) -> String {
        self.dir.path().join(name).to_str().unwrap().to_owned()
    }

    /// Where its files are.
    pub(in crate::cluster::ssh) fn folder(&self) -> &Path {
        self.dir.path()
    }

    /// Lets it say that this is its boot id, from now on.
    pub(in crate::cluster::ssh) fn boot(&self, id: &str) {
        let (file, pid) = (self.file("boot-id"), self.sshd.id().to_string());
        std::fs::write(&file, format!("{id}\n")).unwrap();
        let place = "/proc/sys/kernel/random/boot_id";
        let mount = ["-m", "-t", &pid, "mount", "--bind", &file, place];
        assert!(Process::new("nsenter").args(mount).status().unwrap().success());
    }

    pub(in crate::cluster::ssh) fn login(&self) -> Login {
        Login {
            user: Some("root".to_owned()),
            port: Some(2222),
            key: Some(self.file("key")),
            known_hosts: Some(self.file("known")),
            ..Login::default()
        }
    }

    pub(in crate::cluster::ssh) fn host(&self, login: Login) -> SshHost {
        let mut inventory = Inventory::parse(super::super::inventory::SHIPPED[0].1).unwrap();
        let mut node = inventory.node.remove(0);
        node.address = Ipv4Addr::new(198, 18, 0, 11);
        SshHost::new(&node, login)
    }
}

impl Drop for TestHost {
    fn drop(&mut self) {
        self.sshd.kill().unwrap();
        self.sshd.wait().unwrap();
    }
}

fn sleeper() -> Command {
    Command::script("echo ready; read -r line; echo \"got $line\"; sleep 60", [""; 0])
}

async fn runs(host: &SshHost, process: &ProcessIdentity) -> bool {
    host.identify(process.pid).await.is_ok_and(|now| now == *process)
}

#[test]
fn what_a_host_is_asked_is_done_there_or_fails_with_its_kind() {
    let Some(test) = TestHost::start("a host by ssh") else { return };
    let host = test.host(test.login());
    block_on(async {
        let identity = host.identity().await.unwrap();
        assert_eq!(identity.network, None, "its namespace is this thread's");
        let script = "cat; echo \"$1 $A\"; echo no >&2; exit 3";
        let mut command = Command::script(script, ["it's; $x"]).env("A", "a b");
        command.input = "in\n".to_owned();
        let output = host.run(&command).await.unwrap();
        let expected = (Some(3), "in\nit's; $x a b\n", "no\n");
        assert_eq!((output.code, &*output.stdout, &*output.stderr), expected);
        let absent = host.run(&Command::new("no-such-tool")).await.unwrap_err();
        assert_eq!(absent.kind(), ErrorKind::Unsupported, "{absent}");
        let file = test.dir.path().join("it's");
        let bytes: Vec<u8> = (0..=255).collect();
        host.write(&file, &bytes).await.unwrap();
        assert_eq!(host.read(&file).await.unwrap(), bytes);
        let gone = host.read(Path::new("/nowhere")).await.unwrap_err();
        assert_eq!(gone.kind(), ErrorKind::Gone, "{gone}");
        // A command that takes too long is ended with what it started.
        let started = test.dir.path().join("started");
        let script =
            "sh -c 'echo $$ >\"$1.next\"; mv \"$1.next\" \"$1\"; exec sleep 60' sh \"$1\" & wait";
        let mut slow = Command::script(script, [&started]);
        // Room to begin on a busy machine: what has not begun when it is late leaves nothing to be ended.
        slow.limit = Duration::from_secs(5);
        let running = async {
            let there = until(SOON, LOOK, async || host.read(&started).await).await.unwrap();
            let pid = String::from_utf8(there).unwrap().trim().parse().unwrap();
            host.identify(pid).await.unwrap()
        };
        let (late, child) = tokio::join!(host.run(&slow), running);
        assert_eq!(late.unwrap_err().kind(), ErrorKind::TimedOut);
        assert!(until_gone(&host, &child).await, "what it started goes on");
        let limit = Duration::from_millis(500);
        let sshd = SocketAddr::from(([198, 18, 0, 11], 2222));
        assert!(matches!(host.connect(sshd, limit).await.unwrap(), Attempt::Accepted(_)));
        let nobody = SocketAddr::from(([198, 18, 0, 11], 9));
        assert_eq!(host.connect(nobody, limit).await.unwrap(), Attempt::Refused);
        let ClockOffset { ahead_ns, error } = host.clock().await.unwrap();
        assert!(u128::from(ahead_ns.unsigned_abs()) <= error.as_nanos(), "{ahead_ns} {error:?}");
    });
}

#[test]
fn a_resident_answers_is_signalled_by_its_identity_and_never_outlives_its_handle() {
    let Some(test) = TestHost::start("residents by ssh") else { return };
    let host = test.host(test.login());
    block_on(async {
        let mut one = host.keep(&sleeper()).await.unwrap();
        assert_eq!(one.line().await.unwrap().as_deref(), Some("ready"));
        one.send("this\n").await.unwrap();
        assert_eq!(one.line().await.unwrap().as_deref(), Some("got this"));
        let process = one.process().clone();
        for other in [
            ProcessIdentity { started_ticks: process.started_ticks + 1, ..process.clone() },
            ProcessIdentity { boot_id: "another".to_owned(), ..process.clone() },
            ProcessIdentity { pid: -1, ..process.clone() },
        ] {
            let gone = host.signal(&other, Signal::Kill).await.unwrap_err();
            assert_eq!(gone.kind(), ErrorKind::Gone, "{gone}");
        }
        assert!(runs(&host, &process).await);
        one.end(Some(Signal::Term), Duration::from_secs(5)).await.unwrap();
        assert!(!runs(&host, &process).await);
        let dropped = host.keep(&sleeper()).await.unwrap();
        let process = dropped.process().clone();
        drop(dropped);
        let gone = until_gone(&host, &process).await;
        assert!(gone, "a resident outlives its handle");
        // Those that are there leave none for more, and nothing waits for ever.
        let mut all = vec![];
        let refused = loop {
            match host.keep(&sleeper()).await {
                Ok(resident) => all.push(resident),
                Err(error) => break error,
            }
        };
        assert_eq!((all.len(), refused.kind()), (7, ErrorKind::Refused), "one is the shell's");
    });
}

/// An sshd counts a session for a moment after it has ended, and may let fewer be than others do.
#[test]
fn commands_wait_for_an_sshd_that_has_no_session_free() {
    let Some(test) = TestHost::with_sessions("sshd with few sessions", 2) else { return };
    let host = test.host(test.login());
    block_on(async {
        host.ask("true").await.unwrap();
        let resident = host.keep(&sleeper()).await.unwrap();
        let refused = host.run(&Command::new("true")).await.unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::Refused, "{refused}");
        assert!(refused.to_string().contains("no session free"), "{refused}");
        resident.end(Some(Signal::Kill), Duration::from_secs(5)).await.unwrap();
        let all = (0..8).map(async |_| host.run(&Command::new("true")).await);
        for ended in futures::future::join_all(all).await {
            assert_eq!(ended.unwrap().code, Some(0));
        }
    });
}

async fn until_gone(host: &SshHost, process: &ProcessIdentity) -> bool {
    let gone = until(SOON, LOOK, async || match runs(host, process).await {
        false => Ok(()),
        true => Err(()),
    });
    gone.await.is_ok()
}

#[test]
fn a_lost_link_is_unreachable_and_nothing_else_and_what_it_left_is_ended() {
    let Some(test) = TestHost::start("a lost link") else { return };
    let host = test.host(test.login());
    block_on(async {
        let mut resident = host.keep(&sleeper()).await.unwrap();
        assert_eq!(resident.line().await.unwrap().as_deref(), Some("ready"));
        let process = resident.process().clone();
        let link = |to: &str| {
            let set = Process::new("ip").args(["link", "set", "lo", to]).status();
            assert!(set.unwrap().success());
        };
        link("down");
        let mut command = Command::new("true");
        command.limit = Duration::from_secs(30);
        let (run, signalled, heard) = (
            host.run(&command).await.unwrap_err(),
            host.signal(&process, Signal::Stop).await.unwrap_err(),
            resident.line().await.unwrap_err(),
        );
        for error in [run, signalled, heard] {
            assert_eq!(error.kind(), ErrorKind::Unreachable, "{error}");
        }
        link("up");
        assert!(runs(&host, &process).await, "it is still there, over another connection");
        resident.end(Some(Signal::Kill), Duration::from_secs(5)).await.unwrap();
        assert!(!runs(&host, &process).await);
    });
}

#[test]
fn a_stranger_s_key_and_a_key_that_is_not_taken_are_refused_with_the_cure() {
    let Some(test) = TestHost::start("keys") else { return };
    block_on(async {
        let unknown = Login { known_hosts: Some(test.file("none")), ..test.login() };
        let other = Login { key: Some(test.file("other")), ..test.login() };
        let key = std::fs::read_to_string(test.file("other.pub")).unwrap();
        std::fs::write(test.file("changed"), format!("[198.18.0.11]:2222 {key}")).unwrap();
        let changed = Login { known_hosts: Some(test.file("changed")), ..test.login() };
        for (login, words) in
            [(unknown, "log in once"), (other, "ssh-copy-id"), (changed, "ssh-keygen -R")]
        {
            let refused = test.host(login).identity().await.unwrap_err();
            assert_eq!(refused.kind(), ErrorKind::Refused, "{refused}");
            assert!(refused.to_string().contains(words), "{refused}");
        }
    });
}

#[test]
fn a_node_is_looked_at_without_running_its_author_s_code_and_without_leaving_anything() {
    let Some(test) = TestHost::start("a look at a node") else { return };
    let mut inventory = Inventory::parse(super::super::inventory::SHIPPED[0].1).unwrap();
    inventory.allow = [Allowed::Signal].into();
    let ran = test.file("ran");
    let status = format!("echo >{ran}; echo 7");
    inventory.broker.driver = Driver::Commands(Commands { start: format!("echo >{ran}"), status });
    inventory.broker.config = PathBuf::from(test.file("server.properties"));
    inventory.broker.data = test.dir.path().to_owned();
    let (file, start) = (PathBuf::from(test.file("pid")), format!("echo >{ran}"));
    inventory.zookeeper.driver = Driver::PidFile(PidFile { file: file.clone(), start });
    inventory.zookeeper.config = PathBuf::from("/nowhere/zookeeper.properties");
    inventory.zookeeper.data = PathBuf::from("/nowhere");
    std::fs::write(&inventory.broker.config, "# a comment\nbroker.id = 1\n").unwrap();
    std::fs::write(&file, format!("{}\n", std::process::id())).unwrap();
    let names = || {
        let names = std::fs::read_dir(test.dir.path()).unwrap();
        let mut names: Vec<_> = names.map(|entry| entry.unwrap().file_name()).collect();
        names.sort();
        names
    };
    let before = names();
    let host = test.host(test.login());
    let node = inventory.node[0].clone();
    let found = block_on(look(&host, &inventory, &node, false)).unwrap();
    assert_eq!(names(), before, "it left something, or ran the inventory's code");
    assert_eq!((found.user.as_str(), found.is_root), ("root", true));
    let programs: Vec<_> =
        found.programs.iter().map(|program| (program.name, program.refused.clone())).collect();
    assert_eq!(programs, [("kill", None)]);
    assert!(found.programs[0].path.as_ref().unwrap().ends_with("/kill"), "{found:?}");
    let [zookeeper, broker] = &found.services[..] else { panic!("{found:?}") };
    assert_eq!(zookeeper.runs, Ok(true));
    assert!(zookeeper.free_mb.is_err() && zookeeper.settings.is_err(), "{zookeeper:?}");
    assert!(broker.runs.as_ref().unwrap_err().contains("--trust-spec"), "{broker:?}");
    assert_eq!(broker.settings.as_ref().unwrap()["broker.id"], "1");
    assert!(broker.free_mb.is_ok(), "{broker:?}");
    // A pid that nobody has is no server; what is trusted is asked.
    std::fs::write(&file, "999999999\n").unwrap();
    let found = block_on(look(&test.host(test.login()), &inventory, &node, true)).unwrap();
    let runs: Vec<_> = found.services.iter().map(|service| service.runs.clone()).collect();
    assert_eq!(runs, [Ok(false), Ok(true)]);
    assert!(Path::new(&ran).exists());
    let stranger = Login { key: Some(test.file("other")), ..test.login() };
    let refused = block_on(look(&test.host(stranger), &inventory, &node, false)).unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Refused, "{refused}");
}

#[test]
fn by_sudo_a_tool_runs_once_for_each_line_and_an_undo_asks_for_it() {
    let mut inventory = Inventory::parse(super::super::inventory::SHIPPED[0].1).unwrap();
    let node = inventory.node.remove(0);
    let root = SshHost::new(&node, Login::default());
    let user = SshHost::new(&node, Login { sudo: Some(true), ..Login::default() });
    let command = Command::new("nft").args(["--json", "--interactive"]).env("HOME", "/dev/null");
    assert_eq!(root.kept(&command), command);
    assert_eq!(root.undo_script("nft -f -"), "nft -f -");
    let other = Command::new("tail").arg("-F");
    assert_eq!(user.kept(&other), other);
    // What stands for them says what it was given.
    let tools = tempfile::tempdir().unwrap();
    let tool = |name: &str, script: &str| {
        let file = tools.path().join(name);
        std::fs::write(&file, format!("#!/bin/sh\n{script}\n")).unwrap();
        let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
        std::fs::set_permissions(&file, mode).unwrap();
    };
    tool("sudo", "[ \"$1\" = -n ] || exit 1; shift; exec env BY_SUDO=yes \"$@\"");
    for name in ["nft", "tc"] {
        tool(name, "cat; echo \"[$BY_SUDO $# $*]\"");
    }
    let path = format!("{}:{}", tools.path().display(), std::env::var("PATH").unwrap());
    let run = |program: &str, arguments: &[std::ffi::OsString], input: &str| {
        let mut child = Process::new(program);
        child.args(arguments).env("PATH", &path).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = child.spawn().unwrap();
        std::io::Write::write_all(&mut child.stdin.take().unwrap(), input.as_bytes()).unwrap();
        String::from_utf8(child.wait_with_output().unwrap().stdout).unwrap()
    };
    let kept = user.kept(&command);
    let said =
        run(&kept.program, &kept.arguments, "table inet T;delete table inet T\nlist counters\n");
    let expected =
        "[yes 2 --json table inet T;delete table inet T]\n[yes 2 --json list counters]\n";
    assert_eq!(said, expected);
    let kept = user.kept(&Command::new("tc").args(["-json", "-batch", "-"]));
    let said = run(&kept.program, &kept.arguments, "qdisc add x\nqdisc show\n");
    assert_eq!(said, "qdisc add x\n[yes 3 -json -batch -]\nqdisc show\n[yes 3 -json -batch -]\n");
    for name in ["nft", "tc"] {
        let script = user.undo_script(&format!("{name} -f - <<'END'\ndelete T\nEND\n"));
        let said = run("sh", &["-c".into(), script.into()], "");
        assert_eq!(said, "delete T\n[yes 2 -f -]\n");
    }
}
