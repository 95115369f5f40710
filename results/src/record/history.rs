//! What the clients saw: every send with its outcome, every poll, every commit.
//!
//! A history is a set of streams, one file each (`history/<name>.kbh`), every stream written by
//! one thread: a producer's, a consumer's, the drain's. The order of entries in a stream is the
//! order in which that client saw them.
//!
//! [`StreamWriter`] writes a stream while the run goes. A [`Source`] reads streams back, and says of
//! each whether it is [complete](Ending): [`Files`] block by block, [`History`] from memory. Nothing
//! else reads entries, and nothing here deletes or repairs a file.

use serde::{Deserialize, Serialize};

use crate::record::clock::RunTime;
use crate::record::event::BrokerId;

mod codec;
mod endings;
mod error;
mod error_names;
mod files;
mod frame;
mod memory;
mod source;
mod write;

pub use endings::Endings;
pub use error::HistoryError;
pub use error_names::error_name;
pub use files::{Files, KnownStream, header_of};
pub use memory::{History, Stream};
pub use source::{Block, Blocks, Ending, Source, StreamRef};
pub use write::{StreamWriter, stream_path};

/// Number of a partition within its topic.
pub type Partition = i32;

/// Who wrote a stream, and with which settings; first thing in its file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StreamHeader {
    /// Number of the run, as it is in every record's header.
    pub run: u64,
    /// Topic that the client wrote to or read from.
    pub topic: String,
    /// Number of partitions of the topic.
    pub partitions: u32,
    /// What kind of client.
    pub client: Client,
}

/// What kind of client wrote a stream.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Client {
    /// A producer: [`Entry::Send`] only.
    Producer {
        /// Number of the producer, unique in the run.
        producer: u16,
        /// Life of the producer: 0, then + 1 for each restart under the same number.
        incarnation: u16,
        /// `acks`: -1 is all.
        acks: i16,
        /// `enable.idempotence`.
        idempotent: bool,
        /// Main load, or probe.
        role: LoadRole,
    },
    /// A member of a consumer group: [`Entry::Assigned`], [`Entry::Poll`], [`Entry::Commit`]...
    GroupConsumer {
        /// Number of the consumer, unique in the run; a replacement has a new number.
        consumer: u16,
        /// Group id.
        group: String,
    },
    /// A probe that reads one old record of each partition again and again: [`Entry::Read`].
    ReadProbe,
    /// The fresh consumer that reads every partition from offset 0 after healing.
    Drain,
    /// The headers of the batches of partitions that may hold a record twice, read after the drain: [`Entry::Batches`].
    BatchHeaders,
}

/// What a producer is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum LoadRole {
    /// The main load, on which verdicts and figures rest.
    Main,
    /// A small probe on a topic of its own (acks=1); never counted in the load.
    Probe,
    /// A further producer, on the main load's topic or another: checked as the main load is, in no figure of it.
    Extra,
    /// The direct producer on the main load's topic, which does without librdkafka: checked as the main load
    /// is, in figures of its own.
    Direct,
    /// Writes on the main load's topic that go straight to this broker, whoever leads: checked as the main load is, in
    /// no figure of it.
    Broker(BrokerId),
}

/// One thing that a client saw.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Entry {
    /// A send that has ended, well or not, or was still open when the producer was closed.
    Send(Send),
    /// One record delivered to a consumer (or to the drain).
    Poll(Poll),
    /// The consumer was assigned a partition and will start reading at `start`.
    Assigned {
        /// Partition.
        partition: Partition,
        /// When.
        at: RunTime,
        /// The group's committed offset at that moment.
        committed: Committed,
    },
    /// The partition was taken from the consumer.
    Revoked {
        /// Partition.
        partition: Partition,
        /// When.
        at: RunTime,
    },
    /// The broker answered a commit: records below `offset` count as processed.
    Commit {
        /// Partition.
        partition: Partition,
        /// When it was sent. It took effect at some time from then on, up to `at`.
        asked: RunTime,
        /// When the member polled the answer.
        at: RunTime,
        /// Next offset to read.
        offset: i64,
        /// `None` when the commit was accepted; else librdkafka's error code.
        error: Option<i32>,
    },
    /// The read probe got the record that it asked for, or was stopped before.
    Read {
        /// Partition.
        partition: Partition,
        /// When it asked.
        asked: RunTime,
        /// When the record came; the time of closing when none did.
        done: RunTime,
        /// Whether a record came.
        answered: bool,
    },
    /// The drain of one partition ended.
    Drained {
        /// Partition.
        partition: Partition,
        /// The first offset of the partition's log: the higher one of before and after the drain.
        start_offset: i64,
        /// The partition's end offset (high watermark) as asked for before the drain.
        end_offset: i64,
        /// First offset that was not read any more; equal to `end_offset` when all was read.
        reached: i64,
        /// When.
        at: RunTime,
    },
    /// Successive batches of the log that a producer wrote in one epoch.
    Batches {
        /// Partition.
        partition: Partition,
        /// Offset of the first record.
        first: i64,
        /// Offset after the last record.
        end: i64,
        /// Who wrote them.
        epoch: ProducerEpoch,
        /// When their headers were read.
        at: RunTime,
    },
}

impl Entry {
    /// The times in it, the same one more than once where it has fewer.
    pub(crate) fn times(&self) -> [RunTime; 3] {
        match self {
            Self::Send(send) => [send.due, send.sent, send.done],
            Self::Poll(Poll { at, record: Observed::Record(record), .. }) => [record.due, *at, *at],
            Self::Commit { asked, at, .. } => [*asked, *at, *at],
            Self::Read { asked, done, .. } => [*asked, *done, *done],
            Self::Poll(Poll { at, .. })
            | Self::Assigned { at, .. }
            | Self::Revoked { at, .. }
            | Self::Drained { at, .. }
            | Self::Batches { at, .. } => [*at; 3],
        }
    }
}

/// What a group's coordinator said when it was asked for the committed offset of a partition.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Committed {
    /// This offset is committed.
    At(i64),
    /// Nothing is committed.
    Nothing,
    /// It gave no answer: anything may be committed.
    Unknown,
}

/// Within one, a broker tells a batch that is sent again from a new one; -1 and -1 without idempotence.
///
/// A client without a transactional id that begins anew gets another id (KIP-360).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProducerEpoch {
    /// The producer id that a broker gave the client.
    pub id: i64,
    /// Its epoch.
    pub epoch: i16,
}

/// A send and how it ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Send {
    /// Partition that the record was sent to.
    pub partition: Partition,
    /// Sequence within (producer, incarnation, partition), from 0, without gaps.
    pub sequence: u64,
    /// Number of the key.
    pub key: u32,
    /// Sent while the cluster and clients warmed up: counts for checks, not for figures.
    pub warm_up: bool,
    /// When it was due on the schedule.
    pub due: RunTime,
    /// When it was handed to the client.
    pub sent: RunTime,
    /// When its outcome was known; the time of closing for those that never had one.
    pub done: RunTime,
    /// How it ended.
    pub outcome: SendOutcome,
}

/// The code of a send that ended [indeterminate](SendOutcome::Indeterminate) because its producer asks for no
/// ack (acks=0): it was handed to the network, and that is all that can be known.
pub const NO_ACK_ASKED: i32 = i32::MAX;

/// How a send ended, the worst over all its attempts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum SendOutcome {
    /// Acknowledged at this offset.
    Acked {
        /// Offset of the record in its partition.
        offset: i64,
    },
    /// Certainly not in the log. `code` is librdkafka's error code.
    Failed {
        /// librdkafka's error code (negative: local; positive: the broker's).
        code: i32,
    },
    /// May be in the log or not. `code` is librdkafka's error code; 0 for a send still open at
    /// the end, [`NO_ACK_ASKED`] where none was asked for.
    Indeterminate {
        /// librdkafka's error code (negative: local; positive: the broker's).
        code: i32,
    },
}

/// One record as a consumer got it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Poll {
    /// Partition that it was read from.
    pub partition: Partition,
    /// Its offset there.
    pub offset: i64,
    /// When it reached the application.
    pub at: RunTime,
    /// What its payload says.
    pub record: Observed,
}

/// What the payload of a consumed record says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Observed {
    /// A record of this run, with a correct checksum.
    Record(RecordId),
    /// A well-formed record of another run.
    OtherRun {
        /// That run's number.
        run: u64,
    },
    /// A record of kbench's whose checksum does not match.
    Corrupt,
    /// Not a record of kbench's.
    Foreign,
}

/// What a record says of itself in its header.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct RecordId {
    /// Producer that wrote it.
    pub producer: u16,
    /// Life of that producer.
    pub incarnation: u16,
    /// Partition that it was sent to.
    pub partition: Partition,
    /// Sequence within (producer, incarnation, partition).
    pub sequence: u64,
    /// Number of the key.
    pub key: u32,
    /// When it was due on the schedule.
    pub due: RunTime,
}
