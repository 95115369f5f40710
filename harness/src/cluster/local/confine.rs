//! What servers may do: nothing that takes a privilege, and to write nothing but their own files.
//!
//! Each server has mounts of its own, on which all is read-only but its data and its temporary files. It gains no
//! privilege by whatever it executes, has no capability, and where root starts it another user than root. All of
//! that happens between fork and exec, by system calls alone.

use std::ffi::{CStr, CString};
use std::io;
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

use nix::libc;
use nix::sched::{CloneFlags, unshare};

use super::sandbox::{Mode, ServerUser};
use crate::child::environment;

/// What `mount_setattr` is told.
#[repr(C)]
#[derive(Default)]
struct MountAttributes {
    set: u64,
    clear: u64,
    propagation: u64,
    namespace: u64,
}

/// MOUNT_ATTR_RDONLY.
const READ_ONLY: u64 = 1;

/// AT_RECURSIVE.
const WITH_ALL_BELOW: libc::c_uint = 0x8000;

/// SECBIT_NOROOT and its lock: the user 0 gets no capability by executing something.
const ROOT_IS_NOBODY: libc::c_ulong = 0b11;

/// Version 3 of `capset`'s header.
const CAPABILITIES: u32 = 0x2008_0522;

/// Memory that servers share among themselves and with nobody else: libfaketime wants such.
const SHARED_MEMORY: &CStr = c"/dev/shm";

/// What a server does between fork and exec, after which it is confined; `writable` are mounts. A kernel that
/// knows no such mounts (before 5.12) leaves them as they are.
pub(in crate::cluster) fn confine(
    mode: Mode,
    user: Option<ServerUser>,
    writable: &[&Path],
) -> io::Result<impl FnMut() -> io::Result<()> + Send + Sync + 'static> {
    let path = |path: &&Path| Ok(CString::new(path.as_os_str().as_bytes())?);
    let writable = writable.iter().map(path).collect::<io::Result<Vec<CString>>>()?;
    Ok(move || {
        if mode.has_namespaces() {
            unshare(CloneFlags::CLONE_NEWNS)?;
            write_only_to(&writable);
        }
        if let Some(user) = user {
            become_user(user)?;
        }
        give_up_capabilities()
    })
}

/// Makes all mounts read-only but these.
fn write_only_to(writable: &[CString]) {
    let all = MountAttributes { set: READ_ONLY, ..MountAttributes::default() };
    if !set_attributes(c"/", WITH_ALL_BELOW, &all) {
        return;
    }
    let own = MountAttributes { clear: READ_ONLY, ..MountAttributes::default() };
    for path in writable {
        set_attributes(path, 0, &own);
    }
    let tmpfs = c"tmpfs".as_ptr();
    // SAFETY: all are strings that end with 0. Where there is no such folder nobody needs it.
    unsafe {
        let options = c"mode=1777,size=1m".as_ptr().cast();
        libc::mount(
            tmpfs,
            SHARED_MEMORY.as_ptr(),
            tmpfs,
            libc::MS_NOSUID | libc::MS_NODEV,
            options,
        );
    }
}

/// Whether the kernel did it.
fn set_attributes(path: &CStr, flags: libc::c_uint, attributes: &MountAttributes) -> bool {
    // SAFETY: the kernel reads a path and a structure of the size that it is told; both outlive the call.
    let set = unsafe {
        libc::syscall(
            libc::SYS_mount_setattr,
            libc::AT_FDCWD,
            path.as_ptr(),
            flags,
            std::ptr::from_ref(attributes),
            size_of::<MountAttributes>(),
        )
    };
    set == 0
}

/// Becomes another user for good. By system calls of this thread, the only one: libc's functions ask for the others.
fn become_user(ServerUser { uid, gid }: ServerUser) -> io::Result<()> {
    // SAFETY: they take numbers, and no list.
    unsafe {
        let no_groups = std::ptr::null::<libc::gid_t>();
        done(libc::syscall(libc::SYS_setgroups, 0, no_groups))?;
        done(libc::syscall(libc::SYS_setresgid, gid, gid, gid))?;
        done(libc::syscall(libc::SYS_setresuid, uid, uid, uid))
    }
}

fn give_up_capabilities() -> io::Result<()> {
    // SAFETY: the kernel reads a header and two sets of three numbers, which outlive the call.
    unsafe {
        // It takes a capability, which an ordinary user does not have, nor needs to give up.
        libc::prctl(libc::PR_SET_SECUREBITS, ROOT_IS_NOBODY, 0, 0, 0);
        let (mut header, none) = ([CAPABILITIES, 0], [0_u32; 6]);
        done(libc::syscall(libc::SYS_capset, header.as_mut_ptr(), none.as_ptr()))?;
    }
    Ok(nix::sys::prctl::set_no_new_privs()?)
}

fn done(outcome: libc::c_long) -> io::Result<()> {
    if outcome == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// Gives a server's command an environment that holds nothing of the caller's, but for what is in `beside`.
pub(in crate::cluster) fn set_environment<'a, V: AsRef<std::ffi::OsStr>>(
    command: &mut tokio::process::Command,
    home: &Path,
    beside: impl IntoIterator<Item = (&'a str, V)>,
) {
    command.env_clear().envs(environment()).env("HOME", home).envs(beside);
}

#[cfg(test)]
mod tests;
