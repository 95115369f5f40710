//! What a reader may decide by: how many brokers a load takes, and what the way there takes and costs, as far as the
//! searches and changes of a suite say.

use std::collections::BTreeMap;

use serde::Serialize;

use super::SuiteReport;
use crate::judge::claim::ChangeCost;

/// What a change of the cluster under load took, and cost, over the trials of a scenario.
#[derive(Debug, PartialEq, Serialize)]
pub(super) struct ChangeRow {
    scenario: String,
    what: String,
    trials: String,
    took: String,
    p99: String,
    p99_before: String,
}

impl ChangeRow {
    /// What its columns are.
    pub(super) const HEAD: [&'static str; 6] =
        ["scenario", "change", "trials", "took", "p99 meanwhile", "p99 before"];

    /// Its cells, in the order of the columns.
    pub(super) fn cells(&self) -> [&str; 6] {
        [&self.scenario, &self.what, &self.trials, &self.took, &self.p99, &self.p99_before]
    }
}

/// A row for each change of each scenario, in the order in which they were made.
pub(super) fn changes(report: &SuiteReport) -> Vec<ChangeRow> {
    let mut all: Vec<(&str, &str, Vec<&ChangeCost>)> = vec![];
    for scenario in &report.scenarios {
        for cost in &scenario.changes {
            let same = |(id, change, costs): &&mut (&str, &str, Vec<&ChangeCost>)| {
                *id == scenario.id && *change == cost.change && costs[0].what == cost.what
            };
            match all.iter_mut().find(same) {
                Some((_, _, costs)) => costs.push(cost),
                None => all.push((&scenario.id, &cost.change, vec![cost])),
            }
        }
    }
    let row = |(scenario, _, costs): (&str, &str, Vec<&ChangeCost>)| {
        let of = |figure: &dyn Fn(&ChangeCost) -> Option<f64>| -> Vec<f64> {
            costs.iter().filter_map(|cost| figure(cost)).collect()
        };
        let took = of(&|cost| cost.took_s);
        let open = match costs.len() - took.len() {
            0 => String::new(),
            all if took.is_empty() && all == 1 => "not completed".to_owned(),
            open if took.is_empty() => format!("not completed, {open} times"),
            open => format!("; {open} not completed"),
        };
        let ms = |seconds: Vec<f64>| {
            let ms = seconds.into_iter().map(|s| s * 1e3).collect();
            range(ms, 0, "ms").unwrap_or("n/a".to_owned())
        };
        ChangeRow {
            scenario: scenario.to_owned(),
            what: costs[0].what.clone(),
            trials: costs.len().to_string(),
            took: range(took, 1, "s").unwrap_or_default() + &open,
            p99: ms(of(&|cost| cost.p99_s)),
            p99_before: ms(of(&|cost| cost.p99_before_s)),
        }
    };
    all.into_iter().map(row).collect()
}

/// From the lowest to the highest; none of none.
fn range(values: Vec<f64>, digits: usize, unit: &str) -> Option<String> {
    let show = |value: f64| format!("{value:.digits$}");
    let low = show(values.iter().copied().reduce(f64::min)?);
    let high = show(values.into_iter().reduce(f64::max)?);
    Some(if low == high { format!("{low} {unit}") } else { format!("{low} to {high} {unit}") })
}

/// A sentence for each limit of links that highest rates were searched under. Where several searches had as many brokers,
/// the lowest rate counts.
pub(super) fn brokers_needed(report: &SuiteReport) -> Vec<String> {
    let mut all: BTreeMap<(Option<u64>, String), BTreeMap<u32, u64>> = BTreeMap::new();
    for search in report.scenarios.iter().filter_map(|it| it.max_rate.as_ref()) {
        let Some(held) = search.held.filter(|_| search.ended && search.brokers > 0) else {
            continue;
        };
        let of = all.entry((search.link_bytes_per_s, search.objective.join(", "))).or_default();
        of.entry(search.brokers).and_modify(|lowest| *lowest = held.min(*lowest)).or_insert(held);
    }
    let sentence = |((links, objective), rates): ((Option<u64>, String), BTreeMap<u32, u64>)| {
        let under = match links {
            Some(bytes) => format!("With links of {:.3} MB/s each way", bytes as f64 / 1e6),
            // What its links take, and whether its brokers share a machine, is not kbench's to say.
            None if report.suite.cluster.is_some() => "On this cluster as it is".to_owned(),
            None => "With brokers that share this machine".to_owned(),
        };
        let each = rates.iter().map(|(brokers, rate)| format!("{brokers} up to {rate} records/s"));
        let each = each.collect::<Vec<_>>().join(", ");
        format!("{under} and the objective {objective}, brokers needed: {each}")
    };
    all.into_iter().map(sentence).collect()
}
