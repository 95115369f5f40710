//! What is measured from a history, apart from the checks: load, service around faults, resumption.
//!
//! Each stream of producers, probes and group members is read once; those of producers and probes
//! once more, if any of their operations was late. Facts from several streams add up.

use std::collections::BTreeMap;

use super::claim::{ResumeFold, Resumed};
use super::disturbance::{Disturbance, LateSends, OtherWriters};
use super::latency::{LoadFigures, LoadFold, counts};
use super::recovery::ServiceSeen;
use super::recovery::consumed::Consumed;
use super::recovery::operations;
use super::timeline::Timeline;
use crate::record::event::EventKind;
use crate::record::history::{Client, Entry, HistoryError, LoadRole, Source, StreamRef};

/// What was measured from one trial's history.
#[derive(Debug)]
pub(crate) struct Figures {
    pub(crate) load: LoadFigures,
    pub(crate) service: ServiceSeen,
    /// What replaced consumers showed.
    pub(crate) resumed: Resumed,
    /// When clients handed records over late, and somebody else wrote.
    pub(crate) late: Vec<Disturbance>,
    /// Producers of the main load.
    pub(crate) producers: usize,
    /// Whether all of them used acks=all; not when there was none.
    pub(crate) acks_all: bool,
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
        let mut service = ServiceSeen::new(timeline);
        let mut late = vec![];
        for stream in &streams {
            let sent = add_operations(source, stream, &mut load, &mut service)?;
            let kind = operations::kind(&stream.header.client);
            late.extend(sent.disturbances(stream.name, kind));
        }
        service.operations.close(timeline.load_end);
        for stream in &streams {
            add_answers(source, stream, &mut service)?;
        }
        let mut others = OtherWriters::default();
        let mut resumed = Resumed::default();
        let restarts = restarts(timeline);
        resumed.restarted = restarts.values().sum();
        for stream in &streams {
            let Client::GroupConsumer { consumer, .. } = stream.header.client else {
                continue;
            };
            let mut consumed = Consumed::stream(timeline);
            let mut resumption = ResumeFold::default();
            source.each(stream.number, |entry| {
                if let Entry::Poll(poll) = entry {
                    load.got(poll);
                    consumed.add(poll);
                    others.add(&stream.header.topic, poll);
                }
                resumption.add(entry);
            })?;
            service.consumed.merge(&stream.header.topic, consumed);
            let restarted = restarts.get(&consumer).copied().unwrap_or_default();
            resumed.merge(resumption.finish(restarted));
        }
        late.extend(others.disturbances());
        let acks: Vec<i16> = streams.iter().filter_map(main_acks).collect();
        Ok(Self {
            load: load.finish(asked_per_s),
            service,
            resumed,
            late,
            producers: acks.len(),
            acks_all: acks.iter().all(|acks| *acks == -1),
        })
    }
}

/// `acks` of a producer of the main load; `None` for other clients.
fn main_acks(stream: &StreamRef<'_>) -> Option<i16> {
    match stream.header.client {
        Client::Producer { role: LoadRole::Main, acks, .. } => Some(acks),
        _ => None,
    }
}

/// How often each consumer was started as a replacement.
fn restarts(timeline: &Timeline) -> BTreeMap<u16, usize> {
    let mut restarts = BTreeMap::new();
    for event in timeline.events() {
        if let EventKind::ConsumerRestarted { consumer } = event.kind {
            *restarts.entry(consumer).or_default() += 1;
        }
    }
    restarts
}

fn add_operations(
    source: &dyn Source,
    stream: &StreamRef<'_>,
    load: &mut LoadFold,
    service: &mut ServiceSeen,
) -> Result<LateSends, HistoryError> {
    let client = &stream.header.client;
    let mut late = LateSends::default();
    let Some(kind) = operations::kind(client) else {
        return Ok(late);
    };
    let main = main_acks(stream).is_some();
    let mut operations = service.operations.stream();
    let mut acks = service.acks.stream();
    source.each(stream.number, |entry| {
        operations.add(entry);
        let Entry::Send(send) = entry else { return };
        if !send.warm_up {
            late.add(send);
        }
        if main {
            acks.add(send);
            if counts(client, send) {
                load.sent(send);
            }
        }
    })?;
    let partitions = operations.finish();
    service.acks.merge(&stream.header.topic, acks);
    let topic = &*stream.header.topic;
    service.operations.merge(kind, (topic, operations::number(client)), partitions);
    Ok(late)
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
