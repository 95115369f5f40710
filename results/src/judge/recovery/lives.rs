//! Clients that ended with a fatal error of their own, and were made anew.
//!
//! From its end until its next life is first acked a client gets no answers whatever the cluster does.
//! That time is the client's own as far as the cluster was seen to be ready, and no part of what is
//! charged to Kafka.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::gap::Gap;
use super::operations::ClientNumber;
use super::phases::WaitingPartition;
use super::{StreamKind, operations};
use crate::judge::timeline::{Interval, Timeline};
use crate::record::clock::RunTime;
use crate::record::event::EventKind;
use crate::record::history::{Entry, Partition, SendOutcome, StreamRef};

/// The end of one life of a client.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct ClientEnd {
    /// Number of the trial.
    pub trial: u32,
    /// Name of its stream in the history.
    pub client: String,
    /// The error in the client's words.
    pub error: String,
    /// When it ended, in seconds on the trial's clock.
    pub failed_s: f64,
    /// The fault in whose window that was; none when it was in none.
    pub during: Option<String>,
    /// Name of its next life's stream; none when it had none.
    pub renewed_as: Option<String>,
    /// When that began.
    pub renewed_s: Option<f64>,
}

/// One end, as recovery is measured by it.
#[derive(Debug)]
pub(crate) struct Ended {
    stream: String,
    error: String,
    failed: RunTime,
    /// The next life's stream, and when it began.
    next: Option<(String, RunTime)>,
    /// Whose end it is, where the client's operations count.
    whose: Option<(StreamKind, ClientNumber)>,
    /// When the next life was first acked.
    first_acks: BTreeMap<Partition, RunTime>,
}

/// All ends of a trial's clients, in order of time.
#[derive(Debug, Default)]
pub(crate) struct ClientEnds(Vec<Ended>);

impl ClientEnds {
    pub(crate) fn new(timeline: &Timeline) -> Self {
        let mut ends: Vec<Ended> = Vec::new();
        for event in timeline.events() {
            match &event.kind {
                EventKind::ClientFailed { client, error } => ends.push(Ended {
                    stream: client.clone(),
                    error: error.clone(),
                    failed: event.at,
                    next: None,
                    whose: None,
                    first_acks: BTreeMap::new(),
                }),
                EventKind::ClientRenewed { failed, client } => {
                    if let Some(end) = ends.iter_mut().find(|end| end.stream == *failed) {
                        end.next = Some((client.clone(), event.at));
                    }
                }
                _ => {}
            }
        }
        Self(ends)
    }

    /// The ends in the window of a fault, each until its next life began; with the name of that.
    pub(crate) fn in_faults(
        &self,
        timeline: &Timeline,
    ) -> impl Iterator<Item = (Interval, Option<&str>)> {
        let hit = |end: &&Ended| timeline.faults.iter().any(|fault| fault.contains(end.failed));
        self.0.iter().filter(hit).map(|end| match &end.next {
            Some((name, at)) => ((end.failed, *at), Some(name.as_str())),
            None => ((end.failed, RunTime(u64::MAX)), None),
        })
    }

    /// Notes whose a stream is.
    pub(crate) fn stream(&mut self, stream: &StreamRef<'_>) {
        let client = &stream.header.client;
        let whose = operations::kind(client).map(|kind| (kind, operations::number(client)));
        let of_stream = self.0.iter_mut().filter(|end| end.stream == stream.name);
        of_stream.for_each(|end| end.whose = whose);
    }

    /// Whether the first acks of a stream are wanted.
    pub(crate) fn wants(&self, stream: &str) -> bool {
        self.0.iter().any(|end| end.next.as_ref().is_some_and(|(name, _)| name == stream))
    }

    /// Adds the first acks of a stream.
    pub(crate) fn acked(&mut self, stream: &str, first: FirstAcks) {
        let is_next = |end: &&mut Ended| end.next.as_ref().is_some_and(|(name, _)| name == stream);
        if let Some(end) = self.0.iter_mut().find(is_next) {
            end.first_acks = first.0;
        }
    }

    /// The ends as they are told.
    pub(crate) fn told(&self, trial: u32, timeline: &Timeline) -> impl Iterator<Item = ClientEnd> {
        self.0.iter().map(move |end| {
            let during = timeline.faults.iter().find(|fault| fault.contains(end.failed));
            ClientEnd {
                trial,
                client: end.stream.clone(),
                error: end.error.clone(),
                failed_s: end.failed.as_secs_f64(),
                during: during.map(|fault| fault.id.clone()),
                renewed_as: end.next.as_ref().map(|(name, _)| name.clone()),
                renewed_s: end.next.as_ref().map(|(_, at)| at.as_secs_f64()),
            }
        })
    }

    /// Times in `gap` of this client on this partition, in order, in which it had ended, or its next
    /// life was not acked yet.
    fn away(
        &self,
        whose: (StreamKind, ClientNumber),
        partition: Partition,
        gap: &Gap,
    ) -> Vec<Interval> {
        let own: Vec<&Ended> = self.0.iter().filter(|end| end.whose == Some(whose)).collect();
        let failures = own.iter().skip(1).map(|end| end.failed).chain([RunTime(u64::MAX)]);
        let spans = own.iter().zip(failures).map(|(end, later)| {
            let acked = end.first_acks.get(&partition).copied().unwrap_or(later);
            (end.failed.max(gap.start), acked.min(later).min(gap.end))
        });
        spans.filter(|(from, to)| from < to).collect()
    }

    /// The gap, with what of it is the client's own.
    pub(super) fn split(
        &self,
        whose: (StreamKind, ClientNumber),
        waiting: &WaitingPartition<'_>,
        gap: Gap,
    ) -> SplitGap {
        let away = self.away(whose, waiting.partition, &gap).into_iter();
        let own = away.flat_map(|(from, to)| waiting.ready(from, to)).collect();
        SplitGap { gap, own }
    }
}

/// The first ack of each partition in a stream.
#[derive(Debug, Default)]
pub(crate) struct FirstAcks(BTreeMap<Partition, RunTime>);

impl FirstAcks {
    pub(crate) fn add(&mut self, entry: &Entry) {
        if let Entry::Send(send) = entry
            && matches!(send.outcome, SendOutcome::Acked { .. })
        {
            let first = self.0.entry(send.partition).or_insert(send.done);
            *first = send.done.min(*first);
        }
    }
}

/// A gap, and the parts of it that are the client's own, in order.
#[derive(Debug, Clone)]
pub(super) struct SplitGap {
    pub(super) gap: Gap,
    own: Vec<Interval>,
}

impl SplitGap {
    /// The longest of some gaps, without what is the client's own. One that is censored while the cluster
    /// was not seen to be ready is longer than any that ended: its length is but a lower bound.
    pub(super) fn longest(gaps: impl Iterator<Item = Self>) -> Option<Self> {
        gaps.max_by_key(|split| {
            let open = split.own.last().is_none_or(|(_, to)| *to < split.gap.end);
            (split.gap.censored && open, split.kafkas())
        })
    }

    /// What of it is not the client's own, in order.
    pub(super) fn parts(&self) -> Vec<Interval> {
        let ends = self.own.iter().map(|(_, to)| *to);
        let begins = self.own.iter().map(|(from, _)| *from).chain([self.gap.end]);
        let parts = [self.gap.start].into_iter().chain(ends).zip(begins);
        parts.filter(|(from, to)| from < to).collect()
    }

    /// Its length without what is the client's own.
    fn kafkas(&self) -> Duration {
        let own = self.own.iter().map(|(from, to)| to.since(*from)).sum();
        self.gap.end.since(self.gap.start).saturating_sub(own)
    }

    /// The same in seconds.
    pub(super) fn kafkas_s(&self) -> f64 {
        self.kafkas().as_secs_f64()
    }

    /// Takes a time out of what is the client's own: it is counted otherwise.
    pub(super) fn without(&mut self, (from, to): Interval) {
        let rest =
            self.own.iter().flat_map(|own| [(own.0, own.1.min(from)), (own.0.max(to), own.1)]);
        let rest: BTreeSet<Interval> = rest.filter(|(from, to)| from < to).collect();
        self.own = rest.into_iter().collect();
    }

    /// Seconds of the client's own before `at`, and from then on.
    pub(super) fn own_s(&self, at: RunTime) -> (f64, f64) {
        let seconds = |own: (RunTime, RunTime)| own.1.secs_since(own.0).max(0.0);
        let before = self.own.iter().map(|own| seconds((own.0, own.1.min(at)))).sum();
        let after = self.own.iter().map(|own| seconds((own.0.max(at), own.1))).sum();
        (before, after)
    }
}
