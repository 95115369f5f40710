//! How long acked records waited for their first delivery, and how many at once.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use super::cuts::AckedLog;
use super::progress::{Furthest, OffsetStep, ReachedOffsets, tick, time};
use super::zones::{FaultTimes, Zone, Zones};
use crate::judge::recovery::gap::DELAYED;
use crate::record::clock::RunTime;
use crate::record::history::Partition;

/// The time from an ack, or from the injection if that was later, to the first delivery.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Wait {
    pub(super) from: RunTime,
    /// The delivery; the end of the data when it is censored.
    pub(super) to: RunTime,
    /// Whether it did not end.
    pub(super) censored: bool,
}

/// What one fault did to one partition.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct FaultWaits {
    /// The longest that began before kbench started to heal.
    pub(super) own: Option<Wait>,
    /// The longest that began after that.
    pub(super) after_heal: Option<Wait>,
    /// Most records that waited at once.
    pub(super) lag: u64,
}

/// What happened to one partition.
#[derive(Debug, Clone, Default)]
pub(super) struct PartitionWaits {
    /// By position of the fault.
    pub(super) faults: Vec<FaultWaits>,
    /// The longest that began in the steady load, and that nothing planned made longer.
    pub(super) steady: Option<Wait>,
    /// Whether one of those did not end.
    pub(super) steady_censored: bool,
    /// Records that were not delivered when the group was stopped, if any of them had waited for too long.
    pub(super) undelivered: u64,
}

/// What happened to all partitions of a group.
#[derive(Debug, Clone, Default)]
pub(super) struct GroupWaits {
    pub(super) partitions: BTreeMap<Partition, PartitionWaits>,
    /// Most records that waited at once, in all partitions together.
    pub(super) lag: BTreeMap<Zone, u64>,
}

/// What was acked and what was delivered of one partition, and where its log ends at last, if that is
/// known.
pub(super) struct PartitionProgress<'a> {
    pub(super) acked: &'a AckedLog,
    /// By the number of cuts before it.
    pub(super) delivered: Option<&'a BTreeMap<usize, Vec<ReachedOffsets>>>,
    pub(super) log_end: Option<i64>,
}

impl<'a> PartitionProgress<'a> {
    /// What the group got of what was written after this many cuts.
    fn delivered(&self, generation: usize) -> Furthest<'a> {
        Furthest::of(self.delivered.and_then(|all| all.get(&generation)).into_iter().flatten())
    }
}

/// Follows both in time, to `data_end`. Before the group had `begun`, nothing waits for it.
pub(super) fn follow<'a>(
    zones: &Zones,
    partitions: impl IntoIterator<Item = (Partition, PartitionProgress<'a>)>,
    (begun, data_end): (RunTime, RunTime),
) -> GroupWaits {
    let begun = tick(begun);
    let mut followed: Vec<(Partition, Followed<'_>)> = partitions
        .into_iter()
        .map(|(partition, progress)| (partition, Followed::new(zones, begun, progress)))
        .collect();
    let mut lag = BTreeMap::new();
    for now in 0..=tick(data_end) {
        let zone = zones.at(time(now));
        let all: u64 = followed.iter_mut().map(|(_, one)| one.step(zones, zone, now)).sum();
        let highest = lag.entry(zone).or_default();
        *highest = all.max(*highest);
    }
    let closed = followed.into_iter();
    let partitions = closed.map(|(partition, one)| (partition, one.close(zones, data_end)));
    GroupWaits { partitions: partitions.collect(), lag }
}

struct Followed<'a> {
    progress: PartitionProgress<'a>,
    /// Cuts that were passed.
    generation: usize,
    acked: Furthest<'a>,
    delivered: Furthest<'a>,
    /// When the group had begun.
    begun: u64,
    /// Offsets that were acked and wait, by the tick of the ack.
    waiting: VecDeque<OffsetStep>,
    reached: u64,
    got: u64,
    found: PartitionWaits,
}

impl<'a> Followed<'a> {
    fn new(zones: &Zones, begun: u64, progress: PartitionProgress<'a>) -> Self {
        let faults = vec![FaultWaits::default(); zones.faults.len()];
        Self {
            generation: 0,
            acked: progress.acked.between(0),
            delivered: progress.delivered(0),
            progress,
            begun,
            waiting: VecDeque::new(),
            reached: 0,
            got: 0,
            found: PartitionWaits { faults, ..PartitionWaits::default() },
        }
    }

    /// Where the log ends, if that may cut what was acked short.
    fn log_end(&self) -> u64 {
        let last = self.generation == self.progress.acked.cuts().len();
        let end = self.progress.log_end.filter(|_| last);
        end.map_or(u64::MAX, |end| u64::try_from(end).unwrap_or(0))
    }

    /// Passes the cuts up to and in this tick: what they took waits no longer.
    fn pass_cuts(&mut self, now: u64) {
        while let Some(cut) = self.progress.acked.cuts().get(self.generation)
            && tick(cut.at) <= now
        {
            self.generation += 1;
            self.acked = self.progress.acked.between(self.generation);
            self.delivered = self.progress.delivered(self.generation);
            let from = u64::try_from(cut.from).unwrap_or(0);
            (self.reached, self.got) = (self.reached.min(from), self.got.min(from));
            let kept = self.waiting.partition_point(|step| step.end <= from);
            let parted = self.waiting.get(kept).copied();
            self.waiting.truncate(kept);
            let before = self.waiting.back().map_or(self.got, |step| step.end);
            self.waiting.extend(
                parted.filter(|_| before < from).map(|step| OffsetStep { end: from, ..step }),
            );
        }
    }

    /// Goes on to this tick, which lies in `zone`; how many records wait then.
    fn step(&mut self, zones: &Zones, zone: Zone, now: u64) -> u64 {
        self.pass_cuts(now);
        let end = self.acked.at(now).min(self.log_end());
        if end > self.reached {
            self.reached = end;
            self.waiting.push_back(OffsetStep { tick: now.max(self.begun), end });
        }
        self.got = self.delivered.at(now).max(self.got);
        while let Some(first) = self.waiting.front()
            && first.end <= self.got
        {
            let wait = Wait { from: time(first.tick), to: time(now), censored: false };
            self.waiting.pop_front();
            self.found.add(zones, wait);
        }
        let lag = if now < self.begun { 0 } else { self.reached.saturating_sub(self.got) };
        if let Zone::Fault(fault) = zone
            && let Some(fault) = self.found.faults.get_mut(fault)
        {
            fault.lag = lag.max(fault.lag);
        }
        lag
    }

    fn close(mut self, zones: &Zones, data_end: RunTime) -> PartitionWaits {
        let mut late = false;
        for OffsetStep { tick, .. } in std::mem::take(&mut self.waiting) {
            let wait = Wait { from: time(tick), to: data_end.max(time(tick)), censored: true };
            // What was on its way when the group was stopped waited for nothing.
            if wait.length() > DELAYED {
                late = true;
                self.found.add(zones, wait);
            }
        }
        if late {
            self.found.undelivered = self.reached.saturating_sub(self.got);
        }
        self.found
    }
}

impl PartitionWaits {
    fn add(&mut self, zones: &Zones, wait: Wait) {
        // Faults do not overlap: those that had begun, from the last one back.
        let begun = zones.faults.partition_point(|fault| fault.injecting < wait.to);
        let faults = zones.faults[..begun].iter().zip(&mut self.faults).rev();
        for (fault, found) in faults.take_while(|(fault, _)| wait.from < fault.end) {
            found.add(fault, wait);
        }
        if zones.is_steady(wait.from, wait.to) {
            self.steady_censored |= wait.censored;
            let longest = self.steady.filter(|longest| longest.length() >= wait.length());
            self.steady = Some(longest.unwrap_or(wait));
        }
    }
}

impl FaultWaits {
    fn add(&mut self, fault: &FaultTimes, wait: Wait) {
        if fault.is_over(wait.from, wait.to) {
            return;
        }
        let of = if wait.from < fault.healing { &mut self.own } else { &mut self.after_heal };
        keep_longest(of, Wait { from: wait.from.max(fault.injecting), ..wait });
    }
}

impl Wait {
    pub(super) fn length(&self) -> Duration {
        self.to.since(self.from)
    }
}

/// One that did not end is longer than any that did.
fn keep_longest(longest: &mut Option<Wait>, new: Wait) {
    let rank = |wait: &Wait| (wait.censored, wait.length());
    if longest.as_ref().is_none_or(|longest| rank(longest) < rank(&new)) {
        *longest = Some(new);
    }
}
