//! Gates: bounds that the figures of a run have to keep, written as `response.p99<50ms`.
//!
//! A gate names a phase (`steady`, which is meant where none is named, `faults` or `all`), a metric, a comparison
//! and a bound with its unit:
//!
//! | metric | what | bound |
//! |---|---|---|
//! | `response`, `service`, `schedule-lag`, `end-to-end`, each with `.p50`, `.p90`, `.p99`, `.p99.9` or `.max` | latencies | a time: `us`, `ms`, `s` |
//! | `sent.rate`, `acked.rate`, `consumed.rate` | records a second | a number, or `%` of what is asked for |
//! | `consume.lag` | the longest wait from an ack to the delivery, of all groups; of the steady load alone | a time |

use std::fmt;
use std::str::FromStr;

use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// One gate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Gate {
    /// Which part of the load.
    pub phase: GatePhase,
    /// Which figure of it.
    pub metric: GateMetric,
    /// How the figure is to compare with the bound.
    pub comparison: Comparison,
    /// The bound.
    pub bound: Bound,
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

words! {
    /// A part of the load.
    GatePhase {
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

words! {
    /// A comparison.
    Comparison {
        /// At most.
        AtMost = "<=",
        /// At least.
        AtLeast = ">=",
        /// Less.
        Less = "<",
        /// More.
        More = ">",
    }
}

/// A figure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum GateMetric {
    /// A latency.
    Latency(LatencyMetric, Statistic),
    /// A rate.
    Rate(RateMetric),
    /// The longest wait from an ack to the delivery.
    ConsumeLag,
}

/// What a figure is held against.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Bound {
    /// Microseconds.
    Time(f64),
    /// Records a second.
    Rate(f64),
    /// Per cent of the rate that is asked for.
    Share(f64),
}

/// Bounds are numbers.
impl Eq for Bound {}

/// Units of time, longest names first, in microseconds.
const TIMES: [(&str, f64); 3] = [("us", 1.0), ("ms", 1e3), ("s", 1e6)];

impl Gate {
    /// Whether a figure keeps it.
    pub fn is_kept_by(&self, figure: f64) -> bool {
        let (Bound::Time(bound) | Bound::Rate(bound) | Bound::Share(bound)) = self.bound;
        match self.comparison {
            Comparison::AtMost => figure <= bound,
            Comparison::AtLeast => figure >= bound,
            Comparison::Less => figure < bound,
            Comparison::More => figure > bound,
        }
    }
}

impl Bound {
    /// A figure in this bound's unit, as it is shown.
    pub fn show(&self, figure: f64) -> String {
        match self {
            Self::Time(_) if figure >= 1e6 => format!("{} s", figure / 1e6),
            Self::Time(_) if figure >= 1e3 => format!("{} ms", figure / 1e3),
            Self::Time(_) => format!("{figure} us"),
            Self::Rate(_) => format!("{figure:.1} records/s"),
            Self::Share(_) => format!("{figure:.2} %"),
        }
    }
}

impl fmt::Display for Gate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.phase != GatePhase::Steady {
            write!(f, "{}.", self.phase.as_str())?;
        }
        match self.metric {
            GateMetric::Latency(latency, of) => write!(f, "{}.{}", latency.as_str(), of.as_str())?,
            GateMetric::Rate(rate) => write!(f, "{}.rate", rate.as_str())?,
            GateMetric::ConsumeLag => f.write_str("consume.lag")?,
        }
        f.write_str(self.comparison.as_str())?;
        match self.bound {
            Bound::Time(us) => {
                let fits = |(_, unit): &&(&str, f64)| us >= *unit;
                let (name, unit) = TIMES.iter().rev().find(fits).unwrap_or(&TIMES[0]);
                write!(f, "{}{name}", us / unit)
            }
            Bound::Rate(records) => write!(f, "{records}"),
            Bound::Share(share) => write!(f, "{share}%"),
        }
    }
}

impl FromStr for Gate {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let text: String = text.chars().filter(|c| !c.is_whitespace()).collect();
        let comparisons = Comparison::ALL.iter().copied();
        let found = comparisons.filter_map(|it| Some((it, text.split_once(it.as_str())?)));
        // `<` stands in `<=`, too, which comes first.
        let (comparison, (figure, bound)) = found
            .min_by_key(|(it, (before, _))| (before.len(), 2 - it.as_str().len()))
            .ok_or("a gate compares a figure with a bound, as `response.p99<50ms` does")?;
        let phases = GatePhase::ALL.iter().copied();
        let mut named = phases.filter_map(|phase| {
            Some((phase, figure.strip_prefix(phase.as_str())?.strip_prefix('.')?))
        });
        let (phase, name) = named.next().unwrap_or((GatePhase::Steady, figure));
        let metric = metric(name)?;
        if metric == GateMetric::ConsumeLag && phase != GatePhase::Steady {
            return Err("consume.lag is of the steady load alone".to_owned());
        }
        let bound = read_bound(metric, bound)?;
        Ok(Self { phase, metric, comparison, bound })
    }
}

fn metric(name: &str) -> Result<GateMetric, String> {
    let latencies = LatencyMetric::ALL.iter().flat_map(|latency| {
        Statistic::ALL.iter().map(|statistic| GateMetric::Latency(*latency, *statistic))
    });
    let rates = RateMetric::ALL.iter().map(|rate| GateMetric::Rate(*rate));
    let all = latencies.chain(rates).chain([GateMetric::ConsumeLag]);
    let written = |metric: &GateMetric| match metric {
        GateMetric::Latency(latency, of) => format!("{}.{}", latency.as_str(), of.as_str()),
        GateMetric::Rate(rate) => format!("{}.rate", rate.as_str()),
        GateMetric::ConsumeLag => "consume.lag".to_owned(),
    };
    all.into_iter().find(|metric| written(metric) == name).ok_or_else(|| {
        format!(
            "there is no figure `{name}`: it is response, service, schedule-lag or end-to-end with .p50, .p90, \
             .p99, .p99.9 or .max; sent.rate, acked.rate or consumed.rate; or consume.lag"
        )
    })
}

fn read_bound(metric: GateMetric, text: &str) -> Result<Bound, String> {
    let number = |text: &str| text.parse().ok().filter(|it: &f64| it.is_finite() && *it >= 0.0);
    let time = || {
        let units = TIMES.iter();
        let read = units.filter_map(|(name, unit)| Some(number(text.strip_suffix(name)?)? * unit));
        read.map(Bound::Time).next()
    };
    let (bound, wanted) = match metric {
        GateMetric::Latency(..) | GateMetric::ConsumeLag => (time(), "a time, as `50ms`"),
        GateMetric::Rate(_) => {
            let share = text.strip_suffix('%').and_then(number).map(Bound::Share);
            (share.or_else(|| number(text).map(Bound::Rate)), "records a second, or `99%`")
        }
    };
    bound.ok_or_else(|| format!("the bound `{text}` is not {wanted}"))
}

impl<'de> Deserialize<'de> for Gate {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(D::Error::custom)
    }
}

impl Serialize for Gate {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_and_written_again() {
        for (text, phase, bound) in [
            ("response.p99<50ms", GatePhase::Steady, Bound::Time(50_000.0)),
            ("faults.end-to-end.p99.9<=1.5s", GatePhase::Faults, Bound::Time(1_500_000.0)),
            ("all.schedule-lag.max<250us", GatePhase::All, Bound::Time(250.0)),
            ("acked.rate>=99%", GatePhase::Steady, Bound::Share(99.0)),
            ("consumed.rate>950.5", GatePhase::Steady, Bound::Rate(950.5)),
            ("consume.lag<10s", GatePhase::Steady, Bound::Time(10_000_000.0)),
        ] {
            let gate: Gate = text.parse().unwrap();
            assert_eq!((gate.phase, gate.bound), (phase, bound), "{text}");
            assert_eq!(gate.to_string(), text);
            let spaced = text.replace('<', " < ").replace("< =", "<=").replace('%', " %");
            assert_eq!(spaced.parse(), Ok(gate), "{spaced}");
        }
    }

    #[test]
    fn every_figure_has_a_gate_that_is_read_as_it_is_written() {
        for phase in GatePhase::ALL {
            for latency in LatencyMetric::ALL {
                for of in Statistic::ALL {
                    for comparison in Comparison::ALL {
                        let metric = GateMetric::Latency(*latency, *of);
                        let (phase, comparison, bound) = (*phase, *comparison, Bound::Time(7e3));
                        let gate = Gate { phase, metric, comparison, bound };
                        assert_eq!(gate.to_string().parse(), Ok(gate));
                    }
                }
            }
        }
    }

    #[test]
    fn what_is_no_gate_is_refused_in_words() {
        for (text, words) in [
            ("response.p99", "compares a figure with a bound"),
            ("response.p95<5ms", "there is no figure `response.p95`"),
            ("response.p99<5", "is not a time"),
            ("response.p99<5%", "is not a time"),
            ("acked.rate>5ms", "is not records a second"),
            ("acked.rate>=-1", "is not records a second"),
            ("acked.rate>=nan%", "is not records a second"),
            ("all.consume.lag<1s", "of the steady load alone"),
            ("<1s", "there is no figure ``"),
            ("", "compares a figure with a bound"),
        ] {
            let why = text.parse::<Gate>().unwrap_err();
            assert!(why.contains(words), "{text}: {why}");
        }
    }

    #[test]
    fn a_bound_is_kept_or_not() {
        for (comparison, kept) in [
            ("<", [true, false, false]),
            ("<=", [true, true, false]),
            (">", [false, false, true]),
            (">=", [false, true, true]),
        ] {
            let gate: Gate = format!("response.p99{comparison}5ms").parse().unwrap();
            assert_eq!([4e3, 5e3, 6e3].map(|us| gate.is_kept_by(us)), kept, "{comparison}");
        }
    }
}
