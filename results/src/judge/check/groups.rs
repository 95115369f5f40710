//! What one consumer group did with one partition, from the streams of all its members, in the
//! order of the run's clock.

use std::collections::{BTreeMap, HashMap};

use crate::record::clock::RunTime;
use crate::record::history::{Client, Entry, Partition, Poll, Stream};

/// One group and one partition.
pub(super) struct GroupPartition<'a> {
    pub(super) group: &'a str,
    pub(super) topic: &'a str,
    pub(super) partition: Partition,
    /// By time.
    pub(super) assignments: Vec<Assignment<'a>>,
    /// Accepted commits, by time of the answer.
    pub(super) commits: Vec<Commit>,
    /// (time, offset) of every record that a member read, by time.
    pub(super) polls: Vec<(RunTime, i64)>,
}

/// A member was given the partition.
pub(super) struct Assignment<'a> {
    pub(super) consumer: u16,
    pub(super) at: RunTime,
    pub(super) committed: Option<i64>,
    /// The first record that it read then, before the partition was taken from it again.
    pub(super) first: Option<&'a Poll>,
}

/// A commit that the broker accepted.
#[derive(Debug, Clone, Copy)]
pub(super) struct Commit {
    pub(super) consumer: u16,
    pub(super) at: RunTime,
    pub(super) offset: i64,
    /// Whether the consumer still held the partition when the answer came.
    pub(super) held: bool,
}

impl<'a> GroupPartition<'a> {
    /// What the groups among these streams did, by group, topic and partition.
    pub(super) fn collect(streams: &[&'a Stream]) -> Vec<Self> {
        let mut groups = BTreeMap::new();
        for stream in streams {
            if let Client::GroupConsumer { consumer, group } = &stream.header.client {
                add_member(&mut groups, stream, *consumer, group);
            }
        }
        let mut groups: Vec<Self> = groups.into_values().collect();
        for group in &mut groups {
            group.assignments.sort_by_key(|assignment| assignment.at);
            group.commits.sort_by_key(|commit| commit.at);
            group.polls.sort_unstable();
        }
        groups
    }
}

fn add_member<'a>(
    groups: &mut BTreeMap<(&'a str, &'a str, Partition), GroupPartition<'a>>,
    stream: &'a Stream,
    consumer: u16,
    group: &'a str,
) {
    let topic = &*stream.header.topic;
    // The assignment that this member holds now, as an index into the partition's assignments.
    let mut held: HashMap<Partition, usize> = HashMap::new();
    for entry in &stream.entries {
        let partition = match *entry {
            Entry::Poll(Poll { partition, .. })
            | Entry::Assigned { partition, .. }
            | Entry::Revoked { partition, .. }
            | Entry::Commit { partition, error: None, .. } => partition,
            _ => continue,
        };
        let seen = groups.entry((group, topic, partition)).or_insert_with(|| GroupPartition {
            group,
            topic,
            partition,
            assignments: Vec::new(),
            commits: Vec::new(),
            polls: Vec::new(),
        });
        match *entry {
            Entry::Poll(ref poll) => {
                seen.polls.push((poll.at, poll.offset));
                if let Some(&at) = held.get(&partition) {
                    seen.assignments[at].first.get_or_insert(poll);
                }
            }
            Entry::Assigned { at, committed, .. } => {
                held.insert(partition, seen.assignments.len());
                seen.assignments.push(Assignment { consumer, at, committed, first: None });
            }
            Entry::Revoked { .. } => {
                held.remove(&partition);
            }
            Entry::Commit { at, offset, .. } => {
                let held = held.contains_key(&partition);
                seen.commits.push(Commit { consumer, at, offset, held });
            }
            _ => {}
        }
    }
}
