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
    /// Median response time (ack - due) of this second's acks, microseconds; `None` without acks.
    pub response_p50_us: Option<u64>,
    /// 99th percentile of response time of this second's acks, microseconds; `None` without acks.
    pub response_p99_us: Option<u64>,
    /// Highest response time of this second's acks, microseconds; `None` without acks.
    pub response_max_us: Option<u64>,
    /// Median service time (ack - sent) of this second's acks, microseconds; `None` without acks, and in events of a kbench
    /// that did not record it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub service_p50_us: Option<u64>,
    /// 99th percentile of service time of this second's acks, microseconds; `None` likewise.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub service_p99_us: Option<u64>,
    /// 99th percentile of schedule lag of this second's sends, microseconds.
    pub schedule_lag_p99_us: Option<u64>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_without_service_times_is_read_and_has_none() {
        let told = Second { response_p50_us: Some(7), ..Second::default() };
        let text = serde_json::to_string(&told).unwrap();
        assert!(!text.contains("service"), "as an older kbench wrote it: {text}");
        assert_eq!(serde_json::from_str::<Second>(&text).unwrap(), told);
        let known = Second { service_p50_us: Some(3), service_p99_us: Some(5), ..told };
        let text = serde_json::to_string(&known).unwrap();
        assert_eq!(serde_json::from_str::<Second>(&text).unwrap(), known);
    }
}
