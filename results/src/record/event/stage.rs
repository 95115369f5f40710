//! The stages of a trial.

use serde::{Deserialize, Serialize};

/// The stages of a trial, in order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Stage {
    /// JVMs are starting, topics are created, the first record of each partition is acked.
    Starting,
    /// Load runs, tagged as warm-up; its latencies count nowhere.
    WarmingUp,
    /// Load runs on a healthy cluster.
    Baseline,
    /// Load runs, the nemesis injects faults.
    Faults,
    /// Everything injected is undone.
    Healing,
    /// Load has ended; outstanding sends complete, a fresh consumer reads every partition.
    Draining,
    /// The cluster is being stopped.
    Stopping,
}
