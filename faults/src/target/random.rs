//! Targets that are drawn: so many processes, the same for the same seed.

use std::collections::BTreeSet;
use std::fmt;

use results::record::event::Role;
use serde::{Deserialize, Serialize};

use super::{Unmet, draw, list};
use crate::port::{Process, View};

/// So many processes that no fault is on, drawn by the seed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Random {
    /// How many.
    pub count: usize,
    /// Only brokers, or only ZooKeeper servers; both when not given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub role: Option<Role>,
}

impl fmt::Display for Random {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let of = self.role.map_or("", Role::as_str);
        let gap = if of.is_empty() { "" } else { " " };
        write!(f, "random({}{gap}{of})", self.count)
    }
}

impl Random {
    pub(super) fn resolve(
        self,
        view: &View,
        processes: &[Process],
        seed: u64,
    ) -> Result<Vec<Process>, Unmet> {
        let fits = |process: &&Process| {
            self.role.is_none_or(|role| process.role == role) && !view.struck.contains(process)
        };
        let left: BTreeSet<_> = processes.iter().filter(fits).cloned().collect();
        if self.count == 0 || left.len() < self.count {
            let left: Vec<_> = left.into_iter().collect();
            return Err(Unmet(format!("{self} of [{}] cannot be drawn", list(&left))));
        }
        Ok(draw(left, self.count, seed))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_seed_draws_different_processes_and_reaches_each() {
        let process = |role, id| Process { node: format!("node{id}"), role, id };
        let all: Vec<_> = [Role::Broker, Role::Zookeeper]
            .into_iter()
            .flat_map(|role| (1..=3).map(move |id| process(role, id)))
            .collect();
        let mut view = View::default();
        let draw = |count, role, seed| Random { count, role }.resolve(&View::default(), &all, seed);
        let mut reached = BTreeSet::new();
        for seed in 0..50 {
            let drawn = draw(2, Some(Role::Broker), seed).unwrap();
            assert!(drawn.len() == 2 && drawn[0] != drawn[1], "{drawn:?}");
            assert!(drawn.iter().all(|process| process.role == Role::Broker));
            assert_eq!(draw(2, Some(Role::Broker), seed).unwrap(), drawn);
            reached.extend(draw(1, None, seed).unwrap());
        }
        assert_eq!(reached.len(), 6);
        assert!(draw(4, Some(Role::Broker), 1).is_err() && draw(0, None, 1).is_err());
        view.struck = all.iter().skip(1).cloned().collect();
        let one = Random { count: 1, role: None };
        assert_eq!(one.resolve(&view, &all, 1), Ok(vec![all[0].clone()]));
        assert!(Random { count: 2, role: None }.resolve(&view, &all, 1).is_err());
        assert_eq!(Random { count: 2, role: Some(Role::Broker) }.to_string(), "random(2 broker)");
    }
}
