//! Others' consumer groups on the cluster of a run.

use serde::{Deserialize, Serialize};

use crate::record::event::{Event, EventKind};

/// How far a consumer group was behind that is not the run's, in records.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Bystander {
    /// Number of the trial.
    pub trial: u32,
    /// Id of the group.
    pub group: String,
    /// When the load began.
    pub first: u64,
    /// At the most.
    pub most: u64,
    /// When it was looked at last.
    pub last: u64,
}

/// The groups of a trial, in the order in which they were first seen.
pub(super) fn of(trial: u32, events: &[Event]) -> Vec<Bystander> {
    let mut all: Vec<Bystander> = vec![];
    for event in events {
        let EventKind::BystanderLag { group, lag } = &event.kind else { continue };
        match all.iter_mut().find(|one| one.group == *group) {
            Some(one) => {
                one.most = one.most.max(*lag);
                one.last = *lag;
            }
            None => {
                let (group, first, most, last) = (group.clone(), *lag, *lag, *lag);
                all.push(Bystander { trial, group, first, most, last });
            }
        }
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::clock::RunTime;

    #[test]
    fn the_first_the_most_and_the_last_lag_of_each_group_are_told() {
        let lag = |group: &str, lag| Event {
            at: RunTime(0),
            kind: EventKind::BystanderLag { group: group.to_owned(), lag },
        };
        let events = [lag("a", 3), lag("b", 0), lag("a", 900), lag("a", 4)];
        let told: Vec<_> = of(1, &events)
            .into_iter()
            .map(|one| (one.group, one.first, one.most, one.last))
            .collect();
        assert_eq!(told, [("a".to_owned(), 3, 900, 4), ("b".to_owned(), 0, 0, 0)]);
    }
}
