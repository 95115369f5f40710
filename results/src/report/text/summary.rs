//! The report on one screen: what became of the run, a line a fault, what is not as it should be, and where the rest is.

use std::path::Path;

use super::super::Report;
use super::faults::{all, skipped};
use super::{Tone, bullet, changes, claims, headline, line, load, section};
use crate::judge::latency::Percentiles;
use crate::judge::offer::Offer;
use crate::judge::verdict::Verdict;
use crate::terminal::{argument, counted, harmless};

pub(super) fn render(report: &Report, dir: Option<&Path>, colours: bool) -> String {
    let mut out = String::new();
    headline(&mut out, report, colours);
    claims::tables(&mut out, report, colours);
    if !report.faults.is_empty() || !report.skipped.is_empty() {
        section(
            &mut out,
            "Faults (seconds: without a controller; without an ack or answer; until the ISR is full)",
        );
        all(&mut out, report, colours);
        skipped(&mut out, report);
    }
    changes::render(&mut out, report);
    load::gates(&mut out, report, colours);
    section(&mut out, "Checks and load");
    checks(&mut out, report, colours);
    figures(&mut out, report);
    if !report.problems.is_empty() {
        section(&mut out, "Problems");
        report.problems.iter().for_each(|problem| bullet(&mut out, problem));
    }
    if let Some(dir) = dir {
        section(&mut out, "More");
        let path = dir.display().to_string();
        let page = dir.join("report.html").display().to_string();
        let more = [
            ("a page with timelines", argument(&page).into_owned()),
            ("every table", format!("kbench report --verbose {}", argument(&path))),
            ("judge it again", format!("kbench check {}", argument(&path))),
        ];
        for (what, command) in more {
            line(&mut out, &harmless(&format!("  {what}: {command}")).replace('\n', " "));
        }
    }
    out
}

/// The checks that are not valid, each with an example; of the others their number.
fn checks(out: &mut String, report: &Report, colours: bool) {
    let (good, others): (Vec<_>, Vec<_>) =
        report.checks.iter().partition(|check| check.verdict == Verdict::Valid);
    let seen = format!("{} valid", counted(good.len() as u64, "check"));
    bullet(
        out,
        &super::paint(&seen, if others.is_empty() { Tone::Good } else { Tone::Plain }, colours),
    );
    for check in others {
        let note = check.note.as_deref().map(|note| format!(": {note}")).unwrap_or_default();
        bullet(
            out,
            &format!(
                "{} {}, {} of {}{note}",
                check.name,
                check.verdict.as_str(),
                check.count,
                check.examined
            ),
        );
        check.witnesses.iter().take(1).for_each(|it| bullet(out, &load::witness(check, it)));
    }
}

/// The load in two lines, and a planned backlog.
fn figures(out: &mut String, report: &Report) {
    let load = &report.load;
    let errors = match load.failed + load.indeterminate {
        0 => String::new(),
        _ => format!(", {} failed, {} without outcome", load.failed, load.indeterminate),
    };
    let saturated = if load.saturated { "; saturated: the backlog grew" } else { "" };
    let asked = match report.run.offer {
        Offer::Closed => "as many as the client takes".to_owned(),
        _ => format!("{:.1}", load.asked_per_s),
    };
    bullet(
        out,
        &format!(
            "{:.1} of {asked} records/s acked ({} of {}{errors}), {} delivered{saturated}",
            load.achieved_per_s, load.acked, load.sent, load.delivered
        ),
    );
    let ms = |us: Option<u64>| us.map_or("n/a".to_owned(), |us| format!("{:.2}", us as f64 / 1e3));
    let shown = |p: &Percentiles| {
        let least = if p.unanswered > 0 && p.max.is_some() { ">= " } else { "" };
        format!("p50 {} p99 {} max {least}{} ms", ms(p.p50), ms(p.p99), ms(p.max))
    };
    let steady = &load.baseline;
    bullet(
        out,
        &format!(
            "steady response {}, end to end {}",
            shown(&steady.latency_us),
            shown(&steady.end_to_end_us)
        ),
    );
    for group in &report.consuming {
        let Some(backlog) = &group.backlog else { continue };
        bullet(out, &format!("group {} {}", group.group, backlog.words()));
    }
    for (phase, population) in load.backlog() {
        bullet(out, &format!("while the {phase}: response {}", shown(&population.latency_us)));
    }
}
