//! Faults, each with the phases of what it interrupted as bars.

use serde::Serialize;

use super::{BAD, DOUBT, GOOD, ToneClass};
use crate::judge::recovery::PartitionRecovery;
use crate::report::text::faults::{failover, led, promptness, rows, unavailable};
use crate::report::text::{rest, seconds};
use crate::report::{FaultReport, Report};

/// A fault as it is shown.
#[derive(Serialize)]
pub(in crate::report) struct FaultRow<'a> {
    fault: &'a FaultReport,
    victims: String,
    at: String,
    promptness: String,
    proof: &'static str,
    tone: ToneClass,
    controller: Option<String>,
    /// Seconds at the end of the bars' scale.
    end_s: String,
    partitions: Vec<PartitionBar<'a>>,
    notes: Vec<&'a str>,
}

/// What a fault did to one partition for one kind of clients.
#[derive(Serialize)]
struct PartitionBar<'a> {
    clients: &'static str,
    topic: &'a str,
    partition: i32,
    led: &'static str,
    unavailable: String,
    tone: ToneClass,
    parts: Vec<BarPart>,
    isr_full: String,
    min_isr: Option<usize>,
}

/// A phase of a bar.
#[derive(Serialize)]
struct BarPart {
    name: &'static str,
    seconds: String,
    /// Of the scale.
    percent: f64,
}

pub(in crate::report) fn faults(report: &Report) -> Vec<FaultRow<'_>> {
    report.faults.iter().map(|fault| row(report, fault)).collect()
}

fn row<'a>(report: &'a Report, fault: &'a FaultReport) -> FaultRow<'a> {
    let rows: Vec<&PartitionRecovery> = rows(report, fault).collect();
    let longest = rows.iter().map(|row| row.unavailable_s).fold(0.001, f64::max);
    let (proof, tone) = match (fault.proven, fault.heal_proven) {
        (true, true) => ("proven, healed", GOOD),
        (true, false) => ("proven, not proven to be healed", BAD),
        (false, _) => ("unproven", BAD),
    };
    let mut notes: Vec<&str> = rows.iter().filter_map(|row| row.note.as_deref()).collect();
    notes.dedup();
    FaultRow {
        fault,
        victims: fault.victims.iter().map(ToString::to_string).collect::<Vec<_>>().join(", "),
        at: seconds(fault.injected_s),
        promptness: promptness(fault),
        proof,
        tone,
        controller: fault.controller.as_ref().map(failover),
        end_s: seconds(longest),
        partitions: rows.iter().map(|row| bar(row, longest)).collect(),
        notes,
    }
}

fn bar(row: &PartitionRecovery, longest: f64) -> PartitionBar<'_> {
    let part = |name, value: f64| {
        let percent = value / longest * 100.0;
        BarPart { name, seconds: seconds(value), percent }
    };
    let phases = row.phases_s.named().into_iter();
    let mut parts: Vec<BarPart> = phases
        .filter_map(|(name, value)| value.filter(|s| *s > 0.0).map(|value| part(name, value)))
        .collect();
    parts.extend(rest(row.phase_residual_s).filter(|s| *s > 0.0).map(|value| part("rest", value)));
    PartitionBar {
        clients: row.stream.as_str(),
        topic: &row.topic,
        partition: row.partition,
        led: led(row.led),
        unavailable: unavailable(row),
        tone: match (row.interrupted, row.censored) {
            (_, true) => BAD,
            (true, false) => DOUBT,
            (false, false) => GOOD,
        },
        parts: if row.interrupted { parts } else { vec![] },
        isr_full: row.isr_full_s.map(seconds).unwrap_or_default(),
        min_isr: row.min_isr,
    }
}
