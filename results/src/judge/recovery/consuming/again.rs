//! Records that a group got more than once: which delivery was the first, and which came after it.

use std::collections::BTreeMap;

use super::member::DeliveredRun;
use super::zones::Zone;
use crate::judge::check::Intervals;
use crate::record::clock::RunTime;
use crate::record::history::{Partition, Poll};

/// How many records a group got.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Deliveries {
    /// For the first time.
    pub(super) first: u64,
    /// Again.
    pub(super) again: u64,
}

/// Offsets that a member got although the group had got them before.
#[derive(Debug, Clone, Copy)]
struct Again {
    first: i64,
    last: i64,
    from: RunTime,
    to: RunTime,
}

/// Deliveries that were not the first of their record.
#[derive(Debug, Default)]
pub(crate) struct Redelivered {
    /// By the number of the member's stream.
    streams: BTreeMap<(usize, Partition), Vec<Again>>,
}

impl Redelivered {
    /// Whether what this stream tells of came again.
    pub(crate) fn is(&self, stream: usize, poll: &Poll) -> bool {
        let ranges = self.streams.get(&(stream, poll.partition));
        ranges.into_iter().flatten().any(|again| {
            let offsets = again.first..=again.last;
            offsets.contains(&poll.offset) && (again.from..=again.to).contains(&poll.at)
        })
    }

    /// Counts what a group got of a partition; of members that read at the same time, what the one got
    /// that began first came first.
    pub(super) fn count(
        &mut self,
        partition: Partition,
        mut runs: Vec<DeliveredRun>,
    ) -> BTreeMap<Zone, Deliveries> {
        runs.sort_by_key(|run| (run.from, run.first));
        // After a cut of the log the same offsets name other records.
        let mut generations: BTreeMap<usize, Intervals> = BTreeMap::new();
        let mut deliveries: BTreeMap<Zone, Deliveries> = BTreeMap::new();
        for run in runs {
            let DeliveredRun { stream, zone, generation, first, last, from, to } = run;
            let seen = generations.entry(generation).or_default();
            let again = seen.within(first, last);
            let count = |(first, last): &(i64, i64)| last.abs_diff(*first) + 1;
            let repeated: u64 = again.iter().map(count).sum();
            let found = deliveries.entry(zone).or_default();
            found.again += repeated;
            found.first += count(&(first, last)) - repeated;
            if repeated > 0 {
                let ranges = again.into_iter().map(|(first, last)| Again { first, last, from, to });
                self.streams.entry((stream, partition)).or_default().extend(ranges);
            }
            seen.insert_all(first, last);
        }
        deliveries
    }
}
