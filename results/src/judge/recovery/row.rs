//! What recovery is told by: a row for each fault, kind of client and partition.

use crate::record::clock::RunTime;
use serde::{Deserialize, Serialize};

use super::gap::Gap;
use super::lives::SplitGap;
use super::phases::nanoseconds;
use super::{Phases, StreamKind};

/// What one fault did to one partition, as one kind of client saw it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct PartitionRecovery {
    /// Number of the trial.
    pub trial: u32,
    /// Id of the fault.
    pub fault: String,
    /// Which clients saw it.
    pub stream: StreamKind,
    /// Topic.
    pub topic: String,
    /// Partition.
    pub partition: i32,
    /// Whether a broker that the fault took away led it at the injection; none when not known.
    pub led: Option<bool>,
    /// Whether it was added to its topic after the injection: it had no steady load before, and no claim rests on
    /// it.
    pub added: bool,
    /// From the injection to the first send that failed or stayed without outcome.
    pub first_error_s: Option<f64>,
    /// Unavailability without kbench's own wait and the client's own end; a lower bound when censored.
    pub unavailable_s: f64,
    /// Whether anything was delayed or failed; responses up to half a second are neither.
    pub interrupted: bool,
    /// When nothing was interrupted: the longest response to what was asked between injection and healing.
    pub longest_response_s: Option<f64>,
    /// Whether the gap did not end before the data did.
    pub censored: bool,
    /// How many gaps there were between injection and healing.
    pub gaps: u32,
    /// How long all of them were together, without kbench's own wait and the client's own end.
    pub gaps_s: f64,
    /// Length of the gap as the client saw it.
    pub total_s: f64,
    /// Part of the gap in which kbench waited for a stale registration.
    pub kbench_wait_s: f64,
    /// Part of the gap in which the client had ended with a fatal error of its own, and the cluster was
    /// ready.
    pub client_failed_s: f64,
    /// Part of the gap after healing began, without that wait and that end.
    pub heal_s: f64,
    /// Whether the partition came back only after kbench began to heal.
    pub ended_after_heal: bool,
    /// From the injection to the answer that ended the gap; none when nothing was interrupted.
    pub first_ack_s: Option<f64>,
    /// Where the time went.
    pub phases_s: Phases,
    /// What the phases and `heal_s` do not explain of `unavailable_s`.
    pub phase_residual_s: f64,
    /// The longest gap that began after kbench started to heal, without the client's own end; a lower bound
    /// when `after_heal_censored`.
    pub after_heal_gap_s: Option<f64>,
    /// Whether one of those did not end before the data did.
    #[serde(default)]
    pub after_heal_censored: bool,
    /// When the last of those ended, in seconds from the injection; none where there was none.
    #[serde(default)]
    pub after_heal_until_s: Option<f64>,
    /// The longest gap that clients felt since the injection, in seconds: whosever it is, before kbench
    /// started to heal or after.
    #[serde(default)]
    pub felt_s: f64,
    /// Whether one of those did not end before the data did: `felt_s` is a lower bound then.
    #[serde(default)]
    pub felt_censored: bool,
    /// Until the main load's throughput was back (of all partitions).
    pub throughput_restored_s: Option<f64>,
    /// Until the ISR, once it had shrunk, was full again.
    pub isr_full_s: Option<f64>,
    /// Smallest ISR in ZooKeeper during the fault.
    pub min_isr: Option<usize>,
    /// Smallest number of ISR members that were alive during the fault; none when not all was seen.
    pub min_live_isr: Option<usize>,
    /// What was not seen, or needs saying.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
}

/// The longest gap of a row, without kbench's own wait and the client's own end.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct LongestGap {
    /// Its length.
    pub(crate) seconds: f64,
    /// Whether it began after kbench started to heal.
    pub(crate) after_heal: bool,
    /// Whether that is a lower bound: a gap did not end before the data did.
    pub(crate) censored: bool,
}

impl PartitionRecovery {
    /// A partition that was not interrupted.
    pub(super) fn uninterrupted(fault: &str, stream: StreamKind, place: (&str, i32)) -> Self {
        Self {
            trial: 0,
            fault: fault.to_owned(),
            stream,
            topic: place.0.to_owned(),
            partition: place.1,
            led: None,
            added: false,
            first_error_s: None,
            unavailable_s: 0.0,
            interrupted: false,
            longest_response_s: None,
            censored: false,
            gaps: 0,
            gaps_s: 0.0,
            total_s: 0.0,
            kbench_wait_s: 0.0,
            client_failed_s: 0.0,
            heal_s: 0.0,
            ended_after_heal: false,
            first_ack_s: None,
            phases_s: Phases::default(),
            phase_residual_s: 0.0,
            after_heal_gap_s: None,
            after_heal_censored: false,
            after_heal_until_s: None,
            felt_s: 0.0,
            felt_censored: false,
            throughput_restored_s: None,
            isr_full_s: None,
            min_isr: None,
            min_live_isr: None,
            note: None,
        }
    }

    /// The gap that a bound is held against: whether it began before kbench started to heal or after.
    pub(crate) fn longest_gap(&self) -> LongestGap {
        let after_s = self.after_heal_gap_s.unwrap_or_default();
        let after_heal = after_s > self.unavailable_s;
        LongestGap {
            seconds: self.unavailable_s.max(after_s),
            after_heal,
            censored: self.censored || self.after_heal_censored,
        }
    }

    /// Notes all gaps that clients felt.
    pub(super) fn felt(&mut self, gaps: impl Iterator<Item = Gap>) {
        for gap in gaps {
            self.felt_s = nanoseconds(gap.seconds()).max(self.felt_s);
            self.felt_censored |= gap.censored;
        }
    }

    /// Notes the gaps that began after kbench started to heal.
    pub(super) fn after_heal(&mut self, injecting: RunTime, gaps: &[SplitGap]) {
        let clusters = || gaps.iter().filter(|gap| gap.kafkas_s() > 0.0);
        let Some(longest) = clusters().map(SplitGap::kafkas_s).reduce(f64::max) else { return };
        self.after_heal_gap_s = Some(longest);
        self.after_heal_censored = clusters().any(|gap| gap.gap.censored);
        let until = clusters().map(|gap| gap.gap.end).max();
        self.after_heal_until_s = until.map(|until| until.secs_since(injecting));
        let least = if self.after_heal_censored { ">= " } else { "" };
        self.say(&format!(
            "a gap of {least}{longest:.2} s began after kbench had begun to heal, and is no part of these figures"
        ));
    }

    /// Adds to the note.
    pub(super) fn say(&mut self, what: &str) {
        let note = self.note.take();
        self.note = Some(note.map_or_else(|| what.to_owned(), |note| format!("{note}; {what}")));
    }
}
