//! What faults did to consuming: how long acked records waited to be delivered to each group, and for
//! what.
//!
//! A record *waits* from its ack to its first delivery to the group, whichever member gets it. A
//! partition is read in order: a record has been delivered, or was passed over (of which `poll-skip` and
//! `commit-skip` tell), when one at its offset or a later one was; and all below an acked offset are there
//! to be read. So nothing waits while nothing is acked: an outage of producing is none of consuming. A
//! trickle of deliveries does not end the wait of what lies behind it, nor is one that comes in batches
//! counted for each of them.
//!
//! Where a log was cut back below what had been acked, its partition is followed anew ([`cuts`]).
//!
//! A group begins when one of its members is assigned a partition for the first time: what was acked before
//! waits from then on.
//!
//! `unconsumed_s` is the longest wait of a fault: of records that were acked before kbench began to heal, and
//! delivered after the injection or never; what a record had waited before the injection does not count.
//! Of records that were acked later it is `after_heal_s`. A fault ends with its window, or when kbench
//! replaces a member of the group: what comes of that is kbench's doing, and no fault's. A wait
//! that no delivery ended, and that was longer than [`DELAYED`], is censored: it goes on to the end of the
//! group's record.
//!
//! `unconsumed_s = coordinator + rebalance + leader + fetch + phase_residual_s`, see [`phases`].
//!
//! Times are those of [ticks](progress) of 10 ms. Nothing is kept of a record: of each stream the offsets
//! that it had reached at each tick, its assignments, and runs of records that were read in a row.

mod again;
pub mod backlog;
mod cuts;
mod member;
pub mod phases;
mod progress;
mod resumption;
mod waits;
mod zones;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::gap::DELAYED;
use super::phases::nanoseconds;
use crate::judge::span::FaultSpan;
use crate::judge::timeline::Timeline;
use crate::record::clock::RunTime;
use crate::record::environment::Settings;
use crate::record::event::{EventKind, Stage};
use crate::record::history::{Entry, Partition, Send, SendOutcome, StreamRef};

use again::Deliveries;
pub(crate) use again::Redelivered;
use backlog::GroupBacklog;
use cuts::{AckedLog, LogCut};
pub(crate) use member::MemberFold;
use member::Reads;
pub use phases::ConsumingPhases;
use phases::WaitingForGroup;
use progress::Furthest;
pub(crate) use resumption::Resumed;
use waits::{FaultWaits, GroupWaits, PartitionProgress, Wait};
use zones::{Zone, Zones};

/// What one fault did to the consuming of one partition by one group.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct ConsumingRecovery {
    /// Partition.
    pub partition: i32,
    /// The longest wait from an ack, or the injection, to the delivery; a lower bound when censored.
    pub unconsumed_s: f64,
    /// Whether that is longer than a healthy group takes.
    pub interrupted: bool,
    /// Whether it did not end before the group's record did.
    pub censored: bool,
    /// From the injection to the delivery that ended it; none when nothing was interrupted.
    pub delivered_s: Option<f64>,
    /// Whether that came only after kbench began to heal.
    pub ended_after_heal: bool,
    /// What was waited for; none when nothing was interrupted.
    pub phases_s: ConsumingPhases,
    /// What the phases do not explain of `unconsumed_s`.
    pub phase_residual_s: f64,
    /// The longest wait that began after kbench started to heal.
    pub after_heal_s: Option<f64>,
    /// Most records that were acked and not delivered at one time.
    pub lag: u64,
    /// Records that were delivered for the first time.
    pub delivered: u64,
    /// Records that were delivered again.
    pub redelivered: u64,
}

/// What one fault did to a group.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct GroupFault {
    /// Id of the fault.
    pub fault: String,
    /// Most records that were acked and not delivered at one time, in all partitions together.
    pub lag: u64,
    /// Records that were delivered for the first time.
    pub delivered: u64,
    /// Records that were delivered again.
    pub redelivered: u64,
    /// Each partition.
    pub partitions: Vec<ConsumingRecovery>,
}

/// How a group consumed the steady load.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct SteadyConsuming {
    /// The longest wait from ack to delivery, in seconds, of what was acked then; none when nothing was, or it waited
    /// for a fault.
    pub longest_wait_s: Option<f64>,
    /// Whether that is a lower bound: some of it was never delivered.
    #[serde(default)]
    pub censored: bool,
    /// Most records that were acked and not delivered at one time.
    pub lag: Option<u64>,
    /// Records that were delivered for the first time.
    pub delivered: u64,
    /// Records that were delivered again.
    pub redelivered: u64,
}

/// What one group consumed of one topic in one trial.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct GroupConsuming {
    /// Number of the trial.
    pub trial: u32,
    /// The group.
    pub group: String,
    /// The topic.
    pub topic: String,
    /// Records that were delivered for the first time, at any time.
    pub delivered: u64,
    /// Records that were delivered again, at any time: when kbench replaced a member, too.
    pub redelivered: u64,
    /// Acked records that were not delivered when the group was stopped.
    pub undelivered: u64,
    /// When a member was assigned a partition for the first time, on the trial's clock; none when none was.
    pub began_s: Option<f64>,
    /// Whether that was when the load was being measured: what was acked before waits from then on.
    pub began_late: bool,
    /// The steady load.
    pub steady: SteadyConsuming,
    /// The backlog that the workload plans; none without one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub backlog: Option<GroupBacklog>,
    /// Each fault.
    pub faults: Vec<GroupFault>,
}

type ConsumedPartition = (String, Partition);

/// What is kept of the clients' streams for this.
#[derive(Debug)]
pub(crate) struct ConsumingSeen {
    zones: Zones,
    acked: BTreeMap<ConsumedPartition, AckedLog>,
    /// Where logs end at last, where it is known.
    log_ends: BTreeMap<ConsumedPartition, i64>,
    /// By group and topic.
    groups: BTreeMap<(String, String), GroupSeen>,
    /// When members' processes were killed, by the numbers of their streams.
    killed: BTreeMap<usize, RunTime>,
}

/// What the members of a group did.
#[derive(Debug, Default)]
struct GroupSeen {
    partitions: BTreeMap<Partition, Reads>,
    deliveries: BTreeMap<Partition, BTreeMap<Zone, Deliveries>>,
    /// When the last of their entries was made.
    last: RunTime,
}

/// Folds the acks of a producer's stream.
#[derive(Debug, Default)]
pub(crate) struct AckedFold {
    partitions: BTreeMap<Partition, AckedLog>,
}

impl AckedFold {
    /// Adds a send.
    pub(crate) fn add(&mut self, send: &Send) {
        if let SendOutcome::Acked { offset } = send.outcome {
            self.partitions.entry(send.partition).or_default().ack(send, offset);
        }
    }
}

impl ConsumingSeen {
    pub(crate) fn new(timeline: &Timeline, streams: &[StreamRef<'_>]) -> Self {
        let killed = timeline.events().filter_map(|event| match &event.kind {
            EventKind::ClientKilled { client, .. } => {
                let stream = streams.iter().find(|stream| stream.name == client)?;
                Some((stream.number, event.at))
            }
            _ => None,
        });
        Self {
            zones: Zones::of(timeline),
            acked: BTreeMap::new(),
            log_ends: BTreeMap::new(),
            groups: BTreeMap::new(),
            killed: killed.collect(),
        }
    }

    /// Adds what was folded of a producer's stream.
    pub(crate) fn acked(&mut self, topic: &str, fold: AckedFold) {
        for (partition, acked) in fold.partitions {
            self.acked.entry((topic.to_owned(), partition)).or_default().merge(acked);
        }
    }

    /// Begins the stream of a group's member. To be called when all producers' streams were added.
    pub(crate) fn member(&self, stream: usize, topic: &str) -> MemberFold {
        let of_topic = self.acked.iter().filter(|((of, _), _)| of == topic);
        let cuts = of_topic.map(|((_, partition), acked)| (*partition, acked.cuts().to_vec()));
        let cuts = cuts.filter(|(_, cuts)| !cuts.is_empty()).collect();
        MemberFold::new(stream, self.zones.clone(), cuts)
    }

    /// Adds what was folded of a member's stream.
    pub(crate) fn read(&mut self, group: &str, topic: &str, fold: MemberFold) {
        let seen = self.groups.entry((group.to_owned(), topic.to_owned())).or_default();
        seen.last = seen.last.max(fold.last);
        for (partition, reads) in fold.partitions {
            seen.partitions.entry(partition).or_default().merge(reads);
        }
    }

    /// Whether acked records were not delivered, so that it matters where logs end.
    pub(crate) fn wants_log_ends(&self) -> bool {
        self.groups.iter().any(|((_, topic), seen)| {
            let mut of_topic = self.acked.iter().filter(|((of, _), _)| of == topic);
            of_topic.any(|((_, partition), acked)| {
                let last = acked.cuts().len();
                let reads = seen.partitions.get(partition);
                let progress = reads.and_then(|reads| reads.progress.get(&last));
                Furthest::of(progress.into_iter().flatten()).at(u64::MAX) < acked.end()
            })
        })
    }

    /// Adds what an entry of a drain's stream tells of the end of a log.
    pub(crate) fn drained(&mut self, topic: &str, entry: &Entry) {
        if let Entry::Drained { partition, end_offset, .. } = entry {
            self.log_ends.insert((topic.to_owned(), *partition), *end_offset);
        }
    }

    /// To be called when all members' streams were added: which of their deliveries were not the first.
    pub(crate) fn close(&mut self) -> Redelivered {
        let mut redelivered = Redelivered::default();
        for seen in self.groups.values_mut() {
            for (partition, reads) in &mut seen.partitions {
                let runs = std::mem::take(&mut reads.runs);
                seen.deliveries.insert(*partition, redelivered.count(*partition, runs));
            }
        }
        redelivered
    }

    /// Measures every group, and says where its members resumed.
    pub(super) fn measure(
        &self,
        trial: u32,
        settings: &Settings,
        timeline: &Timeline,
    ) -> (Vec<GroupConsuming>, Resumed) {
        let mut resumed = Resumed::default();
        let groups = self.groups.iter().map(|((group, topic), seen)| {
            let measured = MeasuredGroup { all: self, settings, timeline, group, topic, seen };
            measured.measure(trial, &mut resumed)
        });
        (groups.collect(), resumed)
    }
}

fn longest_s(waits: impl Iterator<Item = Wait>) -> Option<f64> {
    waits.map(|wait| wait.length().as_secs_f64()).reduce(f64::max)
}

struct MeasuredGroup<'a> {
    all: &'a ConsumingSeen,
    settings: &'a Settings,
    timeline: &'a Timeline<'a>,
    group: &'a str,
    topic: &'a str,
    seen: &'a GroupSeen,
}

impl MeasuredGroup<'_> {
    fn measure(&self, trial: u32, resumed: &mut Resumed) -> GroupConsuming {
        let waits = self.waits();
        let count = |zone: Option<Zone>| {
            let mut sum = Deliveries::default();
            let all = self.seen.deliveries.values().flatten();
            for (_, some) in all.filter(|(of, _)| zone.is_none_or(|zone| zone == **of)) {
                (sum.first, sum.again) = (sum.first + some.first, sum.again + some.again);
            }
            sum
        };
        let lag = |zone| waits.lag.get(&zone).copied();
        let (all, steady) = (count(None), count(Some(Zone::Steady)));
        let steady_waits = || waits.partitions.values().filter_map(|partition| partition.steady);
        let mut faults = vec![];
        for (position, fault) in self.timeline.faults.iter().enumerate() {
            let zone = Zone::Fault(position);
            let of_fault = count(Some(zone));
            faults.push(GroupFault {
                fault: fault.id.clone(),
                lag: lag(zone).unwrap_or_default(),
                delivered: of_fault.first,
                redelivered: of_fault.again,
                partitions: self.partitions(position, fault, &waits, resumed),
            });
        }
        GroupConsuming {
            trial,
            group: self.group.to_owned(),
            topic: self.topic.to_owned(),
            delivered: all.first,
            redelivered: all.again,
            began_s: self.began().map(RunTime::as_secs_f64),
            began_late: self.began_late(),
            undelivered: waits.partitions.values().map(|partition| partition.undelivered).sum(),
            steady: SteadyConsuming {
                longest_wait_s: longest_s(steady_waits()),
                censored: waits.partitions.values().any(|partition| partition.steady_censored),
                lag: lag(Zone::Steady),
                delivered: steady.first,
                redelivered: steady.again,
            },
            backlog: self.backlog(),
            faults,
        }
    }

    /// When a member was assigned a partition for the first time.
    fn began(&self) -> Option<RunTime> {
        let all = self.seen.partitions.values().flat_map(|reads| &reads.assignments);
        all.map(|assignment| assignment.at).min()
    }

    /// Whether that was when the load was being measured.
    fn began_late(&self) -> bool {
        let stages = self.timeline.stages();
        let baseline = stages.iter().find(|(stage, ..)| *stage == Stage::Baseline);
        let measured = baseline.map(|(_, begin, _)| *begin);
        self.began().zip(measured).is_some_and(|(began, from)| began.since(from) > DELAYED)
    }

    fn waits(&self) -> GroupWaits {
        let of_topic = self.all.acked.iter().filter(|((topic, _), _)| topic == self.topic);
        let partitions = of_topic.map(|(key, acked)| {
            let reads = self.seen.partitions.get(&key.1);
            let delivered = reads.map(|reads| &reads.progress);
            let log_end = self.all.log_ends.get(key).copied();
            (key.1, PartitionProgress { acked, delivered, log_end })
        });
        // Members go on until what was acked has been delivered, or that has taken too long.
        let stopped = self.timeline.load_stopping.unwrap_or(self.timeline.load_end);
        let times = (self.began().unwrap_or_default(), self.seen.last.max(stopped));
        waits::follow(&self.all.zones, partitions, times)
    }

    fn cuts(&self, partition: Partition) -> &[LogCut] {
        let acked = self.all.acked.get(&(self.topic.to_owned(), partition));
        acked.map_or(&[], AckedLog::cuts)
    }

    fn partitions(
        &self,
        position: usize,
        fault: &FaultSpan,
        waits: &GroupWaits,
        resumed: &mut Resumed,
    ) -> Vec<ConsumingRecovery> {
        let coordinating = phases::coordinating(self.timeline, self.group);
        let none = Reads::default();
        let mut rows = vec![];
        for (partition, found) in &waits.partitions {
            let partition = *partition;
            let reads = self.seen.partitions.get(&partition).unwrap_or(&none);
            let killed = |stream| self.all.killed.get(&stream).copied();
            let held = phases::held(&reads.assignments, killed);
            let (timeline, topic) = (self.timeline, self.topic);
            let waiting = WaitingForGroup { timeline, topic, partition, coordinating, held: &held };
            let waits = found.faults.get(position).copied().unwrap_or_default();
            let deliveries = self.seen.deliveries.get(&partition);
            let deliveries = deliveries.and_then(|zones| zones.get(&Zone::Fault(position)));
            let row = row(&waiting, fault, &waits, deliveries.copied().unwrap_or_default());
            if let Some(times) = self.all.zones.faults.get(position) {
                let partition = resumption::PartitionResumption {
                    group: self.group,
                    waiting: &waiting,
                    reads,
                    cuts: self.cuts(partition),
                    fault,
                    times,
                    row: &row,
                };
                partition.judge(self.settings, resumed);
            }
            rows.push(row);
        }
        rows
    }
}

fn row(
    waiting: &WaitingForGroup<'_>,
    fault: &FaultSpan,
    waits: &FaultWaits,
    deliveries: Deliveries,
) -> ConsumingRecovery {
    let seconds = |wait: Wait| wait.length().as_secs_f64();
    let interrupted = waits.own.filter(|wait| wait.length() > DELAYED);
    let healing = fault.healing.unwrap_or(RunTime(u64::MAX));
    let unconsumed_s = waits.own.map(seconds).unwrap_or_default();
    let phases_s = interrupted.map(|wait| waiting.split(wait.from, wait.to)).unwrap_or_default();
    let ended = interrupted.filter(|wait| !wait.censored);
    ConsumingRecovery {
        partition: waiting.partition,
        unconsumed_s,
        interrupted: interrupted.is_some(),
        censored: interrupted.is_some_and(|wait| wait.censored),
        delivered_s: ended.map(|wait| nanoseconds(wait.to.secs_since(fault.injecting))),
        ended_after_heal: interrupted.is_some_and(|wait| wait.to > healing),
        phases_s,
        phase_residual_s: interrupted.map_or(0.0, |_| phases_s.rest_of(unconsumed_s)),
        after_heal_s: waits.after_heal.map(seconds),
        lag: waits.lag,
        delivered: deliveries.first,
        redelivered: deliveries.again,
    }
}

#[cfg(test)]
mod tests;
