//! What is measured from a history, apart from the checks: load, service around faults, resumption.
//!
//! Each stream of producers, probes and group members is read once; those of producers and probes
//! once more, if any of their operations was late, those of members to tell first deliveries from others; those of
//! the main load where groups got less than was sent.
//! Facts from several streams add up.

use std::collections::{BTreeMap, BTreeSet};

use super::disturbance::{Disturbance, LateSends, OtherWriters};
use super::latency::{GroupsGot, LoadFigures, LoadFold, counts};
use super::recovery::consuming::AckedFold;
use super::recovery::lives::FirstAcks;
use super::recovery::operations;
use super::recovery::{ServiceSeen, StreamKind};
use super::second_acks::SecondAcks;
use super::timeline::Timeline;
use super::times::ImpossibleTimes;
use crate::record::history::{Client, Entry, HistoryError, LoadRole, Source, StreamRef};

/// What was measured from one trial's history.
#[derive(Debug)]
pub(crate) struct Figures {
    pub(crate) load: LoadFigures,
    pub(crate) service: ServiceSeen,
    /// Streams of a kind of client with times that cannot be, in words.
    pub(crate) impossible: BTreeMap<StreamKind, String>,
    /// What was acked in each second, by partition.
    pub(crate) acks: SecondAcks,
    /// When clients handed records over late, and somebody else wrote.
    pub(crate) late: Vec<Disturbance>,
    /// Producers of the main load.
    pub(crate) producers: usize,
    /// Whether all of them used acks=all; not when there was none.
    pub(crate) acks_all: bool,
    /// Whether none of them asked for acks.
    pub(crate) no_acks: bool,
    /// Whether all of them were idempotent.
    pub(crate) idempotent: bool,
}

impl Figures {
    /// Measures `source`, whose trial's events are in `timeline`; `asked_per_s` closes the last
    /// interval of the schedule.
    pub(crate) fn of(
        source: &dyn Source,
        timeline: &Timeline,
        asked_per_s: f64,
    ) -> Result<Self, HistoryError> {
        let streams = source.streams();
        let mut load = LoadFold::new(timeline, &streams);
        let mut service = ServiceSeen::new(timeline, &streams);
        let mut second_acks = SecondAcks::new(timeline, &streams);
        let (mut late, mut impossible) = (vec![], BTreeMap::new());
        for stream in &streams {
            let folds = (&mut load, &mut service, &mut second_acks);
            let (sent, times) = add_operations(source, stream, folds)?;
            let kind = operations::kind(&stream.header.client);
            impossible.extend(kind.zip(times.told(stream.name)));
            late.extend(sent.disturbances(stream.name, kind));
        }
        service.operations.close(timeline.load_end);
        for stream in &streams {
            add_answers(source, stream, &mut service)?;
        }
        late.extend(add_groups(source, &streams, &mut load, &mut service)?.disturbances());
        let main = streams.iter().filter(|stream| main_acks(stream).is_some());
        // One that was made anew is one still.
        let producers: BTreeSet<_> =
            main.map(|stream| operations::number(&stream.header.client)).collect();
        let acks: Vec<i16> = streams.iter().filter_map(main_acks).collect();
        Ok(Self {
            load: load.finish(asked_per_s),
            service,
            impossible,
            acks: second_acks,
            late,
            producers: producers.len(),
            acks_all: acks.iter().all(|acks| *acks == -1),
            no_acks: !acks.is_empty() && acks.iter().all(|acks| *acks == 0),
            idempotent: streams.iter().all(|stream| is_idempotent(stream)),
        })
    }
}

/// Whether it is, for a producer of the main load; for other clients nothing is asked.
fn is_idempotent(stream: &StreamRef<'_>) -> bool {
    match stream.header.client {
        Client::Producer { role: LoadRole::Main, idempotent, .. } => idempotent,
        _ => true,
    }
}

/// `acks` of a producer of the main load; `None` for other clients.
fn main_acks(stream: &StreamRef<'_>) -> Option<i16> {
    match stream.header.client {
        Client::Producer { role: LoadRole::Main, acks, .. } => Some(acks),
        _ => None,
    }
}

fn add_operations(
    source: &dyn Source,
    stream: &StreamRef<'_>,
    (load, service, second_acks): (&mut LoadFold, &mut ServiceSeen, &mut SecondAcks),
) -> Result<(LateSends, ImpossibleTimes), HistoryError> {
    let client = &stream.header.client;
    let (mut late, mut times) = (LateSends::default(), ImpossibleTimes::default());
    let kind = operations::kind(client);
    if kind.is_none() && !matches!(client, Client::Producer { .. }) {
        return Ok((late, times));
    }
    let main = main_acks(stream).is_some();
    // Without acks nothing is seen of an outage.
    let answered = main_acks(stream) != Some(0);
    let mut operations = service.operations.stream();
    let mut acks = service.acks.stream();
    let mut acked = AckedFold::default();
    let mut second_acks = second_acks.stream(stream);
    let (mut first_acks, renewed) = (FirstAcks::default(), service.ends.wants(stream.name));
    source.each(stream.number, |entry| {
        times.add(entry);
        if answered {
            operations.add(entry);
        }
        if renewed {
            first_acks.add(entry);
        }
        let Entry::Send(send) = entry else { return };
        acked.add(send);
        if kind.is_some() && !send.warm_up {
            late.add(send);
        }
        if main {
            second_acks.add(send);
            if answered {
                acks.add(send);
            }
            if counts(client, send) {
                load.sent(send);
            } else {
                load.warm_up(send);
            }
        }
    })?;
    let partitions = operations.finish();
    service.acks.merge(&stream.header.topic, acks);
    service.ends.stream(stream);
    service.ends.acked(stream.name, first_acks);
    let topic = &*stream.header.topic;
    if let Some(kind) = kind {
        service.operations.merge(kind, (topic, operations::number(client)), partitions);
    }
    service.consuming.acked(topic, acked);
    Ok((late, times))
}

/// Adds what groups got: which deliveries were the first of their records is known when all were seen.
/// What they got of other writers.
fn add_groups(
    source: &dyn Source,
    streams: &[StreamRef<'_>],
    load: &mut LoadFold,
    service: &mut ServiceSeen,
) -> Result<OtherWriters, HistoryError> {
    for stream in streams {
        let Client::GroupConsumer { group, .. } = &stream.header.client else { continue };
        let mut member = service.consuming.member(stream.number, &stream.header.topic);
        source.each(stream.number, |entry| member.add(entry))?;
        service.consuming.read(group, &stream.header.topic, member);
    }
    if service.consuming.wants_log_ends() {
        for stream in streams.iter().filter(|stream| stream.header.client == Client::Drain) {
            let topic = &stream.header.topic;
            source.each(stream.number, |entry| service.consuming.drained(topic, entry))?;
        }
    }
    let redelivered = service.consuming.close();
    let (mut others, mut got) = (OtherWriters::default(), GroupsGot::default());
    for stream in streams {
        if let Client::GroupConsumer { group, .. } = &stream.header.client {
            let got = got.member(&stream.header.topic, group);
            source.each(stream.number, |entry| {
                got.add(entry);
                if let Entry::Poll(poll) = entry {
                    load.got(group, poll, redelivered.is(stream.number, poll));
                    others.add(&stream.header.topic, poll);
                }
            })?;
        }
    }
    add_undelivered(source, streams, load, &got)?;
    Ok(others)
}

/// Reads the main load again for acked records that groups never got, if there may be any.
fn add_undelivered(
    source: &dyn Source,
    streams: &[StreamRef<'_>],
    load: &mut LoadFold,
    got: &GroupsGot,
) -> Result<(), HistoryError> {
    if !load.may_miss(got.groups()) {
        return Ok(());
    }
    for stream in streams.iter().filter(|stream| main_acks(stream).is_some()) {
        let (client, topic) = (&stream.header.client, &*stream.header.topic);
        source.each(stream.number, |entry| {
            if let Entry::Send(send) = entry
                && counts(client, send)
            {
                load.undelivered(send, got.missing(topic, client, send));
            }
        })?;
    }
    Ok(())
}

/// Reads a stream again for what may end gaps, if there is any.
fn add_answers(
    source: &dyn Source,
    stream: &StreamRef<'_>,
    service: &mut ServiceSeen,
) -> Result<(), HistoryError> {
    let client = (&*stream.header.topic, operations::number(&stream.header.client));
    let kind = operations::kind(&stream.header.client);
    let wanted = kind.and_then(|kind| service.operations.wanted(kind, client));
    if let (Some(kind), Some(mut answers)) = (kind, wanted) {
        source.each(stream.number, |entry| answers.add(entry))?;
        service.operations.answer(kind, client, answers);
    }
    Ok(())
}
