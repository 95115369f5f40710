//! Targets that are ZooKeeper servers: by their part in the ensemble, or so many of them.

use std::collections::BTreeSet;
use std::fmt;

use results::record::event::{BrokerId, Role};
use serde::{Deserialize, Serialize};

use super::{Unmet, draw, list, pick};
use crate::port::{Process, View, ZkMode};

/// Which of several sets of ZooKeeper servers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ZkSet {
    /// With the leader of the ensemble, or without it; as the seed picks when not given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub leader: Option<bool>,
}

impl fmt::Display for ZkSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.leader {
            None => Ok(()),
            Some(true) => write!(f, "(with the leader)"),
            Some(false) => write!(f, "(without the leader)"),
        }
    }
}

pub(super) fn leader(view: &View, processes: &[Process]) -> Result<Vec<Process>, Unmet> {
    server(leading(view)?, processes)
}

pub(super) fn follower(
    view: &View,
    processes: &[Process],
    seed: u64,
) -> Result<Vec<Process>, Unmet> {
    let following = view.zookeeper.iter().filter(|(_, mode)| **mode == ZkMode::Follower);
    let ids: BTreeSet<_> = following.map(|(id, _)| *id).collect();
    let id = pick(&ids, seed)
        .ok_or_else(|| Unmet(format!("no ZooKeeper server follows: {}", seen(view))))?;
    server(id, processes)
}

pub(super) fn server(id: BrokerId, processes: &[Process]) -> Result<Vec<Process>, Unmet> {
    let is_it = |process: &&Process| process.role == Role::Zookeeper && process.id == id;
    match processes.iter().find(is_it) {
        Some(process) => Ok(vec![process.clone()]),
        None => Err(Unmet(format!(
            "the cluster has no ZooKeeper server {id}; it has {}",
            list(processes)
        ))),
    }
}

pub(super) fn all(processes: &[Process]) -> Result<Vec<Process>, Unmet> {
    let all: Vec<_> = processes.iter().filter(|p| p.role == Role::Zookeeper).cloned().collect();
    if all.is_empty() {
        return Err(Unmet(format!("the cluster has no ZooKeeper; it has {}", list(processes))));
    }
    Ok(all)
}

pub(super) fn majority(
    set: ZkSet,
    view: &View,
    processes: &[Process],
    seed: u64,
) -> Result<Vec<Process>, Unmet> {
    let all = all(processes)?;
    choose(all.len().div_ceil(2), set, view, all, seed)
}

pub(super) fn minority(
    set: ZkSet,
    view: &View,
    processes: &[Process],
    seed: u64,
) -> Result<Vec<Process>, Unmet> {
    let all = all(processes)?;
    choose(all.len().saturating_sub(1) / 2, set, view, all, seed)
}

/// `count` of the servers, with or without the leader.
fn choose(
    count: usize,
    set: ZkSet,
    view: &View,
    all: Vec<Process>,
    seed: u64,
) -> Result<Vec<Process>, Unmet> {
    let mut left: BTreeSet<BrokerId> = all.iter().map(|server| server.id).collect();
    let mut chosen = BTreeSet::new();
    if let Some(with) = set.leader {
        let leader = leading(view)?;
        left.remove(&leader);
        chosen.extend(with.then_some(leader));
    }
    chosen.extend(draw(left, count.saturating_sub(chosen.len()), seed));
    if count == 0 || chosen.len() != count {
        let without = if set.leader == Some(false) { " without its leader" } else { "" };
        let of = all.len();
        return Err(Unmet(format!(
            "an ensemble of {of} has no such set of {count} servers{without}"
        )));
    }
    Ok(all.into_iter().filter(|server| chosen.contains(&server.id)).collect())
}

fn leading(view: &View) -> Result<BrokerId, Unmet> {
    let leads = view.zookeeper.iter().find(|(_, mode)| **mode == ZkMode::Leader);
    leads
        .map(|(id, _)| *id)
        .ok_or_else(|| Unmet(format!("no ZooKeeper server leads: {}", seen(view))))
}

fn seen(view: &View) -> String {
    let serving: Vec<_> = view.zookeeper.keys().map(BrokerId::to_string).collect();
    format!("serving are [{}]", serving.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::target::Target;

    /// An ensemble of `size` servers of which the last leads, with a broker besides.
    fn resolve(target: &str, size: i32, seed: u64) -> Result<Vec<BrokerId>, String> {
        #[derive(Deserialize)]
        struct Line {
            target: Target,
        }
        let line: Line = toml::from_str(&format!("target = {target}")).unwrap();
        let mut view = View::default();
        let process = |role, id| Process { node: format!("node{id}"), role, id };
        let mut processes = vec![process(Role::Broker, 1)];
        for id in 1..=size {
            let mode = if id == size { ZkMode::Leader } else { ZkMode::Follower };
            view.zookeeper.insert(id, mode);
            processes.push(process(Role::Zookeeper, id));
        }
        let struck = line.target.resolve(&view, &processes, seed).map_err(|e| e.to_string())?;
        assert!(struck.iter().all(|process| process.role == Role::Zookeeper));
        Ok(struck.iter().map(|process| process.id).collect())
    }

    #[test]
    fn servers_are_named_by_their_part() {
        assert_eq!(resolve("'zk-leader'", 3, 1), Ok(vec![3]));
        assert_eq!(resolve("{zookeeper = 2}", 3, 1), Ok(vec![2]));
        assert_eq!(resolve("'zk-all'", 3, 1), Ok(vec![1, 2, 3]));
        let followers: BTreeSet<_> =
            (0..20).flat_map(|seed| resolve("'zk-follower'", 3, seed).unwrap()).collect();
        assert_eq!(followers, [1, 2].into());
        assert!(resolve("'zk-follower'", 1, 1).unwrap_err().contains("serving are [1]"));
        assert!(resolve("{zookeeper = 9}", 3, 1).unwrap_err().starts_with("the cluster has no"));
    }

    #[test]
    fn a_majority_takes_the_quorum_and_a_minority_leaves_it() {
        for seed in 0..20 {
            for (size, most, least) in [(3, 2, 1), (4, 2, 1), (5, 3, 2)] {
                let with = resolve("{zk-majority = {leader = true}}", size, seed).unwrap();
                assert!(with.len() == most && with.contains(&size), "{with:?}");
                let without = resolve("{zk-majority = {leader = false}}", size, seed).unwrap();
                assert!(without.len() == most && !without.contains(&size), "{without:?}");
                let rest = resolve("{zk-minority = {leader = false}}", size, seed).unwrap();
                assert!(rest.len() == least && !rest.contains(&size), "{rest:?}");
                assert_eq!(resolve("{zk-majority = {}}", size, seed).unwrap().len(), most);
            }
        }
        assert!(resolve("{zk-minority = {}}", 1, 1).unwrap_err().contains("no such set"));
        assert_eq!(resolve("{zk-majority = {}}", 1, 1), Ok(vec![1]));
    }
}
