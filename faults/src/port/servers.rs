//! The server processes of a cluster: signalled, started, looked at.

use std::path::PathBuf;
use std::time::Duration;

use async_trait::async_trait;
use results::record::event::{Process, ProcessEnd};
use serde::{Deserialize, Serialize};

use super::{ErrorKind, PortError};

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
        /// How it ended.
        end: ProcessEnd,
    },
}

/// One process for good: its pid is used again, but not with the same start in the same boot.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ProcessIdentity {
    /// The kernel's boot, as `/proc/sys/kernel/random/boot_id` has it.
    pub boot_id: String,
    /// The process id, as its host sees it.
    pub pid: i32,
    /// When it started, in clock ticks since the boot: field 22 of `/proc/PID/stat`.
    pub started_ticks: u64,
    /// What it was started as, where that has a name of its own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub within: Option<Within>,
}

/// What a process was started as.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Within {
    /// The container with this id.
    Container(String),
    /// The start of a systemd unit with this invocation id.
    Invocation(String),
}

/// How a process that has ended is started again on its host.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Starter {
    /// By `sh` with this file on the host, which holds the whole command.
    Script(PathBuf),
    /// As this unit of systemd.
    Unit(String),
    /// As the container with this id.
    Container(String),
    /// By this line for `sh` on its host.
    Command(String),
    /// By the process that keeps the cluster and goes on without kbench: any kbench may ask it.
    Keeper,
    /// Only by the kbench that started it, whose child it is.
    Parent,
}

/// The server processes of a cluster.
#[async_trait(?Send)]
pub trait Servers {
    /// Every server process of the cluster, running or not.
    fn processes(&self) -> Vec<Process>;

    /// What the operating system says about `process` now.
    async fn state(&self, process: &Process) -> Result<ProcessState, PortError>;

    /// Which process it is that runs as `process` now. `Gone` when it does not run.
    async fn identity(&self, process: &Process) -> Result<ProcessIdentity, PortError>;

    /// How `process` is started again on its host by somebody else than [`Servers::start`].
    fn starter(&self, process: &Process) -> Result<Starter, PortError>;

    /// Waits until `process` has ended, at most `limit`; what the operating system says then.
    async fn ended(&self, process: &Process, limit: Duration) -> Result<ProcessState, PortError>;

    /// Whether `process` answers a request on its client port within a short time-out. The kernel
    /// accepts connections for a process that stands still, so that alone would prove nothing. An
    /// error when the question could not even be put.
    async fn answers(&self, process: &Process) -> Result<bool, PortError>;

    /// Sends `signal` to `process`; returns when the signal is sent.
    async fn signal(&self, process: &Process, signal: Signal) -> Result<(), PortError>;

    /// Starts `process` (nothing happens when it runs). Returns when it accepts connections and a
    /// broker is registered in ZooKeeper, a ZooKeeper server in a quorum; fails at once when the
    /// process dies.
    async fn start(&self, process: &Process) -> Result<(), PortError>;

    /// Starts `process` from another version of Kafka from its next start on.
    async fn set_version(&self, process: &Process, version: &str) -> Result<(), PortError>;

    /// The version of Kafka that `process` said it is when it last started.
    async fn version(&self, process: &Process) -> Result<String, PortError>;

    /// Gives the container of `process` a restart policy, as `docker update --restart` takes it; what it has then.
    /// `None` when there is no such container any more. `Unsupported` where processes are in none that kbench did not
    /// make.
    async fn let_restart(
        &self,
        process: &Process,
        _container: &str,
        _policy: &str,
    ) -> Result<Option<String>, PortError> {
        let what = format!("{process} is in no container that has a restart policy");
        Err(PortError::new(ErrorKind::Unsupported, what))
    }

    /// Whether a broker said that it cannot register because `session` holds its id.
    async fn refused(&self, process: &Process, session: i64) -> Result<bool, PortError>;
}
