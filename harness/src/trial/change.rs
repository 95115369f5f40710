//! Changes of who belongs to a cluster while its load runs: a broker that joins, partitions that are
//! added. Everybody who asks the membership knows of them from then on.
//!
//! What is absent: steps of a plan that ask for it, and brokers that leave.

use std::cell::RefCell;

use faults::port::{Process, Servers as _};
use results::record::event::BrokerId;
use workloads::Load;

use super::lab::Lab;
use crate::failure::Failure;
use crate::membership::Member;

impl Lab {
    /// Lets a process on standby join the cluster; returns when it serves, a broker when it is
    /// registered.
    ///
    /// # Errors
    /// When it cannot be started, or ends before it serves; it does not belong to the cluster then.
    pub async fn join(&self, process: &Process) -> Result<(), Failure> {
        let address = self.cluster.servers().address(process);
        self.members.join(Member { process: process.clone(), address });
        let started = self.servers.start(process).await;
        if started.is_err() {
            self.members.leave(process);
        }
        Ok(started?)
    }

    /// Adds partitions with these replicas, the preferred leader first, to a topic of the load;
    /// returns when every broker names their leaders, and the load has been told.
    ///
    /// # Errors
    /// When the controller refuses, a broker does not learn of it in time, or a producer has no key
    /// for one of them.
    pub async fn add_partitions(
        &self,
        load: &RefCell<Load>,
        topic: &str,
        replicas: &[Vec<BrokerId>],
    ) -> Result<(), Failure> {
        let before = self.members.partitions(topic);
        self.admin.create_partitions(topic, before, replicas).await?;
        self.members.add_partitions(topic, replicas);
        let grown = load.borrow_mut().grow(topic, self.members.partitions(topic));
        grown.map_err(super::client_failure)
    }
}
