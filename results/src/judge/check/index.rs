//! What the checkers see: the facts of a survey, and the entries at its suspects in full.
//!
//! It holds the suspect entries in sorted vectors. Nothing is judged here.

use std::collections::{BTreeMap, BTreeSet};

use super::groups::GroupPartition;
use super::keys::KeyReads;
use super::loss;
use super::survey::{Intervals, PartitionFacts, RecordIdentity, Survey, WriterFacts, identity};
use crate::record::clock::RunTime;
use crate::record::history::{
    Client, Ending, Entry, HistoryError, Observed, Partition, Poll, ProducerEpoch, RecordId, Send,
    SendOutcome, Source,
};

/// How much of the history is taken for suspect.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Extent {
    /// What the survey says.
    Suspects,
    /// Everything.
    All,
}

/// The judged part of a history.
pub(super) struct LogIndex<'a> {
    pub(super) survey: &'a Survey,
    /// The partitions of the judged topics, by topic and number.
    pub(super) partitions: BTreeMap<(&'a str, Partition), PartitionLog<'a>>,
    /// What each consumer group did with each of these partitions.
    pub(super) groups: Vec<GroupPartition<'a>>,
    /// What each group was delivered of keys whose topic grew.
    pub(super) keys: KeyReads<'a>,
}

/// One partition: what was sent to it and what was read from it, as far as it is suspect.
pub(super) struct PartitionLog<'a> {
    pub(super) topic: &'a str,
    pub(super) partition: Partition,
    /// What is known of all of it.
    pub(super) facts: &'a PartitionFacts,
    /// L, by offset; one entry for each offset.
    pub(super) log: Vec<Poll>,
    /// Every read that is not in `log`, by offset and then time.
    pub(super) others: Vec<OtherRead>,
    /// Producers' lives that sent to this partition.
    pub(super) writers: Vec<Sends<'a>>,
    /// In which epochs which offsets were written, by offset: from the first, before the end.
    epochs: Vec<(i64, i64, ProducerEpoch)>,
    /// Before the start of the log: when the last record at an offset was acked.
    acked_last: BTreeMap<i64, RunTime>,
    /// Acks that L does not bear out, by offset: whose, and the check that finds it violated.
    broken: Vec<(i64, RecordIdentity, &'static str)>,
    wanted: Intervals,
}

/// The suspect sends of one life of a producer to one partition.
pub(super) struct Sends<'a> {
    pub(super) writer: &'a WriterFacts,
    /// Whether every send of it is known; of one that was killed, what was open then is not.
    pub(super) ending: &'a Ending,
    /// By sequence.
    pub(super) sends: Vec<Send>,
}

/// One record as somebody read it.
pub(super) struct OtherRead {
    pub(super) poll: Poll,
    /// The group's consumer, or `None` for the drain.
    pub(super) consumer: Option<u16>,
    /// Number of the reader's stream among the judged ones.
    pub(super) stream: usize,
}

impl<'a> LogIndex<'a> {
    /// Reads the suspect entries of `source`, which `survey` is of.
    pub(super) fn new(
        source: &dyn Source,
        survey: &'a Survey,
        extent: Extent,
    ) -> Result<Self, HistoryError> {
        let keys = KeyReads::of(source, survey)?;
        let mut index = Self { survey, partitions: BTreeMap::new(), groups: Vec::new(), keys };
        for (topic, of_topic) in &survey.topics {
            for (&partition, facts) in &of_topic.partitions {
                let log = PartitionLog::new(survey, topic, partition, facts, extent);
                index.partitions.insert((topic, partition), log);
            }
        }
        index.read_polls(source)?;
        index.read_sends(source)?;
        for log in index.partitions.values_mut() {
            log.sort();
            log.broken = loss::broken_acks(log);
        }
        index.groups = survey.groups.iter().map(|shared| index.group(shared, extent)).collect();
        Ok(index)
    }

    /// The partition's log; `None` when nothing is known about the partition.
    pub(super) fn partition(
        &self,
        topic: &'a str,
        partition: Partition,
    ) -> Option<&PartitionLog<'a>> {
        self.partitions.get(&(topic, partition))
    }

    /// Calls `see` for every entry of the judged streams of topics with suspects.
    fn each(
        &mut self,
        source: &dyn Source,
        wanted: fn(&Client) -> bool,
        mut see: impl FnMut(&mut PartitionLog<'a>, usize, &Client, &Entry),
    ) -> Result<(), HistoryError> {
        for (at, stream) in self.survey.streams.iter().enumerate() {
            let topic = &*stream.header.topic;
            let mut partitions: BTreeMap<Partition, &mut PartitionLog<'a>> = self
                .partitions
                .range_mut((topic, Partition::MIN)..=(topic, Partition::MAX))
                .filter(|(_, log)| !log.wanted.is_empty())
                .map(|((_, partition), log)| (*partition, log))
                .collect();
            if partitions.is_empty() || !wanted(&stream.header.client) {
                continue;
            }
            source.each(stream.number, |entry| {
                let partition = match entry {
                    Entry::Send(send) => send.partition,
                    Entry::Poll(poll) => poll.partition,
                    Entry::Batches { partition, .. } => *partition,
                    _ => return,
                };
                if let Some(log) = partitions.get_mut(&partition) {
                    see(log, at, &stream.header.client, entry);
                }
            })?;
        }
        Ok(())
    }

    fn read_polls(&mut self, source: &dyn Source) -> Result<(), HistoryError> {
        let wanted = |client: &Client| {
            matches!(client, Client::GroupConsumer { .. } | Client::Drain | Client::BatchHeaders)
        };
        self.each(source, wanted, |log, stream, client, entry| match (entry, client) {
            (&Entry::Poll(poll), Client::Drain) if log.wanted.contains(poll.offset) => {
                log.log.push(poll);
            }
            (&Entry::Poll(poll), &Client::GroupConsumer { consumer, .. })
                if log.wanted.contains(poll.offset) =>
            {
                log.others.push(OtherRead { poll, consumer: Some(consumer), stream });
            }
            (&Entry::Batches { first, end, epoch, .. }, Client::BatchHeaders)
                if log.wanted.overlaps(first, end) =>
            {
                log.epochs.push((first, end, epoch));
            }
            _ => {}
        })
    }

    /// Reads the sends with an offset among the suspects, and those of records that were read there.
    fn read_sends(&mut self, source: &dyn Source) -> Result<(), HistoryError> {
        let identities: BTreeMap<(&str, Partition), BTreeSet<RecordIdentity>> =
            self.partitions.iter().map(|(key, log)| (*key, log.identities())).collect();
        let survey = self.survey;
        let wanted = |client: &Client| matches!(client, Client::Producer { .. });
        self.each(source, wanted, |log, stream, client, entry| {
            let (Entry::Send(send), &Client::Producer { producer, incarnation, .. }) =
                (entry, client)
            else {
                return;
            };
            let at_suspect = match send.outcome {
                SendOutcome::Acked { offset } => log.wanted.contains(offset),
                _ => false,
            };
            let read = |identities: &BTreeSet<RecordIdentity>| {
                identities.contains(&(producer, incarnation, send.sequence))
            };
            let all = log.wanted == Intervals::all();
            let key = (&*survey.streams[stream].header.topic, send.partition);
            if all || at_suspect || identities.get(&key).is_some_and(read) {
                let wrote = |sends: &&mut Sends<'_>| {
                    (sends.writer.producer, sends.writer.incarnation) == (producer, incarnation)
                };
                if let Some(sends) = log.writers.iter_mut().find(wrote) {
                    sends.sends.push(*send);
                }
            }
        })
    }
}

impl<'a> PartitionLog<'a> {
    fn new(
        survey: &'a Survey,
        topic: &'a str,
        partition: Partition,
        facts: &'a PartitionFacts,
        extent: Extent,
    ) -> Self {
        let writers = facts.writers.iter().map(|writer| Sends {
            writer,
            ending: &survey.streams[writer.stream].ending,
            sends: Vec::new(),
        });
        Self {
            topic,
            partition,
            facts,
            log: Vec::new(),
            others: Vec::new(),
            writers: writers.collect(),
            epochs: Vec::new(),
            acked_last: BTreeMap::new(),
            broken: Vec::new(),
            wanted: match extent {
                Extent::Suspects => facts.suspects.clone(),
                Extent::All => Intervals::all(),
            },
        }
    }

    /// Who wrote what was read at the suspects.
    fn identities(&self) -> BTreeSet<RecordIdentity> {
        let drained = self.log.iter();
        let polls = drained.chain(self.others.iter().map(|read| &read.poll));
        let records = polls.filter_map(|poll| match &poll.record {
            Observed::Record(id) if id.partition == self.partition => Some(identity(id)),
            _ => None,
        });
        records.collect()
    }

    /// Sorts everything, and moves what the drain read again from `log` to `others`.
    fn sort(&mut self) {
        self.log.sort_by_key(|poll| poll.offset);
        let others = &mut self.others;
        self.log.dedup_by(|again, first| {
            let same = again.offset == first.offset;
            if same {
                others.push(OtherRead { poll: *again, consumer: None, stream: usize::MAX });
            }
            same
        });
        self.others.sort_by_key(|read| (read.poll.offset, read.poll.at));
        self.epochs.sort_by_key(|&(first, ..)| first);
        for writer in &mut self.writers {
            writer.sends.sort_by_key(|send| send.sequence);
        }
        let start = self.facts.log.start();
        let of_load = self.acked().filter(|(writer, ..)| writer.of_load);
        let before = of_load.filter(|(.., offset)| *offset < start);
        let mut before: Vec<_> = before.map(|(_, send, offset)| (offset, send.done)).collect();
        before.sort_unstable();
        self.acked_last = before.into_iter().collect();
    }

    /// Whether another record was acked at the offset of this one, before the start of the log, later: this one
    /// was written over.
    pub(super) fn acked_again(&self, offset: i64, send: &Send) -> bool {
        self.acked_last.get(&offset).is_some_and(|last| send.done < *last)
    }

    /// What L holds at `offset`, if that is suspect.
    pub(super) fn at(&self, offset: i64) -> Option<&Poll> {
        let at = self.log.binary_search_by_key(&offset, |poll| poll.offset).ok()?;
        Some(&self.log[at])
    }

    /// The producer epoch in which the record at `offset` was written, if that is known.
    pub(super) fn epoch_at(&self, offset: i64) -> Option<ProducerEpoch> {
        let after = self.epochs.partition_point(|&(first, ..)| first <= offset);
        let &(_, end, epoch) = self.epochs.get(after.checked_sub(1)?)?;
        (offset < end).then_some(epoch)
    }

    /// The suspect records of L that name this partition, by identity and then offset.
    pub(super) fn by_identity(&self) -> Vec<(&RecordId, i64)> {
        let records = self.log.iter().filter_map(|poll| match &poll.record {
            Observed::Record(id) if id.partition == self.partition => Some((id, poll.offset)),
            _ => None,
        });
        let mut records: Vec<_> = records.collect();
        records.sort_by_key(|&(id, offset)| (identity(id), offset));
        records
    }

    /// Who wrote the record, if it is one of this partition's writers.
    pub(super) fn writer_of(&self, id: &RecordId) -> Option<&Sends<'a>> {
        let wrote = |sends: &&Sends<'_>| {
            (sends.writer.producer, sends.writer.incarnation) == (id.producer, id.incarnation)
        };
        self.writers.iter().find(wrote)
    }

    /// Every suspect send to this partition that was acked, with its offset.
    pub(super) fn acked(&self) -> impl Iterator<Item = (&'a WriterFacts, &Send, i64)> {
        self.writers.iter().flat_map(|sends| {
            sends.sends.iter().filter_map(move |send| match send.outcome {
                SendOutcome::Acked { offset } => Some((sends.writer, send, offset)),
                _ => None,
            })
        })
    }

    /// The check that finds that L does not hold the record at the offset of its ack, if one does.
    pub(super) fn broken_ack(&self, offset: i64, record: RecordIdentity) -> Option<&'static str> {
        let mut there = self.broken_acks(offset, offset);
        there.find(|(_, other, _)| *other == record).map(|&(.., by)| by)
    }

    /// The check that finds a broken ack from offset `first` to `last`, if one does: what was there
    /// is there no more.
    pub(super) fn rewritten(&self, first: i64, last: i64) -> Option<&'static str> {
        self.broken_acks(first, last).next().map(|&(.., by)| by)
    }

    fn broken_acks(
        &self,
        first: i64,
        last: i64,
    ) -> impl Iterator<Item = &(i64, RecordIdentity, &'static str)> {
        let from = self.broken.partition_point(|&(offset, ..)| offset < first);
        self.broken[from..].iter().take_while(move |&&(offset, ..)| offset <= last)
    }

    /// When a suspect record was sent, if that is known: the time that a witness is shown at.
    pub(super) fn sent_at(&self, id: &RecordId) -> Option<RunTime> {
        self.writer_of(id)?.send(id.sequence).map(|send| send.sent)
    }
}

impl Sends<'_> {
    /// The suspect send with this sequence.
    pub(super) fn send(&self, sequence: u64) -> Option<&Send> {
        let at = self.sends.binary_search_by_key(&sequence, |send| send.sequence).ok()?;
        Some(&self.sends[at])
    }
}
