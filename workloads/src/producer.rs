//! A producer on a thread of its own: an open loop that sends each record when it is due.
//!
//! The schedule never waits. A late record is sent at once, none is skipped or re-spaced; a record
//! that finds the client's queue full keeps its due time and is tried again as soon as the client
//! has told something, so that the wait shows as schedule lag. The thread that sends also polls,
//! so that outcomes are seen in order.
//!
//! One record is acked by each partition before the schedule starts (KAFKA-15591: the first batch
//! of an idempotent producer on an empty partition may be refused or reordered).

mod sender;

use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use results::record::clock::{RunClock, RunTime};
use results::record::history::LoadRole;

use sender::Given;
pub(crate) use sender::{Sender, SenderSetup};

use crate::error::LoadError;
use crate::live::Live;
use crate::schedule::{Schedule, partition};
use crate::seconds::Seconds;
use crate::wake::{Events, Wake, exact_timers, thread_cpu_s};

/// From the last first ack to the first scheduled record: time to get the thread to sleep, so
/// that the schedule does not begin late.
const LEAD: Duration = Duration::from_millis(10);

/// The thread wakes this much early and spins for the rest: a wake-up takes about 50 us on a
/// virtual machine. At 1000 records per second it costs at most 5 % of a core.
const SPIN: Duration = Duration::from_micros(50);

/// Longest sleep of a thread that waits for its client: events wake it, this is for stops and
/// flushes only.
const IDLE: Duration = Duration::from_millis(100);

/// How long a purged client may take to report what it purged; it does so from memory.
const PURGE_LIMIT: Duration = Duration::from_secs(2);

/// Time between two writes of the history's buffer to its file.
const FLUSH_EVERY: Duration = Duration::from_secs(1);

/// What others tell a producing thread.
#[derive(Debug)]
pub(crate) struct Control {
    wake: Arc<Wake>,
    warm_up: AtomicBool,
    /// When set: send no more, and wait for what is open until then.
    stop: Mutex<Option<Instant>>,
    stopping: AtomicBool,
}

impl Control {
    fn new() -> std::io::Result<Self> {
        Ok(Self {
            wake: Arc::new(Wake::new()?),
            warm_up: AtomicBool::new(true),
            stop: Mutex::new(None),
            stopping: AtomicBool::new(false),
        })
    }

    /// Records are not tagged as warm-up any more from now on.
    pub(crate) fn end_warm_up(&self) {
        self.warm_up.store(false, Relaxed);
    }

    /// Nothing more is sent; what is open has until `deadline`.
    pub(crate) fn stop(&self, deadline: Instant) {
        *self.stop.lock().unwrap_or_else(PoisonError::into_inner) = Some(deadline);
        self.stopping.store(true, Relaxed);
        self.wake.ring();
    }

    fn stopped(&self) -> bool {
        self.stopping.load(Relaxed)
    }

    fn deadline(&self) -> Instant {
        let stop = self.stop.lock().unwrap_or_else(PoisonError::into_inner);
        stop.unwrap_or_else(Instant::now)
    }
}

/// What became of a producer's records.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Produced {
    pub(crate) sent: u64,
    pub(crate) acked: u64,
    pub(crate) failed: u64,
    pub(crate) indeterminate: u64,
    pub(crate) queue_full: u64,
    pub(crate) cpu_s: f64,
}

/// A producing thread.
#[derive(Debug)]
pub(crate) struct Producer {
    control: Arc<Control>,
    thread: JoinHandle<Result<Produced, LoadError>>,
}

impl Producer {
    /// Starts a producer of `rate` records a second, which keeps `live` and tells `failures` when
    /// it ends early. `seconds` receives its per-second figures.
    pub(crate) fn start(
        setup: SenderSetup,
        clock: RunClock,
        rate: u64,
        live: Arc<Live>,
        failures: Arc<Live>,
        seconds: Option<Seconds>,
    ) -> Result<Self, LoadError> {
        let name = setup.name();
        let refused = |source| LoadError::Thread { client: name.clone(), source };
        let control = Arc::new(Control::new().map_err(refused)?);
        let role = setup.role;
        let sender = Sender::new(setup, clock, Arc::clone(&live))?;
        let task = Task { clock, control: Arc::clone(&control), live, sender, seconds };
        let thread = std::thread::Builder::new()
            .name(thread_name(role).into())
            .spawn(move || task.run(rate).inspect_err(|e| failures.fail(e.to_string())))
            .map_err(refused)?;
        Ok(Self { control, thread })
    }

    pub(crate) fn control(&self) -> &Control {
        &self.control
    }

    /// Waits for the thread, which was told to stop.
    pub(crate) fn join(self) -> Result<Produced, LoadError> {
        self.thread.join().unwrap_or_else(|_| Err(LoadError::Ended("a producer panicked".into())))
    }
}

fn thread_name(role: LoadRole) -> &'static str {
    match role {
        LoadRole::Main | LoadRole::Worker => "producer",
        LoadRole::Probe => "probe-producer",
    }
}

struct Task {
    clock: RunClock,
    control: Arc<Control>,
    live: Arc<Live>,
    sender: Sender,
    seconds: Option<Seconds>,
}

impl Task {
    fn run(mut self, rate: u64) -> Result<Produced, LoadError> {
        exact_timers();
        let events = Events::of(self.sender.native(), Arc::clone(&self.control.wake));
        self.first_records(&events)?;
        let sent = self.scheduled(rate, &events);
        let ended = self.finish(&events);
        drop(events);
        let mut produced = self.sender.close()?;
        sent.and(ended)?;
        produced.cpu_s = thread_cpu_s();
        Ok(produced)
    }

    /// One record to each partition, again where it was not acked, until all are acked.
    fn first_records(&mut self, events: &Events) -> Result<(), LoadError> {
        while !self.control.stopped() {
            self.collect(events)?;
            if self.sender.all_acked() {
                return Ok(());
            }
            for partition in self.sender.untried() {
                self.sender.send(partition, self.clock.now(), true, self.seconds.as_mut())?;
            }
            self.control.wake.wait(IDLE);
        }
        Ok(())
    }

    fn scheduled(&mut self, rate: u64, events: &Events) -> Result<(), LoadError> {
        let schedule = Schedule::new(self.clock.now().plus(LEAD), rate);
        let mut flush = self.clock.now().plus(FLUSH_EVERY);
        let mut held_up = None;
        let mut next = 0;
        while !self.control.stopped() {
            self.collect(events)?;
            let now = self.clock.now();
            if let Some(seconds) = &mut self.seconds {
                seconds.turn(now, schedule.due_by(now), &self.live);
            }
            if now >= flush {
                self.sender.flush()?;
                flush = now.plus(FLUSH_EVERY);
            }
            let due = schedule.due(next);
            if now < due {
                let until = self.seconds.as_ref().map_or(due, |seconds| due.min(seconds.end()));
                self.wait(now, until.min(flush));
                continue;
            }
            let warm_up = self.control.warm_up.load(Relaxed);
            let to = partition(next, self.live.partitions());
            match self.sender.send(to, due, warm_up, self.seconds.as_mut())? {
                Given::Taken => next += 1,
                Given::QueueFull => {
                    if held_up.replace(next) != Some(next) {
                        self.sender.count_queue_full();
                    }
                    self.control.wake.wait(IDLE);
                }
            }
        }
        Ok(())
    }

    /// Sleeps until `until`, less when the client has something to tell.
    fn wait(&self, now: RunTime, until: RunTime) {
        let left = until.since(now);
        if left > SPIN {
            self.control.wake.wait(left - SPIN);
            return;
        }
        while self.clock.now() < until {
            std::hint::spin_loop();
        }
    }

    /// Waits for the outcome of what is open, then gives the rest up.
    fn finish(&mut self, events: &Events) -> Result<(), LoadError> {
        let deadline = self.control.deadline();
        self.await_outcomes(events, deadline)?;
        if self.sender.open() > 0 {
            self.sender.purge();
            self.await_outcomes(events, Instant::now() + PURGE_LIMIT)?;
        }
        Ok(())
    }

    fn await_outcomes(&mut self, events: &Events, deadline: Instant) -> Result<(), LoadError> {
        loop {
            self.collect(events)?;
            let left = deadline.saturating_duration_since(Instant::now());
            if self.sender.open() == 0 || left.is_zero() {
                return Ok(());
            }
            self.control.wake.wait(left.min(IDLE));
        }
    }

    fn collect(&mut self, events: &Events) -> Result<(), LoadError> {
        while events.waiting() {
            self.sender.poll();
        }
        self.sender.collect(self.seconds.as_mut())
    }
}
