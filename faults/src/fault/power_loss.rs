//! The machine of a broker loses its power: SIGKILL, and what the broker had not flushed is gone.
//!
//! Kafka leaves flushing to the kernel, and says for each log up to where it is certain (the recovery
//! point). The worst case is taken: nothing behind that was on the disk. Undone, the broker runs and has
//! copied from the other replicas what it lost.

use async_trait::async_trait;
use results::record::event::{Detection, Effect, Risk, Takes};

use super::{Evidence, Fault, Victim, gone, signal_all, start_again};
use crate::port::{Capability, Cluster, PortError, Signal};
use crate::undo::Undo;

/// The fault.
#[derive(Debug)]
pub(super) struct PowerLoss;

#[async_trait(?Send)]
impl Fault for PowerLoss {
    fn name(&self) -> &'static str {
        "power-loss"
    }

    fn summary(&self) -> &'static str {
        "SIGKILL of a broker, and what it had not flushed to its disk is gone."
    }

    fn needs(&self) -> &'static [Capability] {
        &[Capability::Signal, Capability::Start, Capability::Disk]
    }

    fn effect(&self) -> Effect {
        Effect { takes: Takes::Processes, detection: Detection::SessionExpiry, risk: Risk::Data }
    }

    fn undo(&self, victims: &[Victim]) -> Vec<Undo> {
        start_again(victims, Signal::Kill)
    }

    async fn inject(&self, victims: &[Victim], cluster: &dyn Cluster) -> Result<(), PortError> {
        signal_all(victims, Signal::Kill, cluster).await
    }

    async fn evidence(&self, victims: &[Victim], cluster: &dyn Cluster) -> Evidence {
        let gone = gone(victims, Signal::Kill, cluster).await;
        if !gone.proven {
            return gone;
        }
        // A broker that still wrote would undo the loss: what it did not flush is taken once it is gone.
        let mut parts = vec![gone];
        for victim in victims {
            parts.push(match cluster.lose_unflushed(&victim.process).await {
                Ok(lost) => Evidence::of(format!("{victim}: {lost}"), lost.bytes > 0),
                Err(error) => Evidence::of(format!("{victim} lost nothing: {error}"), false),
            });
        }
        Evidence::all(parts)
    }
}
