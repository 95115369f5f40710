//! Targets that are sets of machines, and all brokers.

use std::collections::BTreeSet;

use results::event::Role;

use super::{Unmet, pick};
use crate::port::Process;

pub(super) fn brokers(processes: &[Process]) -> Vec<Process> {
    processes.iter().filter(|process| process.role == Role::Broker).cloned().collect()
}

/// The processes of more than half of the nodes, drawn by the seed.
pub(super) fn majority(processes: &[Process], seed: u64) -> Result<Vec<Process>, Unmet> {
    draw(processes, |nodes| nodes / 2 + 1, seed)
}

/// The processes of the rest of a majority, drawn by the seed.
pub(super) fn minority(processes: &[Process], seed: u64) -> Result<Vec<Process>, Unmet> {
    draw(processes, |nodes| nodes.saturating_sub(1) / 2, seed)
}

fn draw(
    processes: &[Process],
    count: impl Fn(usize) -> usize,
    seed: u64,
) -> Result<Vec<Process>, Unmet> {
    let mut left: BTreeSet<&String> = processes.iter().map(|process| &process.node).collect();
    let (of, count) = (left.len(), count(left.len()));
    let mut drawn = BTreeSet::new();
    while drawn.len() < count {
        let Some(next) = pick(&left, seed.wrapping_add(drawn.len() as u64)) else { break };
        left.remove(next);
        drawn.insert(next);
    }
    if drawn.is_empty() {
        return Err(Unmet(format!("a cluster of {of} nodes has no such set of nodes")));
    }
    Ok(processes.iter().filter(|process| drawn.contains(&process.node)).cloned().collect())
}
