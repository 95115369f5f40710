//! The coordinator's side: starting a sandbox and holding on to it.

use std::ffi::OsString;
use std::fs::File;
use std::io;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Child, ChildStdout, Command, ExitStatus, Stdio};

use nix::libc;
use nix::sys::signal::{Signal, kill};
use nix::unistd::{Pid, setsid};

use super::Mode;
use crate::child::{die_with_parent, own};
use crate::cluster::host::ProcessIdentity;

/// A running sandbox, or what has entered one. Dropping it kills it, unless it was let go.
#[derive(Debug)]
pub struct SandboxChild {
    child: Child,
    let_go: bool,
}

/// Starts `kbench ARGUMENTS` in a sandbox of its own; its stderr goes to `messages`. `data` is where
/// the servers' data goes in loopback mode.
///
/// To be called on the main thread: the sandbox ends with the thread that started it.
///
/// # Errors
/// When the process cannot be started.
pub fn spawn(
    mode: Mode,
    arguments: &[OsString],
    data: &Path,
    messages: File,
) -> io::Result<SandboxChild> {
    let mut command = sandbox(mode, arguments, data, messages);
    end_with_coordinator(&mut command, mode);
    command.spawn().map(SandboxChild::of)
}

/// Like [`spawn`], but the sandbox does not end with who started it, and hears no Ctrl-C.
///
/// # Errors
/// When the process cannot be started.
pub fn spawn_kept(
    mode: Mode,
    arguments: &[OsString],
    data: &Path,
    messages: File,
) -> io::Result<SandboxChild> {
    let mut command = sandbox(mode, arguments, data, messages);
    // SAFETY: between fork and exec only system calls are made: setsid, close_range.
    unsafe { command.pre_exec(leave) };
    command.spawn().map(SandboxChild::of)
}

/// Starts `kbench ARGUMENTS` in the sandbox whose entry is `lab`; it ends with the calling thread, the
/// sandbox stays. `data` names what is started so, as in [`spawn`].
///
/// # Errors
/// When the process cannot be started.
pub fn enter(
    mode: Mode,
    lab: &ProcessIdentity,
    arguments: &[OsString],
    data: &Path,
    messages: File,
) -> io::Result<SandboxChild> {
    let lab = serde_json::to_string(lab)?;
    let mut command = kbench(super::enter::SUBCOMMAND, data, messages);
    command.arg(mode.as_str()).arg(lab).args(arguments);
    end_with_coordinator(&mut command, mode);
    command.spawn().map(SandboxChild::of)
}

/// Leaves what belongs to who started us: terminal and open files. A lock that was inherited (`flock`
/// does so) would be held as long as the cluster runs.
fn leave() -> io::Result<()> {
    setsid()?;
    let (first, last) = (libc::STDERR_FILENO as u32 + 1, u32::MAX);
    // SAFETY: it takes numbers. Files are closed at the exec, whose outcome one of them tells.
    let marked = unsafe { libc::close_range(first, last, libc::CLOSE_RANGE_CLOEXEC as i32) };
    if marked == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

fn sandbox(mode: Mode, arguments: &[OsString], data: &Path, messages: File) -> Command {
    let mut command = kbench(super::init::SUBCOMMAND, data, messages);
    command.arg(mode.as_str()).args(arguments);
    command
}

fn kbench(subcommand: &str, data: &Path, messages: File) -> Command {
    let mut command = Command::new(own());
    command
        .arg(subcommand)
        .env(super::init::DATA, data)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(messages);
    command
}

fn end_with_coordinator(command: &mut Command, mode: Mode) {
    // Without namespaces somebody must outlive the coordinator for a moment, to remove the data.
    let signal = if mode.has_namespaces() { Signal::SIGKILL } else { Signal::SIGHUP };
    die_with_parent(command, signal, true);
}

impl SandboxChild {
    fn of(child: Child) -> Self {
        Self { child, let_go: false }
    }

    /// Lets the sandbox run on without us.
    pub fn let_go(mut self) {
        self.let_go = true;
    }

    /// Process id of the sandbox's entry on the host.
    pub fn pid(&self) -> i32 {
        self.child.id() as i32
    }

    /// What the trial writes on stdout; the second call gives nothing.
    pub fn take_stdout(&mut self) -> Option<ChildStdout> {
        self.child.stdout.take()
    }

    /// Asks the trial to heal and to end.
    ///
    /// # Errors
    /// When the signal cannot be sent.
    pub fn interrupt(&self) -> io::Result<()> {
        Ok(kill(Pid::from_raw(self.pid()), Signal::SIGINT)?)
    }

    /// Ends the sandbox and everything in it at once.
    ///
    /// # Errors
    /// When the signal cannot be sent.
    pub fn kill(&mut self) -> io::Result<()> {
        self.child.kill()
    }

    /// Waits for the end of the sandbox.
    ///
    /// # Errors
    /// When it cannot be waited for.
    pub fn wait(&mut self) -> io::Result<ExitStatus> {
        self.child.wait()
    }
}

impl Drop for SandboxChild {
    fn drop(&mut self) {
        if !self.let_go && matches!(self.child.try_wait(), Ok(None)) {
            // One that ended in between needs no signal, and is reaped by `wait`.
            drop(self.child.kill());
            drop(self.child.wait());
        }
    }
}
