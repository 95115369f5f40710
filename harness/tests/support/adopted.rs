//! Containers that kbench did not make: a ZooKeeper server and three brokers, with what a compose project's have for
//! labels, and restart policies.

#![allow(dead_code, reason = "each test binary uses a part")]

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use super::{flat, kbench, output, within};

/// What they are called.
pub(crate) const NAMES: [&str; 4] = ["zookeeper", "kafka-1", "kafka-2", "kafka-3"];

/// A restart policy each.
const POLICIES: [&str; 4] = ["no", "always", "on-failure:3", "unless-stopped"];

/// Their network.
const NETWORK: &str = "adopted";

/// Limit for them to serve.
const UP: Duration = Duration::from_secs(120);

/// Of each what is to be as it was: which it is, what it does, its policy, its address.
const FACTS: &str = "{{.Name}} {{.Id}} {{.State.Status}} {{.HostConfig.RestartPolicy.Name}}:\
                     {{.HostConfig.RestartPolicy.MaximumRetryCount}} \
                     {{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}";

const SETTINGS: &str = "\
log.dirs=/tmp/kafka
zookeeper.connect=198.19.200.10:2181
zookeeper.session.timeout.ms=6000
offsets.topic.replication.factor=3
offsets.topic.num.partitions=10
default.replication.factor=3
min.insync.replicas=2
group.initial.rebalance.delay.ms=0
auto.leader.rebalance.enable=false
";

const ENSEMBLE: &str = "\
dataDir=/tmp/zookeeper
clientPort=2181
tickTime=2000
admin.enableServer=false
4lw.commands.whitelist=*
";

const LOGGING: &str = "\
log4j.rootLogger=INFO, out
log4j.appender.out=org.apache.log4j.ConsoleAppender
log4j.appender.out.layout=org.apache.log4j.PatternLayout
log4j.appender.out.layout.ConversionPattern=[%d] %p %m (%c)%n
";

/// Containers that run until this is dropped.
pub(crate) struct Adopted {
    /// Where their settings are, and the inventory.
    pub(crate) folder: tempfile::TempDir,
    /// What was of each of them before anything was done to it.
    pub(crate) before: String,
    /// The tables of rules that Docker has in their networks.
    rules: Vec<String>,
}

impl Adopted {
    /// Starts them, and waits until kbench's doctor finds nothing to complain of.
    pub(crate) fn start() -> Self {
        let folder = super::folder();
        let file = |name: &str, text: &str| {
            std::fs::write(folder.path().join(name), text).expect("a file");
        };
        file("server.properties", SETTINGS);
        file("zookeeper.properties", ENSEMBLE);
        file("log4j.properties", LOGGING);
        docker(&["network", "create", "--subnet", "198.19.200.0/24", NETWORK]);
        let mut started = Self { folder, before: String::new(), rules: vec![] };
        for (number, (name, policy)) in (0..).zip(NAMES.into_iter().zip(POLICIES)) {
            started.container(number, name, policy);
        }
        std::fs::write(started.inventory(), inventory()).expect("a file");
        let doctor = || output(kbench().arg("doctor").arg("--cluster").arg(started.inventory()));
        let well = || doctor().1.contains("takes connections from here");
        assert!(within(UP, well), "{:?}", doctor());
        (started.before, started.rules) = (facts(), traces());
        started
    }

    /// Rules that were not there before, and who stands still.
    pub(crate) fn hurt(&self) -> Vec<String> {
        traces().into_iter().filter(|trace| !self.rules.contains(trace)).collect()
    }

    /// Whether all is as it was, rules included.
    pub(crate) fn is_as_before(&self) {
        assert_eq!(facts(), self.before);
        assert_eq!(traces(), self.rules);
    }

    fn container(&self, number: u8, name: &str, policy: &str) {
        let address = format!("198.19.200.{}", 10 + number);
        let mount = format!("{}:/etc/adopted:ro", self.folder.path().display());
        let service = format!("com.docker.compose.service={name}");
        let listeners = format!("listeners=PLAINTEXT://{address}:9092");
        let id = format!("broker.id={number}");
        let mut run = vec!["run", "-d", "--name", name, "-h", name];
        run.extend(["--network", NETWORK, "--ip", &address, "--restart", policy]);
        run.extend(["-l", "com.docker.compose.project=adopted", "-l", &service]);
        run.extend(["-v", &mount, "kbench-kafka:3.9.1", "java", "-Xmx384m"]);
        run.extend([
            "-XX:TieredStopAtLevel=1",
            "-Dlog4j.configuration=file:/etc/adopted/log4j.properties",
        ]);
        run.extend(["-cp", "/opt/kafka/libs/*"]);
        match number {
            0 => {
                let main = "org.apache.zookeeper.server.quorum.QuorumPeerMain";
                run.extend([main, "/etc/adopted/zookeeper.properties"]);
            }
            _ => {
                run.extend(["kafka.Kafka", "/etc/adopted/server.properties"]);
                run.extend(["--override", &id, "--override", &listeners]);
            }
        }
        docker(&run);
    }

    /// The inventory.
    pub(crate) fn inventory(&self) -> PathBuf {
        self.folder.path().join("adopted.toml")
    }

    /// The name by which the cluster may be hurt, as kbench tells it to whoever forgot.
    pub(crate) fn hurt_name(&self) -> String {
        let out = super::folder();
        let mut run = kbench();
        run.args(["run", "--workload", "smoke", "--cluster"]).arg(self.inventory());
        let (code, _, said) = output(run.arg("--out").arg(out.path()));
        let said = flat(&said);
        let (_, after) =
            said.split_once("--yes-hurt-this-cluster ").unwrap_or_else(|| panic!("{said}"));
        assert_eq!(code, Some(2), "{said}");
        after.split(',').next().unwrap_or_default().to_owned()
    }
}

impl Drop for Adopted {
    fn drop(&mut self) {
        if std::thread::panicking() {
            for name in NAMES {
                let (_, log, more) = output(Command::new("docker").args(["logs", "-n", "5", name]));
                eprintln!("{name}: {log}{more}");
            }
        }
        for name in NAMES {
            output(Command::new("docker").args(["rm", "-f", "-v", name]));
        }
        output(Command::new("docker").args(["network", "rm", NETWORK]));
    }
}

/// An inventory of them, as services of a compose project.
fn inventory() -> String {
    let mut text = "backend = \"docker\"\nname = \"adopted\"\ndescription = \"four containers\"\n\
                    project = \"adopted\"\n\
                    allow = [\"signal\", \"restart\", \"network\", \"metadata\"]\n\
                    broker = { port = 9092 }\nzookeeper = { port = 2181 }\n"
        .to_owned();
    text += "[[node]]\nname = \"zk\"\ncontainer = \"zookeeper\"\nzookeeper = 1\n";
    for broker in 1..=3 {
        text += &format!("[[node]]\nname = \"kafka-{broker}\"\nbroker = {broker}\n");
    }
    text + "[[topic]]\nname = \"user-events\"\nassignment = [[1, 2, 3], [2, 3, 1], [3, 1, 2]]\n\
            config = { \"min.insync.replicas\" = \"2\" }\n"
}

/// What Docker's own client says.
pub(crate) fn docker(arguments: &[&str]) -> String {
    let (code, said, wrong) = output(Command::new("docker").args(arguments));
    assert_eq!(code, Some(0), "docker {arguments:?}: {said}{wrong}");
    said.trim().to_owned()
}

/// What is now of each container.
pub(crate) fn facts() -> String {
    docker(&[&["inspect", "-f", FACTS][..], &NAMES].concat())
}

/// A fact of one container.
pub(crate) fn fact(name: &str, format: &str) -> String {
    docker(&["inspect", "-f", format, name])
}

/// The tables of rules in the networks of those that run, and who of them stands still.
fn traces() -> Vec<String> {
    let of = |name: &str| {
        let pid = fact(name, "{{.State.Pid}}");
        if pid == "0" {
            return vec![];
        }
        let mut nft = Command::new("nsenter");
        let (code, tables, wrong) = output(nft.args(["-t", &pid, "-n", "nft", "list", "tables"]));
        assert_eq!(code, Some(0), "{wrong}");
        let mut found: Vec<_> = tables.lines().map(|table| format!("{name}: {table}")).collect();
        let stat = std::fs::read_to_string(Path::new("/proc").join(&pid).join("stat"));
        if stat.expect("a process").contains(") T ") {
            found.push(format!("{name} stands still"));
        }
        found
    };
    NAMES.into_iter().flat_map(of).collect()
}
