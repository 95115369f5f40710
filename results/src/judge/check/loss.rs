//! Acked records that L does not hold where, or at all, as the ack said.

use super::finding::{Anomaly, Finding, Weight};
use super::index::{LogIndex, PartitionLog};
use super::survey::{RecordIdentity, WriterFacts};
use super::witness::{name, observed};
use crate::judge::durability::{AT_ACK, LostAck};
use crate::record::history::Send;
use crate::terminal::counted;

/// Where an acked record is.
enum Fate {
    /// At the offset of its ack (or what is there cannot be read, and is judged as corrupt).
    AsAcked,
    /// Only at this other offset.
    Elsewhere(i64),
    /// Nowhere, although the drain has passed the offset of its ack.
    Absent,
    /// Nowhere, and the log ends before the offset of its ack.
    BeyondEnd,
    /// Not known: the drain did not come as far, or had begun before the ack.
    NotRead,
    /// Nowhere, as a policy may have it.
    Deleted,
}

/// What a check finds wrong with an ack.
enum Wrong {
    Nothing,
    /// This, in a sentence.
    This(String),
    /// What the check of this name has found.
    ExplainedBy(&'static str),
}

fn fate(log: &PartitionLog<'_>, writer: &WriterFacts, send: &Send, offset: i64) -> Fate {
    let whole = &log.facts.log;
    let copies = whole.copies(writer.identity(send));
    if whole.corrupt.contains(offset) || copies.contains(&offset) {
        Fate::AsAcked
    } else if let Some(&at) = copies.first() {
        Fate::Elsewhere(at)
    } else if log.acked_again(offset, send) {
        Fate::Absent
    } else if whole.absence(offset, send.key).is_some() {
        Fate::Deleted
    } else if whole.drained.is_some_and(|drained| offset >= drained.end_offset) {
        if whole.came_late(send.done) { Fate::NotRead } else { Fate::BeyondEnd }
    } else if offset < whole.covered() {
        Fate::Absent
    } else {
        Fate::NotRead
    }
}

/// Acks with a promise that L does not bear out, by offset; with the check that finds it violated.
pub(super) fn broken_acks(log: &PartitionLog<'_>) -> Vec<(i64, RecordIdentity, &'static str)> {
    let promised = log.acked().filter(|(writer, ..)| writer.of_load && writer.acks_all);
    let broken = promised.filter_map(|(writer, send, offset)| {
        let by = match fate(log, writer, send, offset) {
            Fate::Absent => "lost",
            Fate::BeyondEnd => "lost-tail",
            Fate::Elsewhere(_) => "offset-mismatch",
            Fate::AsAcked | Fate::NotRead | Fate::Deleted => return None,
        };
        Some((offset, writer.identity(send), by))
    });
    let mut broken: Vec<_> = broken.collect();
    broken.sort_unstable();
    broken
}

/// What a missing record means depends on what its ack promised.
fn weight(writer: &WriterFacts) -> Weight {
    if writer.acks_all { Weight::Violation } else { Weight::Counted }
}

/// Where nothing is acked, no ack can be wrong.
fn without_acks(index: &LogIndex<'_>, finding: &mut Finding<'_>) {
    if let Some(acks) = index.survey.other_acks(|acks| acks != 0) {
        finding.not_applicable(&acks);
    }
}

/// Calls `judge` for every ack of the load whose fate is known; it returns what is wrong.
fn each_ack(
    index: &LogIndex<'_>,
    finding: &mut Finding<'_>,
    judge: impl Fn(&PartitionLog<'_>, &str, i64, Fate) -> Wrong,
) {
    without_acks(index, finding);
    for log in index.partitions.values() {
        finding.examined(log.facts.kept_or_not());
        for (writer, send, offset) in log.acked().filter(|(writer, ..)| writer.of_load) {
            let fate = fate(log, writer, send, offset);
            if matches!(fate, Fate::NotRead | Fate::AsAcked | Fate::Deleted) {
                continue;
            }
            let record = name(writer.identity(send));
            match judge(log, &record, offset, fate) {
                Wrong::Nothing => {}
                Wrong::ExplainedBy(check) => finding.explained(check),
                Wrong::This(what) => {
                    let (topic, partition, acked) = (log.topic, log.partition, send.done);
                    let acks_all = writer.acks_all;
                    let ack = LostAck { topic, partition, offset, acked, acks_all, then: AT_ACK };
                    finding.found_lost(weight(writer), ack, || Anomaly {
                        topic,
                        partition,
                        offset: Some(offset),
                        at: Some(acked),
                        what,
                    });
                }
            }
        }
    }
}

/// What policies took: counted and shown where it is known, else nothing can be told of it.
fn deleted_by_policy(index: &LogIndex<'_>, finding: &mut Finding<'_>) {
    let (mut superseded, mut deleted, mut partitions) = (0, 0, Vec::new());
    for log in index.partitions.values() {
        superseded += log.facts.superseded();
        let (count, start) = (log.facts.before_start().count(), log.facts.log.start());
        if count == 0 {
            continue;
        }
        let place = format!("{}-{}", log.topic, log.partition);
        match finding.deleted(log.topic, log.partition, start) {
            Some(by) => {
                deleted += count;
                partitions.push(format!("{place} by {by}"));
            }
            None => {
                let seen = finding.start_seen(log.topic, log.partition, start);
                let seen = seen.map(|at| format!(" since {:.1} s at the latest", at.as_secs_f64()));
                finding.doubt(&format!(
                    "{place} begins at offset {start}{}, behind {}, and no broker's log tells who deleted them",
                    seen.unwrap_or_default(),
                    counted(count, "acked record")
                ));
            }
        }
    }
    if let Some(first) = partitions.first() {
        finding.note(format!(
            "{} of {} deleted by policy: {first}",
            counted(deleted, "acked record"),
            counted(partitions.len() as u64, "partition")
        ));
    }
    if superseded > 0 {
        let acked = counted(superseded, "acked record");
        if finding.policies_are_unknown() {
            finding.doubt(&format!(
                "{acked} absent whose keys have newer ones, and whether the topic is compacted is not known"
            ));
        } else {
            finding.note(format!(
                "{acked} deleted by policy: cleanup.policy=compact keeps the newest record of each key"
            ));
        }
    }
}

/// `lost`: see the table in [`check`](super).
pub(super) fn lost(index: &LogIndex<'_>, finding: &mut Finding<'_>) {
    deleted_by_policy(index, finding);
    each_ack(index, finding, |log, record, offset, fate| {
        let Fate::Absent = fate else { return Wrong::Nothing };
        let read = &log.facts.log.offsets;
        let before = read.before(offset);
        let at = read.contains(offset).then_some(offset);
        let after = offset.checked_add(1).and_then(|next| read.at_or_after(next));
        let near: Vec<_> =
            [before, at, after].into_iter().flatten().map(|o| o.to_string()).collect();
        let near = match near.split_last() {
            None => "nothing at all".to_owned(),
            Some((only, [])) => format!("offset {only}"),
            Some((last, others)) => format!("offsets {} and {last}", others.join(", ")),
        };
        Wrong::This(format!("acked {record} at offset {offset} is absent; the drain read {near}"))
    });
}

/// `lost-tail`: see the table in [`check`](super).
pub(super) fn lost_tail(index: &LogIndex<'_>, finding: &mut Finding<'_>) {
    each_ack(index, finding, |log, record, offset, fate| {
        let Fate::BeyondEnd = fate else { return Wrong::Nothing };
        let end = log.facts.log.drained.map_or(0, |drained| drained.end_offset);
        Wrong::This(format!(
            "acked {record} at offset {offset} is absent; the log ends at offset {end}"
        ))
    });
}

/// `offset-mismatch`: see the table in [`check`](super).
pub(super) fn offset_mismatch(index: &LogIndex<'_>, finding: &mut Finding<'_>) {
    each_ack(index, finding, |log, record, offset, fate| {
        let there = log.at(offset).map(|poll| observed(&poll.record));
        match (fate, there) {
            (Fate::Elsewhere(found), there) => {
                let there = there.unwrap_or_else(|| "nothing".to_owned());
                Wrong::This(format!(
                    "{record} was acked at offset {offset} and is at offset {found}; the drain \
                     read {there} at offset {offset}"
                ))
            }
            (Fate::Absent, Some(_)) => Wrong::ExplainedBy("lost"),
            _ => Wrong::Nothing,
        }
    });
}
