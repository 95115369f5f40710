//! A client in a process of its own, so that it can be killed: then it ends in the middle of what
//! it does, says goodbye to nobody, and its connections are reset.
//!
//! Parent and worker share a socket, the worker's stdin. The first line that the worker reads is
//! its [`Assignment`], the others are [`Order`]s; what it writes are [`Told`] lines. When the parent
//! closes its side the worker ends in good order: it cannot outlive its parent. Its history it
//! writes itself, so that what it saw survives it.

mod process;

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

use crate::consumer::{GroupSetup, Watch};
use crate::error::LoadError;
use crate::load::STOP_LIMIT;
use crate::producer::SenderSetup;

pub use process::main;

/// Limit for a worker to end that was told to: its open sends may take [`STOP_LIMIT`], and a consumer
/// waits for its coordinator.
const END_LIMIT: Duration = STOP_LIMIT.saturating_mul(2);

/// Two readings of a clock that are no further apart have no stall between them.
const TOGETHER_NS: i64 = 20_000;

/// So often two clocks are tried to be read at once.
const READS: usize = 10_000;

/// How often it is looked for.
const LOOK: Duration = Duration::from_millis(5);

/// What a worker is to be.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum Task {
    /// A member of a group.
    Member { number: u16, group: GroupSetup },
    /// A producer of `rate` records a second.
    Producer { setup: SenderSetup, rate: u64 },
}

/// The first line that a worker reads.
#[derive(Debug, Serialize, Deserialize)]
struct Assignment {
    task: Task,
    /// Zero of the run's clock, in nanoseconds of the kernel's monotonic clock.
    zero_ns: i64,
}

/// What a member in a worker is told later.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub(crate) enum Order {
    Replace { number: u16 },
    Stall { stalled: bool },
}

/// What a worker tells.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
enum Told {
    Assigned {
        partition: i32,
        member: u16,
    },
    Revoked {
        partition: i32,
        member: u16,
    },
    Polled {
        partition: i32,
        offset: i64,
    },
    /// Every partition has acked a record of this producer.
    Acked,
}

/// A client whose process was killed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Killed {
    /// Name of the client and of its stream in the history.
    pub client: String,
    /// How the process ended, for people.
    pub how: String,
    /// Size of its stream when it had ended.
    pub history_bytes: u64,
}

/// A worker, as its parent holds it.
pub(crate) struct Worker {
    client: String,
    link: UnixStream,
    state: Arc<State>,
    thread: JoinHandle<Result<ExitStatus, LoadError>>,
}

struct State {
    child: Mutex<Child>,
    killed: AtomicBool,
    acked: AtomicBool,
}

impl Worker {
    /// Starts a worker by `command`, which runs [`main`].
    pub(crate) fn start(
        mut command: Command,
        client: String,
        task: Task,
        clock: RunClock,
        watch: Arc<dyn Watch>,
    ) -> Result<Self, LoadError> {
        let failed = |source| LoadError::Process { client: client.clone(), source };
        let (mut link, theirs) = UnixStream::pair().map_err(failed)?;
        command.stdin(OwnedFd::from(theirs)).stdout(Stdio::null());
        let child = command.spawn().map_err(failed)?;
        // The command holds the worker's side as well; its end would not be seen.
        drop(command);
        let heard = link.try_clone().map_err(failed)?;
        let state = Arc::new(State {
            child: Mutex::new(child),
            killed: AtomicBool::new(false),
            acked: AtomicBool::new(false),
        });
        let (now, at_ns) = together(|| clock.now()).map_err(failed)?;
        let zero_ns = at_ns - now.0 as i64;
        write(&mut link, &Assignment { task, zero_ns }).map_err(failed)?;
        let (own, name) = (Arc::clone(&state), client.clone());
        let thread = std::thread::Builder::new()
            .name(client.clone())
            .spawn(move || own.attend(heard, &name, &*watch).inspect_err(|e| watch.failed(e)))
            .map_err(failed)?;
        Ok(Self { client, link, state, thread })
    }

    /// Its name.
    pub(crate) fn client(&self) -> &str {
        &self.client
    }

    /// Process id.
    pub(crate) fn pid(&self) -> u32 {
        self.state.child().id()
    }

    /// Whether it is a producer of which every partition has acked a record.
    pub(crate) fn has_acked(&self) -> bool {
        self.state.acked.load(Relaxed)
    }

    /// Tells it something. One that has ended hears nothing; its end is reported otherwise.
    pub(crate) fn tell(&self, order: Order) {
        write(&mut &self.link, &order).ok();
    }

    /// Lets it end in good order.
    pub(crate) fn end(&self) {
        self.link.shutdown(Shutdown::Write).ok();
    }

    /// Ends it in good order, and waits for that.
    pub(crate) fn join(self) -> Result<(), LoadError> {
        self.end();
        let deadline = Instant::now() + END_LIMIT;
        while !self.thread.is_finished() {
            if Instant::now() >= deadline {
                let (client, limit) = (self.client.clone(), END_LIMIT.as_secs());
                self.kill()?;
                return Err(LoadError::Ended(format!("{client} did not end within {limit} s")));
            }
            std::thread::sleep(LOOK);
        }
        self.ended().map(drop)
    }

    /// Kills it; how it ended, for people. To end in another way than by that is an error.
    pub(crate) fn kill(self) -> Result<String, LoadError> {
        let failed = |source| LoadError::Process { client: self.client.clone(), source };
        self.state.killed.store(true, Relaxed);
        self.state.child().kill().map_err(failed)?;
        let (pid, client) = (self.pid(), self.client.clone());
        let status = self.ended()?;
        if status.signal() != Some(libc::SIGKILL) {
            return Err(LoadError::Ended(format!("{client} ended by itself: {status}")));
        }
        Ok(format!("pid {pid}, {status}"))
    }

    fn ended(self) -> Result<ExitStatus, LoadError> {
        let panicked = |_| Err(LoadError::Ended(format!("the parent of {} panicked", self.client)));
        self.thread.join().unwrap_or_else(panicked)
    }
}

impl State {
    fn child(&self) -> std::sync::MutexGuard<'_, Child> {
        self.child.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Passes on what the worker tells until it ends; how it ended. Other than as asked is an error.
    fn attend(
        &self,
        link: UnixStream,
        client: &str,
        watch: &dyn Watch,
    ) -> Result<ExitStatus, LoadError> {
        for line in BufReader::new(link).lines() {
            // A worker that is killed may leave half a line.
            match line.ok().and_then(|line| serde_json::from_str(&line).ok()) {
                Some(Told::Assigned { partition, member }) => watch.assigned(partition, member),
                Some(Told::Revoked { partition, member }) => watch.revoked(partition, member),
                Some(Told::Polled { partition, offset }) => watch.polled(partition, offset),
                Some(Told::Acked) => self.acked.store(true, Relaxed),
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
            return Ok(status);
        }
        Err(LoadError::Ended(format!("{client} ended: {status}; kbench.log may say why")))
    }
}

fn write(mut to: impl Write, line: &impl Serialize) -> std::io::Result<()> {
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
fn clock_of(zero_ns: i64) -> std::io::Result<RunClock> {
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
