//! Entries to blocks of bytes and back, exactly.
//!
//! A block is a set of columns, one for each kind of number (times, offsets, sequences...), and
//! is compressed as a whole. Numbers are written as differences to what the entries before in the
//! same block make likely: a schedule that ticks evenly, sequences and offsets that go up by one,
//! cost next to nothing then. Every difference wraps, so any value comes back as it was. Blocks do
//! not depend on each other.

use std::collections::HashMap;

use super::{Entry, Observed, Outcome, Partition, Poll, RecordId, Send};
use crate::clock::RunTime;

/// A block is written out when its columns reach this size: large enough to compress well.
pub(super) const BLOCK_BYTES: usize = 64 * 1024;

/// No block is larger than this before compression; the writer stays far below.
const MAX_BLOCK_BYTES: usize = 1024 * 1024;

/// zstd's default. Higher levels gain a few per cent and cost the producer's thread time.
const LEVEL: i32 = 3;

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
const ASSIGNED: u8 = 9;
const ASSIGNED_COMMITTED: u8 = 10;
const REVOKED: u8 = 11;
const COMMIT: u8 = 12;
const COMMIT_ERROR: u8 = 13;
const READ: u8 = 14;
const DRAINED: u8 = 15;

/// The bytes of a block are not what an encoder writes.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Malformed;

/// What the entries before in the block make likely.
#[derive(Debug, Default)]
struct Likely {
    time: u64,
    offsets: HashMap<Partition, u64>,
    runs: HashMap<(u16, Partition), Run>,
}

/// The records of one producer in one partition.
#[derive(Debug, Default)]
struct Run {
    sequence: u64,
    due: u64,
}

/// The difference from `last` to `value`, small whichever its sign; `last` becomes `value`.
fn difference(value: u64, last: &mut u64) -> u64 {
    let difference = value.wrapping_sub(*last) as i64;
    *last = value;
    zigzag(difference)
}

/// Inverse of [`difference`].
fn sum(difference: u64, last: &mut u64) -> u64 {
    *last = last.wrapping_add(unzigzag(difference) as u64);
    *last
}

fn zigzag(value: i64) -> u64 {
    ((value << 1) ^ (value >> 63)) as u64
}

fn unzigzag(value: u64) -> i64 {
    (value >> 1) as i64 ^ -((value & 1) as i64)
}

fn put_varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

fn get_varint(bytes: &mut &[u8]) -> Result<u64, Malformed> {
    let mut value = 0;
    for shift in (0..64).step_by(7) {
        let (&byte, rest) = bytes.split_first().ok_or(Malformed)?;
        *bytes = rest;
        value |= u64::from(byte & 0x7f) << shift;
        if byte < 0x80 {
            return Ok(value);
        }
    }
    Err(Malformed)
}

/// Collects entries into a block.
#[derive(Debug, Default)]
pub(super) struct Encoder {
    columns: [Vec<u8>; COLUMNS],
    likely: Likely,
}

impl Encoder {
    /// Size of the block so far, before compression.
    pub(super) fn bytes(&self) -> usize {
        self.columns.iter().map(Vec::len).sum()
    }

    /// Whether the block holds no entry.
    pub(super) fn is_empty(&self) -> bool {
        self.columns[Column::Tag as usize].is_empty()
    }

    /// The compressed block; the encoder begins a new one.
    pub(super) fn finish(&mut self) -> std::io::Result<Vec<u8>> {
        let mut block = Vec::with_capacity(self.bytes() + 4 * COLUMNS);
        for column in &mut self.columns {
            put_varint(&mut block, column.len() as u64);
            block.append(column);
        }
        self.likely = Likely::default();
        zstd::bulk::compress(&block, LEVEL)
    }

    /// Appends an entry.
    pub(super) fn push(&mut self, entry: &Entry) {
        match *entry {
            Entry::Send(ref send) => self.send(send),
            Entry::Poll(ref poll) => self.poll(poll),
            Entry::Assigned {
                partition,
                at,
                committed,
            } => {
                let tag = if committed.is_some() {
                    ASSIGNED_COMMITTED
                } else {
                    ASSIGNED
                };
                self.begin(tag, partition, at);
                if let Some(offset) = committed {
                    self.offset(partition, offset);
                }
            }
            Entry::Revoked { partition, at } => self.begin(REVOKED, partition, at),
            Entry::Commit {
                partition,
                at,
                offset,
                error,
            } => {
                self.begin(
                    if error.is_some() {
                        COMMIT_ERROR
                    } else {
                        COMMIT
                    },
                    partition,
                    at,
                );
                self.offset(partition, offset);
                if let Some(code) = error {
                    self.put(Column::Other, zigzag(code.into()));
                }
            }
            Entry::Read {
                partition,
                asked,
                got,
            } => {
                self.begin(READ, partition, got);
                self.put(Column::Delay, zigzag(got.0.wrapping_sub(asked.0) as i64));
            }
            Entry::Drained {
                partition,
                end_offset,
                reached,
                at,
            } => {
                self.begin(DRAINED, partition, at);
                self.offset(partition, end_offset);
                self.put(Column::Other, zigzag(reached.wrapping_sub(end_offset)));
            }
        }
    }

    fn send(&mut self, send: &Send) {
        let tag = match send.outcome {
            Outcome::Acked { .. } => ACKED,
            Outcome::Failed { .. } => FAILED,
            Outcome::Indeterminate { .. } => INDETERMINATE,
        };
        self.begin(
            tag + if send.warm_up { WARM_UP } else { 0 },
            send.partition,
            send.done,
        );
        match send.outcome {
            Outcome::Acked { offset } => self.offset(send.partition, offset),
            Outcome::Failed { code } | Outcome::Indeterminate { code } => {
                self.put(Column::Other, zigzag(code.into()));
            }
        }
        self.record((0, send.partition), send.sequence, send.key, send.due);
        self.put(
            Column::Delay,
            zigzag(send.sent.0.wrapping_sub(send.due.0) as i64),
        );
    }

    fn poll(&mut self, poll: &Poll) {
        let tag = match poll.record {
            Observed::Record(_) => POLL,
            Observed::OtherRun { .. } => POLL_OTHER_RUN,
            Observed::Corrupt => POLL_CORRUPT,
        };
        self.begin(tag, poll.partition, poll.at);
        self.offset(poll.partition, poll.offset);
        match poll.record {
            Observed::Record(id) => {
                self.put(Column::Producer, id.producer.into());
                self.put(Column::Incarnation, id.incarnation.into());
                let moved = i64::from(id.partition) - i64::from(poll.partition);
                self.put(Column::RecordPartition, zigzag(moved));
                self.record((id.producer, poll.partition), id.sequence, id.key, id.due);
            }
            Observed::OtherRun { run } => self.put(Column::Other, run),
            Observed::Corrupt => {}
        }
    }

    fn begin(&mut self, tag: u8, partition: Partition, at: RunTime) {
        self.columns[Column::Tag as usize].push(tag);
        self.put(Column::Partition, zigzag(partition.into()));
        let time = difference(at.0, &mut self.likely.time);
        self.put(Column::Time, time);
    }

    fn offset(&mut self, partition: Partition, offset: i64) {
        let last = self.likely.offsets.entry(partition).or_default();
        let offset = difference(offset as u64, last);
        self.put(Column::Offset, offset);
    }

    fn record(&mut self, run: (u16, Partition), sequence: u64, key: u32, due: RunTime) {
        let run = self.likely.runs.entry(run).or_default();
        let sequence = difference(sequence, &mut run.sequence);
        let due = difference(due.0, &mut run.due);
        self.put(Column::Sequence, sequence);
        self.put(Column::Key, key.into());
        self.put(Column::Due, due);
    }

    fn put(&mut self, column: Column, value: u64) {
        put_varint(&mut self.columns[column as usize], value);
    }
}

/// Appends the entries of a block to `entries`; appends nothing when the block is malformed.
pub(super) fn decode(block: &[u8], entries: &mut Vec<Entry>) -> Result<(), Malformed> {
    let block = zstd::bulk::decompress(block, MAX_BLOCK_BYTES).map_err(|_| Malformed)?;
    let mut rest = block.as_slice();
    let mut columns = [[].as_slice(); COLUMNS];
    for column in &mut columns {
        let length = usize::try_from(get_varint(&mut rest)?).map_err(|_| Malformed)?;
        (*column, rest) = rest.split_at_checked(length).ok_or(Malformed)?;
    }
    let tags = columns[Column::Tag as usize];
    let mut decoder = Decoder {
        columns,
        likely: Likely::default(),
    };
    let before = entries.len();
    for &tag in tags {
        match decoder.entry(tag) {
            Ok(entry) => entries.push(entry),
            Err(malformed) => {
                entries.truncate(before);
                return Err(malformed);
            }
        }
    }
    Ok(())
}

/// What is left of a block.
struct Decoder<'a> {
    columns: [&'a [u8]; COLUMNS],
    likely: Likely,
}

impl Decoder<'_> {
    fn entry(&mut self, tag: u8) -> Result<Entry, Malformed> {
        let partition = self.signed(Column::Partition)?;
        let at = RunTime(sum(self.get(Column::Time)?, &mut self.likely.time));
        Ok(match tag {
            ..POLL => Entry::Send(self.send(tag, partition, at)?),
            POLL..=POLL_CORRUPT => Entry::Poll(self.poll(tag, partition, at)?),
            ASSIGNED => Entry::Assigned {
                partition,
                at,
                committed: None,
            },
            ASSIGNED_COMMITTED => Entry::Assigned {
                partition,
                at,
                committed: Some(self.offset(partition)?),
            },
            REVOKED => Entry::Revoked { partition, at },
            COMMIT => Entry::Commit {
                partition,
                at,
                offset: self.offset(partition)?,
                error: None,
            },
            COMMIT_ERROR => Entry::Commit {
                partition,
                at,
                offset: self.offset(partition)?,
                error: Some(self.signed(Column::Other)?),
            },
            READ => {
                let waited = unzigzag(self.get(Column::Delay)?) as u64;
                Entry::Read {
                    partition,
                    asked: RunTime(at.0.wrapping_sub(waited)),
                    got: at,
                }
            }
            DRAINED => {
                let end_offset = self.offset(partition)?;
                let reached = end_offset.wrapping_add(unzigzag(self.get(Column::Other)?));
                Entry::Drained {
                    partition,
                    end_offset,
                    reached,
                    at,
                }
            }
            _ => return Err(Malformed),
        })
    }

    fn send(&mut self, tag: u8, partition: Partition, done: RunTime) -> Result<Send, Malformed> {
        let outcome = match tag % WARM_UP {
            ACKED => Outcome::Acked {
                offset: self.offset(partition)?,
            },
            FAILED => Outcome::Failed {
                code: self.signed(Column::Other)?,
            },
            _ => Outcome::Indeterminate {
                code: self.signed(Column::Other)?,
            },
        };
        let (sequence, key, due) = self.record((0, partition))?;
        let delay = unzigzag(self.get(Column::Delay)?) as u64;
        let sent = RunTime(due.0.wrapping_add(delay));
        let warm_up = tag >= WARM_UP;
        Ok(Send {
            partition,
            sequence,
            key,
            warm_up,
            due,
            sent,
            done,
            outcome,
        })
    }

    fn poll(&mut self, tag: u8, partition: Partition, at: RunTime) -> Result<Poll, Malformed> {
        let offset = self.offset(partition)?;
        let record = match tag {
            POLL => Observed::Record(self.record_id(partition)?),
            POLL_OTHER_RUN => Observed::OtherRun {
                run: self.get(Column::Other)?,
            },
            _ => Observed::Corrupt,
        };
        Ok(Poll {
            partition,
            offset,
            at,
            record,
        })
    }

    fn record_id(&mut self, read_from: Partition) -> Result<RecordId, Malformed> {
        let producer = u16::try_from(self.get(Column::Producer)?).map_err(|_| Malformed)?;
        let incarnation = u16::try_from(self.get(Column::Incarnation)?).map_err(|_| Malformed)?;
        let moved = unzigzag(self.get(Column::RecordPartition)?);
        let partition = moved.checked_add(read_from.into()).ok_or(Malformed)?;
        let partition = Partition::try_from(partition).map_err(|_| Malformed)?;
        let (sequence, key, due) = self.record((producer, read_from))?;
        Ok(RecordId {
            producer,
            incarnation,
            partition,
            sequence,
            key,
            due,
        })
    }

    fn offset(&mut self, partition: Partition) -> Result<i64, Malformed> {
        let difference = self.get(Column::Offset)?;
        Ok(sum(
            difference,
            self.likely.offsets.entry(partition).or_default(),
        ) as i64)
    }

    fn record(&mut self, run: (u16, Partition)) -> Result<(u64, u32, RunTime), Malformed> {
        let sequence = self.get(Column::Sequence)?;
        let key = u32::try_from(self.get(Column::Key)?).map_err(|_| Malformed)?;
        let due = self.get(Column::Due)?;
        let run = self.likely.runs.entry(run).or_default();
        Ok((
            sum(sequence, &mut run.sequence),
            key,
            RunTime(sum(due, &mut run.due)),
        ))
    }

    fn signed(&mut self, column: Column) -> Result<i32, Malformed> {
        i32::try_from(unzigzag(self.get(column)?)).map_err(|_| Malformed)
    }

    fn get(&mut self, column: Column) -> Result<u64, Malformed> {
        get_varint(&mut self.columns[column as usize])
    }
}
