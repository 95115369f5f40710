//! Recovery of each trial from each fault.

use crate::judge::recovery::{PartitionRecovery, StreamKind};
use crate::report::Report;

use super::{Chart, ChartAxis, ChartSeries, PlotUnit, SeriesForm};

/// How far trials stand apart beside each other, of a fault's width.
const SPREAD: f64 = 0.5;

/// The longest outage of a partition, for the main load, by fault and trial.
pub fn recovery(report: &Report) -> Chart {
    let main: Vec<_> =
        report.recovery.iter().filter(|row| row.stream == StreamKind::Main).collect();
    let mut faults: Vec<&str> = Vec::new();
    for row in &main {
        if !faults.contains(&&*row.fault) {
            faults.push(&row.fault);
        }
    }
    let mut trials: Vec<u32> = main.iter().map(|row| row.trial).collect();
    trials.sort_unstable();
    trials.dedup();
    let longest = |fault: &str, trial: u32| {
        let of_it = main.iter().filter(|row| row.fault == fault && row.trial == trial);
        of_it.copied().max_by(|a, b| a.total_s.total_cmp(&b.total_s))
    };
    let place = |fault: usize, number: usize| {
        let share = (number as f64 + 0.5) / trials.len() as f64 - 0.5;
        fault as f64 + SPREAD * share
    };
    let series = |label: &str, form, shown: fn(&PartitionRecovery) -> bool| {
        let mut points = Vec::new();
        for (fault, id) in faults.iter().enumerate() {
            for (number, trial) in trials.iter().enumerate() {
                let figure = longest(id, *trial).filter(|row| shown(row)).map(|row| row.total_s);
                points.push((place(fault, number), figure));
            }
        }
        ChartSeries { label: label.to_owned(), form, points, intervals: vec![] }
    };
    let mut series = vec![
        series("recovered", SeriesForm::Discs, |row| !row.censored),
        series("not recovered when the run ended: at least", SeriesForm::Rings, |row| row.censored),
    ];
    series.retain(|it| it.points.iter().any(|(_, figure)| figure.is_some()));
    let figures = series.iter().flat_map(|it| it.points.iter().filter_map(|(_, figure)| *figure));
    Chart {
        title: format!("{}: recovery", report.run.run_id),
        y: ChartAxis::from_zero("longest outage of a partition", PlotUnit::Seconds, figures),
        x: ChartAxis::named("fault", faults.iter().map(|id| (*id).to_owned()).collect()),
        bands: vec![],
        rules: vec![],
        note: "A point is a trial, in their order from left to right; for the main load."
            .to_owned(),
        series,
    }
}
