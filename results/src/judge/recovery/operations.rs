//! What each client asked of one partition, folded from its streams.
//!
//! Operations that failed or were answered late are kept. Of the others, which are nearly all, the
//! longest response in each fault's window is; and, once all delayed ones are known, those that may
//! end a [gap](super::gap), when the streams are read a second time.

use std::collections::BTreeMap;
use std::time::Duration;

use super::StreamKind;
use super::answers::{GapEnds, StreamAnswers};
use super::gap::Operation;
use crate::judge::span::FaultSpan;
use crate::record::clock::RunTime;
use crate::record::history::{Client, Entry, LoadRole, Partition, SendOutcome};

/// When the responses of one fault count.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Window {
    from: RunTime,
    /// The begin of healing, or the end of the window.
    healing: RunTime,
    to: RunTime,
}

impl Window {
    pub(crate) fn of(fault: &FaultSpan) -> Self {
        let healing = fault.healing.unwrap_or(fault.window_end).min(fault.window_end);
        Self { from: fault.injecting, healing, to: fault.window_end }
    }
}

/// The longest responses to operations due in one fault's window.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Longest {
    /// In the whole window; `None` when none was due.
    pub(super) whole: Option<Duration>,
    /// Before healing began.
    pub(super) unhealed: Option<Duration>,
    /// When the first operation was due.
    pub(super) first_due: Option<RunTime>,
}

impl Longest {
    pub(super) fn merge(&mut self, other: Self) {
        self.whole = self.whole.max(other.whole);
        self.unhealed = self.unhealed.max(other.unhealed);
        self.first_due = self.first_due.into_iter().chain(other.first_due).min();
    }
}

/// What one client asked of one partition.
#[derive(Debug, Clone, Default)]
pub(crate) struct Operations {
    /// In order of due times; of those that were answered in time, only what may end a gap.
    pub(super) list: Vec<Operation>,
    /// By position of the fault.
    pub(super) longest: Vec<Longest>,
    /// Up to when this client was watched.
    pub(super) data_end: RunTime,
}

/// The operation that an entry tells of, and its partition.
pub(super) fn operation(entry: &Entry) -> Option<(Partition, Operation)> {
    match entry {
        Entry::Send(send) => {
            let ok = matches!(send.outcome, SendOutcome::Acked { .. });
            Some((send.partition, Operation { due: send.due, done: send.done, ok }))
        }
        &Entry::Read { partition, asked, done, answered } => {
            Some((partition, Operation { due: asked, done, ok: answered }))
        }
        _ => None,
    }
}

/// The kind of client whose operations count; `None` for the others.
pub(crate) fn kind(client: &Client) -> Option<StreamKind> {
    match client {
        Client::Producer { role: LoadRole::Main, .. } => Some(StreamKind::Main),
        Client::Producer { role: LoadRole::Probe, .. } => Some(StreamKind::Probe),
        Client::Producer { role: LoadRole::Direct, .. } => Some(StreamKind::Direct),
        Client::ReadProbe => Some(StreamKind::Reads),
        Client::Producer { role: LoadRole::Extra | LoadRole::Broker(_), .. }
        | Client::GroupConsumer { .. }
        | Client::Drain
        | Client::BatchHeaders => None,
    }
}

impl Operations {
    /// These operations, in full.
    #[cfg(test)]
    pub(super) fn of(mut list: Vec<Operation>, data_end: RunTime) -> Self {
        list.sort_by_key(|o| (o.due, o.done, o.ok));
        Self { list, longest: Vec::new(), data_end }
    }

    fn add(&mut self, windows: &[Window], operation: Operation) {
        self.data_end = self.data_end.max(operation.done);
        self.longest.resize(windows.len(), Longest::default());
        // Windows do not overlap.
        let begun = windows.partition_point(|window| window.from <= operation.due);
        if let Some(last) = begun.checked_sub(1) {
            let (due, window) = (operation.due, windows[last]);
            let response = operation.done.since(due);
            self.longest[last].merge(Longest {
                whole: (due < window.to).then_some(response),
                unhealed: (due < window.healing).then_some(response),
                first_due: Some(due),
            });
        }
        if operation.delayed() {
            self.list.push(operation);
        }
    }

    fn merge(&mut self, other: Self) {
        self.data_end = self.data_end.max(other.data_end);
        self.list.extend(other.list);
        self.longest.resize(self.longest.len().max(other.longest.len()), Longest::default());
        for (mine, theirs) in self.longest.iter_mut().zip(other.longest) {
            mine.merge(theirs);
        }
    }

    /// To be called when all were added.
    fn close(&mut self, kind: StreamKind, load_end: RunTime) {
        // A read probe ends before the load does, and says what it was waiting for then.
        if kind != StreamKind::Reads {
            self.data_end = self.data_end.max(load_end);
        }
        self.list.sort_by_key(|o| (o.due, o.done, o.ok));
    }
}

/// Number of a client among those of its kind: a producer's, in all its incarnations.
pub(super) type ClientNumber = u16;

/// The number of a client whose operations count.
pub(crate) fn number(client: &Client) -> ClientNumber {
    match client {
        Client::Producer { producer, .. } => *producer,
        Client::ReadProbe | Client::GroupConsumer { .. } | Client::Drain | Client::BatchHeaders => {
            0
        }
    }
}

/// What the clients of one kind asked of one partition, by the client.
pub(super) type OfPartition = BTreeMap<ClientNumber, Operations>;

/// What the clients waited for longest in the window of the fault at this position.
pub(super) fn longest_responses(clients: &OfPartition, position: usize) -> Longest {
    let mut longest = Longest::default();
    clients
        .values()
        .filter_map(|operations| operations.longest.get(position))
        .for_each(|of_client| longest.merge(*of_client));
    longest
}

/// Operations of each (kind of client, topic, partition). One client's that is stuck hides nothing of
/// what others are served.
#[derive(Debug, Default)]
pub(crate) struct OperationsFold {
    windows: Vec<Window>,
    pub(super) all: BTreeMap<(StreamKind, String, Partition), OfPartition>,
}

impl OperationsFold {
    pub(crate) fn new(windows: Vec<Window>) -> Self {
        Self { windows, all: BTreeMap::new() }
    }

    /// Begins a stream.
    pub(crate) fn stream(&self) -> StreamOperations<'_> {
        StreamOperations { windows: &self.windows, partitions: BTreeMap::new() }
    }

    /// Adds what was folded of a client's stream.
    pub(crate) fn merge(
        &mut self,
        kind: StreamKind,
        (topic, client): (&str, ClientNumber),
        partitions: BTreeMap<Partition, Operations>,
    ) {
        for (partition, operations) in partitions {
            let key = (kind, topic.to_owned(), partition);
            self.all.entry(key).or_default().entry(client).or_default().merge(operations);
        }
    }

    /// To be called when all streams were added.
    pub(crate) fn close(&mut self, load_end: RunTime) {
        for ((kind, ..), clients) in &mut self.all {
            clients.values_mut().for_each(|operations| operations.close(*kind, load_end));
        }
    }

    /// What to look for in a client's stream when it is read again; `None` when nothing there is wanted.
    pub(crate) fn wanted(
        &self,
        kind: StreamKind,
        (topic, client): (&str, ClientNumber),
    ) -> Option<StreamAnswers> {
        let of_topic = self.all.iter().filter(|((k, t, _), _)| *k == kind && t == topic);
        let partitions: BTreeMap<_, _> = of_topic
            .filter_map(|((.., partition), clients)| Some((partition, clients.get(&client)?)))
            .filter(|(_, operations)| !operations.list.is_empty())
            .map(|(partition, operations)| (*partition, GapEnds::to(&operations.list)))
            .collect();
        (!partitions.is_empty()).then_some(StreamAnswers { partitions })
    }

    /// Adds what was found in a client's stream that was read again.
    pub(crate) fn answer(
        &mut self,
        kind: StreamKind,
        (topic, client): (&str, ClientNumber),
        found: StreamAnswers,
    ) {
        for (partition, answers) in found.partitions {
            let clients = self.all.get_mut(&(kind, topic.to_owned(), partition));
            if let Some(operations) = clients.and_then(|clients| clients.get_mut(&client)) {
                operations.list.extend(answers.found());
                operations.list.sort_by_key(|o| (o.due, o.done, o.ok));
            }
        }
    }
}

/// The operations of one stream.
pub(crate) struct StreamOperations<'a> {
    windows: &'a [Window],
    partitions: BTreeMap<Partition, Operations>,
}

impl StreamOperations<'_> {
    pub(crate) fn add(&mut self, entry: &Entry) {
        if let Some((partition, operation)) = operation(entry) {
            self.partitions.entry(partition).or_default().add(self.windows, operation);
        }
    }

    pub(crate) fn finish(self) -> BTreeMap<Partition, Operations> {
        self.partitions
    }
}
