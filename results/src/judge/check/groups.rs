//! What one consumer group did with one partition, from the streams of all its members, in the
//! order of the run's clock.

use super::index::{Extent, LogIndex};
use super::survey::{AcceptedCommit, GroupAssignment, GroupFacts};
use crate::record::clock::RunTime;
use crate::record::history::{Client, Partition};

/// One group and one partition.
pub(super) struct GroupPartition<'a> {
    pub(super) group: &'a str,
    pub(super) topic: &'a str,
    pub(super) partition: Partition,
    /// By time.
    pub(super) assignments: &'a [GroupAssignment],
    /// Accepted commits, by time of the answer.
    pub(super) commits: &'a [AcceptedCommit],
    /// When a member had read up to which offset, by time; at least all that were the highest so far
    /// when the partition was assigned.
    pub(super) reads: Vec<(RunTime, i64)>,
}

impl<'a> LogIndex<'a> {
    pub(super) fn group(&self, shared: &'a GroupFacts, extent: Extent) -> GroupPartition<'a> {
        let GroupFacts { group, topic, partition, assignments, commits, .. } = shared;
        let mut reads: Vec<(RunTime, i64)> = Vec::new();
        if extent == Extent::Suspects {
            reads.extend(shared.reads());
        }
        let others = self.partition(topic, *partition).into_iter().flat_map(|log| &log.others);
        let by_member = others.filter(|read| self.is_member(read.stream, group));
        reads.extend(by_member.map(|read| (read.poll.at, read.poll.offset)));
        reads.sort_unstable();
        let partition = *partition;
        GroupPartition { group, topic, partition, assignments, commits, reads }
    }

    fn is_member(&self, stream: usize, wanted: &str) -> bool {
        let stream = self.survey.streams.get(stream);
        stream.is_some_and(|stream| match &stream.header.client {
            Client::GroupConsumer { group, .. } => group == wanted,
            _ => false,
        })
    }
}
