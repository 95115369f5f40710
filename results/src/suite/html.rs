//! The report of a suite as one page that needs nothing else: light and dark, on a phone and on paper. It leads to the
//! pages of its runs.

use std::io;

use serde::Serialize;

use super::advice::{self, ChangeRow};
use super::markdown::why;
use super::text::{ORDER, summary};
use super::{DecidedClaim, Decision, SuiteReport};
use crate::judge::claim::{ClaimResult, Outcome};
use crate::report::html::{STYLE, rendered};
use crate::report::text::printable_texts;

const PAGE: &str = include_str!("html/suite.html");

/// What the template is told.
#[derive(Serialize)]
struct SuitePage<'a> {
    style: &'static str,
    report: &'a SuiteReport,
    summary: String,
    needed: Vec<String>,
    change_head: [&'static str; 6],
    changes: Vec<ChangeRow>,
    groups: Vec<ClaimGroup<'a>>,
}

/// The claims that stand alike.
#[derive(Serialize)]
struct ClaimGroup<'a> {
    outcome: &'static str,
    class: String,
    tone: &'static str,
    /// What its claims' explanations are.
    because: &'static str,
    claims: Vec<GroupedClaim<'a>>,
}

#[derive(Serialize)]
struct GroupedClaim<'a> {
    claim: &'a ClaimResult,
    figure: &'a str,
    /// What was measured, or else what was found.
    found: &'a str,
    why: String,
    by: &'a [Decision],
}

/// The page.
///
/// # Errors
/// When the report is no JSON, or the template does not fit it.
pub(super) fn render(report: &SuiteReport) -> io::Result<String> {
    let report: &SuiteReport = &printable_texts(report).map_err(io::Error::other)?;
    let groups: Vec<_> = ORDER.into_iter().filter_map(|outcome| group(report, outcome)).collect();
    let page = SuitePage {
        style: STYLE,
        report,
        summary: summary(report),
        needed: advice::brokers_needed(report),
        change_head: ChangeRow::HEAD,
        changes: advice::changes(report),
        groups,
    };
    rendered("suite", PAGE, &page)
}

/// None where no claim stands so.
fn group(report: &SuiteReport, outcome: Outcome) -> Option<ClaimGroup<'_>> {
    let of_group = report.claims.iter().filter(|it| it.claim.outcome == outcome);
    let grouped = |it: &'_ DecidedClaim| match outcome {
        Outcome::NotTested => it.claim.reason.clone(),
        _ => why(&it.claim),
    };
    let claims: Vec<_> = of_group
        .map(|it| GroupedClaim {
            claim: &it.claim,
            figure: &it.figure,
            found: if it.figure.is_empty() { &it.claim.reason } else { &it.figure },
            why: grouped(it),
            by: &it.by,
        })
        .collect();
    let (tone, because) = match outcome {
        Outcome::Holds => ("good", "because"),
        Outcome::Refuted => ("bad", "because"),
        Outcome::Undecided => ("doubt", "because"),
        Outcome::NotTested => ("", "needs"),
    };
    let class = outcome.as_str().replace(' ', "-");
    (!claims.is_empty()).then_some(ClaimGroup {
        outcome: outcome.as_str(),
        class,
        tone,
        because,
        claims,
    })
}
