//! The guide's reasons for more brokers, watched on each node while the load ran: CPU above 80 %, disk above 70 %,
//! a network that is saturated, consumers that fall behind. They are told and judge nothing.
//!
//! A node's CPU is that of its servers, as a share of the cores that the run could use: nodes of a lab share one
//! machine. A disk is the file system that a server's data lie on. A network is held against a limit where one is known,
//! which kbench's own fault sets for what a node sends, or the cluster has for all its links, both ways. Consumers fall
//! behind while the lag of the main group grows by more than a tenth of what is acked meanwhile.

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
    /// The servers of a node use more than 80 % of the cores.
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
                    held.between((then, before), (event.at, now), environment.cores);
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
            (Some(held), None) => against(&held.sent, &limits),
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
        if let Some((before, now)) = before.network_bytes.zip(now.network_bytes) {
            let [got, sent] =
                [0, 1].map(|way| now[way].saturating_sub(before[way]) as f64 / seconds);
            self.sent.push(Held { from, to, share: sent });
            self.busier.push(Held { from, to, share: sent.max(got) });
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
mod tests {
    use super::*;
    use crate::judge::span::FaultSpans;
    use crate::record::environment::LinksInForce;
    use crate::record::event::{Effect, Role};

    /// A machine with two cores, whose links may be limited.
    fn on(links: Option<u64>) -> Environment {
        let links = links.map(|bytes_per_s| LinksInForce { bytes_per_s, ..Default::default() });
        Environment { cores: 2, links, ..Environment::default() }
    }

    fn at(seconds: f64, kind: EventKind) -> Event {
        Event { at: RunTime::from_secs_f64(seconds), kind }
    }

    fn server(node: &str, role: Role) -> Process {
        Process { node: node.to_owned(), role, id: 1 }
    }

    /// A look: CPU seconds, bytes sent, and how full the disk is in percent.
    fn look(seconds: f64, process: &Process, cpu_s: f64, sent: u64, full: u64) -> Event {
        at(
            seconds,
            EventKind::ServerUsage(ServerCounters {
                process: process.clone(),
                pid: 7,
                cpu_s,
                memory_bytes: 0,
                disk_bytes: None,
                network_bytes: Some([0, sent]),
                disk_used: Some([full, 100]),
            }),
        )
    }

    fn judged(events: &[Event]) -> Vec<TimeAbove> {
        let end = RunTime::from_secs_f64(100.0);
        of(1, events, &FaultSpans::new(events, end).faults, &on(None))
    }

    fn find<'a>(all: &'a [TimeAbove], threshold: Threshold, place: &str) -> Option<&'a TimeAbove> {
        all.iter().find(|one| one.threshold == threshold && one.place == place)
    }

    #[test]
    fn a_node_s_servers_are_one_and_time_counts_while_the_load_runs() {
        let (broker, zookeeper) = (server("n1", Role::Broker), server("n1", Role::Zookeeper));
        let other = server("n2", Role::Broker);
        let stage = |seconds, stage| at(seconds, EventKind::Stage { stage });
        let events = [
            look(0.0, &broker, 0.0, 0, 99),
            stage(1.0, Stage::Baseline),
            look(2.0, &broker, 10.0, 0, 60),
            look(2.0, &zookeeper, 0.0, 0, 60),
            look(2.0, &other, 0.0, 0, 10),
            // Of two cores: 1.4 and 0.4 cores are nine tenths; each alone would not be above.
            look(4.0, &broker, 12.8, 0, 69),
            look(4.0, &zookeeper, 0.8, 0, 60),
            look(4.0, &other, 1.6, 0, 10),
            look(6.0, &broker, 13.8, 0, 71),
            look(6.0, &zookeeper, 0.9, 0, 60),
            look(6.0, &other, 1.7, 0, 10),
            stage(7.0, Stage::Draining),
            look(8.0, &broker, 99.0, 0, 99),
        ];
        let all = judged(&events);
        let cpu = find(&all, Threshold::Cpu, "n1").unwrap();
        assert!((cpu.above_s - 2.0).abs() < 1e-6 && (cpu.over_s - 4.0).abs() < 1e-6, "{cpu:?}");
        assert!((cpu.most - 0.9).abs() < 1e-6, "{cpu:?}");
        let disk = find(&all, Threshold::Disk, "n1").unwrap();
        assert!((disk.above_s - 2.0).abs() < 1e-6 && (disk.most - 0.71).abs() < 1e-6, "{disk:?}");
        let calm = find(&all, Threshold::Cpu, "n2").unwrap();
        assert_eq!((calm.above_s, calm.trial), (0.0, 1));
        // No limit of a link is known, and nobody reads.
        assert!(find(&all, Threshold::Network, "n1").is_none());
        assert!(find(&all, Threshold::Lag, "consumers").is_none());
    }

    #[test]
    fn a_standing_limit_is_of_both_ways_at_all_times() {
        let broker = server("n1", Role::Broker);
        let look = |seconds: f64, both: [u64; 2]| {
            let mut look = look(seconds, &broker, 0.0, 0, 0);
            if let EventKind::ServerUsage(counters) = &mut look.kind {
                counters.network_bytes = Some(both);
            }
            look
        };
        let events = [
            at(0.0, EventKind::Stage { stage: Stage::Baseline }),
            look(1.0, [0, 0]),
            look(3.0, [1900, 100]),
            look(5.0, [2000, 2000]),
            look(7.0, [2100, 2100]),
        ];
        let all = of(1, &events, &[], &on(Some(1000)));
        let network = find(&all, Threshold::Network, "n1").unwrap();
        assert!((network.above_s - 4.0).abs() < 1e-6 && (network.over_s - 6.0).abs() < 1e-6);
        assert!((network.most - 0.95).abs() < 1e-6, "{network:?}");
        assert!(find(&of(1, &events, &[], &on(None)), Threshold::Network, "n1").is_none());
    }

    #[test]
    fn a_link_is_held_against_its_limit_while_that_is_in_force() {
        let (broker, other) = (server("n1", Role::Broker), server("n2", Role::Broker));
        let id = || "slow".to_owned();
        let limited = EventKind::LinksLimited { fault_id: id(), bytes_per_s: 1000 };
        let (victims, effect) = (vec![broker.clone()], Effect::NONE);
        let (fault, target) = ("degrade".to_owned(), "broker(1)".to_owned());
        let injecting =
            EventKind::FaultInjecting { fault_id: id(), fault, target, victims, effect };
        let injected = EventKind::FaultInjected {
            fault_id: id(),
            evidence: vec![],
            proven: true,
            took_s: None,
            shown_s: None,
        };
        let events = [
            at(0.0, EventKind::Stage { stage: Stage::Baseline }),
            look(1.0, &broker, 0.0, 0, 0),
            look(1.0, &other, 0.0, 0, 0),
            at(2.0, injecting),
            at(2.0, limited),
            at(2.5, injected),
            // Begins before the limit, and says nothing of it.
            look(3.0, &broker, 0.0, 90_000, 0),
            look(5.0, &broker, 0.0, 91_900, 0),
            look(5.0, &other, 0.0, 90_000, 0),
            look(7.0, &broker, 0.0, 92_900, 0),
            at(8.0, EventKind::FaultHealing { fault_id: id() }),
            look(9.0, &broker, 0.0, 200_000, 0),
        ];
        let all = judged(&events);
        let network = find(&all, Threshold::Network, "n1").unwrap();
        assert!((network.above_s - 2.0).abs() < 1e-6 && (network.over_s - 4.0).abs() < 1e-6);
        assert!((network.most - 0.95).abs() < 1e-6, "{network:?}");
        assert!(find(&all, Threshold::Network, "n2").is_none());
    }

    #[test]
    fn consumers_fall_behind_while_their_lag_grows() {
        let second = |n: u64, consumed| {
            at(n as f64, EventKind::Second(Second { acked: 100, consumed, ..Second::default() }))
        };
        let mut events = vec![at(0.0, EventKind::Stage { stage: Stage::Baseline })];
        events.extend((1..=20).map(|n| second(n, 100)));
        events.extend((21..=30).map(|n| second(n, 50)));
        events.extend((31..=40).map(|n| second(n, 150)));
        let all = judged(&events);
        let lag = find(&all, Threshold::Lag, "consumers").unwrap();
        // Five seconds are looked at: the first of the slow ones is a tenth by itself, and no more.
        assert!((9.0..=14.0).contains(&lag.above_s), "{lag:?}");
        assert!((lag.most - 0.5).abs() < 1e-6 && lag.over_s > 30.0, "{lag:?}");
        let planned = [(20.5, EventKind::ConsumersPaused), (40.5, EventKind::BacklogRead)];
        let planned = planned.map(|(s, event)| at(s, event));
        let planned: Vec<_> = events.iter().cloned().chain(planned).collect();
        assert_eq!(find(&judged(&planned), Threshold::Lag, "consumers").unwrap().above_s, 0.0);
        let steady: Vec<_> = events.into_iter().take(20).collect();
        assert_eq!(find(&judged(&steady), Threshold::Lag, "consumers").unwrap().above_s, 0.0);
    }
}
