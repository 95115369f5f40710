//! KRaft clusters that kbench did not start.

#![allow(dead_code, reason = "each test binary uses a part")]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use kbench::cluster::attached::ClusterSurvey;
use kbench::wire::Connector;

use super::{folder, within};

/// Limit for a broker to serve.
const SERVES: Duration = Duration::from_secs(60);

/// A node of a KRaft cluster, broker and controller; it ends with the test.
pub(crate) struct KraftNode {
    folder: tempfile::TempDir,
    server: Option<Child>,
    clients: String,
}

impl KraftNode {
    /// Starts a cluster of one at this address, port 9092 in plain text. The first line of `more` are further
    /// listeners, `,NAME://HOST:PORT`, the others are properties; `format` are more arguments for the formatting of its storage.
    pub(crate) fn up(jars: &Path, host: &str, more: &str, format: &[&str]) -> Self {
        let node = Self::start(jars, &[host], 1, more, format);
        node.await_serving();
        node
    }

    /// Starts a cluster of as many as there are addresses.
    pub(crate) fn cluster(jars: &Path, hosts: &[&str]) -> Vec<Self> {
        let nodes = (1..=hosts.len()).map(|id| Self::start(jars, hosts, id, "", &[]));
        let nodes: Vec<_> = nodes.collect();
        // They take connections before they know of each other.
        let known = || {
            let survey = ClusterSurvey::blocking(&nodes[0].clients, &Connector::default());
            survey.is_ok_and(|survey| survey.brokers.len() == hosts.len())
        };
        assert!(within(SERVES, known), "{}", nodes[0].log());
        nodes
    }

    fn start(jars: &Path, hosts: &[&str], id: usize, more: &str, format: &[&str]) -> Self {
        let voters = hosts.iter().enumerate().map(|(n, host)| format!("{}@{host}:9093", n + 1));
        let voters = voters.collect::<Vec<_>>().join(",");
        let (host, copies) = (hosts[id - 1], hosts.len().min(3));
        let clients = format!("{host}:9092");
        let mut node = Self { folder: folder(), server: None, clients };
        let data = node.folder.path().join("data");
        let (listeners, properties) = more.split_once('\n').unwrap_or((more, ""));
        let properties = format!(
            "process.roles=broker,controller\nnode.id={id}\n\
             controller.quorum.voters={voters}\ncontroller.listener.names=CONTROLLER\n\
             listeners=PLAINTEXT://{},CONTROLLER://{host}:9093{listeners}\n\
             listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT,SSL:SSL,SASL_SSL:SASL_SSL\n\
             log.dirs={}\noffsets.topic.replication.factor={copies}\n\
             transaction.state.log.replication.factor={copies}\ntransaction.state.log.min.isr=1\n{properties}\n",
            node.clients,
            data.display()
        );
        fs::write(node.properties(), properties).expect("a file");
        let file = node.properties().display().to_string();
        let all = [&["format", "-t", "kbenchTestOfKRaft0000A", "-c", &file][..], format].concat();
        let formatted = node.java(jars, "kafka.tools.StorageTool", &all).status();
        assert!(formatted.expect("java").success(), "{}", node.log());
        node.server = Some(node.java(jars, "kafka.Kafka", &[&file]).spawn().expect("java"));
        node
    }

    fn await_serving(&self) {
        let address = self.clients.parse().expect("an address");
        let serves =
            || std::net::TcpStream::connect_timeout(&address, Duration::from_secs(1)).is_ok();
        assert!(within(SERVES, serves), "{}", self.log());
    }

    fn properties(&self) -> PathBuf {
        self.folder.path().join("server.properties")
    }

    pub(crate) fn log(&self) -> String {
        fs::read_to_string(self.folder.path().join("log")).unwrap_or_default()
    }

    /// A program of Kafka's, which writes into the node's log.
    pub(crate) fn java(&self, jars: &Path, class: &str, arguments: &[&str]) -> Command {
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
pub(crate) fn jars() -> Option<PathBuf> {
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
