//! Faults in the order of their injection, each with what it did to the controller and partitions.

use std::cmp::Ordering;

use comfy_table::Cell;

use crate::judge::recovery::{ControllerFailover, PartitionRecovery, StreamKind};
use crate::record::event::{Process, Role};

use super::super::{FaultReport, Report};
use super::{
    Tone, bullet, cell, known, line, number, paint, phase_cells, phase_columns, phase_headers,
    rest, seconds, section, show, table, wrapped,
};

pub(super) fn render(out: &mut String, report: &Report, colours: bool) {
    if report.faults.is_empty() && report.skipped.is_empty() {
        return;
    }
    section(out, "Faults");
    let mut rows = report.recovery.iter();
    let direct = match report.trials == 1 && rows.any(|row| row.stream == StreamKind::Direct) {
        true => " direct: the same partitions without librdkafka;",
        false => "",
    };
    bullet(
        out,
        &format!(
            "main: the main load;{direct} probe: acks=1 on its own topic; reads: old records. Unavailable in \
             seconds, or no and the longest response. ISR: the fewest members; full: seconds after the \
             injection."
        ),
    );
    if report.trials > 1 {
        all(out, report, colours);
        bullet(out, "every partition with its phases and all evidence: report.json, summary.csv");
    } else {
        report.faults.iter().for_each(|fault| one(out, report, fault, colours));
    }
    skipped(out, report);
}

pub(super) fn skipped(out: &mut String, report: &Report) {
    for step in &report.skipped {
        bullet(out, &format!("trial {}, {}: skipped: {}", step.trial, step.id, step.reason));
    }
}

/// A line a fault, with the worst partition of each kind of client.
pub(super) fn all(out: &mut String, report: &Report, colours: bool) {
    let header =
        ["trial", "fault", "victims", "proof", "controller", "main", "probe", "reads", "full"];
    let mut shown = table(&header, colours);
    for fault in &report.faults {
        let controller = fault
            .controller
            .as_ref()
            .map(|c| format!("{}{} s", if c.censored { ">= " } else { "" }, seconds(c.failover_s)));
        let full = rows(report, fault).filter_map(|row| row.isr_full_s).reduce(f64::max);
        let mut cells = vec![
            cell(&fault.trial.to_string(), Tone::Plain, colours),
            cell(&fault.id, Tone::Plain, colours),
            cell(&ids(&fault.victims), Tone::Plain, colours),
            proof(fault, colours),
            cell(&controller.unwrap_or_default(), Tone::Plain, colours),
        ];
        for kind in [StreamKind::Main, StreamKind::Probe, StreamKind::Reads] {
            let of_kind = rows(report, fault).filter(|row| row.stream == kind);
            let worst = of_kind.max_by(|a, b| {
                (a.censored, a.unavailable_s, a.longest_response_s)
                    .partial_cmp(&(b.censored, b.unavailable_s, b.longest_response_s))
                    .unwrap_or(Ordering::Equal)
            });
            cells.push(worst.map_or_else(|| Cell::new("-"), |row| unavailable_cell(row, colours)));
        }
        cells.push(number(&known(full), colours));
        shown.add_row(cells);
    }
    show(out, &shown);
    for row in report.recovery.iter().filter(|row| row.gaps > 1) {
        let PartitionRecovery { trial, fault, topic, partition, gaps, gaps_s, .. } = row;
        let (stream, in_sum) = (row.stream.as_str(), seconds(*gaps_s));
        let what = format!("{stream} {topic}-{partition}: {gaps} gaps, {in_sum} s in sum");
        bullet(out, &format!("trial {trial}, {fault}: {what}"));
    }
    for row in &report.recovery {
        let after_heal = row.after_heal_gap_s.filter(|after_heal| *after_heal > 0.0);
        let Some(after_heal) = after_heal.map(seconds) else { continue };
        let PartitionRecovery { trial, fault, topic, partition, .. } = row;
        let least = if row.after_heal_censored { ">= " } else { "" };
        let what = format!("{} {topic}-{partition}: {least}{after_heal} s", row.stream.as_str());
        bullet(out, &format!("trial {trial}, {fault}: {what} that began after the heal"));
    }
}

/// The struck brokers by their ids; other servers with their role.
fn ids(victims: &[Process]) -> String {
    let id = |victim: &Process| match victim.role {
        Role::Broker => victim.id.to_string(),
        Role::Zookeeper => format!("zookeeper {}", victim.id),
    };
    victims.iter().map(id).collect::<Vec<_>>().join(", ")
}

fn proof(fault: &FaultReport, colours: bool) -> Cell {
    match (fault.proven, fault.heal_proven) {
        (true, true) => cell("proven, healed", Tone::Good, colours),
        (true, false) => cell("NOT HEALED", Tone::Bad, colours),
        (false, _) => cell("UNPROVEN", Tone::Bad, colours),
    }
}

fn unavailable_cell(row: &PartitionRecovery, colours: bool) -> Cell {
    let felt = row.interrupted || row.after_heal_gap_s.is_some_and(|seconds| seconds > 0.0);
    let tone = match (felt, row.censored) {
        (_, true) => Tone::Bad,
        (true, false) => Tone::Doubt,
        (false, false) => Tone::Good,
    };
    cell(&unavailable(row), tone, colours)
}

fn one(out: &mut String, report: &Report, fault: &FaultReport, colours: bool) {
    let proof = match (fault.proven, fault.heal_proven) {
        (true, true) => paint("proven, healed", Tone::Good, colours),
        (true, false) => paint("proven, NOT PROVEN TO BE HEALED", Tone::Bad, colours),
        (false, _) => paint("UNPROVEN", Tone::Bad, colours),
    };
    let victims: Vec<_> = fault.victims.iter().map(Process::to_string).collect();
    let equals = if victims.is_empty() { "" } else { " = " };
    let headline = format!(
        "{}: {} {}{equals}{}, at {} s{}; {proof}",
        fault.id,
        fault.fault,
        fault.target,
        victims.join(", "),
        seconds(fault.injected_s),
        promptness(fault)
    );
    line(out, "");
    wrapped(out, " ", "   ", &headline);
    for evidence in &fault.evidence {
        detail(out, &format!("evidence: {evidence}"));
    }
    if fault.recovered == Some(false) {
        detail(out, "did not recover while the fault lasted");
    }
    if let Some(controller) = &fault.controller {
        detail(out, &failover(controller));
    }
    if let Some(restored) = fault.throughput_restored_s {
        detail(out, &format!("throughput back at 95 % after {restored:.0} s"));
    } else if hurt_main_load(report, fault) {
        detail(
            out,
            "throughput: not seen to hold 95 % for 5 s before the record of the fault ends",
        );
    }
    if fault.waited_for_session_s >= 0.05 {
        let waited = seconds(fault.waited_for_session_s);
        detail(
            out,
            &format!(
                "kbench waited {waited} s for the stale registration before it could start the broker"
            ),
        );
    }
    partitions(out, report, fault, colours);
}

/// How soon after the decision it was done and in effect.
pub(in crate::report) fn promptness(fault: &FaultReport) -> String {
    match (fault.took_s, fault.shown_s) {
        (Some(took), Some(shown)) => {
            format!(" (done in {:.1} ms, shown by {:.0} ms)", took * 1e3, shown * 1e3)
        }
        _ => String::new(),
    }
}

fn hurt_main_load(report: &Report, fault: &FaultReport) -> bool {
    rows(report, fault).any(|row| row.stream == StreamKind::Main && row.interrupted)
}

pub(in crate::report) fn rows<'a>(
    report: &'a Report,
    fault: &'a FaultReport,
) -> impl Iterator<Item = &'a PartitionRecovery> {
    report.recovery.iter().filter(|row| row.trial == fault.trial && row.fault == fault.id)
}

/// Phases that each table has a column for; with more it is set closer.
const USUAL_PHASES: usize = 4;

fn partitions(out: &mut String, report: &Report, fault: &FaultReport, colours: bool) {
    let rows: Vec<&PartitionRecovery> = rows(report, fault).collect();
    if rows.is_empty() {
        return;
    }
    let with_rest = rows.iter().any(|row| rest(row.phase_residual_s).is_some());
    let with_own = rows.iter().any(|row| row.client_failed_s > 0.0);
    let phases = phase_columns(rows.iter().map(|row| &row.phases_s));
    let mut header = vec!["clients", "partition", "led", "unavailable"];
    header.extend(phase_headers(&phases).chain(["heal"]));
    header.extend(with_rest.then_some("rest"));
    header.extend(with_own.then_some("own end"));
    header.extend(["full", "ISR"]);
    let mut shown = table(&header, colours);
    if phases.len() > USUAL_PHASES {
        shown.column_iter_mut().for_each(|column| {
            column.set_padding((0, 1));
        });
    }
    for row in &rows {
        let mut cells = vec![
            cell(row.stream.as_str(), Tone::Plain, colours),
            cell(&format!("{}-{}", row.topic, row.partition), Tone::Plain, colours),
            cell(led(row.led), Tone::Plain, colours),
            unavailable_cell(row, colours),
        ];
        cells.extend(phase_cells(&row.phases_s, row.phase_residual_s, &phases, colours));
        cells.push(number(&known(row.ended_after_heal.then_some(row.heal_s)), colours));
        cells.extend(with_rest.then(|| number(&known(rest(row.phase_residual_s)), colours)));
        let own = Some(row.client_failed_s).filter(|seconds| *seconds > 0.0);
        cells.extend(with_own.then(|| number(&known(own), colours)));
        cells.push(number(&known(row.isr_full_s), colours));
        let least = row.min_isr.map(|n| n.to_string()).unwrap_or_default();
        cells.push(number(&least, colours));
        shown.add_row(cells);
    }
    show(out, &shown);
    let mut told: Vec<&str> = Vec::new();
    for row in &rows {
        let Some(note) = row.note.as_deref().filter(|note| !told.contains(note)) else {
            continue;
        };
        told.push(note);
        bullet(out, &format!("{} {}-{}: {note}", row.stream.as_str(), row.topic, row.partition));
    }
}

fn detail(out: &mut String, text: &str) {
    wrapped(out, "   ", "     ", text);
}

/// Detect and elect add up to the failover; what the live brokers need comes after it.
pub(in crate::report) fn failover(c: &ControllerFailover) -> String {
    let to = c.to.map_or("nobody".to_owned(), |broker| format!("broker {broker}"));
    let least = if c.censored { ">= " } else { "" };
    let part = |value: Option<f64>| value.map_or("not seen".to_owned(), seconds);
    // Where it is not known, the note says so.
    let known = c.known_s.map(|s| format!("; all live brokers know it {} s later", seconds(s)));
    let note = c.note.as_ref().map(|note| format!("; {note}")).unwrap_or_default();
    format!(
        "controller: broker {} -> {to} in {least}{} s = detect {} + elect {}{}{note}",
        c.from,
        seconds(c.failover_s),
        part(c.phases.detect),
        part(c.phases.elect),
        known.unwrap_or_default()
    )
}

pub(in crate::report) fn led(led: Option<bool>) -> &'static str {
    match led {
        Some(true) => "yes",
        Some(false) => "no",
        None => "?",
    }
}

pub(in crate::report) fn unavailable(row: &PartitionRecovery) -> String {
    match (row.interrupted, row.censored) {
        (false, _) => row.longest_response_s.map_or_else(
            || "no".to_owned(),
            |response| format!("no, {} ms", (response * 1e3).round()),
        ),
        (true, false) => format!("{} s", seconds(row.unavailable_s)),
        (true, true) => format!(">= {} s", seconds(row.unavailable_s)),
    }
}
