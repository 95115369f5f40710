//! Targets that are sets of nodes, so many of them, with everything that runs there; and all brokers.

use std::collections::BTreeSet;
use std::fmt;

use results::record::event::Role;
use results::terminal::counted;
use serde::{Deserialize, Serialize};

use super::{Unmet, controller, draw, list};
use crate::port::{Process, View};

/// Which of several sets of nodes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NodeSet {
    /// With the node of the controller, or without it; as the seed picks when not given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub controller: Option<bool>,
}

impl fmt::Display for NodeSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.controller {
            None => Ok(()),
            Some(true) => write!(f, "(with the controller)"),
            Some(false) => write!(f, "(without the controller)"),
        }
    }
}

/// Every broker.
pub(super) fn brokers(processes: &[Process]) -> Vec<Process> {
    processes.iter().filter(|process| process.role == Role::Broker).cloned().collect()
}

/// So many nodes that the rest is no majority, and not more: half of an even number.
pub(super) fn majority(
    set: NodeSet,
    view: &View,
    processes: &[Process],
    seed: u64,
) -> Result<Vec<Process>, Unmet> {
    choose(|of| of.div_ceil(2), set, view, processes, seed)
}

/// As many nodes as can be missed while the rest is a majority.
pub(super) fn minority(
    set: NodeSet,
    view: &View,
    processes: &[Process],
    seed: u64,
) -> Result<Vec<Process>, Unmet> {
    choose(|of| of.saturating_sub(1) / 2, set, view, processes, seed)
}

fn choose(
    count: impl Fn(usize) -> usize,
    set: NodeSet,
    view: &View,
    processes: &[Process],
    seed: u64,
) -> Result<Vec<Process>, Unmet> {
    let mut left: BTreeSet<&str> = processes.iter().map(|p| p.node.as_str()).collect();
    let (of, count) = (left.len(), count(left.len()));
    let mut chosen = BTreeSet::new();
    if let Some(with) = set.controller {
        let id = controller(view)?;
        let node = super::broker(id, processes)?.into_iter().next().map(|p| p.node);
        let node = node.and_then(|node| left.take(node.as_str()));
        chosen.extend(node.filter(|_| with));
    }
    chosen.extend(draw(left, count.saturating_sub(chosen.len()), seed));
    if count == 0 || chosen.len() != count {
        return Err(Unmet(format!(
            "of {} there is no such set of {count}: {}",
            counted(of as u64, "node"),
            list(processes)
        )));
    }
    Ok(processes.iter().filter(|p| chosen.contains(p.node.as_str())).cloned().collect())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use results::record::event::{BrokerId, Role};

    use super::*;
    use crate::target::{Target, splitmix};

    /// Nodes struck in a cluster of so many, of which the last has the controller.
    fn resolve(target: &str, size: i32, seed: u64) -> Result<Vec<BrokerId>, String> {
        #[derive(Deserialize)]
        struct Line {
            target: Target,
        }
        let line: Line = toml::from_str(&format!("target = {target}")).unwrap();
        let view = View { controller: Some(size), ..View::default() };
        let process = |id, role| Process { node: format!("node{id}"), role, id };
        let processes: Vec<_> = (1..=size)
            .flat_map(|id| [Role::Broker, Role::Zookeeper].map(|r| process(id, r)))
            .collect();
        let struck = line.target.resolve(&view, &processes, seed).map_err(|e| e.to_string())?;
        let ids: BTreeSet<_> = struck.iter().map(|process| process.id).collect();
        assert_eq!(struck.len(), 2 * ids.len(), "everything of a node");
        Ok(ids.into_iter().collect())
    }

    #[test]
    fn sets_of_nodes_are_of_their_size_and_with_the_controller_as_asked() {
        for seed in 0..20 {
            for (size, most, least) in [(3, 2, 1), (4, 2, 1), (5, 3, 2)] {
                let with = resolve("{minority = {controller = true}}", size, seed).unwrap();
                assert!(with.len() == least && with.contains(&size), "{with:?}");
                let without = resolve("{majority = {controller = false}}", size, seed).unwrap();
                assert!(without.len() == most && !without.contains(&size), "{without:?}");
                assert_eq!(resolve("{majority = {}}", size, seed).unwrap().len(), most);
            }
        }
        assert_eq!(resolve("'all'", 3, 1), Ok(vec![1, 2, 3]));
        assert!(resolve("{minority = {}}", 2, 1).unwrap_err().contains("no such set of 0"));
    }

    #[test]
    fn steps_that_follow_one_another_draw_by_themselves_and_reach_every_triple_of_seven() {
        // As the steps of a plan are seeded: the run's seed, and one more each.
        let step = |seed: u64, n| resolve("{minority = {}}", 7, seed.wrapping_add(n)).unwrap();
        let drawn = |seed| (0..4).map(|n| step(splitmix(seed), n)).collect();
        let all: Vec<Vec<_>> = (0..200).map(drawn).collect();
        let distinct = |of: &Vec<Vec<_>>| of.iter().collect::<BTreeSet<_>>().len();
        // Four independent draws of 35 are four triples in 84 %, three in 16 % and fewer in 0.6 %.
        let four = all.iter().filter(|of| distinct(of) == 4).count();
        let fewer = all.iter().filter(|of| distinct(of) < 3).count();
        assert!((150..185).contains(&four) && fewer <= 5, "{four} {fewer}");
        let mut counts: BTreeMap<_, u32> = BTreeMap::new();
        all.iter().flatten().for_each(|triple| *counts.entry(triple).or_default() += 1);
        assert_eq!(counts.len(), 35, "{counts:?}");
        // 800 draws are 23 of each, give or take 4.7.
        assert!(counts.values().all(|n| (5..45).contains(n)), "{counts:?}");
        // How many nodes two steps in a row have in common: 9 / 7 on the average of independent ones.
        let pairs = all.iter().flat_map(|of| of.windows(2));
        let common = pairs.map(|two| two[0].iter().filter(|id| two[1].contains(id)).count());
        let mean = common.sum::<usize>() as f64 / 600.0;
        assert!((1.2..1.38).contains(&mean), "{mean}");
    }
}
