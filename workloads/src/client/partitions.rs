//! How a client learns that its topic has more partitions.
//!
//! By itself librdkafka asks every five minutes (`topic.metadata.refresh.interval.ms`). A thread of
//! its own asks until the brokers name as many as there are to be: a broker may not know them yet,
//! and no schedule waits for an answer. All topics are asked for, because librdkafka lets a group
//! rejoin only on an answer that names all.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::thread::JoinHandle;
use std::time::Duration;

use rdkafka::error::KafkaResult;
use rdkafka::metadata::Metadata;

use crate::error::LoadError;

/// One question. Whoever drops the [`Learning`] waits as long at the most.
const ANSWER_LIMIT: Duration = Duration::from_secs(1);

/// Between two questions.
const AGAIN: Duration = Duration::from_millis(100);

/// A client is learning. Dropped, it does so no more.
pub(crate) struct Learning {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Learning {
    /// Asks by `ask`, which may take as long as it is given, until `topic` has `count` partitions;
    /// calls `learnt` then.
    pub(crate) fn start(
        client: &str,
        topic: &str,
        count: u32,
        ask: impl Fn(Duration) -> KafkaResult<Metadata> + Send + 'static,
        learnt: impl FnOnce() + Send + 'static,
    ) -> Result<Self, LoadError> {
        let stop = Arc::new(AtomicBool::new(false));
        let (own, name, topic) = (Arc::clone(&stop), client.to_owned(), topic.to_owned());
        let thread = std::thread::Builder::new()
            .name("partitions".into())
            .spawn(move || {
                while !own.load(Relaxed) {
                    match ask(ANSWER_LIMIT) {
                        Ok(metadata) if partitions(&metadata, &topic) >= count as usize => {
                            return learnt();
                        }
                        Ok(_) => {}
                        Err(error) => tracing::warn!(client = name, %error, "partitions"),
                    }
                    std::thread::park_timeout(AGAIN);
                }
            })
            .map_err(|source| LoadError::Thread { client: client.to_owned(), source })?;
        Ok(Self { stop, thread: Some(thread) })
    }
}

fn partitions(metadata: &Metadata, topic: &str) -> usize {
    let found = metadata.topics().iter().find(|found| found.name() == topic);
    found.map_or(0, |found| found.partitions().len())
}

impl Drop for Learning {
    fn drop(&mut self) {
        self.stop.store(true, Relaxed);
        if let Some(thread) = self.thread.take() {
            thread.thread().unpark();
            // A thread that panicked has learnt nothing, and holds nothing any more.
            thread.join().ok();
        }
    }
}
