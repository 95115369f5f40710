//! What a reader may decide by: how many brokers a load takes, and what the way there takes and costs, as far as the
//! searches and changes of a suite say.

use std::collections::BTreeMap;

use super::{ScenarioResult, SuiteReport};

/// All that is known of both.
pub(super) fn sentences(report: &SuiteReport) -> Vec<String> {
    let changed = report.scenarios.iter().filter(|it| !it.changes.is_empty());
    brokers_needed(report).into_iter().chain(changed.map(costs)).collect()
}

/// What each change of a scenario took, and how the response under load was meanwhile.
fn costs(scenario: &ScenarioResult) -> String {
    let of_each = scenario.changes.iter().map(|it| {
        let took = it.took_s.map_or("not completed".to_owned(), |s| format!("{s:.1} s"));
        let ms = |seconds: f64| format!("{:.0} ms", seconds * 1e3);
        let cost = match (it.p99_s, it.p99_before_s) {
            (Some(p99), Some(before)) => format!(", p99 {} and before {}", ms(p99), ms(before)),
            _ => String::new(),
        };
        format!("{} ({took}{cost})", it.what)
    });
    format!("Under load, in {}: {}", scenario.id, of_each.collect::<Vec<_>>().join("; "))
}

/// A sentence for each limit of links that highest rates were searched under. Where several searches had as many brokers,
/// the lowest rate counts.
fn brokers_needed(report: &SuiteReport) -> Vec<String> {
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
            None => "With brokers that share this machine".to_owned(),
        };
        let each = rates.iter().map(|(brokers, rate)| format!("{brokers} up to {rate} records/s"));
        let each = each.collect::<Vec<_>>().join(", ");
        format!("{under} and the objective {objective}, brokers needed: {each}")
    };
    all.into_iter().map(sentence).collect()
}
