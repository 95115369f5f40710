//! One server process: started, watched to its end, signalled.

use std::fs::OpenOptions;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::Arc;

use faults::port::{Process, ProcessState, Signal};
use nix::libc;
use nix::sys::signal::{Signal as OsSignal, kill};
use nix::unistd::Pid;
use results::record::event::{EventKind, ProcessEnd};
use tokio::sync::watch;

use crate::recorder::Recorder;

/// How a process is started.
pub(super) struct Command {
    /// The program, its arguments, and what happens between fork and exec.
    pub(super) command: tokio::process::Command,
    /// Where the JVM dumps a class archive when it ends by itself.
    pub(super) dump_path: Option<PathBuf>,
}

/// A server process that was started, running or not; a handle on it.
#[derive(Clone)]
pub(super) struct Server {
    pid: i32,
    end: watch::Receiver<Option<ProcessEnd>>,
    dump_path: Option<PathBuf>,
}

/// Waits for the end of a process without borrowing it.
pub(super) struct Waiter(watch::Receiver<Option<ProcessEnd>>);

impl Server {
    /// Starts a process whose output is appended to `log`; its end is recorded the moment that the
    /// kernel tells it.
    pub(super) fn start(
        process: &Process,
        command: Command,
        log: &Path,
        recorder: Arc<Recorder>,
    ) -> io::Result<Self> {
        let output = OpenOptions::new().create(true).append(true).open(log)?;
        let Command { mut command, dump_path } = command;
        let mut child = command
            .stdin(Stdio::null())
            .stdout(output.try_clone()?)
            .stderr(output)
            .kill_on_drop(true)
            .spawn()?;
        let pid = child.id().ok_or_else(|| io::Error::other("it ended at once"))? as i32;
        let (sender, end) = watch::channel(None);
        let process = process.clone();
        tokio::task::spawn_local(async move {
            let end = match child.wait().await {
                Ok(status) => end_of(status),
                Err(error) => ProcessEnd::Unknown(error.to_string()),
            };
            recorder.now(EventKind::ProcessEnded { process, pid, end: end.clone() });
            // Nobody waits for it any more when this fails.
            drop(sender.send(Some(end)));
        });
        Ok(Self { pid, end, dump_path })
    }

    pub(super) fn pid(&self) -> i32 {
        self.pid
    }

    pub(super) fn dump_path(&self) -> Option<&Path> {
        self.dump_path.as_deref()
    }

    /// Removes what the JVM dumped, if it did and nobody took it.
    pub(super) fn discard_dump(&self) {
        let Some(path) = &self.dump_path else { return };
        match std::fs::remove_file(path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                tracing::warn!(%error, path = %path.display(), "a class archive is left over");
            }
            _ => {}
        }
    }

    pub(super) fn state(&self) -> ProcessState {
        match self.end.borrow().as_ref() {
            None if stands_still(self.pid) => ProcessState::Paused { pid: self.pid },
            None => ProcessState::Running { pid: self.pid },
            Some(end) => ProcessState::Gone { pid: self.pid, end: end.clone() },
        }
    }

    pub(super) fn waiter(&self) -> Waiter {
        Waiter(self.end.clone())
    }

    pub(super) fn signal(&self, signal: Signal) -> io::Result<()> {
        if let ProcessState::Gone { end, .. } = self.state() {
            // Its pid may be another process's by now.
            return Err(io::Error::other(format!("it has ended: {end}")));
        }
        if signal == Signal::Kill {
            step_back(self.pid);
        }
        let signal = match signal {
            Signal::Kill => OsSignal::SIGKILL,
            Signal::Term => OsSignal::SIGTERM,
            Signal::Stop => OsSignal::SIGSTOP,
            Signal::Continue => OsSignal::SIGCONT,
        };
        Ok(kill(Pid::from_raw(self.pid), signal)?)
    }
}

impl Waiter {
    /// Waits until the process has ended; how.
    pub(super) async fn ended(mut self) -> ProcessEnd {
        let end = self.0.wait_for(Option::is_some).await.ok().and_then(|end| end.clone());
        end.unwrap_or_else(|| ProcessEnd::Unknown("nobody watches it any more".to_owned()))
    }
}

/// Keeps the threads of a process that is about to be killed from taking this thread's core: they wake up
/// to free their memory, for milliseconds, and the signal to the next victim would wait for them.
fn step_back(pid: i32) {
    let Ok(threads) = std::fs::read_dir(format!("/proc/{pid}/task")) else { return };
    let ids = threads.flatten().filter_map(|thread| thread.file_name().to_str()?.parse().ok());
    for id in ids {
        let parameters = libc::sched_param { sched_priority: 0 };
        // SAFETY: the parameters outlive the call. A thread that has ended meanwhile is in nobody's way.
        unsafe { libc::sched_setscheduler(id, libc::SCHED_BATCH, &raw const parameters) };
    }
}

/// Whether the kernel calls the process stopped: state T in `/proc/PID/stat`, behind its name, which
/// stands in brackets and may hold anything.
fn stands_still(pid: i32) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit_once(')').is_some_and(|(_, rest)| rest.trim_start().starts_with('T'))
}

fn end_of(status: std::process::ExitStatus) -> ProcessEnd {
    use std::os::unix::process::ExitStatusExt;
    match (status.signal(), status.code()) {
        (Some(signal), _) => ProcessEnd::Signal(signal),
        (None, Some(code)) => ProcessEnd::Exit(code),
        (None, None) => ProcessEnd::Unknown(status.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_victim_steps_back() {
        let mut victim = std::process::Command::new("sleep").arg("60").spawn().unwrap();
        let pid = victim.id() as i32;
        // SAFETY: it takes a number and returns one.
        let policy = || unsafe { libc::sched_getscheduler(pid) };
        assert_eq!(policy(), libc::SCHED_OTHER);
        step_back(pid);
        let after = policy();
        victim.kill().unwrap();
        victim.wait().unwrap();
        assert_eq!(after, libc::SCHED_BATCH);
    }
}
