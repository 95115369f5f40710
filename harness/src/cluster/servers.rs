//! The server processes of a cluster, as a backend has them. The port of the same subject is made from
//! these and from what ZooKeeper says ([`ClusterServers`](super::port::ClusterServers)).

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use async_trait::async_trait;
use faults::port::{
    ErrorKind, PortError, Process, ProcessIdentity, ProcessState, Signal, Starter, ZkMode,
};
use futures::future::join_all;
use results::record::event::{BrokerId, Role};

use super::answers;
use crate::failure::Failure;
use crate::log::{aside, last};
use crate::membership::{Member, Membership};
use crate::observe::logs;
use crate::wire::Connector;

/// The servers of a cluster, as who only connects to them knows them.
#[async_trait(?Send)]
pub trait ServerAddresses {
    /// Every server process, running or not, ZooKeeper first.
    fn processes(&self) -> Vec<Process>;

    /// Those that the cluster starts with; the others may join it later.
    fn first_members(&self) -> Vec<Process> {
        self.processes()
    }

    /// Where a process takes connections of clients.
    fn address(&self, process: &Process) -> SocketAddr;

    /// Every process with its address.
    fn members(&self) -> Membership {
        let processes = self.first_members().into_iter();
        let member = |process| Member { address: self.address(&process), process };
        Membership::new(processes.map(member).collect()).reached_by(self.connector())
    }

    /// How brokers are connected to.
    fn connector(&self) -> Connector {
        Connector::default()
    }

    /// `host:port` of every broker, separated by commas.
    fn bootstrap(&self) -> String {
        let brokers = self.processes().into_iter().filter(|process| process.role == Role::Broker);
        let addresses: Vec<_> = brokers.map(|broker| self.address(&broker).to_string()).collect();
        addresses.join(",")
    }

    /// Whether a process answers a request on its client port.
    async fn answers(&self, process: &Process) -> bool {
        answers::answers(process.role, self.address(process), &self.connector()).await
    }

    /// The ZooKeeper servers that serve now, with their parts.
    async fn zookeeper_modes(&self) -> BTreeMap<BrokerId, ZkMode> {
        let servers = self.processes().into_iter().filter(|p| p.role == Role::Zookeeper);
        let modes = join_all(servers.map(async |server| {
            Some((server.id, answers::zookeeper_mode(self.address(&server)).await?))
        }));
        modes.await.into_iter().flatten().collect()
    }
}

/// The server processes of a cluster: what is seen of them, and done to them, on their hosts.
#[async_trait(?Send)]
pub trait ServerProcesses: ServerAddresses {
    /// The file on kbench's own side that the log of a process goes to.
    fn log_path(&self, process: &Process) -> PathBuf;

    /// The folder of a process's data, where kbench sees it.
    fn data_path(&self, _: &Process) -> Option<PathBuf> {
        None
    }

    /// How much the times in that log are ahead of kbench's wall clock when they are read as UTC, in milliseconds.
    fn log_ahead_ms(&self, _: &Process) -> i64 {
        // Servers that kbench starts write UTC, by its own clock.
        0
    }

    /// What the operating system says about a process; `None` when it was never started.
    fn state(&self, process: &Process) -> Option<ProcessState>;

    /// Makes sure that what [`state`](Self::state) says is of now.
    ///
    /// # Errors
    /// When the process's host is not reached: nothing is known of it then.
    async fn look(&self, _: &Process) -> Result<(), Failure> {
        // The kernel tells kbench of its children by itself.
        Ok(())
    }

    /// Which process it is that runs; `None` when it does not.
    fn identity(&self, process: &Process) -> Option<ProcessIdentity>;

    /// How a process is started again on its host by somebody else.
    fn starter(&self, process: &Process) -> Starter;

    /// Waits until a process has ended, at most `limit`; its state then.
    async fn ended(&self, process: &Process, limit: Duration) -> Option<ProcessState>;

    /// Sends a signal; returns when it is sent.
    ///
    /// # Errors
    /// When the process does not run.
    async fn signal(&self, process: &Process, signal: Signal) -> Result<(), Failure>;

    /// Starts a process, with the data it had; returns when it accepts connections. Nothing happens when
    /// it runs.
    ///
    /// # Errors
    /// An infrastructure failure when it cannot be started, or ends before it accepts connections.
    async fn start(&self, process: &Process) -> Result<(), Failure>;

    /// Gives the container of a process a restart policy; the one that it has then, `None` where it is gone.
    ///
    /// # Errors
    /// When the process is in no such container, or the engine refuses.
    async fn let_restart(
        &self,
        process: &Process,
        _container: &str,
        _policy: &str,
    ) -> Result<Option<String>, Failure> {
        let what = format!("{process} is in no container that ran before");
        Err(PortError::new(ErrorKind::Unsupported, what).into())
    }

    /// Lets a process be started from another version from its next start on.
    ///
    /// # Errors
    /// When there is no such version.
    async fn set_version(&self, process: &Process, version: &str) -> Result<(), Failure>;

    /// The version that a process wrote down when it last started.
    ///
    /// # Errors
    /// When its log cannot be read, or does not say.
    async fn version(&self, process: &Process) -> Result<String, Failure> {
        let log = self.log_path(process);
        let said = aside(move || last(&log, version_in)).await;
        said.map_err(|error| no_log(process, &error))?.ok_or_else(|| {
            Failure::infrastructure(format!("the log of {process} does not name a version"))
        })
    }

    /// The session time-out that ZooKeeper granted a broker last, in milliseconds, by the broker's log; `None` when
    /// that does not say.
    async fn session_timeout_ms(&self, broker: &Process) -> Option<u64> {
        let log = self.log_path(broker);
        aside(move || Ok(logs::negotiated_timeout_ms(&log))).await.ok().flatten()
    }

    /// Whether a broker said that it cannot register because `session` holds its id: what
    /// `CheckedEphemeral` of Kafka's `KafkaZkClient` says of a node that exists.
    ///
    /// # Errors
    /// When its log cannot be read.
    async fn refused(&self, process: &Process, session: i64) -> Result<bool, Failure> {
        let owned = owned_by(session);
        let log = self.log_path(process);
        let said = aside(move || last(&log, |line| line.contains(&owned).then_some(()))).await;
        Ok(said.map_err(|error| no_log(process, &error))?.is_some())
    }
}

/// What a broker says of an id that another session holds.
pub(super) fn owned_by(session: i64) -> String {
    format!("owner '{session:#x}' does not match current session")
}

fn no_log(process: &Process, error: &std::io::Error) -> Failure {
    Failure::infrastructure(format!("the log of {process} cannot be read: {error}"))
}

/// What a line of a server's log says of its version.
pub(super) fn version_in(line: &str) -> Option<String> {
    let (_, version) = line.split_once("Kafka version: ")?;
    version.split_whitespace().next().map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_of_a_start_names_the_version() {
        let line = "[t] INFO Kafka version: 3.9.1 (o.a.k.AppInfo)";
        assert_eq!(version_in(line).as_deref(), Some("3.9.1"));
        assert_eq!(version_in("[t] INFO up"), None);
    }
}
