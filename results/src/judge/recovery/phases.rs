//! Splits a gap into detect, elect, metadata and client by what ZooKeeper and the brokers showed.
//!
//! The anchors, in order: the gap's start; the last of the killed brokers' registrations is gone;
//! the partition has a leader and an ISR without dead brokers; the live brokers' metadata says so;
//! the end. An anchor that lies before the previous one or after the end is moved to it, so the
//! phases are never negative and add up. An anchor that was not seen leaves the phases on both of
//! its sides unknown (never 0), and what they would have explained stands as the residual.

use serde::{Deserialize, Serialize};

use crate::judge::span::FaultSpan;
use crate::judge::timeline::{PartitionAt, Timeline};
use crate::record::clock::RunTime;
use crate::record::event::{BrokerId, EventKind};

/// An anchor that precedes the one before it by more than this is told: the observer's error is
/// 10 ms, ZooKeeper's watches and 50 Hz metadata add up to 20 ms each.
const OUT_OF_ORDER: f64 = 0.05;

/// Seconds in each phase of a recovery; none where an anchor was not seen.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Phases {
    /// Until ZooKeeper dropped the registration of the dead broker (the last of them).
    pub detect: Option<f64>,
    /// Until a new leader or controller was chosen, and dead brokers were out of the ISR.
    pub elect: Option<f64>,
    /// Until the live brokers' metadata said so.
    pub metadata: Option<f64>,
    /// Until the client was answered; never more than until healing began.
    pub client: Option<f64>,
}

impl Phases {
    /// The phases in order, with their names.
    pub fn named(&self) -> [(&'static str, Option<f64>); 4] {
        [
            ("detect", self.detect),
            ("elect", self.elect),
            ("metadata", self.metadata),
            ("client", self.client),
        ]
    }

    /// Whether none is known.
    pub fn is_empty(&self) -> bool {
        self.named().iter().all(|(_, seconds)| seconds.is_none())
    }

    /// What the known phases do not explain of `total_s`; exact to the nanosecond, as times are.
    pub fn rest_of(&self, total_s: f64) -> f64 {
        nanoseconds(self.named().iter().filter_map(|(_, s)| *s).fold(total_s, |rest, s| rest - s))
    }

    /// The mean of these and `other`, phase by phase; unknown where one of them is.
    pub fn mean(&self, other: &Self) -> Self {
        let mean = |a: Option<f64>, b: Option<f64>| a.zip(b).map(|(a, b)| f64::midpoint(a, b));
        Self {
            detect: mean(self.detect, other.detect),
            elect: mean(self.elect, other.elect),
            metadata: mean(self.metadata, other.metadata),
            client: mean(self.client, other.client),
        }
    }
}

/// Seconds to the nanosecond: differences of sums of them are exact then, and zero is not negative.
pub(crate) fn nanoseconds(seconds: f64) -> f64 {
    (seconds * 1e9).round() / 1e9 + 0.0
}

/// The three anchors between a gap's start and end, and what there is to say about them.
#[derive(Debug, Clone, Default)]
pub struct Anchors {
    /// The last killed broker's registration is gone.
    pub gone: Option<RunTime>,
    /// Leader and ISR without dead brokers.
    pub elected: Option<RunTime>,
    /// Live brokers' metadata says so.
    pub metadata: Option<RunTime>,
    /// What was not seen, or not in full.
    pub notes: Vec<String>,
}

/// Finds the anchors of `fault` for one partition.
pub fn anchors(timeline: &Timeline, fault: &FaultSpan, topic: &str, partition: i32) -> Anchors {
    let mut found = Anchors::default();
    match all_gone(timeline, fault) {
        Ok(gone) => found.gone = Some(gone),
        Err(note) => found.notes.push(note),
    }
    let clean = |leader: BrokerId, isr: &[BrokerId], at: RunTime| {
        leader >= 0
            && !timeline.is_dead(fault, leader, at)
            && !isr.iter().any(|broker| timeline.is_dead(fault, *broker, at))
    };
    let held = timeline.state_at(topic, partition, fault.injecting);
    if held.is_some_and(|s| clean(s.leader, s.isr, s.at)) {
        // The dead brokers had no part in it: nothing to elect, nothing to learn.
        found.elected = found.gone;
        found.metadata = found.gone;
        return found;
    }
    let elected = timeline
        .states(topic, partition)
        .find(|s| s.at >= fault.injecting && clean(s.leader, s.isr, s.at));
    let Some(elected) = elected else {
        found.notes.push("no state of the partition without the dead broker was seen".to_owned());
        return found;
    };
    found.elected = Some(elected.at);
    match metadata_seen(timeline, fault, topic, partition, elected) {
        Ok((at, note)) => {
            found.metadata = Some(at);
            found.notes.extend(note);
        }
        Err(note) => found.notes.push(note),
    }
    found
}

/// When the last of the fault's brokers lost its registration.
pub fn all_gone(timeline: &Timeline, fault: &FaultSpan) -> Result<RunTime, String> {
    let mut last = None;
    for broker in fault.lost_brokers() {
        let Some(gone) = timeline.gone_since(broker, fault.injecting) else {
            return Err(format!("the registration of broker {broker} was not seen to go"));
        };
        last = last.max(Some(gone));
    }
    last.ok_or_else(|| "the fault names no broker".to_owned())
}

fn metadata_seen(
    timeline: &Timeline,
    fault: &FaultSpan,
    topic: &str,
    partition: i32,
    elected: PartitionAt,
) -> Result<(RunTime, Option<String>), String> {
    let seen_by = |wanted: BrokerId| {
        timeline.from(fault.injecting).find_map(|event| match &event.kind {
            EventKind::MetadataSeen {
                observer,
                topic: t,
                partition: p,
                leader,
                leader_epoch,
                isr,
            } if *observer == wanted
                && t == topic
                && *p == partition
                && *leader >= 0
                && *leader_epoch >= elected.leader_epoch
                && !isr.iter().any(|b| timeline.is_dead(fault, *b, event.at)) =>
            {
                Some(event.at)
            }
            _ => None,
        })
    };
    let mut live = timeline.registered_at(fault.injecting);
    live.retain(|broker| !fault.loses(*broker));
    let seen: Vec<Option<RunTime>> = live.iter().map(|broker| seen_by(*broker)).collect();
    if !seen.is_empty() && seen.iter().all(Option::is_some) {
        return Ok((seen.into_iter().flatten().max().unwrap_or(elected.at), None));
    }
    match seen_by(elected.leader) {
        Some(at) => {
            let note =
                "not every live broker's metadata was seen to change: the new leader's counts";
            Ok((at, Some(note.to_owned())))
        }
        None => Err("no live broker's metadata was seen to change".to_owned()),
    }
}

/// Splits `[start, end]` at the anchors. Returns the phases and any further remarks.
pub fn split(start: RunTime, end: RunTime, anchors: &Anchors) -> (Phases, Vec<String>) {
    let mut notes = Vec::new();
    let mut last_known = start;
    let mut place = |what: &str, anchor: Option<RunTime>| {
        let anchor = anchor?;
        let early = last_known.secs_since(anchor);
        if early > OUT_OF_ORDER && last_known > start {
            notes.push(format!("{what} was seen {early:.2} s before the step that precedes it"));
        }
        last_known = anchor.clamp(last_known, end.max(last_known));
        Some(last_known)
    };
    let gone = place("the lost registration", anchors.gone);
    let elected = place("the new state", anchors.elected);
    let metadata = place("the new metadata", anchors.metadata);
    let between = |from: Option<RunTime>, to: Option<RunTime>| Some(to?.secs_since(from?));
    let phases = Phases {
        detect: between(Some(start), gone),
        elect: between(gone, elected),
        metadata: between(elected, metadata),
        client: between(metadata, Some(end.max(start))),
    };
    (phases, notes)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn phases_add_up_whatever_the_order_of_the_anchors(
            start in 0u64..60_000, length in 0u64..60_000,
            a in 0u64..120_000, b in 0u64..120_000, c in 0u64..120_000,
        ) {
            let ms = |v: u64| RunTime(v * 1_000_000);
            let anchors = Anchors {
                gone: Some(ms(a)), elected: Some(ms(b)), metadata: Some(ms(c)), notes: vec![],
            };
            let (phases, _) = split(ms(start), ms(start + length), &anchors);
            prop_assert_eq!(phases.rest_of(length as f64 / 1e3), 0.0);
            prop_assert!(phases.named().iter().all(|(_, s)| s.is_some_and(|s| s >= 0.0)));
        }

        #[test]
        fn a_missing_anchor_is_never_zero(a in 0u64..10_000, c in 0u64..10_000) {
            let anchors = Anchors {
                gone: Some(RunTime(a)), elected: None, metadata: Some(RunTime(c)), notes: vec![],
            };
            let (phases, _) = split(RunTime(0), RunTime(10_000), &anchors);
            prop_assert!(phases.elect.is_none() && phases.metadata.is_none());
            prop_assert!(phases.detect.is_some() && phases.client.is_some());
        }
    }
}
