//! What the direct producer tells of the others' outages: it goes to the same partitions without librdkafka.
//!
//! While the cluster is ready by its metadata, and the direct producer is not answered either, no client
//! is what a partition waits for. Where it was answered long before the main load was, the rest is
//! librdkafka's.

use std::collections::BTreeMap;
use std::time::Duration;

use super::operations::OperationsFold;
use super::{PartitionRecovery, StreamKind};
use crate::judge::timeline::Interval;
use crate::record::clock::RunTime;
use crate::record::history::Partition;

/// How much later than it could the direct producer may have been answered: it asks four times a second for a
/// record and, while something is wrong, for the leader, and not longer than half a second in vain.
const POLLING: Duration = Duration::from_secs(1);

/// How much earlier than the main load it has to be answered to be worth a word, in seconds: twice that.
const EARLIER_S: f64 = 2.0;

/// When the direct producer was not answered, by topic and partition.
#[derive(Debug, Default)]
pub(super) struct Unanswered<'a>(BTreeMap<&'a str, BTreeMap<Partition, Vec<Interval>>>);

impl<'a> Unanswered<'a> {
    pub(super) fn of(operations: &'a OperationsFold) -> Self {
        let mut spans = Self::default();
        let direct = operations.all.iter().filter(|((kind, ..), _)| *kind == StreamKind::Direct);
        for ((_, topic, partition), clients) in direct {
            let gaps = super::gaps(clients).into_iter().map(|(_, _, gap)| {
                let known = gap.end.0.saturating_sub(POLLING.as_nanos() as u64);
                (gap.start, RunTime(known))
            });
            let of_topic = spans.0.entry(topic).or_default();
            of_topic.insert(*partition, gaps.filter(|(from, to)| from < to).collect());
        }
        spans
    }

    /// When it was not answered by a partition.
    pub(super) fn on(&self, topic: &str, partition: Partition) -> &[Interval] {
        self.0.get(topic).and_then(|of| of.get(&partition)).map_or(&[], Vec::as_slice)
    }
}

/// The direct producer's figure of what this row of the main load tells of; `None` where there is none, or
/// it ended before the outage did.
pub(crate) fn beside<'r>(
    row: &PartitionRecovery,
    rows: &'r [PartitionRecovery],
) -> Option<&'r PartitionRecovery> {
    let of_main = row.stream == StreamKind::Main && row.interrupted;
    let mut rows = rows.iter().filter(|other| {
        (&other.fault, &other.topic, other.partition) == (&row.fault, &row.topic, row.partition)
    });
    rows.find(|other| of_main && other.stream == StreamKind::Direct && !other.censored)
}

/// Says in the main load's rows where the direct producer was answered much earlier.
pub(super) fn say_answered_earlier(rows: &mut [PartitionRecovery]) {
    let earlier = |row: &PartitionRecovery| {
        let seconds = row.unavailable_s - beside(row, rows)?.unavailable_s;
        (seconds > EARLIER_S).then_some(seconds)
    };
    let all: Vec<Option<f64>> = rows.iter().map(earlier).collect();
    for (row, earlier) in rows.iter_mut().zip(all) {
        let Some(seconds) = earlier else { continue };
        let said = format!(
            "the direct producer was answered {seconds:.1} s earlier: for so long librdkafka's client was \
             stuck, and not the cluster"
        );
        row.note =
            Some(row.note.take().map_or_else(|| said.clone(), |note| format!("{note}; {said}")));
    }
}
