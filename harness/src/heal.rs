//! Undoing what a killed run left behind.
//!
//! A local cluster dies with its run: the kernel ends every process when the sandbox's init ends.
//! So healing here means to make sure of that, by the process id and start time recorded in
//! `lab.json`, and to write into the ledger that nothing is left to undo.

use std::path::Path;

use faults::ledger::Ledger;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde::{Deserialize, Serialize};

use crate::failure::Failure;
use crate::procfs::{boot_id, started_ticks};
use crate::rundir::RunDir;

/// File in a trial's directory that says which process holds its sandbox.
const LAB_FILE: &str = "lab.json";

/// Folder of the servers' data in a trial's directory, in loopback mode.
pub const DATA_DIR: &str = "data";

/// The process that holds a trial's sandbox.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LabRecord {
    /// Its process id on the host.
    pub pid: i32,
    /// When it started, in clock ticks since boot (field 22 of `/proc/PID/stat`): with the pid it
    /// names one process for good. None when it ended before it could be asked.
    pub started_ticks: Option<u64>,
    /// The boot that both belong to.
    pub boot_id: String,
}

impl LabRecord {
    /// The record of a process that runs now.
    pub fn of(pid: i32) -> Self {
        Self { pid, started_ticks: started_ticks(pid), boot_id: boot_id() }
    }

    /// Writes the record into a trial's directory.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn save(&self, trial_dir: &Path) -> std::io::Result<()> {
        std::fs::write(trial_dir.join(LAB_FILE), serde_json::to_vec(self)?)
    }

    fn load(trial_dir: &Path) -> Option<Self> {
        serde_json::from_slice(&std::fs::read(trial_dir.join(LAB_FILE)).ok()?).ok()
    }

    /// Whether that very process still exists.
    fn alive(&self) -> bool {
        self.started_ticks.is_some()
            && self.boot_id == boot_id()
            && started_ticks(self.pid) == self.started_ticks
    }
}

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
    let Some(_lock) = run.lock()? else { return Ok(Healed::StillRunning) };
    let spec = run.spec()?;
    let mut undone = Vec::new();
    for number in 1..=spec.trials {
        let trial_dir = run.trial(number, spec.trials);
        if let Some(lab) = LabRecord::load(&trial_dir).filter(LabRecord::alive) {
            end(&lab)?;
            undone.push(format!("ended the sandbox of trial {number} (process {})", lab.pid));
        }
        if remove_data(&trial_dir)? {
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

/// Kills the sandbox's init; everything in the sandbox ends with it.
fn end(lab: &LabRecord) -> Result<(), Failure> {
    kill(Pid::from_raw(lab.pid), Signal::SIGKILL).map_err(|error| {
        Failure::infrastructure(format!("process {} cannot be ended: {error}", lab.pid))
    })
}

/// Removes the data that servers in loopback mode left; whether there was any.
fn remove_data(trial_dir: &Path) -> Result<bool, Failure> {
    let data = trial_dir.join(DATA_DIR);
    match std::fs::remove_dir_all(&data) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(false),
        Err(error) => {
            Err(Failure::infrastructure(format!("{} cannot be removed: {error}", data.display())))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_names_one_process_for_good() {
        let mut own = LabRecord::of(std::process::id() as i32);
        assert!(own.alive());
        own.started_ticks = own.started_ticks.map(|ticks| ticks + 1);
        assert!(!own.alive(), "another process under the same id");
    }
}
