//! `consuming.csv`: one row a trial, group, fault and partition. Unknown figures are empty.

use std::io;

use super::Report;
use super::csv::field;

const HEADER: [&str; 20] = [
    "run_id",
    "trial",
    "group",
    "fault",
    "topic",
    "partition",
    "interrupted",
    "censored",
    "unconsumed_s",
    "coordinator_s",
    "rebalance_s",
    "leader_s",
    "fetch_s",
    "phase_residual_s",
    "delivered_s",
    "ended_after_heal",
    "after_heal_s",
    "lag",
    "delivered",
    "redelivered",
];

/// Writes the table of what groups consumed.
pub fn write(out: impl io::Write, report: &Report) -> Result<(), ::csv::Error> {
    let mut writer = ::csv::Writer::from_writer(out);
    writer.write_record(HEADER)?;
    let seconds = |value: f64| format!("{value:.3}");
    let optional = |value: Option<f64>| value.map(seconds).unwrap_or_default();
    for group in &report.consuming {
        for fault in &group.faults {
            for row in &fault.partitions {
                writer.write_record([
                    field(&report.run.run_id),
                    group.trial.to_string(),
                    field(&group.group),
                    field(&fault.fault),
                    field(&group.topic),
                    row.partition.to_string(),
                    row.interrupted.to_string(),
                    row.censored.to_string(),
                    seconds(row.unconsumed_s),
                    optional(row.phases_s.coordinator),
                    optional(row.phases_s.rebalance),
                    optional(row.phases_s.leader),
                    optional(row.phases_s.fetch),
                    seconds(row.phase_residual_s),
                    optional(row.delivered_s),
                    row.ended_after_heal.to_string(),
                    optional(row.after_heal_s),
                    row.lag.to_string(),
                    row.delivered.to_string(),
                    row.redelivered.to_string(),
                ])?;
            }
        }
    }
    writer.flush()?;
    Ok(())
}
