//! What was read: the same by everybody, and unharmed.

use super::finding::{Anomaly, Finding, Weight};
use super::index::{LogIndex, OtherRead, PartitionLog};
use super::survey::identity;
use super::witness::{observed, reader};
use crate::judge::durability::LostAck;
use crate::record::history::{Observed, Poll};

/// `divergent-read`: see the table in [`check`](super).
pub(super) fn divergent(index: &LogIndex<'_>, finding: &mut Finding<'_>) {
    for log in index.partitions.values() {
        finding.examined(log.facts.reads());
        for reads in log.others.chunk_by(|a, b| a.poll.offset == b.poll.offset) {
            let drained = log.at(reads[0].poll.offset).map(|poll| (poll, None));
            let (reference, by) = drained.unwrap_or((&reads[0].poll, reads[0].consumer));
            let Some(other) = reads.iter().find(|read| read.poll.record != reference.record) else {
                continue;
            };
            if let Some(by) = explanation(log, reads, reference) {
                finding.explained(by);
                continue;
            }
            // What is read is below the high watermark: all in-sync replicas had what was read first.
            let (topic, partition, offset) = (log.topic, log.partition, other.poll.offset);
            let acked = other.poll.at.min(reference.at);
            let then = "when it was read";
            let lost = LostAck { topic, partition, offset, acked, acks_all: true, then };
            finding.found_lost(Weight::Violation, lost, || Anomaly {
                topic,
                partition,
                offset: Some(offset),
                at: Some(other.poll.at),
                what: format!(
                    "at offset {}, {} read {} and {} read {}",
                    other.poll.offset,
                    reader(other.consumer),
                    observed(&other.poll.record),
                    reader(by),
                    observed(&reference.record)
                ),
            });
        }
    }
    if !index.survey.has_group() {
        finding.none_due("no consumer group: every offset was read once, by the drain");
    }
}

/// The check that has found all but one of the records that were read at one offset to be there
/// wrongly, or no more.
fn explanation(
    log: &PartitionLog<'_>,
    reads: &[OtherRead],
    reference: &Poll,
) -> Option<&'static str> {
    let mut explained = None;
    let mut sound: Option<&Observed> = None;
    for poll in reads.iter().map(|read| &read.poll).chain([reference]) {
        let by = match &poll.record {
            Observed::Corrupt => Some("corrupt"),
            Observed::OtherRun { .. } | Observed::Foreign => Some("phantom"),
            Observed::Record(id) => log.broken_ack(poll.offset, identity(id)),
        };
        match (by, sound) {
            (Some(by), _) => explained = Some(by),
            (None, Some(other)) if *other != poll.record => return None,
            (None, _) => sound = Some(&poll.record),
        }
    }
    explained
}

/// `corrupt`: see the table in [`check`](super).
pub(super) fn corrupt(index: &LogIndex<'_>, finding: &mut Finding<'_>) {
    for log in index.partitions.values() {
        finding.examined(log.facts.log.offsets.count() + log.facts.reads());
        let drained = log.log.iter().map(|poll| (poll, None));
        let live = log.others.iter().map(|read| (&read.poll, read.consumer));
        let mut bad: Vec<_> =
            drained.chain(live).filter(|(poll, _)| poll.record == Observed::Corrupt).collect();
        bad.sort_by_key(|(poll, _)| poll.offset);
        bad.dedup_by_key(|(poll, _)| poll.offset);
        for (poll, consumer) in bad {
            finding.found(Weight::Violation, || Anomaly {
                topic: log.topic,
                partition: log.partition,
                offset: Some(poll.offset),
                at: Some(poll.at),
                what: format!(
                    "{} read a record at offset {} whose checksum does not match",
                    reader(consumer),
                    poll.offset
                ),
            });
        }
    }
}
