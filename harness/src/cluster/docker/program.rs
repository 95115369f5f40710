//! Programs in a container: children of kbench that have given up what privileges they could have, and end with it.

use std::io;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use nix::sys::signal::Signal;
use tokio::process::Command;

use super::container::{Container, FILES};
use crate::child::parent_death_guard;
use crate::cluster::local::confine::confine;
use crate::cluster::local::sandbox::{DATA, Mode};

/// Limit for Java to say its version.
const JAVA_LIMIT: Duration = Duration::from_secs(30);

impl Container {
    /// A program in the container, found in `path`, without privileges, that ends with kbench. `data` names those of
    /// a trial.
    ///
    /// # Errors
    /// When the container cannot be entered.
    pub(super) fn program(&self, path: &str, data: &Path, program: &str) -> io::Result<Command> {
        let mut command = Command::new(program);
        command
            .env_clear()
            .env("PATH", path)
            .envs([("LANG", "C.UTF-8"), ("LC_ALL", "C.UTF-8"), ("HOME", FILES)])
            .env(DATA, data);
        // SAFETY: between fork and exec only system calls are made: setsid, prctl, getppid; write, setns; capset.
        // What gives up privileges takes the signal away which it is to get when kbench ends: asked for again.
        unsafe {
            command.pre_exec(parent_death_guard(Signal::SIGKILL, true));
            command.pre_exec(self.namespaces.enter()?);
            command.pre_exec(confine(Mode::Loopback, None, &[])?);
            command.pre_exec(parent_death_guard(Signal::SIGKILL, false));
        }
        Ok(command)
    }

    /// What Java says of its version.
    ///
    /// # Errors
    /// When there is none, or it does not end.
    pub(super) async fn java(&self, path: &str, data: &Path) -> io::Result<String> {
        let mut command = self.program(path, data, "java")?;
        command.arg("-version").kill_on_drop(true);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
        let child = self.namespaces.spawn(&mut command)?;
        let said = tokio::time::timeout(JAVA_LIMIT, child.wait_with_output()).await;
        let said = said.map_err(|_| io::Error::from(io::ErrorKind::TimedOut))??;
        Ok(String::from_utf8_lossy(&said.stderr).into_owned())
    }
}
