//! The claims table, and beneath it why a claim does not simply hold.

use crate::claim::{ClaimResult, Measured, Outcome};

use super::super::Report;
use super::{Tone, bullet, cell, phases, seconds, section, show, table};

pub(super) fn render(out: &mut String, report: &Report, colours: bool) {
    if report.claims.is_empty() {
        return;
    }
    section(out, "Claims");
    let mut rows = table(
        &[
            "claim",
            "outcome",
            "stated",
            "measured",
            "predicted",
            "phases",
        ],
        colours,
    );
    for claim in &report.claims {
        let tone = match claim.outcome {
            Outcome::Holds => Tone::Good,
            Outcome::Undecided => Tone::Doubt,
            Outcome::Refuted => Tone::Bad,
        };
        rows.add_row(vec![
            cell(&claim.id, Tone::Plain, colours),
            cell(claim.outcome.as_str(), tone, colours),
            cell(&stated(claim), Tone::Plain, colours),
            cell(&measured(claim), Tone::Plain, colours),
            cell(&predicted(claim), Tone::Plain, colours),
            cell(
                &claim.phases_s.as_ref().map(phases).unwrap_or_default(),
                Tone::Plain,
                colours,
            ),
        ]);
    }
    show(out, &rows);
    for claim in &report.claims {
        if claim.outcome != Outcome::Holds {
            bullet(
                out,
                &format!("{} {}: {}", claim.id, claim.outcome.as_str(), claim.reason),
            );
        }
        if claim.faster_than_stated {
            bullet(out, &format!("{}: faster than stated", claim.id));
        }
        if claim.outside_prediction {
            let formula = claim.formula.as_deref().unwrap_or("");
            bullet(
                out,
                &format!("{}: OUTSIDE THE PREDICTION: {formula}", claim.id),
            );
        }
    }
}

fn stated(claim: &ClaimResult) -> String {
    match claim.stated_s {
        None => "always".to_owned(),
        Some([low, high]) if low == 0.0 => format!("<= {high} s"),
        Some([low, high]) => format!("{low}-{high} s"),
    }
}

fn predicted(claim: &ClaimResult) -> String {
    claim
        .predicted_s
        .map_or_else(String::new, |[low, high]| format!("{low:.1}-{high:.1} s"))
}

fn measured(claim: &ClaimResult) -> String {
    match &claim.measured_s {
        None if claim.outcome == Outcome::Undecided => String::new(),
        None => claim.reason.clone(),
        Some(measured) => distribution(measured),
    }
}

fn distribution(measured: &Measured) -> String {
    let Measured {
        n,
        min: Some(min),
        median: Some(median),
        max: Some(max),
        censored,
    } = measured
    else {
        return "n=0".to_owned();
    };
    let open = match (censored, n) {
        (0, _) => String::new(),
        (c, n) if c == n => ", did not end".to_owned(),
        (c, _) => format!(", {c} did not end"),
    };
    let least = if *censored > 0 { ">= " } else { "" };
    if *n == 1 {
        return format!("{least}{} s (n=1{open})", seconds(*max));
    }
    format!(
        "{} / {} / {least}{} s (min/median/max, n={n}{open})",
        seconds(*min),
        seconds(*median),
        seconds(*max)
    )
}
