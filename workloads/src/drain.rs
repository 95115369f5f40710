//! The drain: a fresh consumer reads every partition from the start of its log to its end, after healing.
//!
//! Both are asked for first; what comes later is not read. The start is asked for again at the end: it
//! moves where a topic deletes old records. A partition that is not read to its end when the limit
//! passes says so in the history: absence of a record there proves nothing.

use std::path::Path;
use std::time::{Duration, Instant};

use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::KafkaError;
use rdkafka::message::{BorrowedMessage, Message};
use rdkafka::{Offset, TopicPartitionList};
use results::record::clock::{RunClock, RunTime};
use results::record::history::{
    Client, Entry, HistoryError, Observed, Poll, StreamHeader, StreamWriter,
};

use crate::closing;
use crate::error::LoadError;
use crate::record;
use crate::settings;
use crate::until::until;

const NAME: &str = "drain";

/// One question for start and end of a log; asked again until the whole limit has passed.
const BOUNDS_LIMIT: Duration = Duration::from_secs(2);

/// Longest poll: how late the drain may notice that its limit has passed. Also the time between two questions
/// that nobody answers.
const POLL: Duration = Duration::from_millis(50);

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
    /// Records that somebody else than this run wrote meanwhile, as far as they were seen.
    pub of_others: u64,
}

/// Reads `topic` into the history's stream `drain`, for at most `limit`.
pub fn drain(
    bootstrap: &str,
    topic: &str,
    partitions: u32,
    run: u64,
    history_dir: &Path,
    clock: RunClock,
    limit: Duration,
) -> Result<DrainSummary, LoadError> {
    let deadline = Instant::now() + limit;
    let mut settings = settings::reader(bootstrap, "kbench-drain");
    // The last offsets of a log may hold no record: only this tells then that it was read to its end.
    settings.insert("enable.partition.eof".into(), "true".into());
    // A broker answers a connection's requests in turn: none is to wait behind a fetch at the log's end.
    settings.insert("fetch.wait.max.ms".into(), "5".into());
    let consumer: BaseConsumer = settings::config(&settings, NAME)
        .create()
        .map_err(|source| LoadError::Client { client: NAME.into(), source })?;
    let header = StreamHeader { run, topic: topic.into(), partitions, client: Client::Drain };
    let stream = StreamWriter::create(history_dir, NAME, &header).map_err(failed)?;
    let bounds: Vec<_> =
        (0..partitions as i32).map(|p| log_bounds(&consumer, topic, p, deadline)).collect();
    let reached = bounds.iter().map(|bounds| bounds.map_or(0, |log| log.start)).collect();
    let topic = topic.to_owned();
    let mut drain = Drain {
        topic,
        run,
        clock,
        stream,
        deadline,
        bounds,
        reached,
        records: 0,
        grown: 0,
        read_beyond: 0,
        of_others: 0,
        consumer,
    };
    drain.read()?;
    drain.finish()
}

/// From which offset to before which one there is a log.
#[derive(Debug, Clone, Copy)]
struct LogBounds {
    start: i64,
    end: i64,
}

/// The bounds of a partition's log, asked for until somebody answers or `deadline` has passed.
fn log_bounds(
    consumer: &BaseConsumer,
    topic: &str,
    partition: i32,
    deadline: Instant,
) -> Option<LogBounds> {
    let mut found = None;
    until(deadline.saturating_duration_since(Instant::now()), POLL, || {
        let left = deadline.saturating_duration_since(Instant::now());
        match consumer.fetch_watermarks(topic, partition, left.min(BOUNDS_LIMIT)) {
            Ok((start, end)) => found = Some(LogBounds { start, end }),
            Err(error) => tracing::warn!(partition, %error, "start and end of a log"),
        }
        found.is_some()
    });
    found
}

struct Drain {
    topic: String,
    run: u64,
    clock: RunClock,
    stream: StreamWriter,
    deadline: Instant,
    bounds: Vec<Option<LogBounds>>,
    reached: Vec<i64>,
    records: u64,
    /// Records that were written since the ends were asked for: all of them; and those that were read.
    grown: u64,
    read_beyond: u64,
    of_others: u64,
    consumer: BaseConsumer,
}

impl Drain {
    fn read(&mut self) -> Result<(), LoadError> {
        let mut unread = TopicPartitionList::new();
        for partition in 0..self.reached.len() {
            if self.is_read(partition) {
                self.ended(partition, self.clock.now())?;
                continue;
            }
            let from = Offset::Offset(self.reached[partition]);
            unread
                .add_partition_offset(&self.topic, partition as i32, from)
                .map_err(request("assign"))?;
        }
        self.consumer.assign(&unread).map_err(request("assign"))?;
        let mut left = unread.count();
        while left > 0 && Instant::now() < self.deadline {
            let (partition, at) = match self.consumer.poll(POLL) {
                Some(Ok(message)) => {
                    let (poll, partition) = (self.poll(&message), message.partition() as usize);
                    // Beyond the end, or of a partition that has been read to it: not part of the drain.
                    if self.is_read(partition) {
                        self.read_beyond(&poll);
                        continue;
                    }
                    self.records += 1;
                    self.reached[partition] = poll.offset + 1;
                    self.stream.push(&Entry::Poll(poll)).map_err(failed)?;
                    (partition, poll.at)
                }
                Some(Err(KafkaError::PartitionEOF(partition))) => {
                    let partition = partition as usize;
                    if self.is_read(partition) || !self.came_to_end(partition) {
                        continue;
                    }
                    (partition, self.clock.now())
                }
                Some(Err(error)) => {
                    tracing::debug!(%error, "drain");
                    continue;
                }
                None => continue,
            };
            if self.is_read(partition) {
                left -= 1;
                self.ended(partition, at)?;
            }
        }
        self.look_beyond();
        Ok(())
    }

    /// The client has read all that there is: no record is left before the end, unless the log was
    /// cut back since the end was asked for.
    fn came_to_end(&mut self, partition: usize) -> bool {
        let now = log_bounds(&self.consumer, &self.topic, partition as i32, self.deadline);
        match (self.bounds[partition], now) {
            (Some(before), Some(now)) if now.end >= before.end => {
                self.reached[partition] = before.end;
                true
            }
            _ => false,
        }
    }

    fn poll(&self, message: &BorrowedMessage<'_>) -> Poll {
        Poll {
            at: self.clock.now(),
            partition: message.partition(),
            offset: message.offset(),
            record: record::decode(message.payload(), self.run),
        }
    }

    /// A record beyond the end: whose it is. One of this run was on its way when its client ended.
    fn read_beyond(&mut self, poll: &Poll) {
        self.read_beyond += 1;
        if matches!(poll.record, Observed::OtherRun { .. } | Observed::Foreign) {
            self.of_others += 1;
        }
    }

    /// Reads on for a moment where the logs have grown since their ends were asked for.
    fn look_beyond(&mut self) {
        let until = self.deadline.min(Instant::now() + BEYOND_LIMIT);
        while self.read_beyond < self.grown && Instant::now() < until {
            if let Some(Ok(message)) = self.consumer.poll(POLL) {
                let poll = self.poll(&message);
                self.read_beyond(&poll);
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
        let now = log_bounds(&self.consumer, &self.topic, partition, self.deadline);
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
        closing::close(NAME, self.consumer);
        self.stream.finish().map_err(failed)?;
        Ok(DrainSummary {
            records: self.records,
            start_offsets: self.bounds.iter().map(|log| log.map(|log| log.start)).collect(),
            reached: self.reached,
            complete: unread.is_empty(),
            of_others: self.of_others,
        })
    }
}

fn failed(source: HistoryError) -> LoadError {
    LoadError::History { client: NAME.into(), source }
}

fn request(what: &'static str) -> impl Fn(KafkaError) -> LoadError {
    move |source| LoadError::Request { client: NAME.into(), what, source }
}
