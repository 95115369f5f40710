//! What can go wrong with a load.

use rdkafka::error::KafkaError;

use results::record::history::HistoryError;

use crate::spec::SpecError;

/// The load (or the drain) could not start, or ended before its time.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// librdkafka refused a client.
    #[error("cannot make the {client}: {source}; a name under its settings may be wrong")]
    Client {
        /// Which client.
        client: String,
        /// librdkafka's words.
        source: KafkaError,
    },
    /// A running client refused a request that always works.
    #[error("the {client} cannot {what}: {source}")]
    Request {
        /// Which client.
        client: String,
        /// What it was asked for.
        what: &'static str,
        /// librdkafka's words.
        source: KafkaError,
    },
    /// Too few keys for the number of partitions.
    #[error(
        "load.keys = {keys} leaves partition {partition} without a key of its own; \
         raise load.keys (20 for each partition are always enough)"
    )]
    Keys {
        /// Number of keys.
        keys: u32,
        /// First partition without one.
        partition: u32,
    },
    /// A client is to be on a topic as none can be.
    #[error("workload: {0}")]
    Topics(#[from] SpecError),
    /// A topic without partitions.
    #[error("topic {topic} has no partitions; create it before the load starts")]
    NoPartitions {
        /// The topic.
        topic: String,
    },
    /// The operating system refused a thread or a descriptor.
    #[error("cannot start the thread of the {client}: {source}")]
    Thread {
        /// Which client.
        client: String,
        /// The system's words.
        source: std::io::Error,
    },
    /// The process of a client could not be started, spoken with or killed.
    #[error("the process of the {client} fails: {source}")]
    Process {
        /// Which client.
        client: String,
        /// The system's words.
        source: std::io::Error,
    },
    /// A client was to be killed that has no process of its own, none any more, or none at work yet.
    #[error("no {client} is at work in a process of its own")]
    NoProcess {
        /// Which client.
        client: String,
    },
    /// The rate of a producer was to change that the load does not have.
    #[error("the load has no producer `{name}`; the main one is called `main`")]
    NoProducer {
        /// The name.
        name: String,
    },
    /// The history could not be written.
    #[error("cannot write the history of the {client}: {source}")]
    History {
        /// Which client.
        client: String,
        /// Why.
        source: HistoryError,
    },
    /// Not every partition acked a record, or not every partition has a reader.
    #[error("the load is not warm after {after_s:.0} s: {missing}; librdkafka's log says why")]
    NotWarm {
        /// Seconds waited.
        after_s: f64,
        /// What is missing.
        missing: String,
    },
    /// A client ended before it was told to.
    #[error("the load ended early: {0}")]
    Ended(String),
}
