//! Records in the log that should be there once, or not at all.

use super::finding::{Anomaly, Finding, Weight};
use super::index::{LogIndex, PartitionLog, Sends};
use super::survey::identity;
use super::witness::{name, observed, reader};
use super::{NEW_EPOCH, NeededPart};
use crate::record::history::{Ending, Observed, Poll, SendOutcome};

/// `duplicate`: see the table in [`check`](super).
pub(super) fn duplicate(index: &LogIndex<'_>, finding: &mut Finding<'_>) {
    for log in index.partitions.values() {
        finding.examined(log.facts.log.different(|writer| log.facts.has_writer(writer)));
        let records = log.by_identity();
        for copies in records.chunk_by(|(a, _), (b, _)| identity(a) == identity(b)) {
            let &[(id, first), ref more @ ..] = copies else {
                continue;
            };
            let Some(Sends { writer, .. }) = log.writer_of(id) else {
                continue;
            };
            for &(_, again) in more {
                let (violation, epochs) = match (log.epoch_at(first), log.epoch_at(again)) {
                    (Some(one), Some(other)) if one == other => {
                        (Weight::Violation, "in the same producer epoch")
                    }
                    (Some(_), Some(_)) => {
                        (finding.unless_allowed(NEW_EPOCH), "in a new producer epoch")
                    }
                    _ => {
                        let unread = !index.survey.missing(NeededPart::Batches).is_empty();
                        let allowed = finding.unless_allowed(NEW_EPOCH) == Weight::Allowed;
                        let doubtful = unread && allowed;
                        let weight = if doubtful { Weight::Doubtful } else { Weight::Violation };
                        (weight, "in a producer epoch that is not known")
                    }
                };
                let weight = if writer.idempotent { violation } else { Weight::Counted };
                finding.found(weight, || Anomaly {
                    topic: log.topic,
                    partition: log.partition,
                    offset: Some(again),
                    at: log.sent_at(id),
                    what: format!(
                        "{} is at offset {first} and again at offset {again}, {epochs}",
                        name(identity(id))
                    ),
                });
            }
        }
    }
}

/// `phantom`: see the table in [`check`](super).
pub(super) fn phantom(index: &LogIndex<'_>, finding: &mut Finding<'_>) {
    for log in index.partitions.values() {
        let drained = log.log.iter().map(|poll| (poll, None));
        let reads = log.others.iter().map(|read| (&read.poll, read.consumer));
        let live: Vec<_> = reads
            .filter(|(poll, _)| log.at(poll.offset).is_none_or(|l| l.record != poll.record))
            .collect();
        let other = live.iter().filter(|(poll, _)| log.at(poll.offset).is_some()).count() as u64;
        let facts = log.facts;
        finding.examined(facts.log.offsets.count() + facts.reads_outside_log() + other);
        for (poll, consumer) in drained.chain(live) {
            if let Some((weight, why)) = never_sent(log, poll) {
                finding.found(weight, || Anomaly {
                    topic: log.topic,
                    partition: log.partition,
                    offset: Some(poll.offset),
                    at: Some(poll.at),
                    what: format!(
                        "{} read {} at offset {}, {why}",
                        reader(consumer),
                        observed(&poll.record),
                        poll.offset
                    ),
                });
            }
        }
    }
}

/// Why this record cannot have come from this run's producers; `None` if it can.
fn never_sent(log: &PartitionLog<'_>, poll: &Poll) -> Option<(Weight, String)> {
    let id = match &poll.record {
        Observed::Record(id) => id,
        // Of a log that was deleted before, or of somebody who writes now: which of them is not known.
        Observed::OtherRun { .. } => {
            return Some((Weight::Doubtful, "which is not this run".to_owned()));
        }
        Observed::Foreign => {
            return Some((
                Weight::Doubtful,
                "so that somebody else writes to the topic".to_owned(),
            ));
        }
        Observed::Corrupt => return None,
    };
    if id.partition != log.partition {
        let why = format!("which was sent to partition {}", id.partition);
        return Some((Weight::Violation, why));
    }
    let writer = log.writer_of(id);
    match writer.and_then(|sends| sends.send(id.sequence)) {
        Some(send) if (send.key, send.due) == (id.key, id.due) => None,
        Some(_) => {
            let why = "which was sent with another key or due time".to_owned();
            Some((Weight::Violation, why))
        }
        None => {
            let weight = match writer.map(|sends| sends.ending) {
                // It was under way when its producer was killed: as an open send, it may be there.
                Some(Ending::Killed) => return None,
                Some(Ending::Truncated { .. }) => Weight::Doubtful,
                Some(Ending::Complete) | None => Weight::Violation,
            };
            Some((weight, "which has no send in the history".to_owned()))
        }
    }
}

/// `failed-visible`: see the table in [`check`](super).
pub(super) fn failed_visible(index: &LogIndex<'_>, finding: &mut Finding<'_>) {
    let mut failed = 0;
    for log in index.partitions.values() {
        failed += log.facts.failed();
        for Sends { writer, sends, .. } in &log.writers {
            for send in sends {
                let SendOutcome::Failed { code } = send.outcome else {
                    continue;
                };
                let record = writer.identity(send);
                if let Some(&offset) = log.facts.log.copies(record).first() {
                    finding.found(Weight::Violation, || Anomaly {
                        topic: log.topic,
                        partition: log.partition,
                        offset: Some(offset),
                        at: Some(send.done),
                        what: format!(
                            "{} failed for certain (error {code}) and is at offset {offset}",
                            name(record)
                        ),
                    });
                }
            }
        }
    }
    finding.examined(failed);
    if failed == 0 {
        finding.none_due("no send failed for certain");
    }
}
