//! The kernel's order of threads on busy cores: kbench's before the servers'.

use nix::libc;

/// The shortest slice that the kernel grants, in nanoseconds: of two threads that are due their
/// share of a core, the one with the shorter slice goes first.
const SHORT_NS: u64 = 100_000;

/// Lets the calling thread, and those that it starts, go first on a busy core for the moments that
/// they need. Anybody may ask for it, from Linux 6.12 on; before that it changes nothing, and the
/// schedule lag that results is measured.
pub(crate) fn go_first() {
    set_slice(SHORT_NS);
}

/// Takes that back for the calling thread; between fork and exec as well.
pub(crate) fn go_in_turn() {
    set_slice(0);
}

/// Asks for a slice, 0 for the kernel's own (sched(7)); policy and niceness stay as they are.
fn set_slice(nanoseconds: u64) {
    // SAFETY: all zeros is a valid value; it is plain data.
    let mut attributes: libc::sched_attr = unsafe { std::mem::zeroed() };
    attributes.size = size_of::<libc::sched_attr>() as u32;
    attributes.sched_policy = libc::SCHED_OTHER as u32;
    attributes.sched_runtime = nanoseconds;
    // SAFETY: `attributes` lives over the calls and says its own size.
    unsafe {
        attributes.sched_nice = libc::getpriority(libc::PRIO_PROCESS, 0);
        libc::syscall(libc::SYS_sched_setattr, 0, &raw const attributes, 0);
    }
}
