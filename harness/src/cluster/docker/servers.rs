//! The servers of a cluster of containers: children of kbench, in the namespaces of their nodes' containers.

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
use nix::sys::signal::Signal as KernelSignal;
use results::record::event::{EventKind, Role};
use tokio::process::Command;

use super::container::{Container, FILES};
use super::image::NodeImage;
use super::network::DockerNetwork;
use crate::child::parent_death_guard;
use crate::cluster::host::{Host, HostError};
use crate::cluster::local::config::{self, JvmFiles, LOG4J, LOG4J_FILE};
use crate::cluster::local::confine::confine;
use crate::cluster::local::process::{Server, ServerCommand};
use crate::cluster::local::sandbox::{DATA, Mode};
use crate::cluster::local::servers::lifecycle::{self, in_order, serves};
use crate::cluster::local::started::{StartedServers, never_started};
use crate::cluster::servers::{ServerAddresses, ServerProcesses};
use crate::failure::Failure;
use crate::mechanism::machine::{HostedProcess, HostedProcesses};
use crate::recorder::Recorder;
use crate::topology::Topology;

/// Limit for Java to say its version.
const JAVA_LIMIT: Duration = Duration::from_secs(30);

/// The servers of a cluster of containers.
pub(super) struct DockerServers {
    pub(super) topology: Topology,
    pub(super) network: DockerNetwork,
    /// By the nodes' names.
    pub(super) containers: BTreeMap<String, Container>,
    pub(super) image: NodeImage,
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

    fn container(&self, node: &str) -> io::Result<&Container> {
        let none = || io::Error::new(io::ErrorKind::NotFound, format!("there is no node {node}"));
        self.containers.get(node).ok_or_else(none)
    }

    /// The folder of a process's data within that of its node.
    fn own(process: &Process) -> &'static str {
        process.role.as_str()
    }

    fn write_files(&self, process: &Process) -> io::Result<()> {
        let files = &self.container(&process.node)?.files;
        let data = files.join(Self::own(process));
        fs::create_dir_all(&data)?;
        fs::create_dir_all(files.join(TEMPORARY))?;
        let seen = Path::new(FILES).join(Self::own(process));
        let text = config::settings(&self.topology, self, process, &seen, BTreeMap::new());
        // What they read, and the same beside their logs, where it stays.
        for folder in [files, &self.logs] {
            fs::write(folder.join(LOG4J_FILE), LOG4J)?;
            fs::write(folder.join(config::file_name(process)), &text)?;
        }
        match process.role {
            Role::Zookeeper => fs::write(data.join("myid"), process.id.to_string()),
            Role::Broker => Ok(()),
        }
    }

    /// A program in a node's container, without privileges, that ends with kbench.
    fn program(&self, container: &Container, program: &str) -> io::Result<Command> {
        let mut command = Command::new(program);
        command
            .env_clear()
            .env("PATH", &self.image.path)
            .envs([("LANG", "C.UTF-8"), ("LC_ALL", "C.UTF-8"), ("HOME", FILES)])
            .env(DATA, &self.data);
        // SAFETY: between fork and exec only system calls are made: setsid, prctl, getppid; write, setns; capset.
        // What gives up privileges takes the signal away which it is to get when kbench ends: asked for again.
        unsafe {
            command.pre_exec(parent_death_guard(KernelSignal::SIGKILL, true));
            command.pre_exec(container.namespaces.enter()?);
            command.pre_exec(confine(Mode::Loopback, None, &[])?);
            command.pre_exec(parent_death_guard(KernelSignal::SIGKILL, false));
        }
        Ok(command)
    }

    fn command(&self, process: &Process) -> io::Result<ServerCommand> {
        let container = self.container(&process.node)?;
        let (settings, temporary) = (Path::new(FILES), Path::new(FILES).join(TEMPORARY));
        let files = JvmFiles { jars: &self.image.kafka.jars, temporary: &temporary, settings };
        let mut command = self.program(container, "java")?;
        command.args(config::arguments(&self.topology, process, &files, vec![]));
        let left = container.files.join(TEMPORARY);
        let crash = config::crash_files(process);
        let crash = crash.map(|name| (left.join(&name), self.logs.join(&name))).into();
        Ok(ServerCommand { command, dump_path: None, watch: None, crash })
    }

    fn spawn(&self, process: &Process) -> Result<(), Failure> {
        let started = self.container(&process.node).and_then(|container| {
            let (command, log) = (self.command(process)?, self.log_path(process));
            let spawn = |command: &mut Command| container.namespaces.spawn(command);
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

    /// The first line of what the image's Java says of its version.
    ///
    /// # Errors
    /// An infrastructure failure when it says nothing.
    pub(super) async fn java(&self) -> Result<String, Failure> {
        let said = async {
            let container = self.containers.values().next();
            let container = container.ok_or_else(|| io::Error::other("there is no node"))?;
            let mut command = self.program(container, "java")?;
            command.arg("-version").kill_on_drop(true);
            command.stdin(std::process::Stdio::null());
            command.stdout(std::process::Stdio::null()).stderr(std::process::Stdio::piped());
            let child = container.namespaces.spawn(&mut command)?;
            let said = tokio::time::timeout(JAVA_LIMIT, child.wait_with_output()).await;
            said.map_err(|_| io::Error::from(io::ErrorKind::TimedOut))?
        };
        let failed = |error: io::Error| {
            Failure::infrastructure(format!("the image's Java does not run: {error}"))
        };
        let said = String::from_utf8_lossy(&said.await.map_err(failed)?.stderr).into_owned();
        let line = said.lines().next().ok_or_else(|| failed(io::Error::other("it says nothing")));
        line.map(str::to_owned)
    }

    /// The hosts of the nodes, in the topology's order.
    pub(super) fn hosts(&self) -> Vec<Rc<dyn Host>> {
        let nodes = self.topology.node.iter();
        let containers = nodes.filter_map(|node| self.containers.get(&node.name));
        containers.map(|container| Rc::new(container.host.clone()) as _).collect()
    }
}

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
        let container = self.container(&process.node).map_err(gone)?;
        Ok(HostedProcess {
            server: process.clone(),
            host: Rc::new(container.host.clone()),
            process: self.identity(process),
            data: container.files.join(Self::own(process)),
            disk: None,
            flushed: None,
            scratch: container.files.join(TEMPORARY),
            clock: None,
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
