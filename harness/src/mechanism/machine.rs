//! Faults of a process's machine, once for every backend.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::rc::Rc;

use async_trait::async_trait;
use faults::fault::Fault as _;
use faults::machine::{Before, Impairment, Observation};
use faults::port::{Capability, Lost, Machine, PortError, Process, Subject};
use results::record::event::Role;

use super::clock::Faketime;
use super::flushes::Flushed;
use super::group::ControlGroups;
use super::{Residents, unflushed};
use crate::cluster::host::{ErrorKind, Host, HostError, ProcessIdentity};

/// A mechanism that impairs processes in one way.
#[async_trait(?Send)]
pub(super) trait ProcessMechanism {
    /// What it would change of a process, as it is now.
    async fn before(&self, _: &HostedProcess) -> Result<Before, HostError> {
        Ok(Before::Unchanged)
    }

    /// Impairs a process, which runs; returns when that is done, without looking.
    async fn impair(&self, on: &HostedProcess) -> Result<(), HostError>;

    /// Gives a process back what was `before`, whoever took it: it may have been a kbench that is gone.
    /// Nothing happens where nobody did, or the process has ended.
    async fn repair(&self, on: &HostedProcess, before: &Before) -> Result<(), HostError>;

    /// What shows whether a process is impaired. `Gone` when it has ended, and nothing is left.
    async fn observe(&self, on: &HostedProcess) -> Result<Observation, HostError>;
}

/// A server process as mechanisms see it. A backend says so.
pub struct HostedProcess {
    /// Which of the cluster's it is.
    pub server: Process,
    /// The host that it runs on.
    pub host: Rc<dyn Host>,
    /// Which process it is; `None` when it has ended.
    pub process: Option<ProcessIdentity>,
    /// Where its data is on the host.
    pub data: PathBuf,
    /// The size in bytes of the disk that its data is alone on; `None` where it shares one.
    pub disk: Option<u64>,
    /// What it, and whoever ran in its place before, has flushed; `None` where nobody watched.
    pub(crate) flushed: Option<Flushed>,
    /// Where files of ours may go on the host.
    pub scratch: PathBuf,
    /// What its clock is read from; `None` where it is the machine's.
    pub(crate) clock: Option<(Faketime, PathBuf)>,
    /// The control groups that it is alone in.
    pub groups: ControlGroups,
}

/// Where the server processes of a cluster are. A backend says so.
pub trait HostedProcesses {
    /// A process as mechanisms see it now.
    ///
    /// # Errors
    /// When the cluster has no such process, or its host cannot be asked.
    fn subject(&self, process: &Process) -> Result<HostedProcess, HostError>;
}

/// The machines of a cluster, as faults act on them.
pub struct ClusterMachine {
    subjects: Rc<dyn HostedProcesses>,
    claimed: BTreeSet<Capability>,
    residents: Residents,
}

impl ClusterMachine {
    /// The machines of these processes. What the cluster does not claim is refused.
    pub fn new(subjects: Rc<dyn HostedProcesses>, claimed: BTreeSet<Capability>) -> Self {
        Self { subjects, claimed, residents: Residents::default() }
    }

    /// A process that may be acted on, for which the cluster must have these capabilities.
    fn subject(&self, process: &Process, needs: &[Capability]) -> Result<HostedProcess, HostError> {
        let on = self.subjects.subject(process)?;
        let of_machines = |need: &&Capability| need.subject() == Subject::Machine;
        match needs.iter().filter(of_machines).find(|need| !self.claimed.contains(need)) {
            None => Ok(on),
            Some(lacking) => {
                let what = format!("be acted on by {lacking}");
                let why = "the cluster does not claim it";
                Err(HostError::new(ErrorKind::Unsupported, on.host.name(), what, why))
            }
        }
    }
}

#[async_trait(?Send)]
impl Machine for ClusterMachine {
    async fn before(
        &self,
        process: &Process,
        impairment: &Impairment,
    ) -> Result<Before, PortError> {
        let failed = |error| failed("look at", process, impairment, error);
        let on = self.subject(process, impairment.needs()).map_err(failed)?;
        self.residents.mechanism(impairment, &on).before(&on).await.map_err(failed)
    }

    async fn impair(&self, process: &Process, impairment: &Impairment) -> Result<(), PortError> {
        let failed = |error| failed("impair", process, impairment, error);
        let on = self.subject(process, impairment.needs()).map_err(failed)?;
        on.running().map_err(failed)?;
        self.residents.mechanism(impairment, &on).impair(&on).await.map_err(failed)
    }

    async fn repair(
        &self,
        process: &Process,
        impairment: &Impairment,
        before: &Before,
    ) -> Result<(), PortError> {
        let failed = |error| failed("repair", process, impairment, error);
        let on = self.subjects.subject(process).map_err(failed)?;
        self.residents.mechanism(impairment, &on).repair(&on, before).await.map_err(failed)
    }

    async fn impaired(
        &self,
        process: &Process,
        impairment: &Impairment,
    ) -> Result<Observation, PortError> {
        let failed = |error| failed("look at", process, impairment, error);
        let on = self.subjects.subject(process).map_err(failed)?;
        match self.residents.mechanism(impairment, &on).observe(&on).await {
            // It may have ended just now.
            Err(error) if error.kind() == ErrorKind::Gone => {
                Ok(Observation { line: "it has ended".to_owned(), in_force: false })
            }
            seen => seen.map_err(failed),
        }
    }

    async fn lose_unflushed(&self, process: &Process) -> Result<Lost, PortError> {
        let subject = self.subject(process, &[Capability::Disk, Capability::Flushes])?;
        let what = || format!("{process} cannot lose what it did not flush");
        let (kind, why) = match (process.role, &subject.process, &subject.flushed) {
            (Role::Broker, None, Some(flushed)) => {
                let lost = unflushed::lose(&*subject.host, &subject.data, flushed).await;
                return lost.map_err(|error| PortError::from(error).context(what()));
            }
            (Role::Broker, None, None) => {
                (ErrorKind::Unsupported, "nobody watched from its start on what it flushed")
            }
            (Role::Broker, Some(_), _) => (ErrorKind::Refused, "it has not ended"),
            _ => (ErrorKind::Refused, "only brokers have logs"),
        };
        Err(PortError::new(kind, format!("{}: {why}", what())))
    }
}

fn failed(verb: &str, process: &Process, impairment: &Impairment, error: HostError) -> PortError {
    PortError::from(error).context(format!("cannot {verb} {process} ({impairment})"))
}

impl HostedProcess {
    /// Which process it is.
    ///
    /// # Errors
    /// `Gone` when it has ended.
    pub(super) fn running(&self) -> Result<ProcessIdentity, HostError> {
        let gone = || {
            let host = self.host.name();
            HostError::new(ErrorKind::Gone, host, "act on a process", "it does not run")
        };
        self.process.clone().ok_or_else(gone)
    }

    /// What was before belongs to another impairment.
    pub(super) fn mistaken(&self) -> HostError {
        let why = "what was kept is of another impairment (a defect)";
        HostError::other(self.host.name(), "give back what was before", why)
    }
}

#[cfg(test)]
mod tests;
