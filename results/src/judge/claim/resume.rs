//! Whether a consumer that was replaced on purpose started where its group had committed.

use std::collections::BTreeMap;

use crate::record::history::{Committed, Entry, Partition};

/// What the replaced consumers showed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Resumed {
    /// Consumers that were started as a replacement.
    pub(crate) restarted: usize,
    /// Partitions whose first record was the one at the committed offset.
    pub(crate) at_committed: usize,
    /// Partitions whose first record was another.
    pub(crate) elsewhere: usize,
}

/// Folds the stream of a replacement consumer: the first record after each of its assignments.
#[derive(Debug, Default)]
pub(crate) struct ResumeFold {
    /// Committed offsets at assignments after which nothing was read yet, by partition.
    waiting: BTreeMap<Partition, Vec<i64>>,
    found: Resumed,
}

impl ResumeFold {
    /// Adds what the consumer saw next.
    pub(crate) fn add(&mut self, entry: &Entry) {
        match entry {
            &Entry::Assigned { partition, committed: Committed::At(committed), .. } => {
                self.waiting.entry(partition).or_default().push(committed);
            }
            Entry::Poll(poll) => {
                for committed in self.waiting.remove(&poll.partition).unwrap_or_default() {
                    if poll.offset == committed {
                        self.found.at_committed += 1;
                    } else {
                        self.found.elsewhere += 1;
                    }
                }
            }
            Entry::Revoked { partition, .. } => drop(self.waiting.remove(partition)),
            _ => {}
        }
    }

    /// What it showed, of a consumer that was replaced so often.
    pub(crate) fn finish(self, restarted: usize) -> Resumed {
        let Resumed { at_committed, elsewhere, .. } = self.found;
        Resumed {
            restarted: 0,
            at_committed: at_committed * restarted,
            elsewhere: elsewhere * restarted,
        }
    }
}

impl Resumed {
    /// Adds what another consumer showed.
    pub(crate) fn merge(&mut self, other: Self) {
        self.restarted += other.restarted;
        self.at_committed += other.at_committed;
        self.elsewhere += other.elsewhere;
    }
}
