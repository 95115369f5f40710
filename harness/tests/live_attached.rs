//! Clusters that run already and are only connected to: one with ZooKeeper, and one of KRaft.

#![expect(clippy::expect_used, reason = "a test that cannot set itself up has failed")]

mod support;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use support::kept::Kept;
use support::*;

/// Limit for a load to begin, and for a broker to serve.
const BEGUN: Duration = Duration::from_secs(60);

/// The only listener of the KRaft node for clients; the other is the controllers'.
const KRAFT: [&str; 2] = ["127.0.77.1:9092", "127.0.77.1:9093"];

/// A KRaft cluster of one node; it ends with the test.
struct KraftNode {
    folder: tempfile::TempDir,
    server: Option<Child>,
}

impl KraftNode {
    fn up(jars: &Path) -> Self {
        let mut node = Self { folder: folder(), server: None };
        let [clients, controllers] = KRAFT;
        let data = node.folder.path().join("data");
        let properties = format!(
            "process.roles=broker,controller\nnode.id=1\n\
             controller.quorum.voters=1@{controllers}\ncontroller.listener.names=CONTROLLER\n\
             listeners=PLAINTEXT://{clients},CONTROLLER://{controllers}\n\
             listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT\n\
             log.dirs={}\noffsets.topic.replication.factor=1\n\
             transaction.state.log.replication.factor=1\ntransaction.state.log.min.isr=1\n",
            data.display()
        );
        fs::write(node.properties(), properties).expect("a file");
        let file = node.properties().display().to_string();
        let format = ["format", "-t", "kbenchTestOfKRaft0000A", "-c", &file];
        let formatted = node.java(jars, "kafka.tools.StorageTool", &format).status();
        assert!(formatted.expect("java").success(), "{}", node.log());
        node.server = Some(node.java(jars, "kafka.Kafka", &[&file]).spawn().expect("java"));
        let address = clients.parse().expect("an address");
        let serves =
            || std::net::TcpStream::connect_timeout(&address, Duration::from_secs(1)).is_ok();
        assert!(within(BEGUN, serves), "{}", node.log());
        node
    }

    fn properties(&self) -> PathBuf {
        self.folder.path().join("server.properties")
    }

    fn log(&self) -> String {
        fs::read_to_string(self.folder.path().join("log")).unwrap_or_default()
    }

    fn java(&self, jars: &Path, class: &str, arguments: &[&str]) -> Command {
        let path = self.folder.path().join("log");
        let log = || fs::File::options().create(true).append(true).open(&path).expect("a file");
        let mut command = Command::new("java");
        command
            .args(["-Xmx512m", "-XX:TieredStopAtLevel=1", "-cp"])
            .arg(jars.join("*"))
            .arg(class)
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(log())
            .stderr(log());
        command
    }
}

impl Drop for KraftNode {
    fn drop(&mut self) {
        if let Some(server) = &mut self.server {
            // It may have ended by itself.
            drop(server.kill());
            drop(server.wait());
        }
    }
}

/// Kafka's jars, as kbench has them.
fn jars() -> Option<PathBuf> {
    let cache = std::env::var_os("XDG_CACHE_HOME")
        .map(PathBuf::from)
        .or_else(|| std::env::var_os("HOME").map(|home| PathBuf::from(home).join(".cache")))?;
    let jars = cache.join("kbench/kafka/3.9.1");
    let holds = |folder: &Path| {
        let mut files = fs::read_dir(folder).into_iter().flatten().flatten();
        files.any(|file| file.file_name().to_string_lossy().starts_with("kafka_2"))
    };
    [jars.join("jars"), jars].into_iter().find(|folder| holds(folder))
}

/// Exit code and text of `kbench run` on a cluster.
fn run(out: &Path, bootstrap: &str, arguments: &[&str]) -> (Option<i32>, String) {
    let mut command = kbench();
    command.args(["run", "--workload", "smoke", "--bootstrap-server", bootstrap]);
    command.args(arguments).arg("--out").arg(out);
    let (code, stdout, stderr) = output(&mut command);
    (code, format!("{stdout}{stderr}"))
}

/// Asserts that the newest run in `out` found nothing wrong but with the machine, and that what it cannot have
/// seen is not there.
fn assert_valid(out: &Path, text: &str) -> serde_json::Value {
    let report = json(&latest(out).join("report.json"));
    eprintln!("{}: {}", report["run"]["plan"], report["verdict"]);
    let checks = report["checks"].as_array().expect("checks");
    let busy = checks.iter().any(|check| check["verdict"] != "valid" && of_the_machine(check));
    for check in checks {
        // On a machine that is busy, what was expected of the plan is not judged.
        let unjudged = busy && check["verdict"] == "unknown";
        let fine = check["verdict"] == "valid" || of_the_machine(check) || unjudged;
        assert!(fine, "{check}\n{text}");
    }
    // Its own servers are no others that take its CPUs, though they are on this machine.
    let theirs = text.lines().filter(|line| line.contains("most of it java"));
    assert_eq!(theirs.collect::<Vec<_>>(), [""; 0], "{text}");
    assert!(report["load"]["acked"].as_u64().is_some_and(|acked| acked > 500), "{text}");
    let environment = &report["environments"][0]["environment"];
    assert_eq!(environment["java"], "not seen", "{environment}");
    for unseen in ["zk_session_timeout_ms", "zk_tick_ms", "zk_servers"] {
        assert!(environment["settings"][unseen].is_null(), "{unseen}: {environment}");
    }
    assert!(flat(text).contains("nothing is predicted: "), "{text}");
    let of_plane =
        ["controller-elected", "broker-registered", "partition-state", "process-started"];
    for event in events(&latest(out)) {
        assert!(!of_plane.iter().any(|name| event["event"] == *name), "{event}");
    }
    report
}

/// What is left of runs in the metadata of a cluster, by the word of a run that is refused: none may be.
fn topics_of(kept: &Kept) -> Vec<String> {
    let logs = kept.clusters().join("guide/data");
    let mut found = vec![];
    for broker in fs::read_dir(logs).expect("the servers' data").flatten() {
        for folder in fs::read_dir(broker.path()).into_iter().flatten().flatten() {
            let name = folder.file_name().to_string_lossy().into_owned();
            if name.contains("-kb") && !name.contains("-delete") {
                found.push(name);
            }
        }
    }
    found
}

#[test]
#[ignore = "starts a real cluster"]
fn a_cluster_with_zookeeper_is_loaded_and_left_as_it_was() {
    let kept = Kept::up(&["--mode", "loopback", "--set", SHORT_SESSION]);
    let out = kept.folder();
    let (_, status) = kept.kbench(&["cluster", "status", "guide"]);
    let address = |word: &str| word.starts_with("127.") && word.ends_with(":9092");
    let broker = status.split_whitespace().find(|word| address(word)).expect("a broker").to_owned();
    // The first address is nobody's.
    let bootstrap = format!("127.0.0.1:1,{broker}");

    let (_, text) = run(out, &bootstrap, &["--faults", "none", "--duration", "8s"]);
    assert_valid(out, &text);
    assert_eq!(topics_of(&kept), [""; 0], "{text}");

    let (code, text) = run(out, &bootstrap, &["--faults", "failover"]);
    assert_eq!(code, Some(2), "{text}");
    assert!(flat(&text).contains("is only connected to"), "{text}");

    // Leaders are moved on a cluster that was named, by Kafka's own id of it.
    let (code, text) = run(out, &bootstrap, &["--faults", "leaders-moved"]);
    assert_eq!(code, Some(2), "{text}");
    let flat_text = flat(&text);
    let id = flat_text.split("--yes-hurt-this-cluster ").nth(1).expect("the cure");
    let id = id.split([' ', ',']).next().expect("a name").to_owned();
    let named = ["--faults", "leaders-moved", "--yes-hurt-this-cluster", &id, "--keep-topics"];
    let (_, text) = run(out, &bootstrap, &named);
    let report = assert_valid(out, &text);
    assert_eq!(report["faults"][0]["proven"], true, "{text}");
    assert_eq!(report["faults"][0]["heal_proven"], true, "{text}");
    // Who led what was not seen, and is not made up.
    let rows = report["recovery"].as_array().expect("rows");
    assert!(rows.iter().all(|row| row["led"].is_null()), "{text}");
    let stay = topics_of(&kept);
    assert!(!stay.is_empty(), "kept: {text}");

    // A killed run's topics are deleted by heal, and only on a cluster that was named again.
    let arguments = ["--workload", "smoke", "--faults", "none", "--duration", "60s"];
    let killed = out.join("killed");
    fs::create_dir(&killed).expect("a folder");
    let mut child = start(&killed, &[&arguments[..], &["--bootstrap-server", &bootstrap]].concat());
    let loads = || topics_of(&kept).len() > stay.len() && killed.join("latest/history").exists();
    assert!(within(BEGUN, loads), "{}", stderr(&killed));
    kill(Pid::from_raw(child.id() as i32), Signal::SIGKILL).expect("a signal");
    child.wait().expect("a child");
    let name = latest(&killed).display().to_string();
    let (code, text) = kept.kbench(&["heal", &name]);
    assert_eq!(code, Some(3), "{text}");
    assert!(text.contains(&format!("--yes-hurt-this-cluster {id}")), "{text}");
    assert!(topics_of(&kept).len() > stay.len(), "{text}");
    let (code, text) = kept.kbench(&["heal", &name, "--yes-hurt-this-cluster", &id]);
    assert_eq!(code, Some(0), "{text}");
    assert_eq!(topics_of(&kept), stay, "what was kept stays");
    let (code, text) = kept.kbench(&["heal", &name]);
    assert!(code == Some(0) && text.contains("nothing to heal"), "{text}");
}

#[test]
#[ignore = "starts a real cluster"]
fn a_kraft_cluster_is_loaded_and_checked() {
    let Some(jars) = jars() else {
        return skipped("KRaft", "Kafka 3.9.1 is not in kbench's cache: kbench doctor --prepare");
    };
    let node = KraftNode::up(&jars);
    let out = folder();
    let [bootstrap, _] = KRAFT;
    let (_, text) = run(out.path(), bootstrap, &["--faults", "none", "--duration", "8s"]);
    let report = assert_valid(out.path(), &text);
    assert_eq!(report["environments"][0]["environment"]["zookeeper"], "none (KRaft)", "{text}");
    // Its brokers name any of them as the controller.
    let seen = events(&latest(out.path()));
    assert!(seen.iter().all(|event| event["event"] != "controller-seen"), "{text}");

    let (code, text) = run(out.path(), bootstrap, &["--faults", "leaders-moved"]);
    assert_eq!(code, Some(2), "{text}");
    assert!(flat(&text).contains("KRaft clusters so far"), "{text}");

    let plan = out.path().join("leaves.toml");
    let step = "name = 'leaves'\ndescription = 'a member leaves'\n[[step]]\nid = 'leaves'\n\
                fault = 'consumer-leaves'\nhold = '5s'\n";
    fs::write(&plan, step).expect("a plan");
    let plan = plan.display().to_string();
    let (_, text) = run(out.path(), bootstrap, &["--faults", &plan]);
    let report = assert_valid(out.path(), &text);
    assert_eq!(report["faults"][0]["proven"], true, "{text}\n{}", node.log());
}
