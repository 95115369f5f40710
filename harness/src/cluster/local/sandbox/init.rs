//! The sandbox's side: entry and init.
//!
//! The entry makes the namespaces and forks; the child is pid 1 of the sandbox. Both attend one
//! child each: they forward signals to it, reap whatever else ends, and exit as it exits. Runs
//! before any thread exists: `unshare` of a user namespace needs a single-threaded process.

use std::ffi::{OsStr, OsString};
use std::io;
use std::os::fd::AsFd;
use std::path::Path;
use std::process::{Command, ExitCode, Stdio};

use nix::mount::{MsFlags, mount};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sched::{CloneFlags, unshare};
use nix::sys::prctl;
use nix::sys::signal::{SigSet, Signal, kill};
use nix::sys::stat::{Mode as Permissions, umask};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::{ForkResult, Pid, fork, getgid, getpid, getuid};

use super::Mode;
use super::outside::Outside;
use super::own_run;
use super::user::{IdMapper, ServerUser};
use crate::child::{die_with_parent, end_with_parent, own};
use crate::kernel;
use crate::private;

/// The hidden subcommand under which kbench starts itself as a sandbox.
pub const SUBCOMMAND: &str = "__sandbox";

/// Environment variable that names the folder of the servers' data where they are on disk.
pub const DATA: &str = "KBENCH_DATA";

/// Exit code when the sandbox could not be made: infrastructure.
const CANNOT: u8 = 4;

/// Why there is no sandbox: which step failed.
pub(super) type Made<T> = Result<T, (&'static str, io::Error)>;

/// Runs `kbench COMMAND` in a sandbox; called by `main` before anything else.
pub fn main(mode: Mode, command: &[OsString]) -> ExitCode {
    let outside = Outside::of_entry(None);
    let outcome = match mode {
        Mode::Loopback => loopback(command, outside),
        mode => enter(mode, command, outside),
    };
    // What of them was on disk; nobody is left who writes there.
    if let Some(data) = std::env::var_os(DATA) {
        remove_data(Path::new(&data));
    }
    exit_code(outcome)
}

/// The exit code of the sandbox; says why when there is none.
pub(super) fn exit_code(outcome: Made<ExitCode>) -> ExitCode {
    outcome.unwrap_or_else(|(step, error)| {
        results::err!("the sandbox cannot {step}: {error}");
        ExitCode::from(CANNOT)
    })
}

/// Without namespaces: every process of the trial that loses its parent becomes our child, and is
/// ended before we are. Then nobody writes into the data any more, and it can be removed.
pub(super) fn loopback(command: &[OsString], outside: Option<Outside>) -> Made<ExitCode> {
    prctl::set_child_subreaper(true).map_err(at("adopt orphans"))?;
    let code = runner(command, outside, None);
    loop {
        for child in children() {
            send(child, Signal::SIGKILL);
        }
        match waitpid(None, None) {
            Ok(_) | Err(nix::Error::EINTR) => {}
            Err(_) => return code,
        }
    }
}

/// Our children.
fn children() -> Vec<Pid> {
    kernel::children(getpid().as_raw()).into_iter().map(Pid::from_raw).collect()
}

/// Entry: makes the namespaces; init is its child. Returns in both.
fn enter(mode: Mode, command: &[OsString], outside: Option<Outside>) -> Made<ExitCode> {
    let user = ServerUser::choose(&std::env::var_os(DATA).unwrap_or_default());
    make_namespaces(mode, user)?;
    let signals = block_signals()?;
    let (alive, held) = io::pipe().map_err(|error| ("make a pipe", error))?;
    // SAFETY: this process has one thread, so the child may do whatever it could do itself.
    match unsafe { fork() }.map_err(at("fork"))? {
        ForkResult::Parent { child } => {
            drop(alive);
            let code = attend(child, &signals);
            drop(held);
            code
        }
        ForkResult::Child => {
            drop(held);
            end_with_parent(Signal::SIGKILL, || still_held(&alive))
                .map_err(|error| ("end with its parent", error))?;
            mount_own()?;
            runner(command, outside, user)
        }
    }
}

/// Whether the other end of the pipe is open, which is to say that the entry lives: its pid means nothing
/// in init's own process namespace.
fn still_held(alive: &io::PipeReader) -> io::Result<bool> {
    let mut fds = [PollFd::new(alive.as_fd(), PollFlags::empty())];
    Ok(poll(&mut fds, PollTimeout::ZERO)? == 0)
}

/// Makes the namespaces of `mode`, with the caller as their root; the servers' user is there too.
fn make_namespaces(mode: Mode, user: Option<ServerUser>) -> Made<()> {
    let (uid, gid) = (getuid(), getgid());
    let rest = CloneFlags::CLONE_NEWNET
        | CloneFlags::CLONE_NEWNS
        | CloneFlags::CLONE_NEWPID
        | CloneFlags::CLONE_NEWUTS
        | CloneFlags::CLONE_NEWIPC;
    if mode == Mode::UserNamespaces {
        let all = CloneFlags::CLONE_NEWUSER | rest;
        if let Some(user) = user {
            let mapper = IdMapper::start(user).map_err(|e| ("start a helper", e))?;
            unshare(all).map_err(at("make user namespaces"))?;
            return mapper.map().map_err(|e| ("map the servers' user", e));
        }
        unshare(all).map_err(at("make user namespaces"))?;
        std::fs::write("/proc/self/setgroups", "deny").map_err(|e| ("deny setgroups", e))?;
        let map = |id: u32| format!("0 {id} 1");
        std::fs::write("/proc/self/uid_map", map(uid.as_raw())).map_err(|e| ("map its user", e))?;
        std::fs::write("/proc/self/gid_map", map(gid.as_raw())).map_err(|e| ("map its group", e))
    } else {
        unshare(rest).map_err(at("make namespaces"))
    }
}

/// Gives the sandbox a `/proc` of its own and folders in `/run`, and keeps its mounts to itself.
fn mount_own() -> Made<()> {
    let none: Option<&str> = None;
    mount(none, "/", none, MsFlags::MS_REC | MsFlags::MS_PRIVATE, none)
        .map_err(at("keep its mounts to itself"))?;
    mount(Some("proc"), "/proc", Some("proc"), MsFlags::empty(), none)
        .map_err(at("mount /proc"))?;
    let_servers_read();
    own_run::mount_at(Path::new("/run")).map_err(|error| ("mount /run", error))
}

/// Lets other users read what is made from here on, which servers may be. The run's own folder is still nobody
/// else's to enter.
pub(super) fn let_servers_read() {
    umask(Permissions::S_IWGRP | Permissions::S_IWOTH);
}

/// Starts the runner and attends it; a trial gets to see `outside`, and starts servers as `user`.
pub(super) fn runner(
    command: &[OsString],
    outside: Option<Outside>,
    user: Option<ServerUser>,
) -> Made<ExitCode> {
    let signals = block_signals()?;
    let mut kbench = Command::new(own());
    kbench.args(command).stdin(Stdio::null());
    die_with_parent(&mut kbench, Signal::SIGKILL, false);
    unblock_in_child(&mut kbench, signals);
    Outside::hand_to(outside, &mut kbench, command);
    ServerUser::hand_to(user, &mut kbench);
    let child = kbench.spawn().map_err(|error| ("start the trial", error))?;
    attend(Pid::from_raw(child.id() as i32), &signals)
}

/// Forwards signals to `child` and reaps orphans until it ends; its exit code is ours.
fn attend(child: Pid, signals: &SigSet) -> Made<ExitCode> {
    loop {
        match signals.wait().map_err(at("wait for signals"))? {
            Signal::SIGCHLD => {
                if let Some(code) = reap(child) {
                    return Ok(code);
                }
            }
            // The coordinator is gone (see `spawn`): nobody waits for a report any more.
            Signal::SIGHUP => send(child, Signal::SIGKILL),
            other => send(child, other),
        }
    }
}

/// Sends a signal to a child of ours; one that has just ended needs none.
fn send(child: Pid, signal: Signal) {
    kill(child, signal).ok();
}

/// Reaps every process that has ended; the exit code when `child` is among them.
fn reap(child: Pid) -> Option<ExitCode> {
    loop {
        match waitpid(None, Some(WaitPidFlag::WNOHANG)) {
            Ok(WaitStatus::Exited(pid, code)) if pid == child => {
                return Some(ExitCode::from(code as u8));
            }
            Ok(WaitStatus::Signaled(pid, signal, _)) if pid == child => {
                return Some(ExitCode::from(128 + signal as u8));
            }
            Ok(WaitStatus::StillAlive) | Err(_) => return None,
            Ok(_) => {}
        }
    }
}

fn remove_data(data: &Path) {
    let (Some(parent), Some(name)) = (data.parent(), data.file_name().and_then(OsStr::to_str))
    else {
        return;
    };
    if let Err(error) = private::remove(parent, name) {
        results::err!("{} cannot be removed: {error}", data.display());
    }
}

/// Blocks the signals that are attended to, so that none is lost before the first wait.
fn block_signals() -> Made<SigSet> {
    let signals =
        SigSet::from_iter([Signal::SIGCHLD, Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP]);
    signals.thread_block().map_err(at("block signals"))?;
    Ok(signals)
}

fn unblock_in_child(command: &mut Command, signals: SigSet) {
    use std::os::unix::process::CommandExt;
    // SAFETY: between fork and exec only one system call is made: sigprocmask.
    unsafe { command.pre_exec(move || Ok(signals.thread_unblock()?)) };
}

pub(super) fn at(step: &'static str) -> impl Fn(nix::Error) -> (&'static str, io::Error) {
    move |error| (step, error.into())
}
