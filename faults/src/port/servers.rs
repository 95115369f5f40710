//! The server processes of a cluster: signalled, started, looked at.

use std::time::Duration;

use async_trait::async_trait;
use results::record::event::{Process, ProcessEnd};
use serde::{Deserialize, Serialize};

use super::PortError;

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

/// The server processes of a cluster.
#[async_trait(?Send)]
pub trait Servers {
    /// Every server process of the cluster, running or not.
    fn processes(&self) -> Vec<Process>;

    /// What the operating system says about `process` now.
    async fn state(&self, process: &Process) -> Result<ProcessState, PortError>;

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

    /// Whether a broker said that it cannot register because `session` holds its id.
    async fn refused(&self, process: &Process, session: i64) -> Result<bool, PortError>;
}
