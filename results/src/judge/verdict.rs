//! The words of a judgement, ordered from best to worst.

use serde::{Deserialize, Serialize};

/// The verdict of one check, of one trial, of a run. A whole's verdict is its worst part's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    /// Checked in full; nothing wrong was found.
    Valid,
    /// Could not be checked in full. Never rounded to `Valid`.
    Unknown,
    /// The run itself is worth nothing, e.g. the generator was the bottleneck.
    InvalidRun,
    /// A guarantee was violated.
    Violated,
}

impl Verdict {
    /// The verdict as it is written in reports.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Valid => "valid",
            Self::Unknown => "unknown",
            Self::InvalidRun => "invalid-run",
            Self::Violated => "violated",
        }
    }
}

/// What one check found.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Check {
    /// Name of the anomaly that was looked for, e.g. "lost".
    pub name: String,
    /// Verdict.
    pub verdict: Verdict,
    /// How many anomalies were found.
    pub count: u64,
    /// How many things (records, polls, commits) were looked at; 0 means that nothing was checked.
    pub examined: u64,
    /// Whether all that violates is the loss of what no in-sync replica kept in its memory.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub without_a_copy: bool,
    /// What the number means here, when it needs saying ("not run: no commit was made").
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
    /// A few minimal examples.
    pub witnesses: Vec<Witness>,
}

/// One minimal example of an anomaly.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Witness {
    /// Topic.
    pub topic: String,
    /// Partition.
    pub partition: i32,
    /// Offset, where one is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub offset: Option<i64>,
    /// When, in seconds on the run's clock, where known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at_s: Option<f64>,
    /// What happened, in one sentence that names the record or client.
    pub what: String,
    /// Id of the fault that was active then, if any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub during: Option<String>,
}
