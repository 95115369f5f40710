//! Undoing what a killed run left behind.
//!
//! A local cluster dies with its run: the kernel ends every process when the sandbox's init ends.
//! So healing here means to make sure of that, and to write into the ledger that nothing is left to undo.

use std::path::Path;

use faults::ledger::Ledger;

use crate::cluster::local::leftovers;
use crate::failure::Failure;
use crate::rundir::RunDir;

/// What healing a run came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Healed {
    /// Nothing was left.
    Nothing,
    /// These things were undone, or found undone.
    Undone(Vec<String>),
    /// A kbench still carries out the run; it heals by itself.
    StillRunning,
}

/// Undoes what a run left behind. Doing it twice does no harm.
///
/// # Errors
/// A failure when a process cannot be ended or the ledger cannot be read or written.
pub fn heal(run: &RunDir) -> Result<Healed, Failure> {
    run.readable()?;
    let Some(_lock) = run.lock()? else { return Ok(Healed::StillRunning) };
    let spec = run.spec()?;
    let mut undone = Vec::new();
    for number in 1..=spec.trials {
        let trial_dir = run.trial(number, spec.trials);
        if let Some(holder) = leftovers::holder(&trial_dir) {
            leftovers::end(&holder)?;
            undone.push(format!("ended the sandbox of trial {number} (process {})", holder.pid));
        }
        if leftovers::remove_data(&trial_dir)? {
            undone.push(format!("removed the servers' data of trial {number}"));
        }
        let path = trial_dir.join("undo.jsonl");
        if path.is_file() {
            undone.extend(settle(&path)?);
        }
    }
    Ok(if undone.is_empty() { Healed::Nothing } else { Healed::Undone(undone) })
}

/// Marks what a ledger still lists as undone: its cluster no longer exists.
fn settle(path: &Path) -> Result<Vec<String>, Failure> {
    let broken = |error: faults::ledger::LedgerError| Failure::unknown(error.to_string());
    let mut ledger = Ledger::open(path).map_err(broken)?;
    let outstanding = ledger.outstanding();
    let mut undone = outstanding.damage;
    for entry in outstanding.entries {
        // The run's clock ended with the run; the entry keeps the time at which it was planned.
        ledger.done(entry.id, entry.at).map_err(broken)?;
        undone.push(format!("{}: gone with the cluster", entry.undo));
    }
    Ok(undone)
}
