//! A node of the local cluster as a host: a network namespace of the sandbox that kbench itself is in.
//!
//! Mounts, processes and clock are the sandbox's, which all nodes share. To enter a network namespace
//! is a matter of a thread: one that has is fit for nothing else, and ends with its work.

use std::cell::{Cell, OnceCell};
use std::fs::{self, File};
use std::io;
use std::net::{SocketAddr, TcpStream};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::process::Stdio;
use std::sync::Arc;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use faults::port::Signal;
use futures::future::try_join3;
use nix::libc;
use nix::sched::{CloneFlags, setns};
use procfs::process::Process;
use rustix::process::{Pid, PidfdFlags, pidfd_open, pidfd_send_signal};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::unix::pipe::Receiver;
use tokio::process::{Child, ChildStdin};
use tokio::sync::oneshot;
use tokio::time::timeout;

use crate::child::{end_group, find, last_words, parent_death_guard, path};
use crate::cluster::host::{
    Attempt, ClockOffset, Command, ErrorKind, Host, HostError, Identity, Output, ProcessIdentity,
    Resident,
};
use crate::log::Line;

/// A node of the local cluster, or kbench's own side of its network.
#[derive(Debug, Clone)]
pub struct LocalHost {
    name: String,
    /// `None`: kbench's own.
    namespace: Option<Arc<File>>,
    boot_id: OnceCell<String>,
}

impl LocalHost {
    /// Where kbench itself is.
    pub fn here(name: &str) -> Self {
        Self { name: name.to_owned(), namespace: None, boot_id: OnceCell::new() }
    }

    /// A network namespace, by the file that stands for it.
    ///
    /// # Errors
    /// When that cannot be opened.
    pub fn of_namespace(name: &str, file: &Path) -> io::Result<Self> {
        Ok(Self { namespace: Some(Arc::new(File::open(file)?)), ..Self::here(name) })
    }

    /// What a process does between fork and exec to be on this host, and to end with the thread that
    /// starts it; see [`parent_death_guard`].
    pub(super) fn enter(&self) -> impl FnMut() -> io::Result<()> + Send + Sync + 'static {
        let mut guard = parent_death_guard(nix::sys::signal::Signal::SIGKILL, true);
        let namespace = self.namespace.clone();
        move || {
            guard()?;
            namespace.as_deref().map_or(Ok(()), enter)
        }
    }

    /// Does `work` on this host: on a thread of its own where that has a network of its own.
    async fn inside<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> io::Result<T> + Send + 'static,
    ) -> io::Result<T> {
        let namespace = self.namespace.clone();
        let (sender, done) = oneshot::channel();
        std::thread::Builder::new().name("namespace".to_owned()).spawn(move || {
            let entered = namespace.as_deref().map_or(Ok(()), enter);
            // Nobody waits any more when this fails.
            drop(sender.send(entered.and_then(|()| work())));
        })?;
        done.await.map_err(|_| io::Error::other("its thread ended early"))?
    }

    /// A command of tokio's that does the same.
    fn prepare(&self, command: &Command) -> Result<tokio::process::Command, HostError> {
        let program = find(&command.program).map_err(|error| {
            let what = format!("run `{}`", command.program);
            HostError::new(ErrorKind::Unsupported, &self.name, what, error)
        })?;
        let mut prepared = tokio::process::Command::new(program);
        let environment = command.environment.iter().map(|(name, value)| (name, value));
        // A script finds what is found here; what a tool says is not translated.
        prepared.args(&command.arguments).env("PATH", path()).env("LC_ALL", "C");
        prepared.envs(environment).kill_on_drop(true);
        Ok(prepared)
    }

    /// Starts a command. From a thread that is in the namespace the child is there from its start: it
    /// need not be forked, which takes the longer the more memory kbench has.
    async fn spawn(&self, mut command: tokio::process::Command) -> io::Result<Child> {
        if self.namespace.is_none() {
            return command.spawn();
        }
        let runtime = tokio::runtime::Handle::current();
        let spawn = move || {
            let _entered = runtime.enter();
            command.spawn()
        };
        self.inside(spawn).await
    }
}

/// Takes all that is written there.
async fn hear(from: Option<impl AsyncRead + Unpin>, all: &mut Vec<u8>) -> io::Result<()> {
    match from {
        Some(mut from) => from.read_to_end(all).await.map(drop),
        None => Ok(()),
    }
}

fn enter(namespace: &File) -> io::Result<()> {
    Ok(setns(namespace.as_fd(), CloneFlags::CLONE_NEWNET)?)
}

#[async_trait(?Send)]
impl Host for LocalHost {
    fn name(&self) -> &str {
        &self.name
    }

    async fn identity(&self) -> Result<Identity, HostError> {
        let failed = |error| HostError::of_io(&self.name, "say which host it is", error);
        let boot_id = match self.boot_id.get() {
            Some(known) => known.clone(),
            None => {
                let read = boot_id().map_err(failed)?;
                self.boot_id.get_or_init(|| read).clone()
            }
        };
        let inode = |file: &Arc<File>| Ok(file.metadata().map_err(failed)?.ino());
        Ok(Identity { boot_id, network: self.namespace.as_ref().map(inode).transpose()? })
    }

    async fn run(&self, command: &Command) -> Result<Output, HostError> {
        let what = format!("run `{}`", command.program);
        let failed = |error| HostError::of_io(&self.name, &what, error);
        let mut prepared = self.prepare(command)?;
        prepared.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        // What it starts is ended with it.
        prepared.process_group(0);
        let (pid, mut stdout, mut stderr) = (Cell::new(None), vec![], vec![]);
        let mut running = Box::pin(async {
            let mut child = self.spawn(prepared).await?;
            pid.set(child.id());
            let (input, output, errors) =
                (child.stdin.take(), child.stdout.take(), child.stderr.take());
            let feed = async {
                if let Some(mut input) = input {
                    // One that ends without reading it all says why by itself.
                    input.write_all(command.input.as_bytes()).await.ok();
                }
                Ok(())
            };
            let heard = try_join3(feed, hear(output, &mut stdout), hear(errors, &mut stderr));
            heard.await?;
            child.wait().await
        });
        let ended = timeout(command.limit, running.as_mut()).await;
        // Its pid is nobody else's before it is let go.
        let grouped = if ended.is_err() { pid.get().map_or(Ok(()), end_group) } else { Ok(()) };
        drop(running);
        let Ok(ended) = ended else {
            grouped.map_err(failed)?;
            let (limit, last) = (command.limit.as_secs(), [stdout, stderr].concat());
            let why =
                format!("it did not end within {limit} s, and was killed; {}", last_words(&last));
            return Err(HostError::new(ErrorKind::TimedOut, &self.name, what, why));
        };
        let status = ended.map_err(failed)?;
        let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
        Ok(Output { code: status.code(), stdout: text(stdout), stderr: text(stderr) })
    }

    async fn keep(&self, command: &Command) -> Result<Box<dyn Resident>, HostError> {
        let failed =
            |error| HostError::of_io(&self.name, format!("keep `{}`", command.program), error);
        let mut prepared = self.prepare(command)?;
        // One pipe for both: what it says stays in its order.
        let (output, said) = io::pipe().map_err(failed)?;
        prepared.stdin(Stdio::piped()).stdout(said.try_clone().map_err(failed)?).stderr(said);
        // SAFETY: between fork and exec only system calls are made: setsid, prctl, getppid, setns.
        unsafe { prepared.pre_exec(self.enter()) };
        let mut child = prepared.spawn().map_err(failed)?;
        // It holds our copies of the pipe's end: without it we see when the process closes its own.
        drop(prepared);
        let pid = child.id().unwrap_or_default() as i32;
        let process = self.identify(pid).await?;
        let input = child.stdin.take();
        let output = Receiver::from_owned_fd(OwnedFd::from(output)).map_err(failed)?;
        let output = BufReader::new(output);
        let (host, program) = (self.clone(), command.program.clone());
        Ok(Box::new(LocalResident {
            host,
            program,
            child,
            process,
            input,
            output,
            next: Line::default(),
        }))
    }

    async fn read(&self, path: &Path) -> Result<Vec<u8>, HostError> {
        fs::read(path).map_err(|error| {
            HostError::of_io(&self.name, format!("read {}", path.display()), error)
        })
    }

    async fn write(&self, path: &Path, contents: &[u8]) -> Result<(), HostError> {
        let mut next = path.as_os_str().to_owned();
        next.push(".next");
        let written = fs::write(&next, contents).and_then(|()| fs::rename(&next, path));
        written.map_err(|error| {
            HostError::of_io(&self.name, format!("write {}", path.display()), error)
        })
    }

    async fn signal(&self, process: &ProcessIdentity, signal: Signal) -> Result<(), HostError> {
        send(process, signal).map_err(|error| {
            HostError::of_io(&self.name, format!("signal process {}", process.pid), error)
        })
    }

    async fn connect(&self, to: SocketAddr, limit: Duration) -> Result<Attempt, HostError> {
        let connect = move || {
            let began = Instant::now();
            Ok(match TcpStream::connect_timeout(&to, limit) {
                Ok(_) => Attempt::Accepted(began.elapsed()),
                Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => Attempt::Refused,
                Err(_) => Attempt::Unanswered,
            })
        };
        let tried = self.inside(connect).await;
        tried.map_err(|error| HostError::of_io(&self.name, format!("connect to {to}"), error))
    }

    async fn clock(&self) -> Result<ClockOffset, HostError> {
        // The same kernel tells both.
        Ok(ClockOffset::default())
    }
}

/// The kernel's boot.
///
/// # Errors
/// When the kernel does not say.
pub fn boot_id() -> io::Result<String> {
    Ok(fs::read_to_string("/proc/sys/kernel/random/boot_id")?.trim().to_owned())
}

/// Which process has the pid now.
///
/// # Errors
/// When none has.
pub fn identify(pid: i32) -> io::Result<ProcessIdentity> {
    let stat = Process::new(pid).and_then(|process| process.stat()).map_err(io::Error::other)?;
    Ok(ProcessIdentity { boot_id: boot_id()?, pid, started_ticks: stat.starttime, within: None })
}

/// Sends a signal to a process of this machine, if it is still the same.
///
/// # Errors
/// ESRCH when it has ended.
pub fn send(process: &ProcessIdentity, signal: Signal) -> io::Result<()> {
    send_if(process, signal, || true)
}

/// The same, if `wanted` says so of the process, which is held meanwhile: its pid cannot become another's.
///
/// # Errors
/// ESRCH when it has ended, or is not wanted.
pub(super) fn send_if(
    process: &ProcessIdentity,
    signal: Signal,
    wanted: impl FnOnce() -> bool,
) -> io::Result<()> {
    let gone = || io::Error::from_raw_os_error(libc::ESRCH);
    // A pid from a file may be any number; 0 and less stand for others than one process.
    let pid = Some(process.pid).filter(|pid| *pid > 0).and_then(Pid::from_raw).ok_or_else(gone)?;
    // Whatever becomes of the pid from here on, this stays with the process that has it now.
    let process_now = pidfd_open(pid, PidfdFlags::empty())?;
    if !identify(process.pid).is_ok_and(|now| now == *process) || !wanted() {
        return Err(gone());
    }
    let number = match signal {
        Signal::Kill => {
            step_back(process.pid);
            rustix::process::Signal::KILL
        }
        Signal::Term => rustix::process::Signal::TERM,
        Signal::Stop => rustix::process::Signal::STOP,
        Signal::Continue => rustix::process::Signal::CONT,
    };
    Ok(pidfd_send_signal(process_now, number)?)
}

/// Keeps the threads of a process that is about to be killed from taking this thread's core: they wake up
/// to free their memory, for milliseconds, and the signal to the next victim would wait for them.
fn step_back(pid: i32) {
    let Ok(threads) = fs::read_dir(format!("/proc/{pid}/task")) else { return };
    let ids = threads.flatten().filter_map(|thread| thread.file_name().to_str()?.parse().ok());
    for id in ids {
        let parameters = libc::sched_param { sched_priority: 0 };
        // SAFETY: the parameters outlive the call. A thread that has ended meanwhile is in nobody's way.
        unsafe { libc::sched_setscheduler(id, libc::SCHED_BATCH, &raw const parameters) };
    }
}

/// A process that is kept on a node.
struct LocalResident {
    host: LocalHost,
    program: String,
    /// Killed when dropped; the sandbox ends it should kbench end.
    child: Child,
    process: ProcessIdentity,
    input: Option<ChildStdin>,
    output: BufReader<Receiver>,
    /// What came of the next line.
    next: Line,
}

impl LocalResident {
    fn failed(&self, action: &str, error: io::Error) -> HostError {
        HostError::of_io(&self.host.name, format!("{action} `{}`", self.program), error)
    }
}

#[async_trait(?Send)]
impl Resident for LocalResident {
    fn process(&self) -> &ProcessIdentity {
        &self.process
    }

    async fn send(&mut self, text: &str) -> Result<(), HostError> {
        let sent = match &mut self.input {
            Some(input) => input.write_all(text.as_bytes()).await,
            None => Err(io::Error::from(io::ErrorKind::BrokenPipe)),
        };
        sent.map_err(|error| self.failed("write to", error))
    }

    async fn line(&mut self) -> Result<Option<String>, HostError> {
        let next = self.next.next(&mut self.output).await;
        next.map_err(|error| self.failed("read from", error))
    }

    async fn end(
        mut self: Box<Self>,
        signal: Option<Signal>,
        limit: Duration,
    ) -> Result<(), HostError> {
        drop(self.input.take());
        let running = self.child.try_wait().map_err(|error| self.failed("end", error))?.is_none();
        if let Some(signal) = signal.filter(|_| running) {
            send(&self.process, signal).map_err(|error| self.failed("signal", error))?;
        }
        let ended = match timeout(limit, self.child.wait()).await {
            Ok(ended) => ended.map(drop),
            Err(_) => self.child.kill().await,
        };
        ended.map_err(|error| self.failed("end", error))
    }
}

#[cfg(test)]
mod tests;
