//! Axes: their ranges, ticks, and the words at these.

/// What the figures of an axis are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PlotUnit {
    /// Microseconds, shown as what is read best.
    Microseconds,
    /// Seconds.
    Seconds,
    /// Records a second.
    PerSecond,
}

/// An axis.
#[derive(Debug, Clone, PartialEq)]
pub struct ChartAxis {
    /// What it is of.
    pub label: String,
    /// The range that is shown.
    pub range: (f64, f64),
    /// How it is divided.
    pub scale: AxisScale,
}

/// How an axis is divided.
#[derive(Debug, Clone, PartialEq)]
pub enum AxisScale {
    /// Evenly.
    Linear(PlotUnit),
    /// By its logarithm; of figures above 0.
    Logarithmic(PlotUnit),
    /// At names, which stand at 0, 1, 2 and so on.
    Named(Vec<String>),
}

/// Ticks of an even axis, about.
const TICKS: f64 = 7.0;

/// Characters that fit under a chart.
const MOST_CHARACTERS: usize = 100;

/// Between two names, at least.
const BETWEEN: usize = 3;

impl ChartAxis {
    /// Of figures, which it shows with a margin: at least a tenth of the largest on either side, so that noise does not fill
    /// the chart.
    pub fn around(label: &str, unit: PlotUnit, figures: impl Iterator<Item = f64>) -> Self {
        let (low, high) = bounds(figures);
        let margin = ((high - low) * 0.15).max(high * 0.1);
        let from = (low - margin).max(0.0);
        let to = if high > 0.0 { high + margin } else { 1.0 };
        Self { label: label.to_owned(), range: (from, to), scale: AxisScale::Linear(unit) }
    }

    /// From 0 to a little more than the largest.
    pub fn from_zero(label: &str, unit: PlotUnit, figures: impl Iterator<Item = f64>) -> Self {
        let (_, high) = bounds(figures);
        let to = if high > 0.0 { high * 1.1 } else { 1.0 };
        Self { label: label.to_owned(), range: (0.0, to), scale: AxisScale::Linear(unit) }
    }

    /// From a power of ten below all figures to one above.
    pub fn logarithmic(label: &str, unit: PlotUnit, figures: impl Iterator<Item = f64>) -> Self {
        let (low, high) = bounds(figures.filter(|figure| *figure > 0.0));
        let power = |figure: f64, round: fn(f64) -> f64| 10_f64.powf(round(figure.log10()));
        let range = match low > 0.0 {
            true => (power(low, f64::floor), power(high, f64::ceil)),
            false => (1.0, 10.0),
        };
        let range = if range.0 < range.1 { range } else { (range.0, range.0 * 10.0) };
        Self { label: label.to_owned(), range, scale: AxisScale::Logarithmic(unit) }
    }

    /// Of names.
    pub fn named(label: &str, names: Vec<String>) -> Self {
        let range = (-0.5, (names.len() as f64 - 0.5).max(0.5));
        Self { label: label.to_owned(), range, scale: AxisScale::Named(names) }
    }

    /// Where a figure stands, evenly divided.
    pub(super) fn place(&self, figure: f64) -> f64 {
        match self.scale {
            AxisScale::Logarithmic(_) => figure.max(self.range.0).log10(),
            AxisScale::Linear(_) | AxisScale::Named(_) => figure,
        }
    }

    /// Figures that have a tick, each with its word.
    pub(super) fn ticks(&self) -> Vec<(f64, String)> {
        let (from, to) = self.range;
        match &self.scale {
            AxisScale::Linear(unit) => {
                let step = step(to - from);
                let first = (from / step).ceil() as i64;
                let last = (to / step + 1e-9).floor() as i64;
                let of = |n: i64| (n as f64 * step, unit.word(n as f64 * step, step, to));
                (first..=last).map(of).collect()
            }
            AxisScale::Logarithmic(unit) => {
                let (first, last) = (from.log10().round() as i32, to.log10().round() as i32);
                let of = |power| {
                    let figure = 10_f64.powi(power);
                    (figure, unit.word(figure, figure, figure))
                };
                (first..=last).map(of).collect()
            }
            AxisScale::Named(names) => {
                let longest = names.iter().map(|name| name.chars().count()).max().unwrap_or(0);
                let fit = (MOST_CHARACTERS / (longest + BETWEEN)).max(1);
                let every = names.len().div_ceil(fit).max(1);
                let named = names.iter().enumerate().step_by(every);
                named.map(|(place, name)| (place as f64, name.clone())).collect()
            }
        }
    }
}

impl PlotUnit {
    /// A figure in words, with as many decimals as steps of this size need, in the unit that the largest is read in best.
    fn word(self, figure: f64, step: f64, largest: f64) -> String {
        let (unit, of) = match self {
            Self::Microseconds if largest >= 1e6 => ("s", 1e6),
            Self::Microseconds if largest >= 1e3 => ("ms", 1e3),
            Self::Microseconds => ("us", 1.0),
            Self::Seconds => ("s", 1.0),
            Self::PerSecond => ("/s", 1.0),
        };
        let decimals = (-(step / of).log10().floor()).clamp(0.0, 6.0) as usize;
        let gap = if unit.starts_with('/') { "" } else { " " };
        format!("{:.decimals$}{gap}{unit}", figure / of)
    }
}

fn bounds(figures: impl Iterator<Item = f64>) -> (f64, f64) {
    let all: Vec<f64> = figures.filter(|figure| figure.is_finite()).collect();
    let low = all.iter().copied().reduce(f64::min).unwrap_or(0.0);
    (low, all.iter().copied().reduce(f64::max).unwrap_or(0.0))
}

/// The step of ticks: 1, 2 or 5 times a power of ten.
fn step(range: f64) -> f64 {
    let rough = range / TICKS;
    let power = 10_f64.powf(rough.log10().floor());
    let times = [1.0, 2.0, 5.0].into_iter().find(|times| times * power >= rough * 0.999);
    times.unwrap_or(10.0) * power
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(axis: &ChartAxis) -> Vec<String> {
        axis.ticks().into_iter().map(|(_, word)| word).collect()
    }

    #[test]
    fn ticks_are_round_and_read_in_one_unit() {
        let figures = || [18_000.0, 26_000.0].into_iter();
        let axis = ChartAxis::around("x", PlotUnit::Microseconds, figures());
        assert_eq!(words(&axis), ["16 ms", "18 ms", "20 ms", "22 ms", "24 ms", "26 ms", "28 ms"]);
        let axis = ChartAxis::from_zero("x", PlotUnit::Seconds, [1.4].into_iter());
        assert_eq!(words(&axis), ["0.0 s", "0.5 s", "1.0 s", "1.5 s"]);
        let axis =
            ChartAxis::logarithmic("x", PlotUnit::Microseconds, [0.0, 900.0, 17e6].into_iter());
        assert_eq!(words(&axis), ["100 us", "1 ms", "10 ms", "100 ms", "1 s", "10 s", "100 s"]);
        assert_eq!((axis.place(1e6), axis.place(0.0)), (6.0, 2.0));
        let axis = ChartAxis::around("x", PlotUnit::PerSecond, [1000.0, 1000.0].into_iter());
        assert_eq!(words(&axis), ["900/s", "950/s", "1000/s", "1050/s", "1100/s"]);
    }

    #[test]
    fn nothing_and_one_figure_have_an_axis_as_well() {
        for figures in [vec![], vec![0.0], vec![5.0], vec![f64::NAN]] {
            let each = || figures.clone().into_iter();
            for axis in [
                ChartAxis::around("x", PlotUnit::Seconds, each()),
                ChartAxis::from_zero("x", PlotUnit::Seconds, each()),
                ChartAxis::logarithmic("x", PlotUnit::Seconds, each()),
            ] {
                let (from, to) = axis.range;
                assert!(from < to && axis.ticks().len() > 1, "{figures:?}: {axis:?}");
            }
        }
        let days = (10..40).map(|day| format!("2026-01-{day}")).collect();
        assert_eq!(words(&ChartAxis::named("x", days)).len(), 6, "every fifth");
    }
}
