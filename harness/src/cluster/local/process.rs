//! One server process: started, watched to its end, signalled.

use std::fs::{File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::Arc;

use faults::port::{Process, ProcessState, Signal};
use results::record::event::{EventKind, ProcessEnd};
use results::record::open;
use tokio::process::Child;
use tokio::sync::watch;

use super::host::{identify, send};
use crate::cluster::host::ProcessIdentity;
use crate::kernel;
use crate::mechanism::flushes::FlushWatch;
use crate::mechanism::group::ControlGroups;
use crate::recorder::Recorder;

/// How a process is started.
pub(in crate::cluster) struct ServerCommand {
    /// The program, its arguments, and what happens between fork and exec.
    pub(in crate::cluster) command: tokio::process::Command,
    /// Where the JVM dumps a class archive when it ends by itself.
    pub(in crate::cluster) dump_path: Option<PathBuf>,
    /// Who watches what it flushes.
    pub(in crate::cluster) watch: Option<FlushWatch>,
    /// The control groups that it is alone in.
    pub(in crate::cluster) groups: ControlGroups,
    /// What it writes when it crashes, and where that is to stay.
    pub(in crate::cluster) crash: Vec<(PathBuf, PathBuf)>,
}

/// Most of what a JVM that crashed has to say.
const MOST_OF_CRASH: u64 = 64 << 20;

/// A server process that was started, running or not; a handle on it.
#[derive(Clone)]
pub(in crate::cluster) struct Server {
    identity: ProcessIdentity,
    end: watch::Receiver<Option<ProcessEnd>>,
    dump_path: Option<PathBuf>,
}

/// Waits for the end of a process without borrowing it.
pub(in crate::cluster) struct Waiter(watch::Receiver<Option<ProcessEnd>>);

impl Server {
    /// Starts a process whose output is appended to `log`; its end is recorded the moment that the
    /// kernel tells it. `spawn` starts the command as it is.
    pub(in crate::cluster) fn start(
        process: &Process,
        command: ServerCommand,
        log: &Path,
        recorder: Arc<Recorder>,
        spawn: impl FnOnce(&mut tokio::process::Command) -> io::Result<Child>,
    ) -> io::Result<Self> {
        let mut output = OpenOptions::new().create(true).read(true).append(true).open(log)?;
        end_line(&mut output)?;
        let ServerCommand { mut command, dump_path, watch, groups, crash } = command;
        let ended_before = groups.ended_by_kernel();
        command.stdin(Stdio::null()).stdout(output.try_clone()?).stderr(output);
        let mut child = spawn(command.kill_on_drop(true))?;
        let pid = child.id().ok_or_else(|| io::Error::other("it ended at once"))? as i32;
        watch.map_or(Ok(()), |watch| watch.follow(pid))?;
        let ended = async move {
            let ended = match child.wait().await {
                Ok(status) if groups.ended_by_kernel() > ended_before => without_memory(status),
                Ok(status) => end_of(status),
                Err(error) => ProcessEnd::Unknown(error.to_string()),
            };
            crash.iter().for_each(|(from, to)| keep(from, to));
            ended
        };
        Ok(Self { dump_path, ..Self::watched(process, identify(pid)?, ended, recorder) })
    }

    /// A process that runs, whoever's child it is; `ended` returns when it has ended.
    pub(in crate::cluster) fn watched(
        process: &Process,
        identity: ProcessIdentity,
        ended: impl Future<Output = ProcessEnd> + 'static,
        recorder: Arc<Recorder>,
    ) -> Self {
        let (sender, end) = watch::channel(None);
        let (process, pid) = (process.clone(), identity.pid);
        tokio::task::spawn_local(async move {
            let end = ended.await;
            recorder.now(EventKind::ProcessEnded { process, pid, end: end.clone() });
            // Nobody waits for it any more when this fails.
            drop(sender.send(Some(end)));
        });
        Self { identity, end, dump_path: None }
    }

    /// A process that ended before anybody here watched it.
    pub(in crate::cluster) fn gone(identity: ProcessIdentity, end: ProcessEnd) -> Self {
        Self { identity, end: watch::channel(Some(end)).1, dump_path: None }
    }

    pub(in crate::cluster) fn identity(&self) -> &ProcessIdentity {
        &self.identity
    }

    pub(in crate::cluster) fn is_running(&self) -> bool {
        self.end.borrow().is_none()
    }

    pub(in crate::cluster) fn dump_path(&self) -> Option<&Path> {
        self.dump_path.as_deref()
    }

    /// Removes what the JVM dumped, if it did and nobody took it.
    pub(in crate::cluster) fn discard_dump(&self) {
        let Some(path) = &self.dump_path else { return };
        match std::fs::remove_file(path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                tracing::warn!(%error, path = %path.display(), "a class archive is left over");
            }
            _ => {}
        }
    }

    pub(in crate::cluster) fn state(&self) -> ProcessState {
        let pid = self.identity.pid;
        match self.end.borrow().as_ref() {
            None if kernel::is_stopped(pid) => ProcessState::Paused { pid },
            None => ProcessState::Running { pid },
            Some(end) => ProcessState::Gone { pid, end: end.clone() },
        }
    }

    pub(in crate::cluster) fn waiter(&self) -> Waiter {
        Waiter(self.end.clone())
    }

    pub(in crate::cluster) fn signal(&self, signal: Signal) -> io::Result<()> {
        if let Some(end) = self.end.borrow().as_ref() {
            return Err(io::Error::new(io::ErrorKind::NotFound, format!("it has ended: {end}")));
        }
        send(&self.identity, signal)
    }
}

impl Waiter {
    /// Waits until the process has ended; how.
    pub(in crate::cluster) async fn ended(mut self) -> ProcessEnd {
        let end = self.0.wait_for(Option::is_some).await.ok().and_then(|end| end.clone());
        end.unwrap_or_else(|| ProcessEnd::Unknown("nobody watches it any more".to_owned()))
    }
}

/// Keeps a file that a server may have left.
fn keep(from: &Path, to: &Path) {
    let kept = open::read(from, MOST_OF_CRASH).and_then(|text| open::write(to, &text));
    match kept {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => tracing::warn!(%error, path = %from.display(), "it is not kept"),
        // The next one that crashes writes anew.
        Ok(()) => drop(std::fs::remove_file(from)),
    }
}

/// Ends the last line of a log: what was killed may have been writing it, and the next line is not to be glued
/// to it.
fn end_line(log: &mut File) -> io::Result<()> {
    let mut last = [b'\n'];
    if let Some(at) = log.metadata()?.len().checked_sub(1) {
        log.read_exact_at(&mut last, at)?;
    }
    if last == [b'\n'] { Ok(()) } else { log.write_all(b"\n") }
}

/// How a process ended of whose control group the kernel has ended one for want of memory meanwhile: by a signal like
/// anybody's, which nobody need have sent.
fn without_memory(status: std::process::ExitStatus) -> ProcessEnd {
    match end_of(status) {
        ProcessEnd::Signal(number) => ProcessEnd::Unknown(format!(
            "signal {number}, when the kernel ended a process of its control group for want of memory"
        )),
        other => other,
    }
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
    fn a_signal_of_the_kernel_s_is_not_told_from_others_and_called_so() {
        use std::os::unix::process::ExitStatusExt as _;
        let ended = |raw| without_memory(std::process::ExitStatus::from_raw(raw));
        let killed = ended(9);
        assert!(
            !killed.is_by_signal() && killed.to_string().contains("want of memory"),
            "{killed}"
        );
        assert_eq!(ended(3 << 8), ProcessEnd::Exit(3));
    }

    #[test]
    fn what_a_process_writes_is_not_glued_to_what_the_one_before_it_left() {
        for (before, after) in [("", ""), ("a\n", "a\n"), ("a\nb", "a\nb\n")] {
            let file = tempfile::NamedTempFile::new().unwrap();
            std::fs::write(file.path(), before).unwrap();
            let mut log = File::options().read(true).append(true).open(file.path()).unwrap();
            end_line(&mut log).unwrap();
            assert_eq!(std::fs::read_to_string(file.path()).unwrap(), after);
        }
    }
}
