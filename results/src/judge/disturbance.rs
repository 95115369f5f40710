//! What disturbed a trial and was no part of its plan: a server that ended or stood still without an order,
//! kbench or a client standing still, the host.
//!
//! A figure that overlaps a disturbance is not a measurement, and a steady load that does makes the run
//! invalid. What a fault of the plan takes of its victims is ordered: from its injection until it
//! is undone. What was proven meanwhile stands: a lost record is lost.

mod clocks;
mod servers;

use std::collections::BTreeMap;
use std::time::Duration;

use crate::judge::backlog::PlannedBacklog;
use crate::judge::recovery::lives::ClientEnds;
use crate::judge::recovery::{PartitionRecovery, Recovery, StreamKind};
use crate::judge::span::FaultSpan;
use crate::judge::timeline::{Interval, Timeline};
use crate::judge::verdict::{Check, Verdict};
use crate::record::clock::RunTime;
use crate::record::event::{
    Cause, Detection, Effect, Event, EventKind, Place, Process, Role, Stage, Takes,
};
use crate::record::history::{Observed, Poll, Send};
use crate::terminal::counted;

/// Standing still begins here, in seconds, for what is not longer than ten times that.
const STILL_S: f64 = 0.25;

/// Standing still for less than this part of a figure does not touch it.
const STILL_SHARE: f64 = 0.1;

/// One disturbance.
#[derive(Debug, Clone, PartialEq)]
pub struct Disturbance {
    /// What.
    pub cause: Cause,
    /// Whom.
    pub place: Place,
    /// Since when.
    pub from: RunTime,
    /// Until when.
    pub to: RunTime,
    /// How much, where it needs saying.
    pub detail: Option<String>,
    /// The clients whose figures alone it touches; `None` for whatever was measured.
    pub clients: Option<StreamKind>,
}

impl Disturbance {
    /// Whether a figure of this many seconds, measured from `from` to `to`, is no measurement for it.
    pub fn touches(&self, from: RunTime, to: RunTime, figure_s: f64) -> bool {
        let overlaps = self.from <= to && from <= self.to;
        overlaps
            && match self.cause {
                Cause::StoodStill | Cause::SentLate => {
                    self.to.secs_since(self.from) >= STILL_S.max(figure_s * STILL_SHARE)
                }
                Cause::Ended
                | Cause::Started
                | Cause::Vanished
                | Cause::ClockStepped
                | Cause::Suspended
                | Cause::OutOfMemory
                | Cause::CpuStolen
                | Cause::CpuTaken
                | Cause::MemoryPressure
                | Cause::IoPressure
                | Cause::ObserverLost
                | Cause::SettingChanged
                | Cause::OtherWriter => true,
            }
    }

    /// Whether it touches what was measured by these clients; by ZooKeeper and the brokers for `None`.
    pub fn concerns(&self, clients: Option<StreamKind>) -> bool {
        self.clients.is_none() || self.clients == clients
    }

    /// Whether it is one of the servers, or of whoever watches them.
    pub fn is_of_servers(&self) -> bool {
        matches!(self.place, Place::Server(_)) || self.cause == Cause::ObserverLost
    }

    /// The disturbance in words.
    pub fn describe(&self) -> String {
        let (from, lasted) = (self.from.as_secs_f64(), self.to.secs_since(self.from));
        let detail = self.detail.as_ref().map(|detail| format!(" ({detail})")).unwrap_or_default();
        match self.cause {
            Cause::Ended
            | Cause::Started
            | Cause::ClockStepped
            | Cause::OutOfMemory
            | Cause::SettingChanged => {
                format!("{} {} at {from:.1} s{detail}", self.place, self.cause)
            }
            _ => format!("{} {} for {lasted:.1} s at {from:.1} s{detail}", self.place, self.cause),
        }
    }
}

/// The disturbances of a trial, in order of time; `late` are those that its clients' sends show.
pub(crate) fn of(timeline: &Timeline, late: &[Disturbance]) -> Vec<Disturbance> {
    let (_, stopping) = reading(timeline);
    let mut found: Vec<Disturbance> =
        timeline.events().filter_map(|event| recorded(timeline, event)).collect();
    found.extend(timeline.events().filter_map(|event| setting_changed(timeline, event)));
    found.extend(clocks::stepped(timeline));
    let ended = timeline.events().filter(|event| event.at < stopping);
    found.extend(ended.filter_map(|event| servers::ended(timeline, event)));
    found.extend(timeline.events().filter_map(|event| servers::started(timeline, event)));
    // The plan may kill a producer.
    let ordered = |one: &&Disturbance| {
        let mut faults = timeline.faults.iter().filter(|fault| kills_producer(timeline, fault));
        faults.any(|fault| reaches(fault, one.from, one.to))
    };
    // What a client could not send because of its own end is the client's part of its gap.
    let ends = ClientEnds::new(timeline);
    let renewed = |one: &&Disturbance| {
        let mut ends = ends.in_faults(timeline);
        ends.any(|((_, until), next)| {
            let of_next = next.is_some_and(|next| one.place == Place::Client(next.to_owned()));
            of_next && one.from <= until
        })
    };
    let late = late.iter().filter(|one| !ordered(one) && !renewed(one));
    found.extend(late.cloned());
    found.sort_by_key(|disturbance| disturbance.from);
    joined(found)
}

/// The same with one in place of those that follow each other without a break: what lasts is recorded bit by bit.
fn joined(found: Vec<Disturbance>) -> Vec<Disturbance> {
    let mut joined: Vec<Disturbance> = vec![];
    for one in found {
        let goes_on = |before: &&mut Disturbance| {
            let same = before.cause == one.cause && before.place == one.place;
            same && before.clients == one.clients && before.to == one.from
        };
        match joined.iter_mut().rev().find(goes_on) {
            Some(before) => before.to = one.to,
            None => joined.push(one),
        }
    }
    joined
}

/// Whether a fault kills a client that no group detects to be gone, as it does a member of its own.
fn kills_producer(timeline: &Timeline, fault: &FaultSpan) -> bool {
    let Effect { takes: Takes::Clients, detection: Detection::Nothing, .. } = fault.effect else {
        return false;
    };
    let mut events = timeline.from(fault.injecting);
    events.any(|event| {
        matches!(event.kind, EventKind::ClientKilled { .. }) && fault.in_force(event.at)
    })
}

fn recorded(timeline: &Timeline, event: &Event) -> Option<Disturbance> {
    let EventKind::Disturbed { cause, place, from, detail } = &event.kind else {
        return None;
    };
    let mut faults = timeline.faults.iter().filter(|fault| reaches(fault, *from, event.at));
    let ordered = match (place, cause) {
        (Place::Server(process), Cause::StoodStill) => {
            servers::still_is_ordered(timeline, process, *from, event.at)
        }
        // The plan takes what is observed: a ZooKeeper server that is cut off lets go of its clients. That a machine
        // was not reached is told as a detail, and is nobody's plan.
        (_, Cause::ObserverLost) => faults.any(|fault| {
            let taken = |victim: &Process| victim.role == Role::Zookeeper;
            let cut = matches!(fault.effect.takes, Takes::Ensemble | Takes::Nodes | Takes::Links);
            detail.is_none() && (cut || fault.victims.iter().any(taken))
        }),
        _ => false,
    };
    (!ordered).then(|| Disturbance {
        cause: *cause,
        place: place.clone(),
        from: *from,
        to: event.at,
        detail: detail.clone(),
        clients: None,
    })
}

/// Which replicas of a topic are throttled while they move.
const THROTTLED: [&str; 2] =
    ["leader.replication.throttled.replicas", "follower.replication.throttled.replicas"];

/// Another setting of a topic: no fault of a plan changes one, and a change of the cluster only what is
/// [throttled](THROTTLED). What follows is measured under it.
fn setting_changed(timeline: &Timeline, event: &Event) -> Option<Disturbance> {
    let EventKind::TopicSettingChanged { topic, name, value } = &event.kind else {
        return None;
    };
    let mut before = timeline.events().take_while(|other| other.at <= event.at);
    let moves = |other: &Event| matches!(other.kind, EventKind::Change(_));
    if THROTTLED.contains(&name.as_str()) && before.any(moves) {
        return None;
    }
    let value = value.as_deref().unwrap_or("not set any more");
    Some(Disturbance {
        cause: Cause::SettingChanged,
        place: Place::Topic(topic.clone()),
        from: event.at,
        to: RunTime(u64::MAX),
        detail: Some(format!("{name}={value}")),
        clients: None,
    })
}

/// Whether a fault was in force, or being undone, at some time from `from` to `to`.
fn reaches(fault: &FaultSpan, from: RunTime, to: RunTime) -> bool {
    fault.injecting <= to && fault.healed.is_none_or(|healed| from <= healed)
}

/// The check that nothing disturbed what was measured: a steady load makes the run invalid then; what was
/// measured of a fault is not known; nor is what the logs hold where they are `unread`, not all of them to their
/// ends. What disturbed the reading of logs that were read nevertheless is told. Where the cluster is `saturated`, records
/// are handed over late for want of room and cores.
pub(crate) fn check(
    timeline: &Timeline,
    recovery: &Recovery,
    (disturbances, saturated): (&[Disturbance], bool),
    unread: bool,
) -> Check {
    let mut steady = timeline.steady();
    // What is measured of a planned backlog is measured of a healthy cluster as well.
    steady.extend(timeline.backlog.iter().map(PlannedBacklog::interval));
    // Latencies are far below what standing still begins at.
    let of_steady = |one: &Disturbance| {
        let follows = saturated && one.cause == Cause::SentLate;
        !follows && steady.iter().any(|(from, to)| one.touches(*from, *to, 0.0))
    };
    let of_fault = |one: &Disturbance| {
        timeline.faults.iter().any(|fault| {
            let (to, seconds) = felt_until(fault, true, &recovery.partitions);
            one.touches(fault.injecting, to, seconds)
        })
    };
    let (from, to) = reading(timeline);
    let of_reading = |one: &Disturbance| {
        // Clients of the load read no log, and kbench stops the cluster itself.
        let concerns = one.cause != Cause::SentLate && one.from < to;
        concerns && one.touches(from, to, to.secs_since(from))
    };
    // What the logs hold is read under a setting that was changed since.
    let of_settings = |one: &Disturbance| one.cause == Cause::SettingChanged && one.from < to;
    let any = |touched: &dyn Fn(&Disturbance) -> bool| disturbances.iter().any(touched);
    let incomplete = unread && any(&of_reading);
    let verdict = if any(&of_steady) {
        Verdict::InvalidRun
    } else if any(&of_fault) || any(&of_settings) || incomplete {
        Verdict::Unknown
    } else {
        Verdict::Valid
    };
    let told = |one: &&Disturbance| match verdict {
        Verdict::InvalidRun => of_steady(one),
        _ => of_fault(one) || of_settings(one) || of_reading(one),
    };
    let told: Vec<_> = disturbances.iter().filter(told).map(|one| one.describe()).collect();
    let mut note = told.join("; ");
    if incomplete {
        note.push_str("; the logs were not all read to their ends meanwhile");
    }
    Check {
        name: "disturbance".to_owned(),
        verdict,
        count: told.len() as u64,
        examined: 1,
        without_a_copy: false,
        note: (!note.is_empty()).then_some(note),
        witnesses: vec![],
    }
}

/// When the logs were read, to the stop of the cluster.
fn reading(timeline: &Timeline) -> Interval {
    let stages = timeline.stages();
    let begin = |wanted| stages.iter().find(|(stage, ..)| *stage == wanted).map(|it| it.1);
    let never = RunTime(u64::MAX);
    (begin(Stage::Draining).unwrap_or(never), begin(Stage::Stopping).unwrap_or(never))
}

/// What disturbed, if anything did, what clients felt of a fault while it lasted, and with `healed` of its heal.
pub(crate) fn of_fault<'d>(
    fault: &FaultSpan,
    healed: bool,
    rows: &[PartitionRecovery],
    disturbances: &'d [Disturbance],
) -> Option<&'d Disturbance> {
    let (to, seconds) = felt_until(fault, healed, rows);
    disturbances.iter().find(|one| one.touches(fault.injecting, to, seconds))
}

/// Until when, and for how many seconds, clients felt a fault; until its end where they did not.
fn felt_until(fault: &FaultSpan, healed: bool, rows: &[PartitionRecovery]) -> (RunTime, f64) {
    let rows = || rows.iter().filter(|row| row.fault == fault.id);
    let own = rows().filter(|row| row.interrupted).map(|row| (row.total_s, row.total_s));
    let after_heal = rows().filter(|_| healed).filter_map(|row| {
        // A report of old does not say when it ended.
        Some((row.after_heal_until_s?, row.after_heal_gap_s?))
    });
    let felt = own.chain(after_heal).reduce(|a, b| (a.0.max(b.0), a.1.max(b.1)));
    match felt {
        Some((until_s, seconds)) => {
            (fault.injecting.plus(Duration::from_secs_f64(until_s.max(0.0))), seconds)
        }
        None => (fault.healing.unwrap_or(fault.window_end), 0.0),
    }
}

/// Records of one client that were handed over late, as times from the first that was due to the last
/// that was handed over.
#[derive(Debug, Default)]
pub(crate) struct LateSends {
    spans: Vec<(RunTime, RunTime)>,
}

impl LateSends {
    /// Adds a send; sends come in the order in which they were due, more or less.
    pub(crate) fn add(&mut self, send: &Send) {
        if send.sent.secs_since(send.due) < STILL_S {
            return;
        }
        match self.spans.last_mut().filter(|(_, to)| send.due <= *to) {
            Some((from, to)) => {
                *from = send.due.min(*from);
                *to = send.sent.max(*to);
            }
            None => self.spans.push((send.due, send.sent)),
        }
    }

    /// What they show of the client of this name.
    pub(crate) fn disturbances(
        self,
        client: &str,
        kind: Option<StreamKind>,
    ) -> impl Iterator<Item = Disturbance> {
        self.spans.into_iter().map(move |(from, to)| Disturbance {
            cause: Cause::SentLate,
            place: Place::Client(client.to_owned()),
            from,
            to,
            detail: None,
            clients: kind,
        })
    }
}

/// When records arrived at a group that somebody else than kbench had written to its topic.
#[derive(Debug, Default)]
pub(crate) struct OtherWriters {
    seen: BTreeMap<String, (RunTime, RunTime, u64)>,
}

impl OtherWriters {
    /// Adds what a member read.
    pub(crate) fn add(&mut self, topic: &str, poll: &Poll) {
        if !matches!(poll.record, Observed::OtherRun { .. } | Observed::Foreign) {
            return;
        }
        match self.seen.get_mut(topic) {
            Some((from, to, records)) => {
                (*from, *to) = (poll.at.min(*from), poll.at.max(*to));
                *records += 1;
            }
            None => drop(self.seen.insert(topic.to_owned(), (poll.at, poll.at, 1))),
        }
    }

    /// What they disturbed.
    pub(crate) fn disturbances(self) -> impl Iterator<Item = Disturbance> {
        self.seen.into_iter().map(|(topic, (from, to, records))| Disturbance {
            cause: Cause::OtherWriter,
            place: Place::Topic(topic),
            from,
            to,
            detail: Some(counted(records, "record")),
            clients: None,
        })
    }
}

#[cfg(test)]
mod tests;
