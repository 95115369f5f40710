//! The report of a suite as one HTML file that needs nothing else: light and dark, on a phone and on paper.

use crate::judge::claim::{ClaimResult, Outcome};
use crate::terminal::printable_line;

use super::markdown::why;
use super::text::{ORDER, summary};
use super::{DecidedClaim, SuiteReport};

const STYLE: &str = "\
:root{color-scheme:light dark}\
body{font:16px/1.45 system-ui,sans-serif;max-width:72rem;margin:0 auto;padding:1rem}\
h1{font-size:1.5rem}h2{font-size:1.2rem;margin-top:2rem}code{overflow-wrap:anywhere}\
.wide{overflow-x:auto}table{border-collapse:collapse;width:100%}\
td,th{text-align:left;vertical-align:top;padding:.3rem .6rem;border-bottom:1px solid #8886}\
article{border-bottom:1px solid #8886;padding:.6rem 0;break-inside:avoid}article p{margin:.2rem 0}\
blockquote{margin:.2rem 0;padding-left:.7rem;border-left:3px solid #8886}\
.holds{color:#1a7f37}.refuted{color:#b42318}.undecided{color:#8a5a00}\
@media(prefers-color-scheme:dark){.holds{color:#56d364}.refuted{color:#ff7b72}.undecided{color:#e3b341}}";

pub(super) fn render(report: &SuiteReport) -> String {
    let suite = &report.suite;
    let name = text(&suite.name);
    let mut out = format!(
        "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\
         <meta name=\"viewport\" content=\"width=device-width,initial-scale=1\">\
         <title>kbench: {name}</title><style>{STYLE}</style></head>\n<body><main>\n\
         <h1>{name}: {}</h1>\n<p>{}</p>\n<p>Exit code {}. To repeat it: <code>{}</code></p>\n",
        text(&summary(report)),
        text(&suite.description),
        report.exit_code,
        text(&suite.command)
    );
    if let Some(it) = &report.environment {
        out += &format!(
            "<p><small>{}, kbench {}, started {}</small></p>\n",
            text(it),
            text(&suite.kbench),
            text(&suite.started)
        );
    }
    for outcome in ORDER {
        let claims: Vec<_> =
            report.claims.iter().filter(|it| it.claim.outcome == outcome).collect();
        if claims.is_empty() {
            continue;
        }
        let class = class(outcome);
        out += &format!(
            "<section><h2 class=\"{class}\">Claims: {} ({})</h2>\n",
            outcome.as_str(),
            claims.len()
        );
        claims.iter().for_each(|it| out += &article(it));
        out += "</section>\n";
    }
    out += "<section><h2>Scenarios</h2><div class=\"wide\"><table><thead><tr><th>scenario</th><th>trials</th>\
            <th>faults</th><th>seconds</th><th>outcome</th><th>command</th><th>run</th></tr></thead><tbody>\n";
    for it in &report.scenarios {
        let run = it.run.as_deref().map_or("none".to_owned(), text);
        out += &format!(
            "<tr><td>{}</td><td>{}</td><td>{}</td><td>{:.0}</td><td>{}</td><td><code>{}</code></td><td>{run}</td></tr>\n",
            text(&it.id),
            it.trials,
            it.faults,
            it.seconds,
            text(&it.outcome),
            text(&it.command)
        );
    }
    out + "</tbody></table></div></section>\n</main></body></html>\n"
}

fn class(outcome: Outcome) -> &'static str {
    match outcome {
        Outcome::Holds => "holds",
        Outcome::Refuted => "refuted",
        Outcome::Undecided => "undecided",
        Outcome::NotTested => "untested",
    }
}

fn article(it: &DecidedClaim) -> String {
    let ClaimResult { id, text: sentence, source, reading, outcome, .. } = &it.claim;
    let mut out = format!(
        "<article id=\"{0}\"><p><strong class=\"{1}\">{2}</strong> <code>{0}</code> {3}</p>\
         <blockquote>{4} <small>({5})</small></blockquote>",
        text(id),
        class(*outcome),
        outcome.as_str(),
        text(&it.figure),
        text(sentence),
        text(source)
    );
    let mut paragraph = |name: &str, words: &str| {
        out += &format!("<p><small>{name}:</small> {}</p>", text(words));
    };
    if let Some(reading) = reading {
        paragraph("read as", reading);
    }
    match outcome {
        Outcome::NotTested => paragraph("needs", &it.claim.reason),
        _ => paragraph("because", &why(&it.claim)),
    }
    if let Some(corrected) = &it.claim.corrected {
        paragraph("should read", corrected);
    }
    if !it.by.is_empty() {
        let by = it.by.iter().map(|by| format!("{} ({})", by.scenario, by.outcome.as_str()));
        paragraph("decided by", &by.collect::<Vec<_>>().join(", "));
    }
    out + "</article>\n"
}

/// A text as it may stand in HTML, in an attribute as well.
fn text(text: &str) -> String {
    let mut shown = String::new();
    for c in printable_line(text).chars() {
        match c {
            '&' => shown.push_str("&amp;"),
            '<' => shown.push_str("&lt;"),
            '>' => shown.push_str("&gt;"),
            '"' => shown.push_str("&quot;"),
            c => shown.push(c),
        }
    }
    shown
}
