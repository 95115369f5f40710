//! Takes the spin out of librdkafka's waiting: an interposed poll(2).
//!
//! librdkafka (2.12) waits in poll(2) for whole milliseconds, rounded down. An idempotent producer
//! that has 5 requests open and more queued asks for a wake-up that has already passed, polls with
//! a time-out of 0, and does so again and again: each broker thread takes what it can get of a core
//! for as long as an ack takes, a whole failover included (librdkafka issue 3692 has the like). On
//! a machine that the client shares with its brokers the spinning then keeps the acks slow: on two
//! cores, 1000 msg/s had a median of 0.2 s instead of some milliseconds.
//!
//! The function here is found by the linker before libc's. It differs in one thing: on a broker
//! thread of librdkafka (it names them `rdk:broker...`), a time-out of 0 waits up to [`WAIT`], less
//! if a descriptor is ready. That is below what librdkafka itself resolves. Every other thread gets
//! poll(2) as it is. `environment.json` and the report say so.
//!
//! What it changes, by `tests::what_it_changes` (ignored; it prints the figures): 1000 records a
//! second, idempotent, to mock brokers that take 100 ms for an answer, on two cores with a load
//! average of 10, debug build, three rounds of 5 s.
//!
//! | poll(2) | with time-out 0, a second | CPU of the broker threads | response p50 | response p99 |
//! |---|---|---|---|---|
//! | as it is | 380,000 - 804,000 | 31 - 56 % of a core | 163 - 221 ms | 414 - 1143 ms |
//! | interposed | 3,600 - 4,600 | 2.4 - 3.2 % of a core | 152 - 166 ms | 202 - 294 ms |

use std::cell::Cell;
use std::ffi::{c_int, c_ulong, c_void};
use std::ptr;
use std::time::Duration;

use nix::libc;

/// How long a poll of a broker thread waits at the most that was not to wait at all.
pub const WAIT: Duration = Duration::from_micros(300);

/// How the names of librdkafka's broker threads begin. It gives them before anything else is done.
const BROKER_THREAD: &[u8] = b"rdk:broker";

thread_local! {
    /// Whether this is a broker thread; `None` before its first poll. Constant and without
    /// destructor: to read it does not allocate and cannot fail, even while a thread ends.
    static IS_BROKER: Cell<Option<bool>> = const { Cell::new(None) };
}

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

/// poll(2), but on a broker thread of librdkafka a time-out of 0 waits a fraction of a millisecond.
///
/// # Safety
/// As for poll(2): `fds` points to `count` descriptors.
#[unsafe(no_mangle)]
unsafe extern "C" fn poll(fds: *mut c_void, count: c_ulong, timeout_ms: c_int) -> c_int {
    let wait = match timeout_ms {
        0 if waits() => Timespec { seconds: 0, nanos: i64::from(WAIT.subsec_nanos()) },
        ms => Timespec { seconds: i64::from(ms / 1000), nanos: i64::from(ms % 1000) * 1_000_000 },
    };
    let limit = if timeout_ms < 0 { ptr::null() } else { &raw const wait };
    // SAFETY: `fds` and `count` are the caller's, who vouches for them; `limit` is null or points
    // to `wait`, which lives until the call returns; no signal mask is given.
    unsafe { ppoll(fds, count, limit, ptr::null()) }
}

/// Whether a poll of this thread waits that was not to.
fn waits() -> bool {
    let is_broker = IS_BROKER.get().unwrap_or_else(|| {
        let mut name = [0_u8; 16];
        // SAFETY: the kernel writes 16 bytes at the most, its zero included.
        unsafe { libc::prctl(libc::PR_GET_NAME, name.as_mut_ptr()) };
        let is_broker = name.starts_with(BROKER_THREAD);
        IS_BROKER.set(Some(is_broker));
        is_broker
    });
    #[cfg(test)]
    if is_broker {
        return tests::asked();
    }
    is_broker
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
    use std::time::Instant;

    use rdkafka::mocking::MockCluster;
    use results::record::clock::RunClock;
    use results::record::history::{Entry, History};

    use super::*;
    use crate::{Load, LoadContext, WorkloadSpec, shipped};

    const TOPIC: &str = "user-events";
    const LIMIT: Duration = Duration::from_secs(30);

    /// Whether broker threads are given what they ask for, for the measurement.
    static UNCHANGED: AtomicBool = AtomicBool::new(false);

    /// Polls of broker threads that were not to wait.
    static POLLS: AtomicU64 = AtomicU64::new(0);

    /// Counts such a poll. Whether it waits.
    pub(super) fn asked() -> bool {
        POLLS.fetch_add(1, Relaxed);
        !UNCHANGED.load(Relaxed)
    }

    fn on_thread<T: Send + 'static>(name: &str, work: fn() -> T) -> T {
        std::thread::Builder::new().name(name.into()).spawn(work).unwrap().join().unwrap()
    }

    #[test]
    fn only_broker_threads_wait() {
        let one_poll = || {
            let start = Instant::now();
            // SAFETY: no descriptors are named.
            unsafe { poll(ptr::null_mut(), 0, 0) };
            start.elapsed()
        };
        assert!(on_thread("rdk:broker1", one_poll) >= WAIT);
        assert!(on_thread("rdk:broker-1", waits));
        for other in ["rdk:main", "rdk:mock", "producer-0", "tokio-runtime-w"] {
            assert!(!on_thread(other, waits), "{other}");
        }
    }

    #[test]
    fn librdkafka_s_polls_come_here() {
        let before = POLLS.load(Relaxed);
        measure(false, Duration::from_millis(300));
        assert!(
            POLLS.load(Relaxed) > before,
            "the linker took libc's poll, or threads have new names"
        );
    }

    /// CPU time of the broker threads of this process so far, in seconds.
    fn broker_cpu_s() -> f64 {
        let ticks_of = |task: std::fs::DirEntry| {
            let stat = std::fs::read_to_string(task.path().join("stat")).ok()?;
            let (name, rest) = stat.rsplit_once(')')?;
            let fields: Vec<_> = rest.split_whitespace().collect();
            let ticks: u64 = fields[11].parse::<u64>().ok()? + fields[12].parse::<u64>().ok()?;
            name.contains("rdk:broker").then_some(ticks)
        };
        let tasks = std::fs::read_dir("/proc/self/task").unwrap();
        // USER_HZ is 100 on every Linux.
        tasks.filter_map(|task| ticks_of(task.ok()?)).sum::<u64>() as f64 / 100.0
    }

    struct PollFigures {
        polls_per_s: f64,
        /// CPU seconds of the broker threads for each second.
        cpu: f64,
        median_ms: f64,
        p99_ms: f64,
    }

    /// 1000 records a second, idempotent, to brokers that take 100 ms for an answer.
    fn measure(unchanged: bool, time: Duration) -> PollFigures {
        let cluster = MockCluster::new(3).unwrap();
        cluster.create_topic(TOPIC, 3, 3).unwrap();
        let smoke = shipped().iter().find(|(name, _)| *name == "smoke").unwrap().1;
        let smoke = smoke.replace("per_second = 200", "per_second = 1000");
        let spec =
            WorkloadSpec { consumers: None, probe: None, ..WorkloadSpec::parse(&smoke).unwrap() };
        let dir = tempfile::tempdir().unwrap();
        let context = LoadContext {
            bootstrap: cluster.bootstrap_servers(),
            connector: crate::wire::Connector::default(),
            run: 1,
            topic: TOPIC.into(),
            partitions: 3,
            brokers: (1..=3).collect(),
            further: vec![],
            suffix: String::new(),
            probe_topic: None,
            history_dir: dir.path().into(),
            clock: RunClock::start(),
            seed: 7,
            worker: None,
            on_second: Box::new(|_, _| ()),
            on_event: std::sync::Arc::new(|_, _| ()),
        };
        let load = Load::start(&spec, context).unwrap();
        load.wait_acked(LIMIT).unwrap();
        cluster.broker_round_trip_time(-1, Duration::from_millis(100)).unwrap();
        load.end_warm_up();
        UNCHANGED.store(unchanged, Relaxed);
        let (polls, cpu, start) = (POLLS.load(Relaxed), broker_cpu_s(), Instant::now());
        std::thread::sleep(time);
        let over = start.elapsed().as_secs_f64();
        let polls_per_s = (POLLS.load(Relaxed) - polls) as f64 / over;
        let cpu = (broker_cpu_s() - cpu) / over;
        UNCHANGED.store(false, Relaxed);
        load.stop(LIMIT).unwrap();
        let streams = History::load(dir.path()).unwrap().streams;
        let entries = streams.iter().flat_map(|stream| &stream.entries);
        let mut response_ms: Vec<f64> = entries
            .filter_map(|entry| match entry {
                Entry::Send(send) if !send.warm_up => Some(send.done.secs_since(send.due) * 1e3),
                _ => None,
            })
            .collect();
        response_ms.sort_by(f64::total_cmp);
        let quantile = |q: f64| response_ms[(response_ms.len() as f64 * q) as usize];
        PollFigures { polls_per_s, cpu, median_ms: quantile(0.5), p99_ms: quantile(0.99) }
    }

    #[test]
    #[ignore = "a measurement; run it alone, with --nocapture"]
    fn what_it_changes() {
        const TIME: Duration = Duration::from_secs(5);
        for round in 1..=3 {
            for unchanged in [true, false] {
                let PollFigures { polls_per_s, cpu, median_ms, p99_ms } = measure(unchanged, TIME);
                println!(
                    "{round} {}: {polls_per_s:>8.0} polls/s with time-out 0, broker threads {:.1} % of a \
                     core, response p50 {median_ms:.0} ms, p99 {p99_ms:.0} ms",
                    if unchanged { "poll(2) as it is" } else { "interposed      " },
                    cpu * 100.0,
                );
            }
        }
    }
}
