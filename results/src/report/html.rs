//! The report as a page: one file that needs no network, for a screen, a phone and paper.
//!
//! What it says is the report's document, in the words of the [text](super::text); the timelines are drawn from the
//! events, a point a second. The template engine escapes every text, and data stand in a block that no browser takes
//! for a script.

mod spectrum;
mod timeline;

use std::io;

use minijinja::syntax::SyntaxConfig;
use minijinja::value::Serde;
use minijinja::{AutoEscape, Environment};
use serde::Serialize;

use super::judge::RunAcks;
use super::rows::{ClaimRow, FaultRow, ReportTable, ToneClass};
use super::{Report, rows, text};
use crate::record::trial::TrialRecord;
use crate::terminal::argument;
use spectrum::LatencySpectrum;
use timeline::DrawnTimeline;

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
pub(super) fn render(
    report: &Report,
    trials: &[TrialRecord],
    acks: &RunAcks,
) -> io::Result<String> {
    let report = &text::shown(report).map_err(io::Error::other)?;
    let drawn = |trial: &TrialRecord| DrawnTimeline::of(report, trial, acks.get(&trial.number));
    let timelines: Vec<DrawnTimeline> = trials.iter().map(drawn).collect();
    let page = Page {
        style: STYLE,
        script: SCRIPT,
        uplot_style: UPLOT[0],
        uplot_script: UPLOT[1],
        report,
        verdict_tone: rows::verdict(report.verdict).1,
        facts: rows::facts(report),
        again: format!("kbench check {}", argument(&report.run.run_id)),
        claims: rows::claims(report),
        faults: rows::faults(report, trials),
        changes: rows::changes(report),
        consuming: rows::consuming(report),
        gates: rows::gates(report),
        checks: rows::checks(report),
        rates: rows::rates(report),
        latencies: rows::latencies(report),
        spectrum: LatencySpectrum::of(report),
        servers: rows::servers(report),
        times: rows::times(report),
        settings: rows::settings(report),
        acks_drawn: timelines.iter().any(DrawnTimeline::has_acks),
        timelines,
    };
    rendered("report", PAGE, &page)
}

/// Renders a template in which every text is escaped, from values that it names.
///
/// # Errors
/// When the template does not fit the values.
pub(crate) fn rendered(
    name: &'static str,
    template: &'static str,
    values: &impl Serialize,
) -> io::Result<String> {
    let mut engine = Environment::new();
    engine.set_auto_escape_callback(|_| AutoEscape::Html);
    let mut rendered = || {
        engine.set_syntax(SyntaxConfig::builder().trim_blocks(true).lstrip_blocks(true).build()?);
        engine.add_template(name, template)?;
        engine.get_template(name)?.render(Serde(values))
    };
    rendered().map_err(io::Error::other)
}

/// What the template is told.
#[derive(Serialize)]
struct Page<'a> {
    style: &'static str,
    script: &'static str,
    uplot_style: &'static str,
    uplot_script: &'static str,
    report: &'a Report,
    verdict_tone: ToneClass,
    facts: Vec<(&'static str, String)>,
    again: String,
    claims: Vec<ClaimRow<'a>>,
    faults: Vec<FaultRow<'a>>,
    changes: ReportTable,
    consuming: ReportTable,
    gates: ReportTable,
    checks: ReportTable,
    rates: ReportTable,
    latencies: ReportTable,
    spectrum: Option<LatencySpectrum>,
    servers: ReportTable,
    times: ReportTable,
    settings: ReportTable,
    /// Whether some timeline has strips of acks.
    acks_drawn: bool,
    timelines: Vec<DrawnTimeline>,
}
