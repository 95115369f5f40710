//! A metric over the values of a setting.

use crate::judge::metric::{LoadMetric, MetricFigure};

use super::{Chart, ChartAxis, ChartSeries, PlotUnit, SeriesForm};

/// How far series stand apart beside each other, of the distance of two values.
const SPREAD: f64 = 0.4;

/// The runs of a combination of settings.
#[derive(Debug, Clone, PartialEq)]
pub struct SweptPoint {
    /// Value of the setting that the plot is over.
    pub value: String,
    /// The other settings, in words; empty where there are none.
    pub others: String,
    /// Figures of the runs that are measurements.
    pub figures: Vec<f64>,
}

/// Medians over the values of the setting `key`, in their order, with the least and the most of the runs as bars; the
/// other settings make a series each.
pub fn sweep(metric: LoadMetric, key: &str, points: &[SweptPoint]) -> Chart {
    let distinct = |of: fn(&SweptPoint) -> &String| {
        let mut all: Vec<&String> = Vec::new();
        for text in points.iter().map(of) {
            if !all.contains(&text) {
                all.push(text);
            }
        }
        all
    };
    let (values, others) = (distinct(|point| &point.value), distinct(|point| &point.others));
    let mut series = Vec::new();
    for (number, other) in others.iter().enumerate() {
        let apart = SPREAD * ((number as f64 + 0.5) / others.len() as f64 - 0.5);
        let (mut medians, mut intervals) = (Vec::new(), Vec::new());
        for (place, value) in values.iter().enumerate() {
            let x = place as f64 + apart;
            let here = points.iter().filter(|it| it.value == **value && it.others == **other);
            let figures: Vec<f64> = here.flat_map(|it| it.figures.iter().copied()).collect();
            let bounds = figures
                .iter()
                .copied()
                .reduce(f64::min)
                .zip(figures.iter().copied().reduce(f64::max));
            intervals.extend(bounds.map(|(least, most)| (x, least, most)));
            medians.push((x, crate::compare::median(&figures)));
        }
        let (label, form) = ((*other).clone(), SeriesForm::Discs);
        series.push(ChartSeries { label, form, points: medians, intervals });
    }
    let unit = match metric.figure {
        MetricFigure::Rate(_) => PlotUnit::PerSecond,
        MetricFigure::Latency(..) | MetricFigure::ConsumeLag | MetricFigure::Recovery => {
            PlotUnit::Microseconds
        }
    };
    let figures = points.iter().flat_map(|it| it.figures.iter().copied());
    Chart {
        title: format!("{metric} over {key}"),
        y: ChartAxis::from_zero(&metric.to_string(), unit, figures),
        x: ChartAxis::named(key, values.into_iter().cloned().collect()),
        bands: vec![],
        rules: vec![],
        note: "Medians of the valid runs; bars: from the least to the most of them.".to_owned(),
        series,
    }
}
