//! What the servers took of their hosts.

use crate::judge::usage::ServerUse;
use crate::record::event::Process;

use super::super::Report;
use super::{Tone, cell, number, section, show, table};

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
    for (process, used) in by_server(report) {
        let most = used.iter().map(|one| one.cpu_share_most).fold(0.0, f64::max);
        let memory = used.iter().map(|one| one.memory_bytes).max().unwrap_or_default();
        let kb = |of: &dyn Fn(&ServerUse) -> Option<f64>| number(&kilobytes(&used, of), colours);
        rows.add_row(vec![
            cell(&process.to_string(), Tone::Plain, colours),
            number(&percent(mean(used.iter().map(|one| one.cpu_share))), colours),
            number(&percent(most), colours),
            number(&format!("{:.0}", memory as f64 / 1e6), colours),
            kb(&|one| Some(one.disk_bytes_per_s?[0])),
            kb(&|one| Some(one.disk_bytes_per_s?[1])),
            kb(&|one| Some(one.network_bytes_per_s?[0])),
            kb(&|one| Some(one.network_bytes_per_s?[1])),
        ]);
    }
    show(out, &rows);
}

/// The servers that were seen, each with its use in every trial.
pub(in crate::report) fn by_server(report: &Report) -> Vec<(&Process, Vec<&ServerUse>)> {
    let mut all: Vec<&Process> = report.servers.iter().map(|used| &used.process).collect();
    all.sort();
    all.dedup();
    let used = |process: &Process| {
        report.servers.iter().filter(|used| used.process == *process).collect()
    };
    all.into_iter().map(|process| (process, used(process))).collect()
}

/// The mean of a figure over the trials, in KB; "-" where one does not tell it.
pub(in crate::report) fn kilobytes(
    used: &[&ServerUse],
    of: &dyn Fn(&ServerUse) -> Option<f64>,
) -> String {
    let told: Option<Vec<f64>> = used.iter().map(|one| of(one)).collect();
    told.map_or("-".to_owned(), |all| format!("{:.0}", mean(all.into_iter()) / 1e3))
}

/// A share in per cent.
pub(in crate::report) fn percent(share: f64) -> String {
    format!("{:.0}", share * 100.0)
}

pub(in crate::report) fn mean(figures: impl Iterator<Item = f64>) -> f64 {
    let (sum, n) = figures.fold((0.0, 0), |(sum, n), figure| (sum + figure, n + 1));
    sum / f64::from(n.max(1))
}
