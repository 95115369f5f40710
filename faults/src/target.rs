//! Whom a fault strikes, as data: named by role in the plan, resolved at the moment of injection.
//!
//! Resolution is a pure function of a [`View`]; where several would do, the seed picks. An unmet
//! target is told in words with what was seen. What is absent: waiting for a target to be met.

mod leading;
mod nodes;
mod random;
mod zookeeper;

use std::collections::BTreeSet;
use std::fmt;

use results::record::event::{BrokerId, Role};
use serde::{Deserialize, Serialize};

use crate::port::{PartitionView, Process, View};
pub use nodes::NodeSet;
pub use random::Random;
pub use zookeeper::ZkSet;

/// Whom a fault strikes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum Target {
    /// The broker that is the controller.
    Controller,
    /// A broker that leads a partition.
    Leader(Leader),
    /// A broker that is in sync with a partition and does not lead it.
    Follower(Follower),
    /// The broker that coordinates a consumer group.
    Coordinator(Coordinator),
    /// The controller, which must lead a partition of the load's topic as well.
    ControllerAndLeader,
    /// The broker with this id.
    Broker(BrokerId),
    /// Every broker.
    Brokers,
    /// Every server process of this node.
    Node(String),
    /// Every server process of the cluster.
    All,
    /// Every server process of so many nodes that the rest is no majority.
    Majority(NodeSet),
    /// Every server process of as many nodes as can be missed while the rest is a majority.
    Minority(NodeSet),
    /// So many processes, drawn by the run's seed.
    Random(Random),
    /// The ZooKeeper server that leads the ensemble.
    ZkLeader,
    /// A ZooKeeper server that follows.
    ZkFollower,
    /// The ZooKeeper server with this id.
    Zookeeper(BrokerId),
    /// Every ZooKeeper server.
    ZkAll,
    /// So many ZooKeeper servers that the rest has no quorum, and not more.
    ZkMajority(ZkSet),
    /// As many ZooKeeper servers as can be missed while the rest has a quorum.
    ZkMinority(ZkSet),
}

/// Which leader.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Leader {
    /// Of this topic; of the load's topic when not given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub topic: Option<String>,
    /// Of this partition; of any when not given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub partition: Option<i32>,
    /// Only one that is not the controller.
    #[serde(default)]
    pub not_controller: bool,
}

/// Which follower.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Follower {
    /// Of this topic; of the load's topic when not given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub topic: Option<String>,
    /// Of this partition; of any when not given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub partition: Option<i32>,
}

/// Which coordinator.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Coordinator {
    /// Of this group; of the load's group when not given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub group: Option<String>,
}

/// Why a target names nobody at present, with what was seen.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Unmet(String);

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Controller => write!(f, "controller"),
            Self::Leader(leader) => leader.fmt(f),
            Self::Follower(follower) => follower.fmt(f),
            Self::Coordinator(coordinator) => coordinator.fmt(f),
            Self::ControllerAndLeader => write!(f, "controller-and-leader"),
            Self::Broker(id) => write!(f, "broker({id})"),
            Self::Brokers => write!(f, "brokers"),
            Self::Node(name) => write!(f, "node({name})"),
            Self::All => write!(f, "all"),
            Self::Majority(set) => write!(f, "majority{set}"),
            Self::Minority(set) => write!(f, "minority{set}"),
            Self::Random(random) => random.fmt(f),
            Self::ZkLeader => write!(f, "zk-leader"),
            Self::ZkFollower => write!(f, "zk-follower"),
            Self::Zookeeper(id) => write!(f, "zookeeper({id})"),
            Self::ZkAll => write!(f, "zk-all"),
            Self::ZkMajority(set) => write!(f, "zk-majority{set}"),
            Self::ZkMinority(set) => write!(f, "zk-minority{set}"),
        }
    }
}

impl fmt::Display for Leader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let not = self.not_controller.then(|| "not controller".to_owned());
        named(f, "leader", of(self.topic.as_deref(), self.partition).into_iter().chain(not))
    }
}

impl fmt::Display for Follower {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        named(f, "follower", of(self.topic.as_deref(), self.partition))
    }
}

impl fmt::Display for Coordinator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        named(f, "coordinator", self.group.clone())
    }
}

/// Which partition, in words; none for any.
fn of(topic: Option<&str>, partition: Option<i32>) -> Option<String> {
    match (topic, partition) {
        (None, None) => None,
        (None, Some(partition)) => Some(format!("partition {partition}")),
        (Some(topic), None) => Some(topic.to_owned()),
        (Some(topic), Some(partition)) => Some(format!("{topic}-{partition}")),
    }
}

/// A role, with what narrows it down.
fn named(
    f: &mut fmt::Formatter<'_>,
    role: &str,
    narrowed: impl IntoIterator<Item = String>,
) -> fmt::Result {
    let words: Vec<_> = narrowed.into_iter().collect();
    if words.is_empty() { write!(f, "{role}") } else { write!(f, "{role}({})", words.join(", ")) }
}

impl Target {
    /// The processes that it names in `view`. `seed` picks where several brokers would do.
    pub fn resolve(
        &self,
        view: &View,
        processes: &[Process],
        seed: u64,
    ) -> Result<Vec<Process>, Unmet> {
        match self {
            Self::Controller => broker(controller(view)?, processes),
            Self::Leader(leader) => broker(leader.resolve(view, seed)?, processes),
            Self::Follower(follower) => broker(follower.resolve(view, seed)?, processes),
            Self::Coordinator(of) => broker(of.resolve(view)?, processes),
            Self::ControllerAndLeader => broker(controller_and_leader(view)?, processes),
            Self::Broker(id) => broker(*id, processes),
            Self::Brokers => Ok(nodes::brokers(processes)),
            Self::Node(name) => node(name, processes),
            Self::All => Ok(processes.to_vec()),
            Self::Majority(set) => nodes::majority(*set, view, processes, seed),
            Self::Minority(set) => nodes::minority(*set, view, processes, seed),
            Self::Random(random) => random.resolve(view, processes, seed),
            Self::ZkLeader => zookeeper::leader(view, processes),
            Self::ZkFollower => zookeeper::follower(view, processes, seed),
            Self::Zookeeper(id) => zookeeper::server(*id, processes),
            Self::ZkAll => zookeeper::all(processes),
            Self::ZkMajority(set) => zookeeper::majority(*set, view, processes, seed),
            Self::ZkMinority(set) => zookeeper::minority(*set, view, processes, seed),
        }
    }

    /// This process and no other.
    pub fn of(process: &Process) -> Self {
        match process.role {
            Role::Broker => Self::Broker(process.id),
            Role::Zookeeper => Self::Zookeeper(process.id),
        }
    }

    /// Whether it names ZooKeeper servers as such, and not as what a node has beside its broker.
    pub fn is_of_zookeeper(&self) -> bool {
        match self {
            Self::Zookeeper(_)
            | Self::ZkLeader
            | Self::ZkFollower
            | Self::ZkAll
            | Self::ZkMajority(_)
            | Self::ZkMinority(_) => true,
            Self::Random(random) => random.role == Some(Role::Zookeeper),
            _ => false,
        }
    }

    /// Whether it depends on which ZooKeeper server leads: [`View::zookeeper`] must be filled then.
    pub fn asks_zookeeper(&self) -> bool {
        match self {
            Self::ZkLeader | Self::ZkFollower | Self::ZkMajority(_) | Self::ZkMinority(_) => true,
            Self::Controller
            | Self::Leader(_)
            | Self::Follower(_)
            | Self::Coordinator(_)
            | Self::ControllerAndLeader
            | Self::Broker(_)
            | Self::Brokers
            | Self::Node(_)
            | Self::All
            | Self::Majority(_)
            | Self::Minority(_)
            | Self::Random(_)
            | Self::Zookeeper(_)
            | Self::ZkAll => false,
        }
    }

    /// The group whose coordinator it depends on: [`View::coordinators`] must know that then.
    pub fn asks_group<'a>(&'a self, view: &'a View) -> Option<&'a str> {
        match self {
            Self::Coordinator(of) => of.group.as_deref().or(view.group.as_deref()),
            _ => None,
        }
    }
}

/// Targets as they are written in reports.
pub(crate) fn list_targets(targets: &[Target]) -> String {
    if targets.is_empty() {
        return "the load's clients".to_owned();
    }
    targets.iter().map(Target::to_string).collect::<Vec<_>>().join(" + ")
}

/// The processes that all of `targets` name; they must differ.
pub fn resolve_all(
    targets: &[Target],
    view: &View,
    processes: &[Process],
    seed: u64,
) -> Result<Vec<Process>, Unmet> {
    let mut struck: Vec<(Process, &Target)> = vec![];
    for target in targets {
        for process in target.resolve(view, processes, seed)? {
            if let Some((_, other)) = struck.iter().find(|(known, _)| *known == process) {
                return Err(Unmet(format!("the targets {other} and {target} are both {process}")));
            }
            struck.push((process, target));
        }
    }
    Ok(struck.into_iter().map(|(process, _)| process).collect())
}

impl Leader {
    fn resolve(&self, view: &View, seed: u64) -> Result<BrokerId, Unmet> {
        let topic = self.topic.as_ref().unwrap_or(&view.topic);
        // Without a controller nobody can be said not to be it.
        let not = if self.not_controller { Some(controller(view)?) } else { None };
        let leaders = leaders(view, topic, self.partition);
        if leaders.is_empty() {
            return Err(Unmet(match self.partition {
                Some(partition) => format!("{topic} has no partition {partition}"),
                None => format!("there is no topic {topic}"),
            }));
        }
        let fit: BTreeSet<_> = leaders
            .iter()
            .filter_map(|(_, leader)| *leader)
            .filter(|id| Some(*id) != not)
            .collect();
        pick(&fit, seed).ok_or_else(|| {
            let what = self.partition.map_or(topic.clone(), |p| format!("{topic}-{p}"));
            let seen = seen(topic, &leaders, view.controller);
            let but = if self.not_controller { " without being the controller" } else { "" };
            Unmet(format!("no broker leads {what}{but}: {seen}"))
        })
    }
}

impl Follower {
    fn resolve(&self, view: &View, seed: u64) -> Result<BrokerId, Unmet> {
        let topic = self.topic.as_ref().unwrap_or(&view.topic);
        let of_topic = view.partitions.iter().filter(|((t, partition), _)| {
            t == topic && self.partition.is_none_or(|only| only == *partition)
        });
        let follow = |state: &PartitionView| {
            let leader = state.leader;
            state.isr.clone().into_iter().filter(move |id| Some(*id) != leader)
        };
        let fit: BTreeSet<_> = of_topic.flat_map(|(_, state)| follow(state)).collect();
        pick(&fit, seed).ok_or_else(|| {
            let what = self.partition.map_or(topic.clone(), |p| format!("{topic}-{p}"));
            let seen = seen(topic, &leaders(view, topic, self.partition), view.controller);
            Unmet(format!("no broker follows {what} in sync: {seen}"))
        })
    }
}

impl Coordinator {
    fn resolve(&self, view: &View) -> Result<BrokerId, Unmet> {
        let group = self.group.as_ref().or(view.group.as_ref());
        let group = group.ok_or_else(|| Unmet("the load has no consumer group".to_owned()))?;
        let known = view.coordinators.get(group).copied();
        known.ok_or_else(|| Unmet(format!("no broker says who coordinates the group {group}")))
    }
}

/// Partitions of `topic` (all, or one) with their leaders.
fn leaders(view: &View, topic: &str, only: Option<i32>) -> Vec<(i32, Option<BrokerId>)> {
    let of_topic = view.partitions.iter().filter(|((t, _), _)| t == topic);
    let all = of_topic.map(|((_, partition), state)| (*partition, state.leader));
    all.filter(|(partition, _)| only.is_none_or(|only| only == *partition)).collect()
}

/// What leads what, for people.
fn seen(topic: &str, leaders: &[(i32, Option<BrokerId>)], controller: Option<BrokerId>) -> String {
    let one = |(partition, leader): &(i32, Option<BrokerId>)| match leader {
        None => format!("{topic}-{partition} has no leader"),
        Some(id) if Some(*id) == controller => {
            format!("the controller {id} leads {topic}-{partition}")
        }
        Some(id) => format!("broker {id} leads {topic}-{partition}"),
    };
    leaders.iter().map(one).collect::<Vec<_>>().join(", ")
}

fn controller(view: &View) -> Result<BrokerId, Unmet> {
    view.controller.ok_or_else(|| {
        let brokers: Vec<_> = view.brokers.iter().map(BrokerId::to_string).collect();
        Unmet(format!("there is no controller; registered brokers: [{}]", brokers.join(", ")))
    })
}

fn controller_and_leader(view: &View) -> Result<BrokerId, Unmet> {
    let id = controller(view)?;
    let leaders = leaders(view, &view.topic, None);
    if leaders.iter().any(|(_, leader)| *leader == Some(id)) {
        return Ok(id);
    }
    let seen = seen(&view.topic, &leaders, view.controller);
    let nothing = if leaders.is_empty() { "there is no such topic" } else { &seen };
    Err(Unmet(format!("the controller {id} leads no partition of {}: {nothing}", view.topic)))
}

fn broker(id: BrokerId, processes: &[Process]) -> Result<Vec<Process>, Unmet> {
    let is_it = |process: &&Process| process.role == Role::Broker && process.id == id;
    match processes.iter().find(is_it) {
        Some(process) => Ok(vec![process.clone()]),
        None => Err(Unmet(format!("the cluster has no broker {id}; it has {}", list(processes)))),
    }
}

fn node(name: &str, processes: &[Process]) -> Result<Vec<Process>, Unmet> {
    let of_node: Vec<_> = processes.iter().filter(|p| p.node == name).cloned().collect();
    if of_node.is_empty() {
        return Err(Unmet(format!("the cluster has no node {name}; it has {}", list(processes))));
    }
    Ok(of_node)
}

fn list(processes: &[Process]) -> String {
    processes.iter().map(Process::to_string).collect::<Vec<_>>().join(", ")
}

/// A number that looks random, the same for the same seed (SplitMix64, so that seeds 1, 2, 3
/// differ).
pub(crate) fn splitmix(seed: u64) -> u64 {
    let mut mixed = seed.wrapping_add(0x9E37_79B9_7F4A_7C15);
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    mixed ^ (mixed >> 31)
}

/// One of `candidates`, the same for the same seed.
fn pick<T: Clone>(candidates: &BTreeSet<T>, seed: u64) -> Option<T> {
    let index = splitmix(seed) % (candidates.len() as u64).max(1);
    candidates.iter().nth(index as usize).cloned()
}

/// So many of `candidates` in the order in which they are drawn, the same for the same seed; all where there are fewer.
/// The numbers that draw them are a sequence of the seed's own: those of the seeds that follow one another, as steps of a
/// plan have them, must not be the same ones in turn.
fn draw<T: Clone + Ord>(mut candidates: BTreeSet<T>, count: usize, mut seed: u64) -> Vec<T> {
    let mut drawn = vec![];
    while drawn.len() < count
        && let Some(next) = pick(&candidates, seed)
    {
        candidates.remove(&next);
        drawn.push(next);
        seed = splitmix(seed);
    }
    drawn
}

#[cfg(test)]
mod tests;
