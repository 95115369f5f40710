//! A page that lists the runs of a folder, the newest first, with figures to compare them by.

use std::io;

use serde::Serialize;

use super::html::{STYLE, rendered};
use super::rows::{ToneClass, verdict};
use super::text::shown;
use super::{Report, text};
use crate::judge::claim::Outcome;

/// Name of the page.
pub const FILE: &str = "index.html";

/// More runs are not listed.
pub const MOST: usize = 500;

const PAGE: &str = include_str!("html/index.html");

/// A run as the page lists it.
#[derive(Serialize)]
struct IndexRow {
    name: String,
    verdict: &'static str,
    tone: ToneClass,
    started: String,
    workload: String,
    plan: String,
    trials: u32,
    kafka: String,
    acked_per_s: String,
    p99_ms: String,
    /// Claims that are refuted, each with what was measured.
    refuted: Vec<(String, String)>,
    undecided: usize,
}

/// What the template is told.
#[derive(Serialize)]
struct IndexPage {
    style: &'static str,
    rows: Vec<IndexRow>,
}

impl IndexRow {
    fn of(name: &str, report: &Report) -> Self {
        let (word, tone) = verdict(report.verdict);
        let refuted = report.claims.iter().filter(|claim| claim.outcome == Outcome::Refuted);
        let measured = |claim: &super::ClaimResult| {
            claim.measured_s.as_ref().map(text::claims::distribution).unwrap_or_default()
        };
        let undecided = report.claims.iter().filter(|claim| claim.outcome == Outcome::Undecided);
        let p99 = report.load.baseline.latency_us.p99;
        let kafka = report.environments.first().map(|it| it.environment.kafka.clone());
        Self {
            name: name.to_owned(),
            verdict: word,
            tone,
            started: report.run.started.clone(),
            workload: report.run.workload.clone(),
            plan: report.run.plan.clone(),
            trials: report.trials,
            kafka: kafka.unwrap_or_default(),
            acked_per_s: format!("{:.1}", report.load.achieved_per_s),
            p99_ms: p99.map_or("n/a".into(), |us| format!("{:.2}", us as f64 / 1e3)),
            refuted: refuted.map(|claim| (claim.id.clone(), measured(claim))).collect(),
            undecided: undecided.count(),
        }
    }
}

/// The page of these runs: the names of their folders beside it, and their reports, in the order in which they are
/// listed.
///
/// # Errors
/// When a report is no JSON, or the template does not fit.
pub fn render<'a>(runs: impl IntoIterator<Item = (&'a str, &'a Report)>) -> io::Result<String> {
    let row = |(name, report): (&str, &Report)| {
        shown(report).map(|report| IndexRow::of(name, &report)).map_err(io::Error::other)
    };
    let rows = runs.into_iter().take(MOST).map(row).collect::<io::Result<Vec<_>>>()?;
    rendered("index", PAGE, &IndexPage { style: STYLE, rows })
}
