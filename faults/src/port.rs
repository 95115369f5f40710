//! The ports that faults act through, one trait a subject. A cluster (local, containers, ssh)
//! implements those that it can, and hands them out as [`Ports`].
//!
//! An absent port means that all of its capabilities are absent; [`Capability`] tells what a port
//! that is there may still lack, such as netem. A plan that needs more than there is, is refused
//! before anything starts.
//!
//! Every call has a limit of its own and returns an error when that passes. An error is never
//! evidence: what could not be asked is not known ([`ErrorKind::Unreachable`]).

mod capability;
mod clients;
mod error;
mod machine;
mod metadata;
mod network;
mod run_control;
mod servers;

use std::collections::BTreeSet;

pub use results::record::event::Process;

pub use capability::{Capability, Subject};
pub use clients::{ClientChange, Clients};
pub use error::{ErrorKind, PortError};
pub use machine::{Lost, Machine, OfLogs};
pub use metadata::{Assignment, Metadata, PartitionView, TopicPartition, View, ZkMode};
pub use network::{FarEnd, LinkEnds, Network};
pub use run_control::RunControl;
pub use servers::{ProcessIdentity, ProcessState, Servers, Signal, Starter, Within};

/// What a cluster lets faults act through; `None` for what it lacks.
#[derive(Clone, Copy, Default)]
pub struct Ports<'a> {
    /// Its server processes.
    pub servers: Option<&'a dyn Servers>,
    /// The network between its nodes.
    pub network: Option<&'a dyn Network>,
    /// The machines of its nodes.
    pub machine: Option<&'a dyn Machine>,
    /// Its metadata.
    pub metadata: Option<&'a dyn Metadata>,
    /// The clients of the load on it.
    pub clients: Option<&'a dyn Clients>,
    /// Whether the cluster goes on when kbench ends: a fault is refused then whose undo nobody else
    /// could carry out.
    pub outlives_kbench: bool,
}

impl<'a> Ports<'a> {
    /// The server processes; an error, as with the others, when the cluster has no such port.
    pub fn servers(&self) -> Result<&'a dyn Servers, PortError> {
        self.servers.ok_or_else(|| lacks(Subject::Servers))
    }

    /// The network.
    pub fn network(&self) -> Result<&'a dyn Network, PortError> {
        self.network.ok_or_else(|| lacks(Subject::Network))
    }

    /// The machines.
    pub fn machine(&self) -> Result<&'a dyn Machine, PortError> {
        self.machine.ok_or_else(|| lacks(Subject::Machine))
    }

    /// The metadata.
    pub fn metadata(&self) -> Result<&'a dyn Metadata, PortError> {
        self.metadata.ok_or_else(|| lacks(Subject::Metadata))
    }

    /// The clients of the load.
    pub fn clients(&self) -> Result<&'a dyn Clients, PortError> {
        self.clients.ok_or_else(|| lacks(Subject::Clients))
    }

    /// Whether there is a port of this subject.
    pub fn has(&self, subject: Subject) -> bool {
        match subject {
            Subject::Servers => self.servers.is_some(),
            Subject::Network => self.network.is_some(),
            Subject::Machine => self.machine.is_some(),
            Subject::Metadata => self.metadata.is_some(),
            Subject::Clients => self.clients.is_some(),
        }
    }

    /// Refuses what needs a port that is absent.
    pub fn provide(&self, needs: &BTreeSet<Capability>) -> Result<(), PortError> {
        let absent = |need: &&Capability| !self.has(need.subject());
        PortError::all(
            needs
                .iter()
                .filter(absent)
                .map(|need| Err(lacks(need.subject()).context(format!("{need} cannot be done")))),
        )
    }
}

fn lacks(subject: Subject) -> PortError {
    let why = format!("this cluster lets nobody act on its {subject}");
    PortError::new(ErrorKind::Unsupported, why)
}
