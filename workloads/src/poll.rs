//! Takes the spin out of librdkafka's waiting.
//!
//! librdkafka (2.12) waits in poll(2) for whole milliseconds, rounded down. An idempotent producer
//! that has 5 requests open and more queued asks for a wake-up that has already passed, polls with
//! a time-out of 0, and does so again and again: each broker thread takes what it can get of a core
//! for as long as an ack takes, a whole failover included (librdkafka issue 3692 has the like). On
//! a machine that the client shares with its brokers the spinning then keeps the acks slow: on two
//! cores, 1000 msg/s had a median of 0.2 s instead of some milliseconds.
//!
//! The function here is found by the linker before libc's. It differs in one thing: a time-out of
//! 0 waits a fraction of a millisecond, less if a descriptor is ready. That is below what
//! librdkafka itself resolves.

use std::ffi::{c_int, c_ulong, c_void};
use std::ptr;

/// How long a poll waits at the most that was not to wait at all.
const BRIEFLY_NS: i64 = 300_000;

#[repr(C)]
struct Timespec {
    seconds: i64,
    nanos: i64,
}

unsafe extern "C" {
    fn ppoll(
        fds: *mut c_void,
        count: c_ulong,
        timeout: *const Timespec,
        signals: *const c_void,
    ) -> c_int;
}

/// poll(2), but a time-out of 0 waits a fraction of a millisecond.
///
/// # Safety
/// As for poll(2): `fds` points to `count` descriptors.
#[unsafe(no_mangle)]
unsafe extern "C" fn poll(fds: *mut c_void, count: c_ulong, timeout_ms: c_int) -> c_int {
    let wait = match timeout_ms {
        0 => Timespec { seconds: 0, nanos: BRIEFLY_NS },
        ms => Timespec { seconds: i64::from(ms / 1000), nanos: i64::from(ms % 1000) * 1_000_000 },
    };
    let limit = if timeout_ms < 0 { ptr::null() } else { &raw const wait };
    // SAFETY: `fds` and `count` are the caller's, who vouches for them; `limit` is null or points
    // to `wait`, which lives until the call returns; no signal mask is given.
    unsafe { ppoll(fds, count, limit, ptr::null()) }
}
