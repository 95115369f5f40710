//! When a step begins, and how often.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// When a step or a change begins that does not wait for the steps before it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum Start {
    /// So long after the plain step before it was injected; after the cluster was first steady when
    /// there is none.
    At(#[serde(with = "humantime_serde")] Duration),
    /// After another step was injected, or a change began.
    Injected(After),
    /// After cluster and clients had recovered from another step while it lasted.
    Recovered(After),
    /// After another step, with all of its rounds, was healed, or a change was made and its `hold` over.
    Healed(After),
}

/// After which step or change, and how long after.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct After {
    /// Id of the other step, or of a change that has a `start` as well.
    pub step: String,
    /// So much later.
    #[serde(default, with = "humantime_serde")]
    pub delay: Duration,
}

impl Start {
    /// How long after it, with the key that says so.
    pub(super) fn delay(&self) -> (&'static str, Duration) {
        match self {
            Self::At(at) => ("start.at", *at),
            Self::Injected(after) => ("start.injected.delay", after.delay),
            Self::Recovered(after) => ("start.recovered.delay", after.delay),
            Self::Healed(after) => ("start.healed.delay", after.delay),
        }
    }

    /// What it comes after, unless it is a time.
    pub fn after(&self) -> Option<&After> {
        match self {
            Self::At(_) => None,
            Self::Injected(after) | Self::Recovered(after) | Self::Healed(after) => Some(after),
        }
    }
}

/// Rounds of a step, each injected and healed, with no wait for a steady cluster between.
///
/// The target is resolved anew for each round: a role wanders, a broker and what the seed draws do not.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Repeat {
    /// So many rounds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub times: Option<u32>,
    /// Rounds as long as they begin within this time of the first.
    #[serde(default, skip_serializing_if = "Option::is_none", with = "humantime_serde")]
    pub during: Option<Duration>,
    /// From the heal of a round to the injection of the next.
    #[serde(default, with = "humantime_serde")]
    pub pause: Duration,
}

impl Repeat {
    /// Whether another round follows the first `rounds`, the next of which would begin `elapsed`
    /// after the first began.
    pub fn goes_on(&self, rounds: u32, elapsed: Duration) -> bool {
        self.times.is_some_and(|times| rounds < times)
            || self.during.is_some_and(|during| elapsed < during)
    }

    pub(super) fn check(&self, step: &str) -> Result<(), String> {
        match (self.times, self.during) {
            (Some(2..), None) => Ok(()),
            (None, Some(during)) if !during.is_zero() => Ok(()),
            _ => Err(format!(
                "{step}: `repeat` needs either `times` (2 or more) or `during`, and may have `pause`"
            )),
        }
    }
}
