//! The report of a suite as Markdown.

use crate::judge::claim::{ClaimResult, Outcome};
use crate::report::markdown::escaped;
use crate::terminal::{counted, printable_line};

use super::advice::{self, ChangeRow};
use super::text::{ORDER, on, summary};
use super::{DecidedClaim, SuiteReport};

/// The report as Markdown.
pub fn render(report: &SuiteReport) -> String {
    let suite = &report.suite;
    let mut out = format!("# {}\n\n{}\n\n", cell(&suite.name), cell(&suite.description));
    out += &format!("{}. Exit code {}.\n\n", summary(report), report.exit_code);
    if let Some(cluster) = &suite.cluster {
        out += &format!("{}.\n\n", cell(&on(cluster)));
    }
    if let Some(it) = &report.environment {
        out += &format!(
            "{}, kbench {}, started {}.\n\n",
            cell(it),
            cell(&suite.kbench),
            cell(&suite.started)
        );
    }
    out += &format!("To repeat it: {}\n", code(&suite.command));
    out += "\n## Scenarios\n\n| scenario | trials | faults | seconds | outcome | run |\n|---|---|---|---|---|---|\n";
    for it in &report.scenarios {
        let run = it.run.as_deref().map_or("none".to_owned(), code);
        let (id, outcome) = (cell(&it.id), cell(&it.outcome));
        out += &format!(
            "| {id} | {} | {} | {:.0} | {outcome} | {run} |\n",
            it.trials, it.faults, it.seconds
        );
    }
    for sentence in advice::brokers_needed(report) {
        out += &format!("\n{}.\n", cell(&sentence));
    }
    let changes = advice::changes(report);
    if !changes.is_empty() {
        let head = ChangeRow::HEAD;
        out += &format!("\n| {} |\n|{}\n", head.join(" | "), "---|".repeat(head.len()));
    }
    for row in changes {
        out += &format!("| {} |\n", row.cells().map(cell).join(" | "));
    }
    out += &searches(report);
    for outcome in ORDER {
        let claims = || report.claims.iter().filter(|it| it.claim.outcome == outcome);
        if claims().next().is_none() {
            continue;
        }
        out += &format!("\n## Claims: {}\n\n", outcome.as_str());
        if outcome == Outcome::NotTested {
            // A suite that is about something else has dozens of them.
            let count = counted(claims().count() as u64, "claim");
            out += &format!("<details>\n<summary>{count}, and what would be needed</summary>\n\n");
            out += "| claim | sentence | what would be needed |\n|---|---|---|\n";
            for DecidedClaim { claim, .. } in claims() {
                let (id, text, needs) = (cell(&claim.id), quoted(claim), cell(&claim.reason));
                out += &format!("| {id} | {text} | {needs} |\n");
            }
            out += "\n</details>\n";
            continue;
        }
        out += "| claim | sentence | reading | figure | why | decided by |\n|---|---|---|---|---|---|\n";
        for it in claims() {
            let reading = cell(it.claim.reading.as_deref().unwrap_or_default());
            let by =
                it.by.iter().map(|by| format!("{}: {}", cell(&by.scenario), by.outcome.as_str()));
            let by = by.collect::<Vec<_>>().join("; ");
            let (id, text, figure) = (cell(&it.claim.id), quoted(&it.claim), cell(&it.figure));
            out += &format!(
                "| {id} | {text} | {reading} | {figure} | {} | {by} |\n",
                cell(&why(&it.claim))
            );
        }
        for corrected in claims().filter_map(|it| it.claim.corrected.as_ref().map(|to| (it, to))) {
            let (it, corrected) = corrected;
            out += &format!("\n{} should read: {}\n", quoted(&it.claim), cell(corrected));
        }
    }
    out
}

/// What searches of the highest rate tried and found; nothing where there are none.
fn searches(report: &SuiteReport) -> String {
    let mut out = String::new();
    for it in &report.scenarios {
        let Some(search) = &it.max_rate else { continue };
        let objective = cell(&search.objective.join(", "));
        out += &format!("\n## Highest rate: {}\n\n{}. ", cell(&it.id), cell(&it.outcome));
        let model = search.model();
        if !model.is_empty() {
            out += &format!("{}. ", cell(&model));
        }
        out += &format!(
            "Objective: {objective}.\n\n| records/s | seconds | outcome | run |\n|---|---|---|---|\n"
        );
        for step in &search.steps {
            let (outcome, run) = (cell(&step.outcome), code(&step.run));
            out += &format!("| {} | {:.0} | {outcome} | {run} |\n", step.rate, step.for_s);
        }
    }
    out
}

/// The judgement in words, and the mechanism behind it where it is one.
pub(super) fn why(claim: &ClaimResult) -> String {
    match &claim.mechanism {
        Some(mechanism) if claim.outcome != Outcome::Undecided => {
            format!("{}. {mechanism}", claim.reason)
        }
        _ => claim.reason.clone(),
    }
}

fn quoted(claim: &ClaimResult) -> String {
    format!("\"{}\" ({})", cell(&claim.text), cell(&claim.source))
}

/// A text as it may stand in a cell of a table.
fn cell(text: &str) -> String {
    escaped(&printable_line(text))
}

/// A text as code, whatever is in it but a table's bar, which is escaped there as well.
fn code(text: &str) -> String {
    let text = printable_line(text).replace('`', "'").replace('|', "\\|");
    format!("`{text}`")
}
