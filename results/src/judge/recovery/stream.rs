//! The kinds of clients that recovery is measured by.

use serde::{Deserialize, Serialize};

/// Which clients a figure is from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum StreamKind {
    /// The main load.
    Main,
    /// The direct producer on the main load's topic, which does without librdkafka.
    Direct,
    /// The acks=1 producer on a topic of its own.
    Probe,
    /// The client that reads old records.
    Reads,
}

impl StreamKind {
    /// The name as it is written in reports.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Main => "main",
            Self::Direct => "direct",
            Self::Probe => "probe",
            Self::Reads => "reads",
        }
    }
}
