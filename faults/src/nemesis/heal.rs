//! Healing: carries out what the ledger lists, newest first, and strikes it off when evidence
//! shows that it is undone.
//!
//! A failure never stops the rest from being tried. What is not proven stays in the ledger.

use results::event::EventKind;

use super::{Failure, NemesisError};
use crate::fault::Evidence;
use crate::ledger::{Entry, Ledger};
use crate::port::{Cluster, Conductor};
use crate::undo::Undone;

/// Undoes everything that `ledger` lists. An error says what failed and what is left.
pub async fn heal_all(
    cluster: &dyn Cluster,
    conductor: &dyn Conductor,
    ledger: &mut Ledger,
) -> Result<(), NemesisError> {
    verdict(heal_outstanding(cluster, conductor, ledger).await, ledger)
}

/// An error unless nothing failed and nothing is left.
pub(super) fn verdict(failures: Vec<Failure>, ledger: &Ledger) -> Result<(), NemesisError> {
    let left = ledger.outstanding();
    if failures.is_empty() && left.entries.is_empty() {
        return Ok(());
    }
    Err(NemesisError { failures, left })
}

/// Undoes everything that `ledger` lists, the newest fault first.
pub(super) async fn heal_outstanding(
    cluster: &dyn Cluster,
    conductor: &dyn Conductor,
    ledger: &mut Ledger,
) -> Vec<Failure> {
    let mut failures = vec![];
    let mut faults: Vec<_> =
        ledger.outstanding().entries.into_iter().rev().map(|entry| entry.fault_id).collect();
    faults.dedup();
    for fault_id in faults {
        failures.extend(heal_fault(&fault_id, cluster, conductor, ledger).await);
    }
    failures
}

/// Undoes what one fault made necessary: first the fault itself, then what was done to the
/// layout to prepare it, which needs a cluster that works.
pub(super) async fn heal_fault(
    fault_id: &str,
    cluster: &dyn Cluster,
    conductor: &dyn Conductor,
    ledger: &mut Ledger,
) -> Vec<Failure> {
    let of_fault =
        ledger.outstanding().entries.into_iter().rev().filter(|e| e.fault_id == fault_id);
    let (layout, fault): (Vec<_>, Vec<_>) = of_fault.partition(|e| e.undo.is_of_layout());
    let mut failures = vec![];
    if !fault.is_empty() {
        let fault_id = fault_id.to_owned();
        let healing = EventKind::FaultHealing { fault_id: fault_id.clone() };
        conductor.record(conductor.now(), healing);
        let healed = undo_each(&fault, cluster, conductor, ledger, &mut failures).await;
        let healed = EventKind::FaultHealed {
            fault_id,
            evidence: healed.evidence.lines,
            proven: healed.evidence.proven,
            waited_for_session_s: healed.waited_for_session.as_secs_f64(),
        };
        conductor.record(conductor.now(), healed);
    }
    undo_each(&layout, cluster, conductor, ledger, &mut failures).await;
    failures
}

/// Carries out each entry and sums up what they showed.
async fn undo_each(
    entries: &[Entry],
    cluster: &dyn Cluster,
    conductor: &dyn Conductor,
    ledger: &mut Ledger,
    failures: &mut Vec<Failure>,
) -> Undone {
    let mut waited_for_session = std::time::Duration::ZERO;
    let mut parts = vec![];
    for entry in entries {
        let undone = entry.undo.carry_out(cluster, conductor).await;
        let evidence = match undone {
            Ok(undone) => {
                waited_for_session += undone.waited_for_session;
                undone.evidence
            }
            Err(error) => Evidence::of(format!("cannot {}: {error}", entry.undo), false),
        };
        if evidence.proven {
            let written = ledger.done(entry.id, conductor.now());
            failures.extend(written.err().map(Failure::Ledger));
        } else {
            let (step, undo) = (entry.fault_id.clone(), entry.undo.to_string());
            failures.push(Failure::Undo { step, undo, why: evidence.lines.join(", ") });
        }
        parts.push(evidence);
    }
    Undone { evidence: Evidence::all(parts), waited_for_session }
}
