//! What the kernel of this machine says in `/proc`: read anew at each call.

mod cgroup;

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt as _;
use std::path::{Path, PathBuf};

use nix::sys::resource::{Resource, getrlimit};
use procfs::process::{Process, all_processes};
use procfs::{Current, Meminfo};

/// Memory that programs can still get, in bytes; 0 when the kernel does not say. Where a control group of this
/// process leaves less than the machine has, that, and its limit.
pub fn available_memory() -> (u64, Option<PathBuf>) {
    let available = Meminfo::current().ok().and_then(|memory| memory.mem_available);
    let available = available.unwrap_or_default();
    let groups = std::fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
    match cgroup::least(Path::new("/sys/fs/cgroup"), &groups) {
        Some(group) if group.free < available => (group.free, Some(group.limit)),
        _ => (available, None),
    }
}

/// The same in MiB.
pub fn available_memory_mb() -> u64 {
    available_memory().0 / (1024 * 1024)
}

/// Memory of the machine, in bytes; 0 when the kernel does not say.
pub fn memory_bytes() -> u64 {
    Meminfo::current().map_or(0, |memory| memory.mem_total)
}

/// Files that a process may have open at most, its soft limit raised; 0 when the kernel does not say.
pub fn most_open_files() -> u64 {
    getrlimit(Resource::RLIMIT_NOFILE).map_or(0, |(_, hard)| hard)
}

/// Areas of memory that a process may map; 0 when the kernel does not say.
pub fn most_maps() -> u64 {
    let most = std::fs::read_to_string("/proc/sys/vm/max_map_count").unwrap_or_default();
    most.trim().parse().unwrap_or_default()
}

/// What tells this machine from others: its machine-id(5), or where it has none, as in containers, its name.
pub fn machine() -> String {
    let id = std::fs::read_to_string("/etc/machine-id").unwrap_or_default();
    let name = || nix::unistd::gethostname().unwrap_or_default().to_string_lossy().into_owned();
    Some(id.trim().to_owned()).filter(|id| !id.is_empty()).unwrap_or_else(name)
}

/// Whether a process is stopped by a signal; one that has ended is not.
pub fn is_stopped(pid: i32) -> bool {
    let stat = Process::new(pid).and_then(|process| process.stat());
    stat.is_ok_and(|stat| stat.state == 'T')
}

/// Whether the process of this pid has ended, whether or not its parent has taken notice.
pub fn has_ended(pid: i32) -> bool {
    let stat = Process::new(pid).and_then(|process| process.stat());
    stat.map_or(true, |stat| matches!(stat.state, 'Z' | 'X'))
}

/// Whether a process shows nothing of itself, although it has not ended: it has given its memory back, and will.
pub fn is_ending(pid: i32) -> bool {
    std::fs::read(format!("/proc/{pid}/cmdline")).is_ok_and(|line| line.is_empty())
}

/// The arguments that a process was started with, its program's name first; none of one that has ended.
pub fn arguments(pid: i32) -> Vec<OsString> {
    let line = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    let line = line.strip_suffix(b"\0").unwrap_or(&line);
    line.split(|byte| *byte == 0).map(|one| OsString::from_vec(one.to_vec())).collect()
}

/// Whether a process is this user's.
pub fn is_own(pid: i32) -> bool {
    user(pid) == Some(nix::unistd::geteuid().as_raw())
}

/// Which user a process is; `None` of one that is on its way from one to another, or has ended.
pub fn user(pid: i32) -> Option<u32> {
    let status = Process::new(pid).and_then(|process| process.status()).ok()?;
    (status.ruid == status.euid).then_some(status.ruid)
}

/// Every process that this one can see.
pub fn processes() -> Vec<i32> {
    let all = all_processes().into_iter().flatten();
    all.filter_map(|process| Some(process.ok()?.pid)).collect()
}

/// Whether a connection of this network namespace still sends what a program left to it that closed it,
/// or ended. The kernel tries again for minutes, and delivers once the way is free.
pub fn sends_for_the_dead() -> bool {
    let table = std::fs::read_to_string("/proc/thread-self/net/tcp");
    table.is_ok_and(|table| has_unsent_of_closed(&table))
}

fn has_unsent_of_closed(table: &str) -> bool {
    /// FIN_WAIT1, LAST_ACK, CLOSING of `tcp_states.h`: closed here, not all of it acknowledged.
    const CLOSED: [&str; 3] = ["04", "09", "0B"];
    // Number, local address, remote address, state.
    let state = |line: &str| line.split_whitespace().nth(3).map(str::to_owned);
    table.lines().skip(1).filter_map(state).any(|state| CLOSED.contains(&&*state))
}

/// The processes whose parent has this pid.
pub fn children(parent: i32) -> Vec<i32> {
    let stats =
        all_processes().into_iter().flatten().filter_map(|process| process.ok()?.stat().ok());
    stats.filter(|stat| stat.ppid == parent).map(|stat| stat.pid).collect()
}

/// Whether a filter of system calls is in force on this process, as on those of a container.
pub fn is_filtered() -> bool {
    /// SECCOMP_MODE_FILTER.
    const FILTER: u32 = 2;
    let status = Process::myself().and_then(|process| process.status());
    status.is_ok_and(|status| status.seccomp == Some(FILTER))
}

#[cfg(test)]
mod tests {
    use std::os::unix::process::parent_id;

    use super::*;

    #[test]
    fn this_process_is_there_and_not_stopped_and_the_machine_has_memory() {
        let own = std::process::id() as i32;
        assert!(children(parent_id() as i32).contains(&own));
        assert!(!is_stopped(own));
        assert!(memory_bytes() > available_memory_mb() && available_memory_mb() > 0);
        assert!(most_open_files() > 0 && most_maps() > 0);
    }

    #[test]
    fn a_connection_that_still_sends_is_told_from_one_that_only_waits() {
        let line = |state| {
            let connection = format!("0: 0B0012C6:2384 010012C6:D3F2 {state} 00000042:00000000");
            format!("  sl  local_address rem_address   st\n {connection}")
        };
        assert!(has_unsent_of_closed(&line("04")));
        for state in ["01", "06", "0A"] {
            assert!(!has_unsent_of_closed(&line(state)), "{state}");
        }
    }

    #[test]
    fn a_command_may_be_called_anything() {
        use procfs::FromRead as _;
        let stat = "12 (a) b ) c) T 7 12 12 0 -1 4194560 1 0 0 0 0 0 0 0 20 0 1 0 4711 2 3 4 5 6 7 8 \
                    9 10 11 12 13 14 15 16 17 18 19 20 21 22 23 24 25 26 27 28 29 30 31 0\n";
        let stat = procfs::process::Stat::from_read(stat.as_bytes()).unwrap();
        assert_eq!((stat.state, stat.ppid, stat.starttime), ('T', 7, 4711));
    }
}
