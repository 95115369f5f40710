//! What claims about the cluster itself need of one trial: who led what before any fault, who led instead after one,
//! and in which order and places records were read.
//!
//! Invariant: what was not seen is said in words, as an error, and nothing is concluded from it.

mod broker_writes;
mod controllers;
mod ensemble;

use std::collections::{BTreeMap, BTreeSet};

use super::changes::{ChangeCost, Changes};
use crate::judge::timeline::Timeline;
use crate::record::clock::RunTime;
use crate::record::event::probe::Probed;
use crate::record::event::{BrokerId, EventKind, Role};
use crate::record::history::{Client, Ending, Entry, Observed, Partition, Poll, Source, StreamRef};

use broker_writes::Contested;
use controllers::Controllers;
pub(super) use ensemble::{Ensemble, EnsembleWrite};

/// What was seen of the cluster and its log in one trial.
#[derive(Debug, Clone)]
pub(crate) struct ClusterSeen {
    /// Before any fault.
    pub(super) healthy: Result<HealthyCluster, String>,
    /// New leaders after faults.
    pub(super) elections: Vec<Election>,
    /// Records of the main topic's logs with an offset each, or the first gap.
    pub(super) offsets: Result<LogOffsets, String>,
    /// Records of several partitions that came in another order than they were sent in.
    pub(super) inversions: Result<Inversions, String>,
    /// Partitions of which two brokers were asked to take writes at a time.
    pub(super) contested: Result<Vec<Contested>, String>,
    /// Who was the controller.
    pub(super) controllers: Controllers,
    /// What each ZooKeeper server answered a client of its own.
    pub(super) ensemble: Ensemble,
    /// What probes saw.
    pub(super) probes: Vec<Probed>,
    /// Changes of the cluster under load.
    pub(super) changes: Changes,
}

/// The cluster when the load had run for a while, and nothing was hurt yet.
#[derive(Debug, Clone, Default)]
pub(super) struct HealthyCluster {
    /// The controller.
    pub(super) controller: Option<BrokerId>,
    /// Of each topic and partition: its leader, and the ISR.
    pub(super) partitions: BTreeMap<String, BTreeMap<Partition, (BrokerId, Vec<BrokerId>)>>,
    /// Bytes that the node of each broker received and sent, both together.
    pub(super) bytes: BTreeMap<BrokerId, u64>,
    /// Whom each partition of the main topic was assigned to, and whether it had delivered anything.
    pub(super) readers: BTreeMap<Partition, Vec<(String, bool)>>,
}

/// Another broker leads a partition than the one that a fault took away.
#[derive(Debug, Clone)]
pub(super) struct Election {
    /// Id of the fault.
    pub(super) fault: String,
    /// The partition.
    pub(super) partition: Partition,
    /// The broker that led.
    pub(super) broker: BrokerId,
    /// When its registration was gone.
    pub(super) gone: Option<RunTime>,
    /// When another one led.
    pub(super) elected: Option<RunTime>,
}

/// What the drain read of the main topic.
#[derive(Debug, Clone, Default)]
pub(super) struct LogOffsets {
    /// Offsets read.
    pub(super) records: u64,
    /// The first that is missing in its log, in words.
    pub(super) gap: Option<String>,
}

/// What members of the group got of several partitions.
#[derive(Debug, Clone, Default)]
pub(super) struct Inversions {
    /// Members that read several partitions.
    pub(super) members: u64,
    /// Records that came after a later one of the same producer, in another partition.
    pub(super) inverted: u64,
    /// The first of them, in words.
    pub(super) first: Option<String>,
}

impl ClusterSeen {
    /// Of a trial whose main load is on `topic`.
    pub(crate) fn of(timeline: &Timeline, source: &dyn Source, topic: &str) -> Self {
        Self {
            healthy: healthy(timeline, source, topic),
            elections: elections(timeline, topic),
            offsets: offsets(source, topic),
            inversions: inversions(source, topic),
            contested: broker_writes::contested(timeline, source, topic),
            controllers: Controllers::of(timeline),
            ensemble: Ensemble::of(timeline),
            probes: probes(timeline),
            changes: Changes::of(timeline, source, topic),
        }
    }

    /// What changes of the cluster took, and cost, as those of a trial.
    pub(crate) fn costs(&self, trial: u32) -> impl Iterator<Item = ChangeCost> {
        self.changes.costs(trial)
    }
}

fn probes(timeline: &Timeline) -> Vec<Probed> {
    let probed = timeline.events().filter_map(|event| match &event.kind {
        EventKind::Probed(probed) => Some(probed.clone()),
        _ => None,
    });
    probed.collect()
}

fn healthy(
    timeline: &Timeline,
    source: &dyn Source,
    topic: &str,
) -> Result<HealthyCluster, String> {
    let steady = timeline.steady();
    let Some((from, until)) = steady.first().copied() else {
        return Err("there was no steady load before a fault".to_owned());
    };
    let mut seen = HealthyCluster::default();
    let mut first: BTreeMap<BrokerId, u64> = BTreeMap::new();
    for event in timeline.events().take_while(|event| event.at < until) {
        match &event.kind {
            EventKind::ControllerElected { broker, .. } => seen.controller = Some(*broker),
            EventKind::ControllerGone { .. } => seen.controller = None,
            EventKind::PartitionState { topic, partition, leader, isr, .. } => {
                let topic = seen.partitions.entry(topic.clone()).or_default();
                topic.insert(*partition, (*leader, isr.clone()));
            }
            EventKind::ServerUsage(now) if from <= event.at && now.process.role == Role::Broker => {
                let Some([got, sent]) = now.network_bytes else { continue };
                let all = got.saturating_add(sent);
                let before = *first.entry(now.process.id).or_insert(all);
                seen.bytes.insert(now.process.id, all.saturating_sub(before));
            }
            _ => {}
        }
    }
    for stream in members(source, topic) {
        let mut assigned: BTreeMap<Partition, bool> = BTreeMap::new();
        read(source, &stream, |entry| match entry {
            Entry::Assigned { partition, at, .. } if *at <= until => {
                assigned.insert(*partition, false);
            }
            Entry::Revoked { partition, at } if *at <= until => {
                assigned.remove(partition);
            }
            Entry::Poll(poll) if from <= poll.at && poll.at <= until => {
                assigned.entry(poll.partition).and_modify(|delivered| *delivered = true);
            }
            _ => {}
        })?;
        for (partition, delivered) in assigned {
            let of = seen.readers.entry(partition).or_default();
            of.push((stream.name.to_owned(), delivered));
        }
    }
    Ok(seen)
}

fn elections(timeline: &Timeline, topic: &str) -> Vec<Election> {
    let mut elections = vec![];
    // Those that were seen: what a number says of how many there are may be anything.
    let state = |kind: &EventKind| match kind {
        EventKind::PartitionState { topic: of, partition, .. } if of == topic => Some(*partition),
        _ => None,
    };
    let partitions: BTreeSet<_> = timeline.events().filter_map(|it| state(&it.kind)).collect();
    for fault in &timeline.faults {
        for &partition in &partitions {
            let Some(before) = timeline.state_at(topic, partition, fault.injecting) else {
                continue;
            };
            let broker = before.leader;
            if !fault.loses(broker) {
                continue;
            }
            let mut later = timeline.states(topic, partition).iter();
            let elected = later.find(|state| {
                fault.contains(state.at) && state.leader >= 0 && state.leader != broker
            });
            elections.push(Election {
                fault: fault.id.clone(),
                partition,
                broker,
                gone: timeline.gone_since(broker, fault.injecting),
                elected: elected.map(|state| state.at),
            });
        }
    }
    elections
}

fn offsets(source: &dyn Source, topic: &str) -> Result<LogOffsets, String> {
    let mut seen = LogOffsets::default();
    for stream in source.streams() {
        if stream.header.client != Client::Drain || stream.header.topic != topic {
            continue;
        }
        // Of each partition the first offset that was read, and the next one to come.
        let mut reached: BTreeMap<Partition, (i64, i64)> = BTreeMap::new();
        let (mut unread, mut gaps) = (None, vec![]);
        read(source, &stream, |entry| match entry {
            Entry::Poll(Poll { partition, offset, .. }) => {
                let (_, next) = reached.entry(*partition).or_insert((*offset, *offset));
                // What lies behind is read again, which the drain may do.
                if *next <= *offset {
                    seen.records += 1;
                    gaps.extend((*next < *offset).then_some((*partition, *next)));
                    *next = offset.saturating_add(1);
                }
            }
            Entry::Drained { partition, start_offset, end_offset, reached: end, .. } => {
                if end < end_offset {
                    unread = Some(format!("{topic}-{partition} was not read to its end"));
                }
                let (first, next) = reached.get(partition).copied().unwrap_or((*end, *end));
                gaps.extend((*start_offset < first).then_some((*partition, *start_offset)));
                gaps.extend((next < *end).then_some((*partition, next)));
            }
            _ => {}
        })?;
        if let Some(why) = unread {
            return Err(why);
        }
        let gap = |(partition, offset): &(Partition, i64)| {
            format!("{topic}-{partition} has no record at offset {offset}, and some behind it")
        };
        seen.gap = seen.gap.or(gaps.first().map(gap));
    }
    Ok(seen)
}

fn inversions(source: &dyn Source, topic: &str) -> Result<Inversions, String> {
    let mut seen = Inversions::default();
    for stream in members(source, topic) {
        // Of each producer the last record so far by its time on the schedule, by which it sends.
        let mut latest: BTreeMap<u16, (RunTime, Partition)> = BTreeMap::new();
        let mut furthest: BTreeMap<Partition, i64> = BTreeMap::new();
        let mut partitions = BTreeSet::new();
        read(source, &stream, |entry| {
            let Entry::Poll(Poll { partition, offset, record: Observed::Record(id), .. }) = entry
            else {
                return;
            };
            // What is delivered again says nothing of the order in which records come.
            let reached = furthest.entry(*partition).or_insert(-1);
            if *offset <= *reached {
                return;
            }
            *reached = *offset;
            partitions.insert(*partition);
            let latest = latest.entry(id.producer).or_insert((id.due, *partition));
            let (due, of) = *latest;
            if id.due < due && of != *partition {
                seen.inverted += 1;
                seen.first.get_or_insert_with(|| {
                    let ahead = due.secs_since(id.due) * 1e3;
                    format!(
                        "{} got {topic}-{partition} at offset {offset} after a record of {topic}-{of} \
                         that was sent {ahead:.0} ms later",
                        stream.name
                    )
                });
            }
            if due <= id.due {
                *latest = (id.due, *partition);
            }
        })?;
        seen.members += u64::from(partitions.len() > 1);
    }
    Ok(seen)
}

/// The streams of a group's members.
fn members<'a>(source: &'a dyn Source, topic: &str) -> Vec<StreamRef<'a>> {
    let of_topic = |stream: &StreamRef<'_>| {
        let member = matches!(stream.header.client, Client::GroupConsumer { .. });
        member && stream.header.topic == topic
    };
    source.streams().into_iter().filter(of_topic).collect()
}

/// Reads a stream, which must not break off.
pub(super) fn read(
    source: &dyn Source,
    stream: &StreamRef<'_>,
    see: impl FnMut(&Entry),
) -> Result<(), String> {
    match source.each(stream.number, see) {
        Ok(Ending::Complete | Ending::Killed) => Ok(()),
        Ok(Ending::Truncated { .. }) => Err(format!("stream {} breaks off", stream.name)),
        Err(error) => Err(error.to_string()),
    }
}
