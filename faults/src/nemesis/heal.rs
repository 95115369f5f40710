//! Healing: carries out what the ledger lists, newest first, and strikes it off when evidence
//! shows that it is undone.
//!
//! ZooKeeper comes before what depends on it, and its servers come back together: one alone has no
//! quorum to join. A failure never stops the rest from being tried. What is not proven stays in the
//! ledger.

use futures::future::join_all;
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

/// Undoes what one fault made necessary: first the fault itself, ZooKeeper's part of it foremost,
/// then what was done to the layout to prepare it, which needs a cluster that works.
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
        let (zookeeper, others): (Vec<_>, Vec<_>) =
            fault.into_iter().partition(|entry| entry.undo.is_of_zookeeper());
        let mut undone = vec![];
        for together in [zookeeper, others] {
            undone.extend(undo_all(&together, cluster, conductor, ledger, &mut failures).await);
        }
        let waited = undone.iter().map(|undone| undone.waited_for_session).max();
        let evidence = Evidence::all(undone.into_iter().map(|undone| undone.evidence));
        let healed = EventKind::FaultHealed {
            fault_id,
            evidence: evidence.lines,
            proven: evidence.proven,
            waited_for_session_s: waited.unwrap_or_default().as_secs_f64(),
        };
        conductor.record(conductor.now(), healed);
    }
    undo_all(&layout, cluster, conductor, ledger, &mut failures).await;
    failures
}

/// Carries out the entries at the same time; what each of them showed.
async fn undo_all(
    entries: &[Entry],
    cluster: &dyn Cluster,
    conductor: &dyn Conductor,
    ledger: &mut Ledger,
    failures: &mut Vec<Failure>,
) -> Vec<Undone> {
    let carried_out = entries.iter().map(|entry| entry.undo.carry_out(cluster, conductor));
    let mut shown = vec![];
    for (entry, undone) in entries.iter().zip(join_all(carried_out).await) {
        let undone = undone.unwrap_or_else(|error| Undone {
            evidence: Evidence::of(format!("cannot {}: {error}", entry.undo), false),
            ..Undone::default()
        });
        if undone.evidence.proven {
            let written = ledger.done(entry.id, conductor.now());
            failures.extend(written.err().map(Failure::Ledger));
        } else {
            let (step, undo) = (entry.fault_id.clone(), entry.undo.to_string());
            let why = undone.evidence.lines.join(", ");
            failures.push(Failure::Undo { step, undo, why });
        }
        shown.push(undone);
    }
    shown
}
