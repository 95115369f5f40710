//! The network of a trial's cluster.

use std::collections::BTreeMap;
use std::time::Duration;

use async_trait::async_trait;
use faults::cut::{Cut, Origin, Reach, Service};
use faults::degrade::{Degradation, Degraded};
use faults::port::{Network, PortError, Process};

use crate::trial::lab::Lab;

#[async_trait(?Send)]
impl Network for Lab {
    async fn cut(&self, cut: &Cut) -> Result<(), PortError> {
        Ok(self.cluster.cut(cut).await?)
    }

    async fn uncut(&self, cut: &Cut) -> Result<(), PortError> {
        Ok(self.cluster.uncut(cut).await?)
    }

    fn cuts(&self) -> Vec<Cut> {
        self.cluster.cuts()
    }

    async fn taken(&self, cut: &Cut) -> Result<BTreeMap<String, u64>, PortError> {
        Ok(self.cluster.taken(cut).await?)
    }

    async fn set_links(&self, nodes: &[String], up: bool) -> Result<(), PortError> {
        Ok(self.cluster.set_links(nodes, up).await?)
    }

    async fn link_is_up(&self, node: &str) -> Result<bool, PortError> {
        Ok(self.cluster.link_is_up(node).await?)
    }

    async fn degrade(&self, degradation: &Degradation) -> Result<(), PortError> {
        Ok(self.cluster.degrade(degradation).await?)
    }

    async fn restore(&self, degradation: &Degradation) -> Result<(), PortError> {
        Ok(self.cluster.restore(degradation).await?)
    }

    async fn degraded(
        &self,
        degradation: &Degradation,
    ) -> Result<BTreeMap<String, Degraded>, PortError> {
        Ok(self.cluster.degraded(degradation).await?)
    }

    async fn round_trip(&self, from: &Origin, to: &Process) -> Result<Option<Duration>, PortError> {
        Ok(self.cluster.round_trip(from, to).await)
    }

    async fn reaches(
        &self,
        from: &Origin,
        to: &Process,
        service: Service,
    ) -> Result<Reach, PortError> {
        Ok(self.cluster.reaches(from, to, service).await)
    }
}
