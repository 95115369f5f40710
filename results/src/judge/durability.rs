//! Lawful loss: why a cluster with these settings may lose a record although it acked it.
//!
//! A cause is evidence (the ISR at the ack, an election, a loss of power, a log that was cut), never a guess:
//! without it, nothing that was seen explains the loss.

use std::collections::BTreeSet;
use std::fmt;
use std::time::Duration;

use crate::judge::policy::log_of;
use crate::judge::recovery::consuming::phases::{OFFSETS_TOPIC, coordinating};
use crate::judge::span::FaultSpan;
use crate::judge::timeline::{PartitionAt, Timeline};
use crate::record::clock::RunTime;
use crate::record::environment::{Environment, Settings};
use crate::record::event::{BrokerId, EventKind, LogMark, Process, Risk, Role};
use crate::record::history::Partition;

/// What lets a cluster lose an acked record.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum LossCause {
    /// The producer did not wait for the in-sync replicas.
    Acks,
    /// A broker that was not in sync was elected.
    UncleanElection,
    /// The only in-sync replica lost what it had not flushed (KIP-966).
    LastInSyncPower,
    /// All in-sync replicas lost what they had not flushed.
    EveryPower,
}

impl fmt::Display for LossCause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Acks => "acks other than all",
            Self::UncleanElection => "unclean leader election",
            Self::LastInSyncPower => "the last in-sync replica lost its power",
            Self::EveryPower => "every in-sync replica lost its power",
        })
    }
}

/// How far behind the cluster the observer may be: a leader has taken a replica out of the ISR by then.
const OBSERVED_WITHIN: Duration = Duration::from_secs(1);

/// A fault that took what a broker had not flushed, and that broker.
type LostPower<'a> = (&'a FaultSpan, BrokerId);

/// `LostAck::then` of what was acked.
pub(crate) const AT_ACK: &str = "at the ack";

/// What is known of the copies that acks rested on.
#[derive(Debug, Clone, Copy)]
pub struct Durability<'a> {
    timeline: &'a Timeline<'a>,
    settings: &'a Settings,
}

/// A record that is gone, although it was acked or, as only what all in-sync replicas have is, read.
#[derive(Debug, Clone, Copy)]
pub(crate) struct LostAck<'a> {
    pub(crate) topic: &'a str,
    pub(crate) partition: Partition,
    /// Its offset then.
    pub(crate) offset: i64,
    /// When it was acked, or read.
    pub(crate) acked: RunTime,
    /// Whether all in-sync replicas had it: the producer waited for them, or it was read.
    pub(crate) acks_all: bool,
    /// That moment, in words.
    pub(crate) then: &'static str,
}

impl<'a> Durability<'a> {
    /// As a trial's settings and events tell it.
    pub fn new(environment: &'a Environment, timeline: &'a Timeline<'a>) -> Self {
        Self { timeline, settings: &environment.settings }
    }

    /// An accepted commit of a group, as the record that it is in the group's log; `None` when it is not known
    /// which log that is.
    pub(crate) fn commit(&self, group: &str, accepted: RunTime) -> Option<LostAck<'static>> {
        let partition = coordinating(self.timeline, group)?;
        // Brokers wait for all in-sync replicas (offsets.commit.required.acks=-1); they do not tell the offset.
        let (topic, offset, acked, acks_all) = (OFFSETS_TOPIC, i64::MAX, accepted, true);
        Some(LostAck { topic, partition, offset, acked, acks_all, then: AT_ACK })
    }

    /// What let the cluster lose a record; `None` when nothing that was seen did.
    pub(crate) fn cause(&self, lost: LostAck<'_>) -> Option<LossCause> {
        if !lost.acks_all {
            return Some(LossCause::Acks);
        }
        if self.unclean_election(lost).is_some() {
            return Some(LossCause::UncleanElection);
        }
        let (_, in_sync) = self.power_causes(lost)?;
        Some(if in_sync == 1 { LossCause::LastInSyncPower } else { LossCause::EveryPower })
    }

    /// Which losses of power left no in-sync replica with the record, and how many were in sync at the last: each
    /// in-sync replica had it at the ack, and whoever comes in sync with a leader that has it gets it.
    fn power_causes(&self, lost: LostAck<'_>) -> Option<(Vec<LostPower<'a>>, usize)> {
        let states = self.timeline.states(lost.topic, lost.partition);
        let later = states.partition_point(|state| state.at <= lost.acked);
        let (first, changes) = states.get(later.saturating_sub(1)..)?.split_first()?;
        let mut changes = changes.iter().peekable();
        let (mut isr, mut having) = (first.isr, BTreeSet::from_iter(first.isr.iter().copied()));
        let mut took: Vec<LostPower<'a>> = Vec::new();
        for (fault, struck) in self.power_losses(lost) {
            while let Some(change) = changes.next_if(|change| change.at <= fault.injecting) {
                if !change.isr.is_empty() {
                    let given = having.contains(&change.leader);
                    isr = change.isr;
                    having =
                        isr.iter().copied().filter(|it| given || having.contains(it)).collect();
                    // Who has it again lost nothing that is missing.
                    took.retain(|(_, broker)| !having.contains(broker));
                }
            }
            if having.remove(&struck) {
                took.push((fault, struck));
                if having.is_empty() {
                    return Some((took, isr.len()));
                }
            }
        }
        None
    }

    /// What the record's copies were, and what became of them, in words.
    pub(crate) fn describe(&self, lost: LostAck<'_>) -> String {
        let LostAck { topic, partition, acked, then, .. } = lost;
        let mut told = vec![match self.timeline.state_at(topic, partition, acked) {
            Some(state) => format!("in sync {then}: {}", brokers(state.isr)),
            None => format!("the ISR {then} was not seen"),
        }];
        match self.cause(lost) {
            Some(LossCause::Acks) => told.push("the producer waited for less (acks)".to_owned()),
            Some(LossCause::UncleanElection) => told.extend(self.unclean_election(lost).map(|it| {
                let at = it.at.as_secs_f64();
                let setting = setting(self.settings.unclean_leader_election);
                format!(
                    "broker {} was elected at {at:.1} s, out of sync (unclean.leader.election.enable={setting})",
                    it.leader
                )
            })),
            Some(LossCause::LastInSyncPower | LossCause::EveryPower) => {
                let least = setting(self.settings.min_insync_replicas);
                let (took, _) = self.power_causes(lost).unwrap_or_default();
                let (mut at, mut struck): (Vec<_>, Vec<_>) = took
                    .into_iter()
                    .map(|(fault, broker)| (format!("{:.1}", fault.injecting.as_secs_f64()), broker))
                    .unzip();
                at.dedup();
                struck.dedup();
                told.push(format!(
                    "what {} had not flushed was lost at {} s (min.insync.replicas={least})",
                    brokers(&struck),
                    at.join(", ")
                ));
            }
            None => told.push("nothing that was seen explains it".to_owned()),
        }
        told.extend(self.cut(lost).map(|(broker, to, at)| {
            format!("broker {broker} cut its log back to offset {to} at {:.1} s", at.as_secs_f64())
        }));
        told.join("; ")
    }

    /// The first election after the ack of a broker that was not in the ISR before, and of which nothing tells
    /// that it had the record. Of the ISR before, none is in that of such a leader: where one is, what lay
    /// between two states was not seen.
    fn unclean_election(&self, lost: LostAck<'_>) -> Option<PartitionAt<'a>> {
        let states = self.timeline.states(lost.topic, lost.partition);
        let pairs = states.iter().zip(states.iter().skip(1));
        let mut unclean = pairs.filter(|(before, after)| {
            after.at >= lost.acked
                && after.leader >= 0
                && after.leader != before.leader
                && !before.isr.is_empty()
                && !before.isr.contains(&after.leader)
                && !after.isr.iter().any(|broker| before.isr.contains(broker))
                && !self.had(lost, after)
        });
        unclean.next().map(|(_, after)| *after)
    }

    /// Whether a broker that is elected was in sync at the ack, for longer than an observer may be behind, and
    /// has not lost its power since.
    fn had(&self, lost: LostAck<'_>, elected: &PartitionAt<'_>) -> bool {
        let LostAck { topic, partition, acked, .. } = lost;
        let until = acked.plus(OBSERVED_WITHIN);
        let then = self.timeline.state_at(topic, partition, acked);
        let soon = self.timeline.states(topic, partition).iter().copied();
        let soon = soon.filter(|state| acked < state.at && state.at <= until);
        let mut power = self.power_losses(lost);
        then.is_some()
            && then.into_iter().chain(soon).all(|state| state.isr.contains(&elected.leader))
            && !power.any(|(fault, of)| of == elected.leader && fault.injecting <= elected.at)
    }

    /// Faults since the ack that took what brokers had not flushed, and those brokers of which they took, or
    /// may have taken, anything.
    fn power_losses(&self, lost: LostAck<'_>) -> impl Iterator<Item = LostPower<'a>> {
        let faults = self.timeline.faults.iter();
        let faults = faults.filter(move |fault| {
            fault.effect.risk == Risk::Data && fault.injected.is_none_or(|at| at >= lost.acked)
        });
        faults.flat_map(|fault| {
            let took =
                |victim: &&Process| victim.role == Role::Broker && !fault.took_nothing_of(victim);
            fault.victims.iter().filter(took).map(move |victim| (fault, victim.id))
        })
    }

    /// The first broker that cut the record off its log, since the ack: which, to where, and when.
    fn cut(&self, lost: LostAck<'_>) -> Option<(BrokerId, i64, RunTime)> {
        let log = (lost.topic.to_owned(), lost.partition);
        self.timeline.from(lost.acked).find_map(|event| match &event.kind {
            EventKind::LogMark { process, mark: LogMark::LogTruncated, line, .. }
                if log_of(line).as_ref() == Some(&log) =>
            {
                let (_, to) = line.split_once("Truncating to offset ")?;
                let to = to.split_whitespace().next()?.parse().ok()?;
                (to <= lost.offset).then_some((process.id, to, event.at))
            }
            _ => None,
        })
    }
}

fn brokers(ids: &[BrokerId]) -> String {
    let ids: Vec<_> = ids.iter().map(BrokerId::to_string).collect();
    match ids.split_last() {
        None => "no broker".to_owned(),
        Some((only, [])) => format!("broker {only}"),
        Some((last, others)) => format!("brokers {} and {last}", others.join(", ")),
    }
}

fn setting(value: Option<impl fmt::Display>) -> String {
    value.map_or_else(|| "unknown".to_owned(), |value| value.to_string())
}

#[cfg(test)]
mod tests;
