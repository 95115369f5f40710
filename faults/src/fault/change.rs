//! Changes that an operator makes to a healthy cluster while its load runs: the steps of scaling out.
//!
//! They go through plans, evidence and record as faults do, and strike nobody. Nothing undoes them: the
//! cluster is meant to stay so. Each is done, or has failed, when [`Fault::inject`] returns; it is never
//! given up half way on account of an interrupt. What is absent: brokers that leave.

use std::time::Duration;

use async_trait::async_trait;
use results::record::event::{BrokerId, Effect};
use serde::{Deserialize, Serialize};

use super::{Context, Fault};
use crate::evidence::Evidence;
use crate::port::{Assignment, Capability, PartitionView, PortError, View};
use crate::undo::{Undo, VIEW_INTERVAL};

/// Limit for the view to show what brokers' metadata show already.
const SEEN_LIMIT: Duration = Duration::from_secs(5);

/// What is changed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Change {
    /// Brokers on standby start and join the cluster.
    Join(Vec<BrokerId>),
    /// The load's topic has so many partitions from now on; Kafka itself places the new ones.
    AddPartitions(u32),
    /// All partitions of the load's topics are reassigned over all brokers, as
    /// `kafka-reassign-partitions --generate` spreads them.
    Spread,
    /// The preferred leader of every partition of the load's topics is elected.
    ElectLeaders,
}

impl Change {
    /// Refuses what changes nothing.
    pub(crate) fn check(&self) -> Result<(), String> {
        match self {
            Self::Join(brokers) if brokers.is_empty() => {
                Err("`change.join` names no broker: list the ids of those on standby".to_owned())
            }
            Self::AddPartitions(0) => {
                Err("`change.add-partitions` is 0: it is how many the topic has then".to_owned())
            }
            _ => Ok(()),
        }
    }
}

#[async_trait(?Send)]
impl Fault for Change {
    fn name(&self) -> &'static str {
        match self {
            Self::Join(_) => "join",
            Self::AddPartitions(_) => "add-partitions",
            Self::Spread => "spread",
            Self::ElectLeaders => "elect-leaders",
        }
    }

    fn summary(&self) -> &'static str {
        match self {
            Self::Join(_) => "Brokers on standby start and join the cluster.",
            Self::AddPartitions(_) => "The load's topic gets more partitions, placed by Kafka.",
            Self::Spread => "The load's partitions are reassigned over all brokers.",
            Self::ElectLeaders => "The preferred leaders of the load's partitions are elected.",
        }
    }

    fn needs(&self) -> &'static [Capability] {
        match self {
            Self::Join(_) => &[Capability::Start],
            Self::AddPartitions(_) | Self::Spread | Self::ElectLeaders => {
                &[Capability::MoveLeaders]
            }
        }
    }

    fn effect(&self) -> Effect {
        Effect::NONE
    }

    async fn undo(&self, _: Context<'_>) -> Result<Vec<Undo>, PortError> {
        Ok(vec![])
    }

    async fn inject(&self, on: Context<'_>) -> Result<(), PortError> {
        let metadata = on.ports.metadata()?;
        match self {
            Self::Join(brokers) => metadata.join(brokers).await,
            Self::AddPartitions(count) => metadata.add_partitions(*count).await,
            Self::Spread => metadata.spread().await,
            Self::ElectLeaders => metadata.assign(&metadata.assignment()).await,
        }
    }

    async fn evidence(&self, on: Context<'_>) -> Result<Evidence, PortError> {
        let metadata = on.ports.metadata()?;
        Ok(Evidence::within(SEEN_LIMIT, VIEW_INTERVAL, async || {
            let view = metadata.view().await?;
            let placed = metadata.assignment();
            Ok(match self {
                Self::Join(brokers) => joined(brokers, &view),
                Self::AddPartitions(count) => {
                    let has = view.partitions.keys().filter(|(topic, _)| *topic == view.topic);
                    let enough = has.count() == *count as usize;
                    let all = partitions(&placed, &view, |_, now| now.leader.is_some());
                    Evidence { proven: all.proven && enough, ..all }
                }
                Self::Spread => partitions(&placed, &view, |wanted, now| {
                    now.replicas == wanted && now.isr.len() == wanted.len()
                }),
                Self::ElectLeaders => partitions(&placed, &view, |wanted, now| {
                    now.leader.is_some() && now.leader.as_ref() == wanted.first()
                }),
            })
        })
        .await)
    }
}

/// Evidence that brokers are registered.
fn joined(brokers: &[BrokerId], view: &View) -> Evidence {
    Evidence::all(brokers.iter().map(|id| {
        let registered = view.brokers.contains(id);
        let line = if registered { "is registered" } else { "is not registered" };
        Evidence::of(format!("broker {id} {line}"), registered)
    }))
}

/// Evidence that every partition is as it was wanted.
fn partitions(
    placed: &Assignment,
    view: &View,
    wanted: impl Fn(&[BrokerId], &PartitionView) -> bool,
) -> Evidence {
    Evidence::all(placed.iter().map(|(partition, replicas)| {
        let now = view.partitions.get(partition).cloned().unwrap_or_default();
        let (topic, number) = partition;
        Evidence::of(format!("{topic}-{number}: {now}"), wanted(replicas, &now))
    }))
}

/// Replicas of `partitions` over all `brokers`, as Kafka spreads them where no racks are known
/// (`AdminUtils.assignReplicasToBrokersRackUnaware`), but from the first broker and with no shift,
/// where Kafka draws both: so that each run does the same. The number of replicas stays.
pub fn spread_evenly(assignment: &Assignment, brokers: &[BrokerId]) -> Assignment {
    let of = brokers.len();
    if of == 0 {
        return assignment.clone();
    }
    let place = |((topic, number), before): (&(String, i32), &Vec<BrokerId>)| {
        let nth = *number as usize;
        let first = nth % of;
        let followers = (0..before.len().min(of).saturating_sub(1)).map(|follower| {
            // Kafka's shift grows by one whenever all brokers have been first.
            let shift = 1 + (nth / of + follower) % (of - 1);
            brokers[(first + shift) % of]
        });
        ((topic.clone(), *number), std::iter::once(brokers[first]).chain(followers).collect())
    };
    assignment.iter().map(place).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn topic(replicas: &[[BrokerId; 3]]) -> Assignment {
        let numbered = (0..).zip(replicas);
        numbered.map(|(number, of)| (("t".to_owned(), number), of.to_vec())).collect()
    }

    #[test]
    fn five_partitions_are_spread_over_five_brokers_evenly() {
        let before = topic(&[[1, 2, 3], [2, 3, 1], [3, 1, 2], [4, 1, 2], [1, 5, 3]]);
        let wanted = topic(&[[1, 2, 3], [2, 3, 4], [3, 4, 5], [4, 5, 1], [5, 1, 2]]);
        assert_eq!(spread_evenly(&before, &[1, 2, 3, 4, 5]), wanted);
        let sixth = topic(&[[1; 3]; 6]);
        let spread = spread_evenly(&sixth, &[1, 2, 3, 4, 5]);
        assert_eq!(spread[&("t".to_owned(), 5)], [1, 3, 4], "shifted by one in the second round");
        assert_eq!(spread_evenly(&before, &[7])[&("t".to_owned(), 3)], [7]);
    }

    #[test]
    fn what_is_not_as_wanted_is_not_proven() {
        let view = View { brokers: [1, 4].into(), ..View::default() };
        assert!(joined(&[4], &view).proven && !joined(&[4, 5], &view).proven);
        let placed = topic(&[[1, 2, 3]]);
        assert!(!partitions(&placed, &view, |_, now| now.leader.is_some()).proven);
    }

    #[test]
    fn a_change_that_changes_nothing_is_refused() {
        assert!(Change::Join(vec![]).check().is_err() && Change::AddPartitions(0).check().is_err());
        assert_eq!(Change::Join(vec![4]).check(), Ok(()));
    }
}
