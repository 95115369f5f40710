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

/// What is known of the copies that acks rested on.
#[derive(Debug, Clone, Copy)]
pub struct Durability<'a> {
    timeline: &'a Timeline<'a>,
    settings: &'a Settings,
}

/// An acked record that is gone.
#[derive(Debug, Clone, Copy)]
pub(crate) struct LostAck<'a> {
    pub(crate) topic: &'a str,
    pub(crate) partition: Partition,
    /// Offset of its ack.
    pub(crate) offset: i64,
    /// When it was acked.
    pub(crate) acked: RunTime,
    /// Whether the producer waited for the in-sync replicas.
    pub(crate) acks_all: bool,
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
        Some(LostAck { topic, partition, offset, acked, acks_all })
    }

    /// What let the cluster lose a record; `None` when nothing that was seen did.
    pub(crate) fn cause(&self, lost: LostAck<'_>) -> Option<LossCause> {
        if !lost.acks_all {
            return Some(LossCause::Acks);
        }
        if self.unclean_election(lost).is_some() {
            return Some(LossCause::UncleanElection);
        }
        self.power_cause(lost)
    }

    /// Which losses of power left no in-sync replica with the record: each in-sync replica had it at the ack,
    /// and whoever comes in sync with a leader that has it gets it.
    fn power_cause(&self, lost: LostAck<'_>) -> Option<LossCause> {
        let states = self.timeline.states(lost.topic, lost.partition);
        let later = states.partition_point(|state| state.at <= lost.acked);
        let (first, changes) = states.get(later.saturating_sub(1)..)?.split_first()?;
        let mut changes = changes.iter().peekable();
        let (mut isr, mut having) = (first.isr, BTreeSet::from_iter(first.isr.iter().copied()));
        for (fault, struck) in self.power_losses(lost) {
            while let Some(change) = changes.next_if(|change| change.at <= fault.injecting) {
                if !change.isr.is_empty() {
                    let given = having.contains(&change.leader);
                    isr = change.isr;
                    having =
                        isr.iter().copied().filter(|it| given || having.contains(it)).collect();
                }
            }
            if having.remove(&struck) && having.is_empty() {
                let alone = isr.len() == 1;
                return Some(if alone {
                    LossCause::LastInSyncPower
                } else {
                    LossCause::EveryPower
                });
            }
        }
        None
    }

    /// What the record's copies were, and what became of them, in words.
    pub(crate) fn describe(&self, lost: LostAck<'_>) -> String {
        let LostAck { topic, partition, acked, .. } = lost;
        let mut told = vec![match self.timeline.state_at(topic, partition, acked) {
            Some(state) => format!("in sync at the ack: {}", brokers(state.isr)),
            None => "the ISR at the ack was not seen".to_owned(),
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
                let (mut at, mut struck): (Vec<_>, Vec<_>) = self
                    .power_losses(lost)
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

    /// Faults since the ack that took what brokers had not flushed, and those brokers.
    fn power_losses(&self, lost: LostAck<'_>) -> impl Iterator<Item = (&'a FaultSpan, BrokerId)> {
        let faults = self.timeline.faults.iter();
        let faults = faults.filter(move |fault| {
            fault.effect.risk == Risk::Data && fault.injected.is_none_or(|at| at >= lost.acked)
        });
        faults.flat_map(|fault| {
            let broker = |victim: &&Process| victim.role == Role::Broker;
            fault.victims.iter().filter(broker).map(move |victim| (fault, victim.id))
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
mod tests {
    use super::*;
    use crate::record::event::{Detection, Effect, Event, MetadataPlane, Takes};

    fn at(s: f64) -> RunTime {
        RunTime((s * 1e9) as u64)
    }

    fn state(s: f64, leader: BrokerId, isr: &[BrokerId]) -> Event {
        let plane = MetadataPlane::default();
        let (topic, partition, leader_epoch, mtime_ms) = ("t".to_owned(), 0, 1, 0);
        let isr = isr.to_vec();
        let kind = EventKind::PartitionState {
            plane,
            topic,
            partition,
            leader,
            leader_epoch,
            isr,
            mtime_ms,
        };
        Event { at: at(s), kind }
    }

    fn fault(s: f64, risk: Risk, struck: &[BrokerId]) -> Event {
        let process = |id: &BrokerId| Process { node: "n".into(), role: Role::Broker, id: *id };
        let kind = EventKind::FaultInjecting {
            fault_id: format!("at-{s}"),
            fault: "power-loss".to_owned(),
            target: "brokers".to_owned(),
            victims: struck.iter().map(process).collect(),
            effect: Effect { takes: Takes::Processes, detection: Detection::SessionExpiry, risk },
        };
        Event { at: at(s), kind }
    }

    fn lost(acks_all: bool) -> LostAck<'static> {
        LostAck { topic: "t", partition: 0, offset: 7, acked: at(10.0), acks_all }
    }

    fn judged(events: &[Event], acks_all: bool) -> (Option<LossCause>, String) {
        let (timeline, environment) = (Timeline::new(events), Environment::default());
        let durability = Durability::new(&environment, &timeline);
        (durability.cause(lost(acks_all)), durability.describe(lost(acks_all)))
    }

    #[test]
    fn each_cause_is_told_from_what_was_seen() {
        let whole = state(1.0, 1, &[1, 2, 3]);
        let alone = state(5.0, 1, &[1]);
        for (events, acks_all, cause, words) in [
            (vec![whole.clone()], false, Some(LossCause::Acks), "brokers 1, 2 and 3"),
            (vec![whole.clone()], true, None, "nothing that was seen explains it"),
            (vec![], true, None, "the ISR at the ack was not seen"),
            (
                vec![alone.clone(), state(20.0, -1, &[1]), state(30.0, 2, &[2])],
                true,
                Some(LossCause::UncleanElection),
                "in sync at the ack: broker 1; broker 2 was elected at 30.0 s, out of sync",
            ),
            (
                vec![alone.clone(), fault(12.0, Risk::Data, &[1])],
                true,
                Some(LossCause::LastInSyncPower),
                "what broker 1 had not flushed was lost at 12.0 s",
            ),
            (
                vec![whole.clone(), state(11.0, 1, &[1]), fault(12.0, Risk::Data, &[1])],
                true,
                Some(LossCause::LastInSyncPower),
                "in sync at the ack: brokers 1, 2 and 3; what broker 1 had not",
            ),
            (
                vec![whole.clone(), fault(12.0, Risk::Data, &[1, 2, 3])],
                true,
                Some(LossCause::EveryPower),
                "what brokers 1, 2 and 3 had not flushed was lost at 12.0 s",
            ),
            // It had the record, and lost it with its power.
            (
                vec![
                    whole.clone(),
                    fault(12.0, Risk::Data, &[2]),
                    state(15.0, 1, &[1]),
                    state(21.0, 2, &[2]),
                ],
                true,
                Some(LossCause::UncleanElection),
                "broker 2 was elected at 21.0 s, out of sync",
            ),
            // An observer is behind: the replica was out of sync at the ack.
            (
                vec![whole.clone(), state(10.2, 1, &[1]), state(21.0, 2, &[2])],
                true,
                Some(LossCause::UncleanElection),
                "broker 2 was elected at 21.0 s, out of sync",
            ),
            // One after the other, before any was back in sync.
            (
                vec![
                    state(5.0, 1, &[1, 2]),
                    fault(12.0, Risk::Data, &[1]),
                    fault(13.0, Risk::Data, &[2]),
                ],
                true,
                Some(LossCause::EveryPower),
                "what brokers 1 and 2 had not flushed was lost at 12.0, 13.0 s",
            ),
        ] {
            let (found, told) = judged(&events, acks_all);
            assert_eq!(found, cause, "{told}");
            assert!(told.contains(words), "{told}");
        }
    }

    #[test]
    fn what_cannot_have_taken_the_record_is_no_cause() {
        let whole = state(1.0, 1, &[1, 2, 3]);
        for events in [
            // A copy was left, or the broker lost nothing.
            vec![whole.clone(), fault(12.0, Risk::Data, &[1])],
            vec![whole.clone(), fault(12.0, Risk::Data, &[1, 2])],
            vec![state(1.0, 1, &[1]), fault(12.0, Risk::Process, &[1])],
            // Each had it again when the next was struck.
            vec![
                whole.clone(),
                fault(12.0, Risk::Data, &[1]),
                state(13.0, 2, &[2, 3]),
                state(20.0, 2, &[1, 2, 3]),
                fault(22.0, Risk::Data, &[2]),
                state(23.0, 1, &[1, 3]),
                state(30.0, 1, &[1, 2, 3]),
                fault(32.0, Risk::Data, &[3]),
            ],
            // It was in sync at the ack, and has its copy.
            vec![whole.clone(), state(15.0, 1, &[1]), state(20.0, -1, &[1]), state(21.0, 2, &[2])],
            // The return of broker 1 to the ISR was not seen apart from its election.
            vec![state(1.0, 2, &[2, 3]), state(20.0, 1, &[1, 2, 3])],
            // Before the ack.
            vec![state(1.0, 2, &[2]), state(2.0, 1, &[1])],
            // Another leader out of the ISR.
            vec![whole.clone(), state(12.0, -1, &[2, 3]), state(13.0, 2, &[2, 3])],
            // The ISR of two grew since.
            vec![state(1.0, 1, &[1]), state(11.0, 1, &[1, 2]), fault(12.0, Risk::Process, &[1])],
        ] {
            assert_eq!(judged(&events, true).0, None, "{events:?}");
        }
    }

    #[test]
    fn a_commit_is_a_record_of_its_group_s_log() {
        // All 50 partitions of the offsets topic, of which the group has one.
        let states: Vec<Event> = (0..50)
            .map(|number| {
                let mut event = state(1.0, 1, &[1]);
                if let EventKind::PartitionState { topic, partition, .. } = &mut event.kind {
                    (*topic, *partition) = (OFFSETS_TOPIC.to_owned(), number);
                }
                event
            })
            .collect();
        let environment = Environment::default();
        let cause = |events: &[Event]| {
            let timeline = Timeline::new(events);
            let durability = Durability::new(&environment, &timeline);
            durability.commit("analytics", at(10.0)).map(|commit| durability.cause(commit))
        };
        assert_eq!(cause(&[]), None);
        assert_eq!(cause(&states), Some(None));
        let power = [&states[..], &[fault(12.0, Risk::Data, &[1])]].concat();
        assert_eq!(cause(&power), Some(Some(LossCause::LastInSyncPower)));
    }

    #[test]
    fn a_log_that_was_cut_is_told() {
        let process = Process { node: "n".into(), role: Role::Broker, id: 3 };
        let line = |to: i64| {
            format!("INFO [UnifiedLog partition=t-0, dir=/d] Truncating to offset {to} (k)")
        };
        let mark = |to| EventKind::LogMark {
            process: process.clone(),
            mark: LogMark::LogTruncated,
            wall_ms: 0,
            line: line(to),
        };
        let events = [Event { at: at(9.0), kind: mark(1) }, Event { at: at(12.0), kind: mark(8) }];
        assert!(!judged(&events, true).1.contains("cut"), "before the ack, and behind the record");
        let (_, told) = judged(&[Event { at: at(12.0), kind: mark(7) }], true);
        assert!(told.ends_with("broker 3 cut its log back to offset 7 at 12.0 s"), "{told}");
    }
}
