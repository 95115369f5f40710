//! The report as a page: one file that needs no network, for a screen, a phone and paper.
//!
//! What it says is the report's document, in the words of the [text](super::text); the timelines are drawn from the
//! events, a point a second. The template engine escapes every text, and data stand in a block that no browser takes
//! for a script.

mod timeline;

use std::io;

use minijinja::{AutoEscape, Environment, Error, Template, context};

use super::{Report, rows, text};
use crate::record::trial::TrialRecord;
use crate::terminal::argument;
use timeline::Timeline;

const PAGE: &str = include_str!("html/report.html");
pub(crate) const STYLE: &str = include_str!("html/report.css");
const SCRIPT: &str = include_str!("html/report.js");

/// Draws lines over time: <https://github.com/leeoniya/uPlot> 1.6.32, MIT.
const UPLOT: [&str; 2] = [
    include_str!("../../vendor/uplot/uPlot.min.css"),
    include_str!("../../vendor/uplot/uPlot.iife.min.js"),
];

/// The page.
///
/// # Errors
/// When the report is no JSON, or the template does not fit it.
pub fn render(report: &Report, trials: &[TrialRecord]) -> io::Result<String> {
    let report = &text::shown(report).map_err(io::Error::other)?;
    let timelines: Vec<Timeline> = trials.iter().map(|trial| Timeline::of(report, trial)).collect();
    let values = context! {
        style => STYLE,
        script => SCRIPT,
        uplot_style => UPLOT[0],
        uplot_script => UPLOT[1],
        report,
        verdict_tone => rows::verdict(report.verdict).1,
        facts => rows::facts(report),
        again => format!("kbench check {}", argument(&report.run.run_id)),
        claims => rows::claims(report),
        faults => rows::faults(report),
        consuming => rows::consuming(report),
        gates => rows::gates(report),
        checks => rows::checks(report),
        rates => rows::rates(report),
        latencies => rows::latencies(report),
        servers => rows::servers(report),
        times => rows::times(report),
        settings => rows::settings(report),
        timelines,
    };
    engine("report", PAGE, |page| page.render(values))
}

/// Renders a template in which every text is escaped.
pub(crate) fn engine(
    name: &'static str,
    template: &'static str,
    render: impl FnOnce(&Template<'_, '_>) -> Result<String, Error>,
) -> io::Result<String> {
    let mut engine = Environment::new();
    engine.set_auto_escape_callback(|_| AutoEscape::Html);
    engine.set_trim_blocks(true);
    engine.set_lstrip_blocks(true);
    let rendered = engine.add_template(name, template).and_then(|()| {
        let page = engine.get_template(name)?;
        render(&page)
    });
    rendered.map_err(io::Error::other)
}
