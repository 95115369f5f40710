//! Where anything may be wrong with a partition.
//!
//! Invariant: a checker that is shown the sends, records and reads at these offsets finds what it
//! would find if it were shown all of them. Everywhere else, each record of L was sent as it is and
//! acked where it is, or placed by L alone; it is there once, in its producer's order and that of
//! real time; every read of it gave the same. More offsets than need be do no harm.

use super::intervals::Intervals;
use super::read::ReadRun;
use super::{GroupFacts, PartitionFacts};
use crate::record::clock::RunTime;

impl PartitionFacts {
    /// Finds the suspects, once everything was added. `groups` are what groups did with the partition.
    pub(super) fn find_suspects<'a>(&mut self, groups: impl Iterator<Item = &'a GroupFacts>) {
        let mut found = std::mem::take(&mut self.sent.suspect);
        for first in self.log.contents.differences(&self.sent.placed) {
            let (_, last) = self.segments.around(first);
            found.insert_all(first, last);
        }
        self.log.duplicates(&mut found);
        self.log.disorder(&mut found);
        found.merge(&self.log.again);
        self.sent.disorder(&mut found);
        for run in &self.read_runs {
            if !self.is_as_written(run) {
                found.insert_all(run.first, run.last);
            }
        }
        for group in groups {
            let straddling = group.read_runs.iter().filter(|run| group.straddles_assignment(run));
            straddling.for_each(|run| found.insert_all(run.first, run.last));
        }
        self.suspects = found;
    }

    /// Whether a member read what L holds; or, where L holds nothing, what was acked there.
    fn is_as_written(&self, run: &ReadRun) -> bool {
        let logged = self.log.contents.between(run.first, run.last);
        let acked = || self.sent.unread.between(run.first, run.last);
        logged == run.content || (logged.count == 0 && acked() == run.content)
    }

    /// How many reads there were beside those that L consists of.
    pub(in super::super) fn reads(&self) -> u64 {
        let by_groups: u64 = self.read_runs.iter().map(|run| run.content.count).sum();
        by_groups + self.log.reread
    }

    /// How many reads there were at offsets that L does not hold.
    pub(in super::super) fn reads_outside_log(&self) -> u64 {
        let outside = self.read_runs.iter().map(|run| {
            let end = run.last.saturating_add(1);
            run.content.count - self.log.offsets.count_between(run.first, end)
        });
        outside.sum()
    }

    /// How many acks of the load the log shows to be kept, or not.
    pub(in super::super) fn kept_or_not(&self) -> u64 {
        self.sent.kept_or_not
    }

    /// Where acks of the load lie before the start of the log.
    pub(in super::super) fn before_start(&self) -> &Intervals {
        &self.sent.before_start
    }

    /// How many acks of the load gave way to newer records of their keys.
    pub(in super::super) fn superseded(&self) -> u64 {
        self.sent.superseded
    }

    /// How many of those from offset `from` up to and without `to` were there still at `at`: no newer record of
    /// their keys had been sent, or nothing was compacted yet.
    pub(in super::super) fn newest_at(&self, at: RunTime, (from, to): (i64, i64)) -> u64 {
        if self.log.is_compacted_at(at) {
            self.sent.compacted.there_at(at, from, to)
        } else {
            self.sent.compacted.all(from, to)
        }
    }

    /// How many sends failed for certain.
    pub(in super::super) fn failed(&self) -> u64 {
        self.sent.failed
    }

    /// How many sends with acks=all have an offset.
    pub(in super::super) fn ordered(&self) -> u64 {
        self.sent.ordered
    }

    /// Whether one of the partition's writers has this number and incarnation.
    pub(in super::super) fn has_writer(&self, (producer, incarnation): (u16, u16)) -> bool {
        let mut writers = self.writers.iter();
        writers.any(|writer| (writer.producer, writer.incarnation) == (producer, incarnation))
    }
}

impl GroupFacts {
    /// Whether the partition was assigned while a member was reading this.
    fn straddles_assignment(&self, run: &ReadRun) -> bool {
        let after = self.assignments.partition_point(|assignment| assignment.at <= run.from);
        self.assignments.get(after).is_some_and(|assignment| assignment.at <= run.to)
    }

    /// When the group had read up to which offset, apart from what is read again as suspect.
    pub(in super::super) fn reads(&self) -> impl Iterator<Item = (RunTime, i64)> {
        let whole = self.read_runs.iter().filter(|run| !self.straddles_assignment(run));
        whole.map(|run| (run.to, run.last))
    }
}
