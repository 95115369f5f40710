//! Which of the operations that were answered in time may end a [gap](super::gap).
//!
//! A gap ends at the first answer to an operation due no earlier than the one that began it, or at
//! a later one, and it matters whether what was due next was answered in time. Between two neighbouring
//! due times of delayed operations, answered between two neighbouring of their times, all operations
//! stand alike to every gap: the first answered of them is enough, and the last due between two due
//! times. Those that were due or answered at just such a time are all kept.

use std::collections::BTreeMap;

use super::gap::Operation;
use super::operations::operation;
use crate::record::clock::RunTime;
use crate::record::history::{Entry, Partition};

/// Operations answered in time that may end gaps of one client on one partition.
#[derive(Debug)]
pub(super) struct GapEnds {
    /// Due times of the delayed operations, in order.
    due: Vec<RunTime>,
    /// The same, and when they were answered or failed, in order.
    ended: Vec<RunTime>,
    found: Vec<Operation>,
    /// The first answered between two of each, by their positions.
    first: BTreeMap<(usize, usize), Operation>,
    /// The last due between two due times, by their position.
    last: BTreeMap<usize, Operation>,
}

impl GapEnds {
    /// Looks for those that may end gaps which these operations begin.
    pub(super) fn to(operations: &[Operation]) -> Self {
        let delayed = || operations.iter().filter(|operation| operation.delayed());
        let mut due: Vec<RunTime> = delayed().map(|operation| operation.due).collect();
        let ended = delayed().map(|operation| operation.done);
        let mut ended: Vec<RunTime> = ended.chain(due.iter().copied()).collect();
        due.sort_unstable();
        ended.sort_unstable();
        Self { due, ended, found: Vec::new(), first: BTreeMap::new(), last: BTreeMap::new() }
    }

    pub(super) fn add(&mut self, new: Operation) {
        if new.delayed() || self.due.first().is_none_or(|first| new.due < *first) {
            return;
        }
        let due = self.due.partition_point(|due| *due < new.due);
        let ended = self.ended.partition_point(|ended| *ended < new.done);
        if self.due.get(due) == Some(&new.due) || self.ended.get(ended) == Some(&new.done) {
            self.found.push(new);
            return;
        }
        let first = self.first.entry((due, ended)).or_insert(new);
        if new.done < first.done {
            *first = new;
        }
        let last = self.last.entry(due).or_insert(new);
        if new.due > last.due {
            *last = new;
        }
    }

    pub(super) fn found(self) -> impl Iterator<Item = Operation> {
        let kept = self.first.into_values().chain(self.last.into_values());
        self.found.into_iter().chain(kept)
    }
}

/// The same of one stream, by partition.
#[derive(Debug)]
pub(crate) struct StreamAnswers {
    pub(super) partitions: BTreeMap<Partition, GapEnds>,
}

impl StreamAnswers {
    pub(crate) fn add(&mut self, entry: &Entry) {
        if let Some((partition, operation)) = operation(entry)
            && let Some(answers) = self.partitions.get_mut(&partition)
        {
            answers.add(operation);
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::judge::recovery::operations::Operations;

    proptest! {
        #![proptest_config(ProptestConfig {
            cases: 2000,
            failure_persistence: None,
            ..ProptestConfig::default()
        })]

        /// Units of 100 ms, of which up to five are no delay: ties abound.
        #[test]
        fn gaps_are_those_of_all_operations(
            list in prop::collection::vec((0..60_u64, 0..14_u64, prop::bool::weighted(0.9)), 0..60),
        ) {
            let unit = 100_000_000;
            let all: Vec<Operation> = list
                .into_iter()
                .map(|(due, took, ok)| {
                    let took = if took < 9 { took / 3 } else { took };
                    Operation { due: RunTime(due * unit), done: RunTime((due + took) * unit), ok }
                })
                .collect();
            let mut few: Vec<_> = all.iter().copied().filter(Operation::delayed).collect();
            let mut answers = GapEnds::to(&few);
            all.iter().for_each(|operation| answers.add(*operation));
            few.extend(answers.found());
            let end = RunTime(100 * unit);
            prop_assert_eq!(Operations::of(few, end).gaps(), Operations::of(all, end).gaps());
        }
    }
}
