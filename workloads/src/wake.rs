//! How a producing thread waits: until an exact time, or until its client has something to tell.
//!
//! [`Wake`] is an eventfd. Other threads ring it (stop), librdkafka rings it when the client's
//! queue gets its first event ([`Events`]). The waiting thread sleeps in `ppoll`, with a timer
//! slack of 1 ns, so that neither a due time nor an ack is noticed late. All unsafe calls to the
//! operating system are here.

use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::sync::Arc;
use std::time::Duration;

use nix::libc;
use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::time::TimeValLike;
use rdkafka::types::RDKafka;
use rdkafka_sys as sys;

/// What wakes a waiting thread before its time.
#[derive(Debug)]
pub(crate) struct Wake(OwnedFd);

impl Wake {
    pub(crate) fn new() -> io::Result<Self> {
        // SAFETY: plain system call; a result other than -1 is a descriptor that nobody owns yet.
        let fd = unsafe { libc::eventfd(0, libc::EFD_CLOEXEC | libc::EFD_NONBLOCK) };
        if fd == -1 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: as above.
        Ok(Self(unsafe { OwnedFd::from_raw_fd(fd) }))
    }

    /// Ends the wait of the thread that waits, or the next wait.
    pub(crate) fn ring(&self) {
        let one = 1_u64.to_ne_bytes();
        // SAFETY: `one` lives over the call. It fails only when the count is full: rung already.
        unsafe { libc::write(self.0.as_raw_fd(), one.as_ptr().cast(), one.len()) };
    }

    /// Sleeps for `limit`, less when rung.
    pub(crate) fn wait(&self, limit: Duration) {
        let mut poll = libc::pollfd { fd: self.0.as_raw_fd(), events: libc::POLLIN, revents: 0 };
        let timeout = libc::timespec {
            tv_sec: limit.as_secs().try_into().unwrap_or(libc::time_t::MAX),
            tv_nsec: limit.subsec_nanos().into(),
        };
        let mut count = [0_u8; 8];
        // SAFETY: all pointers are to locals that live over the calls. Being interrupted by a
        // signal is an early wake-up, which callers expect anyway.
        unsafe {
            if libc::ppoll(&mut poll, 1, &timeout, std::ptr::null()) > 0 {
                libc::read(self.0.as_raw_fd(), count.as_mut_ptr().cast(), count.len());
            }
        }
    }
}

/// The queue of events of one client, which rings a [`Wake`] when it is not empty any more.
#[derive(Debug)]
pub(crate) struct Events {
    queue: *mut sys::rd_kafka_queue_t,
    _wake: Arc<Wake>,
}

impl Events {
    /// Lets the client ring `wake`. The client must outlive this.
    pub(crate) fn of(client: *mut RDKafka, wake: Arc<Wake>) -> Self {
        let one = 1_u64.to_ne_bytes();
        // SAFETY: `client` is alive, the payload is copied by the call, and the descriptor is
        // kept open by `_wake` until `drop` has taken it back.
        let queue = unsafe {
            let queue = sys::rd_kafka_queue_get_main(client);
            let payload = one.as_ptr().cast();
            sys::rd_kafka_queue_io_event_enable(queue, wake.0.as_raw_fd(), payload, one.len());
            queue
        };
        Self { queue, _wake: wake }
    }

    /// Whether the client has something to tell.
    pub(crate) fn waiting(&self) -> bool {
        // SAFETY: the queue is ours until `drop`.
        unsafe { sys::rd_kafka_queue_length(self.queue) > 0 }
    }
}

impl Drop for Events {
    fn drop(&mut self) {
        // SAFETY: the queue is ours, and not used after this.
        unsafe {
            sys::rd_kafka_queue_io_event_enable(self.queue, -1, std::ptr::null(), 0);
            sys::rd_kafka_queue_destroy(self.queue);
        }
    }
}

/// Makes the waits of the calling thread exact: the kernel may delay no timer of it, and it goes
/// before the servers when they share its cores (only where the user may ask for that: root).
pub(crate) fn exact_timers() {
    // SAFETY: plain system calls. Refused or not, the schedule lag that results is measured.
    unsafe {
        libc::prctl(libc::PR_SET_TIMERSLACK, 1_u64, 0, 0, 0);
        libc::setpriority(libc::PRIO_PROCESS, 0, NICENESS);
    }
}

/// Well before everything that runs at 0; a producing thread needs a tenth of a core.
const NICENESS: libc::c_int = -10;

/// CPU time of the calling thread so far, in seconds.
pub(crate) fn thread_cpu_s() -> f64 {
    cpu_s(UsageWho::RUSAGE_THREAD)
}

/// CPU time of this process so far, in seconds.
pub(crate) fn process_cpu_s() -> f64 {
    cpu_s(UsageWho::RUSAGE_SELF)
}

fn cpu_s(who: UsageWho) -> f64 {
    getrusage(who).map_or(0.0, |usage| {
        (usage.user_time() + usage.system_time()).num_microseconds() as f64 / 1e6
    })
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::*;

    #[test]
    fn a_wait_ends_when_rung_and_not_before_its_time_otherwise() {
        let wake = Wake::new().unwrap();
        let start = Instant::now();
        wake.wait(Duration::from_millis(20));
        assert!(start.elapsed() >= Duration::from_millis(20));
        wake.ring();
        wake.ring();
        let start = Instant::now();
        wake.wait(Duration::from_secs(60));
        assert!(start.elapsed() < Duration::from_secs(30), "rung twice, woken at once");
        let start = Instant::now();
        wake.wait(Duration::from_millis(20));
        assert!(start.elapsed() >= Duration::from_millis(20), "two rings are one wake-up");
    }
}
