//! What Kafka's and ZooKeeper's own arithmetic says that a recovery must take, from the settings in
//! force. A figure outside its interval is a finding, whatever the claim says.
//!
//! Sources: Apache Kafka 3.x, ZooKeeper 3.8, librdkafka 2.x. Nothing is predicted from a setting
//! that was not read back, nor for a fault whose detection has no formula.

use serde::{Deserialize, Serialize};

use crate::judge::timeline::FaultSpan;
use crate::record::environment::Settings;

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
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
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

/// How the fault ends a broker.
enum Ending {
    Kill,
    ControlledShutdown,
}

fn ending(fault: &str) -> Option<Ending> {
    match fault {
        "kill" | "sigkill" => Some(Ending::Kill),
        "stop" | "term" | "terminate" | "sigterm" => Some(Ending::ControlledShutdown),
        _ => None,
    }
}

/// From the fault to the loss of the dead broker's registration.
pub fn detection(settings: &Settings, fault: &str) -> Option<Prediction> {
    match ending(fault)? {
        Ending::ControlledShutdown => Some(Prediction {
            interval_s: [0.0, CONTROLLED_SHUTDOWN_S],
            formula: format!(
                "controlled shutdown: the broker closes its session itself, within \
                 {CONTROLLED_SHUTDOWN_S} s when one attempt is enough"
            ),
        }),
        Ending::Kill => {
            let session = settings.zk_session_timeout_ms? as f64 / 1e3;
            let tick = settings.zk_tick_ms? as f64 / 1e3;
            let follower = if settings.zk_servers > 1 { tick / 2.0 } else { 0.0 };
            let last_ping = (session / 3.0 - 1.0).max(0.0);
            let on_follower = if follower > 0.0 { " + tick/2 on a follower" } else { "" };
            Some(Prediction {
                interval_s: [session - last_ping, session + tick + follower],
                formula: format!(
                    "detection of a killed broker: T - (T/3 - 1 s) to T + tick{on_follower}, \
                     T = {session} s, tick = {tick} s"
                ),
            })
        }
    }
}

/// From the fault to the election of another controller.
pub fn controller_failover(settings: &Settings, fault: &str) -> Option<Prediction> {
    detection(settings, fault)
}

/// Unavailability of a partition whose leader, or in-sync replica under acks=all, is gone. The same
/// with the controller on the same broker: there is one detection. None when the copies left are
/// fewer than `min.insync.replicas`: then the partition waits for a restart.
pub fn partition_recovery(settings: &Settings, fault: &FaultSpan) -> Option<Prediction> {
    let left = (settings.replication_factor as usize).checked_sub(fault.brokers.len())?;
    if left < settings.min_insync_replicas? as usize {
        return None;
    }
    let detected = detection(settings, &fault.fault)?;
    let [low, high] = detected.interval_s;
    Some(Prediction {
        interval_s: [low, high + CLIENT_ALLOWANCE_S],
        formula: format!(
            "{}; + at most {CLIENT_ALLOWANCE_S} s until the client knows (librdkafka's \
             retry.backoff.max.ms)",
            detected.formula
        ),
    })
}

/// Unavailability of a partition that the dead broker did not lead, for acks=1 and for reads.
pub fn undisturbed() -> Prediction {
    Prediction {
        interval_s: [0.0, CLIENT_ALLOWANCE_S],
        formula: "the leader lives and asks nobody: nothing to wait for".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(session_ms: u64, tick_ms: u64, zk_servers: u32) -> Settings {
        Settings {
            zk_session_timeout_ms: Some(session_ms),
            zk_tick_ms: Some(tick_ms),
            zk_servers,
            ..Settings::default()
        }
    }

    #[test]
    fn detection_is_the_table_of_kafka_facts() {
        for (session, tick, low, high) in [
            (18_000, 3_000, 13.0, 21.0),
            (18_000, 2_000, 13.0, 20.0),
            (6_000, 2_000, 5.0, 8.0),
            (4_000, 1_000, 3.667, 5.0),
        ] {
            let [l, h] = detection(&settings(session, tick, 1), "kill").unwrap().interval_s;
            assert!((l - low).abs() < 0.01 && (h - high).abs() < 0.01, "{session} {tick}: {l}-{h}");
        }
        let ensemble = detection(&settings(18_000, 2_000, 3), "kill").unwrap();
        assert_eq!(ensemble.interval_s, [13.0, 21.0]);
    }

    #[test]
    fn nothing_is_predicted_from_what_is_not_known() {
        let unknown = Settings { zk_tick_ms: None, ..settings(18_000, 2_000, 3) };
        assert_eq!(detection(&unknown, "kill"), None);
        assert_eq!(detection(&settings(18_000, 2_000, 3), "pause"), None);
        assert_eq!(detection(&unknown, "term").unwrap().interval_s[0], 0.0);
    }

    #[test]
    fn a_censored_figure_is_only_excluded_beyond_the_upper_end() {
        let prediction = Prediction { interval_s: [13.0, 21.0], formula: String::new() };
        assert!(prediction.excludes(12.0, false) && !prediction.excludes(12.0, true));
        assert!(prediction.excludes(22.0, true) && !prediction.excludes(20.9, false));
    }
}
