//! The replicas that a broker has of the load's partitions are reassigned while they are loaded.
//!
//! They go to a broker that has none of the partition; where each broker has one already, the
//! partition does with one replica less. Undone, the broker copies what it missed under load.

use async_trait::async_trait;
use results::record::event::{Detection, Effect, Risk, Takes};

use super::{Evidence, Fault, Victim, replicas_now};
use crate::port::{Capability, Cluster, PartitionView, PortError};
use crate::undo::Undo;

/// The fault.
#[derive(Debug)]
pub(super) struct Reassign;

#[async_trait(?Send)]
impl Fault for Reassign {
    fn name(&self) -> &'static str {
        "reassign"
    }

    fn summary(&self) -> &'static str {
        "The load's replicas on a broker are reassigned; undone, they are copied back under load."
    }

    fn needs(&self) -> &'static [Capability] {
        &[Capability::MoveLeaders]
    }

    fn effect(&self) -> Effect {
        Effect { takes: Takes::Replicas, detection: Detection::Nothing, risk: Risk::None }
    }

    fn undo(&self, _: &[Victim]) -> Vec<Undo> {
        vec![Undo::RestoreAssignment]
    }

    async fn inject(&self, victims: &[Victim], cluster: &dyn Cluster) -> Result<(), PortError> {
        move_away(victims, cluster).await
    }

    async fn evidence(&self, victims: &[Victim], cluster: &dyn Cluster) -> Evidence {
        moved_away(victims, cluster).await
    }
}

/// Reassigns every replica of the load that the victims have.
pub(super) async fn move_away(victims: &[Victim], cluster: &dyn Cluster) -> Result<(), PortError> {
    for victim in victims {
        if victim.holds.is_empty() {
            return Err(PortError(format!("{victim} has no replica of the load")));
        }
        let moved = cluster.move_replicas_away(victim.process.id).await;
        moved.map_err(|error| PortError(format!("{victim}: {error}")))?;
    }
    Ok(())
}

/// Evidence that the victims have no replica of the load any more, and that all others are in sync.
pub(super) async fn moved_away(victims: &[Victim], cluster: &dyn Cluster) -> Evidence {
    let mut parts = vec![];
    for victim in victims {
        let id = victim.process.id;
        let without = |now: &PartitionView| {
            !now.replicas.contains(&id)
                && !now.isr.contains(&id)
                && now.isr.len() == now.replicas.len()
        };
        for partition in victim.holds.keys() {
            parts.push(replicas_now(victim, partition, cluster, without).await);
        }
    }
    Evidence::all(parts)
}
