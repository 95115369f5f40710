//! The drain: a fresh consumer reads every partition from the start of its log to its end, after healing.
//!
//! Both are asked for first; what comes later is not read. The start is asked for again at the end: it
//! moves where a topic deletes old records. A partition that is not read to its end when the drain is given
//! up ([`pace`]) says so in the history: absence of a record there proves nothing.

mod fetched;
mod order;
mod pace;

use std::path::Path;
use std::time::{Duration, Instant};

use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::KafkaError;
use rdkafka::{Offset, TopicPartitionList};
use results::record::clock::{RunClock, RunTime};
use results::record::history::{
    Client, Entry, HistoryError, Observed, Poll, StreamHeader, StreamWriter,
};

use crate::closing;
use crate::error::LoadError;
use crate::record;
use crate::security::Security;
use crate::settings;
use crate::until::until;

use fetched::{FetchQueue, Fetched};
use order::LogOrder;
use pace::Pace;
pub use pace::{DrainProgress, Patience};

const NAME: &str = "drain";

/// One question for start and end of a log; asked again for as long as a drain may be stuck.
const BOUNDS_LIMIT: Duration = Duration::from_secs(2);

/// The time between two questions that nobody answers.
const ASK_AGAIN: Duration = Duration::from_millis(50);

/// Longest wait for a full batch: the end of a log comes so late.
const POLL: Duration = Duration::from_millis(5);

/// Longest time for which the client fetches no more of a partition, where enough of all is fetched. librdkafka's
/// default is a second, in which a drain has read several times what is fetched ahead: most of the time it
/// would have nothing to do.
const FETCH_AGAIN_MS: &str = "5";

/// For how long the drain looks whose records were written meanwhile.
const BEYOND_LIMIT: Duration = Duration::from_millis(500);

/// What the drain read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DrainSummary {
    /// Records read, over all partitions.
    pub records: u64,
    /// Per partition: the first offset of the log, as asked for before; `None` when nobody answered.
    pub start_offsets: Vec<Option<i64>>,
    /// Per partition: first offset that was not read any more.
    pub reached: Vec<i64>,
    /// Whether every partition was read to its end.
    pub complete: bool,
    /// Why not, where the drain was given up.
    pub given_up: Option<String>,
    /// Records that somebody else than this run wrote meanwhile, as far as they were seen.
    pub of_others: u64,
    /// Per partition: whether a record came again, or after one that its producer wrote later. Elsewhere none is twice.
    pub out_of_order: Vec<bool>,
}

/// What is to be drained.
#[derive(Debug, Clone, Copy)]
pub struct DrainTask<'a> {
    /// Addresses of brokers.
    pub bootstrap: &'a str,
    /// How they are connected to.
    pub security: &'a Security,
    /// The topic.
    pub topic: &'a str,
    /// Number of its partitions.
    pub partitions: u32,
    /// Number of the run, which its records bear.
    pub run: u64,
    /// Name of the stream in the history; no other drain of the run has it.
    pub stream: &'a str,
    /// Folder of the history.
    pub history_dir: &'a Path,
    /// The run's clock.
    pub clock: RunClock,
    /// For how long nothing may come.
    pub patience: Patience,
}

/// Who is told once a second how far a drain is.
pub type OnDrained<'a> = &'a mut dyn FnMut(RunTime, DrainProgress);

/// Reads a topic into a stream of the history. `interrupted` says whether the user wants the end.
///
/// # Errors
/// When no client can be made, or the history cannot be written.
pub fn drain(
    task: DrainTask<'_>,
    on_drained: OnDrained<'_>,
    interrupted: &dyn Fn() -> bool,
) -> Result<DrainSummary, LoadError> {
    let DrainTask { bootstrap, security, topic, partitions, run, clock, patience, .. } = task;
    let mut settings = settings::reader(bootstrap, "kbench-drain");
    // The last offsets of a log may hold no record: only this tells then that it was read to its end.
    settings.insert("enable.partition.eof".into(), "true".into());
    // A broker answers a connection's requests in turn: none is to wait behind a fetch at the log's end.
    settings.insert("fetch.wait.max.ms".into(), "5".into());
    settings.insert("fetch.queue.backoff.ms".into(), FETCH_AGAIN_MS.into());
    let consumer: BaseConsumer = settings::config(&settings, NAME, security)
        .create()
        .map_err(|source| LoadError::Client { client: NAME.into(), source })?;
    let header = StreamHeader { run, topic: topic.into(), partitions, client: Client::Drain };
    let stream = StreamWriter::create(task.history_dir, task.stream, &header).map_err(failed)?;
    let mut asker = Asker { consumer, topic: topic.to_owned(), left: patience.stuck, patience };
    let bounds: Vec<_> = (0..partitions as i32).map(|p| asker.log_bounds(p)).collect();
    let reached: Vec<_> = bounds.iter().map(|log| log.map_or(0, |log| log.start)).collect();
    let total = bounds.iter().flatten().map(|log| log.end.saturating_sub(log.start).max(0) as u64);
    let pace = Pace::new(patience, clock.now(), total.sum());
    let mut drain = Drain {
        run,
        clock,
        stream,
        orders: bounds.iter().map(|_| LogOrder::default()).collect(),
        bounds,
        reached,
        records: 0,
        grown: 0,
        read_beyond: 0,
        of_others: 0,
        asker,
        pace,
        given_up: None,
    };
    drain.read(on_drained, interrupted)?;
    drain.finish()
}

/// From which offset to before which one there is a log.
#[derive(Debug, Clone, Copy)]
struct LogBounds {
    start: i64,
    end: i64,
}

/// The client, and for how much longer it asks what nobody answers.
struct Asker {
    consumer: BaseConsumer,
    topic: String,
    left: Duration,
    patience: Patience,
}

impl Asker {
    /// The bounds of a partition's log, asked for until somebody answers. One answer renews the patience; without
    /// any, all partitions together take it up.
    fn log_bounds(&mut self, partition: i32) -> Option<LogBounds> {
        let mut found = None;
        let began = Instant::now();
        let deadline = began + self.left;
        until(self.left, ASK_AGAIN, || {
            let left = deadline.saturating_duration_since(Instant::now());
            match self.consumer.fetch_watermarks(&self.topic, partition, left.min(BOUNDS_LIMIT)) {
                Ok((start, end)) => found = Some(LogBounds { start, end }),
                Err(error) => tracing::warn!(partition, %error, "start and end of a log"),
            }
            found.is_some()
        });
        self.left = match found {
            Some(_) => self.patience.stuck,
            None => self.left.saturating_sub(began.elapsed()),
        };
        found
    }
}

struct Drain {
    run: u64,
    clock: RunClock,
    stream: StreamWriter,
    bounds: Vec<Option<LogBounds>>,
    reached: Vec<i64>,
    orders: Vec<LogOrder>,
    records: u64,
    /// Records that were written since the ends were asked for: all of them; and those that were read.
    grown: u64,
    read_beyond: u64,
    of_others: u64,
    asker: Asker,
    pace: Pace,
    given_up: Option<String>,
}

impl Drain {
    fn read(
        &mut self,
        on_drained: OnDrained<'_>,
        interrupted: &dyn Fn() -> bool,
    ) -> Result<(), LoadError> {
        let mut unread = TopicPartitionList::new();
        for partition in 0..self.reached.len() {
            if self.is_read(partition) {
                self.ended(partition, self.clock.now())?;
                continue;
            }
            let from = Offset::Offset(self.reached[partition]);
            unread
                .add_partition_offset(&self.asker.topic, partition as i32, from)
                .map_err(request("assign"))?;
        }
        self.asker.consumer.assign(&unread).map_err(request("assign"))?;
        let mut left = unread.count();
        let mut fetched = FetchQueue::of(&self.asker.consumer);
        while left > 0 {
            if self.pace.look(self.clock.now(), interrupted()) {
                on_drained(self.clock.now(), self.pace.progress());
            }
            self.given_up = self.pace.given_up();
            if self.given_up.is_some() {
                self.asker.left = Duration::ZERO;
                break;
            }
            fetched.take(POLL);
            let at = self.clock.now();
            while let Some(next) = fetched.next() {
                if let Some(partition) = self.take(next, at)? {
                    left -= 1;
                    self.ended(partition, at)?;
                }
            }
        }
        self.look_beyond(&mut fetched);
        Ok(())
    }

    /// Takes what was fetched by `at`. The partition, if it was read to its end with that.
    fn take(&mut self, fetched: Fetched<'_>, at: RunTime) -> Result<Option<usize>, LoadError> {
        let partition = match fetched {
            Fetched::Record { partition, offset, value } => {
                let poll = self.poll(partition, offset, value, at);
                let partition = partition as usize;
                // Beyond the end, or of a partition that has been read to it: not part of the drain.
                if self.is_read(partition) {
                    self.read_beyond(&poll);
                    return Ok(None);
                }
                self.records += 1;
                if let Observed::Record(record) = &poll.record {
                    self.orders[partition].pass(record);
                }
                self.reach(partition, offset + 1);
                self.stream.push(&Entry::Poll(poll)).map_err(failed)?;
                partition
            }
            Fetched::End { partition } => {
                let partition = partition as usize;
                if self.is_read(partition) || !self.came_to_end(partition) {
                    return Ok(None);
                }
                partition
            }
            Fetched::Failed(error) => {
                tracing::debug!(%error, "drain");
                return Ok(None);
            }
        };
        Ok(self.is_read(partition).then_some(partition))
    }

    /// The client has read all that there is: no record is left before the end, unless the log was
    /// cut back since the end was asked for.
    fn came_to_end(&mut self, partition: usize) -> bool {
        let now = self.asker.log_bounds(partition as i32);
        match (self.bounds[partition], now) {
            (Some(before), Some(now)) if now.end >= before.end => {
                self.reach(partition, before.end);
                true
            }
            _ => false,
        }
    }

    fn reach(&mut self, partition: usize, offset: i64) {
        let before = std::mem::replace(&mut self.reached[partition], offset);
        self.pace.pass(offset.saturating_sub(before).max(0) as u64);
    }

    fn poll(&self, partition: i32, offset: i64, value: Option<&[u8]>, at: RunTime) -> Poll {
        Poll { at, partition, offset, record: record::decode(value, self.run) }
    }

    /// A record beyond the end: whose it is. One of this run was on its way when its client ended.
    fn read_beyond(&mut self, poll: &Poll) {
        self.read_beyond += 1;
        if matches!(poll.record, Observed::OtherRun { .. } | Observed::Foreign) {
            self.of_others += 1;
        }
    }

    /// Reads on for a moment where the logs have grown since their ends were asked for.
    fn look_beyond(&mut self, fetched: &mut FetchQueue) {
        let until = Instant::now() + BEYOND_LIMIT;
        while self.given_up.is_none() && self.read_beyond < self.grown && Instant::now() < until {
            fetched.take(POLL);
            while let Some(next) = fetched.next() {
                if let Fetched::Record { partition, offset, value } = next {
                    let poll = self.poll(partition, offset, value, self.clock.now());
                    self.read_beyond(&poll);
                }
            }
        }
    }

    fn is_read(&self, partition: usize) -> bool {
        self.bounds[partition].is_some_and(|log| self.reached[partition] >= log.end)
    }

    fn ended(&mut self, partition: usize, at: RunTime) -> Result<(), LoadError> {
        let reached = self.reached[partition];
        let before = self.bounds[partition];
        let partition = partition as i32;
        let now = self.asker.log_bounds(partition);
        if let Some((before, now)) = before.zip(now) {
            self.grown += now.end.saturating_sub(before.end).max(0) as u64;
        }
        // Nobody told: more than was reached may be there, or less at the start.
        let end_offset = before.zip(now).map_or(i64::MAX, |(before, _)| before.end);
        let start_offset = before.into_iter().chain(now).map(|log| log.start).max().unwrap_or(0);
        let entry = Entry::Drained { partition, start_offset, end_offset, reached, at };
        self.stream.push(&entry).map_err(failed)
    }

    fn finish(mut self) -> Result<DrainSummary, LoadError> {
        let unread: Vec<_> = (0..self.reached.len()).filter(|p| !self.is_read(*p)).collect();
        for partition in &unread {
            self.ended(*partition, self.clock.now())?;
        }
        closing::close(NAME, self.asker.consumer);
        self.stream.finish().map_err(failed)?;
        Ok(DrainSummary {
            records: self.records,
            start_offsets: self.bounds.iter().map(|log| log.map(|log| log.start)).collect(),
            reached: self.reached,
            complete: unread.is_empty(),
            given_up: self.given_up,
            of_others: self.of_others,
            out_of_order: self.orders.iter().map(LogOrder::is_broken).collect(),
        })
    }
}

fn failed(source: HistoryError) -> LoadError {
    LoadError::History { client: NAME.into(), source }
}

fn request(what: &'static str) -> impl Fn(KafkaError) -> LoadError {
    move |source| LoadError::Request { client: NAME.into(), what, source }
}
