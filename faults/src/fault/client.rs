//! Clients of the load: a consumer leaves, joins, stops polling or is killed, or a producer is killed.
//!
//! Nothing is done to the cluster, so these faults have no target; the group's coordinator is asked what
//! became of the group, and the operating system of a killed process. Undone, the load has the clients
//! that it started with.

use std::time::Duration;

use async_trait::async_trait;
use results::record::event::{Detection, Effect, Risk, Takes};

use super::{Context, Fault};
use crate::evidence::Evidence;
use crate::machine::Observation;
use crate::port::{Capability, ClientChange, PortError, Ports};
use crate::undo::Undo;

/// A rebalance waits for every member to rejoin, at the latest until their sessions expire.
const SHOWN_LIMIT: Duration = Duration::from_secs(60);

/// How often it is looked for meanwhile.
const LOOK: Duration = Duration::from_millis(50);

#[async_trait(?Send)]
impl Fault for ClientChange {
    fn name(&self) -> &'static str {
        match self {
            Self::Leave => "consumer-leaves",
            Self::Join => "consumer-joins",
            Self::Stall => "consumer-stalls",
            Self::KillConsumer => "kill-consumer",
            Self::KillProducer => "kill-producer",
        }
    }

    fn summary(&self) -> &'static str {
        match self {
            Self::Leave => {
                "A member of the load's consumer group leaves; undone, another one joins."
            }
            Self::Join => "One more member joins the load's consumer group; undone, it leaves.",
            Self::Stall => {
                "A member of the load's consumer group stops polling but stays connected."
            }
            Self::KillConsumer => {
                "SIGKILL to the process of a consumer; undone, another one joins the group."
            }
            Self::KillProducer => {
                "SIGKILL to the process of a producer; undone, another one sends in its place."
            }
        }
    }

    fn needs(&self) -> &'static [Capability] {
        match self {
            Self::Leave | Self::Join | Self::Stall => &[Capability::Clients],
            Self::KillConsumer => &[Capability::Clients, Capability::Workers],
            Self::KillProducer => &[Capability::Workers],
        }
    }

    fn effect(&self) -> Effect {
        let detection = match self {
            Self::Stall | Self::KillConsumer => Detection::Timeout,
            Self::Leave | Self::Join | Self::KillProducer => Detection::Nothing,
        };
        Effect { takes: Takes::Clients, detection, risk: Risk::None }
    }

    async fn undo(&self, _: Context<'_>) -> Result<Vec<Undo>, PortError> {
        Ok(vec![Undo::RestoreClients])
    }

    async fn inject(&self, on: Context<'_>) -> Result<(), PortError> {
        on.ports.clients()?.change(*self).await
    }

    async fn evidence(&self, on: Context<'_>) -> Result<Evidence, PortError> {
        Ok(seen(Some(*self), on.ports).await)
    }
}

/// Evidence that the clients are as they started.
pub(crate) async fn clients_restored(ports: Ports<'_>) -> Evidence {
    seen(None, ports).await
}

async fn seen(change: Option<ClientChange>, ports: Ports<'_>) -> Evidence {
    Evidence::within(SHOWN_LIMIT, LOOK, async || {
        let Observation { line, in_force } = ports.clients()?.observe(change).await?;
        Ok(Evidence::of(line, in_force))
    })
    .await
}
