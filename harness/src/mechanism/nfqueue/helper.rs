//! The process that holds packets back, on the host whose packets they are.
//!
//! Only a packet's number comes here, the packet itself stays with the kernel. For each line on its
//! standard input the helper writes how many packets it has held back, and how many it has seen; at
//! the end of the input it lets go of all and ends.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::io::{self, BufRead, Write};
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use nfq::Message;
use rand::RngExt as _;

use super::Hold;

/// The hidden subcommand under which kbench starts itself as the helper.
pub const SUBCOMMAND: &str = "__hold-packets";

/// What the helper writes when it reads the queue.
pub(super) const READY: &str = "ready";

/// Packets that the kernel keeps for us at most; more than that pass at once.
const MOST_PACKETS: u32 = 100_000;

/// How often the queue is looked at: delays are late by at most this.
const LOOK: Duration = Duration::from_micros(500);

#[derive(Default)]
struct Shared {
    ended: AtomicBool,
    held: AtomicU64,
    seen: AtomicU64,
}

/// Is the helper of the queue with this number; times are in microseconds.
pub fn main(queue: u16, percent: u8, by: u64, jitter: u64) -> ExitCode {
    let [by, jitter] = [by, jitter].map(Duration::from_micros);
    match hold_packets(queue, Hold { percent, by, jitter }) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

fn hold_packets(queue: u16, hold: Hold) -> io::Result<()> {
    let queue = open(queue)?;
    let shared = Arc::new(Shared::default());
    println!("{READY}");
    let told = Arc::clone(&shared);
    std::thread::Builder::new().name("requests".to_owned()).spawn(move || {
        for _ in io::stdin().lock().lines() {
            let read = |count: &AtomicU64| count.load(Ordering::Relaxed);
            let counts = format!("{} {}\n", read(&told.held), read(&told.seen));
            // Nobody listens: the end of the input is next.
            io::stdout().write_all(counts.as_bytes()).ok();
        }
        told.ended.store(true, Ordering::Relaxed);
    })?;
    let waiting = BinaryHeap::new();
    Reader { queue, hold, shared, waiting, count: 0, last: Instant::now() }.read()
}

/// The queue with this number, of the network namespace that this process is in.
fn open(number: u16) -> io::Result<nfq::Queue> {
    let mut queue = nfq::Queue::open()?;
    queue.bind(number)?;
    // Packets as large as they come, and no copy of what is in them.
    queue.set_recv_gso(number, true)?;
    queue.set_copy_range(number, 0)?;
    queue.set_queue_max_len(number, MOST_PACKETS)?;
    queue.set_fail_open(number, true)?;
    queue.set_nonblocking(true);
    Ok(queue)
}

struct Reader {
    queue: nfq::Queue,
    hold: Hold,
    shared: Arc<Shared>,
    waiting: BinaryHeap<Reverse<Waiting>>,
    count: u64,
    /// When the last of those whose order stays is due.
    last: Instant,
}

/// A packet, ordered by when it is due and then by when it came.
struct Waiting {
    due: Instant,
    number: u64,
    packet: Message,
}

impl PartialEq for Waiting {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Waiting {}

impl PartialOrd for Waiting {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Waiting {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        (self.due, self.number).cmp(&(other.due, other.number))
    }
}

impl Reader {
    fn read(&mut self) -> io::Result<()> {
        while !self.shared.ended.load(Ordering::Relaxed) {
            self.take()?;
            self.let_go(Instant::now())?;
            // The library does not say when a packet comes.
            std::thread::sleep(LOOK);
        }
        self.take()?;
        while let Some(Reverse(next)) = self.waiting.pop() {
            self.queue.verdict(next.packet)?;
        }
        Ok(())
    }

    /// Takes every packet that has come.
    fn take(&mut self) -> io::Result<()> {
        loop {
            let packet = match self.queue.recv() {
                Ok(packet) => packet,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(error) => return Err(error),
            };
            self.shared.seen.fetch_add(1, Ordering::Relaxed);
            let Hold { percent, by, jitter } = self.hold;
            let mut random = rand::rng();
            if random.random_range(0..100) >= percent {
                self.queue.verdict(packet)?;
                continue;
            }
            self.shared.held.fetch_add(1, Ordering::Relaxed);
            let spread = jitter.mul_f64(random.random_range(0.0..=2.0));
            let due = Instant::now() + (by + spread).saturating_sub(jitter);
            // Later packets do not overtake: TCP would take that for loss.
            self.last = self.last.max(due);
            self.count += 1;
            self.waiting.push(Reverse(Waiting { due: self.last, number: self.count, packet }));
        }
    }

    /// Lets go of the packets that are due.
    fn let_go(&mut self, now: Instant) -> io::Result<()> {
        while self.waiting.peek().is_some_and(|Reverse(next)| next.due <= now) {
            if let Some(Reverse(next)) = self.waiting.pop() {
                self.queue.verdict(next.packet)?;
            }
        }
        Ok(())
    }
}
