//! The ports that faults act through. A cluster (local, containers, ssh) implements them once.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::time::Duration;

use async_trait::async_trait;
use results::record::clock::RunTime;
pub use results::record::event::Process;
use results::record::event::{BrokerId, EventKind};
use serde::{Deserialize, Serialize};

use crate::cut::{Cut, Origin, Reach, Service};
use crate::degrade::{Degradation, Degraded};
use crate::machine::{Impairment, Observation};

/// Something that a cluster can let faults do. A plan that needs more is refused before a start.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Capability {
    /// Send signals to server processes.
    Signal,
    /// Start server processes again.
    Start,
    /// Move partition leadership between brokers.
    MoveLeaders,
    /// End the ZooKeeper sessions of others.
    ExpireSession,
    /// Cut network links between nodes.
    Cut,
    /// Take the links of nodes down.
    LinkDown,
    /// Lose packets.
    Loss,
    /// Throttle what nodes send.
    Rate,
    /// Delay packets.
    Delay,
    /// Send packets twice.
    Duplicate,
    /// Let packets overtake others.
    Reorder,
    /// Change the load's consumers.
    Clients,
    /// Kill clients of the load, in processes of their own.
    Workers,
    /// Start brokers from another version of Kafka.
    Upgrade,
    /// Limit what the kernel gives to processes.
    Limits,
    /// Take the room on processes' disks.
    Disk,
    /// Let system calls of processes fail or take longer.
    Syscalls,
    /// Set the clock of processes.
    Clock,
}

/// Signals that faults send.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Signal {
    /// SIGKILL: the process ends at once, its ZooKeeper session lives on until it expires.
    Kill,
    /// SIGTERM: controlled shutdown.
    Term,
    /// SIGSTOP: the process stands still.
    Stop,
    /// SIGCONT: it goes on.
    Continue,
}

/// What the operating system says about a process.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ProcessState {
    /// It runs.
    Running {
        /// Process id as kbench sees it.
        pid: i32,
    },
    /// It was stopped by a signal and can go on.
    Paused {
        /// Process id as kbench sees it.
        pid: i32,
    },
    /// It ended.
    Gone {
        /// Process id that it had.
        pid: i32,
        /// How it ended, for people: "signal 9", "exit 1".
        how: String,
    },
}

/// The cluster as ZooKeeper describes it at one moment.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct View {
    /// The controller, none while there is none.
    pub controller: Option<BrokerId>,
    /// Registered brokers.
    pub brokers: BTreeSet<BrokerId>,
    /// ZooKeeper sessions that own the registrations.
    pub sessions: BTreeMap<BrokerId, i64>,
    /// Topic of the main load.
    pub topic: String,
    /// Partitions of every topic of the cluster, internal ones included.
    pub partitions: BTreeMap<(String, i32), PartitionView>,
    /// ZooKeeper servers that serve; filled where a target asks for them.
    pub zookeeper: BTreeMap<BrokerId, ZkMode>,
    /// Consumer group of the load, if it has one.
    pub group: Option<String>,
    /// Brokers that coordinate groups; filled for the groups that a target asks for.
    pub coordinators: BTreeMap<String, BrokerId>,
    /// Processes that a fault is on at present; the nemesis fills it.
    pub struck: BTreeSet<Process>,
}

/// What a ZooKeeper server that serves says of itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ZkMode {
    /// It leads the ensemble, or is all of it.
    Leader,
    /// It follows.
    Follower,
}

/// What is done to clients of the load.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ClientChange {
    /// A member of the consumer group leaves.
    Leave,
    /// One more member joins.
    Join,
    /// A member stops polling, and stays connected.
    Stall,
    /// The process of a member is killed.
    KillConsumer,
    /// The process of a producer is killed.
    KillProducer,
}

/// What a broker lost of its logs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Lost {
    /// Bytes of records.
    pub bytes: u64,
    /// Logs that lost any.
    pub logs: usize,
}

impl fmt::Display for Lost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { bytes, logs } = self;
        write!(f, "{bytes} bytes that were not flushed are gone, of {logs} logs")
    }
}

/// A topic and the number of a partition.
pub type Partition = (String, i32);

/// One partition in a [`View`].
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct PartitionView {
    /// Leader, none while there is none.
    pub leader: Option<BrokerId>,
    /// In-sync replicas.
    pub isr: Vec<BrokerId>,
    /// Assigned replicas, the preferred leader first.
    pub replicas: Vec<BrokerId>,
}

impl fmt::Display for PartitionView {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.leader {
            Some(leader) => write!(f, "led by {leader}")?,
            None => write!(f, "without leader")?,
        }
        write!(f, ", replicas {:?}, in sync {:?}", self.replicas, self.isr)
    }
}

/// A port failed: what, on what, why.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct PortError(pub String);

/// What faults can do to a cluster and ask of it.
///
/// All calls carry time-outs of their own and return an error when those pass.
#[async_trait(?Send)]
pub trait Cluster {
    /// What this cluster can let faults do.
    fn capabilities(&self) -> BTreeSet<Capability>;

    /// Every server process of the cluster, running or not.
    fn processes(&self) -> Vec<Process>;

    /// The cluster as ZooKeeper describes it now.
    async fn view(&self) -> Result<View, PortError>;

    /// Sends `signal` to `process`; returns when the signal is sent.
    async fn signal(&self, process: &Process, signal: Signal) -> Result<(), PortError>;

    /// Waits until `process` has ended, at most `limit`.
    async fn ended(&self, process: &Process, limit: Duration) -> Result<ProcessState, PortError>;

    /// What the operating system says about `process` now.
    async fn state(&self, process: &Process) -> Result<ProcessState, PortError>;

    /// The ZooKeeper servers that serve now, by their own word. One that answers nothing within a
    /// short time-out, or has no quorum, is not among them.
    async fn zookeeper_modes(&self) -> BTreeMap<BrokerId, ZkMode>;

    /// The broker that coordinates the consumer group, by the word of any broker; none when nobody
    /// says so within a short time-out.
    async fn coordinator(&self, group: &str) -> Option<BrokerId>;

    /// Whether `process` answers a request on its client port within a short time-out. The kernel
    /// accepts connections for a process that stands still, so that alone would prove nothing.
    async fn answers(&self, process: &Process) -> bool;

    /// Takes traffic away, that of established connections too: on each node at one stroke, all
    /// nodes as closely together as it can. A cut that is there already is an error.
    async fn cut(&self, cut: &Cut) -> Result<(), PortError>;

    /// Lets the traffic pass again. Nothing happens where it was not cut.
    async fn uncut(&self, cut: &Cut) -> Result<(), PortError>;

    /// The cuts that are in force.
    fn cuts(&self) -> Vec<Cut>;

    /// Packets that each node's rules of `cut` have taken away; only nodes that have such rules.
    async fn taken(&self, cut: &Cut) -> Result<BTreeMap<String, u64>, PortError>;

    /// Takes the links of nodes down, or up again; nothing happens where they are so.
    async fn set_links(&self, nodes: &[String], up: bool) -> Result<(), PortError>;

    /// Whether the link of a node is up.
    async fn link_is_up(&self, node: &str) -> Result<bool, PortError>;

    /// Degrades the links of nodes, all as closely together as it can. One that is degraded in the
    /// same way already is an error.
    async fn degrade(&self, degradation: &Degradation) -> Result<(), PortError>;

    /// Lets packets pass as they should. Nothing happens where they do.
    async fn restore(&self, degradation: &Degradation) -> Result<(), PortError>;

    /// What was done to packets; only nodes whose links are so degraded.
    async fn degraded(
        &self,
        degradation: &Degradation,
    ) -> Result<BTreeMap<String, Degraded>, PortError>;

    /// How long a connection from `from` to the client port of `to` takes to be accepted; none when
    /// it is not, within a few seconds.
    async fn round_trip(&self, from: &Origin, to: &Process) -> Option<Duration>;

    /// Whether a connection from `from` to a port of `to` is accepted, within a time-out so short
    /// that a proof by silence is soon had.
    async fn reaches(&self, from: &Origin, to: &Process, service: Service) -> Reach;

    /// Starts `process` (nothing happens when it runs). Returns when it accepts connections and a
    /// broker is registered in ZooKeeper, a ZooKeeper server in a quorum; fails at once when the
    /// process dies.
    async fn start(&self, process: &Process) -> Result<(), PortError>;

    /// Puts an impairment on `process`, which runs; returns when that is done, without looking.
    async fn impair(&self, process: &Process, impairment: &Impairment) -> Result<(), PortError>;

    /// Takes the impairment off `process`. Nothing happens where there is none.
    async fn repair(&self, process: &Process, impairment: &Impairment) -> Result<(), PortError>;

    /// What shows whether `process` is under the impairment; one that has ended is under none.
    async fn impaired(
        &self,
        process: &Process,
        impairment: &Impairment,
    ) -> Result<Observation, PortError>;

    /// Starts `process` from another version of Kafka from its next start on.
    async fn set_version(&self, process: &Process, version: &str) -> Result<(), PortError>;

    /// The version of Kafka that `process` said it is when it last started.
    async fn version(&self, process: &Process) -> Result<String, PortError>;

    /// Whether a broker said that it cannot register because `session` holds its id.
    async fn refused(&self, process: &Process, session: i64) -> Result<bool, PortError>;

    /// Changes the clients of the load; returns when that is under way, or a killed one has ended.
    async fn change_clients(&self, change: ClientChange) -> Result<(), PortError>;

    /// Gives the load the clients that it started with, all at work. Nothing happens where it is so.
    async fn restore_clients(&self) -> Result<(), PortError>;

    /// What shows whether the clients are changed so: the word of the group's coordinator, what its
    /// members read, how a killed process ended. Without a change, whether they are as they started.
    async fn clients_are(&self, change: Option<ClientChange>) -> Result<Observation, PortError>;

    /// Takes from a broker that has ended what it had not flushed; what that was.
    async fn lose_unflushed(&self, process: &Process) -> Result<Lost, PortError>;

    /// Ends the ZooKeeper session with this id, as if it had expired; returns when ZooKeeper has
    /// confirmed it.
    async fn expire_session(&self, session: i64) -> Result<(), PortError>;

    /// Makes `broker` the last of the replicas of every partition that it leads, in the topics of
    /// the load, and elects the first; returns when it leads none of them. The replica sets stay.
    async fn move_leaders_away(&self, broker: BrokerId) -> Result<(), PortError>;

    /// Reassigns every replica that `broker` has of the load's partitions to a broker that has none
    /// of the partition; where there is no such broker, the partition does with one replica less.
    /// Returns when the reassignment is complete.
    async fn move_replicas_away(&self, broker: BrokerId) -> Result<(), PortError>;

    /// Gives every topic of the load the replicas, in the order that the cluster started with, and
    /// elects the preferred leaders; returns when all have caught up and those lead.
    async fn restore_leaders(&self) -> Result<(), PortError>;
}

/// What the nemesis asks of the run around it.
///
/// The nemesis drops the future of a wait when the user interrupts it.
#[async_trait(?Send)]
pub trait RunControl {
    /// The run's time.
    fn now(&self) -> RunTime;

    /// Appends to the run's events, at the time `at`. Returns at once: an injection follows.
    fn record(&self, at: RunTime, event: EventKind);

    /// Waits until every ZooKeeper server serves, every broker is registered, every partition has
    /// its full ISR, all partitions are acking and the consumers' lag is drained. The error says
    /// what was missing at `limit`.
    async fn steady(&self, limit: Duration) -> Result<(), PortError>;

    /// Waits until every partition of the load acks records that were due after `since`, and what
    /// is left does without `without`: a controller is registered which is none of these brokers,
    /// and if ZooKeeper servers are among them, all others serve. False when `limit` passed first.
    async fn recovered(&self, since: RunTime, without: &[Process], limit: Duration) -> bool;

    /// Whether the user asked to stop. The nemesis checks it between steps and while it waits.
    fn interrupted(&self) -> bool;
}
