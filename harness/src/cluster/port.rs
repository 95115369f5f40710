//! The port `Servers`, once for every backend: its server processes, those of them that belong to the
//! cluster now, and whoever sees which brokers are registered.

use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use faults::port::{
    ErrorKind, PortError, Process, ProcessIdentity, ProcessState, Servers, Signal, Starter,
};
use faults::until;
use results::record::event::Role;

use super::RunningCluster;
use super::servers::ServerProcesses;
use crate::membership::Membership;
use crate::observe::Observer;

/// Limit for a restarted broker to register: it loads its logs first, after a kill it scans the
/// newest segments.
const REGISTER_LIMIT: Duration = Duration::from_secs(60);

/// How often the registration is looked for.
const LOOK: Duration = Duration::from_millis(20);

/// The server processes of a cluster, as faults act on them.
pub struct ClusterServers {
    cluster: Rc<dyn RunningCluster>,
    members: Arc<Membership>,
    observer: Rc<dyn Observer>,
}

impl ClusterServers {
    /// The servers of a cluster of these members, which somebody follows.
    pub fn new(
        cluster: Rc<dyn RunningCluster>,
        members: Arc<Membership>,
        observer: Rc<dyn Observer>,
    ) -> Self {
        Self { cluster, members, observer }
    }

    /// The servers' processes, where there is a way to them.
    fn all(&self) -> Result<&dyn ServerProcesses, PortError> {
        let none = "the cluster is only connected to: nobody has a way to its servers' hosts";
        self.cluster.processes().ok_or_else(|| PortError::new(ErrorKind::Unsupported, none))
    }

    /// The servers, for something that is to be done to one of them: it must be there.
    fn servers_with(&self, process: &Process) -> Result<&dyn ServerProcesses, PortError> {
        if self.members.processes().contains(process) {
            return self.all();
        }
        Err(gone(format!("the cluster has no {process}")))
    }
}

#[async_trait(?Send)]
impl Servers for ClusterServers {
    fn processes(&self) -> Vec<Process> {
        self.members.processes()
    }

    async fn state(&self, process: &Process) -> Result<ProcessState, PortError> {
        self.all()?.look(process).await?;
        self.all()?.state(process).ok_or_else(|| never_started(process))
    }

    async fn identity(&self, process: &Process) -> Result<ProcessIdentity, PortError> {
        self.all()?.look(process).await?;
        let identity = self.all()?.identity(process);
        identity.ok_or_else(|| gone(format!("{process} does not run")))
    }

    fn starter(&self, process: &Process) -> Result<Starter, PortError> {
        Ok(self.all()?.starter(process))
    }

    async fn ended(&self, process: &Process, limit: Duration) -> Result<ProcessState, PortError> {
        let ended = self.all()?.ended(process, limit).await;
        // One whose host is not reached has not gone on for that.
        self.all()?.look(process).await?;
        ended.ok_or_else(|| never_started(process))
    }

    async fn answers(&self, process: &Process) -> Result<bool, PortError> {
        Ok(self.servers_with(process)?.answers(process).await)
    }

    async fn signal(&self, process: &Process, signal: Signal) -> Result<(), PortError> {
        Ok(self.servers_with(process)?.signal(process, signal).await?)
    }

    async fn start(&self, process: &Process) -> Result<(), PortError> {
        self.servers_with(process)?.start(process).await?;
        if process.role == Role::Zookeeper {
            return Ok(());
        }
        let registered = until(REGISTER_LIMIT, LOOK, async || {
            self.all()?.look(process).await?;
            if let Some(ProcessState::Gone { end, .. }) = self.all()?.state(process) {
                return Ok(Err(gone(format!("{process} ended before it registered ({end})"))));
            }
            if self.observer.sees_now()?.brokers.contains(&process.id) {
                return Ok(Ok(()));
            }
            let limit = REGISTER_LIMIT.as_secs();
            let late = format!("{process} did not register within {limit} s");
            Err(PortError::new(ErrorKind::TimedOut, late))
        });
        registered.await?
    }

    async fn let_restart(
        &self,
        process: &Process,
        container: &str,
        policy: &str,
    ) -> Result<Option<String>, PortError> {
        Ok(self.servers_with(process)?.let_restart(process, container, policy).await?)
    }

    async fn set_version(&self, process: &Process, version: &str) -> Result<(), PortError> {
        Ok(self.servers_with(process)?.set_version(process, version).await?)
    }

    async fn version(&self, process: &Process) -> Result<String, PortError> {
        Ok(self.servers_with(process)?.version(process).await?)
    }

    async fn refused(&self, process: &Process, session: i64) -> Result<bool, PortError> {
        Ok(self.servers_with(process)?.refused(process, session).await?)
    }
}

fn never_started(process: &Process) -> PortError {
    gone(format!("{process} was never started"))
}

/// Something that is not there, or not any more.
pub fn gone(what: impl Into<String>) -> PortError {
    PortError::new(ErrorKind::Gone, what)
}
