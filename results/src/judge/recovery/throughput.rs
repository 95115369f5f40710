//! When the throughput was back: the first second after the outage from which, for five seconds, each
//! partition answers at least 95 % of what is asked of it in time, and all of them together at least
//! 95 % of the steady rate. After the outage is behind the last second, of those that begin before kbench starts to
//! heal, in which a partition does not; after the injection where each does in all of them. A record counts in the second in which it was due: a backlog that is worked
//! off makes no throughput.
//!
//! Counted from the history, main load only. Seconds begin at the injection, not at whole seconds
//! of the clock. Within a fault's window only: the next fault is another story.

use std::collections::BTreeMap;

use super::gap::DELAYED;
use crate::judge::timeline::Timeline;
use crate::record::clock::RunTime;
use crate::record::event::Stage;
use crate::record::history::{Partition, Send, SendOutcome};

/// Part of what is asked for, and of the steady rate, that counts as restored.
const RESTORED: f64 = 0.95;
/// Seconds for which the rate must stay there.
const STAYS: usize = 5;

/// Records that were due in one second.
#[derive(Debug, Clone, Copy, Default)]
struct Due {
    all: u32,
    /// Acked within [`DELAYED`].
    in_time: u32,
}

/// By position of the fault: the seconds since its injection.
type SecondsOfFaults = BTreeMap<usize, Vec<Due>>;

/// What was due to each partition of the main load, and acked in time, by the second since each
/// fault's injection.
#[derive(Debug, Clone)]
pub(crate) struct AckRate {
    /// When each fault was injected, and the seconds of its window.
    windows: Vec<(RunTime, usize)>,
    /// How many of those begin before kbench starts to heal.
    unhealed: Vec<usize>,
    /// Begin and end of the healthy cluster's load before the first fault, and the acks in it.
    baseline: Option<(RunTime, RunTime, u64)>,
    partitions: BTreeMap<(String, Partition), SecondsOfFaults>,
}

impl AckRate {
    pub(crate) fn new(timeline: &Timeline) -> Self {
        let first_fault = timeline.faults.first().map_or(timeline.load_end, |f| f.injecting);
        let baseline = timeline
            .stages()
            .into_iter()
            .find(|(stage, _, _)| *stage == Stage::Baseline)
            .map(|(_, begin, end)| (begin, end.min(first_fault)))
            .filter(|(begin, end)| end.since(*begin).as_secs() >= 1)
            .map(|(begin, end)| (begin, end, 0));
        let windows = timeline.faults.iter().map(|fault| {
            (fault.injecting, fault.window_end.since(fault.injecting).as_secs() as usize)
        });
        let unhealed = timeline.faults.iter().map(|fault| {
            let healing = fault.healing.unwrap_or(fault.window_end).min(fault.window_end);
            healing.since(fault.injecting).as_secs_f64().ceil() as usize
        });
        let (windows, unhealed) = (windows.collect(), unhealed.collect());
        Self { windows, unhealed, baseline, partitions: BTreeMap::new() }
    }

    /// Begins a stream.
    pub(crate) fn stream(&self) -> StreamAcks {
        let baseline = self.baseline.map(|(begin, end, _)| (begin, end, 0));
        StreamAcks { windows: self.windows.clone(), baseline, partitions: BTreeMap::new() }
    }

    /// Adds what was counted of a stream.
    pub(crate) fn merge(&mut self, topic: &str, stream: StreamAcks) {
        if let (Some((.., acks)), Some((.., more))) = (&mut self.baseline, stream.baseline) {
            *acks += more;
        }
        for (partition, faults) in stream.partitions {
            let mine = self.partitions.entry((topic.to_owned(), partition)).or_default();
            for (fault, seconds) in faults {
                let mine = mine.entry(fault).or_default();
                mine.resize(mine.len().max(seconds.len()), Due::default());
                for (mine, more) in mine.iter_mut().zip(seconds) {
                    mine.all += more.all;
                    mine.in_time += more.in_time;
                }
            }
        }
    }

    /// Acks a second on the healthy cluster, before the first fault.
    pub(crate) fn steady_per_s(&self) -> Option<f64> {
        self.baseline.map(|(begin, end, acks)| acks as f64 / end.secs_since(begin))
    }

    /// Seconds from the injection of the fault at this position until the throughput was restored;
    /// `None` when it was not, or the steady rate is not known.
    pub(crate) fn restored_s(&self, fault: usize) -> Option<f64> {
        let wanted = self.steady_per_s()? * RESTORED * STAYS as f64;
        let (_, length) = self.windows.get(fault)?;
        let due = |seconds: &SecondsOfFaults, second: usize| {
            seconds.get(&fault).and_then(|seconds| seconds.get(second)).copied().unwrap_or_default()
        };
        let serves = |second: usize| {
            self.partitions.values().all(|seconds| {
                let Due { all, in_time } = due(seconds, second);
                f64::from(in_time) >= f64::from(all) * RESTORED
            })
        };
        let in_time = |second: usize| -> u64 {
            self.partitions.values().map(|seconds| u64::from(due(seconds, second).in_time)).sum()
        };
        let last = (length + 1).saturating_sub(STAYS);
        let unhealed = *self.unhealed.get(fault)?.min(length);
        let after = (0..unhealed).rev().find(|second| !serves(*second)).map_or(0, |last| last + 1);
        let restored = (after..last).find(|first| {
            let mut five = *first..first + STAYS;
            let acks: u64 = five.clone().map(in_time).sum();
            acks as f64 >= wanted && five.all(serves)
        });
        restored.map(|second| second as f64)
    }
}

/// The same of one stream.
#[derive(Debug)]
pub(crate) struct StreamAcks {
    windows: Vec<(RunTime, usize)>,
    baseline: Option<(RunTime, RunTime, u64)>,
    partitions: BTreeMap<Partition, SecondsOfFaults>,
}

impl StreamAcks {
    /// Adds a send.
    pub(crate) fn add(&mut self, send: &Send) {
        let acked = matches!(send.outcome, SendOutcome::Acked { .. });
        if let Some((begin, end, acks)) = &mut self.baseline
            && acked
            && (*begin..*end).contains(&send.done)
        {
            *acks += 1;
        }
        // Windows do not overlap.
        let begun = self.windows.partition_point(|(from, _)| *from <= send.due);
        let Some((fault, (from, length))) =
            begun.checked_sub(1).map(|last| (last, self.windows[last]))
        else {
            return;
        };
        let second = send.due.since(from).as_secs() as usize;
        if second < length {
            let seconds = self.partitions.entry(send.partition).or_default();
            let seconds = seconds.entry(fault).or_insert_with(|| vec![Due::default(); length]);
            seconds[second].all += 1;
            let in_time = acked && send.done.since(send.due) <= DELAYED;
            seconds[second].in_time += u32::from(in_time);
        }
    }
}
