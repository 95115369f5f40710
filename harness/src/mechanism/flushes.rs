//! What a process flushes to its disk, watched from its start on: a seccomp filter hands its calls of fsync,
//! fdatasync and ftruncate over to a thread of kbench, which makes them in its place on a copy of the
//! descriptor, and so knows their outcome. No privilege is needed, and no tool.
//!
//! Known to be flushed is what was written through a file's descriptor (its position) when a call began that
//! returned without an error. What is mapped is not watched (msync): Kafka maps indexes only, which it makes
//! anew. sync_file_range and io_uring are not watched either: no JVM uses them.
//!
//! It is for processes that this kbench starts, on its own machine: another backend finds a way of its own,
//! or does without. It ends with the process. Should kbench end before, the calls fail; in the sandbox nothing
//! outlives kbench.
//!
//! What it costs, measured on two busy cores with a file in memory: an fsync takes 12-16 us instead of 0.5, and
//! 1 kB written and flushed 15-20 us instead of 1.4; a call that is not watched 0.1 us more at most. A broker
//! flushes some times a second, unless it is told to flush every record. While kbench stands still, whoever
//! flushes waits.

use std::collections::BTreeMap;
use std::io;
use std::mem;
use std::os::fd::{AsRawFd as _, FromRawFd as _, OwnedFd, RawFd};
use std::os::unix::net::UnixDatagram;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use nix::libc;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::socket::{ControlMessageOwned, MsgFlags, recvmsg};
use rustix::process::{Pid, PidfdFlags, PidfdGetfdFlags, pidfd_getfd, pidfd_open};

use crate::cluster::host::{ErrorKind, Host, HostError};

/// The calls that are watched.
const WATCHED: [libc::c_long; 3] = [libc::SYS_fsync, libc::SYS_fdatasync, libc::SYS_ftruncate];

/// What a process is known to have flushed, and its successors that are started in its place.
#[derive(Debug, Clone, Default)]
pub struct Flushed(Arc<Mutex<FlushedFiles>>);

#[derive(Debug, Default)]
struct FlushedFiles {
    /// How many bytes are flushed, by inode. On one disk in memory no number is used twice.
    lengths: BTreeMap<u64, u64>,
    /// Why a call could not be followed, if one could not.
    lost: Option<String>,
}

impl Flushed {
    fn files(&self) -> MutexGuard<'_, FlushedFiles> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How many bytes of a file are known to be flushed.
    ///
    /// # Errors
    /// When a call could not be followed: more may be flushed than is known.
    pub(super) fn length(&self, inode: u64) -> Result<u64, String> {
        let files = self.files();
        match &files.lost {
            Some(why) => Err(why.clone()),
            None => Ok(files.lengths.get(&inode).copied().unwrap_or_default()),
        }
    }

    /// A file is flushed up to here.
    pub(super) fn note(&self, inode: u64, length: u64) {
        let mut files = self.files();
        let known = files.lengths.entry(inode).or_default();
        *known = length.max(*known);
    }

    /// A file was cut: what is written behind that is not flushed.
    pub(super) fn shorten(&self, inode: u64, length: u64) {
        self.files().lengths.entry(inode).and_modify(|known| *known = length.min(*known));
    }

    /// A call could not be followed.
    pub(super) fn lose_track(&self, why: String) {
        tracing::warn!(why, "a flush could not be followed");
        self.files().lost.get_or_insert(why);
    }
}

/// A watch over a process that is about to start.
pub struct FlushWatch {
    flushed: Flushed,
    /// Where the process sends the descriptor on which its calls are told.
    ours: UnixDatagram,
    theirs: Option<UnixDatagram>,
}

impl FlushWatch {
    /// A watch that writes down in `flushed` what it sees.
    ///
    /// # Errors
    /// When no descriptor is left.
    pub fn new(flushed: Flushed) -> io::Result<Self> {
        let (ours, theirs) = UnixDatagram::pair()?;
        Ok(Self { flushed, ours, theirs: Some(theirs) })
    }

    /// What the process does between fork and exec, where only system calls are made.
    pub fn filter(&mut self) -> impl FnMut() -> io::Result<()> + Send + Sync + 'static {
        let theirs = self.theirs.take();
        move || match &theirs {
            Some(theirs) => send(theirs.as_raw_fd(), &filtered()?),
            None => Err(io::Error::other("one watch is for one process")),
        }
    }

    /// Follows the process that was started so, on a thread, until it has ended.
    ///
    /// # Errors
    /// When it cannot be followed.
    pub fn follow(self, pid: i32) -> io::Result<()> {
        let pid = Pid::from_raw(pid).ok_or(io::ErrorKind::InvalidInput)?;
        let process = pidfd_open(pid, PidfdFlags::empty())?;
        let supervisor = FlushSupervisor {
            flushed: self.flushed,
            listener: receive(&self.ours)?,
            pid: pid.as_raw_nonzero().get(),
            process,
        };
        std::thread::Builder::new().name("flushes".to_owned()).spawn(move || {
            if let Err(error) = supervisor.run() {
                supervisor
                    .flushed
                    .lose_track(format!("the process could not be followed: {error}"));
            }
        })?;
        Ok(())
    }
}

/// What a call becomes.
enum CallOutcome {
    /// It was made in the caller's place.
    Made(io::Result<()>),
    /// The kernel is to carry it out: nothing depends on it.
    Left,
}

struct FlushSupervisor {
    flushed: Flushed,
    listener: OwnedFd,
    pid: i32,
    process: OwnedFd,
}

impl FlushSupervisor {
    fn run(&self) -> io::Result<()> {
        while let Some(call) = self.next()? {
            let mut answer = libc::seccomp_notif_resp { id: call.id, val: 0, error: 0, flags: 0 };
            match self.make(&call.data, call.pid) {
                CallOutcome::Made(Ok(())) => {}
                CallOutcome::Made(Err(error)) => {
                    answer.error = -error.raw_os_error().unwrap_or(libc::EIO);
                }
                CallOutcome::Left => answer.flags = libc::SECCOMP_USER_NOTIF_FLAG_CONTINUE as u32,
            }
            // SAFETY: the kernel reads a structure of this type, which outlives the call.
            let sent = unsafe {
                let (fd, send) = (self.listener.as_raw_fd(), libc::SECCOMP_IOCTL_NOTIF_SEND);
                libc::ioctl(fd, send, &raw const answer)
            };
            // Who asked may be gone, or was interrupted and will ask again.
            ended_or(sent, libc::ENOENT)?;
        }
        Ok(())
    }

    /// The next call; `None` when the process has ended.
    fn next(&self) -> io::Result<Option<libc::seccomp_notif>> {
        loop {
            let mut told =
                [PollFd::new(std::os::fd::AsFd::as_fd(&self.listener), PollFlags::POLLIN)];
            match poll(&mut told, PollTimeout::NONE) {
                Err(nix::errno::Errno::EINTR) => continue,
                polled => polled?,
            };
            let events = told[0].revents().unwrap_or(PollFlags::empty());
            if !events.contains(PollFlags::POLLIN) {
                return Ok(None);
            }
            // SAFETY: it is plain numbers, which the kernel wants to be zero and fills in.
            let (call, received) = unsafe {
                let mut call: libc::seccomp_notif = mem::zeroed();
                let (fd, receive) = (self.listener.as_raw_fd(), libc::SECCOMP_IOCTL_NOTIF_RECV);
                let received = libc::ioctl(fd, receive, &raw mut call);
                (call, received)
            };
            // Who asked was killed meanwhile.
            if ended_or(received, libc::ENOENT)? {
                return Ok(Some(call));
            }
        }
    }

    /// Makes a call of a thread of the process in its place.
    fn make(&self, call: &libc::seccomp_data, thread: u32) -> CallOutcome {
        // What the process starts inherits the filter, and has descriptors of its own.
        if !Path::new(&format!("/proc/{}/task/{thread}", self.pid)).exists() {
            return CallOutcome::Left;
        }
        let [descriptor, length, ..] = call.args;
        let file = match pidfd_getfd(&self.process, descriptor as RawFd, PidfdGetfdFlags::empty()) {
            Ok(file) => file,
            Err(error) => {
                if error != rustix::io::Errno::BADF {
                    self.flushed.lose_track(format!("its descriptor could not be had: {error}"));
                }
                return CallOutcome::Left;
            }
        };
        let done = match libc::c_long::from(call.nr) {
            libc::SYS_ftruncate => self.truncate(&file, length),
            _ => self.flush(&file, libc::c_long::from(call.nr) == libc::SYS_fdatasync),
        };
        CallOutcome::Made(done)
    }

    fn flush(&self, file: &OwnedFd, data_only: bool) -> io::Result<()> {
        let before = nix::sys::stat::fstat(file)?;
        let regular = before.st_mode & libc::S_IFMT == libc::S_IFREG;
        // A file may have been made longer ahead of its use: written is what is before the position.
        let position = nix::unistd::lseek(file, 0, nix::unistd::Whence::SeekCur);
        if data_only {
            nix::unistd::fdatasync(file)?;
        } else {
            nix::unistd::fsync(file)?;
        }
        if let (true, Ok(position)) = (regular, position) {
            self.flushed.note(before.st_ino, position.min(before.st_size) as u64);
        }
        Ok(())
    }

    fn truncate(&self, file: &OwnedFd, length: u64) -> io::Result<()> {
        nix::unistd::ftruncate(file, length as i64)?;
        self.flushed.shorten(nix::sys::stat::fstat(file)?.st_ino, length);
        Ok(())
    }
}

/// Whether a call of ours succeeded; an error unless it is `expected`.
fn ended_or(returned: libc::c_int, expected: i32) -> io::Result<bool> {
    if returned >= 0 {
        return Ok(true);
    }
    let error = io::Error::last_os_error();
    if error.raw_os_error() == Some(expected) { Ok(false) } else { Err(error) }
}

/// Hands the watched calls of the calling process over; where they are told.
fn filtered() -> io::Result<OwnedFd> {
    let load = libc::BPF_LD | libc::BPF_W | libc::BPF_ABS;
    let equal = libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K;
    let give = libc::BPF_RET | libc::BPF_K;
    let is = |call: libc::c_long, jump| libc::sock_filter {
        code: equal as u16,
        jt: jump,
        jf: 0,
        k: call as u32,
    };
    let plain = |code: u32, k| libc::sock_filter { code: code as u16, jt: 0, jf: 0, k };
    let [first, second, third] = WATCHED;
    let mut filter = [
        // The number of the call comes first in what a filter sees.
        plain(load, 0),
        is(first, 3),
        is(second, 2),
        is(third, 1),
        plain(give, libc::SECCOMP_RET_ALLOW),
        plain(give, libc::SECCOMP_RET_USER_NOTIF),
    ];
    let program = libc::sock_fprog { len: filter.len() as u16, filter: filter.as_mut_ptr() };
    nix::sys::prctl::set_no_new_privs()?;
    // Without the second the kernel may slow the process down, against attacks that are none here.
    let flags = libc::SECCOMP_FILTER_FLAG_NEW_LISTENER | libc::SECCOMP_FILTER_FLAG_SPEC_ALLOW;
    // SAFETY: the program outlives the call, which copies it and returns a new descriptor.
    unsafe {
        let set = libc::SECCOMP_SET_MODE_FILTER;
        let listener = libc::syscall(libc::SYS_seccomp, set, flags, &raw const program);
        if listener < 0 {
            return Err(io::Error::last_os_error());
        }
        Ok(OwnedFd::from_raw_fd(listener as RawFd))
    }
}

/// Sends a descriptor; allocates nothing.
fn send(over: RawFd, descriptor: &OwnedFd) -> io::Result<()> {
    const SIZE: u32 = mem::size_of::<RawFd>() as u32;
    // Aligned as its header, and larger than that with one descriptor.
    let mut control = [0_u64; 4];
    let mut byte = 0_u8;
    // SAFETY: what the message points to outlives the call, and the header lies within `control`.
    let sent = unsafe {
        let mut part = libc::iovec { iov_base: (&raw mut byte).cast(), iov_len: 1 };
        let mut message: libc::msghdr = mem::zeroed();
        message.msg_iov = &raw mut part;
        message.msg_iovlen = 1;
        message.msg_control = control.as_mut_ptr().cast();
        message.msg_controllen = libc::CMSG_SPACE(SIZE) as _;
        let header = libc::CMSG_FIRSTHDR(&raw const message);
        (*header).cmsg_level = libc::SOL_SOCKET;
        (*header).cmsg_type = libc::SCM_RIGHTS;
        (*header).cmsg_len = libc::CMSG_LEN(SIZE) as _;
        libc::CMSG_DATA(header).cast::<RawFd>().write_unaligned(descriptor.as_raw_fd());
        libc::sendmsg(over, &raw const message, 0)
    };
    if sent == 1 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// Takes the descriptor that was sent.
fn receive(from: &UnixDatagram) -> io::Result<OwnedFd> {
    let mut control = nix::cmsg_space!(RawFd);
    let flags = MsgFlags::MSG_DONTWAIT | MsgFlags::MSG_CMSG_CLOEXEC;
    let mut byte = [0];
    let mut parts = [io::IoSliceMut::new(&mut byte)];
    let message = recvmsg::<()>(from.as_raw_fd(), &mut parts, Some(&mut control), flags)?;
    for part in message.cmsgs()? {
        if let ControlMessageOwned::ScmRights(descriptors) = part
            && let [descriptor] = descriptors[..]
        {
            // SAFETY: the kernel made it for us just now, and nobody else has it.
            return Ok(unsafe { OwnedFd::from_raw_fd(descriptor) });
        }
    }
    Err(io::Error::other("the process told nothing"))
}

/// Whether what a process flushes can be watched on this machine, of which `host` is to be a part.
///
/// # Errors
/// When the kernel, or a filter that is in force, does not let processes be watched.
pub(super) async fn probe(host: &dyn Host) -> Result<(), HostError> {
    let seen = tempfile::tempdir().and_then(|place| {
        let file = place.path().join("file");
        let flushed = Flushed::default();
        run_watched(
            std::process::Command::new("dd")
                .args(["if=/dev/zero", "bs=7", "count=1", "conv=fsync", "status=none"])
                .arg(format!("of={}", file.display())),
            &flushed,
        )?;
        let inode = std::os::unix::fs::MetadataExt::ino(&std::fs::metadata(&file)?);
        flushed.length(inode).map_err(io::Error::other)
    });
    let why = match seen {
        Ok(7) => return Ok(()),
        Ok(_) => "an fsync was not seen".to_owned(),
        Err(error) => error.to_string(),
    };
    let what = "watch what a process flushes";
    Err(HostError::new(ErrorKind::Unsupported, host.name(), what, why))
}

/// Runs a command to its end, watched.
fn run_watched(command: &mut std::process::Command, flushed: &Flushed) -> io::Result<()> {
    use std::os::unix::process::CommandExt as _;
    let mut watch = FlushWatch::new(flushed.clone())?;
    // SAFETY: between fork and exec only system calls are made: prctl, seccomp, sendmsg, close.
    unsafe { command.pre_exec(watch.filter()) };
    let mut child = command.spawn()?;
    watch.follow(child.id() as i32)?;
    let status = child.wait()?;
    if status.success() { Ok(()) } else { Err(io::Error::other(status.to_string())) }
}

#[cfg(test)]
mod tests;
