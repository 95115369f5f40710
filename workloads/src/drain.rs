//! The drain: a fresh consumer reads every partition from offset 0 to its end, after healing.
//!
//! End offsets are asked for first; what comes later is not read. A partition that is not read to
//! its end when the limit passes says so in the history: absence of a record there proves nothing.

use std::path::Path;
use std::time::{Duration, Instant};

use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::KafkaError;
use rdkafka::message::{BorrowedMessage, Message};
use rdkafka::{Offset, TopicPartitionList};
use results::record::clock::{RunClock, RunTime};
use results::record::history::{Client, Entry, HistoryError, Poll, StreamHeader, StreamWriter};

use crate::error::LoadError;
use crate::record;
use crate::settings;
use crate::until::until;

const NAME: &str = "drain";

/// One question for an end offset; asked again until the whole limit has passed.
const END_OFFSET_LIMIT: Duration = Duration::from_secs(2);

/// Longest poll: how late the drain may notice that its limit has passed.
const POLL: Duration = Duration::from_millis(50);

/// What the drain read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DrainSummary {
    /// Records read, over all partitions.
    pub records: u64,
    /// Per partition: the end offset as asked for before; `None` when nobody answered.
    pub end_offsets: Vec<Option<i64>>,
    /// Per partition: first offset that was not read any more.
    pub reached: Vec<i64>,
    /// Whether every partition was read to its end.
    pub complete: bool,
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
    let settings = settings::reader(bootstrap, "kbench-drain");
    let consumer: BaseConsumer = settings::config(&settings, NAME)
        .create()
        .map_err(|source| LoadError::Client { client: NAME.into(), source })?;
    let header = StreamHeader { run, topic: topic.into(), partitions, client: Client::Drain };
    let stream = StreamWriter::create(history_dir, NAME, &header).map_err(failed)?;
    let end_offsets: Vec<_> =
        (0..partitions as i32).map(|p| end_offset(&consumer, topic, p, deadline)).collect();
    let mut drain = Drain {
        run,
        clock,
        stream,
        reached: vec![0; end_offsets.len()],
        end_offsets,
        records: 0,
        consumer,
    };
    drain.read(topic, deadline)?;
    drain.finish()
}

/// The end of `partition`, asked for until somebody answers or `deadline` has passed.
fn end_offset(
    consumer: &BaseConsumer,
    topic: &str,
    partition: i32,
    deadline: Instant,
) -> Option<i64> {
    let mut found = None;
    until(deadline.saturating_duration_since(Instant::now()), Duration::ZERO, || {
        let left = deadline.saturating_duration_since(Instant::now());
        match consumer.fetch_watermarks(topic, partition, left.min(END_OFFSET_LIMIT)) {
            Ok((_, end)) => found = Some(end),
            // Polling serves the client's log; it waits here, and no partition is assigned yet.
            Err(error) => {
                tracing::warn!(partition, %error, "end offset");
                drop(consumer.poll(POLL));
            }
        }
        found.is_some()
    });
    found
}

struct Drain {
    run: u64,
    clock: RunClock,
    stream: StreamWriter,
    end_offsets: Vec<Option<i64>>,
    reached: Vec<i64>,
    records: u64,
    consumer: BaseConsumer,
}

impl Drain {
    fn read(&mut self, topic: &str, deadline: Instant) -> Result<(), LoadError> {
        let mut unread = TopicPartitionList::new();
        for partition in 0..self.reached.len() {
            if self.is_read(partition) {
                self.ended(partition, self.clock.now())?;
                continue;
            }
            unread
                .add_partition_offset(topic, partition as i32, Offset::Offset(0))
                .map_err(request("assign"))?;
        }
        self.consumer.assign(&unread).map_err(request("assign"))?;
        let mut left = unread.count();
        while left > 0 && Instant::now() < deadline {
            let (poll, partition) = match self.consumer.poll(POLL) {
                Some(Ok(message)) => (self.poll(&message), message.partition() as usize),
                Some(Err(error)) => {
                    tracing::debug!(%error, "drain");
                    continue;
                }
                None => continue,
            };
            // Beyond the end, or of a partition that has been read to it: not part of the drain.
            if self.is_read(partition) {
                continue;
            }
            self.records += 1;
            self.reached[partition] = poll.offset + 1;
            self.stream.push(&Entry::Poll(poll)).map_err(failed)?;
            if self.is_read(partition) {
                left -= 1;
                self.ended(partition, poll.at)?;
            }
        }
        Ok(())
    }

    fn poll(&self, message: &BorrowedMessage<'_>) -> Poll {
        Poll {
            at: self.clock.now(),
            partition: message.partition(),
            offset: message.offset(),
            record: record::decode(message.payload(), self.run),
        }
    }

    fn is_read(&self, partition: usize) -> bool {
        self.end_offsets[partition].is_some_and(|end| self.reached[partition] >= end)
    }

    fn ended(&mut self, partition: usize, at: RunTime) -> Result<(), LoadError> {
        let reached = self.reached[partition];
        // Nobody told the end: more than was reached may be there.
        let end_offset = self.end_offsets[partition].unwrap_or(i64::MAX);
        let partition = partition as i32;
        let entry = Entry::Drained { partition, end_offset, reached, at };
        self.stream.push(&entry).map_err(failed)
    }

    fn finish(mut self) -> Result<DrainSummary, LoadError> {
        let unread: Vec<_> = (0..self.reached.len()).filter(|p| !self.is_read(*p)).collect();
        for partition in &unread {
            self.ended(*partition, self.clock.now())?;
        }
        drop(self.consumer);
        self.stream.finish().map_err(failed)?;
        Ok(DrainSummary {
            records: self.records,
            end_offsets: self.end_offsets,
            reached: self.reached,
            complete: unread.is_empty(),
        })
    }
}

fn failed(source: HistoryError) -> LoadError {
    LoadError::History { client: NAME.into(), source }
}

fn request(what: &'static str) -> impl Fn(KafkaError) -> LoadError {
    move |source| LoadError::Request { client: NAME.into(), what, source }
}
