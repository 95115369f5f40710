//! A figure over runs, with its changes.

use crate::compare::{MetricChange, median};
use crate::trend::{MetricTrend, SeriesTrend, TrendMetric};

use super::{Chart, ChartAxis, ChartSeries, PlotUnit, SeriesForm};

/// A chart for each metric of a series.
pub fn trend(series: &SeriesTrend) -> Vec<Chart> {
    series.metrics.iter().map(|metric| of_metric(series, metric)).collect()
}

fn of_metric(series: &SeriesTrend, metric: &MetricTrend) -> Chart {
    let points: Vec<_> =
        metric.figures.iter().enumerate().map(|(run, figure)| (run as f64, *figure)).collect();
    let ends = metric.changes.iter().map(|change| change.index).chain([points.len()]);
    let starts = [0].into_iter().chain(metric.changes.iter().map(|change| change.index));
    let mut medians = Vec::new();
    for (start, end) in starts.zip(ends) {
        let known: Vec<f64> = points[start..end].iter().filter_map(|(_, figure)| *figure).collect();
        let level = median(&known);
        // Up to the middle between the runs; then a break.
        medians.extend([
            (start as f64 - 0.5, level),
            (end as f64 - 0.5, level),
            (end as f64, None),
        ]);
    }
    let rule = |change: &crate::trend::ChangePoint| {
        let by = change
            .ratio
            .map_or("from 0".to_owned(), |ratio| format!("{:+.1} %", (ratio - 1.0) * 100.0));
        let word = match change.change {
            MetricChange::Regression => " regression",
            MetricChange::Improvement => " improvement",
            _ => "",
        };
        (change.index as f64 - 0.5, format!("{by}{word}"))
    };
    let unit = match &metric.metric {
        TrendMetric::Load(load) if load.higher_is_better() => PlotUnit::PerSecond,
        TrendMetric::Load(_) | TrendMetric::Claim(_) => PlotUnit::Microseconds,
    };
    let known = metric.figures.iter().filter_map(|figure| *figure);
    let day = |started: &String| started.split('T').next().unwrap_or_default().to_owned();
    let key = &series.key;
    Chart {
        title: format!(
            "{}: workload {}, plan {}, series {}",
            metric.metric, key.workload, key.plan, series.id
        ),
        y: ChartAxis::around(&metric.metric.to_string(), unit, known),
        x: ChartAxis::named("run", series.runs.iter().map(|run| day(&run.started)).collect()),
        bands: vec![],
        rules: metric.changes.iter().map(rule).collect(),
        note: format!(
            "The newest of {} runs at the right; lines: medians between changes.",
            series.runs.len()
        ),
        series: vec![
            ChartSeries {
                label: "run".to_owned(),
                form: SeriesForm::Discs,
                points,
                intervals: vec![],
            },
            ChartSeries {
                label: "median".to_owned(),
                form: SeriesForm::Line,
                points: medians,
                intervals: vec![],
            },
        ],
    }
}
