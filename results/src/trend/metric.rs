//! What is followed over runs: figures of the load, and times of claims.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use serde::{Serialize, Serializer};

use crate::judge::metric::{LoadMetric, LoadPhase, MetricFigure};
use crate::report::Report;

/// What the name of a claim's time begins with.
const CLAIM: &str = "claim.";

/// A figure that a run has by its name: `response.p99`, or `claim.ID` for the time of a claim.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TrendMetric {
    /// A figure of the load.
    Load(LoadMetric),
    /// The median over the trials of the time that a claim speaks of.
    Claim(String),
}

impl TrendMetric {
    /// Whether a higher figure is the better one.
    pub fn higher_is_better(&self) -> bool {
        matches!(self, Self::Load(metric) if metric.higher_is_better())
    }

    /// A figure of it with its unit.
    pub fn show(&self, figure: f64) -> String {
        let recovery = LoadMetric { phase: LoadPhase::Faults, figure: MetricFigure::Recovery };
        match self {
            Self::Load(metric) => metric.show(figure),
            Self::Claim(_) => recovery.show(figure),
        }
    }
}

impl fmt::Display for TrendMetric {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Load(metric) => metric.fmt(f),
            Self::Claim(id) => write!(f, "{CLAIM}{id}"),
        }
    }
}

impl FromStr for TrendMetric {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match claim(text) {
            Some(id) => Ok(Self::Claim(id)),
            None => text.parse().map(Self::Load).map_err(|why| format!("{why}; or claim.ID")),
        }
    }
}

impl Serialize for TrendMetric {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// The claim whose time a name is of.
pub(super) fn claim(name: &str) -> Option<String> {
    name.strip_prefix(CLAIM).filter(|id| !id.is_empty()).map(str::to_owned)
}

/// All figures that a report has, by their names.
pub(super) fn figures(report: &Report) -> BTreeMap<String, f64> {
    let of_load = LoadMetric::all()
        .filter_map(|metric| Some((TrendMetric::Load(metric), metric.of(report).ok()?)));
    let of_claims = report.claims.iter().filter_map(|claim| {
        // None where a trial that did not end may be the middle one.
        let median = claim.measured_s.as_ref()?.median?;
        Some((TrendMetric::Claim(claim.id.clone()), median * 1e6))
    });
    let all = of_load.chain(of_claims).filter(|(_, figure)| figure.is_finite());
    all.map(|(metric, figure)| (metric.to_string(), figure)).collect()
}
