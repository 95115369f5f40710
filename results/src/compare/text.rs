//! A comparison for a terminal.

use crate::report::text::{line, table, wrapped};
use crate::terminal::{counted, printable_line};

use super::ratio::median;
use super::{ALPHA, ComparedMetric, ComparedSets, MetricChange};

/// Trials of a set that are named one by one.
const NAMED: usize = 6;

/// Differences that are named one by one.
const MOST_UNLIKE: usize = 10;

/// Renders it.
pub fn render(sets: &ComparedSets) -> String {
    let mut out = String::new();
    let mut say = |first: &str, text: &str| wrapped(&mut out, first, " ", &printable_line(text));
    for (set, trials) in [("A:", &sets.a), ("B:", &sets.b)] {
        let more = trials.len().saturating_sub(NAMED);
        let names = trials.iter().take(NAMED).cloned().collect::<Vec<_>>().join(", ");
        let more = if more > 0 { format!(" and {more} more") } else { String::new() };
        say(set, &format!("{}: {names}{more}", counted(trials.len() as u64, "trial")));
    }
    sets.left_out.iter().for_each(|trial| say("left out:", trial));
    for unlike in sets.unlike.iter().take(MOST_UNLIKE) {
        say("allowed to differ:", &unlike.to_string());
    }
    if let Some(more @ 1..) = sets.unlike.len().checked_sub(MOST_UNLIKE) {
        say("allowed to differ:", &format!("{more} more"));
    }
    let header = ["metric", "A", "B", "B / A", "95 % interval", "p", "detectable", "change"];
    let mut table = table(&header, false);
    table.add_rows(sets.metrics.iter().map(|metric| row(metric, sets)));
    line(&mut out, "");
    line(&mut out, &table.to_string());
    let mut note = |text: &str| wrapped(&mut out, "  -", "   ", text);
    note("A, B: medians of the trials' figures; (n=...) where some trials have none.");
    note(&format!(
        "p: exact rank-sum test, corrected for all metrics together (Holm); it is a difference at p <= {ALPHA}."
    ));
    note(
        "detectable: the smallest change that such trials would show in four of five comparisons.",
    );
    if sets.metrics.iter().any(|it| it.change == MetricChange::Unknown) {
        let needed = counted(sets.trials_needed as u64, "trial");
        note(&format!(
            "unknown: a comparison needs {needed} a side at least, and the figure of every one: a trial without it may be the worst."
        ));
    }
    out
}

fn row(metric: &ComparedMetric, sets: &ComparedSets) -> Vec<String> {
    let none = || "n/a".to_owned();
    let of = |set: &[f64], trials: usize| match median(set) {
        Some(figure) if set.len() == trials => metric.metric.show(figure),
        Some(figure) => format!("{} (n={})", metric.metric.show(figure), set.len()),
        None => none(),
    };
    let interval = metric.interval.map(|(low, high)| format!("{low:.3} to {high:.3}"));
    vec![
        metric.metric.to_string(),
        of(&metric.a, sets.a.len()),
        of(&metric.b, sets.b.len()),
        metric.ratio.map_or_else(none, |ratio| format!("{ratio:.3}")),
        interval.unwrap_or_else(none),
        metric.p.map_or_else(none, |p| format!("{p:.4}")),
        metric.smallest_detectable.map_or_else(none, |it| format!("{:.1} %", it * 100.0)),
        metric.change.as_str().to_owned(),
    ]
}
