//! What Kafka's and ZooKeeper's own arithmetic says that a recovery must take, from the settings in
//! force. A figure outside its interval is a finding, whatever the claim says.
//!
//! Sources: Apache Kafka 3.x, ZooKeeper 3.8, librdkafka 2.x. Nothing is predicted from a setting
//! that was not read back, nor for a fault whose detection has no formula.

use serde::{Deserialize, Serialize};

use crate::judge::span::FaultSpan;
use crate::record::environment::Settings;
use crate::record::event::{Detection, Role, Takes};

/// A client finds the new leader within this time after the cluster has one: librdkafka refreshes
/// metadata from 100 ms (`topic.metadata.refresh.fast.interval.ms`, `retry.backoff.ms`) up to
/// 1000 ms (`retry.backoff.max.ms`) apart while a leader is missing or wrong.
pub const CLIENT_ALLOWANCE_S: f64 = 1.0;

/// A controlled shutdown that needs no second attempt ends before the back-off between two attempts
/// (`controlled.shutdown.retry.backoff.ms`, 5 s); then the broker closes its own session, so
/// nothing has to be detected.
pub const CONTROLLED_SHUTDOWN_S: f64 = 5.0;

/// Slack of the comparison: the observer's error (10 ms at each end), the election (~20 ms) and a
/// busy host's scheduling; far below the width of any interval.
pub const TOLERANCE_S: f64 = 0.25;

/// Where a predicted figure must lie, and why.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Prediction {
    /// Shortest and longest time, in seconds.
    pub interval_s: [f64; 2],
    /// The arithmetic, for people.
    pub formula: String,
}

impl Prediction {
    /// Whether `measured_s` lies outside; a censored figure only when it is beyond the upper end.
    pub fn excludes(&self, measured_s: f64, censored: bool) -> bool {
        let [low, high] = self.interval_s;
        measured_s > high + TOLERANCE_S || (!censored && measured_s < low - TOLERANCE_S)
    }
}

/// From the fault to the loss of the last of its brokers' registrations; the election of another
/// controller follows within milliseconds. `None` without a formula: no broker is away, a ZooKeeper
/// server is struck too (its election restarts every session's clock), the fault takes links (pings
/// may get through one way; the ensemble may be cut along with the broker), or somebody else closes
/// the session.
pub fn detection(settings: &Settings, fault: &FaultSpan) -> Option<Prediction> {
    fault.lost_brokers().next()?;
    if fault.victims.iter().any(|victim| victim.role == Role::Zookeeper) {
        return None;
    }
    let late = ends_after(fault)?;
    match fault.effect.detection {
        Detection::SessionExpiry => session_expiry(settings, late),
        Detection::ControlledShutdown => Some(Prediction {
            interval_s: [0.0, CONTROLLED_SHUTDOWN_S],
            formula: format!(
                "controlled shutdown: the broker closes its session itself, within \
                 {CONTROLLED_SHUTDOWN_S} s when one attempt is enough"
            ),
        }),
        Detection::SessionClosed | Detection::Timeout | Detection::Nothing => None,
    }
}

/// Seconds from the injection until nothing is heard of the fault's brokers any more: until the last
/// of them had ended, where that takes time. `None` when that is not known.
fn ends_after(fault: &FaultSpan) -> Option<f64> {
    match fault.effect.takes {
        Takes::Processes | Takes::ProcessesForARestart | Takes::Answers => Some(0.0),
        Takes::ProcessesInTime | Takes::PerhapsProcesses => {
            let brokers = fault.victims.iter().filter(|victim| victim.role == Role::Broker);
            let ends: Option<Vec<_>> = brokers.map(|broker| fault.ended.get(broker)).collect();
            Some(ends?.into_iter().max()?.secs_since(fault.injecting))
        }
        Takes::Nothing
        | Takes::Nodes
        | Takes::Links
        | Takes::Zookeeper
        | Takes::Ensemble
        | Takes::Registrations
        | Takes::Leadership
        | Takes::Replicas
        | Takes::Clients => None,
    }
}

/// A client pings every T/3; ZooKeeper expires a session at the first tick that is more than T after
/// the last ping. A broker that ends `late` seconds after the injection pings until then.
fn session_expiry(settings: &Settings, late: f64) -> Option<Prediction> {
    let session = settings.zk_session_timeout_ms? as f64 / 1e3;
    let tick = settings.zk_tick_ms? as f64 / 1e3;
    let follower = if settings.zk_servers? > 1 { tick / 2.0 } else { 0.0 };
    let on_follower = if follower > 0.0 { " + tick/2 on a follower" } else { "" };
    let ended = if late > 0.0 {
        format!(", + {late:.1} s after which the broker had ended")
    } else {
        String::new()
    };
    Some(Prediction {
        interval_s: [late + session * 2.0 / 3.0, late + session + tick + follower],
        formula: format!(
            "expiry of a silent broker's session: 2T/3 to T + tick{on_follower}, T = {session} s, \
             tick = {tick} s{ended}"
        ),
    })
}

/// How many seconds servers may take to notice a fault: until a silent session has expired, or, where links are what it
/// takes, until a leader has missed a follower (it looks every half of `replica.lag.time.max.ms`); with the client's
/// allowance. `None` where the settings are not known.
pub fn detected_within(settings: &Settings, fault: &FaultSpan) -> Option<f64> {
    let session = session_expiry(settings, ends_after(fault).unwrap_or(0.0))?.interval_s[1];
    let detected = match fault.effect.takes {
        Takes::Links => session.max(1.5 * settings.replica_lag_time_max_ms? as f64 / 1e3),
        _ => session,
    };
    Some(detected + CLIENT_ALLOWANCE_S)
}

/// Unavailability of a partition whose leader, or in-sync replica under acks=all, has ended. The same
/// with the controller on the same broker: there is one detection. `None` when the copies left are
/// fewer than `min.insync.replicas`: then the partition waits for a restart; and when the brokers'
/// connections stay open: then clients wait for a time-out of their own.
pub fn partition_recovery(settings: &Settings, fault: &FaultSpan) -> Option<Prediction> {
    if fault.effect.takes == Takes::Answers {
        return None;
    }
    let lost = fault.lost_brokers().count();
    let left = (settings.replication_factor as usize).checked_sub(lost)?;
    if left < settings.min_insync_replicas? as usize {
        return None;
    }
    let detected = detection(settings, fault)?;
    let [low, high] = detected.interval_s;
    Some(Prediction {
        // A broker may have served until it ended.
        interval_s: [low - ends_after(fault)?, high + CLIENT_ALLOWANCE_S],
        formula: format!(
            "{}; + at most {CLIENT_ALLOWANCE_S} s until the client knows (librdkafka's \
             retry.backoff.max.ms)",
            detected.formula
        ),
    })
}

/// Unavailability for acks=all of a partition whose leader lives while another member of its ISR has
/// ended: until the controller takes that one out of the ISR, or the leader does, which looks every
/// half `replica.lag.time.max.ms` for followers that have not caught up for longer than that.
pub fn copies_recovery(settings: &Settings, fault: &FaultSpan) -> Option<Prediction> {
    let detected = partition_recovery(settings, fault)?;
    let [low, high] = detected.interval_s;
    let lag = settings.replica_lag_time_max_ms? as f64 / 1e3;
    let ended = ends_after(fault)?;
    let shrunk = [lag, ended + 1.5 * lag + CLIENT_ALLOWANCE_S];
    if shrunk[0] >= high {
        return Some(detected);
    }
    Some(Prediction {
        interval_s: [low.min(shrunk[0]), high.min(shrunk[1])],
        formula: format!(
            "{}; or the leader shrinks the ISR: L to 1.5 L, L = {lag} s (replica.lag.time.max.ms)",
            detected.formula
        ),
    })
}

/// Unavailability of a partition that no broker led which the fault strikes, for acks=1 and for
/// reads. `None` when the fault is not confined to its victims.
pub fn undisturbed(fault: &FaultSpan) -> Option<Prediction> {
    match fault.effect.takes {
        Takes::Processes
        | Takes::ProcessesForARestart
        | Takes::ProcessesInTime
        | Takes::PerhapsProcesses
        | Takes::Answers
        | Takes::Nodes
        | Takes::Zookeeper
        | Takes::Ensemble
        | Takes::Registrations => Some(Prediction {
            interval_s: [0.0, CLIENT_ALLOWANCE_S],
            formula: "the leader lives and asks nobody: nothing to wait for".to_owned(),
        }),
        Takes::Nothing | Takes::Links | Takes::Leadership | Takes::Replicas | Takes::Clients => {
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::judge::span::FaultSpans;
    use crate::record::clock::RunTime;
    use crate::record::event::{Effect, Event, EventKind, Process, ProcessEnd, Risk};

    fn settings(session_ms: u64, tick_ms: u64, zk_servers: u32) -> Settings {
        Settings {
            zk_session_timeout_ms: Some(session_ms),
            zk_tick_ms: Some(tick_ms),
            zk_servers: Some(zk_servers),
            brokers: 3,
            replication_factor: 3,
            min_insync_replicas: Some(2),
            ..Settings::default()
        }
    }

    /// A fault of this effect on processes of these roles, on a node each; those that end do so after 3 s.
    fn fault(takes: Takes, detection: Detection, roles: &[Role], end: bool) -> FaultSpan {
        let process =
            |(id, role): (i32, &Role)| Process { node: format!("n{id}"), role: *role, id };
        let victims: Vec<_> = (1..).zip(roles).map(process).collect();
        let injecting = EventKind::FaultInjecting {
            fault_id: "a".to_owned(),
            fault: "any name".to_owned(),
            target: "x".to_owned(),
            victims: victims.clone(),
            effect: Effect { takes, detection, risk: Risk::Process },
        };
        let ended = |process| EventKind::ProcessEnded { process, pid: 1, end: ProcessEnd::Exit(1) };
        let mut events = vec![Event { at: RunTime::from_secs_f64(10.0), kind: injecting }];
        let ends = victims.into_iter().filter(|_| end).map(ended);
        events.extend(ends.map(|kind| Event { at: RunTime::from_secs_f64(13.0), kind }));
        FaultSpans::new(&events, RunTime::from_secs_f64(60.0)).faults.remove(0)
    }

    fn kill() -> FaultSpan {
        fault(Takes::Processes, Detection::SessionExpiry, &[Role::Broker], true)
    }

    fn detected(fault: &FaultSpan) -> Option<[f64; 2]> {
        detection(&settings(18_000, 2_000, 1), fault).map(|prediction| prediction.interval_s)
    }

    #[test]
    fn detection_is_the_table_of_kafka_facts() {
        for (session, tick, low, high) in [
            (18_000, 3_000, 12.0, 21.0),
            (18_000, 2_000, 12.0, 20.0),
            (6_000, 2_000, 4.0, 8.0),
            (4_000, 1_000, 2.667, 5.0),
        ] {
            let [l, h] = detection(&settings(session, tick, 1), &kill()).unwrap().interval_s;
            assert!((l - low).abs() < 0.01 && (h - high).abs() < 0.01, "{session} {tick}: {l}-{h}");
        }
        let ensemble = detection(&settings(18_000, 2_000, 3), &kill()).unwrap();
        assert_eq!(ensemble.interval_s, [12.0, 21.0]);
    }

    #[test]
    fn nothing_is_predicted_from_what_is_not_known() {
        let unknown = Settings { zk_tick_ms: None, ..settings(18_000, 2_000, 3) };
        assert_eq!(detection(&unknown, &kill()), None);
        let stop = fault(Takes::Processes, Detection::ControlledShutdown, &[Role::Broker], true);
        assert_eq!(detection(&unknown, &stop).unwrap().interval_s, [0.0, CONTROLLED_SHUTDOWN_S]);
    }

    #[test]
    fn a_prediction_follows_what_the_fault_takes_and_how_that_is_detected() {
        use Detection::SessionExpiry;
        let broker = &[Role::Broker];
        let killed = Some([12.0, 20.0]);
        let restarted = fault(Takes::ProcessesForARestart, SessionExpiry, broker, true);
        let paused = fault(Takes::Answers, SessionExpiry, broker, false);
        assert_eq!([&kill(), &restarted, &paused].map(detected), [killed, killed, killed]);
        // Clients of a paused broker wait for a time-out of their own.
        let felt = |fault: &FaultSpan| partition_recovery(&settings(18_000, 2_000, 1), fault);
        assert_eq!(felt(&kill()).unwrap().interval_s, [12.0, 21.0]);
        assert_eq!(felt(&paused), None);

        // What gives up does so after a while, and perhaps not at all.
        for takes in [Takes::ProcessesInTime, Takes::PerhapsProcesses] {
            let late = fault(takes, SessionExpiry, broker, true);
            assert_eq!(detected(&late), Some([15.0, 23.0]));
            assert_eq!(felt(&late).unwrap().interval_s, [12.0, 24.0]);
            assert_eq!(detected(&fault(takes, SessionExpiry, broker, false)), None);
        }

        let node = &[Role::Broker, Role::Zookeeper];
        let server = &[Role::Zookeeper];
        for without in [
            fault(Takes::Processes, SessionExpiry, node, true),
            fault(Takes::Processes, SessionExpiry, server, true),
            fault(Takes::Zookeeper, SessionExpiry, broker, false),
            fault(Takes::Nodes, SessionExpiry, broker, false),
            fault(Takes::Links, Detection::Timeout, broker, false),
            fault(Takes::Registrations, Detection::SessionClosed, broker, false),
            fault(Takes::Nothing, Detection::Nothing, broker, false),
        ] {
            assert_eq!((detected(&without), felt(&without)), (None, None), "{:?}", without.effect);
        }
    }

    #[test]
    fn a_short_lag_time_frees_the_copies_before_the_session_expires() {
        let lag = |ms| Settings { replica_lag_time_max_ms: Some(ms), ..settings(18_000, 2_000, 1) };
        let felt = |ms| copies_recovery(&lag(ms), &kill()).unwrap().interval_s;
        assert_eq!(felt(30_000), [12.0, 21.0]);
        assert_eq!(felt(4_000), [4.0, 7.0]);
        assert_eq!(felt(16_000), [12.0, 21.0]);
        let unknown = Settings { replica_lag_time_max_ms: None, ..settings(18_000, 2_000, 1) };
        assert_eq!(copies_recovery(&unknown, &kill()), None);
    }

    #[test]
    fn too_few_copies_wait_for_a_restart() {
        let two = &[Role::Broker, Role::Broker];
        let both = fault(Takes::Processes, Detection::SessionExpiry, two, true);
        assert_eq!(partition_recovery(&settings(18_000, 2_000, 3), &both), None);
    }

    #[test]
    fn a_censored_figure_is_only_excluded_beyond_the_upper_end() {
        let prediction = Prediction { interval_s: [13.0, 21.0], formula: String::new() };
        assert!(prediction.excludes(12.0, false) && !prediction.excludes(12.0, true));
        assert!(prediction.excludes(22.0, true) && !prediction.excludes(20.9, false));
    }
}
