//! What a trial sees of the host from inside its sandbox: the host's processes, and which of them are of
//! its own run.
//!
//! A sandbox has a `/proc` of its own, in which nobody else is. So its entry opens the host's before it makes or
//! enters a namespace, and hands that to the trial, which needs no privilege to read in it. Nobody else gets it.

use std::ffi::OsString;
use std::fs::File;
use std::io;
use std::os::fd::{AsFd as _, AsRawFd as _, RawFd};
use std::os::unix::process::{CommandExt as _, parent_id};
use std::path::PathBuf;
use std::process::Command;

use nix::fcntl::{FcntlArg, FdFlag, fcntl};
use nix::unistd::close;

use crate::trial;

/// Environment variable that names the descriptor, and then the processes that a run descends from.
const OUTSIDE: &str = "KBENCH_OUTSIDE";

/// The host's processes.
#[derive(Debug)]
pub struct Outside {
    proc: File,
    roots: Vec<i32>,
}

impl Outside {
    /// The host of the calling process, whose parent is the coordinator; `lab` holds the sandbox that the run
    /// takes part in, if it is not its own. `None` where there is no `/proc`.
    pub(super) fn of_entry(lab: Option<i32>) -> Option<Self> {
        let proc = File::open("/proc").ok()?;
        let roots = [parent_id() as i32].into_iter().chain(lab).collect();
        Some(Self { proc, roots })
    }

    /// Hands it to what `command` starts, if that is a trial.
    pub(super) fn hand_to(outside: Option<Self>, command: &mut Command, arguments: &[OsString]) {
        let is_trial = arguments.first().is_some_and(|name| name == trial::SUBCOMMAND);
        let Some(Self { proc, roots }) = outside.filter(|_| is_trial) else {
            command.env_remove(OUTSIDE);
            return;
        };
        let numbers = [proc.as_raw_fd()].into_iter().chain(roots);
        let numbers: Vec<_> = numbers.map(|number| number.to_string()).collect();
        command.env(OUTSIDE, numbers.join(" "));
        // SAFETY: between fork and exec only one system call is made: fcntl.
        unsafe {
            command.pre_exec(move || {
                fcntl(proc.as_fd(), FcntlArg::F_SETFD(FdFlag::empty()))
                    .map(drop)
                    .map_err(io::Error::from)
            });
        }
    }

    /// What the entry handed to this process; `None` the second time, and where it could not.
    pub fn take() -> Option<Self> {
        let told = std::env::var(OUTSIDE).ok()?;
        let mut numbers = told.split(' ').map(str::parse::<i32>);
        let given: RawFd = numbers.next()?.ok()?;
        let roots: Vec<i32> = numbers.collect::<Result<_, _>>().ok()?;
        let proc = File::open(format!("/proc/self/fd/{given}")).ok()?;
        // What this process starts has no use for it.
        close(given).ok()?;
        let outside = Self { proc, roots };
        let coordinator = outside.roots.first()?;
        outside.path().join(coordinator.to_string()).exists().then_some(outside)
    }

    /// The host's `/proc`.
    pub fn path(&self) -> PathBuf {
        PathBuf::from(format!("/proc/self/fd/{}", self.proc.as_raw_fd()))
    }

    /// The processes that this run descends from, by their ids there.
    pub fn roots(&self) -> &[i32] {
        &self.roots
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_trial_alone_gets_what_its_entry_opened() {
        let given = |name: &str| {
            let mut sh = Command::new("sh");
            sh.args(["-c", "ls /proc/self/fd/${KBENCH_OUTSIDE%% *}/stat; echo $KBENCH_OUTSIDE"]);
            Outside::hand_to(Outside::of_entry(Some(7)), &mut sh, &[name.into()]);
            String::from_utf8(sh.output().unwrap().stdout).unwrap()
        };
        let told = given(trial::SUBCOMMAND);
        assert!(told.ends_with(&format!(" {} 7\n", parent_id())), "{told}");
        assert!(told.starts_with("/proc/self/fd/"), "{told}");
        assert_eq!(given("__keeper"), "\n");
    }
}
