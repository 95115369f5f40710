//! Acked records that a group never got: end to end they took longer than can be said.
//!
//! A group waits for what was acked since it was assigned a partition for the first time. What it got is kept as
//! intervals of sequences, of each producer and partition: those of a run in which nothing is missing are one.

use std::collections::BTreeMap;

use crate::judge::check::Intervals;
use crate::record::clock::RunTime;
use crate::record::history::{Client, Entry, Observed, Partition, Poll, Send, SendOutcome};

/// Producer, its incarnation, and partition.
type WriterOnPartition = (u16, u16, Partition);

/// What one group got of a topic.
#[derive(Debug, Default)]
pub(crate) struct Got {
    /// When it was assigned a partition for the first time.
    began: Option<RunTime>,
    sequences: BTreeMap<WriterOnPartition, Intervals>,
}

/// What all groups got, by topic and group.
#[derive(Debug, Default)]
pub(crate) struct GroupsGot(BTreeMap<String, BTreeMap<String, Got>>);

impl GroupsGot {
    /// The fold of what a member of `group` saw.
    pub(crate) fn member(&mut self, topic: &str, group: &str) -> &mut Got {
        let groups = self.0.entry(topic.to_owned()).or_default();
        groups.entry(group.to_owned()).or_default()
    }

    /// How many groups there are, a topic each.
    pub(crate) fn groups(&self) -> u64 {
        self.0.values().map(|groups| groups.len() as u64).sum()
    }

    /// How many groups of the topic never got what `client` sent, although it was acked when they had begun.
    pub(crate) fn missing(&self, topic: &str, client: &Client, send: &Send) -> u64 {
        let &Client::Producer { producer, incarnation, .. } = client else { return 0 };
        let SendOutcome::Acked { .. } = send.outcome else { return 0 };
        let of = (producer, incarnation, send.partition);
        let sequence = i64::try_from(send.sequence).unwrap_or(i64::MAX);
        let misses = |got: &&Got| {
            got.began.is_none_or(|began| began <= send.done)
                && !got.sequences.get(&of).is_some_and(|got| got.contains(sequence))
        };
        self.0.get(topic).map_or(0, |groups| groups.values().filter(misses).count() as u64)
    }
}

impl Got {
    /// Adds what a member saw next.
    pub(crate) fn add(&mut self, entry: &Entry) {
        match entry {
            Entry::Poll(Poll { record: Observed::Record(id), .. }) => {
                let of = (id.producer, id.incarnation, id.partition);
                let got = self.sequences.entry(of).or_default();
                got.insert(i64::try_from(id.sequence).unwrap_or(i64::MAX));
            }
            Entry::Assigned { at, .. } => {
                self.began = Some(self.began.map_or(*at, |began| began.min(*at)));
            }
            _ => {}
        }
    }
}
