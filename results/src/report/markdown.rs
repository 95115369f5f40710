//! The report for a pull request or an issue: Markdown as GitHub has it, on about a screen.

use super::rows::{self, ReportCell, ReportTable};
use super::{Report, text};
use crate::judge::verdict::Verdict;

/// The document: verdict, claims, faults, load, and what is not as it should be.
pub fn render(report: &Report) -> serde_json::Result<String> {
    let report = &text::shown(report)?;
    let mut out = format!(
        "### kbench: {} ({}, faults {})\n\n",
        report.verdict.as_str(),
        escaped(&report.run.workload),
        escaped(&report.run.plan)
    );
    let facts = rows::facts(report).into_iter();
    let facts = facts.map(|(name, value)| format!("{name} {}", escaped(&value)));
    paragraph(&mut out, &facts.collect::<Vec<_>>().join(", "));
    report.problems.iter().for_each(|problem| bullet(&mut out, problem));
    out.push('\n');
    let claims = rows::claims(report);
    if !claims.is_empty() {
        let head = ["outcome", "claim", "stated", "measured", "predicted", "why"];
        let of = |row: &rows::ClaimRow<'_>| {
            let measured = row.measured.replace('\n', " ");
            let cells = [
                row.outcome,
                &row.claim.text,
                &row.stated,
                &measured,
                &row.predicted,
                &row.claim.reason,
            ];
            cells.map(escaped)
        };
        table(&mut out, &head, claims.iter().map(of));
    }
    let mut checks = rows::checks(report);
    let bad = report.checks.iter().map(|check| check.verdict != Verdict::Valid);
    let mut bad = bad.collect::<Vec<_>>().into_iter();
    checks.rows.retain(|_| bad.next().unwrap_or(true));
    let valid = report.checks.len() - checks.rows.len();
    paragraph(&mut out, &format!("{valid} of {} checks are valid.", report.checks.len()));
    for shown in [
        rows::changes(report),
        checks,
        rows::gates(report),
        rows::rates(report),
        rows::latencies(report),
    ] {
        grid(&mut out, &shown);
    }
    paragraph(&mut out, "The same again:");
    // A fence longer than any run of back quotes in it.
    let fence = "`".repeat(longest_run(&report.run.command, '`').max(2) + 1);
    paragraph(
        &mut out,
        &format!("{fence}\n{} --seed {}\n{fence}", report.run.command, report.run.seed),
    );
    Ok(out)
}

fn paragraph(out: &mut String, text: &str) {
    out.push_str(text);
    out.push_str("\n\n");
}

fn bullet(out: &mut String, text: &str) {
    out.push_str(&format!("- {}\n", escaped(text)));
}

fn grid(out: &mut String, grid: &ReportTable) {
    if !grid.rows.is_empty() {
        let cells =
            |row: &Vec<ReportCell>| row.iter().map(|it| escaped(&it.text)).collect::<Vec<_>>();
        table(out, &grid.head, grid.rows.iter().map(cells));
    }
    grid.notes.iter().for_each(|note| bullet(out, note));
    out.push('\n');
}

fn table(out: &mut String, head: &[&str], rows: impl Iterator<Item = impl AsRef<[String]>>) {
    out.push_str(&format!("| {} |\n|{}\n", head.join(" | "), "---|".repeat(head.len())));
    rows.for_each(|row| out.push_str(&format!("| {} |\n", row.as_ref().join(" | "))));
    out.push('\n');
}

/// The text with what Markdown or HTML would take for markup escaped, on one line.
pub(crate) fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '\n' => out.push(' '),
            '<' => out.push_str("&lt;"),
            '&' => out.push_str("&amp;"),
            '|' | '\\' | '`' | '*' | '_' | '[' | ']' | '#' | '~' => out.extend(['\\', c]),
            _ => out.push(c),
        }
    }
    out
}

/// Length of the longest run of a character.
fn longest_run(text: &str, of: char) -> usize {
    text.split(|c| c != of).map(str::len).max().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cell_stays_a_cell() {
        assert_eq!(escaped("a|b\nc <i> `x` *y*"), r"a\|b c &lt;i> \`x\` \*y\*");
        assert_eq!((longest_run("a ``` b `", '`'), longest_run("", '`')), (3, 0));
    }
}
