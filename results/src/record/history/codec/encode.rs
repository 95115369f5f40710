//! Entries to blocks.

use std::hash::BuildHasherDefault;

use super::super::{Committed, Entry, Observed, Partition, Poll, Send, SendOutcome};
use super::hasher::NumberHasher;
use super::{
    ACKED, ASSIGNED_COMMITTED, ASSIGNED_NOTHING, ASSIGNED_UNKNOWN, BATCHES, COLUMNS, COMMIT,
    COMMIT_ERROR, Column, DRAINED, FAILED, INDETERMINATE, Likely, POLL, POLL_CORRUPT, POLL_FOREIGN,
    POLL_OTHER_RUN, READ, READ_UNANSWERED, REVOKED, WARM_UP,
};
use crate::record::clock::RunTime;

/// zstd's default. Higher levels gain a few per cent and cost the producer's thread time.
const LEVEL: i32 = 3;

/// Collects entries into a block.
#[derive(Debug, Default)]
pub(in super::super) struct Encoder {
    columns: [Vec<u8>; COLUMNS],
    likely: Likely<BuildHasherDefault<NumberHasher>>,
}

impl Encoder {
    /// Size of the block so far, before compression.
    pub(in super::super) fn bytes(&self) -> usize {
        self.columns.iter().map(Vec::len).sum()
    }

    /// Whether the block holds no entry.
    pub(in super::super) fn is_empty(&self) -> bool {
        self.columns[Column::Tag as usize].is_empty()
    }

    /// The compressed block; the encoder begins a new one.
    pub(in super::super) fn finish(&mut self) -> std::io::Result<Vec<u8>> {
        let mut block = Vec::with_capacity(self.bytes() + 4 * COLUMNS);
        for column in &mut self.columns {
            put_varint(&mut block, column.len() as u64);
            block.append(column);
        }
        self.likely = Likely::default();
        zstd::bulk::compress(&block, LEVEL)
    }

    /// Appends an entry.
    pub(in super::super) fn push(&mut self, entry: &Entry) {
        match *entry {
            Entry::Send(ref send) => self.send(send),
            Entry::Poll(ref poll) => self.poll(poll),
            Entry::Assigned { partition, at, committed } => {
                let tag = match committed {
                    Committed::At(_) => ASSIGNED_COMMITTED,
                    Committed::Nothing => ASSIGNED_NOTHING,
                    Committed::Unknown => ASSIGNED_UNKNOWN,
                };
                self.begin(tag, partition, at);
                if let Committed::At(offset) = committed {
                    self.offset(partition, offset);
                }
            }
            Entry::Revoked { partition, at } => self.begin(REVOKED, partition, at),
            Entry::Commit { partition, asked, at, offset, error } => {
                self.begin(if error.is_some() { COMMIT_ERROR } else { COMMIT }, partition, at);
                self.put(Column::Delay, zigzag(at.0.wrapping_sub(asked.0) as i64));
                self.offset(partition, offset);
                if let Some(code) = error {
                    self.put(Column::Other, zigzag(code.into()));
                }
            }
            Entry::Read { partition, asked, done, answered } => {
                self.begin(if answered { READ } else { READ_UNANSWERED }, partition, done);
                self.put(Column::Delay, zigzag(done.0.wrapping_sub(asked.0) as i64));
            }
            Entry::Drained { partition, start_offset, end_offset, reached, at } => {
                self.begin(DRAINED, partition, at);
                self.offset(partition, end_offset);
                self.put(Column::Other, zigzag(reached.wrapping_sub(end_offset)));
                self.put(Column::Other, zigzag(start_offset));
            }
            Entry::Batches { partition, first, end, epoch, at } => {
                self.begin(BATCHES, partition, at);
                self.offset(partition, first);
                for number in [end.wrapping_sub(first), epoch.id, epoch.epoch.into()] {
                    self.put(Column::Other, zigzag(number));
                }
            }
        }
    }

    fn send(&mut self, send: &Send) {
        let tag = match send.outcome {
            SendOutcome::Acked { .. } => ACKED,
            SendOutcome::Failed { .. } => FAILED,
            SendOutcome::Indeterminate { .. } => INDETERMINATE,
        };
        self.begin(tag + if send.warm_up { WARM_UP } else { 0 }, send.partition, send.done);
        match send.outcome {
            SendOutcome::Acked { offset } => self.offset(send.partition, offset),
            SendOutcome::Failed { code } | SendOutcome::Indeterminate { code } => {
                self.put(Column::Other, zigzag(code.into()));
            }
        }
        self.record((0, send.partition), send.sequence, send.key, send.due);
        self.put(Column::Delay, zigzag(send.sent.0.wrapping_sub(send.due.0) as i64));
    }

    fn poll(&mut self, poll: &Poll) {
        let tag = match poll.record {
            Observed::Record(_) => POLL,
            Observed::OtherRun { .. } => POLL_OTHER_RUN,
            Observed::Corrupt => POLL_CORRUPT,
            Observed::Foreign => POLL_FOREIGN,
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
            Observed::Corrupt | Observed::Foreign => {}
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

/// The difference from `last` to `value`, small whichever its sign; `last` becomes `value`.
fn difference(value: u64, last: &mut u64) -> u64 {
    let difference = value.wrapping_sub(*last) as i64;
    *last = value;
    zigzag(difference)
}

fn zigzag(value: i64) -> u64 {
    ((value << 1) ^ (value >> 63)) as u64
}

fn put_varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}
