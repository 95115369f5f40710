//! Packets held up in this process: the kernel hands over what a node gets (NFQUEUE), and takes each
//! back when its time has come. For kernels that have no queueing discipline for it.
//!
//! Only a packet's number comes here, the packet itself stays with the kernel. Should the process
//! end, the kernel lets packets pass.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::fs::File;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use nfq::Message;
use rand::RngExt as _;

use crate::cluster::local::sandbox::inside;
use crate::cluster::local::sandbox::shape::QUEUE;

/// Packets that the kernel keeps for us at most; more than that pass at once.
pub(super) const MOST_PACKETS: u32 = 100_000;

/// How often the queue is looked at: delays are late by at most this.
const LOOK: Duration = Duration::from_micros(500);

/// Which packets are held up, and how long.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Manner {
    pub(super) percent: u8,
    pub(super) by: Duration,
    /// Added or taken away, drawn for each; the order of packets stays.
    pub(super) jitter: Duration,
}

/// A queue that is read.
pub(super) struct Queue {
    shared: Arc<Shared>,
    reader: Option<JoinHandle<()>>,
}

#[derive(Default)]
struct Shared {
    ended: AtomicBool,
    held: AtomicU64,
    seen: AtomicU64,
}

impl Queue {
    /// Reads the queue of a namespace from now on.
    pub(super) async fn start(namespace: File, manner: Manner) -> io::Result<Self> {
        let queue = inside(Some(namespace), open).await?;
        let shared = Arc::new(Shared::default());
        let reader = Reader {
            queue,
            manner,
            shared: Arc::clone(&shared),
            waiting: BinaryHeap::new(),
            count: 0,
            last: Instant::now(),
        };
        let thread = std::thread::Builder::new().name("packets".to_owned());
        let reader = thread.spawn(move || reader.run())?;
        Ok(Self { shared, reader: Some(reader) })
    }

    /// Packets held up, and packets seen.
    pub(super) fn counts(&self) -> (u64, u64) {
        let read = |count: &AtomicU64| count.load(Ordering::Relaxed);
        (read(&self.shared.held), read(&self.shared.seen))
    }

    /// Lets go of every packet and reads no more.
    pub(super) async fn end(mut self) {
        self.shared.ended.store(true, Ordering::Relaxed);
        let Some(reader) = self.reader.take() else { return };
        let joined = tokio::task::spawn_blocking(move || reader.join());
        if !matches!(joined.await, Ok(Ok(()))) {
            tracing::warn!("the reader of packets ended early");
        }
    }
}

impl Drop for Queue {
    fn drop(&mut self) {
        self.shared.ended.store(true, Ordering::Relaxed);
    }
}

/// The queue of the calling thread's namespace. It stays with that, whoever reads it.
fn open() -> io::Result<nfq::Queue> {
    let mut queue = nfq::Queue::open()?;
    queue.bind(QUEUE)?;
    // Packets as large as they come, and no copy of what is in them.
    queue.set_recv_gso(QUEUE, true)?;
    queue.set_copy_range(QUEUE, 0)?;
    queue.set_queue_max_len(QUEUE, MOST_PACKETS)?;
    queue.set_fail_open(QUEUE, true)?;
    queue.set_nonblocking(true);
    Ok(queue)
}

struct Reader {
    queue: nfq::Queue,
    manner: Manner,
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
    fn run(mut self) {
        if let Err(error) = self.read() {
            tracing::warn!(%error, "packets are held up no longer");
        }
    }

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
            let Manner { percent, by, jitter } = self.manner;
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
