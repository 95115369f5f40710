//! What is read of librdkafka's statistics (its STATISTICS.md).

use std::collections::BTreeMap;

use results::record::event::{BrokerTimes, TimesWindow};
use serde::Deserialize;

/// Partitions whose statistics a client writes in a second without being felt: about a kilobyte each.
const EACH_SECOND: u32 = 100;

/// Longest time between two statistics, in seconds.
const LONGEST_S: u32 = 60;

/// Milliseconds between two statistics of a client of so many partitions.
pub(crate) fn interval_ms(partitions: u32) -> u32 {
    partitions.div_ceil(EACH_SECOND).clamp(1, LONGEST_S) * 1000
}

/// A client's statistics.
#[derive(Deserialize)]
pub(super) struct Statistics {
    /// Bytes of keys and values that were sent so far.
    pub(super) txmsg_bytes: u64,
    /// Bytes of all requests.
    pub(super) tx_bytes: u64,
    #[serde(default)]
    pub(super) brokers: BTreeMap<String, BrokerStatistics>,
}

/// Those of a broker.
#[derive(Deserialize)]
pub(super) struct BrokerStatistics {
    /// Its id; -1 of an address that no broker is known to have yet.
    nodeid: i32,
    #[serde(default)]
    int_latency: RollingWindow,
    #[serde(default)]
    outbuf_latency: RollingWindow,
    #[serde(default)]
    rtt: RollingWindow,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct RollingWindow {
    cnt: i64,
    avg: i64,
    p99: i64,
    max: i64,
}

/// The times of the brokers to which something was sent, in the order of their ids.
pub(super) fn times(brokers: BTreeMap<String, BrokerStatistics>) -> Vec<BrokerTimes> {
    let of = |one: BrokerStatistics| {
        let times = BrokerTimes {
            broker: one.nodeid,
            queue: one.int_latency.told(),
            socket: one.outbuf_latency.told(),
            broker_rtt: one.rtt.told(),
        };
        let told = times.queue.n + times.socket.n + times.broker_rtt.n > 0;
        (one.nodeid >= 0 && told).then_some(times)
    };
    let mut all: Vec<_> = brokers.into_values().filter_map(of).collect();
    all.sort_by_key(|times| times.broker);
    all
}

impl RollingWindow {
    fn told(&self) -> TimesWindow {
        let number = |value: i64| u64::try_from(value).unwrap_or(0);
        TimesWindow {
            n: number(self.cnt),
            mean_us: number(self.avg),
            p99_us: number(self.p99),
            max_us: number(self.max),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn brokers_that_something_was_sent_to_are_told_by_their_ids() {
        let text = r#"{"txmsg_bytes": 7, "tx_bytes": 9, "topics": {"t": {"partitions": {}}}, "brokers": {
            "b/2": {"nodeid": 2, "rtt": {"cnt": 3, "avg": 400, "p99": 900, "max": 1000, "p50": 1}},
            "b/1": {"nodeid": 1, "int_latency": {"cnt": 5, "avg": 10, "p99": 20, "max": 30},
                    "outbuf_latency": {"cnt": 1, "avg": 2, "p99": 2, "max": -1}, "rtt": {"cnt": 0}},
            "b/3": {"nodeid": 3}, "b/bootstrap": {"nodeid": -1, "rtt": {"cnt": 4}}}}"#;
        let statistics: Statistics = serde_json::from_str(text).unwrap();
        assert_eq!((statistics.txmsg_bytes, statistics.tx_bytes), (7, 9));
        let [one, two] = times(statistics.brokers).try_into().unwrap();
        assert_eq!((one.broker, two.broker), (1, 2));
        assert_eq!(one.queue, TimesWindow { n: 5, mean_us: 10, p99_us: 20, max_us: 30 });
        assert_eq!((one.socket.max_us, one.broker_rtt), (0, TimesWindow::default()));
        assert_eq!(two.broker_rtt, TimesWindow { n: 3, mean_us: 400, p99_us: 900, max_us: 1000 });
    }

    #[test]
    fn many_partitions_are_told_of_less_often() {
        assert_eq!(
            [1, 100, 101, 1000, 10_000].map(interval_ms),
            [1000, 1000, 2000, 10_000, 60_000]
        );
    }
}
