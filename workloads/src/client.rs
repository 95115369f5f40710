//! What a client of the load is, wherever it runs.
//!
//! A kind of client is one file here and one variant of [`ClientSetup`]: its settings, what it is
//! called, and how it runs. *Where* it runs is a [seat](crate::seat), another axis: every kind is
//! told the same [`ToClient`] messages and tells the same [`FromClient`] ones, whether its inbox is
//! filled by this process or by the parent's socket. What it saw it writes into its own stream.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use results::record::clock::{RunClock, RunTime};
use results::record::event::ClientTimes;
use results::record::history::{self, StreamHeader, StreamWriter};
use serde::{Deserialize, Serialize};

use crate::error::LoadError;
use crate::live::Live;
use crate::wire::Connector;

pub(crate) mod direct;
pub(crate) mod group;
mod inbox;
mod outcome;
mod partitions;
pub(crate) mod producer;
pub(crate) mod reader;

use direct::DirectSetup;
use group::MemberSetup;
pub(crate) use inbox::Inbox;
use producer::ProducerSetup;
use producer::seconds::Seconds;
use reader::ReaderSetup;

/// A topic of the run, and where what clients see of it is recorded.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct LoadTopic {
    /// Number of the run, as it is in every record's header.
    pub(crate) run: u64,
    /// Its place among the topics that clients may choose; 0 for that of the main load, and of the probes.
    pub(crate) place: usize,
    pub(crate) name: String,
    /// Number of its partitions now.
    pub(crate) partitions: u32,
    /// Directory of the history's streams.
    pub(crate) history_dir: PathBuf,
}

impl LoadTopic {
    /// The stream of the client `name`, which is this for the history.
    pub(crate) fn stream(
        &self,
        name: &str,
        client: history::Client,
    ) -> Result<StreamWriter, LoadError> {
        let (run, topic, partitions) = (self.run, self.name.clone(), self.partitions);
        let header = StreamHeader { run, topic, partitions, client };
        StreamWriter::create(&self.history_dir, name, &header)
            .map_err(|source| LoadError::History { client: name.to_owned(), source })
    }
}

/// What a client is made of.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) enum ClientSetup {
    Producer(ProducerSetup),
    Member(MemberSetup),
    Reader(ReaderSetup),
    Direct(DirectSetup),
}

/// A kind of client of the load.
pub(crate) trait LoadClient {
    /// Name of the client, of its stream in the history and of its connections.
    fn name(&self) -> String;

    /// Whether it writes. Those that do are stopped before those that read what was acked.
    fn writes(&self) -> bool;

    /// Makes librdkafka's client and the stream, so that a wrong setting is refused here and not on
    /// the client's own thread.
    fn open(&self, topic: &LoadTopic, env: Env) -> Result<Box<dyn OpenClient>, LoadError>;
}

/// A client that is open.
pub(crate) trait OpenClient: Send {
    /// Does what it is for until it is told to stop; what it came to.
    fn run(self: Box<Self>) -> Result<Counts, LoadError>;
}

impl ClientSetup {
    /// What the variants have in common.
    pub(crate) fn client(&self) -> &dyn LoadClient {
        match self {
            Self::Producer(setup) => setup,
            Self::Member(setup) => setup,
            Self::Reader(setup) => setup,
            Self::Direct(setup) => setup,
        }
    }

    /// The topics that it is for beside the one that it is started on.
    pub(crate) fn others_mut(&mut self) -> &mut [LoadTopic] {
        match self {
            Self::Member(setup) => &mut setup.others,
            Self::Producer(_) | Self::Reader(_) | Self::Direct(_) => &mut [],
        }
    }

    /// What it is for others.
    pub(crate) fn kind(&self) -> ClientKind {
        match self {
            Self::Producer(_) => ClientKind::Producer,
            Self::Member(_) => ClientKind::Member,
            Self::Reader(_) => ClientKind::Reader,
            Self::Direct(_) => ClientKind::Direct,
        }
    }
}

/// Kinds of clients.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ClientKind {
    /// Sends records on a schedule.
    Producer,
    /// A member of a consumer group.
    Member,
    /// Reads the first record of each partition again and again.
    Reader,
    /// Sends records without librdkafka.
    Direct,
}

impl fmt::Display for ClientKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Producer => "producer",
            Self::Member => "consumer",
            Self::Reader => "reader",
            Self::Direct => "direct producer",
        })
    }
}

/// What a running client works with besides its setup.
pub(crate) struct Env {
    /// How brokers are connected to.
    pub(crate) connector: Connector,
    pub(crate) clock: RunClock,
    /// Figures of its topic, as far as clients of this process know them.
    pub(crate) live: Arc<Live>,
    /// What it is told.
    pub(crate) inbox: Arc<Inbox>,
    /// Whom it tells what others must know at once.
    pub(crate) watch: Arc<dyn Watch>,
    /// Receives a producer's figures of each second.
    pub(crate) seconds: Option<Seconds>,
}

/// Whom clients tell what they do.
pub(crate) trait Watch: Send + Sync {
    fn hear(&self, message: FromClient);
}

/// What a running client is told. One that a message means nothing to passes over it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum ToClient {
    /// The schedule begins.
    Begin,
    /// Records are not tagged as warm-up any more.
    EndWarmUp,
    /// So many records a second from now on.
    Rate { per_second: u64 },
    /// Its topic at this place has so many partitions now.
    Partitions { place: usize, count: u32 },
    /// Leave the group without a last commit, and join it anew under this number.
    Replace { number: u16 },
    /// Stop polling and stay connected, or poll again.
    Stall { stalled: bool },
    /// Pause all partitions that it has or is given (Kafka's `pause`) and go on polling, or resume them.
    Pause { paused: bool },
    /// End in good order; what is open may take so long.
    Stop { within: Duration },
}

/// What a running client tells.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) enum FromClient {
    /// It does what it is for: every partition has acked a record, partitions were assigned, a record
    /// was read.
    AtWork,
    /// The member reads this partition of the topic at this place from now on.
    Assigned { place: usize, partition: i32, member: u16 },
    /// It reads it no more.
    Revoked { place: usize, partition: i32, member: u16 },
    /// It read this record.
    Polled { place: usize, partition: i32, offset: i64 },
    /// It ended with an error that it cannot go on after, in librdkafka's words.
    Failed { at: RunTime, client: String, error: String },
    /// It is made anew, and begins this life under another name.
    Renewed { at: RunTime, failed: String, client: String, incarnation: u16 },
    /// Where it says that time went.
    Times { at: RunTime, times: ClientTimes },
    /// Last of all, from a process of its own: what it came to.
    Ended(Counts),
}

/// What a client came to; nothing but zeros for one that only reads.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
pub(crate) struct Counts {
    pub(crate) sent: u64,
    pub(crate) acked: u64,
    pub(crate) failed: u64,
    pub(crate) indeterminate: u64,
    /// Records that found the client's queue full.
    pub(crate) queue_full: u64,
    /// Bytes of keys and values in requests, where batches are compressed.
    pub(crate) message_bytes: u64,
    /// Bytes of those requests.
    pub(crate) request_bytes: u64,
    /// CPU time of the thread that sends, in seconds.
    pub(crate) cpu_s: f64,
}
