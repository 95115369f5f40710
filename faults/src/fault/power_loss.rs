//! The machine of a broker loses its power: SIGKILL, and what the broker had not flushed is gone.
//!
//! Kafka leaves flushing to the kernel, unless its settings say otherwise. What a broker flushes is watched
//! from its start on, and the worst case is taken: nothing is on the disk of what is not known to be flushed.
//! Nothing else is taken: a broker that flushes each record loses none. Undone, the broker runs and has copied
//! from the other replicas what it lost.

use async_trait::async_trait;
use results::record::event::{Detection, Effect, Risk, Takes};

use super::process::{gone, signal_all, start_again};
use super::{Context, Fault};
use crate::evidence::Evidence;
use crate::port::{Capability, Lost, PortError, Signal};
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
        &[Capability::Signal, Capability::Start, Capability::Disk, Capability::Flushes]
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
            // Of a broker that stored nothing there is nothing to show.
            let shown = |lost: Lost| lost.gone.bytes + lost.kept.bytes > 0;
            parts.push(lost.map(|lost| Evidence::of(format!("{victim}: {lost}"), shown(lost))));
        }
        Ok(Evidence::all(parts))
    }
}
