//! A page that lists the runs and the suites of a folder, the newest first, with figures to compare them by.

use std::io;

use serde::Serialize;

use crate::judge::claim::{ClaimResult, Outcome};
use crate::report::Report;
use crate::report::html::{STYLE, rendered};
use crate::report::rows::{BAD, DOUBT, GOOD, ToneClass, verdict};
use crate::report::text::{claims::distribution, printable_texts, shown};
use crate::suite::{SuiteReport, summary};

/// Name of the page.
pub const FILE: &str = "index.html";

/// More runs, or suites, are not listed.
pub const MOST: usize = 500;

const PAGE: &str = include_str!("index.html");

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

/// A suite as the page lists it.
#[derive(Serialize)]
struct IndexSuite {
    folder: String,
    started: String,
    suite: String,
    exit_code: u8,
    tone: ToneClass,
    scenarios: usize,
    claims: String,
}

/// What the template is told.
#[derive(Serialize)]
struct IndexPage {
    style: &'static str,
    rows: Vec<IndexRow>,
    suites: Vec<IndexSuite>,
}

impl IndexRow {
    fn of(name: &str, report: &Report) -> Self {
        let (word, tone) = verdict(report.verdict);
        let refuted = report.claims.iter().filter(|claim| claim.outcome == Outcome::Refuted);
        let measured =
            |claim: &ClaimResult| claim.measured_s.as_ref().map(distribution).unwrap_or_default();
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

impl IndexSuite {
    fn of(folder: &str, report: &SuiteReport) -> Self {
        let tone = match report.exit_code {
            0 => GOOD,
            1 => BAD,
            _ => DOUBT,
        };
        Self {
            folder: folder.to_owned(),
            started: report.suite.started.clone(),
            suite: report.suite.name.clone(),
            exit_code: report.exit_code,
            tone,
            scenarios: report.scenarios.len(),
            claims: summary(report),
        }
    }
}

/// The page of these runs and suites: the names of their folders beside it, and their reports, in the order in which
/// they are listed.
///
/// # Errors
/// When a report is no JSON, or the template does not fit.
pub fn render<'a>(
    runs: impl IntoIterator<Item = (&'a str, &'a Report)>,
    suites: impl IntoIterator<Item = (&'a str, &'a SuiteReport)>,
) -> io::Result<String> {
    let row = |(name, report): (&str, &Report)| {
        shown(report).map(|report| IndexRow::of(name, &report)).map_err(io::Error::other)
    };
    let suite = |(folder, report): (&str, &SuiteReport)| {
        let report = printable_texts(report).map_err(io::Error::other)?;
        Ok(IndexSuite::of(folder, &report))
    };
    let rows = runs.into_iter().take(MOST).map(row).collect::<io::Result<Vec<_>>>()?;
    let suites = suites.into_iter().take(MOST).map(suite).collect::<io::Result<Vec<_>>>()?;
    rendered("index", PAGE, &IndexPage { style: STYLE, rows, suites })
}
