//! The load's consumer group: a member leaves, one more joins, or one stops polling.
//!
//! Nothing is done to the cluster, so these faults have no target; the group's coordinator is asked what
//! became of it. Undone, the group has as many members as it started with, and all of them poll.

use std::time::Duration;

use async_trait::async_trait;
use tokio::time::{Instant, sleep};

use super::{Evidence, Fault, Victim};
use crate::port::{Capability, Cluster, GroupChange, PortError};
use crate::strain::Strained;
use crate::undo::Undo;

/// A rebalance waits for every member to rejoin, at the latest until their sessions expire.
const SHOWN_LIMIT: Duration = Duration::from_secs(60);

/// How often it is looked for meanwhile.
const LOOK: Duration = Duration::from_millis(50);

#[async_trait(?Send)]
impl Fault for GroupChange {
    fn name(&self) -> &'static str {
        match self {
            Self::Leave => "consumer-leaves",
            Self::Join => "consumer-joins",
            Self::Stall => "consumer-stalls",
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
        }
    }

    fn needs(&self) -> &'static [Capability] {
        &[Capability::Group]
    }

    fn of_clients(&self) -> bool {
        true
    }

    fn unregisters(&self) -> bool {
        false
    }

    fn takes_away(&self) -> bool {
        false
    }

    fn undo(&self, _: &[Victim]) -> Vec<Undo> {
        vec![Undo::RestoreGroup]
    }

    async fn inject(&self, _: &[Victim], cluster: &dyn Cluster) -> Result<(), PortError> {
        cluster.change_group(*self).await
    }

    async fn evidence(&self, _: &[Victim], cluster: &dyn Cluster) -> Evidence {
        seen(Some(*self), cluster).await
    }
}

/// Evidence that the group is as it started.
pub(crate) async fn group_restored(cluster: &dyn Cluster) -> Evidence {
    seen(None, cluster).await
}

async fn seen(change: Option<GroupChange>, cluster: &dyn Cluster) -> Evidence {
    let began = Instant::now();
    loop {
        let (line, shown) = match cluster.group_is(change).await {
            Ok(Strained { line, in_force }) => (line, in_force),
            Err(error) => (error.to_string(), false),
        };
        if shown || began.elapsed() >= SHOWN_LIMIT {
            return Evidence::of(line, shown);
        }
        sleep(LOOK).await;
    }
}
