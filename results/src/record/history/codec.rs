//! Entries to blocks of bytes and back, exactly.
//!
//! A block is a set of columns, one for each kind of number (times, offsets, sequences...), and
//! is compressed as a whole. Numbers are written as differences to what the entries before in the
//! same block make likely: a schedule that ticks evenly, sequences and offsets that go up by one,
//! cost next to nothing then. Every difference wraps, so any value comes back as it was. Blocks do
//! not depend on each other.

use std::collections::HashMap;
use std::hash::RandomState;

use super::Partition;

mod decode;
mod encode;
mod hasher;

pub(super) use decode::{Malformed, decode};
pub(super) use encode::Encoder;

/// A block is written out when its columns reach this size: large enough to compress well.
pub(super) const BLOCK_BYTES: usize = 64 * 1024;

/// The columns of a block, in their order there.
#[derive(Clone, Copy)]
enum Column {
    Tag,
    Partition,
    Time,
    Offset,
    Sequence,
    Key,
    Due,
    Delay,
    Producer,
    Incarnation,
    RecordPartition,
    Other,
}

const COLUMNS: usize = Column::Other as usize + 1;

const ACKED: u8 = 0;
const FAILED: u8 = 1;
const INDETERMINATE: u8 = 2;
/// Added to the tag of a send in the warm-up.
const WARM_UP: u8 = 3;
const POLL: u8 = 6;
const POLL_OTHER_RUN: u8 = 7;
const POLL_CORRUPT: u8 = 8;
const ASSIGNED_UNKNOWN: u8 = 9;
const ASSIGNED_COMMITTED: u8 = 10;
const REVOKED: u8 = 11;
const READ: u8 = 14;
const DRAINED: u8 = 15;
const BATCHES: u8 = 16;
const READ_UNANSWERED: u8 = 17;
const ASSIGNED_NOTHING: u8 = 18;
const COMMIT: u8 = 19;
const COMMIT_ERROR: u8 = 20;
const POLL_FOREIGN: u8 = 21;

/// What the entries before in the block make likely. How its maps hash is the reader's or the writer's choice.
#[derive(Debug, Default)]
struct Likely<S = RandomState> {
    time: u64,
    offsets: HashMap<Partition, u64, S>,
    runs: HashMap<(u16, Partition), RunLength, S>,
}

/// The records of one producer in one partition.
#[derive(Debug, Default)]
struct RunLength {
    sequence: u64,
    due: u64,
}
