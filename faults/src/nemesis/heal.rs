//! Healing: carries out what the ledger lists, newest first, and strikes it off when evidence
//! shows that it is undone.
//!
//! ZooKeeper comes before what depends on it, and its servers come back together: one alone has no
//! quorum to join. A failure never stops the rest from being tried. What is not proven stays in the
//! ledger.

use std::cell::{Cell, RefCell};
use std::collections::BTreeSet;

use futures::future::join_all;
use results::record::event::EventKind;

use super::{Failure, Nemesis, NemesisError};
use crate::evidence::Evidence;
use crate::ledger::{Entry, Ledger};
use crate::port::{Ports, RunControl};
use crate::undo::Undone;
use results::record::clock::RunTime;

/// Undoes everything that `ledger` lists, with the run around it or when that is long over. An error
/// says what failed and what is left.
pub async fn heal_all(
    ports: Ports<'_>,
    run: Option<&dyn RunControl>,
    ledger: &mut Ledger,
) -> Result<(), NemesisError> {
    let ledger = RefCell::new(ledger);
    let healed = Cell::new(false);
    let nemesis = Nemesis { ports, run, ledger: &ledger, healed: &healed, over: true };
    verdict(heal_outstanding(nemesis).await, nemesis)
}

/// Takes away what a trial itself made, when it ends at `now` and nothing of it is in use any more. What its
/// faults left is not touched.
pub async fn end_trial(
    ports: Ports<'_>,
    ledger: &mut Ledger,
    now: RunTime,
) -> Result<(), NemesisError> {
    let mut failures = vec![];
    let made = |entry: &Entry| entry.undo.is_of_trial();
    for entry in ledger.outstanding().entries.into_iter().filter(made) {
        let (step, undo) = (entry.fault_id, entry.undo.to_string());
        match entry.undo.carry_out(ports, None).await {
            Ok(undone) if undone.evidence.proven => {
                failures.extend(ledger.done(entry.id, Some(now)).err().map(Failure::Ledger));
            }
            Ok(undone) => {
                let seen = undone.evidence.lines.join(", ");
                failures.push(Failure::NotUndone { step, undo, seen });
            }
            Err(source) => failures.push(Failure::Undo { step, undo, source }),
        }
    }
    if failures.is_empty() {
        return Ok(());
    }
    let mut left = ledger.outstanding();
    left.entries.retain(made);
    Err(NemesisError { failures, left })
}

/// An error unless nothing failed and nothing is left.
pub(super) fn verdict(failures: Vec<Failure>, nemesis: Nemesis<'_>) -> Result<(), NemesisError> {
    let mut left = nemesis.ledger.borrow().outstanding();
    left.entries = nemesis.outstanding();
    if failures.is_empty() && left.entries.is_empty() {
        return Ok(());
    }
    Err(NemesisError { failures, left })
}

/// Undoes everything that the ledger lists, the newest fault first; what the trial itself made goes last, for what
/// was done to that is undone on it. What fails because of a fault that was still in force is tried again, as long
/// as that heals something.
pub(super) async fn heal_outstanding(nemesis: Nemesis<'_>) -> Vec<Failure> {
    loop {
        let before = nemesis.outstanding();
        let (made, done_to_it): (Vec<_>, Vec<_>) =
            before.iter().rev().partition(|entry| entry.undo.is_of_trial());
        let mut failures = heal_each(&done_to_it, nemesis).await;
        failures.extend(heal_layout(nemesis).await);
        failures.extend(heal_each(&made, nemesis).await);
        let left = nemesis.outstanding().len();
        if left == 0 || left == before.len() {
            return failures;
        }
    }
}

/// Undoes the faults of these entries, one after the other.
async fn heal_each(entries: &[&Entry], nemesis: Nemesis<'_>) -> Vec<Failure> {
    let mut failures = vec![];
    let mut tried = BTreeSet::new();
    for fault_id in entries.iter().map(|entry| &entry.fault_id) {
        // Entries of faults that were injected at the same time may alternate. A second attempt among them would
        // leave the failure of the first, which says no more what is left.
        if tried.insert(fault_id) {
            failures.extend(heal_fault(fault_id, nemesis, async || false).await);
        }
    }
    failures
}

/// Undoes a fault, ZooKeeper's part of it foremost; what was done to the layout to prepare it is
/// left. What fails is tried again as long as `again` says so.
pub(super) async fn heal_fault(
    fault_id: &str,
    nemesis: Nemesis<'_>,
    again: impl AsyncFn() -> bool,
) -> Vec<Failure> {
    let of_fault = |entry: &Entry| entry.fault_id == fault_id && !entry.undo.is_of_layout();
    let mut entries = outstanding(nemesis, of_fault);
    if entries.is_empty() {
        return vec![];
    }
    nemesis.record(EventKind::FaultHealing { fault_id: fault_id.to_owned() });
    let mut undone: Vec<Undone> = vec![];
    let mut failures = vec![];
    loop {
        let (zookeeper, others): (Vec<_>, Vec<_>) =
            entries.into_iter().partition(|entry| entry.undo.is_of_zookeeper());
        let mut failed = vec![];
        for together in [zookeeper, others] {
            for shown in undo_all(&together, nemesis, &mut failures).await {
                if shown.evidence.proven { undone.push(shown) } else { failed.push(shown) }
            }
        }
        entries = outstanding(nemesis, of_fault);
        if !entries.is_empty() && again().await {
            // What could not be written is not made good by another attempt.
            failures.retain(|failure| matches!(failure, Failure::Ledger(_)));
            continue;
        }
        undone.extend(failed);
        let waited = undone.iter().map(|undone| undone.waited_for_session).max();
        let evidence = Evidence::all(undone.into_iter().map(|undone| undone.evidence));
        let healed = EventKind::FaultHealed {
            fault_id: fault_id.to_owned(),
            evidence: evidence.lines,
            proven: evidence.proven,
            waited_for_session_s: waited.unwrap_or_default().as_secs_f64(),
        };
        nemesis.record(healed);
        nemesis.healed.set(true);
        return failures;
    }
}

/// Undoes what was done to the layout to prepare faults, which needs a cluster that works.
pub(super) async fn heal_layout(nemesis: Nemesis<'_>) -> Vec<Failure> {
    let layout = outstanding(nemesis, |entry| entry.undo.is_of_layout());
    let mut failures = vec![];
    undo_all(&layout, nemesis, &mut failures).await;
    failures
}

/// What is still to be undone, newest first.
fn outstanding(nemesis: Nemesis<'_>, which: impl Fn(&Entry) -> bool) -> Vec<Entry> {
    nemesis.outstanding().into_iter().rev().filter(which).collect()
}

impl Nemesis<'_> {
    /// What is to be undone by now, oldest first.
    fn outstanding(&self) -> Vec<Entry> {
        let mut entries = self.ledger.borrow().outstanding().entries;
        entries.retain(|entry| self.over || !entry.undo.is_of_trial());
        entries
    }
}

/// Carries out the entries at the same time; what each of them showed.
async fn undo_all(
    entries: &[Entry],
    nemesis: Nemesis<'_>,
    failures: &mut Vec<Failure>,
) -> Vec<Undone> {
    let Nemesis { ports, run, ledger, .. } = nemesis;
    let carried_out = entries.iter().map(|entry| entry.undo.carry_out(ports, run));
    let mut shown = vec![];
    for (entry, undone) in entries.iter().zip(join_all(carried_out).await) {
        let (step, undo) = (entry.fault_id.clone(), entry.undo.to_string());
        shown.push(match undone {
            Ok(undone) if undone.evidence.proven => {
                let written = ledger.borrow_mut().done(entry.id, run.map(|run| run.now()));
                failures.extend(written.err().map(Failure::Ledger));
                undone
            }
            Ok(undone) => {
                let seen = undone.evidence.lines.join(", ");
                failures.push(Failure::NotUndone { step, undo, seen });
                undone
            }
            Err(source) => {
                let evidence = Evidence::of(format!("cannot {undo}: {source}"), false);
                failures.push(Failure::Undo { step, undo, source });
                Undone { evidence, ..Undone::default() }
            }
        });
    }
    shown
}
