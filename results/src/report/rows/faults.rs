//! Faults, each with the phases of what it interrupted as bars.

use serde::Serialize;

use super::predicted::Predictions;
use super::{BAD, DOUBT, GOOD, ToneClass};
use crate::judge::claim::ClaimResult;
use crate::judge::recovery::PartitionRecovery;
use crate::record::trial::TrialRecord;
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
    /// What claims state and the settings predict of how long it lasts, on the same scale: begin and length.
    stated: Vec<[f64; 2]>,
    predicted: Option<[f64; 2]>,
    /// The same in words.
    bands: String,
    isr_full: String,
    min_isr: Option<usize>,
}

/// What claims state and the settings predict of a partition, in seconds.
struct RowBands<'a> {
    row: &'a PartitionRecovery,
    stated: Vec<(&'a str, [f64; 2])>,
    predicted: Option<[f64; 2]>,
}

/// A phase of a bar.
#[derive(Serialize)]
struct BarPart {
    name: &'static str,
    seconds: String,
    /// Of the scale.
    percent: f64,
}

pub(in crate::report) fn faults<'a>(
    report: &'a Report,
    trials: &[TrialRecord],
) -> Vec<FaultRow<'a>> {
    let predictions = Predictions::of(report, trials);
    let banded = |fault: &'a FaultReport| {
        let bands = rows(report, fault).map(|row| RowBands {
            row,
            stated: stated(report, fault, row),
            predicted: predictions.unavailable_s(row),
        });
        bands.collect()
    };
    report.faults.iter().map(|fault| row(fault, banded(fault))).collect()
}

/// What the judged claims state of how long a partition is unavailable: ids and intervals.
fn stated<'a>(
    report: &'a Report,
    fault: &FaultReport,
    row: &PartitionRecovery,
) -> Vec<(&'a str, [f64; 2])> {
    let states = |claim: &'a ClaimResult| {
        let of_it = claim.outages.as_ref()?.has(row) && fault.proven;
        Some((claim.id.as_str(), claim.stated_s.filter(|_| of_it)?))
    };
    report.claims.iter().filter_map(states).collect()
}

fn row<'a>(fault: &'a FaultReport, banded: Vec<RowBands<'a>>) -> FaultRow<'a> {
    let rows: Vec<&PartitionRecovery> = banded.iter().map(|it| it.row).collect();
    let longest = banded.iter().map(RowBands::end_s).fold(0.001, f64::max);
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
        partitions: banded.iter().map(|it| it.bar(longest)).collect(),
        notes,
    }
}

impl<'a> RowBands<'a> {
    /// What the scale must reach.
    fn end_s(&self) -> f64 {
        let bands = self.stated.iter().map(|(_, band)| *band).chain(self.predicted);
        bands.map(|[_, end]| end).fold(self.row.unavailable_s, f64::max)
    }

    fn words(&self) -> String {
        let interval = |[from, to]: [f64; 2]| format!("{} to {} s", seconds(from), seconds(to));
        let stated = self.stated.iter();
        let stated = stated.map(|(id, band)| format!("stated {} ({id})", interval(*band)));
        let predicted = self.predicted.map(|band| format!("predicted {}", interval(band)));
        stated.chain(predicted).collect::<Vec<_>>().join(", ")
    }

    fn bar(&self, longest: f64) -> PartitionBar<'a> {
        let row = self.row;
        let band = |[from, to]: [f64; 2]| [from / longest * 100.0, (to - from) / longest * 100.0];
        let part = |name, value: f64| {
            let percent = value / longest * 100.0;
            BarPart { name, seconds: seconds(value), percent }
        };
        let phases = row.phases_s.named().into_iter();
        let mut parts: Vec<BarPart> = phases
            .filter_map(|(name, value)| value.filter(|s| *s > 0.0).map(|value| part(name, value)))
            .collect();
        parts.extend(
            rest(row.phase_residual_s).filter(|s| *s > 0.0).map(|value| part("rest", value)),
        );
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
            stated: self.stated.iter().map(|(_, it)| band(*it)).collect(),
            predicted: self.predicted.map(band),
            bands: self.words(),
            isr_full: row.isr_full_s.map(seconds).unwrap_or_default(),
            min_isr: row.min_isr,
        }
    }
}
