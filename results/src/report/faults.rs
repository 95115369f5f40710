//! The faults of a trial, as reports have them.

use crate::judge::recovery::Recovery;
use crate::judge::timeline::Timeline;

use super::FaultReport;

/// A row a fault, in the order in which they were injected.
pub(super) fn of(trial: u32, timeline: &Timeline, recovery: &Recovery) -> Vec<FaultReport> {
    let both = timeline.faults.iter().zip(&recovery.controllers);
    both.map(|(fault, controller)| {
        let restored = recovery
            .partitions
            .iter()
            .find(|row| row.fault == fault.id && row.throughput_restored_s.is_some());
        let evidence = fault.evidence.iter().chain(&fault.heal_evidence);
        FaultReport {
            trial,
            id: fault.id.clone(),
            fault: fault.fault.clone(),
            target: fault.target.clone(),
            victims: fault.victims.clone(),
            effect: fault.effect,
            injected_s: fault.injecting.as_secs_f64(),
            healed_s: fault.healed.map(|at| at.as_secs_f64()),
            evidence: evidence.cloned().collect(),
            proven: fault.proven,
            heal_proven: fault.heal_proven,
            took_s: fault.took_s,
            shown_s: fault.shown_s,
            recovered: fault.recovered,
            waited_for_session_s: fault.waited_for_session_s,
            controller: controller.clone(),
            throughput_restored_s: restored.and_then(|row| row.throughput_restored_s),
        }
    })
    .collect()
}
