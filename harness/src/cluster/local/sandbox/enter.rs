//! Entering a sandbox that runs: a process of another kbench takes part in its namespaces.
//!
//! ```text
//! coordinator ── `kbench __enter` ── kbench COMMAND, in the sandbox
//! ```
//! What enters ends with who lets it enter, as in a sandbox of its own; the sandbox stays. Happens
//! before any thread exists: a user namespace is entered by a single-threaded process.

use std::ffi::OsString;
use std::fs::File;
use std::io;
use std::os::fd::AsFd;
use std::path::Path;
use std::process::{Command, ExitCode, ExitStatus};

use nix::sched::{CloneFlags, setns};

use super::Mode;
use super::init::{self, Made, at};
use super::outside::Outside;
use crate::cluster::host::ProcessIdentity;
use crate::cluster::local::leftovers;

/// The hidden subcommand under which kbench starts itself to enter a sandbox.
pub const SUBCOMMAND: &str = "__enter";

/// Runs `kbench COMMAND` in the sandbox whose entry `lab` names; called by `main` before anything else.
pub fn main(mode: Mode, lab: &ProcessIdentity, command: &[OsString]) -> ExitCode {
    init::exit_code(run(mode, lab, command))
}

fn run(mode: Mode, lab: &ProcessIdentity, command: &[OsString]) -> Made<ExitCode> {
    let outside = Outside::of_entry(Some(lab.pid));
    if !mode.has_namespaces() {
        return init::loopback(command, outside);
    }
    join(mode, lab)?;
    init::let_servers_read();
    // Its keeper knows whom the servers run as, and starts them.
    init::runner(command, outside, None)
}

/// Runs any command in the sandbox, on a node of it where one is named; how it ended.
///
/// # Errors
/// When the sandbox is gone or cannot be entered, or the command cannot be started.
pub fn execute(
    mode: Mode,
    lab: &ProcessIdentity,
    node: Option<&str>,
    command: &[OsString],
) -> io::Result<ExitStatus> {
    let failed = |(step, error): (&str, io::Error)| {
        io::Error::new(error.kind(), format!("cannot {step}: {error}"))
    };
    if mode.has_namespaces() {
        join(mode, lab).map_err(failed)?;
        if let Some(node) = node {
            let namespace = File::open(Path::new("/run/netns").join(node))?;
            setns(namespace.as_fd(), CloneFlags::CLONE_NEWNET)?;
        }
    }
    let (program, arguments) =
        command.split_first().ok_or_else(|| io::Error::from(io::ErrorKind::InvalidInput))?;
    Command::new(program).args(arguments).status()
}

/// Enters the namespaces of the sandbox; what is started from now on is a process of it.
fn join(mode: Mode, lab: &ProcessIdentity) -> Made<()> {
    let of = |name| File::open(format!("/proc/{}/ns/{name}", lab.pid));
    let mut all = vec![];
    if mode == Mode::UserNamespaces {
        // First: it gives the right to enter the others.
        all.push(("user", CloneFlags::CLONE_NEWUSER));
    }
    all.extend([
        ("net", CloneFlags::CLONE_NEWNET),
        ("uts", CloneFlags::CLONE_NEWUTS),
        ("ipc", CloneFlags::CLONE_NEWIPC),
        // The entry itself is outside: only its children are in it.
        ("pid_for_children", CloneFlags::CLONE_NEWPID),
        ("mnt", CloneFlags::CLONE_NEWNS),
    ]);
    let opened: io::Result<Vec<_>> =
        all.into_iter().map(|(name, kind)| Ok((of(name)?, kind))).collect();
    let opened = opened.map_err(|error| ("find the sandbox", error))?;
    // Looked at once its namespaces are held: whatever becomes of the pid now, they are the right ones.
    if !leftovers::is_alive(lab) {
        return Err(("find the sandbox", io::Error::from(io::ErrorKind::NotFound)));
    }
    let here = std::env::current_dir();
    for (namespace, kind) in opened {
        setns(namespace.as_fd(), kind).map_err(at("enter its namespaces"))?;
    }
    // To enter a mount namespace is to be in its root.
    match here {
        Ok(here) if here.is_dir() => {
            std::env::set_current_dir(here).map_err(|error| ("go back to its folder", error))
        }
        _ => Ok(()),
    }
}
