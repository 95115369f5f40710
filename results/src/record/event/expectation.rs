//! What a plan expects of the cluster while a fault lasts: recorded beside the fault, judged later.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// What the cluster is expected to do while a fault lasts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Expectation {
    /// Every partition of the load acks again.
    #[default]
    Recovery,
    /// Not every partition acks again before the fault is healed.
    OutageUntilHeal,
    /// No partition is unavailable for longer than this, to any client.
    GapsBelow(#[serde(with = "humantime_serde")] Duration),
    /// It may do what it likes: nothing is judged.
    Anything,
}
