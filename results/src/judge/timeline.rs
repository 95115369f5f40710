//! The events of one trial, put in order of time and asked questions.
//!
//! Invariant: nothing is assumed that no event says. What was not seen is `None`.
//! Absent: what the clients saw; that is the history's.

use std::collections::BTreeSet;

use crate::judge::span::{FaultSpan, FaultSpans};
use crate::record::clock::RunTime;
use crate::record::event::{BrokerId, Event, EventKind, Stage};

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

/// The ordered events of one trial.
#[derive(Debug, Clone)]
pub struct Timeline<'a> {
    events: Vec<&'a Event>,
    /// Faults in the order of their injection.
    pub faults: Vec<FaultSpan>,
    /// Steps that were not carried out: id, and why.
    pub skipped: Vec<(String, String)>,
    /// When the load ended; the last event's time when that was not recorded.
    pub load_end: RunTime,
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
            faults,
            skipped,
            load_end,
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

    /// States of a partition in ZooKeeper, in order of time.
    pub fn states<'b>(
        &'b self,
        topic: &'b str,
        partition: i32,
    ) -> impl DoubleEndedIterator<Item = PartitionAt<'a>> + 'b {
        self.events.iter().filter_map(move |event| match &event.kind {
            EventKind::PartitionState {
                topic: t, partition: p, leader, leader_epoch, isr, ..
            } if t == topic && *p == partition => Some(PartitionAt {
                at: event.at,
                leader: *leader,
                leader_epoch: *leader_epoch,
                isr,
            }),
            _ => None,
        })
    }

    /// The last state of a partition at or before `at`.
    pub fn state_at(&self, topic: &str, partition: i32, at: RunTime) -> Option<PartitionAt<'a>> {
        self.states(topic, partition).rev().find(|state| state.at <= at)
    }

    /// Brokers registered in ZooKeeper at `at`.
    pub fn registered_at(&self, at: RunTime) -> BTreeSet<BrokerId> {
        let mut brokers = BTreeSet::new();
        for event in self.events().take_while(|event| event.at <= at) {
            match event.kind {
                EventKind::BrokerRegistered { broker, .. } => {
                    brokers.insert(broker);
                }
                EventKind::BrokerGone { broker, .. } => {
                    brokers.remove(&broker);
                }
                _ => {}
            }
        }
        brokers
    }

    /// When `broker` vanished from ZooKeeper for the first time since `at`.
    pub fn gone_since(&self, broker: BrokerId, at: RunTime) -> Option<RunTime> {
        let is_gone = |e: &&Event| matches!(e.kind, EventKind::BrokerGone { broker: gone, .. } if gone == broker);
        self.from(at).find(is_gone).map(|e| e.at)
    }

    /// Whether `broker`, taken away by `fault`, is not registered anew at `at`.
    pub fn is_dead(&self, fault: &FaultSpan, broker: BrokerId, at: RunTime) -> bool {
        fault.loses(broker)
            && !self.from(fault.injecting).take_while(|e| e.at <= at).any(
                |e| matches!(e.kind, EventKind::BrokerRegistered { broker: b, .. } if b == broker),
            )
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

    /// Times that are not steady load: from the preparation of a step (kbench may move leaders
    /// then) to the cluster being steady after its healing.
    pub fn disturbed(&self) -> Vec<(RunTime, RunTime)> {
        self.faults
            .iter()
            .map(|fault| {
                let prepared = self.events().find(|e| {
                    matches!(&e.kind, EventKind::AwaitingSteady { fault_id } if *fault_id == fault.id)
                });
                let steady = fault.healed.and_then(|healed| {
                    self.from(healed).find(|e| e.kind == EventKind::Steady).map(|e| e.at)
                });
                let begin = prepared.map_or(fault.injecting, |e| e.at.min(fault.injecting));
                (begin, steady.unwrap_or(RunTime(u64::MAX)).min(fault.window_end))
            })
            .collect()
    }
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
