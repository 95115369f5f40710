//! Changes of who belongs to a cluster while its load runs: a broker that joins, partitions that are
//! added. Everybody who asks the membership knows of them from then on.
//!
//! What is absent: brokers that leave.

use std::cell::RefCell;

use faults::plan::Change;
use faults::port::{ErrorKind, PortError, Process, Servers as _};
use results::record::event::{BrokerId, Role};
use workloads::Load;

use super::lab::Lab;
use super::spread::spread;
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
        let grown = load.borrow_mut().grow(self.members.partitions(topic));
        grown.map_err(super::client_failure)
    }

    /// Makes a change of a plan; returns when it is complete.
    pub(super) async fn make(&self, change: &Change) -> Result<(), PortError> {
        match change {
            Change::Join(brokers) => self.join_all(brokers).await,
            Change::AddPartitions(count) => self.grow_to(*count).await,
            Change::Reassign => self.spread_over_all().await,
            Change::ElectLeaders => self.admin.lead(&self.members.assignment()).await,
        }
    }

    /// Lets these brokers join, which are on standby, one after the other.
    async fn join_all(&self, brokers: &[BrokerId]) -> Result<(), PortError> {
        let all = self.cluster.servers().processes();
        for id in brokers {
            let is_it = |process: &&Process| process.role == Role::Broker && process.id == *id;
            let process = all.iter().find(is_it).ok_or_else(|| {
                let what = format!("the cluster has no broker {id}; give it a node on standby");
                PortError::new(ErrorKind::Refused, what)
            })?;
            if self.members.brokers().contains_key(id) {
                let what = format!("broker {id} belongs to the cluster already");
                return Err(PortError::new(ErrorKind::Refused, what));
            }
            self.join(process).await?;
        }
        Ok(())
    }

    /// Gives the main topic so many partitions, placed by Kafka, and tells the load.
    async fn grow_to(&self, count: u32) -> Result<(), PortError> {
        let topic = self.members.topics().into_iter().next().unwrap_or_default();
        let before = self.members.partitions(&topic);
        if count <= before {
            let what = format!("{topic} has {before} partitions; it cannot get {count}");
            return Err(PortError::new(ErrorKind::Refused, what));
        }
        let load = self.load()?;
        let placed = self.admin.grow_topic(&topic, before, count).await?;
        self.members.add_partitions(&topic, &placed);
        let grown = load.borrow_mut().grow(count);
        grown.map_err(|error| super::client_failure(error).into())
    }

    /// Reassigns the partitions of the run's topics over all brokers.
    async fn spread_over_all(&self) -> Result<(), PortError> {
        let brokers: Vec<_> = self.members.brokers().into_keys().collect();
        let wanted = spread(&self.members.assignment(), &brokers);
        // Expected from now on, whether it is complete in time or not: the controller goes on with it.
        self.members.reassign(wanted.clone());
        self.admin.place(&wanted).await
    }
}
