//! When the rate of acks was back: the first second after the injection from which it stays at or
//! above 95 % of the steady rate for five seconds. "Stays" is judged on the acks so far, after each
//! of the five seconds, so that acks which a second's end separates from their sends do no harm.
//!
//! Counted from the history, main load only. Seconds begin at the injection, not at whole seconds
//! of the clock. Within a fault's window only: the next fault is another story.

use crate::judge::timeline::Timeline;
use crate::record::clock::RunTime;
use crate::record::event::Stage;
use crate::record::history::{Send, SendOutcome};

/// Part of the steady rate that counts as restored.
const RESTORED: f64 = 0.95;
/// Seconds for which the rate must stay there.
const STAYS: usize = 5;

/// Acks of the main load, counted by the second since each fault's injection.
#[derive(Debug, Clone)]
pub(crate) struct AckRate {
    /// Of each fault, when it was injected, and the acks of each second since.
    since: Vec<(RunTime, Vec<u64>)>,
    /// Begin and end of the healthy cluster's load before the first fault, and the acks in it.
    baseline: Option<(RunTime, RunTime, u64)>,
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
        let since = timeline.faults.iter().map(|fault| {
            let seconds = fault.window_end.since(fault.injecting).as_secs();
            (fault.injecting, vec![0; seconds as usize])
        });
        Self { since: since.collect(), baseline }
    }

    /// Adds a send.
    pub(crate) fn add(&mut self, send: &Send) {
        let SendOutcome::Acked { .. } = send.outcome else {
            return;
        };
        if let Some((begin, end, acks)) = &mut self.baseline
            && (*begin..*end).contains(&send.done)
        {
            *acks += 1;
        }
        // Windows do not overlap.
        let begun = self.since.partition_point(|(from, _)| *from <= send.done);
        if let Some((from, seconds)) = begun.checked_sub(1).map(|last| &mut self.since[last])
            && let Some(acks) = seconds.get_mut(send.done.since(*from).as_secs() as usize)
        {
            *acks += 1;
        }
    }

    /// Acks a second on the healthy cluster, before the first fault.
    pub(crate) fn steady_per_s(&self) -> Option<f64> {
        self.baseline.map(|(begin, end, acks)| acks as f64 / end.secs_since(begin))
    }

    /// Seconds from the injection of the fault at this position until the throughput was restored;
    /// `None` when it was not, or the steady rate is not known.
    pub(crate) fn restored_s(&self, fault: usize) -> Option<f64> {
        let wanted = self.steady_per_s()? * RESTORED;
        let (_, seconds) = self.since.get(fault)?;
        let stays = |five: &[u64]| {
            let mut acks = 0;
            (1..).zip(five).all(|(seconds, more)| {
                acks += more;
                acks as f64 >= wanted * f64::from(seconds)
            })
        };
        seconds.windows(STAYS).position(stays).map(|second| second as f64)
    }
}
