//! The servers of the local cluster: JVMs that are started, signalled, awaited and stopped.
//!
//! One owner for each process: this one, whose sandbox ends them should kbench end, or the keeper of a
//! cluster that is kept, which is asked to start one and to say how one ended. Settings are written out in full
//! to the servers' own files, which stay in the trial's `logs/`.

pub(in crate::cluster) mod lifecycle;

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use faults::port::{Capability, PortError, Process, ProcessState, Signal, Starter};
use results::record::event::{EventKind, ProcessEnd, Role};

use super::capacity::DataPlace;
use super::keeper::Keeper;
use super::process::Server;
use super::sandbox::{Mode, SandboxNetwork, ServerUser};
use super::secured::SecuredLab;
use super::started::{StartedServers, never_started};
use super::{LocalHost, Setup, config, ready, seen};
use crate::cluster::host::{ErrorKind, Host, HostError, ProcessIdentity};
use crate::cluster::servers::{ServerAddresses, ServerProcesses};
use crate::failure::Failure;
use crate::mechanism::clock::{self, Faketime};
use crate::mechanism::flushes::Flushed;
use crate::mechanism::group::ControlGroups;
use crate::mechanism::machine::{HostedProcess, HostedProcesses};
use crate::need::place::Storage;
use crate::provision::Kafka;
use crate::recorder::Recorder;
use crate::topology::Topology;
use crate::wire::Connector;

/// The servers of a local cluster.
pub struct LocalServers {
    pub(super) topology: Topology,
    pub(super) kafka: Kafka,
    pub(super) mode: Mode,
    /// Whom the servers run as, where that is not who kbench runs as.
    pub(super) user: Option<ServerUser>,
    /// Who owns the servers, where that is not this process.
    keeper: Option<Keeper>,
    /// Other versions that brokers can be started from, and who is.
    others: RefCell<Vec<Kafka>>,
    upgraded: RefCell<BTreeMap<Process, Kafka>>,
    network: SandboxNetwork,
    /// By the nodes' names.
    hosts: BTreeMap<String, Rc<LocalHost>>,
    data: PathBuf,
    logs: PathBuf,
    recorder: Arc<Recorder>,
    servers: StartedServers,
    /// Size in bytes of the disk of each process, where it has one of its own.
    disk: Option<u64>,
    faketime: Option<Faketime>,
    /// What each broker has flushed, where that is watched: by whoever starts it, and from its start on.
    flushed: BTreeMap<Process, Flushed>,
    pub(super) secured: SecuredLab,
}

impl LocalServers {
    /// Prepares everything that the servers need; none is started.
    ///
    /// # Errors
    /// An infrastructure failure: a port is taken, memory or a disk is too small, files cannot be
    /// written.
    pub(super) async fn prepare(
        setup: Setup<'_>,
        network: SandboxNetwork,
        hosts: BTreeMap<String, Rc<LocalHost>>,
    ) -> Result<Self, Failure> {
        let (mode, share, settable_clocks) = (setup.mode, setup.share, setup.settable_clocks);
        let disk = setup.disk.clone();
        let watched = setup.faults.contains(&Capability::Flushes);
        let mut this = Self::new(setup, network, hosts, None);
        let processes = this.processes();
        let brokers = processes.iter().filter(|process| watched && process.role == Role::Broker);
        this.flushed = brokers.map(|broker| (broker.clone(), Flushed::default())).collect();
        let disks = processes.iter().map(|process| this.data_dir(process));
        let places: Vec<_> = disks.chain([this.temporary()]).collect();
        let place = DataPlace { mode, data: &this.data, of_processes: &places, user: this.user };
        this.disk = match share.storage {
            Storage::Memory => Some(place.in_memory(share, &this.topology)?),
            Storage::Disk => place.on_disk(share, &disk).map(|()| None)?,
        };
        for folder in [&this.data, &this.logs, &this.kafka.jars] {
            seen::plain(mode, folder)?;
        }
        this.secured = this.make_secured(&processes)?;
        seen::archives(mode, &this.kafka).sweep();
        if settable_clocks {
            this.make_clocks_settable().await.map_err(no_clocks)?;
        }
        for process in &processes {
            ready::ports_are_free(mode, process.role, this.address(process))?;
            config::write(&this, process)?;
        }
        Ok(this)
    }

    /// Takes up servers that run already, or have ended, as their keeper's children.
    ///
    /// # Errors
    /// An infrastructure failure when the keeper does not answer.
    pub(super) async fn attach(
        setup: Setup<'_>,
        network: SandboxNetwork,
        hosts: BTreeMap<String, Rc<LocalHost>>,
        keeper: Keeper,
    ) -> Result<Self, Failure> {
        let states = keeper.states().await?;
        let settable_clocks = setup.settable_clocks;
        let mut this = Self::new(setup, network, hosts, Some(keeper));
        this.disk = states.disk_bytes;
        this.secured = SecuredLab::of(this.topology.security, &this.data)?;
        for server in states.servers {
            this.adopt(server.process, server.identity, server.ended);
        }
        if settable_clocks {
            this.make_clocks_settable().await.map_err(no_clocks)?;
        }
        Ok(this)
    }

    fn new(
        setup: Setup<'_>,
        network: SandboxNetwork,
        hosts: BTreeMap<String, Rc<LocalHost>>,
        keeper: Option<Keeper>,
    ) -> Self {
        Self {
            topology: setup.topology.clone(),
            kafka: setup.kafka.clone(),
            mode: setup.mode,
            user: ServerUser::told(),
            keeper,
            others: RefCell::new(setup.others),
            upgraded: RefCell::default(),
            network,
            hosts,
            data: setup.data,
            logs: setup.logs,
            recorder: setup.recorder,
            servers: StartedServers::default(),
            disk: None,
            faketime: None,
            flushed: BTreeMap::new(),
            secured: SecuredLab::default(),
        }
    }

    /// Makes what secures the brokers among these.
    fn make_secured(&self, processes: &[Process]) -> Result<SecuredLab, Failure> {
        let brokers = processes.iter().filter(|process| process.role == Role::Broker);
        let brokers: Vec<_> = brokers.map(|it| (it.clone(), self.address(it))).collect();
        SecuredLab::make(self.topology.security, &self.data, &brokers, self.user)
    }

    /// Takes up a server that is its keeper's child.
    fn adopt(&self, process: Process, identity: ProcessIdentity, ended: Option<ProcessEnd>) {
        let Some(keeper) = self.keeper.clone() else { return };
        let pid = identity.pid;
        self.recorder.now(EventKind::ProcessStarted { process: process.clone(), pid });
        let server = match ended {
            Some(end) => Server::gone(identity, end),
            None => {
                let of = process.clone();
                let ended = async move { keeper.ended(of, pid).await };
                Server::watched(&process, identity, ended, Arc::clone(&self.recorder))
            }
        };
        self.servers.insert(process, server);
    }

    /// Starts a process that has ended and does not wait for it; which it is. Nothing happens when it
    /// runs.
    ///
    /// # Errors
    /// An infrastructure failure when there is no such process, or it cannot be started.
    pub(super) fn revive(&self, process: &Process) -> Result<ProcessIdentity, Failure> {
        let known = self.processes().contains(process);
        if known && matches!(self.state(process), None | Some(ProcessState::Gone { .. })) {
            self.spawn(process)?;
        }
        self.last_identity(process).ok_or_else(|| never_started(process))
    }

    /// Waits until the process of this pid has ended; how.
    ///
    /// # Errors
    /// When the pid is not, or not any more, that of the process.
    pub(super) async fn await_end(
        &self,
        process: &Process,
        pid: i32,
    ) -> Result<ProcessEnd, Failure> {
        match self.servers.get(process).filter(|server| server.identity().pid == pid) {
            Some(server) => Ok(server.waiter().ended().await),
            None => Err(Failure::infrastructure(format!("{process} has another pid than {pid}"))),
        }
    }

    /// Which process a server is, or was.
    pub(super) fn last_identity(&self, process: &Process) -> Option<ProcessIdentity> {
        self.servers.get(process).map(|server| server.identity().clone())
    }

    /// Size in bytes of the disk of each process, where it has one of its own.
    pub(super) fn disk_bytes(&self) -> Option<u64> {
        self.disk
    }

    /// Makes another version known, for processes to be started from.
    pub(super) fn add_version(&self, kafka: Kafka) {
        self.others.borrow_mut().push(kafka);
    }

    async fn make_clocks_settable(&mut self) -> Result<(), HostError> {
        for process in self.processes() {
            let host = self.host(&process.node)?;
            if self.faketime.is_none() {
                self.faketime = Some(Faketime::find(&*host).await?);
            }
            clock::set(&*host, &self.clock_file(&process), 0).await?;
        }
        Ok(())
    }

    /// Whether a keeper owns the servers, so that they go on when this kbench ends.
    pub(super) fn is_kept(&self) -> bool {
        self.keeper.is_some()
    }

    /// Whether the JVMs use class-data archives.
    pub(super) fn uses_archives(&self) -> bool {
        self.topology.profile.starts_quickly() && seen::archives(self.mode, &self.kafka).complete()
    }

    /// The jars that a process is started from.
    pub(super) fn kafka_of(&self, process: &Process) -> Kafka {
        self.upgraded.borrow().get(process).unwrap_or(&self.kafka).clone()
    }

    /// The hosts of the nodes, in the topology's order.
    pub(super) fn hosts(&self) -> Vec<Rc<dyn Host>> {
        let hosts = self.topology.node.iter().filter_map(|node| self.hosts.get(&node.name));
        hosts.map(|host| Rc::clone(host) as _).collect()
    }

    /// The host of a node.
    pub(super) fn host(&self, node: &str) -> Result<Rc<LocalHost>, HostError> {
        let none = || HostError::new(ErrorKind::Gone, node, "be found", "there is no such node");
        self.hosts.get(node).cloned().ok_or_else(none)
    }

    /// What a process is started with, so that its clock can be set.
    pub(super) fn clock_environment(&self, process: &Process) -> Vec<(&'static str, PathBuf)> {
        let faketime = self.faketime.iter();
        faketime.flat_map(|library| library.environment(&self.clock_file(process))).collect()
    }

    /// What a process has flushed, where that is watched.
    pub(super) fn flushed(&self, process: &Process) -> Option<Flushed> {
        self.flushed.get(process).cloned()
    }

    /// The file that the clock of a process is read from.
    fn clock_file(&self, process: &Process) -> PathBuf {
        self.data.join(format!("{}.clock", process.node))
    }

    pub(super) fn data_dir(&self, process: &Process) -> PathBuf {
        self.data.join(format!("{}-{}", process.node, process.role.as_str()))
    }

    /// Where the servers find their settings.
    pub(super) fn settings_dir(&self) -> PathBuf {
        if self.mode.has_namespaces() { self.data.join("settings") } else { self.logs.clone() }
    }

    /// Where the JVMs put temporary files: beside their data, so that they vanish with it.
    pub(super) fn temporary(&self) -> PathBuf {
        self.data.join("tmp")
    }

    pub(super) fn logs(&self) -> &PathBuf {
        &self.logs
    }
}

#[async_trait(?Send)]
impl ServerAddresses for LocalServers {
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

    fn connector(&self) -> Connector {
        self.secured.connector().clone()
    }
}

#[async_trait(?Send)]
impl ServerProcesses for LocalServers {
    fn log_path(&self, process: &Process) -> PathBuf {
        self.logs.join(format!("{}-{}.log", process.node, process.role.as_str()))
    }

    fn data_path(&self, process: &Process) -> Option<PathBuf> {
        Some(self.data_dir(process))
    }

    fn state(&self, process: &Process) -> Option<ProcessState> {
        self.servers.state(process)
    }

    fn identity(&self, process: &Process) -> Option<ProcessIdentity> {
        self.servers.identity(process)
    }

    fn starter(&self, _: &Process) -> Starter {
        if self.is_kept() { Starter::Keeper } else { Starter::Parent }
    }

    async fn ended(&self, process: &Process, limit: Duration) -> Option<ProcessState> {
        self.servers.ended(process, limit).await
    }

    async fn signal(&self, process: &Process, signal: Signal) -> Result<(), Failure> {
        self.servers.signal(process, signal)
    }

    async fn start(&self, process: &Process) -> Result<(), Failure> {
        if matches!(self.state(process), None | Some(ProcessState::Gone { .. })) {
            match &self.keeper {
                None => self.spawn(process)?,
                Some(keeper) => self.adopt(process.clone(), keeper.start(process).await?, None),
            }
        }
        self.accepts(process).await
    }

    async fn set_version(&self, process: &Process, version: &str) -> Result<(), Failure> {
        if let Some(keeper) = &self.keeper {
            return keeper.set_version(process, version).await;
        }
        let others = self.others.borrow();
        let kafka = std::iter::once(&self.kafka)
            .chain(&*others)
            .find(|kafka| kafka.version == version)
            .ok_or_else(|| {
                let what = format!("Kafka {version} is not there to start {process} from");
                PortError::new(ErrorKind::Gone, what)
            })?;
        self.upgraded.borrow_mut().insert(process.clone(), kafka.clone());
        Ok(())
    }
}

impl HostedProcesses for LocalServers {
    fn subject(&self, process: &Process) -> Result<HostedProcess, HostError> {
        let identity = self.identity(process);
        let faketime = self.faketime.clone();
        Ok(HostedProcess {
            server: process.clone(),
            host: self.host(&process.node)?,
            process: identity,
            data: self.data_dir(process),
            disk: self.disk,
            flushed: self.flushed(process),
            scratch: self.temporary(),
            clock: faketime.map(|library| (library, self.clock_file(process))),
            groups: ControlGroups::default(),
        })
    }
}

fn no_clocks(error: HostError) -> Failure {
    Failure::infrastructure(format!("the nodes' clocks cannot be made settable: {error}"))
}
