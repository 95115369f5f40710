//! The local cluster: real ZooKeeper and Kafka JVMs, each node in its own network namespace.
//!
//! One owner for each process: [`LocalCluster`] starts, signals, awaits and stops them; the sandbox
//! ends them should kbench end. Settings are written out in full to the servers' own files, which
//! stay in the trial's `logs/`. What a cluster is doing is not known here: see `observe`.

pub mod capability;
mod config;
mod cut;
mod degrade;
mod link;
mod machine;
mod power;
mod process;
mod queue;
mod ready;
mod room;
pub mod sandbox;

use std::cell::{OnceCell, RefCell};
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use faults::cut::Cut;
use faults::degrade::Condition;
use faults::port::{Process, ProcessState, Signal, ZkMode};
use futures::future::{join_all, try_join, try_join_all};
use results::record::event::{BrokerId, EventKind, Role};

use crate::cluster::local::sandbox::{Mode, Network, Nft};
use crate::failure::Failure;
use crate::provision::Kafka;
use crate::recorder::Recorder;
use crate::topology::Topology;
use machine::{Brakes, Tracers};
pub(crate) use machine::{Clocks, try_tracer};
use process::Server;
use queue::Queue;

/// Limit for a JVM to dump its class archive on SIGTERM: 3-6 s were measured on two busy cores.
const DUMP_LIMIT: Duration = Duration::from_secs(40);

/// Limit for a process to end after SIGKILL; the kernel frees some hundred MB first.
const KILL_LIMIT: Duration = Duration::from_secs(10);

/// What a local cluster is made of.
pub struct Setup<'a> {
    /// The cluster as data.
    pub topology: &'a Topology,
    /// The jars.
    pub kafka: &'a Kafka,
    /// Those of other versions that the plan starts brokers from.
    pub others: Vec<Kafka>,
    /// How nodes are isolated.
    pub mode: Mode,
    /// Tells clusters on one host apart in loopback mode: the trial's number.
    pub lab: u8,
    /// Where the servers' data goes.
    pub data: PathBuf,
    /// Where logs and configuration files go.
    pub logs: PathBuf,
    /// Where events go.
    pub recorder: Arc<Recorder>,
    /// What makes the nodes' clocks settable, where a plan needs that.
    pub(crate) clocks: Option<Clocks>,
}

/// A running local cluster.
pub struct LocalCluster {
    topology: Topology,
    kafka: Kafka,
    /// Other versions that brokers can be started from, and who is.
    others: Vec<Kafka>,
    upgraded: RefCell<BTreeMap<Process, Kafka>>,
    network: Network,
    /// Of each node that has a network of its own, where there is an `nft`.
    nft: BTreeMap<String, Nft>,
    /// Of each node whose packets are held up in this process.
    queues: RefCell<BTreeMap<String, (Condition, Queue)>>,
    /// Whether the kernel has netem, once that was tried.
    netem: OnceCell<bool>,
    data: PathBuf,
    logs: PathBuf,
    recorder: Arc<Recorder>,
    servers: RefCell<BTreeMap<Process, Server>>,
    /// Size in bytes of the disk of each process, where it has one of its own.
    room: Option<u64>,
    clocks: Option<Clocks>,
    tracers: RefCell<Tracers>,
    brakes: RefCell<Brakes>,
    cuts: RefCell<Vec<Cut>>,
}

impl LocalCluster {
    /// Starts every process of the cluster; returns when each accepts connections.
    ///
    /// # Errors
    /// An infrastructure failure: no network, a port is taken, a JVM ended (with its log's tail),
    /// or not everything was up within the limit.
    pub async fn start(setup: Setup<'_>) -> Result<Self, Failure> {
        let no_network = |error: std::io::Error| {
            Failure::infrastructure(format!("no network for the nodes: {error}"))
        };
        let no_clock = |error: std::io::Error| {
            Failure::infrastructure(format!("no clock for the nodes: {error}"))
        };
        let nodes = setup.topology.node_names();
        let network = Network::make(setup.mode, setup.lab, &nodes).map_err(no_network)?;
        let mut cluster = Self {
            topology: setup.topology.clone(),
            kafka: setup.kafka.clone(),
            others: setup.others,
            upgraded: RefCell::default(),
            nft: network.rules(&nodes).map_err(no_network)?,
            network,
            data: setup.data,
            logs: setup.logs,
            recorder: setup.recorder,
            queues: RefCell::default(),
            netem: OnceCell::new(),
            servers: RefCell::default(),
            room: None,
            clocks: setup.clocks,
            tracers: RefCell::default(),
            brakes: RefCell::default(),
            cuts: RefCell::default(),
        };
        let processes = cluster.processes();
        let disks: Vec<_> = processes.iter().map(|process| cluster.data_dir(process)).collect();
        cluster.room = room::make(setup.mode, &cluster.topology, &cluster.data, &disks)?;
        for process in &processes {
            ready::ports_are_free(setup.mode, process.role, cluster.address(process))?;
            config::write(&cluster, process)?;
            cluster.set_clock(process, 0).map_err(no_clock)?;
        }
        cluster.start_all().await?;
        cluster.rouse_nft().await.map_err(no_network)?;
        Ok(cluster)
    }

    /// Starts every process; returns when all serve, fails as soon as one ends.
    ///
    /// Brokers and a bare majority of the ZooKeeper servers start at once, the other servers when
    /// the majority serves. Were all to start at once, a majority without the highest id may settle
    /// on a leader of its own just before the highest id is heard; whoever is left behind then
    /// waits out `initLimit` (20 s) before it joins.
    async fn start_all(&self) -> Result<(), Failure> {
        let (brokers, mut servers): (Vec<Process>, Vec<Process>) =
            self.processes().into_iter().partition(|process| process.role == Role::Broker);
        servers.sort_by_key(|server| std::cmp::Reverse(server.id));
        let (majority, others) = servers.split_at(servers.len() / 2 + 1);
        let up = async |processes: &[Process]| {
            processes.iter().try_for_each(|process| self.spawn(process))?;
            try_join_all(processes.iter().map(|process| self.accepts(process))).await
        };
        let zookeeper = async {
            up(majority).await?;
            up(others).await
        };
        try_join(zookeeper, up(&brokers)).await.map(drop)
    }

    /// Every server process, ZooKeeper first.
    pub fn processes(&self) -> Vec<Process> {
        self.topology.processes()
    }

    /// `host:port` of every broker, separated by commas.
    pub fn bootstrap(&self) -> String {
        self.addresses(Role::Broker)
    }

    /// `host:port` of every ZooKeeper server, separated by commas.
    pub fn zookeeper_connect(&self) -> String {
        self.addresses(Role::Zookeeper)
    }

    fn addresses(&self, role: Role) -> String {
        let addresses: Vec<String> = self
            .processes()
            .iter()
            .filter(|process| process.role == role)
            .map(|process| self.address(process).to_string())
            .collect();
        addresses.join(",")
    }

    /// Address for clients of a process.
    pub fn address(&self, process: &Process) -> SocketAddr {
        let index = self.topology.node.iter().position(|node| node.name == process.node);
        let port = match process.role {
            Role::Broker => self.topology.broker.port,
            Role::Zookeeper => self.topology.zookeeper.port,
        };
        SocketAddr::from((self.network.address(index.unwrap_or_default()), port))
    }

    /// The file that the process's log goes to.
    pub fn log_path(&self, process: &Process) -> PathBuf {
        self.logs.join(format!("{}-{}.log", process.node, process.role.as_str()))
    }

    /// Whether the JVMs use class-data archives.
    pub fn uses_archives(&self) -> bool {
        self.kafka.archives.complete()
    }

    /// Starts a process again, with the data it had. Nothing happens when it runs.
    ///
    /// # Errors
    /// An infrastructure failure when it cannot be started, or ends before it accepts connections.
    pub async fn restart(&self, process: &Process) -> Result<(), Failure> {
        if matches!(self.state(process), None | Some(ProcessState::Gone { .. })) {
            self.spawn(process)?;
        }
        self.accepts(process).await
    }

    /// Lets a process be started from another version from now on.
    ///
    /// # Errors
    /// When there is no such version.
    pub fn set_version(&self, process: &Process, version: &str) -> Result<(), Failure> {
        let all = std::iter::once(&self.kafka).chain(&self.others);
        let kafka = all.into_iter().find(|kafka| kafka.version == version).ok_or_else(|| {
            Failure::infrastructure(format!("Kafka {version} is not there to start {process} from"))
        })?;
        self.upgraded.borrow_mut().insert(process.clone(), kafka.clone());
        Ok(())
    }

    /// The version that a process wrote down when it last started.
    ///
    /// # Errors
    /// When its log cannot be read, or does not say.
    pub fn version(&self, process: &Process) -> Result<String, Failure> {
        let log = self.log(process)?;
        let said = log.lines().rev().find_map(|line| line.split_once("Kafka version: "));
        let version = said.and_then(|(_, rest)| rest.split_whitespace().next());
        version.map(str::to_owned).ok_or_else(|| {
            Failure::infrastructure(format!("the log of {process} does not name a version"))
        })
    }

    /// Whether a broker said that it cannot register because `session` holds its id: what
    /// `CheckedEphemeral` of Kafka's `KafkaZkClient` says of a node that exists.
    ///
    /// # Errors
    /// When its log cannot be read.
    pub fn refused(&self, process: &Process, session: i64) -> Result<bool, Failure> {
        let owned = format!("owner '{session:#x}' does not match current session");
        Ok(self.log(process)?.lines().any(|line| line.contains(&owned)))
    }

    fn log(&self, process: &Process) -> Result<String, Failure> {
        std::fs::read_to_string(self.log_path(process)).map_err(|error| {
            Failure::infrastructure(format!("the log of {process} cannot be read: {error}"))
        })
    }

    /// The jars that a process is started from.
    fn kafka_of(&self, process: &Process) -> Kafka {
        self.upgraded.borrow().get(process).unwrap_or(&self.kafka).clone()
    }

    /// Sends a signal; returns when it is sent.
    ///
    /// # Errors
    /// When the process does not run.
    pub fn signal(&self, process: &Process, signal: Signal) -> Result<(), Failure> {
        let servers = self.servers.borrow();
        let server = servers.get(process).ok_or_else(|| not_started(process))?;
        server.signal(signal).map_err(|error| {
            Failure::infrastructure(format!("{process} cannot be signalled: {error}"))
        })
    }

    /// What the operating system says about a process; none when it was never started.
    pub fn state(&self, process: &Process) -> Option<ProcessState> {
        self.servers.borrow().get(process).map(Server::state)
    }

    /// Waits until a process has ended, at most `limit`; its state then.
    pub async fn ended(&self, process: &Process, limit: Duration) -> Option<ProcessState> {
        let waiter = self.servers.borrow().get(process).map(Server::waiter)?;
        // When the limit passes, the state says that it still runs.
        drop(tokio::time::timeout(limit, waiter.ended()).await);
        self.state(process)
    }

    /// Whether the process answers a request on its client port.
    pub async fn answers(&self, process: &Process) -> bool {
        ready::answers(process.role, self.address(process)).await
    }

    /// The ZooKeeper servers that serve now, with their parts.
    pub async fn zookeeper_modes(&self) -> BTreeMap<BrokerId, ZkMode> {
        let servers = self.processes().into_iter().filter(|p| p.role == Role::Zookeeper);
        let modes = join_all(servers.map(async |server| {
            Some((server.id, ready::zookeeper_mode(self.address(&server)).await?))
        }));
        modes.await.into_iter().flatten().collect()
    }

    /// Ends every process. Where a class archive is still missing and `dump` is set, one JVM of
    /// that role is let end by itself, so that it leaves one.
    ///
    /// # Errors
    /// An infrastructure failure that names the processes which did not end.
    pub async fn stop(&self, dump: bool) -> Result<(), Failure> {
        let mut kept = Vec::new();
        if dump {
            kept.extend(self.dumping(Role::Broker));
            kept.extend(self.dumping(Role::Zookeeper));
        }
        self.end(|process| !kept.iter().any(|(keep, _)| keep == process), KILL_LIMIT).await?;
        for (process, path) in kept {
            self.signal(&process, Signal::Term)?;
            // One that still runs at the limit may have written half of its archive.
            let Some(ProcessState::Gone { .. }) = self.ended(&process, DUMP_LIMIT).await else {
                tracing::warn!(%process, "no class archive: it does not end");
                continue;
            };
            if let Err(error) = self.kafka.archives.adopt(process.role, &path) {
                tracing::warn!(%process, %error, "no class archive");
            }
        }
        self.end(|_| true, KILL_LIMIT).await?;
        // Dumps nobody needs: a plan may have ended several brokers by SIGTERM.
        self.servers.borrow().values().for_each(Server::discard_dump);
        Ok(())
    }

    /// The process that is to dump the archive of its role, and where; none when there is one.
    fn dumping(&self, role: Role) -> Option<(Process, PathBuf)> {
        let servers = self.servers.borrow();
        servers.iter().find_map(|(process, server)| {
            let path = server.dump_path().filter(|_| process.role == role)?;
            matches!(server.state(), ProcessState::Running { .. })
                .then(|| (process.clone(), path.to_owned()))
        })
    }

    async fn end(&self, which: impl Fn(&Process) -> bool, limit: Duration) -> Result<(), Failure> {
        let running: Vec<Process> = self
            .processes()
            .into_iter()
            .filter(|process| which(process))
            .filter(|p| !matches!(self.state(p), None | Some(ProcessState::Gone { .. })))
            .collect();
        for process in &running {
            self.signal(process, Signal::Kill)?;
        }
        for process in &running {
            if let Some(ProcessState::Running { pid } | ProcessState::Paused { pid }) =
                self.ended(process, limit).await
            {
                return Err(Failure::infrastructure(format!("{process} (pid {pid}) does not end")));
            }
        }
        Ok(())
    }

    fn spawn(&self, process: &Process) -> Result<(), Failure> {
        let cannot = |error: std::io::Error| {
            Failure::infrastructure(format!("{process} cannot be started: {error}"))
        };
        let command = config::command(self, process).map_err(cannot)?;
        let server =
            Server::start(process, command, &self.log_path(process), Arc::clone(&self.recorder))
                .map_err(cannot)?;
        let (process, pid) = (process.clone(), server.pid());
        self.recorder.now(EventKind::ProcessStarted { process: process.clone(), pid });
        if let Some(former) = self.servers.borrow_mut().insert(process, server) {
            former.discard_dump();
        }
        Ok(())
    }

    /// Waits until a process accepts connections; fails at once when it ends.
    async fn accepts(&self, process: &Process) -> Result<(), Failure> {
        let waiter = self.servers.borrow().get(process).map(Server::waiter);
        let waiter = waiter.ok_or_else(|| not_started(process))?;
        let log = self.log_path(process);
        tokio::select! {
            ready = ready::serves(process.role, self.address(process)) => {
                if ready { Ok(()) } else { Err(ready::too_slow(process, &log)) }
            }
            how = waiter.ended() => Err(ready::died(process, &how, &log)),
        }
    }

    fn data_dir(&self, process: &Process) -> PathBuf {
        self.data.join(format!("{}-{}", process.node, process.role.as_str()))
    }

    fn config_path(&self, process: &Process) -> PathBuf {
        self.logs.join(format!("{}-{}.properties", process.node, process.role.as_str()))
    }

    /// Where the JVMs put temporary files: beside their data, so that they vanish with it.
    fn temporary(&self) -> PathBuf {
        self.data.join("tmp")
    }

    fn logs(&self) -> &Path {
        &self.logs
    }
}

fn not_started(process: &Process) -> Failure {
    Failure::infrastructure(format!("{process} was never started"))
}
