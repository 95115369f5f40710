//! The latency spectrum: how long the slowest records took, by how many of all they are.
//!
//! A picture a population, all with the same axes: 1 / (1 - p) and milliseconds, both logarithmic. A line ends with
//! the last percentile that is known: where too few records, or those that were never answered, leave the next unknown.

use serde::Serialize;

use crate::judge::latency::Percentiles;
use crate::report::{Population, Report, rows};

/// The picture's size, and the place of the plot in it.
const SIZE: [f64; 2] = [380.0, 240.0];
const LEFT: f64 = 50.0;
const RIGHT: f64 = 366.0;
const TOP: f64 = 10.0;
const BOTTOM: f64 = 208.0;

/// Percentiles that the axis names, with one record in how many is beyond.
const NAMED: [(f64, &str); 6] =
    [(2.0, "50"), (10.0, "90"), (100.0, "99"), (1e3, "99.9"), (1e4, "99.99"), (1e5, "99.999")];

/// The least that is drawn, in milliseconds: what a clock of microseconds tells.
const LEAST_MS: f64 = 0.001;

/// The pictures.
#[derive(Debug, Serialize)]
pub(super) struct LatencySpectrum {
    size: [f64; 2],
    /// Left, right, top and bottom of the plot.
    plot: [f64; 4],
    percentiles: Vec<AxisTick>,
    times: Vec<AxisTick>,
    /// What the lines are, with their classes.
    kinds: Vec<(&'static str, &'static str)>,
    panels: Vec<SpectrumPanel>,
}

#[derive(Debug, Serialize)]
struct AxisTick {
    at: f64,
    label: String,
}

/// A population.
#[derive(Debug, Serialize)]
struct SpectrumPanel {
    population: &'static str,
    /// What it shows, in words.
    label: String,
    lines: Vec<SpectrumLine>,
}

#[derive(Debug, Serialize)]
struct SpectrumLine {
    class: &'static str,
    /// The known percentiles, as an SVG polyline has them.
    points: String,
    /// From the last of them, if any, to the longest: none where something was never answered.
    longest: Option<[f64; 4]>,
}

/// What is drawn of a population, the uppermost last: names, classes and figures.
fn kinds(of: &Population) -> [(&'static str, &'static str, Percentiles); 3] {
    [
        ("end to end", "metadata", of.end_to_end_us),
        ("response", "detect", of.latency_us),
        ("service", "elect", of.service_us),
    ]
}

/// The known percentiles: one record in how many is beyond, and milliseconds.
fn known(of: &Percentiles) -> Vec<(f64, f64)> {
    let all = [(2.0, of.p50), (10.0, of.p90), (100.0, of.p99), (1e3, of.p999)];
    all.into_iter().map_while(|(beyond, us)| Some((beyond, ms(us?)))).collect()
}

/// The longest of all, where every record was answered.
fn longest(of: &Percentiles) -> Option<(f64, f64)> {
    of.max.filter(|_| of.unanswered == 0).map(|us| (of.n.max(2) as f64, ms(us)))
}

fn ms(us: u64) -> f64 {
    (us as f64 / 1e3).max(LEAST_MS)
}

/// What both axes reach to.
struct SpectrumAxes {
    /// One record in how many is beyond, at the right.
    beyond: f64,
    /// Powers of ten of milliseconds.
    low: i32,
    high: i32,
}

impl SpectrumAxes {
    fn over(points: &[(f64, f64)]) -> Self {
        let beyond = points.iter().map(|(beyond, _)| *beyond).fold(100.0, f64::max);
        let least = points.iter().map(|(_, ms)| *ms).fold(f64::INFINITY, f64::min);
        let most = points.iter().map(|(_, ms)| *ms).fold(LEAST_MS, f64::max);
        let low = least.log10().floor() as i32;
        Self { beyond, low, high: (most.log10().ceil() as i32).max(low + 1) }
    }

    fn x(&self, beyond: f64) -> f64 {
        let share = (beyond / 2.0).log10() / (self.beyond / 2.0).log10();
        tenths(LEFT + share * (RIGHT - LEFT))
    }

    fn y(&self, ms: f64) -> f64 {
        let share = (ms.log10() - f64::from(self.low)) / f64::from(self.high - self.low);
        tenths(BOTTOM - share * (BOTTOM - TOP))
    }

    fn percentiles(&self) -> Vec<AxisTick> {
        let within = NAMED.into_iter().filter(|(beyond, _)| *beyond <= self.beyond);
        within.map(|(at, label)| AxisTick { at: self.x(at), label: label.into() }).collect()
    }

    fn times(&self) -> Vec<AxisTick> {
        let tick = |power: i32| {
            let ms = 10_f64.powi(power);
            let label = if power < 3 { format!("{ms} ms") } else { format!("{} s", ms / 1e3) };
            AxisTick { at: self.y(ms), label }
        };
        (self.low..=self.high).map(tick).collect()
    }

    fn line(&self, class: &'static str, of: &Percentiles) -> SpectrumLine {
        let known: Vec<_> =
            known(of).iter().map(|(beyond, ms)| [self.x(*beyond), self.y(*ms)]).collect();
        let longest = longest(of).map(|(beyond, ms)| {
            let to = [self.x(beyond), self.y(ms)];
            let from = known.last().copied().unwrap_or(to);
            [from[0], from[1], to[0], to[1]]
        });
        let points = known.iter().map(|[x, y]| format!("{x},{y}")).collect::<Vec<_>>().join(" ");
        SpectrumLine { class, points, longest }
    }
}

fn tenths(value: f64) -> f64 {
    (value * 10.0).round() / 10.0
}

/// What a line says, for those who do not see it.
fn words(name: &str, of: &Percentiles) -> String {
    let named = |beyond: f64| NAMED.iter().find(|(at, _)| *at == beyond).map_or("", |it| it.1);
    let each = known(of).into_iter().map(|(beyond, ms)| format!("{} % {ms} ms", named(beyond)));
    let last = longest(of).map(|(_, ms)| format!("longest of {} {ms} ms", of.n));
    format!("{name}: {}", each.chain(last).collect::<Vec<_>>().join(", "))
}

impl LatencySpectrum {
    /// None where no latency is known.
    pub(super) fn of(report: &Report) -> Option<Self> {
        let populations = rows::populations(report);
        let drawn = |of: &Population| {
            let any = |p: &Percentiles| !known(p).is_empty() || longest(p).is_some();
            kinds(of).into_iter().filter(|(.., p)| any(p)).collect::<Vec<_>>()
        };
        let each = populations.iter().flat_map(|(_, of)| drawn(of));
        let points: Vec<_> =
            each.flat_map(|(.., p)| known(&p).into_iter().chain(longest(&p))).collect();
        if points.is_empty() {
            return None;
        }
        let axes = SpectrumAxes::over(&points);
        let panels = populations.iter().filter_map(|(population, of)| {
            let drawn = drawn(of);
            let lines = drawn.iter().map(|(_, class, p)| axes.line(class, p)).collect();
            let words: Vec<_> = drawn.iter().map(|(name, _, p)| words(name, p)).collect();
            let label = format!("latency spectrum, {population}: {}", words.join("; "));
            (!drawn.is_empty()).then_some(SpectrumPanel { population, label, lines })
        });
        let panels: Vec<_> = panels.collect();
        let used =
            |class: &str| panels.iter().any(|it| it.lines.iter().any(|it| it.class == class));
        let names = populations.first().map(|(_, of)| kinds(of)).into_iter().flatten();
        let kinds =
            names.map(|(name, class, _)| (name, class)).filter(|(_, it)| used(it)).collect();
        Some(Self {
            size: SIZE,
            plot: [LEFT, RIGHT, TOP, BOTTOM],
            percentiles: axes.percentiles(),
            times: axes.times(),
            kinds,
            panels,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: Percentiles = Percentiles {
        p50: Some(1_000),
        p90: Some(2_000),
        p99: Some(10_000),
        p999: Some(100_000),
        max: Some(1_000_000),
        n: 200_000,
        unanswered: 0,
    };

    #[test]
    fn a_line_ends_where_the_next_percentile_is_not_known() {
        assert_eq!(known(&ALL), [(2.0, 1.0), (10.0, 2.0), (100.0, 10.0), (1e3, 100.0)]);
        assert_eq!(longest(&ALL), Some((200_000.0, 1000.0)));
        // One in fifty was never answered: the longest of those that were is no end of all.
        let silent = Percentiles { p99: None, p999: None, unanswered: 4_000, ..ALL };
        assert_eq!(known(&silent), [(2.0, 1.0), (10.0, 2.0)]);
        assert_eq!(longest(&silent), None);
        assert!(words("response", &silent).ends_with("50 % 1 ms, 90 % 2 ms"));
        // Nothing beyond an unknown one, whatever it says.
        assert_eq!(known(&Percentiles { p90: None, ..ALL }).len(), 1);
    }

    #[test]
    fn axes_reach_as_far_as_the_records_support() {
        let points: Vec<_> = known(&ALL).into_iter().chain(longest(&ALL)).collect();
        let axes = SpectrumAxes::over(&points);
        let labels =
            |ticks: Vec<AxisTick>| ticks.into_iter().map(|it| it.label).collect::<Vec<_>>();
        assert_eq!(labels(axes.percentiles()), ["50", "90", "99", "99.9", "99.99", "99.999"]);
        assert_eq!(labels(axes.times()), ["1 ms", "10 ms", "100 ms", "1 s"]);
        assert_eq!((axes.x(2.0), axes.x(200_000.0)), (LEFT, RIGHT));
        assert_eq!((axes.y(1.0), axes.y(1000.0)), (BOTTOM, TOP));
        let few = SpectrumAxes::over(&[(2.0, 5.0), (30.0, 7.0)]);
        assert_eq!(labels(few.percentiles()), ["50", "90", "99"]);
        assert_eq!(labels(few.times()), ["1 ms", "10 ms"]);
    }
}
