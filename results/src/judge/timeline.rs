//! The events of one trial, put in order of time and asked questions.
//!
//! Invariant: nothing is assumed that no event says. What was not seen is `None`.
//! Absent: what the clients saw; that is the history's.

mod liveness;

use std::collections::{BTreeMap, BTreeSet};

use crate::judge::backlog::PlannedBacklog;
use crate::judge::span::{FaultSpan, FaultSpans};
use crate::record::clock::RunTime;
use crate::record::event::{BrokerId, Event, EventKind, Stage};

pub use liveness::Liveness;
use liveness::TimeAway;

/// One state of a partition, as ZooKeeper or a broker's metadata has it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct PartitionAt<'a> {
    /// When.
    pub at: RunTime,
    /// Leader, or -1.
    pub leader: BrokerId,
    /// Leader epoch.
    pub leader_epoch: i32,
    /// In-sync replicas.
    pub isr: &'a [BrokerId],
}

/// What was seen of one partition, in order of time.
#[derive(Debug, Clone, Default)]
pub struct PartitionSeen<'a> {
    /// Its states on the metadata plane.
    pub states: Vec<PartitionAt<'a>>,
    /// What brokers answered when they were asked, each with the broker.
    pub answers: Vec<(BrokerId, PartitionAt<'a>)>,
}

type PartitionsSeen<'a> = BTreeMap<&'a str, BTreeMap<i32, PartitionSeen<'a>>>;

/// A time, from its begin to its end.
pub type Interval = (RunTime, RunTime);

/// The ordered events of one trial.
#[derive(Debug, Clone)]
pub struct Timeline<'a> {
    events: Vec<&'a Event>,
    partitions: PartitionsSeen<'a>,
    /// When each broker was away: taken by a fault, or ended by itself, and not registered anew.
    away: BTreeMap<BrokerId, Vec<TimeAway>>,
    /// Registrations (true) and their loss.
    registrations: Vec<(RunTime, BrokerId, bool)>,
    /// Faults in the order of their injection.
    pub faults: Vec<FaultSpan>,
    /// Steps that were not carried out: id, and why.
    pub skipped: Vec<(String, String)>,
    /// The backlog that was built and read off, if one was planned.
    pub backlog: Option<PlannedBacklog>,
    /// When the load ended; the last event's time when that was not recorded.
    pub load_end: RunTime,
    /// When the producers were told to stop.
    pub load_stopping: Option<RunTime>,
    /// Whether the run was interrupted.
    pub interrupted: bool,
    /// Whether the trial came to its end.
    pub ended: bool,
}

impl<'a> Timeline<'a> {
    /// Orders `events` and finds the faults in them.
    pub fn new(events: &'a [Event]) -> Self {
        let mut ordered: Vec<&Event> = events.iter().collect();
        ordered.sort_by_key(|event| event.at);
        let load_end = load_end(&ordered);
        let FaultSpans { faults, skipped } = FaultSpans::new(ordered.iter().copied(), load_end);
        Self {
            partitions: partitions(&ordered),
            away: liveness::away(&ordered, &faults),
            registrations: registrations(&ordered),
            faults,
            skipped,
            backlog: PlannedBacklog::of(&ordered, load_end),
            load_end,
            load_stopping: ordered.iter().find(|e| e.kind == EventKind::LoadStopping).map(|e| e.at),
            interrupted: ordered.iter().any(|e| e.kind == EventKind::Interrupted),
            ended: ordered.iter().any(|e| e.kind == EventKind::TrialEnded),
            events: ordered,
        }
    }

    /// Events in order of time.
    pub fn events(&self) -> impl Iterator<Item = &'a Event> + '_ {
        self.events.iter().copied()
    }

    /// Events at or after `at`, in order of time.
    pub fn from(&self, at: RunTime) -> impl Iterator<Item = &'a Event> + '_ {
        let first = self.events.partition_point(|event| event.at < at);
        self.events[first..].iter().copied()
    }

    /// What was seen of a partition; `None` when nothing was.
    pub fn partition(&self, topic: &str, partition: i32) -> Option<&PartitionSeen<'a>> {
        self.partitions.get(topic)?.get(&partition)
    }

    /// States of a partition in ZooKeeper, in order of time.
    pub fn states(&self, topic: &str, partition: i32) -> &[PartitionAt<'a>] {
        self.partition(topic, partition).map_or(&[], |seen| &seen.states)
    }

    /// How many partitions were seen of a topic.
    pub fn partitions(&self, topic: &str) -> i32 {
        let seen = self.partitions.get(topic).and_then(|topic| topic.last_key_value());
        seen.map_or(0, |(highest, _)| highest + 1)
    }

    /// The last state of a partition at or before `at`.
    pub fn state_at(&self, topic: &str, partition: i32, at: RunTime) -> Option<PartitionAt<'a>> {
        self.states(topic, partition).iter().rev().find(|state| state.at <= at).copied()
    }

    /// Whether a partition was added to its topic after `at`: it comes behind all that were seen until then, in
    /// its first epoch.
    pub fn is_added_after(&self, topic: &str, partition: i32, at: RunTime) -> bool {
        let first = self.states(topic, partition).first();
        let others = self.partitions.get(topic).into_iter().flatten();
        let seen = others.filter(|(_, seen)| seen.states.first().is_some_and(|s| s.at <= at));
        let highest = seen.map(|(number, _)| *number).max();
        highest.is_some_and(|highest| highest < partition)
            && first.is_some_and(|state| at < state.at && state.leader_epoch == 0)
    }

    /// Registrations of brokers (true) and their loss, in order of time.
    pub fn registrations(&self) -> &[(RunTime, BrokerId, bool)] {
        &self.registrations
    }

    /// Brokers registered in ZooKeeper at `at`.
    pub fn registered_at(&self, at: RunTime) -> BTreeSet<BrokerId> {
        let mut brokers = BTreeSet::new();
        for (_, broker, there) in self.registrations.iter().take_while(|(then, ..)| *then <= at) {
            if *there {
                brokers.insert(*broker)
            } else {
                brokers.remove(broker)
            };
        }
        brokers
    }

    /// When `broker` vanished from ZooKeeper for the first time since `at`.
    pub fn gone_since(&self, broker: BrokerId, at: RunTime) -> Option<RunTime> {
        let mut later = self.registrations.iter().filter(|(then, ..)| *then >= at);
        later.find(|(_, of, there)| *of == broker && !there).map(|(then, ..)| *then)
    }

    /// When `broker` was registered for the first time after `at`.
    pub fn registered_since(&self, broker: BrokerId, at: RunTime) -> Option<RunTime> {
        let mut later = self.registrations.iter().filter(|(then, ..)| *then > at);
        later.find(|(_, of, there)| *of == broker && *there).map(|(then, ..)| *then)
    }

    /// Whether `broker` was registered in ZooKeeper at `at`; `None` when nothing tells.
    pub fn registration(&self, broker: BrokerId, at: RunTime) -> Option<bool> {
        let of_broker = || self.registrations.iter().filter(|(_, of, _)| *of == broker);
        let last = of_broker().take_while(|(then, ..)| *then <= at).last();
        // What goes was there.
        let goes = || of_broker().find(|(then, ..)| *then > at).is_some_and(|(.., there)| !there);
        last.map(|(.., there)| *there).or_else(|| goes().then_some(true))
    }

    /// The stages in order, each with its begin and end.
    pub fn stages(&self) -> Vec<(Stage, RunTime, RunTime)> {
        let begins: Vec<(Stage, RunTime)> = self
            .events()
            .filter_map(|e| match e.kind {
                EventKind::Stage { stage } => Some((stage, e.at)),
                _ => None,
            })
            .collect();
        let last = self.events.last().map_or(RunTime(0), |e| e.at);
        let ends = begins.iter().skip(1).map(|(_, at)| *at).chain([last]);
        begins.iter().zip(ends).map(|((stage, begin), end)| (*stage, *begin, end)).collect()
    }

    /// Times of steady load after the warm-up: those that are not [disturbed](Self::disturbed), nor of a planned
    /// backlog.
    pub fn steady(&self) -> Vec<Interval> {
        let begun = self.stages().into_iter().find(|(stage, ..)| *stage == Stage::Baseline);
        let Some((_, mut from, _)) = begun else {
            return vec![];
        };
        let end = self.load_stopping.unwrap_or(self.load_end);
        let mut steady = vec![];
        // With a backlog there are no faults.
        let backlog = self.backlog.iter().map(PlannedBacklog::interval);
        for (begin, until) in self.disturbed().into_iter().chain(backlog) {
            steady.push((from, begin.min(end)));
            from = until;
        }
        steady.push((from, end));
        steady.retain(|(from, to)| from < to);
        steady
    }

    /// When kbench began to prepare a step: it may move leaders from then on.
    pub fn prepared(&self, fault: &FaultSpan) -> RunTime {
        let of_it = |kind: &EventKind| matches!(kind, EventKind::AwaitingSteady { fault_id } if *fault_id == fault.id);
        let prepared = self.events().find(|event| of_it(&event.kind)).map(|event| event.at);
        prepared.unwrap_or(fault.injecting).min(fault.injecting)
    }

    /// Times that are not steady load: from the preparation of a step (kbench may move leaders
    /// then) to the cluster being steady after its healing.
    pub fn disturbed(&self) -> Vec<Interval> {
        self.faults
            .iter()
            .map(|fault| {
                let steady = fault.healed.and_then(|healed| {
                    self.from(healed).find(|e| e.kind == EventKind::Steady).map(|e| e.at)
                });
                (self.prepared(fault), steady.unwrap_or(RunTime(u64::MAX)).min(fault.window_end))
            })
            .collect()
    }
}

fn partitions<'a>(ordered: &[&'a Event]) -> PartitionsSeen<'a> {
    let mut topics = PartitionsSeen::new();
    for event in ordered {
        let at = event.at;
        match &event.kind {
            EventKind::PartitionState { topic, partition, leader, leader_epoch, isr, .. } => {
                let state = PartitionAt { at, leader: *leader, leader_epoch: *leader_epoch, isr };
                let partitions = topics.entry(topic).or_default();
                partitions.entry(*partition).or_default().states.push(state);
            }
            EventKind::MetadataSeen { observer, topic, partition, leader, leader_epoch, isr } => {
                let state = PartitionAt { at, leader: *leader, leader_epoch: *leader_epoch, isr };
                let partitions = topics.entry(topic).or_default();
                partitions.entry(*partition).or_default().answers.push((*observer, state));
            }
            _ => {}
        }
    }
    topics
}

fn registrations(ordered: &[&Event]) -> Vec<(RunTime, BrokerId, bool)> {
    let change = |event: &&Event| match event.kind {
        EventKind::BrokerRegistered { broker, .. } => Some((event.at, broker, true)),
        EventKind::BrokerGone { broker, .. } => Some((event.at, broker, false)),
        _ => None,
    };
    ordered.iter().filter_map(change).collect()
}

/// When the load ended: the stage of draining began, else the clients' last account, else the
/// last event.
fn load_end(ordered: &[&Event]) -> RunTime {
    let find = |wanted: fn(&EventKind) -> bool| {
        ordered.iter().find(|event| wanted(&event.kind)).map(|event| event.at)
    };
    find(|kind| matches!(kind, EventKind::Stage { stage: Stage::Draining }))
        .or_else(|| find(|kind| matches!(kind, EventKind::LoadEnded { .. })))
        .or_else(|| ordered.last().map(|event| event.at))
        .unwrap_or_default()
}
