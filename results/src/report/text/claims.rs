//! The claims table, and beneath it why a claim does not simply hold.

use comfy_table::Cell;

use crate::judge::claim::{ClaimResult, Measured, Outcome};

use super::super::Report;
use super::{
    Tone, bullet, cell, known, number, phase_cells, phase_columns, phase_headers, rest, seconds,
    section, show, table,
};

/// Columns that an id may take; a longer one is broken after a hyphen.
const ID_WIDTH: usize = 22;

pub(super) fn render(out: &mut String, report: &Report, colours: bool) {
    tables(out, report, colours);
    report.claims.iter().for_each(|claim| explain(out, claim));
}

/// The tables alone.
pub(super) fn tables(out: &mut String, report: &Report, colours: bool) {
    let (times, guarantees): (Vec<_>, Vec<_>) =
        report.claims.iter().partition(|claim| claim.measured_s.is_some());
    if !times.is_empty() {
        section(
            out,
            "Claims about times (seconds; several trials: min / median / max; none: the longest response)",
        );
        show_times(out, &times, colours);
    }
    if !guarantees.is_empty() {
        section(out, "Claims about guarantees");
        let mut rows = table(&["claim", "outcome", "what was seen"], colours);
        for claim in &guarantees {
            rows.add_row([
                cell(&claim.id, Tone::Plain, colours),
                outcome(claim, colours),
                cell(&claim.reason, Tone::Plain, colours),
            ]);
        }
        show(out, &rows);
    }
}

/// Why a claim does not simply hold, and the sentence that would be true.
fn explain(out: &mut String, claim: &ClaimResult) {
    let is_time = claim.measured_s.is_some();
    if claim.outcome != Outcome::Holds && is_time {
        bullet(out, &format!("{} {}: {}", claim.id, claim.outcome.as_str(), claim.reason));
    }
    if let Some(corrected) = &claim.corrected {
        bullet(out, &format!("{} instead: {corrected}", claim.id));
    }
    if claim.faster_than_stated {
        bullet(out, &format!("{} holds, faster than stated", claim.id));
    }
    if claim.outside_prediction {
        let formula = claim.formula.as_deref().unwrap_or("");
        bullet(out, &format!("{}: OUTSIDE THE PREDICTION: {formula}", claim.id));
    }
}

fn show_times(out: &mut String, claims: &[&ClaimResult], colours: bool) {
    let with_rest = claims.iter().any(|claim| claim.phase_rest_s.and_then(rest).is_some());
    let phases = phase_columns(claims.iter().filter_map(|claim| claim.phases_s.as_ref()));
    let mut header = vec!["claim", "outcome", "stated", "measured", "predicted"];
    header.extend(phase_headers(&phases));
    header.extend(with_rest.then_some("rest"));
    let mut rows = table(&header, colours);
    rows.column_iter_mut().for_each(|column| {
        column.set_padding((0, 1));
    });
    for claim in claims {
        let mut cells = vec![
            cell(&broken(&claim.id), Tone::Plain, colours),
            outcome(claim, colours),
            cell(&stated(claim), Tone::Plain, colours),
            cell(
                &claim.measured_s.as_ref().map(distribution).unwrap_or_default(),
                Tone::Plain,
                colours,
            ),
            cell(&predicted(claim), Tone::Plain, colours),
        ];
        let left = claim.phase_rest_s.unwrap_or(0.0);
        cells.extend(phase_cells(&claim.phases_s.unwrap_or_default(), left, &phases, colours));
        cells.extend(with_rest.then(|| number(&known(rest(left)), colours)));
        rows.add_row(cells);
    }
    show(out, &rows);
}

fn outcome(claim: &ClaimResult, colours: bool) -> Cell {
    let tone = match claim.outcome {
        Outcome::Holds => Tone::Good,
        Outcome::Undecided | Outcome::NotTested => Tone::Doubt,
        Outcome::Refuted => Tone::Bad,
    };
    cell(claim.outcome.as_str(), tone, colours)
}

/// The id in lines of at most `ID_WIDTH`, each but the last ending with a hyphen.
fn broken(id: &str) -> String {
    let mut text = String::new();
    let mut width = 0;
    for part in id.split_inclusive('-') {
        if width > 0 && width + part.len() > ID_WIDTH {
            text.push('\n');
            width = 0;
        }
        text.push_str(part);
        width += part.len();
    }
    text
}

pub(in crate::report) fn stated(claim: &ClaimResult) -> String {
    match claim.stated_s {
        None => "always".to_owned(),
        Some([0.0, high]) => format!("<= {high} s"),
        Some([low, high]) => format!("{low}-{high} s"),
    }
}

pub(in crate::report) fn predicted(claim: &ClaimResult) -> String {
    claim.predicted_s.map_or_else(String::new, |[low, high]| format!("{low:.1}-{high:.1} s"))
}

pub(crate) fn distribution(measured: &Measured) -> String {
    let Measured { n, min: Some(min), median, max: Some(max), censored, .. } = measured else {
        return String::new();
    };
    let open = match (censored, n) {
        (0, _) => String::new(),
        (c, n) if c == n => ", did not end".to_owned(),
        (c, _) => format!(", {c} did not end"),
    };
    // Where nothing was interrupted, there is no time: how slow it was at the most.
    let response = measured.longest_response_s.filter(|_| measured.uninterrupted == *n);
    if let Some(response) = response {
        return format!("none, {:.0} ms\n(n={n})", response * 1e3);
    }
    let least = if *censored > 0 { ">= " } else { "" };
    if *n == 1 {
        return format!("{least}{} s (n=1{open})", seconds(*max));
    }
    let median = median.map_or("-".to_owned(), seconds);
    format!("{}/{median}/{least}{}\n(n={n}{open})", seconds(*min), seconds(*max))
}
