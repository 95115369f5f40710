//! What happened in one second of load.

use serde::{Deserialize, Serialize};

/// Figures of one second of load.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Second {
    /// Sends that were due in this second.
    pub due: u64,
    /// Sends handed to the client.
    pub sent: u64,
    /// Sends acked.
    pub acked: u64,
    /// Sends failed or indeterminate.
    pub failed: u64,
    /// Records consumed by the group.
    pub consumed: u64,
    /// Sends neither acked nor failed yet.
    pub outstanding: u64,
    /// Median response time of this second's acks, microseconds; `None` without acks.
    pub response_p50_us: Option<u64>,
    /// 99th percentile of response time of this second's acks, microseconds; `None` without acks.
    pub response_p99_us: Option<u64>,
    /// Highest response time of this second's acks, microseconds; `None` without acks.
    pub response_max_us: Option<u64>,
    /// 99th percentile of schedule lag of this second's sends, microseconds.
    pub schedule_lag_p99_us: Option<u64>,
}
