//! The servers of a cluster of containers: children of kbench, each in the namespaces of its container.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use faults::port::{ErrorKind, PortError, Process, ProcessIdentity, ProcessState, Signal, Starter};
use futures::future::try_join_all;
use results::record::event::{EventKind, Role};

use super::container::{Container, FILES};
use super::image::NodeImages;
use super::network::DockerNetwork;
use crate::cluster::host::{Host, HostError};
use crate::cluster::local::config::{self, JvmFiles, LOG4J, LOG4J_FILE};
use crate::cluster::local::process::{Server, ServerCommand};
use crate::cluster::local::servers::lifecycle::{self, in_order, serves};
use crate::cluster::local::started::{StartedServers, never_started};
use crate::cluster::servers::{ServerAddresses, ServerProcesses};
use crate::failure::Failure;
use crate::mechanism::machine::{HostedProcess, HostedProcesses};
use crate::recorder::Recorder;
use crate::topology::Topology;

/// The servers of a cluster of containers.
pub(super) struct DockerServers {
    pub(super) topology: Topology,
    pub(super) network: DockerNetwork,
    /// One for each server.
    pub(super) containers: BTreeMap<Process, Container>,
    pub(super) images: NodeImages,
    /// Where data of all nodes are, and their logs.
    pub(super) data: PathBuf,
    pub(super) logs: PathBuf,
    pub(super) recorder: Arc<Recorder>,
    pub(super) servers: StartedServers,
}

impl DockerServers {
    /// Writes what every process reads, and starts the first members; returns when all serve.
    ///
    /// # Errors
    /// An infrastructure failure when one ends, or is not up within the limit, with the end of its log.
    pub(super) async fn start_all(&self) -> Result<(), Failure> {
        for process in self.processes() {
            self.write_files(&process).map_err(|error| {
                let what = format!("the files of {process} cannot be written: {error}");
                Failure::infrastructure(what)
            })?;
        }
        let up = async |processes: Vec<Process>| {
            processes.iter().try_for_each(|process| self.spawn(process))?;
            try_join_all(processes.iter().map(|process| self.accepts(process))).await.map(drop)
        };
        in_order(self.first_members(), up).await
    }

    fn container(&self, process: &Process) -> io::Result<&Container> {
        let none = || io::Error::new(io::ErrorKind::NotFound, format!("there is no {process}"));
        self.containers.get(process).ok_or_else(none)
    }

    /// The folder of a process's data within that of its node.
    fn own(process: &Process) -> &'static str {
        process.role.as_str()
    }

    fn write_files(&self, process: &Process) -> io::Result<()> {
        let files = &self.container(process)?.files;
        let data = files.join(Self::own(process));
        fs::create_dir_all(&data)?;
        fs::create_dir_all(files.join(TEMPORARY))?;
        let seen = Path::new(FILES).join(Self::own(process));
        let text = config::settings(&self.topology, self, process, &seen, BTreeMap::new());
        // What they read, and the same beside their logs, where it stays.
        for folder in [files, &self.logs] {
            fs::write(folder.join(LOG4J_FILE), LOG4J)?;
            fs::write(folder.join(LOGBACK_FILE), LOGBACK)?;
            fs::write(folder.join(config::file_name(process)), &text)?;
        }
        match process.role {
            Role::Zookeeper => fs::write(data.join("myid"), process.id.to_string()),
            Role::Broker => Ok(()),
        }
    }

    fn command(&self, process: &Process) -> io::Result<ServerCommand> {
        let container = self.container(process)?;
        let (settings, temporary) = (Path::new(FILES), Path::new(FILES).join(TEMPORARY));
        let image = self.images.of(process.role);
        let files = JvmFiles { jars: &image.jars, temporary: &temporary, settings };
        let mut command = container.program(&image.path, &self.data, "java")?;
        let logback = settings.join(LOGBACK_FILE);
        let logback = format!("-Dlogback.configurationFile={}", logback.display());
        command.args(config::arguments(&self.topology, process, &files, vec![logback]));
        let left = container.files.join(TEMPORARY);
        let crash = config::crash_files(process);
        let crash = crash.map(|name| (left.join(&name), self.logs.join(&name))).into();
        let groups = container.namespaces.limits();
        Ok(ServerCommand { command, dump_path: None, watch: None, groups, crash })
    }

    fn spawn(&self, process: &Process) -> Result<(), Failure> {
        let started = self.container(process).and_then(|container| {
            let (command, log) = (self.command(process)?, self.log_path(process));
            let spawn = |command: &mut _| container.namespaces.spawn(command);
            Server::start(process, command, &log, Arc::clone(&self.recorder), spawn)
        });
        let server = started.map_err(|error| {
            Failure::infrastructure(format!(
                "{process} cannot be started in its container: {error}"
            ))
        })?;
        let (process, pid) = (process.clone(), server.identity().pid);
        self.recorder.now(EventKind::ProcessStarted { process: process.clone(), pid });
        self.servers.insert(process, server);
        Ok(())
    }

    async fn accepts(&self, process: &Process) -> Result<(), Failure> {
        let waiter = self.servers.waiter(process).ok_or_else(|| never_started(process))?;
        serves(process, self.address(process), waiter, &self.log_path(process)).await
    }

    /// The hosts of the nodes, in the topology's order.
    pub(super) fn hosts(&self) -> Vec<Rc<dyn Host>> {
        let nodes = self.topology.node.iter();
        let containers = nodes.filter_map(|node| self.of_node(&node.name));
        containers.map(|container| Rc::new(container.host.clone()) as _).collect()
    }

    /// A container of a node: any, for they share its network.
    pub(super) fn of_node(&self, node: &str) -> Option<&Container> {
        self.containers.iter().find(|(process, _)| process.node == node).map(|(_, one)| one)
    }
}

/// The same as [`LOG4J`] for what logs by Logback, as ZooKeeper 3.8 does in an image of its own.
const LOGBACK: &str = r#"<configuration>
  <appender name="stdout" class="ch.qos.logback.core.ConsoleAppender">
    <encoder><pattern>[%d{yyyy-MM-dd HH:mm:ss,SSS}] %p %m \(%c\)%n</pattern></encoder>
  </appender>
  <logger name="org.apache.zookeeper.server.DataTree" level="DEBUG"/>
  <root level="INFO"><appender-ref ref="stdout"/></root>
</configuration>
"#;

/// The file of that.
const LOGBACK_FILE: &str = "logback.xml";

/// The folder of temporary files within that of a node.
const TEMPORARY: &str = "tmp";

#[async_trait(?Send)]
impl ServerAddresses for DockerServers {
    fn processes(&self) -> Vec<Process> {
        self.topology.processes()
    }

    fn first_members(&self) -> Vec<Process> {
        self.topology.first_members()
    }

    fn address(&self, process: &Process) -> SocketAddr {
        let index = self.topology.node.iter().position(|node| node.name == process.node);
        let port = match process.role {
            Role::Broker => self.topology.broker.port,
            Role::Zookeeper => self.topology.zookeeper.port,
        };
        SocketAddr::from((self.network.address(index.unwrap_or_default()), port))
    }
}

#[async_trait(?Send)]
impl ServerProcesses for DockerServers {
    fn log_path(&self, process: &Process) -> PathBuf {
        self.logs.join(format!("{}-{}.log", process.node, process.role.as_str()))
    }

    fn state(&self, process: &Process) -> Option<ProcessState> {
        self.servers.state(process)
    }

    fn identity(&self, process: &Process) -> Option<ProcessIdentity> {
        self.servers.identity(process)
    }

    fn starter(&self, _: &Process) -> Starter {
        Starter::Parent
    }

    async fn ended(&self, process: &Process, limit: Duration) -> Option<ProcessState> {
        self.servers.ended(process, limit).await
    }

    async fn signal(&self, process: &Process, signal: Signal) -> Result<(), Failure> {
        self.servers.signal(process, signal)
    }

    async fn start(&self, process: &Process) -> Result<(), Failure> {
        if matches!(self.state(process), None | Some(ProcessState::Gone { .. })) {
            self.spawn(process)?;
        }
        self.accepts(process).await
    }

    async fn set_version(&self, process: &Process, version: &str) -> Result<(), Failure> {
        let what =
            format!("{process} cannot be started from {version}: its image holds one version");
        Err(PortError::new(ErrorKind::Unsupported, what).into())
    }
}

impl HostedProcesses for DockerServers {
    fn subject(&self, process: &Process) -> Result<HostedProcess, HostError> {
        let gone = |error| HostError::of_io(&process.node, "be found", error);
        let container = self.container(process).map_err(gone)?;
        Ok(HostedProcess {
            server: process.clone(),
            host: Rc::new(container.host.clone()),
            process: self.identity(process),
            data: container.files.join(Self::own(process)),
            disk: None,
            flushed: None,
            scratch: container.files.join(TEMPORARY),
            clock: None,
            groups: container.namespaces.limits(),
        })
    }
}

impl DockerServers {
    /// Ends every server process.
    ///
    /// # Errors
    /// An infrastructure failure that names the first one which does not end.
    pub(super) async fn end(&self) -> Result<(), Failure> {
        lifecycle::end(self).await
    }
}
