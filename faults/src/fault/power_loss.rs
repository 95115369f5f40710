//! The machine of a broker loses its power: SIGKILL, and what the broker had not flushed is gone.
//!
//! Kafka leaves flushing to the kernel, and says for each log up to where it is certain (the recovery
//! point). The worst case is taken: nothing behind that was on the disk. Undone, the broker runs and has
//! copied from the other replicas what it lost.

use async_trait::async_trait;
use results::record::event::{Detection, Effect, Risk, Takes};

use super::process::{gone, signal_all, start_again};
use super::{Context, Fault};
use crate::evidence::Evidence;
use crate::port::{Capability, PortError, Signal};
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

    async fn undo(&self, on: Context<'_>) -> Result<Vec<Undo>, PortError> {
        start_again(on, Signal::Kill)
    }

    async fn inject(&self, on: Context<'_>) -> Result<(), PortError> {
        signal_all(on, Signal::Kill).await
    }

    async fn evidence(&self, on: Context<'_>) -> Result<Evidence, PortError> {
        let gone = gone(on, Signal::Kill).await;
        if !gone.proven {
            return Ok(gone);
        }
        // A broker that still wrote would undo the loss: what it did not flush is taken once it is gone.
        let mut parts = vec![Ok(gone)];
        for victim in on.victims {
            let lost = on.ports.machine()?.lose_unflushed(&victim.process).await;
            let lost = lost.map_err(|error| error.context(format!("{victim} lost nothing")));
            parts.push(lost.map(|lost| Evidence::of(format!("{victim}: {lost}"), lost.bytes > 0)));
        }
        Ok(Evidence::all(parts))
    }
}
