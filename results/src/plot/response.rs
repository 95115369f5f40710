//! Response and service over time, with the faults.

use crate::record::event::{EventKind, Second};
use crate::record::trial::TrialRecord;
use crate::report::{FaultReport, Report};

use super::{Chart, ChartAxis, ChartBand, ChartSeries, PlotUnit, SeriesForm};

/// Response of each second of a trial of the report's run, and service where it was recorded: of what was acked in it.
pub fn response(report: &Report, trial: &TrialRecord) -> Chart {
    let seconds = || {
        trial.events.iter().filter_map(|event| match &event.kind {
            EventKind::Second(second) => Some((event.at.as_secs_f64(), second)),
            _ => None,
        })
    };
    let end = trial.events.last().map_or(0.0, |event| event.at.as_secs_f64());
    let of = |label: &str, form, figure: fn(&Second) -> Option<u64>| {
        let points =
            seconds().map(|(at, second)| (at, figure(second).map(|us| us as f64))).collect();
        ChartSeries { label: label.to_owned(), form, points, intervals: vec![] }
    };
    let mut series = vec![
        of("median", SeriesForm::Line, |second| second.response_p50_us),
        of("99th percentile", SeriesForm::ThinLine, |second| second.response_p99_us),
        of("longest", SeriesForm::Discs, |second| second.response_max_us),
    ];
    let service = [
        of("service, median", SeriesForm::ThinLine, |second| second.service_p50_us),
        of("service, 99th percentile", SeriesForm::ThinLine, |second| second.service_p99_us),
    ];
    // An older kbench recorded no service times: what has no figure at all is not named either.
    let known = |it: &ChartSeries| it.points.iter().any(|(_, figure)| figure.is_some());
    series.extend(service.into_iter().filter(known));
    let what = if series.len() > 3 { "; service, ack - sent" } else { "" };
    let figures = series.iter().flat_map(|it| it.points.iter().filter_map(|(_, figure)| *figure));
    let first = seconds().next().map_or(0.0, |(at, _)| (at - 1.0).max(0.0));
    let own = report.faults.iter().filter(|fault| fault.trial == trial.number);
    let band = |fault: &FaultReport| ChartBand {
        from: fault.injected_s.max(first),
        to: fault.healed_s.unwrap_or(end),
        label: fault.id.clone(),
    };
    let bands: Vec<_> = own.map(band).collect();
    let ends = bands.iter().map(|band| band.to).chain(seconds().map(|(at, _)| at));
    let last = ends.fold(first + 1.0, f64::max);
    let mut x = ChartAxis::from_zero("time of the trial", PlotUnit::Seconds, [last].into_iter());
    x.range = (first, last);
    let name = "time (logarithmic)";
    let mut y = ChartAxis::logarithmic(name, PlotUnit::Microseconds, figures);
    // Above what there is, for the names of the bands.
    y.range.1 *= 3.0;
    Chart {
        title: format!("{}: response, ack - due{what}", report.run.run_id),
        x,
        y,
        bands,
        rules: vec![],
        note: format!(
            "Trial {}: of the records that were acked in each second. Bands: faults, from injection to healing.",
            trial.number
        ),
        series,
    }
}
