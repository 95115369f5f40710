//! What one member of a group did with each partition, folded from its stream.

use std::collections::BTreeMap;

use super::cuts::{LogCut, generation};
use super::progress::ReachedOffsets;
use super::zones::{Zone, Zones};
use crate::record::clock::RunTime;
use crate::record::history::{Committed, Entry, Partition, Poll};

/// Records at consecutive offsets that one member got one after the other.
#[derive(Debug, Clone, Copy)]
pub(super) struct DeliveredRun {
    /// Number of the member's stream.
    pub(super) stream: usize,
    pub(super) zone: Zone,
    /// Cuts of the log before it.
    pub(super) generation: usize,
    pub(super) first: i64,
    pub(super) last: i64,
    /// When the first and the last of them came.
    pub(super) from: RunTime,
    pub(super) to: RunTime,
}

/// A partition was assigned to a member.
#[derive(Debug, Clone)]
pub(super) struct MemberAssignment {
    /// Number of the member's stream.
    pub(super) stream: usize,
    pub(super) at: RunTime,
    pub(super) committed: Committed,
    /// The first record that it got.
    pub(super) first: Option<i64>,
    /// When the partition was taken from it; `None` when it had it to its end.
    pub(super) revoked: Option<RunTime>,
}

/// What one member, or a whole group, did with one partition.
#[derive(Debug, Default)]
pub(super) struct Reads {
    /// By the number of cuts of the log before it, one a member.
    pub(super) progress: BTreeMap<usize, Vec<ReachedOffsets>>,
    pub(super) runs: Vec<DeliveredRun>,
    pub(super) assignments: Vec<MemberAssignment>,
}

/// Folds the stream of a member.
#[derive(Debug)]
pub(crate) struct MemberFold {
    stream: usize,
    zones: Zones,
    /// Of the partitions of the member's topic whose logs were cut.
    cuts: BTreeMap<Partition, Vec<LogCut>>,
    pub(super) partitions: BTreeMap<Partition, Reads>,
    /// When the last of its entries was made.
    pub(super) last: RunTime,
}

impl MemberFold {
    pub(super) fn new(stream: usize, zones: Zones, cuts: BTreeMap<Partition, Vec<LogCut>>) -> Self {
        Self { stream, zones, cuts, partitions: BTreeMap::new(), last: RunTime(0) }
    }

    /// Adds what the member saw next.
    pub(crate) fn add(&mut self, entry: &Entry) {
        let stream = self.stream;
        match entry {
            Entry::Poll(poll) => self.add_poll(poll),
            &Entry::Assigned { partition, at, committed } => {
                self.last = at.max(self.last);
                let new = MemberAssignment { stream, at, committed, first: None, revoked: None };
                self.of(partition).assignments.push(new);
            }
            &Entry::Revoked { partition, at } => {
                self.last = at.max(self.last);
                if let Some(held) = self.of(partition).assignments.last_mut() {
                    held.revoked.get_or_insert(at);
                }
            }
            Entry::Commit { at, .. } => self.last = (*at).max(self.last),
            _ => {}
        }
    }

    fn of(&mut self, partition: Partition) -> &mut Reads {
        self.partitions.entry(partition).or_default()
    }

    fn add_poll(&mut self, poll: &Poll) {
        let &Poll { partition, offset, at, .. } = poll;
        let (stream, zone) = (self.stream, self.zones.at(at));
        self.last = at.max(self.last);
        let generation = self.cuts.get(&partition).map_or(0, |cuts| generation(cuts, poll));
        let reads = self.of(partition);
        let progress = reads.progress.entry(generation).or_insert_with(|| vec![Default::default()]);
        progress.iter_mut().for_each(|progress| progress.reach(at, offset));
        if let Some(held) = reads.assignments.last_mut().filter(|held| held.revoked.is_none()) {
            held.first.get_or_insert(offset);
        }
        match reads.runs.last_mut() {
            Some(run)
                if (run.zone, run.generation) == (zone, generation)
                    && run.last.checked_add(1) == Some(offset) =>
            {
                (run.last, run.to) = (offset, at);
            }
            _ => reads.runs.push(DeliveredRun {
                stream,
                zone,
                generation,
                first: offset,
                last: offset,
                from: at,
                to: at,
            }),
        }
    }
}

impl Reads {
    /// Adds another member's.
    pub(super) fn merge(&mut self, other: Self) {
        for (generation, progress) in other.progress {
            self.progress.entry(generation).or_default().extend(progress);
        }
        self.runs.extend(other.runs);
        self.assignments.extend(other.assignments);
    }
}
