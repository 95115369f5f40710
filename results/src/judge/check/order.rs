//! The order of records in a partition: that of each producer, and that of real time.

use super::finding::{Anomaly, Finding, Weight};
use super::index::{LogIndex, PartitionLog, Sends};
use super::survey::{WriterFacts, identity};
use super::witness::name;
use crate::record::history::{Observed, RecordId, Send, SendOutcome};

/// `order-producer`: see the table in [`check`](super).
pub(super) fn producer(index: &LogIndex<'_>, finding: &mut Finding<'_>) {
    for log in index.partitions.values() {
        let whole = &log.facts.log;
        finding.examined(whole.written_by(|writer| log.facts.has_writer(writer)));
        // Of each writer, the highest sequence so far and its offset.
        let mut highest: Vec<(&RecordId, i64)> = Vec::new();
        for poll in &log.log {
            let Observed::Record(id) = &poll.record else {
                continue;
            };
            let Some(Sends { writer, .. }) = log.writer_of(id) else {
                continue;
            };
            if id.partition != log.partition {
                continue;
            }
            let same = |(other, _): &&mut (&RecordId, i64)| {
                (other.producer, other.incarnation) == (id.producer, id.incarnation)
            };
            let Some(top) = highest.iter_mut().find(same) else {
                highest.push((id, poll.offset));
                continue;
            };
            let record = identity(id);
            let (sequence, offset) = (top.0.sequence, top.1);
            if id.sequence >= sequence {
                *top = (id, poll.offset);
            } else if whole.copies(record).first() == Some(&poll.offset) {
                let weight = if writer.idempotent { Weight::Violation } else { Weight::Counted };
                finding.found(weight, || Anomaly {
                    topic: log.topic,
                    partition: log.partition,
                    offset: Some(poll.offset),
                    at: log.sent_at(id),
                    what: format!(
                        "{} is at offset {}, after sequence {sequence} at offset {offset}",
                        name(record),
                        poll.offset
                    ),
                });
            }
        }
    }
}

/// A send with a place in the log.
struct Placed<'a> {
    writer: &'a WriterFacts,
    send: &'a Send,
    offset: i64,
    /// The check that finds that it is not there, though acked, if one does.
    broken: Option<&'static str>,
}

/// `order-realtime`: see the table in [`check`](super).
///
/// One sweep over the sends in the order in which they began, beside the acks in the order in
/// which they came; the highest offset acked so far is the bound. A record that is not where its ack
/// said has no place in the order: what is wrong with it is that, and is found by another check.
pub(super) fn realtime(index: &LogIndex<'_>, finding: &mut Finding<'_>) {
    if let Some(acks) = index.survey.other_acks(|acks| acks == -1) {
        finding.not_applicable(&acks);
    }
    for log in index.partitions.values() {
        let mut begun = placed(log);
        begun.sort_by_key(|placed| placed.send.sent);
        finding.examined(log.facts.ordered());
        let mut acked: Vec<&Placed<'_>> = begun
            .iter()
            .filter(|placed| matches!(placed.send.outcome, SendOutcome::Acked { .. }))
            .collect();
        acked.sort_by_key(|placed| placed.send.done);
        let mut acks = acked.into_iter().peekable();
        // Of the acks that L bears out, and of those that it does not.
        let (mut kept, mut broken): (Option<&Placed<'_>>, Option<&Placed<'_>>) = (None, None);
        for placed in &begun {
            while let Some(ack) = acks.next_if(|ack| ack.send.done < placed.send.sent) {
                let highest = if ack.broken.is_some() { &mut broken } else { &mut kept };
                if highest.is_none_or(|highest| ack.offset > highest.offset) {
                    *highest = Some(ack);
                }
            }
            let bounds = |bound: &&Placed<'_>| placed.offset <= bound.offset;
            let (kept, broken) = (kept.filter(bounds), broken.filter(bounds));
            let Some(bound) = kept.or(broken) else {
                continue;
            };
            if let Some(by) = placed.broken.or(bound.broken) {
                finding.explained(by);
            } else {
                finding.found(Weight::Violation, || Anomaly {
                    topic: log.topic,
                    partition: log.partition,
                    offset: Some(placed.offset),
                    at: Some(placed.send.sent),
                    what: format!(
                        "{} is at offset {}, but was sent {:.6} s after {} had been acked at \
                         offset {}",
                        name(placed.writer.identity(placed.send)),
                        placed.offset,
                        placed.send.sent.secs_since(bound.send.done),
                        name(bound.writer.identity(bound.send)),
                        bound.offset
                    ),
                });
            }
        }
    }
}

/// The sends with acks=all that have a place: the one that the ack named, else L's first copy.
fn placed<'a>(log: &'a PartitionLog<'_>) -> Vec<Placed<'a>> {
    let mut all = Vec::new();
    for Sends { writer, sends, .. } in log.writers.iter().filter(|sends| sends.writer.acks_all) {
        // Of times that cannot be, no order is concluded.
        for send in sends.iter().filter(|send| send.sent <= send.done) {
            let offset = match send.outcome {
                SendOutcome::Acked { offset } => Some(offset),
                _ => log.facts.log.copies(writer.identity(send)).first().copied(),
            };
            all.extend(offset.map(|offset| {
                let broken = log.broken_ack(offset, writer.identity(send));
                Placed { writer, send, offset, broken }
            }));
        }
    }
    all
}
