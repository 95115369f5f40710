//! Blocks to entries. Whatever the bytes are, nothing here panics.

use super::super::{
    Committed, Entry, Observed, Partition, Poll, ProducerEpoch, RecordId, Send, SendOutcome,
};
use super::{
    ACKED, ASSIGNED_COMMITTED, ASSIGNED_NOTHING, ASSIGNED_UNKNOWN, BATCHES, COLUMNS, COMMIT,
    COMMIT_ERROR, Column, DRAINED, FAILED, Likely, POLL, POLL_CORRUPT, POLL_FOREIGN,
    POLL_OTHER_RUN, READ, READ_UNANSWERED, REVOKED, WARM_UP,
};
use crate::record::clock::RunTime;

/// No block is larger than this before compression; the writer stays far below.
const MAX_BLOCK_BYTES: usize = 1024 * 1024;

/// The bytes of a block are not what an encoder writes.
#[derive(Debug, PartialEq, Eq)]
pub(in super::super) struct Malformed;

/// Appends the entries of a block to `entries`; appends nothing when the block is malformed.
pub(in super::super) fn decode(block: &[u8], entries: &mut Vec<Entry>) -> Result<(), Malformed> {
    let block = zstd::bulk::decompress(block, MAX_BLOCK_BYTES).map_err(|_| Malformed)?;
    let mut rest = block.as_slice();
    let mut columns = [[].as_slice(); COLUMNS];
    for column in &mut columns {
        let length = usize::try_from(get_varint(&mut rest)?).map_err(|_| Malformed)?;
        (*column, rest) = rest.split_at_checked(length).ok_or(Malformed)?;
    }
    let tags = columns[Column::Tag as usize];
    let mut decoder = Decoder { columns, likely: Likely::default() };
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
            POLL..=POLL_CORRUPT | POLL_FOREIGN => Entry::Poll(self.poll(tag, partition, at)?),
            ASSIGNED_COMMITTED => {
                let committed = Committed::At(self.offset(partition)?);
                Entry::Assigned { partition, at, committed }
            }
            ASSIGNED_NOTHING => Entry::Assigned { partition, at, committed: Committed::Nothing },
            ASSIGNED_UNKNOWN => Entry::Assigned { partition, at, committed: Committed::Unknown },
            REVOKED => Entry::Revoked { partition, at },
            COMMIT | COMMIT_ERROR => {
                let (asked, offset) = (self.asked(at)?, self.offset(partition)?);
                let refused = tag == COMMIT_ERROR;
                let error = if refused { Some(self.signed(Column::Other)?) } else { None };
                Entry::Commit { partition, asked, at, offset, error }
            }
            READ | READ_UNANSWERED => {
                let asked = self.asked(at)?;
                Entry::Read { partition, asked, done: at, answered: tag == READ }
            }
            DRAINED => {
                let end_offset = self.offset(partition)?;
                let reached = end_offset.wrapping_add(unzigzag(self.get(Column::Other)?));
                let start_offset = unzigzag(self.get(Column::Other)?);
                Entry::Drained { partition, start_offset, end_offset, reached, at }
            }
            BATCHES => {
                let first = self.offset(partition)?;
                let end = first.wrapping_add(unzigzag(self.get(Column::Other)?));
                let id = unzigzag(self.get(Column::Other)?);
                let epoch = unzigzag(self.get(Column::Other)?);
                let epoch = i16::try_from(epoch).map_err(|_| Malformed)?;
                Entry::Batches { partition, first, end, epoch: ProducerEpoch { id, epoch }, at }
            }
            _ => return Err(Malformed),
        })
    }

    fn send(&mut self, tag: u8, partition: Partition, done: RunTime) -> Result<Send, Malformed> {
        let outcome = match tag % WARM_UP {
            ACKED => SendOutcome::Acked { offset: self.offset(partition)? },
            FAILED => SendOutcome::Failed { code: self.signed(Column::Other)? },
            _ => SendOutcome::Indeterminate { code: self.signed(Column::Other)? },
        };
        let (sequence, key, due) = self.record((0, partition))?;
        let delay = unzigzag(self.get(Column::Delay)?) as u64;
        let sent = RunTime(due.0.wrapping_add(delay));
        let warm_up = tag >= WARM_UP;
        Ok(Send { partition, sequence, key, warm_up, due, sent, done, outcome })
    }

    fn poll(&mut self, tag: u8, partition: Partition, at: RunTime) -> Result<Poll, Malformed> {
        let offset = self.offset(partition)?;
        let record = match tag {
            POLL => Observed::Record(self.record_id(partition)?),
            POLL_OTHER_RUN => Observed::OtherRun { run: self.get(Column::Other)? },
            POLL_CORRUPT => Observed::Corrupt,
            _ => Observed::Foreign,
        };
        Ok(Poll { partition, offset, at, record })
    }

    fn record_id(&mut self, read_from: Partition) -> Result<RecordId, Malformed> {
        let producer = u16::try_from(self.get(Column::Producer)?).map_err(|_| Malformed)?;
        let incarnation = u16::try_from(self.get(Column::Incarnation)?).map_err(|_| Malformed)?;
        let moved = unzigzag(self.get(Column::RecordPartition)?);
        let partition = moved.checked_add(read_from.into()).ok_or(Malformed)?;
        let partition = Partition::try_from(partition).map_err(|_| Malformed)?;
        let (sequence, key, due) = self.record((producer, read_from))?;
        Ok(RecordId { producer, incarnation, partition, sequence, key, due })
    }

    /// When what was answered at `at` was asked.
    fn asked(&mut self, at: RunTime) -> Result<RunTime, Malformed> {
        let waited = unzigzag(self.get(Column::Delay)?) as u64;
        Ok(RunTime(at.0.wrapping_sub(waited)))
    }

    fn offset(&mut self, partition: Partition) -> Result<i64, Malformed> {
        let difference = self.get(Column::Offset)?;
        Ok(sum(difference, self.likely.offsets.entry(partition).or_default()) as i64)
    }

    fn record(&mut self, run: (u16, Partition)) -> Result<(u64, u32, RunTime), Malformed> {
        let sequence = self.get(Column::Sequence)?;
        let key = u32::try_from(self.get(Column::Key)?).map_err(|_| Malformed)?;
        let due = self.get(Column::Due)?;
        let run = self.likely.runs.entry(run).or_default();
        Ok((sum(sequence, &mut run.sequence), key, RunTime(sum(due, &mut run.due))))
    }

    fn signed(&mut self, column: Column) -> Result<i32, Malformed> {
        i32::try_from(unzigzag(self.get(column)?)).map_err(|_| Malformed)
    }

    fn get(&mut self, column: Column) -> Result<u64, Malformed> {
        get_varint(&mut self.columns[column as usize])
    }
}

/// The value whose difference from `last` this is; `last` becomes it.
fn sum(difference: u64, last: &mut u64) -> u64 {
    *last = last.wrapping_add(unzigzag(difference) as u64);
    *last
}

fn unzigzag(value: u64) -> i64 {
    (value >> 1) as i64 ^ -((value & 1) as i64)
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
