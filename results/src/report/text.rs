//! The report for a terminal: a summary on one screen, or everything: claims first, then faults with their
//! phases, checks, load, where the time went, and where the files are. Never Debug output; colours only when
//! asked for.

mod changes;
pub(crate) mod claims;
pub(in crate::report) mod consuming;
pub(in crate::report) mod faults;
pub(in crate::report) mod load;
mod split;
mod summary;
pub(in crate::report) mod usage;

use std::borrow::Cow;
use std::path::Path;

use comfy_table::{
    Attribute, Cell, CellAlignment, Color, ContentArrangement, LineStyle, Table, TableStyle,
};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::judge::recovery::Phases;
use crate::judge::verdict::Verdict;
use crate::terminal::{argument, counted, harmless, printable, printable_line};

use super::{Report, files};
use crate::record::trial::EVENTS;

/// Columns of a line.
pub(crate) const WIDTH: u16 = 100;

/// A line above and below, one under the header, none between rows.
const STYLE: TableStyle = TableStyle::new()
    .top_border(LineStyle::none().fill('─').junction('─'))
    .header_separator(LineStyle::none().fill('─').junction('─'))
    .bottom_border(LineStyle::none().fill('─').junction('─'));

/// How a word is meant, for its colour.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Tone {
    Good,
    Doubt,
    Bad,
    Plain,
}

/// Renders all of the report. `dir` is where its files are, `None` when it was not saved.
pub fn render(report: &Report, dir: Option<&Path>, colours: bool) -> String {
    printable_by(rendered, report, dir, colours)
}

/// Renders what fits a screen, in the same way.
pub fn summary(report: &Report, dir: Option<&Path>, colours: bool) -> String {
    printable_by(summary::render, report, dir, colours)
}

fn printable_by(
    render: fn(&Report, Option<&Path>, bool) -> String,
    report: &Report,
    dir: Option<&Path>,
    colours: bool,
) -> String {
    match shown(report) {
        Ok(shown) => render(&shown, dir, colours),
        // One that could not be written as JSON could not be read back either.
        Err(_) => harmless(&render(report, dir, false)).into_owned(),
    }
}

fn rendered(report: &Report, dir: Option<&Path>, colours: bool) -> String {
    let mut out = String::new();
    headline(&mut out, report, colours);
    claims::render(&mut out, report, colours);
    faults::render(&mut out, report, colours);
    changes::render(&mut out, report);
    consuming::render(&mut out, report, colours);
    load::gates(&mut out, report, colours);
    load::checks(&mut out, report, colours);
    load::load(&mut out, report, colours);
    split::split(&mut out, report, colours);
    usage::servers(&mut out, report, colours);
    load::time(&mut out, report);
    if !report.problems.is_empty() {
        section(&mut out, "Problems");
        for problem in &report.problems {
            bullet(&mut out, problem);
        }
    }
    if let Some(dir) = dir {
        section(&mut out, "Files");
        let path = dir.display().to_string();
        line(&mut out, &format!("  {}", printable_line(&path)));
        let recorded = [EVENTS, "history/", "logs/"];
        let names: Vec<&str> = files::names().chain(recorded).collect();
        wrapped(&mut out, " ", " ", &names.join(" "));
        // By its path: its name alone is looked up in the default folder.
        let again = format!("  judge it again: kbench check {}", argument(&path));
        line(&mut out, &harmless(&again).replace('\n', " "));
    }
    out
}

/// The report with every text in it as it may be printed: some are from files of others. None is of more
/// lines than one, which might pass for lines of the report; problems are wrapped anew.
pub(crate) fn shown(report: &Report) -> serde_json::Result<Report> {
    let mut json = serde_json::to_value(report)?;
    let long = json.get_mut("problems").map(Value::take);
    each_text(&mut json, &|text| printable_line(text));
    if let (Some(mut problems), Some(table)) = (long, json.as_object_mut()) {
        each_text(&mut problems, &|text| printable(text));
        table.insert("problems".to_owned(), problems);
    }
    serde_json::from_value(json)
}

/// A document with every text in it on one line, as it may be printed.
pub(crate) fn printable_texts<T: Serialize + DeserializeOwned>(
    document: &T,
) -> serde_json::Result<T> {
    let mut json = serde_json::to_value(document)?;
    each_text(&mut json, &|text| printable_line(text));
    serde_json::from_value(json)
}

/// Changes every text in a document, the names in tables included.
fn each_text(json: &mut Value, change: &dyn Fn(&str) -> Cow<'_, str>) {
    match json {
        Value::String(text) => {
            if let Cow::Owned(changed) = change(text) {
                *text = changed;
            }
        }
        Value::Array(list) => list.iter_mut().for_each(|one| each_text(one, change)),
        Value::Object(table) => {
            let all = std::mem::take(table);
            table.extend(all.into_iter().map(|(name, mut value)| {
                each_text(&mut value, change);
                (change(&name).into_owned(), value)
            }));
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

fn headline(out: &mut String, report: &Report, colours: bool) {
    let tone = match report.verdict {
        Verdict::Valid => Tone::Good,
        Verdict::Unknown | Verdict::InvalidRun => Tone::Doubt,
        Verdict::Violated => Tone::Bad,
    };
    let verdict = paint(report.verdict.as_str(), tone, colours);
    line(out, &format!("kbench {}  verdict: {verdict}", report.run.run_id));
    let run = &report.run;
    let trials = counted(report.trials.into(), "trial");
    line(
        out,
        &format!(
            "workload {}, faults {}, seed {}, {trials}, started {}",
            run.workload, run.plan, run.seed, run.started
        ),
    );
    run.trusted.iter().for_each(|taken| line(out, &format!("trusted: {taken}")));
    let Some(first) = report.environments.first() else {
        line(out, "versions and settings in force: not known");
        return;
    };
    let e = &first.environment;
    line(
        out,
        &format!(
            "Kafka {}, ZooKeeper {}, {}, RF {}, {}, {}, data {} {}",
            e.kafka,
            e.zookeeper,
            counted(e.settings.brokers.into(), "broker"),
            e.settings.replication_factor,
            e.mode,
            counted(e.cores.into(), "core"),
            if e.storage == "disk" { "on" } else { "in" },
            e.storage
        ),
    );
    e.profile.iter().for_each(|profile| line(out, &format!("profile of the cluster: {profile}")));
    e.links.iter().for_each(|links| line(out, &format!("links of nodes: {links}")));
    let ms = |value: Option<u64>| value.map_or("unknown".to_owned(), |v| format!("{v} ms"));
    line(
        out,
        &format!(
            "in force: ZooKeeper session {}, tick {}, min.insync.replicas {}",
            ms(e.settings.zk_session_timeout_ms),
            ms(e.settings.zk_tick_ms),
            e.settings.min_insync_replicas.map_or("unknown".to_owned(), |n| n.to_string())
        ),
    );
    if let Some(wait_us) = e.librdkafka_poll_wait_us {
        line(
            out,
            &format!(
                "clients: librdkafka {}, whose broker threads wait {wait_us} us where they ask poll(2) \
                 not to wait",
                e.librdkafka
            ),
        );
    }
    if let Some(imprecision) = &e.observer {
        wrapped(out, "observer:", " ", imprecision);
    }
    if let Some(unmeasured) = &e.host {
        wrapped(out, "host:", " ", unmeasured);
    }
}

pub(crate) fn line(out: &mut String, text: &str) {
    out.push_str(text.trim_end());
    out.push('\n');
}

pub(crate) fn section(out: &mut String, title: &str) {
    line(out, "");
    line(out, title);
}

/// A wrapped paragraph with a dash before it.
pub(crate) fn bullet(out: &mut String, text: &str) {
    wrapped(out, "  -", "   ", text);
}

/// A paragraph: `first` begins its first line, `rest` the others.
pub(crate) fn wrapped(out: &mut String, first: &str, rest: &str, text: &str) {
    let mut current = first.to_owned();
    for word in text.split_whitespace() {
        if current.chars().count() + 1 + word.chars().count() > WIDTH as usize {
            line(out, &current);
            current = rest.to_owned();
        }
        current.push(' ');
        current.push_str(word);
    }
    line(out, &current);
}

pub(crate) fn table(header: &[&str], colours: bool) -> Table {
    let mut table = Table::new();
    table
        .load_style(STYLE)
        .set_content_arrangement(ContentArrangement::Dynamic)
        .set_width(WIDTH)
        .set_header(header.iter().map(|title| cell(title, Tone::Plain, colours)));
    if colours {
        table.enforce_styling();
    } else {
        table.force_no_tty();
    }
    table.column_iter_mut().for_each(|column| {
        column.set_padding((0, 2));
    });
    table
}

pub(crate) fn show(out: &mut String, table: &Table) {
    for row in table.lines() {
        line(out, &row);
    }
}

fn cell(text: &str, tone: Tone, colours: bool) -> Cell {
    let cell = Cell::new(text);
    match tone {
        _ if !colours => cell,
        Tone::Good => cell.fg(Color::Green),
        Tone::Doubt => cell.fg(Color::Yellow),
        Tone::Bad => cell.fg(Color::Red).add_attribute(Attribute::Bold),
        Tone::Plain => cell,
    }
}

fn paint(text: &str, tone: Tone, colours: bool) -> String {
    let code = match tone {
        Tone::Good => "32",
        Tone::Doubt => "33",
        Tone::Bad => "1;31",
        Tone::Plain => return text.to_owned(),
    };
    if colours { format!("\u{1b}[{code}m{text}\u{1b}[0m") } else { text.to_owned() }
}

/// Seconds for people: enough digits for what is short, no more for what is long.
pub(in crate::report) fn seconds(value: f64) -> String {
    if value.abs() >= 10.0 { format!("{value:.1}") } else { format!("{:.2}", hundredths(value)) }
}

/// Rounded as it is shown; what rounds to zero is not negative.
fn hundredths(value: f64) -> f64 {
    (value * 100.0).round() / 100.0 + 0.0
}

/// What phases leave unexplained, where that is not nothing.
pub(in crate::report) fn rest(value: f64) -> Option<f64> {
    (hundredths(value) != 0.0).then_some(value)
}

/// Seconds where they are known.
fn known(value: Option<f64>) -> String {
    value.map(seconds).unwrap_or_default()
}

/// Names of the phases that a table has columns for: of those that are seldom waited for, the ones that
/// something waited for.
fn phase_columns<'a>(all: impl Iterator<Item = &'a Phases>) -> Vec<&'static str> {
    let waited = |phases: &Phases, name: &str| {
        let mut named = phases.named().into_iter();
        named.any(|(it, seconds)| it == name && seconds.is_some_and(|s| hundredths(s) != 0.0))
    };
    let all: Vec<&Phases> = all.collect();
    let names = Phases::default().named().into_iter().map(|(name, _)| name);
    let seldom = |name: &str| matches!(name, "copies" | "answer");
    names.filter(|name| !seldom(name) || all.iter().any(|phases| waited(phases, name))).collect()
}

/// The phases of these columns, a cell each; "-" for one that may be in the rest, since it was not seen.
fn phase_cells(phases: &Phases, unexplained: f64, columns: &[&str], colours: bool) -> Vec<Cell> {
    let unseen = if rest(unexplained).is_some() { "-" } else { "" };
    let shown = phases.named().into_iter().filter(|(name, _)| columns.contains(name));
    let cell = |value: Option<f64>| {
        let text = value.map_or_else(|| unseen.to_owned(), seconds);
        number(&text, colours)
    };
    shown.map(|(_, value)| cell(value)).collect()
}

/// The headers of these columns.
fn phase_headers(columns: &[&'static str]) -> impl Iterator<Item = &'static str> {
    columns.iter().map(|name| if *name == "metadata" { "meta" } else { name })
}

fn number(text: &str, colours: bool) -> Cell {
    cell(text, Tone::Plain, colours).set_alignment(CellAlignment::Right)
}
