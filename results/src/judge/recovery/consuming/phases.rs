//! Splits a wait for a delivery by what the partition was seen to lack, at each of its moments.
//!
//! A partition that no living member has waits for the group's coordinator, if that is away, or else for
//! the group to share its partitions out. One that a member has waits for the partition's leader, if
//! there is none, or else for that member to fetch it: it does so without a coordinator, too. What was not
//! seen is the residual: a phase that nothing was seen of is unknown then, not 0.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::member::MemberAssignment;
use super::nanoseconds;
use crate::judge::timeline::{Interval, Liveness, PartitionAt, Timeline};
use crate::record::clock::RunTime;
use crate::record::history::Partition;

/// Topic in which groups keep their offsets.
pub const OFFSETS_TOPIC: &str = "__consumer_offsets";

/// Seconds in each phase of a wait for a delivery; none where it could not be seen.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct ConsumingPhases {
    /// No member had the partition, and nobody coordinated the group.
    pub coordinator: Option<f64>,
    /// No member had the partition, though the group had a coordinator.
    pub rebalance: Option<f64>,
    /// A member had the partition, and nobody led it.
    pub leader: Option<f64>,
    /// A member had the partition, which had a leader, and got nothing new.
    pub fetch: Option<f64>,
}

impl ConsumingPhases {
    /// The phases in order, with their names.
    pub fn named(&self) -> [(&'static str, Option<f64>); 4] {
        [
            ("coordinator", self.coordinator),
            ("rebalance", self.rebalance),
            ("leader", self.leader),
            ("fetch", self.fetch),
        ]
    }

    /// What the known phases do not explain of `total_s`; exact to the nanosecond, as times are.
    pub fn rest_of(&self, total_s: f64) -> f64 {
        nanoseconds(self.named().iter().filter_map(|(_, s)| *s).fold(total_s, |rest, s| rest - s))
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Lacks {
    Coordinator,
    Rebalance,
    Leader,
    Fetch,
}

/// The partition of [`OFFSETS_TOPIC`] whose leader coordinates `group`; `None` when that topic was not seen.
pub(crate) fn coordinating(timeline: &Timeline, group: &str) -> Option<Partition> {
    let partitions = timeline.partitions(OFFSETS_TOPIC);
    // Java's String.hashCode().
    let hash = group
        .encode_utf16()
        .fold(0_i32, |hash, unit| hash.wrapping_mul(31).wrapping_add(i32::from(unit)));
    // Kafka's Utils.abs().
    (partitions > 0).then(|| hash.checked_abs().unwrap_or(0) % partitions)
}

/// A partition whose records wait for the members of a group.
pub(super) struct WaitingForGroup<'a> {
    pub(super) timeline: &'a Timeline<'a>,
    pub(super) topic: &'a str,
    pub(super) partition: Partition,
    /// See [`coordinating`].
    pub(super) coordinating: Option<Partition>,
    /// When some member had the partition.
    pub(super) held: &'a [Interval],
}

impl WaitingForGroup<'_> {
    /// The phases of a wait.
    pub(super) fn split(&self, start: RunTime, end: RunTime) -> ConsumingPhases {
        let mut moments = self.changes();
        moments.retain(|at| start < *at && *at < end);
        moments.extend([start, end]);
        let mut seconds: BTreeMap<Lacks, f64> = BTreeMap::new();
        let mut unseen = BTreeSet::new();
        for (from, to) in moments.iter().zip(moments.iter().skip(1)) {
            match self.lacks(*from) {
                Ok(lacks) => *seconds.entry(lacks).or_default() += to.secs_since(*from),
                Err(perhaps) => unseen.extend(perhaps),
            }
        }
        let phase = |lacks| {
            let known = seconds.get(&lacks).map(|seconds| nanoseconds(*seconds));
            known.or((!unseen.contains(&lacks)).then_some(0.0))
        };
        ConsumingPhases {
            coordinator: phase(Lacks::Coordinator),
            rebalance: phase(Lacks::Rebalance),
            leader: phase(Lacks::Leader),
            fetch: phase(Lacks::Fetch),
        }
    }

    /// Whether no member has the partition at `at`, and nobody coordinates the group.
    pub(super) fn lacks_coordinator(&self, at: RunTime) -> bool {
        self.lacks(at) == Ok(Lacks::Coordinator)
    }

    fn changes(&self) -> BTreeSet<RunTime> {
        let held = self.held.iter().flat_map(|(from, to)| [*from, *to]);
        let led = self.timeline.states(self.topic, self.partition).iter();
        let coordinated = self.coordinating.map(|p| self.timeline.states(OFFSETS_TOPIC, p));
        let states = led.chain(coordinated.into_iter().flatten()).map(|state| state.at);
        held.chain(states).chain(self.timeline.comings_and_goings()).collect()
    }

    /// What is lacking at `at`; an error when that was not seen, with what it may be.
    fn lacks(&self, at: RunTime) -> Result<Lacks, [Lacks; 2]> {
        let held = self.held.iter().any(|(from, to)| *from <= at && at < *to);
        let leads = |state: PartitionAt<'_>| match self.timeline.liveness(state.leader, at) {
            _ if state.leader < 0 => Some(false),
            Liveness::Alive => Some(true),
            Liveness::Away(_) => Some(false),
            Liveness::Unknown => None,
        };
        if held {
            let state = self.timeline.state_at(self.topic, self.partition, at);
            let led = state.and_then(leads).ok_or([Lacks::Leader, Lacks::Fetch])?;
            return Ok(if led { Lacks::Fetch } else { Lacks::Leader });
        }
        let state = self.coordinating.and_then(|p| self.timeline.state_at(OFFSETS_TOPIC, p, at));
        let coordinated = state.and_then(leads).ok_or([Lacks::Coordinator, Lacks::Rebalance])?;
        Ok(if coordinated { Lacks::Rebalance } else { Lacks::Coordinator })
    }
}

/// When some living member had the partition. Each has it until it is revoked or the member is killed,
/// as `killed` tells of its stream, and at the longest until another has it.
pub(super) fn held(
    assignments: &[MemberAssignment],
    killed: impl Fn(usize) -> Option<RunTime>,
) -> Vec<Interval> {
    let mut ordered: Vec<&MemberAssignment> = assignments.iter().collect();
    ordered.sort_by_key(|assignment| assignment.at);
    let next = ordered.iter().skip(1).map(|next| next.at).chain([RunTime(u64::MAX)]);
    let until = |(assignment, next): (&&MemberAssignment, RunTime)| {
        let ended = assignment.revoked.into_iter().chain(killed(assignment.stream)).min();
        (assignment.at, ended.unwrap_or(RunTime(u64::MAX)).min(next).max(assignment.at))
    };
    ordered.iter().zip(next).map(until).collect()
}
