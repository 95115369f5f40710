//! The process that holds packets back, on the host whose packets they are.
//!
//! Only a packet's number comes here, the packet itself stays with the kernel. The helper says when it is
//! there, answers each request on its standard input by a line, and at the end of the input lets go of
//! all packets and ends. As long as it is not told to hold packets back it waits for that alone.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::io::{self, BufRead};
use std::process::ExitCode;
use std::sync::mpsc::{self, TryRecvError};
use std::time::{Duration, Instant};

use nfq::Message;
use rand::RngExt as _;

use super::Hold;

/// The hidden subcommand under which kbench starts itself as the helper.
pub const SUBCOMMAND: &str = "__hold-packets";

/// The answer to a request that has no other one, and what the helper begins with.
pub(super) const DONE: &str = "done";

/// The request to hold packets back: number of the queue, percent, microseconds, jitter.
pub(super) const HOLD: &str = "hold";

/// The request for the counts: packets held back, packets seen.
pub(super) const COUNT: &str = "count";

/// The request to let go of every packet, and to stand by.
pub(super) const LET_GO: &str = "let-go";

/// Packets that the kernel keeps for us at most; more than that pass at once.
const MOST_PACKETS: u32 = 100_000;

/// How often the queue is looked at: delays are late by at most this.
const LOOK: Duration = Duration::from_micros(500);

/// Is the helper.
pub fn main() -> ExitCode {
    match serve() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            results::err!("{error}");
            ExitCode::FAILURE
        }
    }
}

fn serve() -> io::Result<()> {
    results::out!("{DONE}");
    let (sender, requests) = mpsc::channel();
    std::thread::Builder::new().name("requests".to_owned()).spawn(move || {
        for line in io::stdin().lock().lines().map_while(Result::ok) {
            if sender.send(line).is_err() {
                return;
            }
        }
    })?;
    let mut holder = None;
    loop {
        let Some(holds) = &mut holder else {
            // Nothing to do until it is told.
            let Ok(request) = requests.recv() else { return Ok(()) };
            answer(&request, &mut holder)?;
            continue;
        };
        match requests.try_recv() {
            Ok(request) => answer(&request, &mut holder)?,
            Err(TryRecvError::Disconnected) => return holds.let_all_go(),
            Err(TryRecvError::Empty) => {
                holds.take()?;
                holds.let_go(Instant::now())?;
                // The library does not say when a packet comes.
                std::thread::sleep(LOOK);
            }
        }
    }
}

/// Does what a request asks for, and says so.
fn answer(request: &str, holder: &mut Option<Holder>) -> io::Result<()> {
    match (request, holder.as_mut()) {
        (COUNT, Some(Holder { held, seen, .. })) => results::out!("{held} {seen}"),
        (LET_GO, Some(holds)) => {
            holds.let_all_go()?;
            *holder = None;
            results::out!("{DONE}");
        }
        (COUNT | LET_GO, None) => results::out!("no packets are held back"),
        _ => match hold_of(request) {
            Some((number, hold)) => match open(number) {
                Ok(queue) => {
                    *holder = Some(Holder::of(queue, hold));
                    results::out!("{DONE}");
                }
                Err(error) => results::out!("the queue {number} cannot be opened: {error}"),
            },
            None => results::out!("`{request}` is no request"),
        },
    }
    Ok(())
}

/// What a request to hold packets back asks for, and the number of the queue.
fn hold_of(request: &str) -> Option<(u16, Hold)> {
    let mut words = request.split(' ');
    if words.next() != Some(HOLD) {
        return None;
    }
    let queue = words.next()?.parse().ok()?;
    let percent = words.next()?.parse().ok().filter(|percent| *percent <= 100)?;
    let mut time = || Some(Duration::from_micros(words.next()?.parse().ok()?));
    let (by, jitter) = (time()?, time()?);
    words.next().is_none().then_some((queue, Hold { percent, by, jitter }))
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

/// What holds packets back.
struct Holder {
    queue: nfq::Queue,
    hold: Hold,
    waiting: BinaryHeap<Reverse<Waiting>>,
    held: u64,
    seen: u64,
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

impl Holder {
    fn of(queue: nfq::Queue, hold: Hold) -> Self {
        let (waiting, last) = (BinaryHeap::new(), Instant::now());
        Self { queue, hold, waiting, held: 0, seen: 0, last }
    }

    /// Lets go of every packet, due or not.
    fn let_all_go(&mut self) -> io::Result<()> {
        self.take()?;
        while let Some(Reverse(next)) = self.waiting.pop() {
            self.queue.verdict(next.packet)?;
        }
        Ok(())
    }

    /// Takes every packet that has come.
    fn take(&mut self) -> io::Result<()> {
        let Hold { percent, by, jitter } = self.hold;
        loop {
            let packet = match self.queue.recv() {
                Ok(packet) => packet,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(error) => return Err(error),
            };
            self.seen += 1;
            let mut random = rand::rng();
            if random.random_range(0..100) >= percent {
                self.queue.verdict(packet)?;
                continue;
            }
            self.held += 1;
            let spread = jitter.mul_f64(random.random_range(0.0..=2.0));
            let due = Instant::now() + (by + spread).saturating_sub(jitter);
            // Later packets do not overtake: TCP would take that for loss.
            self.last = self.last.max(due);
            self.waiting.push(Reverse(Waiting { due: self.last, number: self.held, packet }));
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_are_read_strictly() {
        let [by, jitter] = [100_000, 20].map(Duration::from_micros);
        let hold = Hold { percent: 10, by, jitter };
        assert_eq!(hold_of("hold 4711 10 100000 20"), Some((4711, hold)));
        for wrong in [
            "hold",
            "hold 1 10 1",
            "hold 1 10 1 2 3",
            "hold 1 101 1 2",
            "hold 70000 1 1 2",
            "hole 1 1 1 1",
            "",
        ] {
            assert_eq!(hold_of(wrong), None, "{wrong}");
        }
    }
}
