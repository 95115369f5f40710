//! Whom servers run as where root starts them: the user who called `sudo`, or one that nobody is. The entry of a
//! sandbox chooses, since it sees the host, and tells whoever it starts.

use std::ffi::OsStr;
use std::fs;
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::MetadataExt as _;
use std::process::Command;

use nix::sys::wait::{WaitStatus, waitpid};
use nix::unistd::{ForkResult, Pid, Uid, User, fork, getpid, getuid};

use crate::kernel;

/// Environment variable by which the entry tells; not for users.
const SERVER_USER: &str = "KBENCH_SERVER_USER";

/// Ids that distributions leave to services whose users come and go: systemd's DynamicUser.
const PRIVATE: std::ops::RangeInclusive<u32> = 61184..=65519;

/// The user and the group of the servers, where these are not kbench's own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ServerUser {
    /// Its user id.
    pub uid: u32,
    /// Its group id.
    pub gid: u32,
}

impl ServerUser {
    /// Whom root lets servers run as whose data is in `data`; `None` for everybody else, and where root's
    /// own ids are the only ones that there are.
    pub(super) fn choose(data: &OsStr) -> Option<Self> {
        if !getuid().is_root() {
            return None;
        }
        let id = |name: &str| std::env::var(name).ok()?.parse::<u32>().ok();
        let chosen = Self::of_caller(id("SUDO_UID"), id("SUDO_GID"))
            .or_else(|| Self::nobody_s(data, is_taken))?;
        let is_mapped = |map: &str, id| fs::read_to_string(map).is_ok_and(|map| maps(&map, id));
        (is_mapped("/proc/self/uid_map", chosen.uid) && is_mapped("/proc/self/gid_map", chosen.gid))
            .then_some(chosen)
    }

    /// The user who called `sudo`, if that is an ordinary one.
    fn of_caller(uid: Option<u32>, gid: Option<u32>) -> Option<Self> {
        let ordinary = |id: Option<u32>| id.filter(|id| *id > 0 && *id < u32::MAX);
        Some(Self { uid: ordinary(uid)?, gid: ordinary(gid)? })
    }

    /// A user that nobody is, another one for other data as far as that goes.
    fn nobody_s(data: &OsStr, is_taken: impl Fn(u32) -> bool) -> Option<Self> {
        let (first, all) = (*PRIVATE.start(), PRIVATE.end() - PRIVATE.start() + 1);
        let from = crc32fast::hash(data.as_encoded_bytes()) % all;
        let id = (0..all).map(|step| first + (from + step) % all).find(|id| !is_taken(*id))?;
        Some(Self { uid: id, gid: id })
    }

    /// Tells what `command` starts.
    pub(super) fn hand_to(user: Option<Self>, command: &mut Command) {
        match user {
            Some(Self { uid, gid }) => command.env(SERVER_USER, format!("{uid}:{gid}")),
            None => command.env_remove(SERVER_USER),
        };
    }

    /// Whom the entry of this sandbox chose.
    pub fn told() -> Option<Self> {
        let told = std::env::var(SERVER_USER).ok()?;
        let (uid, gid) = told.split_once(':')?;
        Self::of_caller(uid.parse().ok(), gid.parse().ok())
    }

    /// Whether a process of this user may be a server that root started.
    pub fn is_server_s(uid: u32) -> bool {
        let caller = std::env::var("SUDO_UID").ok().and_then(|uid| uid.parse().ok());
        getuid().is_root() && (PRIVATE.contains(&uid) || caller == Some(uid))
    }
}

/// Whether a user has this id, or a process of the host.
fn is_taken(uid: u32) -> bool {
    let runs = |pid: i32| fs::metadata(format!("/proc/{pid}")).is_ok_and(|it| it.uid() == uid);
    !matches!(User::from_uid(Uid::from_raw(uid)), Ok(None))
        || kernel::processes().into_iter().any(runs)
}

/// Whether a map of ids, as the kernel shows it, has this one.
fn maps(map: &str, id: u32) -> bool {
    let has = |line: &str| {
        let mut numbers = line.split_whitespace().map(|number| number.parse::<u64>().ok());
        let first = numbers.next()??;
        let count = numbers.nth(1)??;
        Some((first..first + count).contains(&u64::from(id)))
    };
    map.lines().any(|line| has(line) == Some(true))
}

/// Who writes the maps of a user namespace that has the servers' user beside root: that takes a process outside of
/// it. Started before the namespace is made.
pub(super) struct IdMapper {
    child: Pid,
    go: io::PipeWriter,
}

impl IdMapper {
    /// Starts it. To be called by a process of one thread.
    pub(super) fn start(user: ServerUser) -> io::Result<Self> {
        let (mut wait, go) = io::pipe()?;
        let of = getpid();
        // SAFETY: this process has one thread, so the child may do whatever it could do itself.
        match unsafe { fork() }? {
            ForkResult::Parent { child } => Ok(Self { child, go }),
            ForkResult::Child => {
                drop(go);
                let map = |name: &str, id: u32| {
                    fs::write(format!("/proc/{of}/{name}"), format!("0 0 1\n{id} {id} 1\n"))
                };
                // Nothing to do when the other end is closed without a word.
                let mapped = wait
                    .read_exact(&mut [0])
                    .and_then(|()| map("uid_map", user.uid))
                    .and_then(|()| map("gid_map", user.gid));
                // SAFETY: it ends the process, whatever its parent's state is.
                unsafe {
                    nix::libc::_exit(mapped.err().map_or(0, |e| e.raw_os_error().unwrap_or(5)))
                }
            }
        }
    }

    /// Has the maps of the namespace written that this process has entered meanwhile.
    pub(super) fn map(mut self) -> io::Result<()> {
        self.go.write_all(b"1")?;
        match waitpid(self.child, None)? {
            WaitStatus::Exited(_, 0) => Ok(()),
            WaitStatus::Exited(_, error) => Err(io::Error::from_raw_os_error(error)),
            _ => Err(io::Error::other("a signal ended its helper")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn servers_run_as_the_caller_of_sudo_or_as_somebody_that_nobody_is() {
        let caller = |uid, gid| ServerUser::of_caller(uid, gid).map(|user| (user.uid, user.gid));
        assert_eq!(caller(Some(1000), Some(100)), Some((1000, 100)));
        for (uid, gid) in
            [(Some(0), Some(0)), (None, Some(1)), (Some(1), None), (Some(u32::MAX), Some(1))]
        {
            assert_eq!(caller(uid, gid), None);
        }
        let one = ServerUser::nobody_s(OsStr::new("/runs/one"), |_| false).unwrap();
        assert!(PRIVATE.contains(&one.uid) && one.gid == one.uid);
        let next = ServerUser::nobody_s(OsStr::new("/runs/one"), |uid| uid == one.uid).unwrap();
        assert!(PRIVATE.contains(&next.uid) && next != one);
        assert_eq!(ServerUser::nobody_s(OsStr::new("/runs/one"), |_| true), None);
    }

    #[test]
    fn an_id_is_there_if_a_map_has_it() {
        assert!(maps("         0          0 4294967295\n", 61200));
        assert!(!maps("         0       1500          1\n", 61200));
        assert!(maps("0 100000 1\n61200 161200 1\n", 61200));
        assert!(!maps("", 0) && !maps("0 0\n", 0));
    }
}
