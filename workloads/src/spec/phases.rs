//! How long a load lasts: by the clock, or until so many records are sent and acked.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::validate::{require, shown};
use super::{SpecError, WorkloadSpec, limits};

/// Most records of a load by count: those of seven days at a million a second.
const MOST_RECORDS: u64 = 604_800_000_000;

/// How long each phase lasts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PhasesSpec {
    /// Load that is tagged as warm-up.
    #[serde(with = "humantime_serde")]
    pub warm_up: Duration,
    /// Load on a healthy cluster before the first fault.
    #[serde(with = "humantime_serde")]
    pub baseline: Duration,
    /// Length of the load after the baseline when there are no faults; with a count, the longest.
    #[serde(default, with = "humantime_serde", skip_serializing_if = "Option::is_none")]
    pub duration: Option<Duration>,
    /// Records of the main producer after the warm-up, when there are no faults: the load ends when all of them have
    /// been sent and have their outcomes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub count: Option<u64>,
}

impl PhasesSpec {
    /// Refuses phases without time or end.
    pub(super) fn validate(&self) -> Result<(), SpecError> {
        limits::duration("phases.warm_up", self.warm_up)?;
        let phases = [("baseline", Some(self.baseline)), ("duration", self.duration)];
        for (key, value) in phases {
            let Some(value) = value else { continue };
            let why = "a phase without time measures nothing; give it at least \"1s\"";
            let key = format!("phases.{key}");
            require(value >= Duration::from_secs(1), &key, shown(value), why)?;
            limits::duration(&key, value)?;
        }
        let why = "the load has no end: give it a `duration`, or a `count` of records";
        let ends = self.duration.is_some() || self.count.is_some();
        require(ends, "phases", "no duration", why)?;
        let why = format!("must be from 1 to {MOST_RECORDS} records");
        let count = self.count.unwrap_or(1);
        require((1..=MOST_RECORDS).contains(&count), "phases.count", count, &why)
    }
}

impl WorkloadSpec {
    /// How long the load lasts at most after the baseline, without faults, on a cluster of `brokers`, as far as that is
    /// known beforehand: a count of records takes as long as its rate says, and longer where the cluster is slower.
    pub fn longest(&self, brokers: u32) -> Duration {
        let per_s = self.load.most_per_s(brokers).max(1);
        let by_count = self.phases.count.map(|count| {
            let seconds = count as f64 / per_s as f64;
            Duration::try_from_secs_f64(seconds).unwrap_or(Duration::MAX)
        });
        self.phases.duration.into_iter().chain(by_count).min().unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::spec::shipped;

    fn with(duration: &str) -> Result<WorkloadSpec, SpecError> {
        let text = shipped()[0].1;
        assert!(text.contains("duration = \"60s\""));
        WorkloadSpec::parse(&text.replace("duration = \"60s\"", duration))
    }

    #[test]
    fn a_load_ends_by_the_clock_by_count_or_by_what_comes_first() {
        for (text, seconds) in [
            ("duration = \"60s\"", 60.0),
            ("count = 5000", 5.0),
            ("count = 5000\nduration = \"60s\"", 5.0),
            ("count = 5000\nduration = \"2s\"", 2.0),
        ] {
            let spec = with(text).unwrap();
            assert!((spec.longest(3).as_secs_f64() - seconds).abs() < 1e-9, "{text}");
            assert_eq!(WorkloadSpec::parse(&toml::to_string(&spec).unwrap()).unwrap(), spec);
        }
    }

    #[test]
    fn a_load_without_end_or_records_is_refused() {
        for (text, words) in [
            ("", "phases = no duration: the load has no end"),
            ("count = 0", "phases.count = 0: must be from 1"),
            ("count = 604800000001", "phases.count = 604800000001"),
            ("count = 1\nduration = \"0s\"", "phases.duration = \"0s\""),
        ] {
            let why = with(text).expect_err(text).to_string();
            assert!(why.starts_with(words), "{why}");
        }
    }
}
