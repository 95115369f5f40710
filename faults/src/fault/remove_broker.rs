//! A broker leaves the cluster as an operator takes one out: its replicas of the load are reassigned,
//! then it shuts down. Undone, it joins again and gets its replicas back.

use async_trait::async_trait;
use results::record::event::{Detection, Effect, Risk, Takes};

use super::process::{gone, signal_all, start_again};
use super::reassign::{move_away, moved_away};
use super::{Context, Fault};
use crate::evidence::Evidence;
use crate::port::{Capability, PortError, Signal};
use crate::undo::Undo;

/// The fault.
#[derive(Debug)]
pub(super) struct RemoveBroker;

#[async_trait(?Send)]
impl Fault for RemoveBroker {
    fn name(&self) -> &'static str {
        "remove-broker"
    }

    fn summary(&self) -> &'static str {
        "A broker is drained of the load's replicas and leaves by SIGTERM; undone, it joins again."
    }

    fn needs(&self) -> &'static [Capability] {
        &[Capability::MoveLeaders, Capability::Signal, Capability::Start]
    }

    fn effect(&self) -> Effect {
        Effect {
            takes: Takes::Processes,
            detection: Detection::ControlledShutdown,
            risk: Risk::Process,
        }
    }

    async fn undo(&self, on: Context<'_>) -> Result<Vec<Undo>, PortError> {
        let mut undos = start_again(on, Signal::Term)?;
        let assignment = on.ports.metadata()?.assignment();
        undos.push(Undo::RestoreAssignment { assignment });
        Ok(undos)
    }

    async fn inject(&self, on: Context<'_>) -> Result<(), PortError> {
        move_away(on).await?;
        signal_all(on, Signal::Term).await
    }

    async fn evidence(&self, on: Context<'_>) -> Result<Evidence, PortError> {
        let gone = gone(on, Signal::Term).await;
        Ok(Evidence::all([moved_away(on).await, gone]))
    }
}
