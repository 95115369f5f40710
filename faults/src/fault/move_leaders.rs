//! A broker hands over every partition of the load that it leads; it runs on and keeps its replicas.

use async_trait::async_trait;
use results::record::event::{Detection, Effect, Risk, Takes};

use super::reassign::replicas_now;
use super::{Context, Fault};
use crate::evidence::Evidence;
use crate::port::{Capability, ErrorKind, PartitionView, PortError};
use crate::undo::Undo;

/// The fault.
#[derive(Debug)]
pub(super) struct MoveLeaders;

#[async_trait(?Send)]
impl Fault for MoveLeaders {
    fn name(&self) -> &'static str {
        "move-leaders"
    }

    fn summary(&self) -> &'static str {
        "A broker hands over the partitions of the load that it leads; undone, it leads them again."
    }

    fn needs(&self) -> &'static [Capability] {
        &[Capability::MoveLeaders]
    }

    fn effect(&self) -> Effect {
        Effect { takes: Takes::Leadership, detection: Detection::Nothing, risk: Risk::None }
    }

    async fn undo(&self, on: Context<'_>) -> Result<Vec<Undo>, PortError> {
        let assignment = on.ports.metadata()?.assignment();
        Ok(vec![Undo::RestoreAssignment { assignment }])
    }

    async fn inject(&self, on: Context<'_>) -> Result<(), PortError> {
        for victim in on.victims {
            if victim.led().next().is_none() {
                let why = format!("{victim} leads no partition of the load");
                return Err(PortError::new(ErrorKind::Gone, why));
            }
            let moved = on.ports.metadata()?.move_leaders_away(victim.process.id).await;
            moved.map_err(|error| error.context(victim.to_string()))?;
        }
        Ok(())
    }

    async fn evidence(&self, on: Context<'_>) -> Result<Evidence, PortError> {
        let mut parts = vec![];
        for victim in on.victims {
            for partition in victim.led() {
                let handed_over = |now: &PartitionView| {
                    now.leader.is_some_and(|leader| leader != victim.process.id)
                };
                parts.push(replicas_now(victim, partition, on.ports, handed_over).await);
            }
        }
        Ok(Evidence::all(parts))
    }
}
