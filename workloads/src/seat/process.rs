//! A client in a process of its own, a *worker*, as its parent holds it.
//!
//! Parent and worker share a socket, the worker's stdin. The first line that the worker reads is
//! its [`WorkerAssignment`], the others are [`ToClient`] messages; what it writes are [`FromClient`]
//! messages, one a line. When the parent closes its side the worker ends in good order: it cannot
//! outlive its parent. Its history it writes itself, so that what it saw survives it.

use std::io::{BufRead, BufReader, Write};
use std::net::Shutdown;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::os::unix::process::ExitStatusExt;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use nix::libc;
use nix::sys::wait::{Id, WaitPidFlag, waitid};
use nix::time::{ClockId, clock_gettime};
use nix::unistd::Pid;
use results::record::clock::RunClock;
use serde::{Deserialize, Serialize};

use super::{ClientStart, Seat};
use crate::client::{ClientSetup, Counts, FromClient, LoadTopic, ToClient, Watch};
use crate::error::LoadError;
use crate::load::STOP_LIMIT;
use crate::security::Known;
use crate::until::until;

/// Limit for a worker to end that was told to: its open sends may take [`STOP_LIMIT`], and a consumer
/// waits for its coordinator.
const END_LIMIT: Duration = STOP_LIMIT.saturating_mul(2);

/// Two readings of a clock that are no further apart have no stall between them.
const TOGETHER_NS: i64 = 20_000;

/// So often two clocks are tried to be read at once.
const READS: usize = 10_000;

/// How often the end of a worker is looked for.
const LOOK: Duration = Duration::from_millis(5);

/// The first line that a worker reads.
#[derive(Serialize, Deserialize)]
pub(super) struct WorkerAssignment {
    pub(super) setup: ClientSetup,
    pub(super) topic: LoadTopic,
    /// How brokers are connected to. This is the only place where secrets leave the process: for the socket that
    /// nobody else has.
    pub(super) security: Known,
    /// Zero of the run's clock, in nanoseconds of the kernel's monotonic clock.
    pub(super) zero_ns: i64,
}

struct Worker {
    client: String,
    link: UnixStream,
    state: Arc<WorkerState>,
    thread: JoinHandle<Result<WorkerEnd, LoadError>>,
}

/// How a worker ended, and what it had come to if it said so.
struct WorkerEnd {
    status: ExitStatus,
    counts: Counts,
}

struct WorkerState {
    child: Mutex<Child>,
    killed: AtomicBool,
}

/// Starts a worker by `command`.
pub(super) fn start(
    start: ClientStart<'_>,
    mut command: Command,
) -> Result<Box<dyn Seat>, LoadError> {
    let ClientStart { setup, topic, connector, clock, failures, watch, .. } = start;
    let client = setup.client().name();
    let failed = |source| LoadError::Process { client: client.clone(), source };
    let (mut link, theirs) = UnixStream::pair().map_err(failed)?;
    command.stdin(OwnedFd::from(theirs)).stdout(Stdio::null());
    let child = command.spawn().map_err(failed)?;
    // The command holds the worker's side as well; its end would not be seen.
    drop(command);
    let heard = link.try_clone().map_err(failed)?;
    let state = Arc::new(WorkerState { child: Mutex::new(child), killed: AtomicBool::new(false) });
    let (now, at_ns) = together(|| clock.now()).map_err(failed)?;
    let zero_ns = at_ns - now.0 as i64;
    let assignment = WorkerAssignment {
        setup: setup.clone(),
        topic: topic.clone(),
        security: connector.security().known().clone(),
        zero_ns,
    };
    write(&mut link, &assignment).map_err(failed)?;
    let (own, name) = (Arc::clone(&state), client.clone());
    let attend = move || {
        own.attend(heard, &name, &*watch).inspect_err(|error| failures.fail(error.to_string()))
    };
    let thread = std::thread::Builder::new().name(client.clone()).spawn(attend).map_err(failed)?;
    Ok(Box::new(Worker { client, link, state, thread }))
}

impl Seat for Worker {
    fn tell(&self, message: ToClient) {
        write(&mut &self.link, &message).ok();
    }

    fn pid(&self) -> Option<u32> {
        Some(self.state.child().id())
    }

    fn join(self: Box<Self>) -> Result<Counts, LoadError> {
        self.link.shutdown(Shutdown::Write).ok();
        if !until(END_LIMIT, LOOK, || self.thread.is_finished()) {
            let (client, limit) = (self.client.clone(), END_LIMIT.as_secs());
            self.kill()?;
            return Err(LoadError::Ended(format!("{client} did not end within {limit} s")));
        }
        self.ended().map(|ended| ended.counts)
    }

    fn kill(self: Box<Self>) -> Result<String, LoadError> {
        let failed = |source| LoadError::Process { client: self.client.clone(), source };
        self.state.killed.store(true, Relaxed);
        self.state.child().kill().map_err(failed)?;
        let (pid, client) = (self.state.child().id(), self.client.clone());
        let status = self.ended()?.status;
        if status.signal() != Some(libc::SIGKILL) {
            return Err(LoadError::Ended(format!("{client} ended by itself: {status}")));
        }
        Ok(format!("pid {pid}, {status}"))
    }
}

impl Worker {
    fn ended(self) -> Result<WorkerEnd, LoadError> {
        let panicked = |_| Err(LoadError::Ended(format!("the parent of {} panicked", self.client)));
        self.thread.join().unwrap_or_else(panicked)
    }
}

impl WorkerState {
    fn child(&self) -> std::sync::MutexGuard<'_, Child> {
        self.child.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Passes on what the worker tells until it ends. Another end than it was asked for is an error.
    fn attend(
        &self,
        link: UnixStream,
        client: &str,
        watch: &dyn Watch,
    ) -> Result<WorkerEnd, LoadError> {
        let mut counts = Counts::default();
        for line in BufReader::new(link).lines() {
            // A worker that is killed may leave half a line.
            match line.ok().and_then(|line| serde_json::from_str(&line).ok()) {
                Some(FromClient::Ended(said)) => counts = said,
                Some(message) => watch.hear(message),
                None => break,
            }
        }
        let failed = |source| LoadError::Process { client: client.to_owned(), source };
        // Not under the lock: one that told its last and does not end must be killed still.
        let pid = Pid::from_raw(self.child().id() as i32);
        let ended = waitid(Id::Pid(pid), WaitPidFlag::WEXITED | WaitPidFlag::WNOWAIT);
        ended.map_err(|errno| failed(errno.into()))?;
        let status = self.child().wait().map_err(failed)?;
        let killed = self.killed.load(Relaxed) && status.signal() == Some(libc::SIGKILL);
        if status.success() || killed {
            return Ok(WorkerEnd { status, counts });
        }
        Err(LoadError::Ended(format!("{client} ended: {status}; kbench.log may say why")))
    }
}

pub(super) fn write(mut to: impl Write, line: &impl Serialize) -> std::io::Result<()> {
    let mut line = serde_json::to_vec(line)?;
    line.push(b'\n');
    to.write_all(&line)
}

/// The kernel's monotonic clock, which all processes share.
fn monotonic_ns() -> std::io::Result<i64> {
    let now = clock_gettime(ClockId::CLOCK_MONOTONIC)?;
    Ok(now.tv_sec() * 1_000_000_000 + now.tv_nsec())
}

/// Reads a clock and the kernel's as if at once: a stall between the two would make a worker's times
/// late, and what it sent after an ack of another client would seem to come before.
fn together<T>(read: impl Fn() -> T) -> std::io::Result<(T, i64)> {
    for _ in 0..READS {
        let before = monotonic_ns()?;
        let read = read();
        if monotonic_ns()? - before <= TOGETHER_NS {
            return Ok((read, before));
        }
    }
    Err(std::io::Error::other("two clocks cannot be read at once"))
}

/// The run's clock, of which zero is known by the kernel's.
pub(super) fn clock_of(zero_ns: i64) -> std::io::Result<RunClock> {
    let (now, at_ns) = together(Instant::now)?;
    let since = Duration::from_nanos(at_ns.saturating_sub(zero_ns).max(0) as u64);
    now.checked_sub(since)
        .map(RunClock::started_at)
        .ok_or_else(|| std::io::Error::other("the run began before the kernel's clock"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_clock_is_the_parent_s() {
        let clock = RunClock::start();
        std::thread::sleep(Duration::from_millis(20));
        let (now, at_ns) = together(|| clock.now()).unwrap();
        let theirs = clock_of(at_ns - now.0 as i64).unwrap();
        let (before, at, after) = (clock.now(), theirs.now(), clock.now());
        assert!(at.secs_since(before) > -0.0001 && after.secs_since(at) > -0.0001);
    }
}
