//! `summary.csv`: one row a trial, fault, stream and partition. Unknown figures are empty.

use std::io;

use super::Report;
use crate::terminal::printable_line;

const HEADER: [&str; 29] = [
    "run_id",
    "trial",
    "fault",
    "stream",
    "topic",
    "partition",
    "led",
    "added",
    "interrupted",
    "longest_response_s",
    "censored",
    "unavailable_s",
    "gaps",
    "gaps_s",
    "total_s",
    "detect_s",
    "elect_s",
    "copies_s",
    "metadata_s",
    "answer_s",
    "client_s",
    "heal_s",
    "kbench_wait_s",
    "client_failed_s",
    "phase_residual_s",
    "first_error_s",
    "first_ack_s",
    "throughput_restored_s",
    "isr_full_s",
];

/// A text from the record as a field: on one line, harmless on a terminal, and no formula to a spreadsheet.
pub(super) fn field(text: &str) -> String {
    let text = printable_line(text);
    let formula = text.starts_with(['=', '+', '-', '@']);
    if formula { format!("'{text}") } else { text.into_owned() }
}

/// Writes the recovery table.
pub fn write(out: impl io::Write, report: &Report) -> Result<(), ::csv::Error> {
    let mut writer = ::csv::Writer::from_writer(out);
    writer.write_record(HEADER)?;
    let seconds = |value: f64| format!("{value:.3}");
    let optional = |value: Option<f64>| value.map(seconds).unwrap_or_default();
    for row in &report.recovery {
        writer.write_record([
            field(&report.run.run_id),
            row.trial.to_string(),
            field(&row.fault),
            row.stream.as_str().to_owned(),
            field(&row.topic),
            row.partition.to_string(),
            row.led.map(|led| led.to_string()).unwrap_or_default(),
            row.added.to_string(),
            row.interrupted.to_string(),
            optional(row.longest_response_s),
            row.censored.to_string(),
            seconds(row.unavailable_s),
            row.gaps.to_string(),
            seconds(row.gaps_s),
            seconds(row.total_s),
            optional(row.phases_s.detect),
            optional(row.phases_s.elect),
            optional(row.phases_s.copies),
            optional(row.phases_s.metadata),
            optional(row.phases_s.answer),
            optional(row.phases_s.client),
            seconds(row.heal_s),
            seconds(row.kbench_wait_s),
            seconds(row.client_failed_s),
            seconds(row.phase_residual_s),
            optional(row.first_error_s),
            optional(row.first_ack_s),
            optional(row.throughput_restored_s),
            optional(row.isr_full_s),
        ])?;
    }
    writer.flush()?;
    Ok(())
}
