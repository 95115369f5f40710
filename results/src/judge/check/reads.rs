//! What was read: the same by everybody, and unharmed.

use super::finding::{Anomaly, Finding, Weight};
use super::index::{LogIndex, Read};
use super::words::{observed, reader};
use crate::record::history::Observed;

/// `divergent-read`: see the table in [`check`](super).
pub(super) fn divergent(index: &LogIndex<'_>, finding: &mut Finding<'_>) {
    for log in index.partitions.values() {
        for reads in log.others.chunk_by(|a, b| a.poll.offset == b.poll.offset) {
            let drained = log.at(reads[0].poll.offset);
            let drained = drained.map(|poll| Read { poll, consumer: None });
            let reference = drained.as_ref().unwrap_or(&reads[0]);
            finding.examined(reads.len());
            let differs = |read: &&Read<'_>| read.poll.record != reference.poll.record;
            let Some(other) = reads.iter().find(differs) else {
                continue;
            };
            finding.found(Weight::Violation, || Anomaly {
                topic: log.topic,
                partition: log.partition,
                offset: Some(other.poll.offset),
                at: Some(other.poll.at),
                what: format!(
                    "at offset {}, {} read {} and {} read {}",
                    other.poll.offset,
                    reader(other.consumer),
                    observed(&other.poll.record),
                    reader(reference.consumer),
                    observed(&reference.poll.record)
                ),
            });
        }
    }
    if !index.has_group {
        finding.none_due("no consumer group: every offset was read once, by the drain");
    }
}

/// `corrupt`: see the table in [`check`](super).
pub(super) fn corrupt(index: &LogIndex<'_>, finding: &mut Finding<'_>) {
    for log in index.partitions.values() {
        let drained = log.log.iter().map(|&poll| (poll, None));
        let live = log.others.iter().map(|read| (read.poll, read.consumer));
        let mut bad = Vec::new();
        for (poll, consumer) in drained.chain(live) {
            finding.examined(1);
            if poll.record == Observed::Corrupt {
                bad.push((poll, consumer));
            }
        }
        bad.sort_by_key(|(poll, _)| poll.offset);
        bad.dedup_by_key(|(poll, _)| poll.offset);
        for (poll, consumer) in bad {
            finding.found(Weight::Violation, || Anomaly {
                topic: log.topic,
                partition: log.partition,
                offset: Some(poll.offset),
                at: Some(poll.at),
                what: format!(
                    "{} read a record at offset {} that is not one of kbench's, or whose checksum \
                     does not match",
                    reader(consumer),
                    poll.offset
                ),
            });
        }
    }
}
