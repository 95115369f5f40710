//! Where a producer's client says that time went.

use serde::{Deserialize, Serialize};

use super::BrokerId;

/// What a producer's client says of its brokers, of the time since it said so last.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClientTimes {
    /// Name of the client.
    pub client: String,
    /// Milliseconds that this is of.
    pub over_ms: u64,
    /// Each broker that it sent something to.
    pub brokers: Vec<BrokerTimes>,
}

/// Times of one broker, as librdkafka's statistics have them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BrokerTimes {
    /// The broker.
    pub broker: BrokerId,
    /// Of each record, from when the client took it until its batch was made (`int_latency`): `linger.ms`, and waiting for
    /// requests under way.
    pub queue: TimesWindow,
    /// Of each request, from when it was made until it was written to the socket (`outbuf_latency`).
    pub socket: TimesWindow,
    /// Of each request, from then until its answer (`rtt`): the network both ways, and the broker.
    pub broker_rtt: TimesWindow,
}

/// Some times, in microseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct TimesWindow {
    /// How many.
    pub n: u64,
    /// Mean.
    pub mean_us: u64,
    /// 99th percentile.
    pub p99_us: u64,
    /// Longest.
    pub max_us: u64,
}
