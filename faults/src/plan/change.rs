//! Changes of the cluster while its load runs: brokers join, partitions are added and moved, leaders elected.
//!
//! Changes without `start` are made one after the other, before the steps; one with `start` goes with the steps: with
//! those of the group that it starts after ([`Plan::changes_beside`]). One that says so is undone when all are over.

mod order;

use std::collections::BTreeSet;
use std::fmt;
use std::time::Duration;

use results::record::event::BrokerId;
use serde::{Deserialize, Serialize};

use super::{Start, check_name, limits};
pub(super) use order::check;

/// Most partitions that a change gives a topic.
const MOST_PARTITIONS: u32 = 10_000;

/// Longest pause after a change.
const LONGEST_HOLD: Duration = Duration::from_secs(24 * 3600);

/// One change of a plan: made under load, and there to stay unless it says otherwise.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ChangeStep {
    /// Its id in events, claims and reports, unique among the plan's changes.
    pub id: String,
    /// What is changed.
    pub change: ClusterChange,
    /// When it is made that goes with the steps; without, it is made before them, when the cluster is steady.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub start: Option<Start>,
    /// How long the load runs on after it, before the next one, or before the steps are over that it goes with.
    #[serde(with = "humantime_serde")]
    pub hold: Duration,
    /// Whether it is undone, still under load, when all steps and changes are over, the latest change first: brokers
    /// that joined leave, replicas are where they were. `hold` follows that, too.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub undo: bool,
}

/// A change of the cluster.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ClusterChange {
    /// Brokers on standby start and register, one after the other.
    Join(Vec<BrokerId>),
    /// The topic of the load has so many partitions afterwards; Kafka places the new ones.
    AddPartitions(u32),
    /// Replicas of every partition of the load are spread over all brokers that no fault is on, as
    /// `kafka-reassign-partitions.sh --generate` proposes it.
    Reassign,
    /// The same, while each broker sends and gets at most so many bytes a second of the replicas that move, as
    /// that tool's throttle says.
    ReassignThrottled(u64),
    /// The preferred leader of every partition of the load is elected.
    ElectLeaders,
}

impl fmt::Display for ClusterChange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const REASSIGNED: &str = "the replicas of all partitions are reassigned over all brokers";
        match self {
            Self::Join(brokers) => {
                let ids: Vec<_> = brokers.iter().map(ToString::to_string).collect();
                write!(f, "brokers {} join", ids.join(", "))
            }
            Self::AddPartitions(count) => write!(f, "the topic gets {count} partitions"),
            Self::Reassign => write!(f, "{REASSIGNED}, without a throttle"),
            Self::ReassignThrottled(bytes) => {
                write!(f, "{REASSIGNED}, with a throttle of {:.3} MB/s", *bytes as f64 / 1e6)
            }
            Self::ElectLeaders => f.write_str("preferred leaders are elected"),
        }
    }
}

impl ClusterChange {
    /// What it does to the cluster itself, in words; none where it acts on the topics of the load alone, which a run
    /// deletes.
    pub fn lasts(&self) -> Option<&'static str> {
        match self {
            Self::Join(_) => Some("starts brokers"),
            Self::ReassignThrottled(_) => Some(
                "sets the brokers' replication throttle, in the place of one that is set already",
            ),
            Self::AddPartitions(_) | Self::Reassign | Self::ElectLeaders => None,
        }
    }

    fn moves_replicas(&self) -> bool {
        matches!(self, Self::Reassign | Self::ReassignThrottled(_))
    }
}

impl ChangeStep {
    /// What is wrong with it behind changes of these ids.
    pub(super) fn check(&self, before: &[&str]) -> Result<(), String> {
        check_name("id", &self.id)?;
        let id = &self.id;
        if before.contains(&id.as_str()) {
            return Err(format!("two changes have the id \"{id}\""));
        }
        if self.hold > LONGEST_HOLD {
            return Err(format!("change \"{id}\": `hold` is longer than a day"));
        }
        if let Some(start) = &self.start {
            let (key, delay) = start.delay();
            limits::time(key, delay).map_err(|why| format!("change \"{id}\": {why}"))?;
        }
        match &self.change {
            ClusterChange::Join(brokers) if brokers.is_empty() => {
                Err(format!("change \"{id}\": `join` names no broker"))
            }
            ClusterChange::Join(brokers)
                if brokers.iter().collect::<BTreeSet<_>>().len() < brokers.len() =>
            {
                Err(format!("change \"{id}\": `join` names a broker twice"))
            }
            ClusterChange::AddPartitions(count) if !(1..=MOST_PARTITIONS).contains(count) => {
                Err(format!("change \"{id}\": a topic has from 1 to {MOST_PARTITIONS} partitions"))
            }
            ClusterChange::AddPartitions(_) if self.undo => Err(format!(
                "change \"{id}\": Kafka takes no partition away, so that this has no `undo`"
            )),
            ClusterChange::ElectLeaders if self.undo => Err(format!(
                "change \"{id}\": preferred leaders are what is elected in any case: this has no `undo`"
            )),
            ClusterChange::ReassignThrottled(0) => {
                Err(format!("change \"{id}\": a throttle of 0 bytes a second lets nothing move"))
            }
            _ => Ok(()),
        }
    }

    /// How long it, or its undo, is likely to take, `hold` included.
    pub(super) fn estimate(&self) -> Duration {
        /// Two brokers were registered after 2.3 to 2.7 s, on two cores under load.
        const JOIN: Duration = Duration::from_secs(4);
        /// There, the others took 0.2 to 0.7 s each.
        const OTHER: Duration = Duration::from_secs(2);
        /// Some 40 MB to each of two brokers, at 2 MB/s.
        const THROTTLED: Duration = Duration::from_secs(20);
        let takes = match &self.change {
            ClusterChange::Join(brokers) => {
                JOIN.saturating_mul(u32::try_from(brokers.len()).unwrap_or(u32::MAX))
            }
            ClusterChange::ReassignThrottled(_) => THROTTLED,
            ClusterChange::AddPartitions(_)
            | ClusterChange::Reassign
            | ClusterChange::ElectLeaders => OTHER,
        };
        takes.saturating_add(self.hold)
    }
}

#[cfg(test)]
mod tests {
    use super::super::Plan;
    use super::*;

    #[test]
    fn the_shipped_procedure_is_the_four_phases_in_order() {
        let plan = Plan::parse(include_str!("../../plans/scale-out.toml")).unwrap();
        let changes: Vec<_> = plan.changes.iter().map(|step| step.change.clone()).collect();
        let four = [
            ClusterChange::Join(vec![4, 5]),
            ClusterChange::AddPartitions(5),
            ClusterChange::Reassign,
            ClusterChange::ElectLeaders,
        ];
        assert_eq!(changes, four);
        let written = toml::to_string(&plan).unwrap();
        assert_eq!(toml::from_str::<Plan>(&written).unwrap(), plan);
    }

    #[test]
    fn what_changes_nothing_is_refused() {
        let refused = |change: &str| {
            let text = format!("name='a'\ndescription='b'\n{change}");
            Plan::parse(&text).unwrap_err().message
        };
        let one = |change: &str| format!("[[change]]\nid='x'\nchange={change}\nhold='1s'\n");
        assert!(refused("").contains("at least one [[step]] or [[change]]"));
        assert!(refused(&one("{join=[]}")).contains("names no broker"));
        assert!(refused(&one("{join=[4,4]}")).contains("twice"));
        assert!(refused(&one("{add-partitions=0}")).contains("from 1 to"));
        assert!(refused(&one("{reassign-throttled=0}")).contains("lets nothing move"));
        let undone = |change: &str| refused(&format!("{}undo=true\n", one(change)));
        assert!(undone("{add-partitions=5}").contains("takes no partition away"));
        assert!(undone("'elect-leaders'").contains("has no `undo`"));
        let twice = format!("{}{}", one("'reassign'"), one("'elect-leaders'"));
        assert!(refused(&twice).contains("two changes have the id \"x\""));
    }
}
