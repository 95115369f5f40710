//! What one pass over a history keeps of it: enough to say where anything may be wrong, in little
//! memory.
//!
//! Producers, the drain and consumers each say what lies at an offset of a partition. Where all of
//! them say the same, no record is lost, unknown, damaged or read differently; that is compared
//! segment by segment (`content`). Where which record lies, and in which order, is kept as runs of
//! consecutive records (`log`, `sent`, `read`). What is left are suspects (`suspects`): offsets at
//! which the streams differ, or an order is wrong. They are read again and judged record by record;
//! no other offset can change a finding.
//!
//! Memory: a few hundred bytes for each segment of a partition, and some 60 bytes for each run, of
//! which there is one a batch at most. Streams are read one after another: consumers first (they say
//! where segments end), then the drain (it says where records are), then producers. Facts from
//! several streams of one partition add up; neither their order nor how they are divided matters.

use std::collections::{BTreeMap, BTreeSet};

use super::NeededPart;
use crate::judge::policy::Policies;
use crate::judge::times::ImpossibleTimes;
use crate::record::history::{
    Client, Ending, Entry, HistoryError, LoadRole, Partition, Poll, Source, StreamHeader, StreamRef,
};

mod compacted;
mod content;
mod intervals;
mod log;
mod read;
mod sent;
mod suspects;

use content::Segments;
pub(crate) use intervals::Intervals;
pub(super) use log::{Drained, LogFacts, RecordIdentity, identity};
pub(super) use read::{AcceptedCommit, GroupAssignment, PollStep};
use read::{ConsumerFacts, ReadRun};
use sent::SentFacts;
pub(super) use sent::WriterFacts;

/// The judged part of a history, in short.
#[derive(Debug, Default)]
pub(super) struct Survey {
    /// The topics that a producer of the load writes to, the probe left out.
    pub(super) topics: BTreeMap<String, TopicFacts>,
    /// Their streams, probes' included.
    pub(super) streams: Vec<JudgedStream>,
    /// What each consumer group did with each of their partitions.
    pub(super) groups: Vec<GroupFacts>,
    /// Members' steps that pass over offsets.
    pub(super) ahead: Vec<PollStep>,
    /// Members' and the drain's steps that do not go ahead.
    pub(super) back: Vec<PollStep>,
    /// Records that members read, and the drain.
    pub(super) polls: PollCounts,
}

/// How many records were read.
#[derive(Debug, Default, Clone, Copy)]
pub(super) struct PollCounts {
    pub(super) by_groups: u64,
    pub(super) by_drain: u64,
}

/// A stream of a judged topic.
#[derive(Debug)]
pub(super) struct JudgedStream {
    /// Its number in the source.
    pub(super) number: usize,
    pub(super) header: StreamHeader,
    pub(super) ending: Ending,
    name: String,
    impossible: ImpossibleTimes,
}

/// A judged topic.
#[derive(Debug, Default)]
pub(super) struct TopicFacts {
    pub(super) partitions: BTreeMap<Partition, PartitionFacts>,
    /// Whether the run came as far as its drain.
    drain_began: bool,
}

/// What is known of one partition.
#[derive(Debug, Default)]
pub(super) struct PartitionFacts {
    pub(super) log: LogFacts,
    sent: SentFacts,
    /// Producers' lives that sent to it, or may have.
    pub(super) writers: Vec<WriterFacts>,
    /// What members read of it.
    read_runs: Vec<ReadRun>,
    segments: Segments,
    /// Offsets to look at record by record.
    pub(super) suspects: Intervals,
}

/// What one consumer group did with one partition.
#[derive(Debug)]
pub(super) struct GroupFacts {
    pub(super) group: String,
    pub(super) topic: String,
    pub(super) partition: Partition,
    /// By time.
    pub(super) assignments: Vec<GroupAssignment>,
    /// Accepted commits, by time of the answer.
    pub(super) commits: Vec<AcceptedCommit>,
    read_runs: Vec<ReadRun>,
}

impl Survey {
    /// Reads the judged streams of `source`, each once.
    pub(super) fn of(source: &dyn Source, policies: &Policies) -> Result<Self, HistoryError> {
        let mut survey = Self::headers(source.streams());
        for (name, topic) in &mut survey.topics {
            if let Some(since) = policies.compacts(name) {
                topic.partitions.values_mut().for_each(|partition| partition.log.compacts(since));
            }
        }
        let all: Vec<usize> = (0..survey.streams.len()).collect();
        let of_kind = |survey: &Self, wanted: fn(&Client) -> bool| {
            let wanted = |at: &usize| wanted(&survey.streams[*at].header.client);
            all.iter().copied().filter(wanted).collect::<Vec<_>>()
        };
        for at in of_kind(&survey, |client| matches!(client, Client::GroupConsumer { .. })) {
            survey.add_consumer(source, at)?;
        }
        survey.finish_consumers();
        for at in of_kind(&survey, |client| *client == Client::Drain) {
            survey.add_drain(source, at)?;
        }
        survey.partitions_mut().for_each(|partition| partition.log.close());
        for at in of_kind(&survey, |client| matches!(client, Client::Producer { .. })) {
            survey.add_producer(source, at)?;
        }
        survey.partitions_mut().for_each(|partition| partition.sent.close());
        for at in
            of_kind(&survey, |client| matches!(client, Client::ReadProbe | Client::BatchHeaders))
        {
            let mut impossible = ImpossibleTimes::default();
            let number = survey.streams[at].number;
            let add = |entry: &Entry| {
                impossible.add(entry);
            };
            survey.streams[at].ending = source.each(number, add)?;
            survey.streams[at].impossible = impossible;
        }
        survey.find_suspects();
        Ok(survey)
    }

    fn headers(streams: Vec<StreamRef<'_>>) -> Self {
        let is_judged = |stream: &&StreamRef<'_>| match stream.header.client {
            Client::Producer { role, .. } => role != LoadRole::Probe,
            _ => false,
        };
        let topics: BTreeSet<&str> =
            streams.iter().filter(is_judged).map(|stream| &*stream.header.topic).collect();
        let mut survey = Self::default();
        for stream in streams.iter().filter(|stream| topics.contains(&*stream.header.topic)) {
            let header = stream.header.clone();
            let topic = survey.topics.entry(header.topic.clone()).or_default();
            topic.drain_began |= header.client == Client::Drain;
            for partition in 0..header.partitions {
                topic.partitions.entry(partition as Partition).or_default();
            }
            let number = stream.number;
            let (name, impossible) = (stream.name.to_owned(), ImpossibleTimes::default());
            let ending = Ending::Complete;
            survey.streams.push(JudgedStream { number, header, ending, name, impossible });
        }
        survey
    }

    fn partitions_mut(&mut self) -> impl Iterator<Item = &mut PartitionFacts> {
        self.topics.values_mut().flat_map(|topic| topic.partitions.values_mut())
    }

    /// The partitions of a judged stream's topic.
    fn partitions_of(&mut self, stream: usize) -> &mut BTreeMap<Partition, PartitionFacts> {
        let topic = self.streams[stream].header.topic.clone();
        &mut self.topics.entry(topic).or_default().partitions
    }

    fn add_consumer(&mut self, source: &dyn Source, at: usize) -> Result<(), HistoryError> {
        let JudgedStream { number, header, .. } = &self.streams[at];
        let Client::GroupConsumer { consumer, group } = header.client.clone() else {
            return Ok(());
        };
        let (topic, number) = (header.topic.clone(), *number);
        let mut reader = ConsumerFacts::new(at, consumer);
        self.streams[at].ending = source.each(number, |entry| reader.add(entry))?;
        self.streams[at].impossible = reader.impossible;
        self.polls.by_groups += reader.polls;
        self.ahead.append(&mut reader.ahead);
        self.back.append(&mut reader.back);
        for (partition, mut reading) in reader.partitions {
            let known = |shared: &&mut GroupFacts| {
                (&*shared.group, &*shared.topic, shared.partition) == (&*group, &*topic, partition)
            };
            let shared = match self.groups.iter_mut().find(known) {
                Some(shared) => shared,
                None => self.groups.push_mut(GroupFacts {
                    group: group.clone(),
                    topic: topic.clone(),
                    partition,
                    assignments: Vec::new(),
                    commits: Vec::new(),
                    read_runs: Vec::new(),
                }),
            };
            shared.assignments.append(&mut reading.assignments);
            shared.commits.append(&mut reading.commits);
            shared.read_runs.extend(&reading.read_runs);
            if !reading.read_runs.is_empty() {
                let partitions = self.partitions_of(at);
                let read_runs = &mut partitions.entry(partition).or_default().read_runs;
                read_runs.append(&mut reading.read_runs);
            }
        }
        Ok(())
    }

    fn finish_consumers(&mut self) {
        self.groups.sort_by(|a, b| {
            (&a.group, &a.topic, a.partition).cmp(&(&b.group, &b.topic, b.partition))
        });
        for shared in &mut self.groups {
            shared.assignments.sort_by_key(|assignment| assignment.at);
            shared.commits.sort_by_key(|commit| commit.at);
        }
        for partition in self.partitions_mut() {
            let ends = partition.read_runs.iter();
            let cuts = ends.flat_map(|run| [Some(run.first), run.last.checked_add(1)]);
            partition.segments = Segments::new(cuts.flatten().collect());
        }
    }

    fn add_drain(&mut self, source: &dyn Source, at: usize) -> Result<(), HistoryError> {
        let number = self.streams[at].number;
        let mut last: BTreeMap<Partition, i64> = BTreeMap::new();
        let (mut polls, mut back) = (0, Vec::new());
        let mut impossible = ImpossibleTimes::default();
        let partitions = self.partitions_of(at);
        let ending = source.each(number, |entry| match entry {
            Entry::Poll(poll) => {
                impossible.add(entry);
                let &Poll { partition, offset, at: time, .. } = poll;
                polls += 1;
                if let Some(before) = last.insert(partition, offset)
                    && offset <= before
                {
                    back.push(PollStep { stream: at, partition, before, offset, at: time });
                }
                let PartitionFacts { log, segments, .. } = partitions.entry(partition).or_default();
                log.add(segments, partition, poll);
            }
            &Entry::Drained { partition, start_offset, end_offset, reached, at } => {
                let log = &mut partitions.entry(partition).or_default().log;
                log.drained = Some(Drained { start_offset, end_offset, reached, at });
            }
            Entry::Assigned { partition, .. } | Entry::Revoked { partition, .. } => {
                last.remove(partition);
            }
            _ => {}
        })?;
        (self.streams[at].ending, self.streams[at].impossible) = (ending, impossible);
        self.polls.by_drain += polls;
        self.back.append(&mut back);
        Ok(())
    }

    fn add_producer(&mut self, source: &dyn Source, at: usize) -> Result<(), HistoryError> {
        let JudgedStream { number, header, .. } = &self.streams[at];
        let (number, declared) = (*number, header.partitions);
        let Client::Producer { producer, incarnation, acks, idempotent, role } = header.client
        else {
            return Ok(());
        };
        let writer = WriterFacts {
            producer,
            incarnation,
            acks_all: acks == -1,
            idempotent,
            of_load: role != LoadRole::Probe,
            stream: at,
        };
        let partitions = self.partitions_of(at);
        let mut wrote_to = BTreeSet::new();
        let mut impossible = ImpossibleTimes::default();
        let ending = source.each(number, |entry| {
            if let Entry::Send(send) = entry {
                let facts = partitions.entry(send.partition).or_default();
                impossible.add(entry);
                facts.sent.add(&facts.segments, &facts.log, &writer, send);
                wrote_to.insert(send.partition);
            }
        })?;
        if ending != Ending::Complete {
            // It may have sent what it did not live to write down.
            wrote_to.extend((0..declared).map(|partition| partition as Partition));
        }
        for partition in wrote_to {
            let writers = &mut partitions.entry(partition).or_default().writers;
            let same = |other: &WriterFacts| {
                (other.producer, other.incarnation) == (writer.producer, writer.incarnation)
            };
            if !writers.iter().any(same) {
                writers.push(writer);
            }
        }
        (self.streams[at].ending, self.streams[at].impossible) = (ending, impossible);
        Ok(())
    }

    fn find_suspects(&mut self) {
        for (topic, of_topic) in &mut self.topics {
            for (&number, partition) in &mut of_topic.partitions {
                let of_partition =
                    |group: &&GroupFacts| (&group.topic, group.partition) == (topic, number);
                partition.find_suspects(self.groups.iter().filter(of_partition));
            }
        }
    }

    /// Whether partitions were added to the topic after the first of its streams had begun.
    pub(super) fn has_grown(&self, topic: &str) -> bool {
        let of_topic = self.streams.iter().filter(|stream| stream.header.topic == topic);
        let declared = of_topic.map(|stream| stream.header.partitions).min().unwrap_or(0);
        let last = self.topics.get(topic).and_then(|it| it.partitions.keys().next_back());
        last.is_some_and(|last| *last >= declared as Partition)
    }

    /// The facts of a partition; `None` when nothing is known about it.
    pub(super) fn partition(&self, topic: &str, partition: Partition) -> Option<&PartitionFacts> {
        self.topics.get(topic)?.partitions.get(&partition)
    }

    /// The settings of the load's producers in words ("acks=1"), if none is as `wanted`.
    pub(super) fn other_acks(&self, wanted: fn(i16) -> bool) -> Option<String> {
        let acks = self.streams.iter().filter_map(|stream| match stream.header.client {
            Client::Producer { acks, role: LoadRole::Main | LoadRole::Extra, .. } => Some(acks),
            _ => None,
        });
        let acks: BTreeSet<i16> = acks.collect();
        let words: Vec<_> = acks.iter().map(|acks| format!("acks={acks}")).collect();
        (!acks.is_empty() && !acks.into_iter().any(wanted)).then(|| words.join(", "))
    }

    /// Whether a member of a group wrote this one of the judged streams.
    pub(super) fn is_of_group(&self, stream: usize) -> bool {
        let stream = self.streams.get(stream);
        stream.is_some_and(|it| matches!(it.header.client, Client::GroupConsumer { .. }))
    }

    /// Whether a consumer group read a judged topic.
    pub(super) fn has_group(&self) -> bool {
        let mut clients = self.streams.iter().map(|stream| &stream.header.client);
        clients.any(|client| matches!(client, Client::GroupConsumer { .. }))
    }

    /// Why the log of a partition was not read to its end, if it was not.
    pub(super) fn undrained(&self, topic: &str, partition: Partition) -> Option<String> {
        let place = format!("{topic} partition {partition}");
        let of_topic = self.topics.get(topic)?;
        let facts = of_topic.partitions.get(&partition)?;
        match facts.log.drained {
            Some(Drained { end_offset, reached, .. }) if reached < end_offset => {
                Some(format!("the drain of {place} ended at offset {reached} of {end_offset}"))
            }
            Some(_) => None,
            None if facts.writers.is_empty() => None,
            None if of_topic.drain_began => Some(format!("the drain of {place} did not end")),
            None => Some(format!("the run ended before {place} was drained")),
        }
    }

    /// What of this evidence is missing, in sentences for people.
    pub(super) fn missing(&self, evidence: NeededPart) -> Vec<String> {
        let truncated = |wanted: fn(&Client) -> bool| {
            let streams = self.streams.iter().filter(move |stream| wanted(&stream.header.client));
            streams.filter_map(|stream| match &stream.ending {
                Ending::Truncated { what, .. } => Some(what.clone()),
                Ending::Complete | Ending::Killed => None,
            })
        };
        let impossible = |wanted: fn(&Client) -> bool| {
            let streams = self.streams.iter().filter(|stream| wanted(&stream.header.client));
            streams.filter_map(|stream| stream.impossible.told(&stream.name)).collect()
        };
        match evidence {
            NeededPart::SendTimes => impossible(|c| matches!(c, Client::Producer { .. })),
            NeededPart::GroupTimes => impossible(|c| matches!(c, Client::GroupConsumer { .. })),
            NeededPart::Times => impossible(|_| true),
            NeededPart::Sends => truncated(|c| matches!(c, Client::Producer { .. })).collect(),
            NeededPart::Group => truncated(|c| matches!(c, Client::GroupConsumer { .. })).collect(),
            NeededPart::Batches => truncated(|c| *c == Client::BatchHeaders).collect(),
            NeededPart::Log => {
                let undrained = self.topics.iter().flat_map(|(name, topic)| {
                    topic.partitions.keys().filter_map(|&number| self.undrained(name, number))
                });
                truncated(|c| matches!(c, Client::Drain)).chain(undrained).collect()
            }
        }
    }
}
