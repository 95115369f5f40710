//! SIGTERM: a broker hands its leadership over, closes its ZooKeeper session and ends. A ZooKeeper
//! server just ends.

use async_trait::async_trait;
use results::record::event::{Detection, Effect, Risk, Takes};

use super::process::{gone, signal_all, start_again};
use super::{Context, Fault};
use crate::evidence::Evidence;
use crate::port::{Capability, PortError, Signal};
use crate::undo::Undo;

/// The fault.
#[derive(Debug)]
pub(super) struct Terminate;

#[async_trait(?Send)]
impl Fault for Terminate {
    fn name(&self) -> &'static str {
        "terminate"
    }

    fn summary(&self) -> &'static str {
        "SIGTERM: a broker hands its leadership over, closes its ZooKeeper session and ends."
    }

    fn needs(&self) -> &'static [Capability] {
        &[Capability::Signal, Capability::Start]
    }

    fn effect(&self) -> Effect {
        Effect {
            takes: Takes::Processes,
            detection: Detection::ControlledShutdown,
            risk: Risk::Process,
        }
    }

    async fn undo(&self, on: Context<'_>) -> Result<Vec<Undo>, PortError> {
        start_again(on, Signal::Term)
    }

    async fn inject(&self, on: Context<'_>) -> Result<(), PortError> {
        signal_all(on, Signal::Term).await
    }

    async fn evidence(&self, on: Context<'_>) -> Result<Evidence, PortError> {
        Ok(gone(on, Signal::Term).await)
    }
}
