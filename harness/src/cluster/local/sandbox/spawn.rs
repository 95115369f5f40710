//! The coordinator's side: starting a sandbox and holding on to it.

use std::ffi::OsString;
use std::fs::File;
use std::io;
use std::path::Path;
use std::process::{Child, ChildStdout, Command, ExitStatus, Stdio};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::Mode;
use crate::child::{die_with_parent, own};

/// A running sandbox. Dropping it kills it.
#[derive(Debug)]
pub struct SandboxChild {
    child: Child,
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
    let mut command = Command::new(own());
    command
        .arg(super::init::SUBCOMMAND)
        .arg(mode.as_str())
        .args(arguments)
        .env(super::init::DATA, data)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(messages);
    // Without namespaces somebody must outlive the coordinator for a moment, to remove the data.
    let signal = if mode.has_namespaces() { Signal::SIGKILL } else { Signal::SIGHUP };
    die_with_parent(&mut command, signal, true);
    command.spawn().map(|child| SandboxChild { child })
}

impl SandboxChild {
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
        if matches!(self.child.try_wait(), Ok(None)) {
            // One that ended in between needs no signal, and is reaped by `wait`.
            drop(self.child.kill());
            drop(self.child.wait());
        }
    }
}
