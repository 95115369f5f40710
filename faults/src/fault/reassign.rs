//! The replicas that a broker has of the load's partitions are reassigned while they are loaded.
//!
//! They go to a broker that has none of the partition; where each broker has one already, the
//! partition does with one replica less. Undone, the broker copies what it missed under load.

use std::time::Duration;

use async_trait::async_trait;
use results::record::event::{Detection, Effect, Risk, Takes};

use super::{Context, Fault, Victim};
use crate::evidence::Evidence;
use crate::port::{Capability, ErrorKind, PartitionView, PortError, Ports, TopicPartition};
use crate::undo::{Undo, VIEW_INTERVAL};

/// Limit for the view to show what a broker's metadata show already: the notification's way on a
/// busy machine.
const SEEN_LIMIT: Duration = Duration::from_secs(5);

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

    async fn undo(&self, on: Context<'_>) -> Result<Vec<Undo>, PortError> {
        let assignment = on.ports.metadata()?.assignment();
        Ok(vec![Undo::RestoreAssignment { assignment }])
    }

    async fn inject(&self, on: Context<'_>) -> Result<(), PortError> {
        move_away(on).await
    }

    async fn evidence(&self, on: Context<'_>) -> Result<Evidence, PortError> {
        Ok(moved_away(on).await)
    }
}

/// Reassigns every replica of the load that the victims have.
pub(super) async fn move_away(on: Context<'_>) -> Result<(), PortError> {
    for victim in on.victims {
        if victim.holds.is_empty() {
            let why = format!("{victim} has no replica of the load");
            return Err(PortError::new(ErrorKind::Gone, why));
        }
        let moved = on.ports.metadata()?.move_replicas_away(victim.process.id).await;
        moved.map_err(|error| error.context(victim.to_string()))?;
    }
    Ok(())
}

/// Evidence that the victims have no replica of the load any more, and that all others are in sync.
pub(super) async fn moved_away(on: Context<'_>) -> Evidence {
    let mut parts = vec![];
    for victim in on.victims {
        let id = victim.process.id;
        let without = |now: &PartitionView| {
            !now.replicas.contains(&id)
                && !now.isr.contains(&id)
                && now.isr.len() == now.replicas.len()
        };
        for partition in victim.holds.keys() {
            parts.push(replicas_now(victim, partition, on.ports, without).await);
        }
    }
    Evidence::all(parts)
}

/// Evidence that the replicas of a partition, of which `victim` had one, are now as `wanted`.
pub(super) async fn replicas_now(
    victim: &Victim,
    partition: &TopicPartition,
    ports: Ports<'_>,
    wanted: impl Fn(&PartitionView) -> bool,
) -> Evidence {
    Evidence::within(SEEN_LIMIT, VIEW_INTERVAL, async || {
        let view = ports.metadata()?.view().await?;
        let (topic, number) = partition;
        let now = view.partitions.get(partition).cloned().unwrap_or_default();
        let then = victim.holds.get(partition).cloned().unwrap_or_default();
        let line = format!("{topic}-{number}: {now}, before {then}");
        Ok(Evidence::of(line, wanted(&now)))
    })
    .await
}
