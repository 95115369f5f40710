//! The guide's reasons for more brokers, watched on each node while the load ran: CPU above 80 %, disk above 70 %,
//! a network that is saturated, consumers that fall behind. They are told and judge nothing.
//!
//! A node's CPU is that of its servers, as a share of its machine's cores; nodes of a lab share those that the run
//! could use. A disk is the file system that a server's data lie on. A network is held against a limit where one is
//! known, which kbench's own fault sets for what a node sends, or the cluster has for all its links, both ways, or the
//! interface of a machine of its own has. Consumers fall behind while the lag of the main group grows by more than a
//! tenth of what is acked meanwhile.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::span::FaultSpan;
use crate::record::clock::RunTime;
use crate::record::environment::Environment;
use crate::record::event::{Event, EventKind, Process, Second, ServerCounters, Stage};

/// Share of the cores.
const CPU: f64 = 0.8;

/// Share of a file system.
const DISK: f64 = 0.7;

/// Share of a link's limit from which on it is saturated: what is queued leaves a little room.
const NETWORK: f64 = 0.9;

/// Seconds over which a lag is seen to grow.
const LAG_OVER: usize = 5;

/// Growth of the lag as a share of what is acked meanwhile.
const LAG: f64 = 0.1;

/// A reason for more brokers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub enum Threshold {
    /// The servers of a node use more than 80 % of its machine's cores.
    Cpu,
    /// The file system of a node's data is more than 70 % full.
    Disk,
    /// A node sends, or gets, at least 90 % of what its link takes.
    Network,
    /// The main group falls behind, by more than a tenth of what is acked.
    Lag,
}

impl Threshold {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Cpu, Self::Disk, Self::Network, Self::Lag];

    /// What it says, for people.
    pub fn words(self) -> &'static str {
        match self {
            Self::Cpu => "CPU > 80 %",
            Self::Disk => "disk > 70 %",
            Self::Network => "network saturated (90 % of the link's limit)",
            Self::Lag => "consumers' lag growing (by a tenth of what is acked)",
        }
    }

    fn above(self) -> f64 {
        match self {
            Self::Cpu => CPU,
            Self::Disk => DISK,
            Self::Network => NETWORK,
            Self::Lag => LAG,
        }
    }
}

/// How long a threshold was exceeded while the load of a trial ran.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct TimeAbove {
    /// Number of the trial.
    pub trial: u32,
    /// Which.
    pub threshold: Threshold,
    /// The node; `consumers` where it is about them.
    pub place: String,
    /// Seconds for which it was exceeded.
    pub above_s: f64,
    /// Seconds over which it was watched.
    pub over_s: f64,
    /// The highest share: of the cores, the file system or the limit, or of what was acked.
    pub most: f64,
}

/// A share that held for some time.
#[derive(Clone, Copy)]
struct Held {
    from: RunTime,
    to: RunTime,
    share: f64,
}

/// What is known of each server from look to look.
#[derive(Default)]
struct ServerHeld {
    cpu: Vec<Held>,
    disk: Vec<Held>,
    /// Bytes a second that its node sent.
    sent: Vec<Held>,
    /// Of those that it got and those that it sent, the more.
    busier: Vec<Held>,
    /// The same as a share of what its interface takes.
    of_interface: Vec<Held>,
}

/// What was exceeded in a trial, from its baseline until its load had ended.
pub(crate) fn of(
    trial: u32,
    events: &[Event],
    faults: &[FaultSpan],
    environment: &Environment,
) -> Vec<TimeAbove> {
    let links = environment.links.as_ref().map(|links| links.bytes_per_s);
    let mut ordered: Vec<&Event> = events.iter().collect();
    ordered.sort_by_key(|event| event.at);
    // A planned backlog is no falling behind.
    let (mut loaded, mut planned, mut seconds) = (false, false, vec![]);
    let mut last: BTreeMap<&Process, (RunTime, &ServerCounters)> = BTreeMap::new();
    let mut nodes: BTreeMap<&str, BTreeMap<&Process, ServerHeld>> = BTreeMap::new();
    for event in ordered {
        match &event.kind {
            EventKind::Stage { stage } => {
                loaded = matches!(stage, Stage::Baseline | Stage::Faults | Stage::Healing);
            }
            EventKind::ConsumersPaused => planned = true,
            EventKind::BacklogRead => planned = false,
            EventKind::Second(second) => seconds.push((loaded && !planned, second)),
            EventKind::ServerUsage(now) if loaded => {
                let process = &now.process;
                let held = nodes.entry(&process.node).or_default().entry(process).or_default();
                let before = last.insert(process, (event.at, now));
                if let Some((then, before)) = before.filter(|(_, before)| before.pid == now.pid) {
                    let cores = now.cores.unwrap_or(environment.cores);
                    held.between((then, before), (event.at, now), cores);
                }
            }
            _ => {}
        }
    }
    let mut all = vec![];
    for (node, servers) in &nodes {
        let limits = limits(events, faults, node);
        // Each of its servers sees all that its node sends.
        let seen = servers.values().find(|held| !held.sent.is_empty());
        let saturated = match (seen, links) {
            (None, _) => vec![],
            (Some(held), None) => most_of(&against(&held.sent, &limits), &held.of_interface),
            (Some(held), Some(links)) => {
                let of = |held: &Held| Held { share: held.share / links as f64, ..*held };
                held.busier.iter().map(of).collect()
            }
        };
        let cpu = sum(servers.values().flat_map(|held| &held.cpu));
        let fullest =
            servers.values().map(|held| &held.disk).max_by(|a, b| most(a).total_cmp(&most(b)));
        let disk: &[Held] = fullest.map_or(&[], Vec::as_slice);
        for (threshold, held) in [
            (Threshold::Cpu, cpu.as_slice()),
            (Threshold::Disk, disk),
            (Threshold::Network, saturated.as_slice()),
        ] {
            all.extend(told(trial, threshold, node, held));
        }
    }
    all.extend(told(trial, Threshold::Lag, "consumers", &growth(&seconds)));
    all
}

impl ServerHeld {
    fn between(
        &mut self,
        (from, before): (RunTime, &ServerCounters),
        (to, now): (RunTime, &ServerCounters),
        cores: u32,
    ) {
        let seconds = to.secs_since(from);
        if seconds <= 0.0 {
            return;
        }
        let cores = f64::from(cores);
        if cores > 0.0 && now.cpu_s >= before.cpu_s {
            let share = (now.cpu_s - before.cpu_s) / seconds / cores;
            self.cpu.push(Held { from, to, share });
        }
        let full = now.disk_used.filter(|[_, size]| *size > 0);
        self.disk.extend(full.map(|[used, size]| {
            let share = used as f64 / size as f64;
            Held { from, to, share }
        }));
        if let Some((then, until_now)) = before.network_bytes.zip(now.network_bytes) {
            let [got, sent] =
                [0, 1].map(|way| until_now[way].saturating_sub(then[way]) as f64 / seconds);
            self.sent.push(Held { from, to, share: sent });
            self.busier.push(Held { from, to, share: sent.max(got) });
            let takes = now.interface_bytes_per_s.filter(|takes| *takes > 0);
            self.of_interface.extend(takes.map(|takes| {
                let share = sent.max(got) / takes as f64;
                Held { from, to, share }
            }));
        }
    }
}

/// Limits of what a node sends, each with the time that it was in force and its bytes a second.
fn limits(events: &[Event], faults: &[FaultSpan], node: &str) -> Vec<Held> {
    let of = |event: &Event| {
        let EventKind::LinksLimited { fault_id, bytes_per_s } = &event.kind else { return None };
        let fault = faults.iter().find(|fault| fault.id == *fault_id)?;
        let here = fault.victims.iter().any(|victim| victim.node == node);
        let (from, to) = (fault.injected?, fault.healing.unwrap_or(fault.window_end));
        here.then_some(Held { from, to, share: *bytes_per_s as f64 })
    };
    events.iter().filter_map(of).collect()
}

/// What was sent as a share of the limit, as far as one was in force all the while.
fn against(sent: &[Held], limits: &[Held]) -> Vec<Held> {
    let of = |held: &Held| {
        let all = limits.iter().filter(|limit| limit.from <= held.from && held.to <= limit.to);
        let limit =
            all.map(|limit| limit.share).min_by(f64::total_cmp).filter(|limit| *limit > 0.0)?;
        Some(Held { from: held.from, to: held.to, share: held.share / limit })
    };
    sent.iter().filter_map(of).collect()
}

/// What was held at each time, the more where that was told twice for the same time.
fn most_of(one: &[Held], other: &[Held]) -> Vec<Held> {
    let mut all: BTreeMap<[RunTime; 2], f64> = BTreeMap::new();
    for Held { from, to, share } in one.iter().chain(other) {
        let most = all.entry([*from, *to]).or_insert(*share);
        *most = most.max(*share);
    }
    all.into_iter().map(|([from, to], share)| Held { from, to, share }).collect()
}

/// The sum of shares at each time, in stretches of one sum.
fn sum<'a>(all: impl Iterator<Item = &'a Held>) -> Vec<Held> {
    let mut turns: Vec<(RunTime, f64, i32)> = vec![];
    for held in all {
        turns.push((held.from, held.share, 1));
        turns.push((held.to, -held.share, -1));
    }
    turns.sort_by_key(|(at, ..)| *at);
    let (mut sums, mut share, mut count): (Vec<Held>, f64, i32) = (vec![], 0.0, 0);
    for (place, (from, more, one)) in turns.iter().enumerate() {
        (share, count) = (share + more, count + one);
        let to = turns.get(place + 1).map_or(*from, |(to, ..)| *to);
        if count > 0 && to > *from {
            sums.push(Held { from: *from, to, share });
        }
    }
    sums
}

/// How the lag of the main group grew over the last seconds, as a share of what was acked in them.
fn growth(seconds: &[(bool, &Second)]) -> Vec<Held> {
    let mut behind = 0_i64;
    let mut so_far: Vec<(i64, u64)> = vec![];
    let mut acked = 0;
    let mut grown = vec![];
    let consumed = seconds.iter().any(|(_, second)| second.consumed > 0);
    for (place, (loaded, second)) in seconds.iter().enumerate() {
        // What is read again makes no lead.
        behind = (behind + second.acked as i64 - second.consumed as i64).max(0);
        acked += second.acked;
        so_far.push((behind, acked));
        let before = place.checked_sub(LAG_OVER).and_then(|place| so_far.get(place));
        let Some((lag, then)) = before.filter(|_| *loaded && consumed) else { continue };
        let more = (acked - then).max(1) as f64;
        let at = |place: usize| RunTime::from_secs_f64(place as f64);
        let share = (behind - lag).max(0) as f64 / more;
        grown.push(Held { from: at(place), to: at(place + 1), share });
    }
    grown
}

fn most(held: &[Held]) -> f64 {
    held.iter().map(|held| held.share).fold(0.0, f64::max)
}

/// None where nothing was watched.
fn told(trial: u32, threshold: Threshold, place: &str, held: &[Held]) -> Option<TimeAbove> {
    let seconds = |held: &Held| held.to.secs_since(held.from);
    let above = held.iter().filter(|held| held.share > threshold.above());
    (!held.is_empty()).then(|| TimeAbove {
        trial,
        threshold,
        place: place.to_owned(),
        above_s: above.map(seconds).fold(0.0, |sum, s| sum + s),
        over_s: held.iter().map(seconds).sum(),
        most: most(held),
    })
}

#[cfg(test)]
mod tests;
