//! A host: what a mechanism acts through, wherever a node of the cluster runs.
//!
//! A backend gives each node a [`Host`] (a namespace of the local lab, a container, a machine behind
//! ssh), and one for kbench's own side. A mechanism knows only this trait, so that it is written once.
//! What is absent: which mechanisms there are, and whether one can be used here, which the mechanism
//! itself tries out (see `mechanism`).

pub mod command;
pub mod error;
pub mod recording;

use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use async_trait::async_trait;
pub use faults::port::ProcessIdentity;
use faults::port::Signal;
use procfs::FromRead as _;
use procfs::process::Stat;
use serde::{Deserialize, Serialize};

pub use command::{Command, Output};
pub use error::{ErrorKind, HostError};

/// A machine, or what behaves as one, on which processes of the cluster run.
///
/// Calls carry time-outs of their own. Commands run in the host's own network and mount namespace.
#[async_trait(?Send)]
pub trait Host {
    /// What the host is called: the node's name.
    fn name(&self) -> &str;

    /// Which host it is, for good.
    async fn identity(&self) -> Result<Identity, HostError>;

    /// Runs a command to its end, whatever that is: see [`Output::success`].
    async fn run(&self, command: &Command) -> Result<Output, HostError>;

    /// Starts a process that stays until its handle is dropped or ended.
    async fn keep(&self, command: &Command) -> Result<Box<dyn Resident>, HostError>;

    /// Reads a file.
    async fn read(&self, path: &Path) -> Result<Vec<u8>, HostError>;

    /// Writes a file, which whoever reads it sees as it was or as it is, never half written.
    async fn write(&self, path: &Path, contents: &[u8]) -> Result<(), HostError>;

    /// Sends a signal to this very process; returns when it is sent.
    async fn signal(&self, process: &ProcessIdentity, signal: Signal) -> Result<(), HostError>;

    /// Tries a connection from the host. An error when it could not be tried: that is no silence.
    async fn connect(&self, to: SocketAddr, limit: Duration) -> Result<Attempt, HostError>;

    /// How far the host's wall clock is from kbench's.
    async fn clock(&self) -> Result<ClockOffset, HostError>;

    /// Runs a command that is to succeed; what it wrote on its standard output.
    async fn output(&self, command: &Command) -> Result<String, HostError> {
        self.run(command).await?.success(self.name(), command)
    }

    /// Follows a log: the lines that are appended from now on, also when it is replaced.
    async fn follow(&self, log: &Path) -> Result<Box<dyn Resident>, HostError> {
        self.keep(&Command::new("tail").args(["-q", "-n", "0", "-F"]).arg(log)).await
    }

    /// The process that has the pid now.
    async fn identify(&self, pid: i32) -> Result<ProcessIdentity, HostError> {
        let stat = self.stat(pid).await?;
        let boot_id = self.identity().await?.boot_id;
        Ok(ProcessIdentity { boot_id, pid, started_ticks: stat.starttime, within: None })
    }

    /// What the kernel says of the process that has the pid now.
    async fn stat(&self, pid: i32) -> Result<Stat, HostError> {
        let text = self.read(Path::new(&format!("/proc/{pid}/stat"))).await?;
        Stat::from_read(text.as_slice())
            .map_err(|error| HostError::other(self.name(), "read the state of a process", error))
    }
}

/// Which host it is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Identity {
    /// The kernel's boot: another one after each start of the machine.
    pub boot_id: String,
    /// The network namespace, by its inode; `None` where the host shares kbench's own, so that rules
    /// meant for it would act on everybody.
    pub network: Option<u64>,
}

/// What became of a connection that was tried.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Attempt {
    /// It was accepted, after so long.
    Accepted(Duration),
    /// The other end refused it.
    Refused,
    /// Nothing came back within the limit, or only that there is no way.
    Unanswered,
}

/// How far a host's wall clock is from kbench's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ClockOffset {
    /// How much it is ahead, in nanoseconds; behind when negative.
    pub ahead_ns: i64,
    /// How wrong that may be, either way.
    pub error: Duration,
}

/// A process that a host keeps running. It is killed when the handle is dropped.
#[async_trait(?Send)]
pub trait Resident {
    /// Which process it is.
    fn process(&self) -> &ProcessIdentity;

    /// Writes to its standard input.
    async fn send(&mut self, text: &str) -> Result<(), HostError>;

    /// The next line of what it writes, on standard output or standard error; `None` when it has
    /// written its last. Safe to be dropped while it waits.
    async fn line(&mut self) -> Result<Option<String>, HostError>;

    /// Closes its standard input, sends it a signal if one is named, and waits until it has ended. One
    /// that has not at the limit is killed.
    async fn end(self: Box<Self>, signal: Option<Signal>, limit: Duration)
    -> Result<(), HostError>;
}
