//! What a server has taken of its host.

use serde::{Deserialize, Serialize};

use super::Process;

/// The kernel's counters of a server's process at some moment.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ServerCounters {
    /// Which.
    pub process: Process,
    /// Its pid: counters begin anew with each.
    pub pid: i32,
    /// CPU time, in seconds.
    pub cpu_s: f64,
    /// Memory that is resident, in bytes.
    pub memory_bytes: u64,
    /// Bytes read from disks and written to them; none where that is not told.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub disk_bytes: Option<[u64; 2]>,
    /// Bytes that its node received and sent; none where the network is not the node's alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub network_bytes: Option<[u64; 2]>,
    /// Bytes of the file system of its data that are used, and that there are; none where that is not seen.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub disk_used: Option<[u64; 2]>,
    /// Cores of its machine; none where that is kbench's own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cores: Option<u32>,
    /// Bytes a second that the network interface of its machine takes each way, as the interface says; none where it
    /// does not, or the machine is kbench's own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub interface_bytes_per_s: Option<u64>,
}
