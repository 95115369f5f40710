//! When groups got the first record that was due in each fault's window.

use std::collections::BTreeMap;

use crate::judge::timeline::Timeline;
use crate::record::clock::RunTime;
use crate::record::history::{Observed, Partition, Poll};

/// Of each partition, by position of the fault: the earliest arrival of a record due in its window.
#[derive(Debug, Default)]
pub(crate) struct Consumed {
    first: BTreeMap<(String, Partition), BTreeMap<usize, RunTime>>,
}

impl Consumed {
    /// Folds one stream of a group's member.
    pub(crate) fn stream<'a>(timeline: &'a Timeline<'a>) -> StreamConsumed<'a> {
        StreamConsumed { timeline, first: BTreeMap::new() }
    }

    /// Adds what was folded of a stream.
    pub(crate) fn merge(&mut self, topic: &str, stream: StreamConsumed<'_>) {
        for ((partition, fault), at) in stream.first {
            let of_partition = self.first.entry((topic.to_owned(), partition)).or_default();
            let first = of_partition.entry(fault).or_insert(at);
            *first = at.min(*first);
        }
    }

    /// When the first record arrived that was due in the window of the fault at this position.
    pub(super) fn first(&self, topic: &str, partition: Partition, fault: usize) -> Option<RunTime> {
        self.first.get(&(topic.to_owned(), partition))?.get(&fault).copied()
    }
}

/// The same of one stream.
pub(crate) struct StreamConsumed<'a> {
    timeline: &'a Timeline<'a>,
    first: BTreeMap<(Partition, usize), RunTime>,
}

impl StreamConsumed<'_> {
    pub(crate) fn add(&mut self, poll: &Poll) {
        let Observed::Record(record) = &poll.record else {
            return;
        };
        // Windows do not overlap.
        let faults = &self.timeline.faults;
        let begun = faults.partition_point(|fault| fault.injecting <= record.due);
        let Some(position) = begun.checked_sub(1) else {
            return;
        };
        if faults[position].contains(record.due) {
            let first = self.first.entry((poll.partition, position)).or_insert(poll.at);
            *first = poll.at.min(*first);
        }
    }
}
