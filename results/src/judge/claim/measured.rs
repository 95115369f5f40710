//! What a claim about a time was measured by, as reports say it.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use crate::judge::recovery::{PartitionRecovery, StreamKind};

use super::measure::{clients, of_led};
use super::{Claim, Metric, TrialFacts};

/// The distribution of a claim's figure over the usable trials.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Measured {
    /// Usable trials.
    pub n: usize,
    /// Shortest, in seconds.
    pub min: Option<f64>,
    /// Median; none when it lies among trials that did not end.
    pub median: Option<f64>,
    /// Longest.
    pub max: Option<f64>,
    /// Trials in which what was measured did not end; their figures are lower bounds.
    pub censored: usize,
    /// Trials in which nothing was interrupted; their figures are 0.
    pub uninterrupted: usize,
    /// The longest response in those.
    pub longest_response_s: Option<f64>,
    /// The figure of each usable trial, in the order of their numbers; none in reports of a kbench that did not say it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub trials: Vec<TrialTime>,
}

/// A claim's figure in one trial.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct TrialTime {
    /// Number of the trial.
    pub trial: u32,
    /// Seconds; a lower bound where what was measured did not end.
    pub seconds: f64,
    /// Whether it did not.
    pub censored: bool,
}

/// The outages whose whole length a claim states: of which partitions, as which clients saw them, in which faults.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct ClaimedOutages {
    /// The clients by which it is measured.
    pub clients: StreamKind,
    /// Whether of the partitions that the dead broker led, or of those that it did not lead.
    pub led: bool,
    /// Ids of the faults that were injected and that the claim speaks of.
    pub faults: BTreeSet<String>,
}

impl ClaimedOutages {
    /// Of a claim, in these trials; none where it states something else.
    pub(super) fn of(claim: &Claim, trials: &[TrialFacts]) -> Option<Self> {
        // The end of an outage is not the whole of it.
        let clients = clients(&claim.metric).filter(|_| claim.metric != Metric::NewLeaderServes)?;
        let injected = trials.iter().flat_map(|trial| &trial.faults);
        let own = injected
            .filter(|fault| claim.scenario.contains(&fault.id) && claim.speaks_of(&fault.effect));
        let faults = own.map(|fault| fault.id.clone()).collect();
        Some(Self { clients, led: of_led(&claim.metric), faults })
    }

    /// Whether this is one of them, where its fault is proven.
    pub(crate) fn has(&self, row: &PartitionRecovery) -> bool {
        let same = (Some(self.led), self.clients) == (row.led, row.stream);
        same && self.faults.contains(&row.fault) && !row.added
    }
}
