//! What the servers took of their hosts.

use std::collections::BTreeMap;

use crate::judge::threshold::{Threshold, TimeAbove};
use crate::judge::usage::ServerUse;
use crate::record::event::Process;

use super::super::Report;
use super::{Tone, bullet, cell, number, section, show, table};

/// A row a server, over all trials; nothing where no server was seen.
pub(super) fn servers(out: &mut String, report: &Report, colours: bool) {
    if report.servers.is_empty() {
        return;
    }
    section(out, "Servers while the load ran");
    let mut rows = table(
        &["server", "CPU %", "most", "memory MB", "read", "written", "received", "sent KB/s"],
        colours,
    );
    let mut all: Vec<&Process> = report.servers.iter().map(|used| &used.process).collect();
    all.sort();
    all.dedup();
    for process in all {
        let used: Vec<&ServerUse> =
            report.servers.iter().filter(|used| used.process == *process).collect();
        let percent = |share: f64| format!("{:.0}", share * 100.0);
        let most = used.iter().map(|one| one.cpu_share_most).fold(0.0, f64::max);
        let memory = used.iter().map(|one| one.memory_bytes).max().unwrap_or_default();
        let kb = |of: &dyn Fn(&ServerUse) -> Option<f64>| {
            let told: Option<Vec<f64>> = used.iter().map(|one| of(one)).collect();
            told.map_or("-".to_owned(), |all| format!("{:.0}", mean(all.into_iter()) / 1e3))
        };
        rows.add_row(vec![
            cell(&process.to_string(), Tone::Plain, colours),
            number(&percent(mean(used.iter().map(|one| one.cpu_share))), colours),
            number(&percent(most), colours),
            number(&format!("{:.0}", memory as f64 / 1e6), colours),
            number(&kb(&|one| Some(one.disk_bytes_per_s?[0])), colours),
            number(&kb(&|one| Some(one.disk_bytes_per_s?[1])), colours),
            number(&kb(&|one| Some(one.network_bytes_per_s?[0])), colours),
            number(&kb(&|one| Some(one.network_bytes_per_s?[1])), colours),
        ]);
    }
    show(out, &rows);
    Threshold::ALL.into_iter().for_each(|threshold| bullet(out, &above(threshold, report)));
}

/// For how long a threshold was exceeded, where, over all trials.
fn above(threshold: Threshold, report: &Report) -> String {
    let mut places: BTreeMap<&str, Vec<&TimeAbove>> = BTreeMap::new();
    for one in report.thresholds.iter().filter(|one| one.threshold == threshold) {
        places.entry(&one.place).or_default().push(one);
    }
    let what = threshold.words();
    if places.is_empty() {
        let why = match threshold {
            Threshold::Network => "no limit of a link is known",
            Threshold::Lag => "nobody consumed for as long as it takes to see that",
            Threshold::Cpu | Threshold::Disk => "not seen",
        };
        return format!("{what}: {why}");
    }
    let total =
        |all: &[&TimeAbove], of: fn(&TimeAbove) -> f64| all.iter().map(|one| of(one)).sum::<f64>();
    let most = |all: &[&TimeAbove]| all.iter().map(|one| one.most).fold(0.0, f64::max) * 100.0;
    let exceeded = |all: &&Vec<&TimeAbove>| total(all, |one| one.above_s) > 0.0;
    let mut told: Vec<String> = vec![];
    for (place, all) in places.iter().filter(|(_, all)| exceeded(all)) {
        let (above, over) = (total(all, |one| one.above_s), total(all, |one| one.over_s));
        told.push(format!("{place} for {above:.0} of {over:.0} s, {:.0} % at most", most(all)));
    }
    let calm: Vec<_> = places.values().filter(|all| !exceeded(all)).collect();
    if !calm.is_empty() {
        let highest = calm.iter().map(|all| most(all)).fold(0.0, f64::max);
        let whose = if told.is_empty() { "never" } else { "elsewhere never" };
        told.push(format!("{whose}, {highest:.0} % at most"));
    }
    format!("{what}: {}", told.join("; "))
}

fn mean(figures: impl Iterator<Item = f64>) -> f64 {
    let (sum, n) = figures.fold((0.0, 0), |(sum, n), figure| (sum + figure, n + 1));
    sum / f64::from(n.max(1))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture;

    #[test]
    fn thresholds_are_told_with_the_time_above_them_per_node_or_why_not() {
        let trial = fixture::three_faults(1).trial();
        let mut report = crate::report::judge(&fixture::question(1), &[trial]);
        let one = |trial, threshold, place: &str, above_s, most| TimeAbove {
            trial,
            threshold,
            place: place.to_owned(),
            above_s,
            over_s: 60.0,
            most,
        };
        report.thresholds = vec![
            one(1, Threshold::Cpu, "n1", 4.0, 0.85),
            one(2, Threshold::Cpu, "n1", 8.0, 0.95),
            one(1, Threshold::Cpu, "n2", 0.0, 0.42),
            one(1, Threshold::Disk, "n1", 0.0, 0.1),
        ];
        let lines: Vec<_> = Threshold::ALL.into_iter().map(|it| above(it, &report)).collect();
        assert_eq!(
            lines,
            [
                "CPU > 80 %: n1 for 12 of 120 s, 95 % at most; elsewhere never, 42 % at most",
                "disk > 70 %: never, 10 % at most",
                "network saturated (90 % of the link's limit): no limit of a link is known",
                "consumers' lag growing (by a tenth of what is acked): nobody consumed for as long as it takes to \
                 see that",
            ]
        );
    }
}
