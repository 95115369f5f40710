//! The machines of a trial's cluster.

use async_trait::async_trait;
use faults::machine::{Impairment, Observation};
use faults::port::{Lost, Machine, PortError, Process};

use crate::trial::lab::Lab;

#[async_trait(?Send)]
impl Machine for Lab {
    async fn impair(&self, process: &Process, impairment: &Impairment) -> Result<(), PortError> {
        Ok(self.cluster.impair(process, impairment).await?)
    }

    async fn repair(&self, process: &Process, impairment: &Impairment) -> Result<(), PortError> {
        Ok(self.cluster.repair(process, impairment).await?)
    }

    async fn impaired(
        &self,
        process: &Process,
        impairment: &Impairment,
    ) -> Result<Observation, PortError> {
        Ok(self.cluster.impaired(process, impairment).await?)
    }

    async fn lose_unflushed(&self, process: &Process) -> Result<Lost, PortError> {
        Ok(self.cluster.lose_unflushed(process)?)
    }
}
