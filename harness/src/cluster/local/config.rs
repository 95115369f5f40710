//! The servers' configuration files and command lines.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io;
use std::os::fd::AsFd;

use faults::port::Process;
use nix::sched::{CloneFlags, setns};
use nix::sys::prctl;
use nix::sys::signal::Signal;
use nix::unistd::{Pid, getpid, getppid, setsid};
use results::record::event::Role;

use super::LocalCluster;
use super::process::Command;
use crate::failure::Failure;

/// Time stamps in UTC, with milliseconds: what the log reader of `observe` expects.
const LOG4J: &str = "\
log4j.rootLogger=INFO, stdout
log4j.appender.stdout=org.apache.log4j.ConsoleAppender
log4j.appender.stdout.layout=org.apache.log4j.PatternLayout
log4j.appender.stdout.layout.ConversionPattern=[%d{ISO8601}] %p %m (%c)%n
log4j.logger.org.apache.zookeeper.server.DataTree=DEBUG
";

const LOG4J_FILE: &str = "log4j.properties";

/// Writes everything that a process reads when it starts.
pub(super) fn write(cluster: &LocalCluster, process: &Process) -> Result<(), Failure> {
    let data = cluster.data_dir(process);
    let text: String = settings(cluster, process)
        .into_iter()
        .map(|(key, value)| format!("{key}={value}\n"))
        .collect();
    let files = || -> io::Result<()> {
        fs::create_dir_all(&data)?;
        fs::create_dir_all(cluster.temporary())?;
        fs::create_dir_all(cluster.logs())?;
        fs::write(cluster.logs().join(LOG4J_FILE), LOG4J)?;
        if process.role == Role::Zookeeper {
            fs::write(data.join("myid"), process.id.to_string())?;
        }
        fs::write(cluster.config_path(process), text)
    };
    files().map_err(|error| {
        Failure::infrastructure(format!("the files of {process} cannot be written: {error}"))
    })
}

/// What kbench decides, then what the topology says.
fn settings(cluster: &LocalCluster, process: &Process) -> BTreeMap<String, String> {
    let address = cluster.address(process);
    let data = cluster.data_dir(process).display().to_string();
    let mut settings = BTreeMap::new();
    let mut set = |key: &str, value: String| settings.insert(key.to_owned(), value);
    match process.role {
        Role::Broker => {
            set("broker.id", process.id.to_string());
            set("listeners", format!("PLAINTEXT://{address}"));
            set("zookeeper.connect", cluster.zookeeper_connect());
            set("log.dirs", data);
            settings.extend(cluster.topology.broker.settings.clone());
        }
        Role::Zookeeper => {
            set("dataDir", data);
            set("clientPort", address.port().to_string());
            set("clientPortAddress", address.ip().to_string());
            set("admin.enableServer", "false".to_owned());
            // `srvr` says when a server has joined the quorum, `conf` which settings are in force.
            set("4lw.commands.whitelist", "srvr,conf,mntr".to_owned());
            for peer in cluster.processes().iter().filter(|peer| peer.role == Role::Zookeeper) {
                let ip = cluster.address(peer).ip();
                set(&format!("server.{}", peer.id), format!("{ip}:2888:3888"));
            }
            settings.extend(cluster.topology.zookeeper.settings.clone());
        }
    }
    settings
}

/// The command line of a process.
pub(super) fn command(cluster: &LocalCluster, process: &Process) -> io::Result<Command> {
    let (server, main) = match process.role {
        Role::Broker => (&cluster.topology.broker, "kafka.Kafka"),
        Role::Zookeeper => {
            (&cluster.topology.zookeeper, "org.apache.zookeeper.server.quorum.QuorumPeerMain")
        }
    };
    let mut command = tokio::process::Command::new("java");
    command.args([format!("-Xms{}m", server.heap_mb), format!("-Xmx{}m", server.heap_mb)]);
    command.args(&server.jvm);
    let kafka = cluster.kafka_of(process);
    let existing = kafka.archives.existing(process.role);
    let dump_path = match &existing {
        None if kafka == cluster.kafka => {
            Some(kafka.archives.dump_path(process.role, &process.node)?)
        }
        _ => None,
    };
    if let Some(archive) = &existing {
        command.arg(format!("-XX:SharedArchiveFile={}", archive.display()));
    }
    if let Some(path) = &dump_path {
        command.arg(format!("-XX:ArchiveClassesAtExit={}", path.display()));
    }
    // An archive that does not fit is ignored, without a word in the log.
    command
        .args(["-Xshare:auto", "-Xlog:cds=off", "-Xlog:cds+dynamic=off", "-Duser.timezone=UTC"])
        // A killed JVM leaves its performance counters and unpacked libraries in the host's
        // temporary folder: none of the former, the latter beside the data.
        .arg("-XX:-UsePerfData")
        .arg(format!("-Djava.io.tmpdir={}", cluster.temporary().display()))
        // What one that crashes has to say, it says in the run's directory.
        .arg(format!("-XX:ErrorFile={}/hs_err_{}.log", cluster.logs().display(), process.node))
        .arg(format!("-XX:ReplayDataFile={}/replay_{}.log", cluster.logs().display(), process.node))
        .arg(format!("-Dlog4j.configuration=file:{}", cluster.logs().join(LOG4J_FILE).display()))
        .arg("-cp")
        .arg(format!("{}/*", kafka.jars.display()))
        .arg(main)
        .arg(cluster.config_path(process));
    command.envs(cluster.clock_environment(process));
    let namespace = cluster.network.namespace(&process.node)?;
    let parent = getpid();
    // SAFETY: between fork and exec only system calls are made: prctl, getppid, setns, setsid.
    unsafe { command.pre_exec(move || enter(parent, namespace.as_ref())) };
    Ok(Command { command, dump_path })
}

/// Between fork and exec: the process ends with kbench, hears no Ctrl-C, and is on its node.
fn enter(parent: Pid, namespace: Option<&File>) -> io::Result<()> {
    prctl::set_pdeathsig(Signal::SIGKILL)?;
    // Had kbench ended before the line above, nobody would send the signal.
    if getppid() != parent {
        return Err(io::Error::other("kbench has ended"));
    }
    setsid()?;
    if let Some(namespace) = namespace {
        setns(namespace.as_fd(), CloneFlags::CLONE_NEWNET)?;
    }
    Ok(())
}
