//! The kernel's order of threads on a busy core: kbench's first, the servers' last.
//!
//! Elsewhere clients have machines of their own. Here they share two cores with six JVMs, and what
//! they wait for a core would be taken for the cluster's doing.

use nix::libc;

/// Of two threads that are due their share of a core, the one with the shorter slice goes first. The
/// kernel grants 0.1 to 100 ms; kbench's threads need some 20 us at a time.
const SHORT_NS: u64 = 100_000;

/// A tenth of the share of a thread at 0.
const NICE: libc::c_int = 10;

/// For the calling thread and those that it starts.
pub(crate) fn go_first() {
    set(SHORT_NS, 0);
}

/// For the calling thread and those that it starts, also between fork and exec.
pub(crate) fn go_last() {
    set(0, NICE);
}

/// Asks for a slice (0: the kernel's own) and adds to the niceness: sched(7). Anybody may ask; before
/// Linux 6.12 the slice changes nothing. The schedule lag that results is measured in any case.
fn set(slice_ns: u64, nicer_by: libc::c_int) {
    // SAFETY: all zeros is a valid value; it is plain data.
    let mut attributes: libc::sched_attr = unsafe { std::mem::zeroed() };
    attributes.size = size_of::<libc::sched_attr>() as u32;
    attributes.sched_policy = libc::SCHED_OTHER as u32;
    attributes.sched_runtime = slice_ns;
    // SAFETY: plain system calls; `attributes` lives over them and says its own size.
    unsafe {
        attributes.sched_nice = (libc::getpriority(libc::PRIO_PROCESS, 0) + nicer_by).min(19);
        libc::syscall(libc::SYS_sched_setattr, 0, &raw const attributes, 0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thread_that_goes_last_is_nice_and_so_are_those_that_it_starts() {
        let niceness = || unsafe { libc::getpriority(libc::PRIO_PROCESS, 0) };
        let before = niceness();
        let nice = std::thread::spawn(move || {
            go_last();
            std::thread::spawn(niceness).join().unwrap()
        });
        assert_eq!(nice.join().unwrap(), (before + NICE).min(19));
        go_first();
        assert_eq!(niceness(), before, "to go first is no matter of niceness");
    }
}
