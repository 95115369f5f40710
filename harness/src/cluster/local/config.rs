//! The servers' configuration files and command lines.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use faults::port::Process;
use nix::sys::signal::Signal;
use results::record::event::Role;

use super::process::ServerCommand;
use super::sandbox::DATA;
use super::{LocalServers, confine, seen};
use crate::child::{java, parent_death_guard};
use crate::cluster::servers::ServerAddresses as _;
use crate::failure::Failure;
use crate::mechanism::flushes::FlushWatch;
use crate::provision::{Archives, Kafka};

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
pub(super) fn write(servers: &LocalServers, process: &Process) -> Result<(), Failure> {
    let data = servers.data_dir(process);
    let text: String = settings(servers, process)
        .into_iter()
        .map(|(key, value)| format!("{key}={}\n", escaped(&value)))
        .collect();
    let files = || -> io::Result<()> {
        fs::create_dir_all(&data)?;
        fs::create_dir_all(servers.temporary())?;
        // What they read, and the same beside their logs, where it stays.
        for folder in [&servers.settings_dir(), servers.logs()] {
            fs::create_dir_all(folder)?;
            fs::write(folder.join(LOG4J_FILE), LOG4J)?;
            fs::write(folder.join(file_name(process)), &text)?;
        }
        if process.role == Role::Zookeeper {
            fs::write(data.join("myid"), process.id.to_string())?;
        }
        Ok(())
    };
    files().map_err(|error| {
        Failure::infrastructure(format!("the files of {process} cannot be written: {error}"))
    })
}

/// The name of a process's file of settings.
fn file_name(process: &Process) -> String {
    format!("{}-{}.properties", process.node, process.role.as_str())
}

/// What kbench decides, then what the topology says.
fn settings(servers: &LocalServers, process: &Process) -> BTreeMap<String, String> {
    let address = servers.address(process);
    let data = servers.data_dir(process).display().to_string();
    let mut settings = BTreeMap::new();
    let mut set = |key: &str, value: String| settings.insert(key.to_owned(), value);
    match process.role {
        Role::Broker => {
            set("broker.id", process.id.to_string());
            set("listeners", format!("PLAINTEXT://{address}"));
            set("zookeeper.connect", servers.zookeeper_connect());
            set("log.dirs", data);
            settings.extend(servers.topology.broker.settings.clone());
        }
        Role::Zookeeper => {
            set("dataDir", data);
            set("clientPort", address.port().to_string());
            set("clientPortAddress", address.ip().to_string());
            set("admin.enableServer", "false".to_owned());
            // `srvr` says when a server has joined the quorum, `conf` which settings are in force.
            set("4lw.commands.whitelist", "srvr,conf,mntr".to_owned());
            for peer in servers.processes().iter().filter(|peer| peer.role == Role::Zookeeper) {
                let ip = servers.address(peer).ip();
                set(&format!("server.{}", peer.id), format!("{ip}:2888:3888"));
            }
            settings.extend(servers.topology.zookeeper.settings.clone());
        }
    }
    settings
}

/// A value as it is written into a file of properties, which both servers read: a backslash begins an
/// escape there, and what is not ASCII would be taken for Latin-1.
fn escaped(value: &str) -> String {
    let mut written = String::new();
    for c in value.chars() {
        match c {
            '\\' => written.push_str("\\\\"),
            c if c.is_ascii() => written.push(c),
            c => {
                let units = c.encode_utf16(&mut [0; 2]).to_vec();
                written.extend(units.iter().map(|unit| format!("\\u{unit:04x}")));
            }
        }
    }
    written
}

/// The command of a process.
pub(super) fn command(servers: &LocalServers, process: &Process) -> Result<ServerCommand, Failure> {
    let kafka = servers.kafka_of(process);
    let archives = seen::show(servers.mode, servers.user, &kafka)?;
    let cannot =
        |error: io::Error| Failure::infrastructure(format!("{process} cannot be started: {error}"));
    assemble(servers, process, &kafka, &archives).map_err(cannot)
}

fn assemble(
    servers: &LocalServers,
    process: &Process,
    kafka: &Kafka,
    archives: &Archives,
) -> io::Result<ServerCommand> {
    let (server, main) = match process.role {
        Role::Broker => (&servers.topology.broker, "kafka.Kafka"),
        Role::Zookeeper => {
            (&servers.topology.zookeeper, "org.apache.zookeeper.server.quorum.QuorumPeerMain")
        }
    };
    let mut command = tokio::process::Command::new(java()?);
    command.args([format!("-Xms{}m", server.heap_mb), format!("-Xmx{}m", server.heap_mb)]);
    command.args(&server.jvm);
    let existing = archives.existing(process.role);
    let temporary = servers.temporary();
    let dumps = existing.is_none() && *kafka == servers.kafka;
    let dump_path =
        dumps.then(|| temporary.join(format!("{}-{}.jsa", process.node, process.role.as_str())));
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
        .arg(format!("-Djava.io.tmpdir={}", temporary.display()));
    // What one that crashes has to say goes into the run's directory when it has ended.
    let crash = ["hs_err", "replay"].map(|what| format!("{what}_{}.log", process.node));
    let [error, replay] = crash.each_ref().map(|name| temporary.join(name));
    command
        .arg(format!("-XX:ErrorFile={}", error.display()))
        .arg(format!("-XX:ReplayDataFile={}", replay.display()))
        .arg(format!(
            "-Dlog4j.configuration=file:{}",
            servers.settings_dir().join(LOG4J_FILE).display()
        ))
        .arg("-cp")
        .arg(format!("{}/*", seen::jars(servers.mode, kafka).display()))
        .arg(main)
        .arg(servers.settings_dir().join(file_name(process)))
        .current_dir(&temporary);
    let data = std::env::var_os(DATA).map(|data| (DATA, PathBuf::from(data)));
    let beside = servers.clock_environment(process).into_iter().chain(data);
    confine::set_environment(&mut command, &temporary, beside);
    let host = servers.host(&process.node).map_err(io::Error::other)?;
    let writable = [servers.data_dir(process), temporary.clone()];
    let writable: Vec<&Path> = writable.iter().map(PathBuf::as_path).collect();
    let confine = confine::confine(servers.mode, servers.user, &writable)?;
    // SAFETY: between fork and exec only system calls are made: setsid, prctl, getppid, setns; unshare, mount and
    // those that make it another user without privileges. That takes the signal away which it is to get when kbench
    // ends, so that this is asked for again.
    unsafe {
        command.pre_exec(host.enter());
        command.pre_exec(confine);
        command.pre_exec(parent_death_guard(Signal::SIGKILL, false));
    }
    let mut watch = servers.flushed(process).map(FlushWatch::new).transpose()?;
    if let Some(watch) = &mut watch {
        // SAFETY: between fork and exec only system calls are made: prctl, seccomp, sendmsg, close.
        unsafe { command.pre_exec(watch.filter()) };
    }
    let crash = crash.map(|name| (temporary.join(&name), servers.logs().join(&name)));
    Ok(ServerCommand { command, dump_path, watch, crash: crash.into() })
}

#[cfg(test)]
mod tests {
    use super::escaped;

    #[test]
    fn values_are_read_back_as_they_were_meant() {
        assert_eq!(escaped("User:ANONYMOUS"), "User:ANONYMOUS");
        assert_eq!(escaped(r"a\b:\u0041"), r"a\\b:\\u0041");
        assert_eq!(escaped("rück 😀"), r"r\u00fcck \ud83d\ude00");
    }
}
