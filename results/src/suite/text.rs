//! The report of a suite for a terminal.

use std::path::Path;

use crate::judge::claim::Outcome;
use crate::report::text::{WIDTH, bullet, line, section, show, table};
use crate::terminal::{argument, counted, harmless, printable_line};

use super::advice::{self, ChangeRow};
use super::{ScenarioResult, SuiteReport};

/// The outcomes in the order in which they are shown.
pub(super) const ORDER: [Outcome; 4] =
    [Outcome::Refuted, Outcome::Undecided, Outcome::Holds, Outcome::NotTested];

/// How many claims stand how, in a sentence.
pub(crate) fn summary(report: &SuiteReport) -> String {
    let counts = ORDER.map(|outcome| format!("{} {}", report.count(outcome), outcome.as_str()));
    format!("{} claims: {}", report.claims.len(), counts.join(", "))
}

/// Where the scenarios were carried out, in words.
pub(super) fn on(cluster: &str) -> String {
    format!("Every scenario on the cluster that runs already: {cluster}")
}

/// Renders the report with every table; `dir` is the suite's folder.
pub fn render(report: &SuiteReport, dir: &Path) -> String {
    let mut out = headline(report);
    section(&mut out, "Scenarios");
    scenarios(&mut out, report.scenarios.iter());
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
    what_it_takes(&mut out, report);
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
    more(&mut out, dir, false);
    out
}

/// Renders the report on one screen: the scenarios that are not as they should be, a line for each claim that does not
/// hold, what it takes, and where the rest is.
pub fn summary_of(report: &SuiteReport, dir: &Path) -> String {
    let mut out = headline(report);
    let bad = || report.scenarios.iter().filter(|it| it.code != 0);
    let (all, bad_ones) = (report.scenarios.len() as u64, bad().count() as u64);
    let good = match bad_ones {
        0 => "all as they should be".to_owned(),
        n => format!("{n} not as they should be"),
    };
    line(&mut out, &format!("{}: {good}", counted(all, "scenario")));
    if bad_ones > 0 {
        section(&mut out, "Scenarios");
        scenarios(&mut out, bad());
    }
    for outcome in [Outcome::Refuted, Outcome::Undecided] {
        let claims = || report.claims.iter().filter(|it| it.claim.outcome == outcome);
        if claims().next().is_some() {
            section(&mut out, &format!("Claims: {}", outcome.as_str()));
        }
        for it in claims() {
            let found = if it.figure.is_empty() { &it.claim.reason } else { &it.figure };
            let (id, found) = (printable_line(&it.claim.id), printable_line(found));
            line(&mut out, &clipped(&format!("  {id:<36} {found}")));
        }
    }
    what_it_takes(&mut out, report);
    more(&mut out, dir, true);
    out
}

/// A line no longer than a screen is wide.
fn clipped(text: &str) -> String {
    if text.chars().count() <= WIDTH as usize {
        return text.to_owned();
    }
    text.chars().take(WIDTH as usize - 1).chain(['…']).collect()
}

fn headline(report: &SuiteReport) -> String {
    let mut out = String::new();
    let name = printable_line(&report.suite.name);
    line(&mut out, &format!("kbench suite {name}  exit code: {}", report.exit_code));
    line(&mut out, &summary(report));
    report.suite.cluster.iter().for_each(|it| line(&mut out, &printable_line(&on(it))));
    report.environment.iter().for_each(|it| line(&mut out, &printable_line(it)));
    out
}

fn scenarios<'a>(out: &mut String, scenarios: impl Iterator<Item = &'a ScenarioResult>) {
    let mut rows = table(&["scenario", "trials", "faults", "seconds", "outcome"], false);
    for it in scenarios {
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
    show(out, &rows);
}

fn what_it_takes(out: &mut String, report: &SuiteReport) {
    let (needed, changes) = (advice::brokers_needed(report), advice::changes(report));
    if !needed.is_empty() || !changes.is_empty() {
        section(out, "What it takes");
        needed.iter().for_each(|it| bullet(out, &printable_line(it)));
    }
    if !changes.is_empty() {
        let mut rows = table(&ChangeRow::HEAD, false);
        for row in &changes {
            rows.add_row(row.cells().map(printable_line));
        }
        show(out, &rows);
    }
}

/// Where the rest is, and what to do next.
fn more(out: &mut String, dir: &Path, every_table: bool) {
    section(out, "More");
    let path = dir.display().to_string();
    let page = dir.join("report.html").display().to_string();
    let every_table = every_table
        .then(|| ("every table", format!("kbench report --verbose {}", argument(&path))));
    let all = [
        Some(("a page with what each claim should read", argument(&page).into_owned())),
        every_table,
        Some(("judge it again", format!("kbench check {}", argument(&path)))),
    ];
    for (what, command) in all.into_iter().flatten() {
        line(out, &harmless(&format!("  {what}: {command}")).replace('\n', " "));
    }
}
