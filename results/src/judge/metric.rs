//! Metrics: the figures of a run by name, as gates and comparisons name them: `response.p99`,
//! `faults.end-to-end.max`, `acked.rate`.
//!
//! A metric names a phase (`steady`, which is meant where none is named, `faults` or `all`) and a figure:
//!
//! | figure | what |
//! |---|---|
//! | `response`, `service`, `schedule-lag`, `end-to-end`, each with `.p50`, `.p90`, `.p99`, `.p99.9` or `.max` | latencies |
//! | `sent.rate`, `acked.rate`, `consumed.rate` | records a second |
//! | `consume.lag` | the longest wait from an ack to the delivery, of all groups; of the steady load alone |
//! | `recovery` | the longest outage of a partition that the main load felt, whosever it was and though the heal began it; of the load around faults alone |

use std::fmt;
use std::str::FromStr;

use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A figure of a part of the load.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LoadMetric {
    /// Which part.
    pub phase: LoadPhase,
    /// Which figure of it.
    pub figure: MetricFigure,
}

/// Words of an enum, as they are written.
macro_rules! words {
    ($(#[$doc:meta])* $name:ident { $($(#[$of:meta])* $variant:ident = $word:literal),+ $(,)? }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum $name {
            $($(#[$of])* $variant),+
        }

        impl $name {
            /// All of them.
            pub const ALL: &'static [Self] = &[$(Self::$variant),+];

            /// The word.
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $word),+ }
            }
        }
    };
}

pub(super) use words;

words! {
    /// A part of the load.
    LoadPhase {
        /// The steady load.
        Steady = "steady",
        /// The load around faults.
        Faults = "faults",
        /// All of it.
        All = "all",
    }
}

words! {
    /// A latency.
    LatencyMetric {
        /// Ack - due.
        Response = "response",
        /// Ack - sent.
        Service = "service",
        /// Sent - due.
        ScheduleLag = "schedule-lag",
        /// Consumed - due.
        EndToEnd = "end-to-end",
    }
}

words! {
    /// A statistic of a latency.
    Statistic {
        /// Median.
        P50 = "p50",
        /// 90th percentile.
        P90 = "p90",
        /// 99th percentile.
        P99 = "p99",
        /// 99.9th percentile.
        P999 = "p99.9",
        /// Longest.
        Max = "max",
    }
}

words! {
    /// Records of which there is a rate.
    RateMetric {
        /// Handed to the client.
        Sent = "sent",
        /// Acked.
        Acked = "acked",
        /// Got for the first time, by the slowest group.
        Consumed = "consumed",
    }
}

/// A figure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MetricFigure {
    /// A latency.
    Latency(LatencyMetric, Statistic),
    /// A rate.
    Rate(RateMetric),
    /// The longest wait from an ack to the delivery.
    ConsumeLag,
    /// The longest outage of a partition.
    Recovery,
}

impl LoadMetric {
    /// All that there are.
    pub fn all() -> impl Iterator<Item = Self> {
        let of = |phase: &LoadPhase| {
            let phase = *phase;
            figures().map(move |figure| Self { phase, figure })
        };
        LoadPhase::ALL.iter().flat_map(of).filter(|metric| metric.nowhere().is_none())
    }

    /// Why its phase has no such figure, if it has none.
    fn nowhere(self) -> Option<&'static str> {
        match (self.figure, self.phase) {
            (MetricFigure::ConsumeLag, LoadPhase::Faults | LoadPhase::All) => {
                Some("consume.lag is of the steady load alone")
            }
            (MetricFigure::Recovery, LoadPhase::Steady | LoadPhase::All) => {
                Some("recovery is of the load around faults: faults.recovery")
            }
            _ => None,
        }
    }

    /// Whether a higher figure is the better one.
    pub fn higher_is_better(self) -> bool {
        matches!(self.figure, MetricFigure::Rate(_))
    }

    /// A figure of it with its unit: latencies are in microseconds, rates in records a second.
    pub fn show(self, figure: f64) -> String {
        match self.figure {
            MetricFigure::Rate(_) => format!("{figure:.1}/s"),
            MetricFigure::Latency(..) | MetricFigure::ConsumeLag | MetricFigure::Recovery => {
                match figure {
                    us if us >= 1e6 => format!("{:.2} s", us / 1e6),
                    us if us >= 1e3 => format!("{:.2} ms", us / 1e3),
                    us => format!("{us:.0} us"),
                }
            }
        }
    }
}

impl fmt::Display for MetricFigure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Latency(latency, of) => write!(f, "{}.{}", latency.as_str(), of.as_str()),
            Self::Rate(rate) => write!(f, "{}.rate", rate.as_str()),
            Self::ConsumeLag => f.write_str("consume.lag"),
            Self::Recovery => f.write_str("recovery"),
        }
    }
}

impl fmt::Display for LoadMetric {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.phase != LoadPhase::Steady {
            write!(f, "{}.", self.phase.as_str())?;
        }
        self.figure.fmt(f)
    }
}

impl FromStr for LoadMetric {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let mut phases = LoadPhase::ALL.iter().copied();
        let named = phases
            .find_map(|phase| Some((phase, text.strip_prefix(phase.as_str())?.strip_prefix('.')?)));
        let (phase, name) = named.unwrap_or((LoadPhase::Steady, text));
        let metric = Self { phase, figure: figure(name)? };
        metric.nowhere().map_or(Ok(metric), |why| Err(why.to_owned()))
    }
}

impl<'de> Deserialize<'de> for LoadMetric {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(D::Error::custom)
    }
}

impl Serialize for LoadMetric {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// All figures, of whatever phase.
fn figures() -> impl Iterator<Item = MetricFigure> {
    let latencies = LatencyMetric::ALL.iter().flat_map(|latency| {
        Statistic::ALL.iter().map(|statistic| MetricFigure::Latency(*latency, *statistic))
    });
    let rates = RateMetric::ALL.iter().map(|rate| MetricFigure::Rate(*rate));
    latencies.chain(rates).chain([MetricFigure::ConsumeLag, MetricFigure::Recovery])
}

fn figure(name: &str) -> Result<MetricFigure, String> {
    figures().find(|figure| figure.to_string() == name).ok_or_else(|| {
        format!(
            "there is no figure `{name}`: it is response, service, schedule-lag or end-to-end with .p50, .p90, \
             .p99, .p99.9 or .max; sent.rate, acked.rate or consumed.rate; consume.lag; or faults.recovery"
        )
    })
}
