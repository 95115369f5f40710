//! The ports of a trial's cluster: what faults act through. Servers, network and machines are there for
//! every cluster ([`crate::cluster::port`], [`crate::mechanism`]); the others are here, a file each.
//!
//! A port is handed out where the cluster has any of its capabilities, so one that is absent has none; but for
//! the metadata, which are there to be read at least.

mod clients;
mod metadata;

use faults::port::{Ports, Subject};

use super::lab::Lab;

impl Lab {
    /// What faults act through.
    pub(super) fn ports(&self) -> Ports<'_> {
        let capabilities = self.cluster.capabilities();
        let has = |subject: Subject| capabilities.iter().any(|one| one.subject() == subject);
        Ports {
            servers: has(Subject::Servers).then_some(&self.servers as _),
            network: self.cluster.network(),
            machine: self.cluster.machine(),
            // They can be read of every cluster; what may be moved there is asked in each call.
            metadata: Some(self as _),
            clients: has(Subject::Clients).then_some(self as _),
            outlives_kbench: self.cluster.outlives_kbench(),
        }
    }
}
