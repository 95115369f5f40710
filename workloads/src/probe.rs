//! The read probe: reads the first record of each partition again and again.
//!
//! It shows whether a partition can be read while acks=all writes to it are stalled. Each partition
//! is asked for on its own (assigned from offset 0, and given back once the record is there), so
//! that one that does not answer delays no other. Offset 0 was acked before the probe starts: it lies below the
//! high watermark for good.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::thread::JoinHandle;
use std::time::Duration;

use rdkafka::consumer::{BaseConsumer, Consumer, DefaultConsumerContext};
use rdkafka::error::KafkaError;
use rdkafka::message::Message;
use rdkafka::{Offset, TopicPartitionList};
use results::record::clock::{RunClock, RunTime};
use results::record::history::{Client, Entry, HistoryError, StreamHeader, StreamWriter};

use crate::error::LoadError;
use crate::live::Live;
use crate::settings::{self, Settings};

const NAME: &str = "read-probe";

/// Longest poll: how late the probe may notice that it is to stop.
const POLL: Duration = Duration::from_millis(50);

/// Time between two writes of the history's buffer to its file.
const FLUSH_EVERY: Duration = Duration::from_secs(1);

/// What the read probe needs to know.
pub(crate) struct ReadProbe {
    pub(crate) bootstrap: String,
    pub(crate) run: u64,
    pub(crate) topic: String,
    pub(crate) partitions: u32,
    pub(crate) interval: Duration,
    pub(crate) clock: RunClock,
    pub(crate) history_dir: PathBuf,
    /// The probe topic's figures: reading begins at a partition's first ack.
    pub(crate) probed: Arc<Live>,
    /// Where a failure is told.
    pub(crate) live: Arc<Live>,
}

/// The thread of the read probe.
pub(crate) struct Reader {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<Result<(), LoadError>>,
}

impl Reader {
    pub(crate) fn start(probe: ReadProbe) -> Result<Self, LoadError> {
        let stop = Arc::new(AtomicBool::new(false));
        let own = Arc::clone(&stop);
        let task = Task::new(probe)?;
        let thread = std::thread::Builder::new()
            .name(NAME.into())
            .spawn(move || {
                let live = Arc::clone(&task.probe.live);
                task.run(&own).inspect_err(|e| live.fail(e.to_string()))
            })
            .map_err(|source| LoadError::Thread { client: NAME.into(), source })?;
        Ok(Self { stop, thread })
    }

    pub(crate) fn stop(&self) {
        self.stop.store(true, Relaxed);
    }

    /// Waits for the thread, which was told to stop.
    pub(crate) fn join(self) -> Result<(), LoadError> {
        self.thread
            .join()
            .unwrap_or_else(|_| Err(LoadError::Ended("the read probe panicked".into())))
    }
}

/// Where the reading of a partition stands.
#[derive(Clone, Copy)]
enum Turn {
    /// Not assigned; to be asked for next at this time.
    Next(RunTime),
    /// Asked for at this time, no record yet.
    Asked(RunTime),
}

struct Task {
    probe: ReadProbe,
    consumer: BaseConsumer,
    stream: StreamWriter,
    turns: Vec<Turn>,
}

/// One small batch from each fetch, and no waiting for more: only the first record is wanted.
fn settings(bootstrap: &str) -> Settings {
    let mut settings = settings::reader(bootstrap, "kbench-read-probe");
    for (name, value) in [
        ("fetch.message.max.bytes", "1"),
        ("queued.min.messages", "1"),
        ("fetch.wait.max.ms", "5"),
        ("fetch.queue.backoff.ms", "5"),
    ] {
        settings.insert(name.into(), value.into());
    }
    settings
}

impl Task {
    fn new(probe: ReadProbe) -> Result<Self, LoadError> {
        let consumer: BaseConsumer<DefaultConsumerContext> =
            settings::config(&settings(&probe.bootstrap), NAME)
                .create()
                .map_err(|source| LoadError::Client { client: NAME.into(), source })?;
        let header = StreamHeader {
            run: probe.run,
            topic: probe.topic.clone(),
            partitions: probe.partitions,
            client: Client::ReadProbe,
        };
        let stream = StreamWriter::create(&probe.history_dir, NAME, &header).map_err(failed)?;
        let turns = vec![Turn::Next(RunTime(0)); probe.partitions as usize];
        Ok(Self { probe, consumer, stream, turns })
    }

    fn run(mut self, stop: &AtomicBool) -> Result<(), LoadError> {
        let mut flush = self.probe.clock.now().plus(FLUSH_EVERY);
        while !stop.load(Relaxed) {
            let next = self.ask()?;
            let now = self.probe.clock.now();
            if let Some(Ok(message)) = self.consumer.poll(next.since(now).min(POLL)) {
                let (partition, offset) = (message.partition(), message.offset());
                drop(message);
                self.got(partition, offset)?;
            }
            if self.probe.clock.now() >= flush {
                flush = self.probe.clock.now().plus(FLUSH_EVERY);
                self.stream.flush().map_err(failed)?;
            }
        }
        drop(self.consumer);
        self.stream.finish().map_err(failed)
    }

    /// Asks for every partition whose turn it is; tells when the next one's is.
    fn ask(&mut self) -> Result<RunTime, LoadError> {
        let now = self.probe.clock.now();
        let mut next = now.plus(POLL);
        for partition in 0..self.turns.len() {
            let Turn::Next(at) = self.turns[partition] else {
                continue;
            };
            if at > now {
                next = next.min(at);
            } else if self.probe.probed.acked_offset(partition as u32).is_some() {
                let first = self.first_of(partition as i32)?;
                self.turns[partition] = Turn::Asked(self.probe.clock.now());
                self.consumer.incremental_assign(&first).map_err(request("assign"))?;
            }
        }
        Ok(next)
    }

    fn got(&mut self, partition: i32, offset: i64) -> Result<(), LoadError> {
        let got = self.probe.clock.now();
        let Some(turn) = self.turns.get_mut(partition as usize) else {
            return Ok(());
        };
        // Anything else is what a fetch brought along behind the first record.
        let (Turn::Asked(asked), 0) = (*turn, offset) else {
            return Ok(());
        };
        *turn = Turn::Next(asked.plus(self.probe.interval).max(got));
        let first = self.first_of(partition)?;
        self.consumer.incremental_unassign(&first).map_err(request("unassign"))?;
        self.probe.probed.read(partition, asked);
        self.stream.push(&Entry::Read { partition, asked, got }).map_err(failed)
    }

    fn first_of(&self, partition: i32) -> Result<TopicPartitionList, LoadError> {
        let mut list = TopicPartitionList::new();
        list.add_partition_offset(&self.probe.topic, partition, Offset::Offset(0))
            .map_err(request("assign"))?;
        Ok(list)
    }
}

fn failed(source: HistoryError) -> LoadError {
    LoadError::History { client: NAME.into(), source }
}

fn request(what: &'static str) -> impl Fn(KafkaError) -> LoadError {
    move |source| LoadError::Request { client: NAME.into(), what, source }
}
