//! What the local backend may leave behind when kbench is killed, and its end.
//!
//! The kernel ends every process of a sandbox when its init ends, and mounts and namespaces go with
//! them. So what can be left is the process that holds the sandbox, known by its identity, and in
//! loopback mode the servers' data. Whatever a sandbox started carries its name in its environment, so
//! that the proof that nothing is left does not depend on who started whom.

use std::fs;
use std::io;
use std::path::Path;
use std::time::{Duration, Instant};

use faults::port::Signal;

use super::host::{boot_id, identify, send};
use super::sandbox::DATA;
use crate::cluster::host::ProcessIdentity;
use crate::failure::Failure;
use crate::kernel;

/// Limit for the kernel to end killed processes: they free some hundred MB each.
const END_LIMIT: Duration = Duration::from_secs(20);

/// How often they are looked for.
const LOOK: Duration = Duration::from_millis(20);

/// File in a directory of a trial or a kept cluster that says which process holds its sandbox.
const LAB_FILE: &str = "lab.json";

/// Folder of the servers' data in such a directory, in loopback mode.
pub const DATA_DIR: &str = "data";

/// Writes down which process holds the sandbox of a trial, or what entered one for it.
///
/// # Errors
/// When the file cannot be written.
pub fn record(trial_dir: &Path, pid: i32) -> io::Result<()> {
    // One that has ended already leaves nothing.
    let Ok(holder) = identify(pid) else { return Ok(()) };
    fs::write(trial_dir.join(LAB_FILE), serde_json::to_vec(&holder)?)
}

/// The process that holds a sandbox, or did; `None` when nobody wrote it down.
pub fn holder(dir: &Path) -> Option<ProcessIdentity> {
    serde_json::from_slice(&fs::read(dir.join(LAB_FILE)).ok()?).ok()
}

/// Whether that very process still runs. One that has ended does not, whether or not its parent has
/// taken notice.
pub fn is_alive(holder: &ProcessIdentity) -> bool {
    let ended = kernel::has_ended(holder.pid);
    !ended && identify(holder.pid).is_ok_and(|now| now == *holder)
}

/// Whether the machine was booted since: no process of then is left.
pub fn is_of_another_boot(holder: &ProcessIdentity) -> bool {
    boot_id().is_ok_and(|now| now != holder.boot_id)
}

/// Processes that were started in the sandbox whose data is in `data`, as this machine shows them; those
/// of other users are not seen.
pub fn left_of(data: &Path) -> Vec<i32> {
    let mut named = format!("{DATA}=").into_bytes();
    named.extend_from_slice(data.as_os_str().as_encoded_bytes());
    let is_of_it = |pid: &i32| {
        // One that has ended, and waits for its parent to take notice, has no environment.
        let environment = fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
        environment.split(|byte| *byte == 0).any(|variable| variable == named)
    };
    kernel::processes().into_iter().filter(is_of_it).collect()
}

/// Kills what was started in the sandbox whose data is in `data`, and waits until nothing of it is left;
/// the processes that still are.
///
/// # Errors
/// When a process cannot be signalled.
pub fn end_all_of(data: &Path) -> io::Result<Vec<i32>> {
    let deadline = Instant::now() + END_LIMIT;
    loop {
        let left = left_of(data);
        if left.is_empty() || Instant::now() >= deadline {
            return Ok(left);
        }
        for process in left.into_iter().filter_map(|pid| identify(pid).ok()) {
            match send(&process, Signal::Kill) {
                // It has ended just now.
                Err(error) if is_alive(&process) => return Err(error),
                _ => {}
            }
        }
        std::thread::sleep(LOOK);
    }
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
    match fs::remove_dir_all(&data) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => {
            Err(Failure::infrastructure(format!("{} cannot be removed: {error}", data.display())))
        }
    }
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    #[test]
    fn the_holder_is_known_as_long_as_it_is_the_same_process() {
        let trial = tempfile::tempdir().unwrap();
        assert_eq!(holder(trial.path()), None);
        let own = std::process::id() as i32;
        record(trial.path(), own).unwrap();
        let known = holder(trial.path()).unwrap();
        assert_eq!(known, identify(own).unwrap());
        assert!(is_alive(&known) && !is_of_another_boot(&known));
        let another = ProcessIdentity { started_ticks: known.started_ticks + 1, ..known };
        fs::write(trial.path().join(LAB_FILE), serde_json::to_vec(&another).unwrap()).unwrap();
        let another = holder(trial.path()).unwrap();
        assert!(!is_alive(&another), "another process under the same pid");
    }

    #[test]
    fn what_was_started_in_a_sandbox_is_found_and_ended_and_nothing_else() {
        let data = tempfile::tempdir().unwrap();
        let sleep = |data: &Path| Command::new("sleep").arg("60").env(DATA, data).spawn().unwrap();
        let mut of_it = sleep(data.path());
        let mut other = sleep(&data.path().join("data"));
        let identity = identify(of_it.id() as i32).unwrap();
        assert_eq!(left_of(data.path()), [identity.pid]);
        assert!(end_all_of(data.path()).unwrap().is_empty());
        assert!(!is_alive(&identity), "it waits to be reaped");
        assert!(other.try_wait().unwrap().is_none());
        other.kill().unwrap();
        other.wait().unwrap();
        of_it.wait().unwrap();
    }
}
