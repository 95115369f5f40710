//! The report of a suite for a terminal.

use std::path::Path;

use crate::judge::claim::Outcome;
use crate::report::text::{bullet, line, section, show, table};
use crate::terminal::{argument, harmless, printable_line};

use super::SuiteReport;
use super::advice::{self, ChangeRow};

/// The outcomes in the order in which they are shown.
pub(super) const ORDER: [Outcome; 4] =
    [Outcome::Refuted, Outcome::Undecided, Outcome::Holds, Outcome::NotTested];

/// How many claims stand how, in a sentence.
pub(super) fn summary(report: &SuiteReport) -> String {
    let counts = ORDER.map(|outcome| format!("{} {}", report.count(outcome), outcome.as_str()));
    format!("{} claims: {}", report.claims.len(), counts.join(", "))
}

/// Renders the report; `dir` is the suite's folder.
pub fn render(report: &SuiteReport, dir: &Path) -> String {
    let mut out = String::new();
    let suite = &report.suite;
    line(
        &mut out,
        &format!("kbench suite {}  exit code: {}", printable_line(&suite.name), report.exit_code),
    );
    line(&mut out, &summary(report));
    report.environment.iter().for_each(|it| line(&mut out, &printable_line(it)));
    section(&mut out, "Scenarios");
    let mut rows = table(&["scenario", "trials", "faults", "seconds", "outcome"], false);
    for it in &report.scenarios {
        let [trials, faults] = [it.trials as usize, it.faults].map(|n| n.to_string());
        let seconds = format!("{:.0}", it.seconds);
        rows.add_row([
            &*printable_line(&it.id),
            &trials,
            &faults,
            &seconds,
            &printable_line(&it.outcome),
        ]);
    }
    show(&mut out, &rows);
    let searches = || report.scenarios.iter().filter_map(|it| Some((it, it.max_rate.as_ref()?)));
    if searches().next().is_some() {
        section(&mut out, "Highest rates");
        for (it, search) in searches() {
            let (id, model) = (&it.id, search.model());
            let model = if model.is_empty() { model } else { format!("; {model}") };
            let objective = search.objective.join(", ");
            let said = format!("{id} ({objective}): {}{model}", it.outcome);
            bullet(&mut out, &printable_line(&said));
        }
    }
    let (needed, changes) = (advice::brokers_needed(report), advice::changes(report));
    if !needed.is_empty() || !changes.is_empty() {
        section(&mut out, "What it takes");
        needed.iter().for_each(|it| bullet(&mut out, &printable_line(it)));
    }
    if !changes.is_empty() {
        let mut rows = table(&ChangeRow::HEAD, false);
        for row in &changes {
            rows.add_row(row.cells().map(printable_line));
        }
        show(&mut out, &rows);
    }
    section(&mut out, "Claims");
    let mut rows = table(&["claim", "outcome", "figure", "by"], false);
    for outcome in &ORDER[..3] {
        for it in report.claims.iter().filter(|it| it.claim.outcome == *outcome) {
            let by: Vec<_> = it.by.iter().map(|by| by.scenario.as_str()).collect();
            let (id, by) = (printable_line(&it.claim.id), by.join(", "));
            rows.add_row([
                &*id,
                outcome.as_str(),
                &printable_line(&it.figure),
                &printable_line(&by),
            ]);
        }
    }
    show(&mut out, &rows);
    for it in report
        .claims
        .iter()
        .filter(|it| matches!(it.claim.outcome, Outcome::Refuted | Outcome::Undecided))
    {
        let (id, outcome) = (&it.claim.id, it.claim.outcome.as_str());
        bullet(&mut out, &printable_line(&format!("{id} {outcome}: {}", it.claim.reason)));
        if let Some(corrected) = &it.claim.corrected {
            bullet(&mut out, &printable_line(&format!("{id} instead: {corrected}")));
        }
    }
    section(&mut out, "Files");
    let path = dir.display().to_string();
    line(&mut out, &format!("  {}", printable_line(&path)));
    line(&mut out, "  report.html  report.md  report.json");
    let again = format!("  judge it again: kbench check {}", argument(&path));
    line(&mut out, &harmless(&again).replace('\n', " "));
    out
}
