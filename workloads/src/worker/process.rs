//! The worker's own side.

use std::io::{self, BufRead, BufReader, Lines};
use std::net::Shutdown;
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};

use results::record::clock::RunClock;

use super::{Assignment, Order, Task, Told, clock_of, write};
use crate::consumer::{Control, Group, GroupSetup, Session, Watch, attend};
use crate::error::LoadError;
use crate::live::Live;
use crate::load::STOP_LIMIT;
use crate::producer::{Producer, SenderSetup};

/// Exit code after a panic, as Rust's own.
const PANICKED: i32 = 101;

/// Longer than any run.
const FOR_EVER: Duration = Duration::from_secs(365 * 24 * 3600);

/// Is a worker, from the first line on stdin to the end of its parent's side.
pub fn main() -> ExitCode {
    let said = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        said(panic);
        // The other threads would go on as if nothing had happened.
        std::process::exit(PANICKED);
    }));
    let failed = |source| LoadError::Process { client: "worker".to_owned(), source };
    let outcome = link().map_err(failed).and_then(serve);
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!(%error, "worker");
            ExitCode::FAILURE
        }
    }
}

/// The parent's socket.
fn link() -> io::Result<UnixStream> {
    io::stdin().as_fd().try_clone_to_owned().map(UnixStream::from)
}

fn serve(link: UnixStream) -> Result<(), LoadError> {
    let failed = |source| LoadError::Process { client: "worker".to_owned(), source };
    let mut lines = BufReader::new(link.try_clone().map_err(failed)?).lines();
    let Some(first) = lines.next() else {
        return Ok(());
    };
    let assignment = first.and_then(|line| Ok(serde_json::from_str(&line)?));
    let Assignment { task, zero_ns } = assignment.map_err(failed)?;
    let clock = clock_of(zero_ns).map_err(failed)?;
    match task {
        Task::Member { number, group } => member(number, group, clock, link, lines),
        Task::Producer { setup, rate } => produce(setup, rate, clock, link, lines),
    }
}

type Orders = Lines<BufReader<UnixStream>>;

fn member(
    number: u16,
    setup: GroupSetup,
    clock: RunClock,
    link: UnixStream,
    orders: Orders,
) -> Result<(), LoadError> {
    let group = Arc::new(Group { setup, clock, watch: Arc::new(Teller(link)) });
    let session = Session::open(group, number)?;
    let control = Arc::new(Control::default());
    let own = Arc::clone(&control);
    std::thread::Builder::new()
        .name("orders".into())
        .spawn(move || {
            for order in orders.map_while(Result::ok) {
                match serde_json::from_str(&order) {
                    Ok(Order::Replace { number }) => own.replace(number),
                    Ok(Order::Stall { stalled }) => own.stall(stalled),
                    Err(error) => tracing::error!(%error, order, "an order is not understood"),
                }
            }
            own.leave(Instant::now());
        })
        .map_err(|source| LoadError::Thread { client: "worker".to_owned(), source })?;
    attend(session, &control)
}

fn produce(
    setup: SenderSetup,
    rate: u64,
    clock: RunClock,
    link: UnixStream,
    orders: Orders,
) -> Result<(), LoadError> {
    let live = Arc::new(Live::new(setup.partitions));
    let (seen, failures) = (Arc::clone(&live), Arc::clone(&live));
    let producer = Producer::start(setup, clock, rate, live, failures, None)?;
    std::thread::Builder::new()
        .name("watch".into())
        .spawn(move || {
            let all = seen.partitions();
            let acked = |live: &Live| (0..all).all(|p| live.last_acked_due(p).is_some());
            if seen.wait_until(acked, FOR_EVER) {
                write(&link, &Told::Acked).ok();
                seen.wait_until(|_| false, FOR_EVER);
            }
            // It failed: nothing more is to be waited for.
            link.shutdown(Shutdown::Read).ok();
        })
        .map_err(|source| LoadError::Thread { client: "worker".to_owned(), source })?;
    // A producer has nothing to be told but the end.
    orders.map_while(Result::ok).for_each(drop);
    producer.control().stop(Instant::now() + STOP_LIMIT);
    producer.join().map(drop)
}

/// Tells the parent what the member does.
struct Teller(UnixStream);

impl Teller {
    fn tell(&self, told: Told) {
        // Without a parent the orders end too, and so does the worker.
        write(&self.0, &told).ok();
    }
}

impl Watch for Teller {
    fn assigned(&self, partition: i32, member: u16) {
        self.tell(Told::Assigned { partition, member });
    }

    fn revoked(&self, partition: i32, member: u16) {
        self.tell(Told::Revoked { partition, member });
    }

    fn polled(&self, partition: i32, offset: i64) {
        self.tell(Told::Polled { partition, offset });
    }

    /// The parent knows, and waits for it.
    fn drained(&self) -> bool {
        true
    }

    /// The worker's end says so.
    fn failed(&self, _: &LoadError) {}
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_worker_without_a_parent_ends_and_one_without_sense_says_so() {
        let (ours, theirs) = UnixStream::pair().unwrap();
        drop(ours);
        assert!(serve(theirs).is_ok());
        let (mut ours, theirs) = UnixStream::pair().unwrap();
        write(&mut ours, &"nonsense").unwrap();
        assert!(matches!(serve(theirs), Err(LoadError::Process { .. })));
    }
}
