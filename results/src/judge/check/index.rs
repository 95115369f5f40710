//! One read-only view of a history, shared by all checkers: for each partition of the judged
//! topics, what was sent, what L holds, and what else was read.
//!
//! It holds references into the history in sorted vectors, 8 to 16 bytes an entry: an hour at
//! 1000 msg/s fits beside its history. Nothing is judged here.

use std::collections::{BTreeMap, BTreeSet};

use super::Evidence;
use super::groups::GroupPartition;
use crate::record::clock::RunTime;
use crate::record::history::{
    Client, Ending, Entry, History, LoadRole, Observed, Outcome, Partition, Poll, ProducerEpoch,
    RecordId, Send, Stream,
};

/// The judged part of a history.
pub(super) struct LogIndex<'a> {
    /// The partitions of the judged topics, by topic and number.
    pub(super) partitions: BTreeMap<(&'a str, Partition), PartitionLog<'a>>,
    /// What each consumer group did with each of these partitions.
    pub(super) groups: Vec<GroupPartition<'a>>,
    /// Streams of the judged topics, probes' included.
    pub(super) streams: Vec<&'a Stream>,
    /// Whether a consumer group read a judged topic.
    pub(super) has_group: bool,
}

/// One partition: what was sent to it and what was read from it.
pub(super) struct PartitionLog<'a> {
    pub(super) topic: &'a str,
    pub(super) partition: Partition,
    /// L, by offset; one entry for each offset.
    pub(super) log: Vec<&'a Poll>,
    /// The records in L that name this partition, by [`identity`] and then offset.
    by_id: Vec<(&'a RecordId, i64)>,
    /// Every read that is not in `log`, by offset and then time.
    pub(super) others: Vec<Read<'a>>,
    /// Producers' lives that sent to this partition.
    pub(super) writers: Vec<Writer<'a>>,
    /// How the drain ended, if it did.
    pub(super) drained: Option<Drained>,
    /// In which epochs which offsets were written, by offset: from the first, before the end.
    epochs: Vec<(i64, i64, ProducerEpoch)>,
}

/// One life of a producer, in one partition.
pub(super) struct Writer<'a> {
    pub(super) producer: u16,
    pub(super) incarnation: u16,
    pub(super) acks_all: bool,
    pub(super) idempotent: bool,
    /// Whether it is of the load, and not a probe.
    pub(super) of_load: bool,
    /// Whether every send of it is known; of one that was killed, what was open then is not.
    pub(super) ending: &'a Ending,
    /// By sequence.
    pub(super) sends: Vec<&'a Send>,
}

/// One record as somebody read it.
pub(super) struct Read<'a> {
    pub(super) poll: &'a Poll,
    /// The group's consumer, or none for the drain.
    pub(super) consumer: Option<u16>,
}

/// The end of a partition's drain.
#[derive(Debug, Clone, Copy)]
pub(super) struct Drained {
    pub(super) end_offset: i64,
    pub(super) reached: i64,
    at: RunTime,
}

/// Who wrote a record: what stays the same over all copies of it.
pub(super) fn identity(id: &RecordId) -> (u16, u16, u64) {
    (id.producer, id.incarnation, id.sequence)
}

impl<'a> LogIndex<'a> {
    pub(super) fn new(history: &'a History) -> Self {
        let is_main = |stream: &&Stream| {
            matches!(stream.header.client, Client::Producer { role: LoadRole::Main, .. })
        };
        let topics: BTreeSet<&str> =
            history.streams.iter().filter(is_main).map(|stream| &*stream.header.topic).collect();
        let streams: Vec<&Stream> = history
            .streams
            .iter()
            .filter(|stream| topics.contains(&*stream.header.topic))
            .collect();
        let mut index = Self {
            partitions: BTreeMap::new(),
            groups: GroupPartition::collect(&streams),
            has_group: streams
                .iter()
                .any(|stream| matches!(stream.header.client, Client::GroupConsumer { .. })),
            streams,
        };
        for stream in index.streams.clone() {
            index.add(stream);
        }
        index.partitions.values_mut().for_each(PartitionLog::sort);
        index
    }

    /// The partition's log; none when nothing is known about the partition.
    pub(super) fn partition<'i>(
        &'i self,
        topic: &'i str,
        partition: Partition,
    ) -> Option<&'i PartitionLog<'a>> {
        self.partitions.get(&(topic, partition))
    }

    fn log(&mut self, topic: &'a str, partition: Partition) -> &mut PartitionLog<'a> {
        self.partitions
            .entry((topic, partition))
            .or_insert_with(|| PartitionLog::new(topic, partition))
    }

    fn add(&mut self, stream: &'a Stream) {
        let topic = &*stream.header.topic;
        for partition in 0..stream.header.partitions {
            let log = self.log(topic, partition as Partition);
            // It may have sent what it did not live to write down.
            if stream.ending != Ending::Complete {
                log.writer(stream);
            }
        }
        for entry in &stream.entries {
            match (entry, &stream.header.client) {
                (Entry::Send(send), Client::Producer { .. }) => {
                    self.log(topic, send.partition).add_send(stream, send);
                }
                (Entry::Poll(poll), Client::Drain) => {
                    self.log(topic, poll.partition).log.push(poll);
                }
                (Entry::Poll(poll), Client::GroupConsumer { consumer, .. }) => {
                    let read = Read { poll, consumer: Some(*consumer) };
                    self.log(topic, poll.partition).others.push(read);
                }
                (&Entry::Drained { partition, end_offset, reached, at }, Client::Drain) => {
                    self.log(topic, partition).drained = Some(Drained { end_offset, reached, at });
                }
                (&Entry::Batches { partition, first, end, epoch, .. }, Client::BatchHeaders) => {
                    self.log(topic, partition).epochs.push((first, end, epoch));
                }
                _ => {}
            }
        }
    }

    /// Why a partition's L is not the whole log, if it is not.
    pub(super) fn undrained(&self, log: &PartitionLog<'_>) -> Option<String> {
        let place = format!("{} partition {}", log.topic, log.partition);
        match log.drained {
            Some(Drained { end_offset, reached, .. }) if reached < end_offset => {
                Some(format!("the drain of {place} ended at offset {reached} of {end_offset}"))
            }
            Some(_) => None,
            None if log.writers.is_empty() => None,
            None if self.drain_began(log.topic) => {
                Some(format!("the drain of {place} did not end"))
            }
            None => Some(format!("the run ended before {place} was drained")),
        }
    }

    /// Whether the run came as far as the topic's drain.
    fn drain_began(&self, topic: &str) -> bool {
        let mut headers = self.streams.iter().map(|stream| &stream.header);
        headers.any(|header| header.client == Client::Drain && header.topic == topic)
    }

    /// What of this evidence is missing, in sentences for people.
    pub(super) fn missing(&self, evidence: Evidence) -> Vec<String> {
        let truncated = |wanted: fn(&Client) -> bool| {
            self.streams.iter().filter(move |stream| wanted(&stream.header.client)).filter_map(
                |stream| match &stream.ending {
                    Ending::Truncated { what, .. } => Some(what.clone()),
                    Ending::Complete | Ending::Killed => None,
                },
            )
        };
        match evidence {
            Evidence::Sends => truncated(|c| matches!(c, Client::Producer { .. })).collect(),
            Evidence::Group => truncated(|c| matches!(c, Client::GroupConsumer { .. })).collect(),
            Evidence::Log => truncated(|c| matches!(c, Client::Drain))
                .chain(self.partitions.values().filter_map(|log| self.undrained(log)))
                .collect(),
        }
    }
}

impl<'a> PartitionLog<'a> {
    fn new(topic: &'a str, partition: Partition) -> Self {
        Self {
            topic,
            partition,
            log: Vec::new(),
            by_id: Vec::new(),
            others: Vec::new(),
            writers: Vec::new(),
            drained: None,
            epochs: Vec::new(),
        }
    }

    fn add_send(&mut self, stream: &'a Stream, send: &'a Send) {
        if let Some(writer) = self.writer(stream) {
            writer.sends.push(send);
        }
    }

    /// The producer's life that wrote this stream; none when no producer did.
    fn writer(&mut self, stream: &'a Stream) -> Option<&mut Writer<'a>> {
        let Client::Producer { producer, incarnation, acks, idempotent, role } =
            stream.header.client
        else {
            return None;
        };
        let known =
            |writer: &Writer<'_>| (writer.producer, writer.incarnation) == (producer, incarnation);
        let at = self.writers.iter().rposition(known).unwrap_or_else(|| {
            self.writers.push(Writer {
                producer,
                incarnation,
                acks_all: acks == -1,
                idempotent,
                of_load: role != LoadRole::Probe,
                ending: &stream.ending,
                sends: Vec::new(),
            });
            self.writers.len() - 1
        });
        self.writers.get_mut(at)
    }

    /// Sorts everything, and moves what the drain read again from `log` to `others`.
    fn sort(&mut self) {
        self.log.sort_by_key(|poll| poll.offset);
        let others = &mut self.others;
        self.log.dedup_by(|again, first| {
            let same = again.offset == first.offset;
            if same {
                others.push(Read { poll: again, consumer: None });
            }
            same
        });
        self.others.sort_by_key(|read| (read.poll.offset, read.poll.at));
        self.epochs.sort_by_key(|&(first, ..)| first);
        for writer in &mut self.writers {
            writer.sends.sort_by_key(|send| send.sequence);
        }
        self.by_id = self
            .log
            .iter()
            .filter_map(|poll| match &poll.record {
                Observed::Record(id) if id.partition == self.partition => Some((id, poll.offset)),
                _ => None,
            })
            .collect();
        self.by_id.sort_by_key(|&(id, offset)| (identity(id), offset));
    }

    /// Below this offset, what L does not hold is not in the log.
    pub(super) fn covered(&self) -> i64 {
        match self.drained {
            Some(drained) => drained.reached,
            None => self.log.last().map_or(0, |poll| poll.offset.saturating_add(1)),
        }
    }

    /// Whether the send's outcome came after the end offset may have been asked for: then an offset
    /// beyond that end says nothing.
    pub(super) fn came_late(&self, send: &Send) -> bool {
        let ended = self.drained.map(|drained| drained.at);
        let began = self.log.first().map(|poll| poll.at).or(ended);
        began.is_some_and(|began| send.done >= began)
    }

    /// What L holds at `offset`.
    pub(super) fn at(&self, offset: i64) -> Option<&'a Poll> {
        let at = self.log.binary_search_by_key(&offset, |poll| poll.offset).ok()?;
        Some(self.log[at])
    }

    /// The producer epoch in which the record at `offset` was written, if that is known.
    pub(super) fn epoch_at(&self, offset: i64) -> Option<ProducerEpoch> {
        let after = self.epochs.partition_point(|&(first, ..)| first <= offset);
        let &(_, end, epoch) = self.epochs.get(after.checked_sub(1)?)?;
        (offset < end).then_some(epoch)
    }

    /// L's entries from `from` up to and without `to`.
    pub(super) fn between(&self, from: i64, to: i64) -> &[&'a Poll] {
        let start = self.log.partition_point(|poll| poll.offset < from);
        let end = self.log.partition_point(|poll| poll.offset < to);
        &self.log[start..end.max(start)]
    }

    /// How many records lie from `from` up to and without `to`: as L says, and where L does not
    /// reach, one at each offset.
    pub(super) fn records_between(&self, from: i64, to: i64) -> u64 {
        let unknown = to.saturating_sub(from.max(self.covered())).max(0);
        self.between(from, to.min(self.covered())).len() as u64 + unknown as u64
    }

    /// All copies in L of one record, by offset.
    pub(super) fn copies(&self, id: (u16, u16, u64)) -> &[(&'a RecordId, i64)] {
        let start = self.by_id.partition_point(|&(other, _)| identity(other) < id);
        let rest = &self.by_id[start..];
        &rest[..rest.iter().take_while(|&&(other, _)| identity(other) == id).count()]
    }

    /// The records of L that were written by this partition's writers, grouped by copies.
    pub(super) fn copied(&self) -> impl Iterator<Item = &[(&'a RecordId, i64)]> {
        self.by_id.chunk_by(|(a, _), (b, _)| identity(a) == identity(b))
    }

    /// Who wrote the record, if it is one of this partition's writers.
    pub(super) fn writer_of(&self, id: &RecordId) -> Option<&Writer<'a>> {
        let wrote = |writer: &&Writer<'_>| {
            (writer.producer, writer.incarnation) == (id.producer, id.incarnation)
        };
        self.writers.iter().find(wrote)
    }

    /// Every acked send to this partition, with its offset.
    pub(super) fn acked(&self) -> impl Iterator<Item = (&Writer<'a>, &'a Send, i64)> {
        self.writers.iter().flat_map(|writer| {
            writer.sends.iter().filter_map(move |&send| match send.outcome {
                Outcome::Acked { offset } => Some((writer, send, offset)),
                _ => None,
            })
        })
    }

    /// When L's entry at `offset` was sent, if that is known: the time that a witness is shown at.
    pub(super) fn sent_at(&self, id: &RecordId) -> Option<RunTime> {
        self.writer_of(id)?.send(id.sequence).map(|send| send.sent)
    }
}

impl<'a> Writer<'a> {
    /// The send with this sequence.
    pub(super) fn send(&self, sequence: u64) -> Option<&'a Send> {
        let at = self.sends.binary_search_by_key(&sequence, |send| send.sequence).ok()?;
        Some(self.sends[at])
    }

    /// What stays the same over all copies of the record.
    pub(super) fn identity(&self, send: &Send) -> (u16, u16, u64) {
        (self.producer, self.incarnation, send.sequence)
    }
}
