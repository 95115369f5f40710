//! What a consumer is told from within its polls: rebalances, and the answers to its commits.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerContext, Rebalance};
use rdkafka::error::KafkaResult;
use rdkafka::{ClientContext, Offset, TopicPartitionList};
use results::record::clock::{RunClock, RunTime};
use results::record::history::{Committed, Entry};

use crate::client::outcome::code_of;
use crate::client::{FromClient, Watch};

/// How long the coordinator may take to tell a committed offset. It has just led the rebalance,
/// so that it answers unless it dies right then.
const COMMITTED_LIMIT: Duration = Duration::from_secs(5);

/// Where rebalances and answers to commits arrive, on the thread that polls.
pub(super) struct Answers {
    clock: RunClock,
    number: u16,
    watch: Arc<dyn Watch>,
    /// Names of the topics that it reads, and their places.
    topics: Vec<(String, usize)>,
    new: Mutex<Vec<(usize, Entry)>>,
    /// When the commit that is under way was sent: never are two.
    asked: AtomicU64,
}

impl Answers {
    pub(super) fn new(
        clock: RunClock,
        number: u16,
        watch: Arc<dyn Watch>,
        topics: Vec<(String, usize)>,
    ) -> Self {
        Self { clock, number, watch, topics, new: Mutex::default(), asked: AtomicU64::default() }
    }

    /// What was told since the last call, each with its topic: the how many-th of those that are read.
    pub(super) fn take(&self) -> Vec<(usize, Entry)> {
        std::mem::take(&mut *self.new.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// A commit is about to be sent; its answer is the next.
    pub(super) fn asking(&self) {
        self.asked.store(self.clock.now().0, Ordering::Relaxed);
    }

    fn push(&self, topic: usize, entry: Entry) {
        self.new.lock().unwrap_or_else(PoisonError::into_inner).push((topic, entry));
    }

    /// Which of the topics that are read this one is: the how many-th, and its place in the load. There is no other.
    fn topic(&self, name: &str) -> Option<(usize, usize)> {
        let topic = self.topics.iter().position(|(read, _)| read == name)?;
        self.topics.get(topic).map(|(_, place)| (topic, *place))
    }

    fn assigned(&self, consumer: &BaseConsumer<Self>, partitions: &TopicPartitionList) {
        let committed = consumer.committed_offsets(partitions.clone(), COMMITTED_LIMIT);
        if let Err(error) = &committed {
            tracing::warn!(consumer = self.number, %error, "committed offsets are not known");
        }
        let committed = committed.ok();
        let at = self.clock.now();
        for element in partitions.elements() {
            let (name, partition) = (element.topic(), element.partition());
            let Some((topic, place)) = self.topic(name) else { continue };
            let offset = committed.as_ref().and_then(|c| c.find_partition(name, partition));
            let committed = match offset.map(|element| (element.offset(), element.error())) {
                Some((Offset::Offset(offset), Ok(()))) => Committed::At(offset),
                Some((Offset::Invalid, Ok(()))) => Committed::Nothing,
                _ => Committed::Unknown,
            };
            self.watch.hear(FromClient::Assigned { place, partition, member: self.number });
            self.push(topic, Entry::Assigned { partition, at, committed });
        }
        self.watch.hear(FromClient::AtWork);
    }
}

impl ClientContext for Answers {}

impl ConsumerContext for Answers {
    fn pre_rebalance(&self, consumer: &BaseConsumer<Self>, rebalance: &Rebalance<'_>) {
        match rebalance {
            Rebalance::Assign(partitions) => self.assigned(consumer, partitions),
            Rebalance::Revoke(partitions) => {
                let at = self.clock.now();
                for element in partitions.elements() {
                    let Some((topic, place)) = self.topic(element.topic()) else { continue };
                    let partition = element.partition();
                    self.watch.hear(FromClient::Revoked { place, partition, member: self.number });
                    self.push(topic, Entry::Revoked { partition, at });
                }
            }
            Rebalance::Error(error) => {
                tracing::warn!(consumer = self.number, %error, "rebalance");
            }
        }
    }

    fn commit_callback(&self, result: KafkaResult<()>, offsets: &TopicPartitionList) {
        let whole = result.err().map(|error| code_of(&error) as i32);
        let asked = RunTime(self.asked.load(Ordering::Relaxed));
        let at = self.clock.now();
        for element in offsets.elements() {
            let Offset::Offset(offset) = element.offset() else {
                continue;
            };
            let own = element.error().err().map(|error| code_of(&error) as i32);
            let Some((topic, _)) = self.topic(element.topic()) else { continue };
            let (partition, error) = (element.partition(), own.or(whole));
            self.push(topic, Entry::Commit { partition, asked, at, offset, error });
        }
    }
}
