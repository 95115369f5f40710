//! Plots as SVG: for a report that is printed, and for documents. Texts stay texts; the same data make the same file.
//!
//! A [`Chart`] is data: axes, bands, series. What is plotted says a file each; [`render`] draws all alike, one chart
//! under the other.

mod axis;
mod draw;
mod recovery;
mod response;
mod sweep;
mod trend;

use crate::record::trial::TrialRecord;
use crate::report::Judged;

pub use axis::{AxisScale, ChartAxis, PlotUnit};
pub use draw::{PlotError, render};
pub use recovery::recovery;
pub use response::response;
pub use sweep::{SweptPoint, sweep};
pub use trend::trend;

/// A chart.
#[derive(Debug, Clone, PartialEq)]
pub struct Chart {
    /// What it shows.
    pub title: String,
    /// From left to right.
    pub x: ChartAxis,
    /// From the bottom to the top.
    pub y: ChartAxis,
    /// Parts of the x axis that something is said of.
    pub bands: Vec<ChartBand>,
    /// Places on the x axis that something is said of.
    pub rules: Vec<(f64, String)>,
    /// What is plotted, in the order of its colours.
    pub series: Vec<ChartSeries>,
    /// What a reader has to know, in a line below.
    pub note: String,
}

/// A part of the x axis.
#[derive(Debug, Clone, PartialEq)]
pub struct ChartBand {
    /// Where it begins.
    pub from: f64,
    /// Where it ends.
    pub to: f64,
    /// What it is.
    pub label: String,
}

/// Figures of one kind.
#[derive(Debug, Clone, PartialEq)]
pub struct ChartSeries {
    /// What they are.
    pub label: String,
    /// How they are drawn.
    pub form: SeriesForm,
    /// The figures, from left to right; none where there is none.
    pub points: Vec<(f64, Option<f64>)>,
    /// Intervals: where, from and to.
    pub intervals: Vec<(f64, f64, f64)>,
}

/// How figures are drawn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SeriesForm {
    /// A line, broken where there is no figure.
    Line,
    /// A thin line.
    ThinLine,
    /// Discs.
    Discs,
    /// Rings: figures that are lower bounds, say.
    Rings,
}

impl Chart {
    /// Whether there is anything to see.
    pub fn is_empty(&self) -> bool {
        self.series.iter().all(|series| series.points.iter().all(|(_, figure)| figure.is_none()))
    }
}

/// The plots of a run, by the names of their files: response over time of each trial, and recovery where there were faults.
pub fn of_run(judged: &Judged) -> Vec<(String, Chart)> {
    let (report, trials) = (&judged.report, judged.trials());
    let name = |trial: &TrialRecord| match trials.len() {
        1 => "response.svg".to_owned(),
        _ => format!("response-{}.svg", trial.number),
    };
    let responses = trials.iter().map(|trial| (name(trial), response(report, trial)));
    let all = responses.chain([("recovery.svg".to_owned(), recovery(report))]);
    all.filter(|(_, chart)| !chart.is_empty()).collect()
}

#[cfg(test)]
pub(crate) mod tests;
