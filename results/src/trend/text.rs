//! Trends for a terminal.

use crate::compare::{Aspect, MetricChange};
use crate::report::text::{line, show, table, wrapped};
use crate::terminal::{counted, printable_line};

use super::{ChangePoint, LEAST_FIGURES, MetricTrend, SIGNIFICANT, SeriesTrend, Trends};

/// Figures that are shown one by one, the newest.
const SHOWN: usize = 4;

/// Runs that were left out and are named.
const NAMED: usize = 4;

/// Renders them.
pub fn render(trends: &Trends) -> String {
    let mut out = String::new();
    for series in &trends.series {
        of_series(&mut out, series);
        line(&mut out, "");
    }
    let mut note = |text: &str| wrapped(&mut out, "  -", "   ", text);
    note(&format!(
        "change: by E-divisive means; figures in random order split as well in at most {SIGNIFICANT} of all orders."
    ));
    let few = |metric: &MetricTrend| metric.change == MetricChange::Unknown;
    if trends.series.iter().flat_map(|series| &series.metrics).any(few) {
        note(&format!("unknown: it takes {LEAST_FIGURES} runs with the figure, at least."));
    }
    out
}

fn of_series(out: &mut String, series: &SeriesTrend) {
    let key = &series.key;
    let mut say = |first: &str, text: &str| wrapped(out, first, " ", &printable_line(text));
    let trials = counted(key.trials.into(), "trial");
    say(
        &format!("series {}:", series.id),
        &format!(
            "workload {}, plan {}, profile {}, {trials} a run",
            key.workload, key.plan, key.profile
        ),
    );
    let facts = [("cores", "", " cores"), ("kernel", "kernel ", ""), ("mode", "", "")];
    let of_machine = facts.map(|(name, before, after)| {
        let value = key.conditions.get(Aspect::Machine, name).filter(|value| !value.is_empty());
        value.map(|value| format!("{before}{value}{after}"))
    });
    say("machine:", &of_machine.into_iter().flatten().collect::<Vec<_>>().join(", "));
    let span = match (series.runs.first(), series.runs.last()) {
        (Some(first), Some(last)) => format!(", {} to {}", first.started, last.started),
        _ => String::new(),
    };
    say("runs:", &format!("{}{span}", series.runs.len()));
    series.left_out.iter().rev().take(NAMED).for_each(|run| say("left out:", run));
    if let Some(more @ 1..) = series.left_out.len().checked_sub(NAMED) {
        say("left out:", &format!("{more} more"));
    }
    if series.metrics.is_empty() {
        return line(out, "no run has any of the figures");
    }
    let header = ["metric", "newest figures", "median before", "newest", "change"];
    let mut table = table(&header, false);
    table.add_rows(series.metrics.iter().map(row));
    show(out, &table);
    for metric in &series.metrics {
        for change in &metric.changes {
            let text = printable_line(&told(metric, change)).into_owned();
            wrapped(out, "  -", "   ", &text);
        }
    }
}

fn row(metric: &MetricTrend) -> Vec<String> {
    let none = || "n/a".to_owned();
    let of = |figure: Option<f64>| figure.map_or_else(none, |it| metric.metric.show(it));
    let newest = metric.figures.iter().rev().take(SHOWN).rev();
    vec![
        printable_line(&metric.metric.to_string()).into_owned(),
        newest.map(|figure| of(*figure)).collect::<Vec<_>>().join(", "),
        of(metric.median_before),
        metric.newest_effect().map_or_else(none, |effect| format!("{:+.1} %", effect * 100.0)),
        metric.change.as_str().to_owned(),
    ]
}

/// A change in a sentence.
fn told(metric: &MetricTrend, change: &ChangePoint) -> String {
    let by =
        change.ratio.map_or(String::new(), |ratio| format!(" ({:+.1} %)", (ratio - 1.0) * 100.0));
    let show = |figure| metric.metric.show(figure);
    let mut text = format!(
        "{}: {} to {}{by} from {} on, p {:.4}: {}",
        metric.metric,
        show(change.before),
        show(change.after),
        change.run,
        change.p,
        change.change.as_str()
    );
    if !change.versions.is_empty() {
        let word = |value: &Option<String>| value.clone().unwrap_or_else(|| "none".to_owned());
        let each = change
            .versions
            .iter()
            .map(|it| format!("{} {} to {}", it.key, word(&it.a), word(&it.b)));
        text.push_str(&format!("; with it: {}", each.collect::<Vec<_>>().join(", ")));
    }
    text
}
