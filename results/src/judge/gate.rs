//! Gates: bounds that the figures of a run have to keep, written as `response.p99<50ms`.
//!
//! A gate is a [metric](super::metric), a comparison and a bound with its unit: of latencies and lag a time (`us`,
//! `ms`, `s`), of rates a number of records a second, or `%` of what is asked for.

use std::fmt;
use std::str::FromStr;

use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::metric::{LoadMetric, MetricFigure, words};

/// One gate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Gate {
    /// Which figure.
    pub metric: LoadMetric,
    /// How the figure is to compare with the bound.
    pub comparison: Comparison,
    /// The bound.
    pub bound: Bound,
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
    /// Whether no figure keeps it that is as high as this, or higher.
    pub fn is_broken_from(&self, least: f64) -> bool {
        let at_most = matches!(self.comparison, Comparison::AtMost | Comparison::Less);
        at_most && !self.is_kept_by(least)
    }

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
        self.metric.fmt(f)?;
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
        let metric: LoadMetric = figure.parse()?;
        let bound = read_bound(metric, bound)?;
        Ok(Self { metric, comparison, bound })
    }
}

fn read_bound(metric: LoadMetric, text: &str) -> Result<Bound, String> {
    let number = |text: &str| text.parse().ok().filter(|it: &f64| it.is_finite() && *it >= 0.0);
    let time = || {
        let units = TIMES.iter();
        let read = units.filter_map(|(name, unit)| Some(number(text.strip_suffix(name)?)? * unit));
        read.map(Bound::Time).next()
    };
    let (bound, wanted) = match metric.figure {
        MetricFigure::Latency(..) | MetricFigure::ConsumeLag | MetricFigure::Recovery => {
            (time(), "a time, as `50ms`")
        }
        MetricFigure::Rate(_) => {
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
    use crate::judge::metric::{LatencyMetric, LoadPhase, Statistic};

    #[test]
    fn what_is_written_is_read_and_written_again() {
        for (text, phase, bound) in [
            ("response.p99<50ms", LoadPhase::Steady, Bound::Time(50_000.0)),
            ("faults.end-to-end.p99.9<=1.5s", LoadPhase::Faults, Bound::Time(1_500_000.0)),
            ("all.schedule-lag.max<250us", LoadPhase::All, Bound::Time(250.0)),
            ("acked.rate>=99%", LoadPhase::Steady, Bound::Share(99.0)),
            ("consumed.rate>950.5", LoadPhase::Steady, Bound::Rate(950.5)),
            ("consume.lag<10s", LoadPhase::Steady, Bound::Time(10_000_000.0)),
            ("faults.recovery<30s", LoadPhase::Faults, Bound::Time(30_000_000.0)),
        ] {
            let gate: Gate = text.parse().unwrap();
            assert_eq!((gate.metric.phase, gate.bound), (phase, bound), "{text}");
            assert_eq!(gate.to_string(), text);
            let spaced = text.replace('<', " < ").replace("< =", "<=").replace('%', " %");
            assert_eq!(spaced.parse(), Ok(gate), "{spaced}");
        }
    }

    #[test]
    fn every_figure_has_a_gate_that_is_read_as_it_is_written() {
        for phase in LoadPhase::ALL {
            for latency in LatencyMetric::ALL {
                for of in Statistic::ALL {
                    for comparison in Comparison::ALL {
                        let figure = MetricFigure::Latency(*latency, *of);
                        let metric = LoadMetric { phase: *phase, figure };
                        let (comparison, bound) = (*comparison, Bound::Time(7e3));
                        let gate = Gate { metric, comparison, bound };
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
            ("recovery<30s", "faults.recovery"),
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
