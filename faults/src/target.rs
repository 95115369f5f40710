//! Whom a fault strikes, as data: named by role in the plan, resolved at the moment of injection.
//!
//! Resolution is a pure function of a [`View`]; where several would do, the seed picks. An unmet
//! target is told in words with what was seen. What is absent: waiting for a target to be met.

mod nodes;
mod random;
mod zookeeper;

use std::collections::BTreeSet;
use std::fmt;

use results::event::{BrokerId, Role};
use serde::{Deserialize, Serialize};

use crate::port::{Process, View};
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
    /// The controller, which must lead a partition of the load's topic as well.
    ControllerAndLeader,
    /// The broker with this id.
    Broker(BrokerId),
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

/// Why a target names nobody at present, with what was seen.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Unmet(String);

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Controller => write!(f, "controller"),
            Self::Leader(leader) => leader.fmt(f),
            Self::ControllerAndLeader => write!(f, "controller-and-leader"),
            Self::Broker(id) => write!(f, "broker({id})"),
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
        let of = match (&self.topic, self.partition) {
            (None, None) => vec![],
            (None, Some(partition)) => vec![format!("partition {partition}")],
            (Some(topic), None) => vec![topic.clone()],
            (Some(topic), Some(partition)) => vec![format!("{topic}-{partition}")],
        };
        let not = self.not_controller.then(|| "not controller".to_owned());
        let words: Vec<_> = of.into_iter().chain(not).collect();
        if words.is_empty() {
            write!(f, "leader")
        } else {
            write!(f, "leader({})", words.join(", "))
        }
    }
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
            Self::ControllerAndLeader => broker(controller_and_leader(view)?, processes),
            Self::Broker(id) => broker(*id, processes),
            Self::Node(name) => node(name, processes),
            Self::All => Ok(processes.to_vec()),
            Self::Majority(set) => nodes::majority(*set, view, processes, seed),
            Self::Minority(set) => nodes::minority(*set, view, processes, seed),
            Self::Random(random) => random.resolve(processes, seed),
            Self::ZkLeader => zookeeper::leader(view, processes),
            Self::ZkFollower => zookeeper::follower(view, processes, seed),
            Self::Zookeeper(id) => zookeeper::server(*id, processes),
            Self::ZkAll => zookeeper::all(processes),
            Self::ZkMajority(set) => zookeeper::majority(*set, view, processes, seed),
            Self::ZkMinority(set) => zookeeper::minority(*set, view, processes, seed),
        }
    }

    /// Whether it depends on which ZooKeeper server leads: [`View::zookeeper`] must be filled then.
    pub fn asks_zookeeper(&self) -> bool {
        match self {
            Self::ZkLeader | Self::ZkFollower | Self::ZkMajority(_) | Self::ZkMinority(_) => true,
            Self::Controller
            | Self::Leader(_)
            | Self::ControllerAndLeader
            | Self::Broker(_)
            | Self::Node(_)
            | Self::All
            | Self::Majority(_)
            | Self::Minority(_)
            | Self::Random(_)
            | Self::Zookeeper(_)
            | Self::ZkAll => false,
        }
    }
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

/// One of `candidates`, the same for the same seed (SplitMix64, so that seeds 1, 2, 3 differ).
fn pick<T: Clone>(candidates: &BTreeSet<T>, seed: u64) -> Option<T> {
    let mut mixed = seed.wrapping_add(0x9E37_79B9_7F4A_7C15);
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    let index = (mixed ^ (mixed >> 31)) % (candidates.len() as u64).max(1);
    candidates.iter().nth(index as usize).cloned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::port::PartitionView;

    /// Three nodes with ZooKeeper and a broker each; `leaders[p]` leads user-events-p.
    fn cluster(controller: Option<BrokerId>, leaders: &[BrokerId]) -> (View, Vec<Process>) {
        let mut view = View { controller, topic: "user-events".into(), ..View::default() };
        view.brokers = [1, 2, 3].into();
        for (partition, leader) in leaders.iter().enumerate() {
            let state = PartitionView { leader: Some(*leader), ..PartitionView::default() };
            view.partitions.insert(("user-events".into(), partition as i32), state);
        }
        let other = PartitionView { leader: Some(3), ..PartitionView::default() };
        view.partitions.insert(("__consumer_offsets".into(), 0), other);
        let process = |id, role| Process { node: format!("node{id}"), role, id };
        let processes =
            [1, 2, 3].map(|id| [process(id, Role::Broker), process(id, Role::Zookeeper)]);
        (view, processes.concat())
    }

    fn resolve(target: &str, controller: Option<BrokerId>, leaders: &[BrokerId]) -> String {
        #[derive(Deserialize)]
        struct Line {
            target: Target,
        }
        let line: Line = toml::from_str(&format!("target = {target}")).unwrap();
        let (view, processes) = cluster(controller, leaders);
        match line.target.resolve(&view, &processes, 7) {
            Ok(struck) => format!("{} = {}", line.target, list(&struck)),
            Err(unmet) => unmet.to_string(),
        }
    }

    #[test]
    fn targets_are_resolved_by_role() {
        let all = [1, 2, 3];
        let c = Some(2);
        assert_eq!(resolve("'controller'", c, &all), "controller = broker 2 (node2)");
        assert_eq!(resolve("{broker = 3}", c, &all), "broker(3) = broker 3 (node3)");
        assert_eq!(
            resolve("{node = 'node1'}", c, &all),
            "node(node1) = broker 1 (node1), zookeeper 1 (node1)"
        );
        assert_eq!(
            resolve("{leader = {partition = 2}}", c, &all),
            "leader(partition 2) = broker 3 (node3)"
        );
        assert_eq!(
            resolve("{leader = {topic = '__consumer_offsets', partition = 0}}", c, &all),
            "leader(__consumer_offsets-0) = broker 3 (node3)"
        );
        assert_eq!(
            resolve("{leader = {not_controller = true}}", c, &[2, 1, 2]),
            "leader(not controller) = broker 1 (node1)"
        );
        assert_eq!(
            resolve("'controller-and-leader'", c, &[1, 2]),
            "controller-and-leader = broker 2 (node2)"
        );
    }

    #[test]
    fn an_unmet_target_says_what_was_seen() {
        assert_eq!(
            resolve("{leader = {partition = 0, not_controller = true}}", Some(2), &[2, 1]),
            "no broker leads user-events-0 without being the controller: the controller 2 leads \
             user-events-0"
        );
        assert_eq!(
            resolve("'controller-and-leader'", Some(2), &[1, 3]),
            "the controller 2 leads no partition of user-events: broker 1 leads user-events-0, \
             broker 3 leads user-events-1"
        );
        let none = "there is no controller; registered brokers: [1, 2, 3]";
        assert_eq!(resolve("'controller'", None, &[1]), none);
        assert_eq!(resolve("{leader = {not_controller = true}}", None, &[1]), none);
        assert_eq!(
            resolve("{leader = {partition = 9}}", Some(1), &[1]),
            "user-events has no partition 9"
        );
        assert!(resolve("{broker = 9}", None, &[]).starts_with("the cluster has no broker 9; it"));
        assert!(
            resolve("{node = 'x'}", None, &[]).starts_with("the cluster has no node x; it has")
        );
    }

    #[test]
    fn two_targets_must_be_two_processes() {
        let (view, processes) = cluster(Some(2), &[2, 1]);
        let both = [Target::Controller, Target::Broker(2)];
        let unmet = resolve_all(&both, &view, &processes, 1).unwrap_err();
        assert_eq!(
            unmet.to_string(),
            "the targets controller and broker(2) are both broker 2 (node2)"
        );
        let other = Target::Leader(Leader { not_controller: true, ..Leader::default() });
        let struck = resolve_all(&[Target::Controller, other], &view, &processes, 1).unwrap();
        assert_eq!(struck.iter().map(|p| p.id).collect::<Vec<_>>(), [2, 1]);
    }

    #[test]
    fn the_seed_picks_among_several_and_reaches_each() {
        let candidates = BTreeSet::from([1, 2, 3]);
        let picked: BTreeSet<_> = (0..20).filter_map(|seed| pick(&candidates, seed)).collect();
        assert_eq!(picked, candidates);
        assert_eq!(pick(&candidates, 5), pick(&candidates, 5));
        assert_eq!(pick(&BTreeSet::<BrokerId>::new(), 5), None);
    }
}
