//! When the rate of acks was back: the first second after the injection from which it stays at or
//! above 95 % of the steady rate for five seconds. "Stays" is judged on the acks so far, after each
//! of the five seconds, so that acks which a second's end separates from their sends do no harm.
//!
//! Counted from the history, main load only. Seconds begin at the injection, not at whole seconds
//! of the clock. Within a fault's window only: the next fault is another story.

use crate::judge::span::FaultSpan;
use crate::judge::timeline::Timeline;
use crate::record::clock::RunTime;
use crate::record::event::Stage;

use super::StreamKind;
use super::gap::OperationsByPartition;

/// Part of the steady rate that counts as restored.
const RESTORED: f64 = 0.95;
/// Seconds for which the rate must stay there.
const STAYS: u64 = 5;
const SECOND: u64 = 1_000_000_000;

/// Times of all acks of the main load, in order.
#[derive(Debug, Clone)]
pub struct Acks {
    done: Vec<RunTime>,
    steady_per_s: Option<f64>,
}

impl Acks {
    /// Collects the acks, and the steady rate from the stage before the first fault.
    pub fn new(operations: &OperationsByPartition, timeline: &Timeline) -> Self {
        let main = operations.iter().filter(|((kind, _, _), _)| *kind == StreamKind::Main);
        let mut done: Vec<RunTime> =
            main.flat_map(|(_, o)| o.list.iter().filter(|o| o.ok).map(|o| o.done)).collect();
        done.sort_unstable();
        let mut acks = Self { done, steady_per_s: None };
        let first_fault = timeline.faults.first().map_or(timeline.load_end, |f| f.injecting);
        acks.steady_per_s = timeline
            .stages()
            .into_iter()
            .find(|(stage, _, _)| *stage == Stage::Baseline)
            .map(|(_, begin, end)| (begin, end.min(first_fault)))
            .filter(|(begin, end)| end.since(*begin).as_secs() >= 1)
            .map(|(begin, end)| acks.count(begin, end) as f64 / end.secs_since(begin));
        acks
    }

    /// Acks a second on the healthy cluster, before the first fault.
    pub fn steady_per_s(&self) -> Option<f64> {
        self.steady_per_s
    }

    /// Seconds from the injection until the throughput was restored; none when it was not, or the
    /// steady rate is not known.
    pub fn restored_s(&self, fault: &FaultSpan) -> Option<f64> {
        let wanted = self.steady_per_s? * RESTORED;
        let seconds = fault.window_end.since(fault.injecting).as_secs();
        let stays = |n: &u64| {
            let begin = RunTime(fault.injecting.0 + n * SECOND);
            (1..=STAYS).all(|seconds| {
                let acks = self.count(begin, RunTime(begin.0 + seconds * SECOND));
                acks as f64 >= wanted * seconds as f64
            })
        };
        (0..=seconds.checked_sub(STAYS)?).find(stays).map(|n| n as f64)
    }

    fn count(&self, from: RunTime, to: RunTime) -> usize {
        let before = |at: RunTime| self.done.partition_point(|done| *done < at);
        before(to).saturating_sub(before(from))
    }
}
