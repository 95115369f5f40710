//! Faults in the order of their injection, each with what it did to the controller and partitions.

use crate::recovery::{PartitionRecovery, StreamKind};

use super::super::{FaultReport, Report};
use super::{Tone, bullet, cell, line, paint, phases, seconds, section, show, table};

pub(super) fn render(out: &mut String, report: &Report, colours: bool) {
    if report.faults.is_empty() && report.skipped.is_empty() {
        return;
    }
    section(out, "Faults (seconds from the injection)");
    for fault in &report.faults {
        one(out, report, fault, colours);
    }
    for step in &report.skipped {
        bullet(
            out,
            &format!(
                "trial {}, {}: skipped: {}",
                step.trial, step.id, step.reason
            ),
        );
    }
}

fn one(out: &mut String, report: &Report, fault: &FaultReport, colours: bool) {
    let trial = if report.trials > 1 {
        format!("trial {} ", fault.trial)
    } else {
        String::new()
    };
    let proof = match (fault.proven, fault.heal_proven) {
        (true, true) => paint("proven, healed", Tone::Good, colours),
        (true, false) => paint("proven, NOT PROVEN TO BE HEALED", Tone::Bad, colours),
        (false, _) => paint("UNPROVEN", Tone::Bad, colours),
    };
    line(
        out,
        &format!(
            "  {trial}{}: {} {} = {}, at {} s; {proof}",
            fault.id,
            fault.fault,
            fault.target,
            fault.resolved.join(", "),
            seconds(fault.injected_s)
        ),
    );
    if fault.recovered == Some(false) {
        line(out, "    did not recover while the fault lasted");
    }
    if let Some(c) = &fault.controller {
        let to =
            c.to.map_or("nobody".to_owned(), |broker| format!("broker {broker}"));
        let least = if c.censored { ">= " } else { "" };
        line(
            out,
            &format!(
                "    controller: broker {} -> {to} in {least}{} s: {}",
                c.from,
                seconds(c.failover_s),
                phases(&c.phases)
            ),
        );
        if let Some(note) = &c.note {
            line(out, &format!("    {note}"));
        }
    }
    if let Some(restored) = fault.throughput_restored_s {
        line(
            out,
            &format!("    throughput back at 95 % after {restored:.0} s"),
        );
    }
    if fault.waited_for_session_s > 0.0 {
        let waited = seconds(fault.waited_for_session_s);
        line(
            out,
            &format!("    kbench waited {waited} s for the stale registration (not Kafka's time)"),
        );
    }
    partitions(out, report, fault, colours);
}

fn partitions(out: &mut String, report: &Report, fault: &FaultReport, colours: bool) {
    let rows: Vec<&PartitionRecovery> = report
        .recovery
        .iter()
        .filter(|row| row.trial == fault.trial && row.fault == fault.id)
        .collect();
    if rows.is_empty() {
        return;
    }
    let header = [
        "clients",
        "partition",
        "led",
        "unavailable",
        "phases",
        "ISR full",
        "least ISR",
    ];
    let mut shown = table(&header, colours);
    for row in &rows {
        let tone = match (row.interrupted, row.censored) {
            (_, true) => Tone::Bad,
            (true, false) => Tone::Doubt,
            (false, false) => Tone::Good,
        };
        shown.add_row(vec![
            cell(clients(row.stream), Tone::Plain, colours),
            cell(
                &format!("{}-{}", row.topic, row.partition),
                Tone::Plain,
                colours,
            ),
            cell(led(row.led), Tone::Plain, colours),
            cell(&unavailable(row), tone, colours),
            cell(&where_it_went(row), Tone::Plain, colours),
            cell(
                &row.isr_full_s.map(seconds).unwrap_or_default(),
                Tone::Plain,
                colours,
            ),
            cell(
                &row.min_isr.map(|n| n.to_string()).unwrap_or_default(),
                Tone::Plain,
                colours,
            ),
        ]);
    }
    show(out, &shown);
    let mut told: Vec<&str> = Vec::new();
    for row in &rows {
        let Some(note) = row.note.as_deref().filter(|note| !told.contains(note)) else {
            continue;
        };
        told.push(note);
        bullet(
            out,
            &format!(
                "{} {}-{}: {note}",
                row.stream.as_str(),
                row.topic,
                row.partition
            ),
        );
    }
}

fn clients(stream: StreamKind) -> &'static str {
    match stream {
        StreamKind::Main => "main load",
        StreamKind::Probe => "acks=1 probe",
        StreamKind::Reads => "read probe",
    }
}

fn led(led: Option<bool>) -> &'static str {
    match led {
        Some(true) => "yes",
        Some(false) => "no",
        None => "?",
    }
}

fn unavailable(row: &PartitionRecovery) -> String {
    match (row.interrupted, row.censored) {
        (false, _) => format!("no (slowest {} s)", seconds(row.unavailable_s)),
        (true, false) => format!("{} s", seconds(row.unavailable_s)),
        (true, true) => format!(">= {} s", seconds(row.unavailable_s)),
    }
}

fn where_it_went(row: &PartitionRecovery) -> String {
    let mut text = phases(&row.phases_s);
    if row.ended_after_heal {
        text.push_str(&format!("  heal {}", seconds(row.heal_s)));
    }
    text.trim_start().to_owned()
}
