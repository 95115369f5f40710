//! What the kernel of this machine says in `/proc`: read anew at each call.

use procfs::process::{Process, all_processes};
use procfs::{Current, Meminfo};

/// Memory that programs can still get, in MiB; 0 when the kernel does not say.
pub fn available_memory_mb() -> u64 {
    let available = Meminfo::current().ok().and_then(|memory| memory.mem_available);
    available.unwrap_or_default() / (1024 * 1024)
}

/// Memory of the machine, in bytes; 0 when the kernel does not say.
pub fn memory_bytes() -> u64 {
    Meminfo::current().map_or(0, |memory| memory.mem_total)
}

/// Whether a process is stopped by a signal; one that has ended is not.
pub fn is_stopped(pid: i32) -> bool {
    let stat = Process::new(pid).and_then(|process| process.stat());
    stat.is_ok_and(|stat| stat.state == 'T')
}

/// The processes whose parent has this pid.
pub fn children(parent: i32) -> Vec<i32> {
    let stats =
        all_processes().into_iter().flatten().filter_map(|process| process.ok()?.stat().ok());
    stats.filter(|stat| stat.ppid == parent).map(|stat| stat.pid).collect()
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
