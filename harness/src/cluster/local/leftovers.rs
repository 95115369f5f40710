//! What a trial of the local backend may leave behind when kbench is killed, and its end.
//!
//! The kernel ends every process of a trial when its sandbox's init ends, and mounts and namespaces go
//! with them. So what can be left is the process that holds the sandbox, known by its identity, and in
//! loopback mode the servers' data.

use std::io;
use std::path::Path;

use faults::port::Signal;

use super::host::{identify, send};
use crate::cluster::host::ProcessIdentity;
use crate::failure::Failure;

/// File in a trial's directory that says which process holds its sandbox.
const LAB_FILE: &str = "lab.json";

/// Folder of the servers' data in a trial's directory, in loopback mode.
pub const DATA_DIR: &str = "data";

/// Writes down which process holds the sandbox of a trial.
///
/// # Errors
/// When the file cannot be written.
pub fn record(trial_dir: &Path, pid: i32) -> io::Result<()> {
    // One that has ended already leaves nothing.
    let Ok(holder) = identify(pid) else { return Ok(()) };
    std::fs::write(trial_dir.join(LAB_FILE), serde_json::to_vec(&holder)?)
}

/// The process that holds the sandbox of a trial, if it still does.
pub fn holder(trial_dir: &Path) -> Option<ProcessIdentity> {
    let file = std::fs::read(trial_dir.join(LAB_FILE)).ok()?;
    let holder: ProcessIdentity = serde_json::from_slice(&file).ok()?;
    identify(holder.pid).is_ok_and(|now| now == holder).then_some(holder)
}

/// Kills the process that holds a sandbox; everything in the sandbox ends with it.
///
/// # Errors
/// When it cannot be signalled.
pub fn end(holder: &ProcessIdentity) -> Result<(), Failure> {
    send(holder, Signal::Kill).map_err(|error| {
        Failure::infrastructure(format!("process {} cannot be ended: {error}", holder.pid))
    })
}

/// Removes the data that servers in loopback mode left; whether there was any.
///
/// # Errors
/// When it cannot be removed.
pub fn remove_data(trial_dir: &Path) -> Result<bool, Failure> {
    let data = trial_dir.join(DATA_DIR);
    match std::fs::remove_dir_all(&data) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => {
            Err(Failure::infrastructure(format!("{} cannot be removed: {error}", data.display())))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_holder_is_known_as_long_as_it_is_the_same_process() {
        let trial = tempfile::tempdir().unwrap();
        assert_eq!(holder(trial.path()), None);
        let own = std::process::id() as i32;
        record(trial.path(), own).unwrap();
        let known = holder(trial.path()).unwrap();
        assert_eq!(known, identify(own).unwrap());
        let another = ProcessIdentity { started_ticks: known.started_ticks + 1, ..known };
        std::fs::write(trial.path().join(LAB_FILE), serde_json::to_vec(&another).unwrap()).unwrap();
        assert_eq!(holder(trial.path()), None, "another process under the same pid");
    }
}
