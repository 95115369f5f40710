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
            cores: None,
            interface_bytes_per_s: None,
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
fn a_machine_of_its_own_is_held_against_its_own_cores_and_interface() {
    let broker = server("n1", Role::Broker);
    let look = |seconds, cpu_s, sent| {
        let mut look = look(seconds, &broker, cpu_s, sent, 0);
        if let EventKind::ServerUsage(counters) = &mut look.kind {
            (counters.cores, counters.interface_bytes_per_s) = (Some(8), Some(1000));
        }
        look
    };
    let stage = at(0.0, EventKind::Stage { stage: Stage::Baseline });
    let events = [stage, look(1.0, 0.0, 0), look(3.0, 14.0, 1900), look(5.0, 20.0, 2000)];
    let all = judged(&events);
    let cpu = find(&all, Threshold::Cpu, "n1").unwrap();
    assert!((cpu.above_s - 2.0).abs() < 1e-6 && (cpu.most - 0.875).abs() < 1e-6, "{cpu:?}");
    let network = find(&all, Threshold::Network, "n1").unwrap();
    assert!((network.above_s - 2.0).abs() < 1e-6 && (network.over_s - 4.0).abs() < 1e-6);
    assert!((network.most - 0.95).abs() < 1e-6, "{network:?}");
}

#[test]
fn a_link_is_held_against_its_limit_while_that_is_in_force() {
    let (broker, other) = (server("n1", Role::Broker), server("n2", Role::Broker));
    let id = || "slow".to_owned();
    let limited = EventKind::LinksLimited { fault_id: id(), bytes_per_s: 1000 };
    let (victims, effect) = (vec![broker.clone()], Effect::NONE);
    let (fault, target) = ("degrade".to_owned(), "broker(1)".to_owned());
    let injecting = EventKind::FaultInjecting { fault_id: id(), fault, target, victims, effect };
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
