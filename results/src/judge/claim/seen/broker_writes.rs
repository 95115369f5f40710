//! Who took writes of a partition, by the producers that write to a broker each whoever leads.
//!
//! A *term* is a time in which ZooKeeper names one leader. In a term the partition is contested where another broker was
//! written to after the leader had taken a write: had both taken it then, there were two leaders. A write that was sent
//! in one term and answered in another says nothing.

use std::collections::{BTreeMap, BTreeSet};

use super::read;
use crate::judge::timeline::Timeline;
use crate::record::clock::RunTime;
use crate::record::event::{BrokerId, EventKind};
use crate::record::history::{
    Client, Entry, LoadRole, Observed, Partition, Poll, Send, SendOutcome, Source, StreamRef,
};

/// Writes to a broker in a term of another one, which had taken writes itself.
#[derive(Debug, Clone)]
pub(in crate::judge::claim) struct Contested {
    /// The partition.
    pub(in crate::judge::claim) partition: Partition,
    /// Who was written to.
    pub(in crate::judge::claim) broker: BrokerId,
    /// Whose term it was.
    pub(in crate::judge::claim) leader: BrokerId,
    /// When the first was sent.
    pub(in crate::judge::claim) asked_from: RunTime,
    /// Writes that were acked.
    pub(in crate::judge::claim) acked: u64,
    /// From the sending of the first of these to the ack of the last.
    pub(in crate::judge::claim) acked_in: Option<(RunTime, RunTime)>,
    /// How many of them are not in the log that was read at the end; `None` where that was not read to its end.
    pub(in crate::judge::claim) lost: Option<u64>,
}

/// A term: since when, and whose.
struct Term {
    from: RunTime,
    leader: BrokerId,
}

/// A partition and the number of a term of it.
type TermId = (Partition, usize);

/// A record of such a producer.
type RecordKey = (u16, Partition, u64);

/// The contested partitions of the main topic.
///
/// # Errors
/// When nobody wrote to each broker, or what they wrote cannot be read.
pub(super) fn contested(
    timeline: &Timeline,
    source: &dyn Source,
    topic: &str,
) -> Result<Vec<Contested>, String> {
    let streams: Vec<_> =
        source.streams().into_iter().filter_map(|it| of_broker(it, topic)).collect();
    if streams.is_empty() {
        return Err(
            "nobody wrote to each broker by itself: [each_broker] in a workload does".to_owned()
        );
    }
    let terms = terms(timeline, topic);
    let mut first_acks: BTreeMap<TermId, RunTime> = BTreeMap::new();
    each_in_term(source, &streams, &terms, |(_, broker), term, leader, send| {
        if leader == broker && is_acked(send) {
            let first = first_acks.entry(term).or_insert(send.done);
            *first = send.done.min(*first);
        }
    })?;
    let mut all: BTreeMap<(TermId, BrokerId), Contested> = BTreeMap::new();
    let mut taken: BTreeMap<RecordKey, (TermId, BrokerId)> = BTreeMap::new();
    each_in_term(source, &streams, &terms, |(producer, broker), term, leader, send| {
        let after = first_acks.get(&term).is_some_and(|first| *first <= send.sent);
        if leader == broker || leader < 0 || !after {
            return;
        }
        let place = (term, broker);
        let of = all.entry(place).or_insert_with(|| Contested {
            partition: send.partition,
            broker,
            leader,
            asked_from: send.sent,
            acked: 0,
            acked_in: None,
            lost: Some(0),
        });
        of.asked_from = of.asked_from.min(send.sent);
        if is_acked(send) {
            of.acked += 1;
            let (from, to) = of.acked_in.unwrap_or((send.sent, send.done));
            of.acked_in = Some((from.min(send.sent), to.max(send.done)));
            taken.insert((producer, send.partition, send.sequence), place);
        }
    })?;
    let unread = take_out_kept(source, topic, &mut taken)?;
    for place in taken.into_values() {
        if let Some(Contested { lost: Some(lost), .. }) = all.get_mut(&place) {
            *lost += 1;
        }
    }
    for one in all.values_mut().filter(|one| unread.contains(&one.partition)) {
        one.lost = None;
    }
    Ok(all.into_values().collect())
}

/// A stream of a producer that writes to one broker of `topic`, with the producer's number and the broker.
fn of_broker<'a>(stream: StreamRef<'a>, topic: &str) -> Option<(StreamRef<'a>, (u16, BrokerId))> {
    match stream.header.client {
        Client::Producer { producer, role: LoadRole::Broker(broker), .. }
            if stream.header.topic == topic =>
        {
            Some((stream, (producer, broker)))
        }
        _ => None,
    }
}

fn is_acked(send: &Send) -> bool {
    matches!(send.outcome, SendOutcome::Acked { .. })
}

fn terms(timeline: &Timeline, topic: &str) -> BTreeMap<Partition, Vec<Term>> {
    let mut terms: BTreeMap<Partition, Vec<Term>> = BTreeMap::new();
    for event in timeline.events() {
        match &event.kind {
            EventKind::PartitionState { topic: of, partition, leader, .. } if of == topic => {
                let of = terms.entry(*partition).or_default();
                if of.last().is_none_or(|last| last.leader != *leader) {
                    of.push(Term { from: event.at, leader: *leader });
                }
            }
            _ => {}
        }
    }
    terms
}

/// Tells of each write that lies in one term: whose it is, the term, and who leads in it.
fn each_in_term(
    source: &dyn Source,
    streams: &[(StreamRef<'_>, (u16, BrokerId))],
    terms: &BTreeMap<Partition, Vec<Term>>,
    mut tell: impl FnMut((u16, BrokerId), TermId, BrokerId, &Send),
) -> Result<(), String> {
    for (stream, whose) in streams {
        read(source, stream, |entry| {
            let Entry::Send(send) = entry else { return };
            let of = terms.get(&send.partition).map(Vec::as_slice).unwrap_or_default();
            let at = |time| of.partition_point(|term| term.from <= time).checked_sub(1);
            if let (Some(sent), Some(done)) = (at(send.sent), at(send.done))
                && sent == done
            {
                tell(*whose, (send.partition, sent), of[sent].leader, send);
            }
        })?;
    }
    Ok(())
}

/// Takes those out that the drain has read; the partitions that it did not read to their ends.
fn take_out_kept(
    source: &dyn Source,
    topic: &str,
    taken: &mut BTreeMap<RecordKey, (TermId, BrokerId)>,
) -> Result<BTreeSet<Partition>, String> {
    let mut unread: BTreeSet<Partition> =
        taken.keys().map(|(_, partition, _)| *partition).collect();
    for stream in source.streams() {
        if stream.header.client != Client::Drain || stream.header.topic != topic {
            continue;
        }
        read(source, &stream, |entry| match entry {
            Entry::Poll(Poll { partition, record: Observed::Record(id), .. }) => {
                taken.remove(&(id.producer, *partition, id.sequence));
            }
            Entry::Drained { partition, end_offset, reached, .. } if reached >= end_offset => {
                unread.remove(partition);
            }
            _ => {}
        })?;
    }
    Ok(unread)
}
