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
use crate::cluster::servers::ServerAddresses;
use crate::failure::Failure;
use crate::mechanism::flushes::FlushWatch;
use crate::mechanism::group::ControlGroups;
use crate::provision::{Archives, Kafka};
use crate::topology::Topology;

/// Time stamps in UTC, with milliseconds: what the log reader of `observe` expects.
pub(in crate::cluster) const LOG4J: &str = "\
log4j.rootLogger=INFO, stdout
log4j.appender.stdout=org.apache.log4j.ConsoleAppender
log4j.appender.stdout.layout=org.apache.log4j.PatternLayout
log4j.appender.stdout.layout.ConversionPattern=[%d{ISO8601}] %p %m (%c)%n
log4j.logger.org.apache.zookeeper.server.DataTree=DEBUG
";

/// The file of that.
pub(in crate::cluster) const LOG4J_FILE: &str = "log4j.properties";

/// Writes everything that a process reads when it starts.
pub(super) fn write(servers: &LocalServers, process: &Process) -> Result<(), Failure> {
    let data = servers.data_dir(process);
    let secured = servers.secured.settings(process, servers.address(process));
    let text = settings(&servers.topology, servers, process, &data, secured);
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
pub(in crate::cluster) fn file_name(process: &Process) -> String {
    format!("{}-{}.properties", process.node, process.role.as_str())
}

/// The text of that file: what kbench decides, then what the topology says. `data` is where the process sees its
/// data, `secured` what takes the place of a listener in plain text.
pub(in crate::cluster) fn settings(
    topology: &Topology,
    servers: &dyn ServerAddresses,
    process: &Process,
    data: &Path,
    secured: BTreeMap<String, String>,
) -> String {
    let address = servers.address(process);
    let data = data.display().to_string();
    let mut settings = BTreeMap::new();
    let mut set = |key: &str, value: String| settings.insert(key.to_owned(), value);
    match process.role {
        Role::Broker => {
            set("broker.id", process.id.to_string());
            set("listeners", format!("PLAINTEXT://{address}"));
            set("zookeeper.connect", zookeeper_connect(servers));
            set("log.dirs", data);
            settings.extend(secured);
            settings.extend(topology.broker.settings.clone());
        }
        Role::Zookeeper => {
            set("dataDir", data);
            set("clientPort", address.port().to_string());
            set("clientPortAddress", address.ip().to_string());
            set("admin.enableServer", "false".to_owned());
            // `srvr` says when a server has joined the quorum, `conf` which settings are in force, `cons` whose
            // sessions it has.
            set("4lw.commands.whitelist", "srvr,conf,mntr,cons".to_owned());
            for peer in servers.processes().iter().filter(|peer| peer.role == Role::Zookeeper) {
                let ip = servers.address(peer).ip();
                set(&format!("server.{}", peer.id), format!("{ip}:2888:3888"));
            }
            settings.extend(topology.zookeeper.settings.clone());
        }
    }
    let line = |(key, value): (String, String)| format!("{key}={}\n", escaped(&value));
    settings.into_iter().map(line).collect()
}

/// `host:port` of every ZooKeeper server, separated by commas.
pub(super) fn zookeeper_connect(servers: &dyn ServerAddresses) -> String {
    let all = servers.processes().into_iter().filter(|process| process.role == Role::Zookeeper);
    let addresses: Vec<_> = all.map(|server| servers.address(&server).to_string()).collect();
    addresses.join(",")
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

/// Where a JVM sees what it reads and writes.
pub(in crate::cluster) struct JvmFiles<'a> {
    /// Kafka's jars.
    pub(in crate::cluster) jars: &'a Path,
    /// Temporary files, and what one that crashes has to say.
    pub(in crate::cluster) temporary: &'a Path,
    /// Settings of servers and of their logs.
    pub(in crate::cluster) settings: &'a Path,
}

/// What the JVM of a process is told; `options` are further ones, such as name its class archives.
pub(in crate::cluster) fn arguments(
    topology: &Topology,
    process: &Process,
    files: &JvmFiles<'_>,
    options: Vec<String>,
) -> Vec<String> {
    let JvmFiles { jars, temporary, settings } = files;
    let (server, main) = match process.role {
        Role::Broker => (&topology.broker, "kafka.Kafka"),
        Role::Zookeeper => {
            (&topology.zookeeper, "org.apache.zookeeper.server.quorum.QuorumPeerMain")
        }
    };
    let mut all = vec![format!("-Xms{}m", server.heap_mb), format!("-Xmx{}m", server.heap_mb)];
    all.extend(server.options(topology.profile).cloned());
    all.extend(options);
    // An archive that does not fit is ignored, without a word in the log.
    all.extend(
        ["-Xshare:auto", "-Xlog:cds=off", "-Xlog:cds+dynamic=off", "-Duser.timezone=UTC"]
            .map(str::to_owned),
    );
    // A killed JVM leaves its performance counters and unpacked libraries in the host's
    // temporary folder: none of the former, the latter beside the data.
    all.push("-XX:-UsePerfData".to_owned());
    all.push(format!("-Djava.io.tmpdir={}", temporary.display()));
    let [error, replay] = crash_files(process).map(|name| temporary.join(name));
    all.push(format!("-XX:ErrorFile={}", error.display()));
    all.push(format!("-XX:ReplayDataFile={}", replay.display()));
    let log4j = settings.join(LOG4J_FILE);
    all.push(format!("-Dlog4j.configuration=file:{}", log4j.display()));
    all.extend(["-cp".to_owned(), format!("{}/*", jars.display()), main.to_owned()]);
    all.push(settings.join(file_name(process)).display().to_string());
    all
}

/// What a JVM that crashes writes.
pub(in crate::cluster) fn crash_files(process: &Process) -> [String; 2] {
    ["hs_err", "replay"].map(|what| format!("{what}_{}.log", process.node))
}

fn assemble(
    servers: &LocalServers,
    process: &Process,
    kafka: &Kafka,
    archives: &Archives,
) -> io::Result<ServerCommand> {
    let mut command = tokio::process::Command::new(java()?);
    let quick = servers.topology.profile.starts_quickly();
    let existing = archives.existing(process.role).filter(|_| quick);
    let temporary = servers.temporary();
    let dumps = quick && existing.is_none() && *kafka == servers.kafka;
    let dump_path =
        dumps.then(|| temporary.join(format!("{}-{}.jsa", process.node, process.role.as_str())));
    let mut options = servers.secured.options(process);
    if let Some(archive) = &existing {
        options.push(format!("-XX:SharedArchiveFile={}", archive.display()));
    }
    if let Some(path) = &dump_path {
        options.push(format!("-XX:ArchiveClassesAtExit={}", path.display()));
    }
    let (jars, settings) = (seen::jars(servers.mode, kafka), servers.settings_dir());
    let files = JvmFiles { jars: &jars, temporary: &temporary, settings: &settings };
    command.args(arguments(&servers.topology, process, &files, options)).current_dir(&temporary);
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
    // What one that crashes has to say goes into the run's directory when it has ended.
    let crash =
        crash_files(process).map(|name| (temporary.join(&name), servers.logs().join(&name)));
    let groups = ControlGroups::default();
    Ok(ServerCommand { command, dump_path, watch, groups, crash: crash.into() })
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
