//! L of one partition: the log as the drain read it.
//!
//! Where which record is, is kept as runs: records of one producer's life with consecutive sequences
//! at consecutive offsets. A batch is at most one run; without other producers in between, hundreds
//! of batches are.

use std::collections::HashMap;

use super::content::{Contents, SEGMENT, Segments};
use super::intervals::Intervals;
use crate::record::clock::RunTime;
use crate::record::history::{Observed, Partition, Poll, RecordId};

/// Who wrote a record, and the how many-th of its sends to the partition it is.
pub(in super::super) type RecordIdentity = (u16, u16, u64);

/// Who wrote a record: what stays the same over all copies of it.
pub(in super::super) fn identity(id: &RecordId) -> RecordIdentity {
    (id.producer, id.incarnation, id.sequence)
}

/// The end of a partition's drain.
#[derive(Debug, Clone, Copy)]
pub(in super::super) struct Drained {
    pub(in super::super) start_offset: i64,
    pub(in super::super) end_offset: i64,
    pub(in super::super) reached: i64,
    pub(super) at: RunTime,
}

/// Why a record may lawfully be absent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in super::super) enum Absence {
    /// The log begins behind it.
    BeforeStart,
    /// Its key has a newer record, and the topic is compacted.
    Superseded,
}

/// What the drain read of one partition.
#[derive(Debug, Clone, Default)]
pub(in super::super) struct LogFacts {
    /// Offsets that L holds a record at.
    pub(in super::super) offsets: Intervals,
    /// Offsets at which that is corrupt.
    pub(in super::super) corrupt: Intervals,
    /// How the drain ended, if it did.
    pub(in super::super) drained: Option<Drained>,
    /// Offsets that the drain read again.
    pub(super) again: Intervals,
    /// How often it read an offset again.
    pub(super) reread: u64,
    pub(super) contents: Contents,
    /// The lowest offset, and when it was read.
    first: Option<(i64, RunTime)>,
    /// With compaction: where the newest record of each key is.
    newest: Option<HashMap<u32, i64>>,
    /// Since when it is compacted.
    compacted: RunTime,
    /// Records that name this partition, by offset.
    runs: Vec<LogRun>,
    /// Places in `runs`, by writer and sequence.
    by_id: Vec<u32>,
    /// Whether any record is in L more than once.
    copied: bool,
}

/// Records of one writer with consecutive sequences at consecutive offsets of one [`SEGMENT`].
#[derive(Debug, Clone, Copy)]
struct LogRun {
    producer: u16,
    incarnation: u16,
    records: u32,
    sequence: u64,
    offset: i64,
}

impl LogRun {
    fn writer(&self) -> (u16, u16) {
        (self.producer, self.incarnation)
    }

    /// Identity of its first record.
    fn identity(&self) -> RecordIdentity {
        (self.producer, self.incarnation, self.sequence)
    }

    /// Sequence of its last record.
    fn last(&self) -> u64 {
        self.sequence + u64::from(self.records - 1)
    }

    /// Offset of its last record.
    fn end(&self) -> i64 {
        self.offset + i64::from(self.records - 1)
    }

    /// Whether this record at this offset continues it.
    fn goes_on(&self, id: &RecordId, offset: i64) -> bool {
        let records = u64::from(self.records);
        self.writer() == (id.producer, id.incarnation)
            && self.sequence.checked_add(records) == Some(id.sequence)
            && self.offset.checked_add(i64::from(self.records)) == Some(offset)
            && offset.rem_euclid(SEGMENT) != 0
    }

    /// Offset of the record with this sequence, if it is in this run.
    fn offset_of(&self, sequence: u64) -> Option<i64> {
        let after = sequence.checked_sub(self.sequence)?;
        (after < u64::from(self.records)).then(|| self.offset + after as i64)
    }
}

impl LogFacts {
    /// The topic keeps only the newest record of each key, since this time.
    pub(super) fn compacts(&mut self, since: RunTime) {
        (self.newest, self.compacted) = (Some(HashMap::new()), since);
    }

    /// Whether it keeps, or may keep, only the newest record of each key.
    pub(super) fn is_compacted(&self) -> bool {
        self.newest.is_some()
    }

    /// Whether it is, or may be, so at `at`.
    pub(super) fn is_compacted_at(&self, at: RunTime) -> bool {
        self.is_compacted() && self.compacted <= at
    }

    /// Adds what the drain read next.
    pub(super) fn add(&mut self, segments: &Segments, partition: Partition, poll: &Poll) {
        if !self.offsets.insert(poll.offset) {
            self.again.insert(poll.offset);
            self.reread += 1;
            return;
        }
        if self.first.is_none_or(|(offset, _)| poll.offset < offset) {
            self.first = Some((poll.offset, poll.at));
        }
        self.contents.add(segments, poll.offset, &poll.record);
        let id = match &poll.record {
            Observed::Record(id) if id.partition == partition => id,
            Observed::Corrupt => {
                self.corrupt.insert(poll.offset);
                return;
            }
            Observed::Record(_) | Observed::OtherRun { .. } | Observed::Foreign => return,
        };
        if let Some(newest) = &mut self.newest {
            let at = newest.entry(id.key).or_insert(poll.offset);
            *at = poll.offset.max(*at);
        }
        match self.runs.last_mut() {
            Some(run) if run.goes_on(id, poll.offset) => run.records += 1,
            _ => self.runs.push(LogRun {
                producer: id.producer,
                incarnation: id.incarnation,
                records: 1,
                sequence: id.sequence,
                offset: poll.offset,
            }),
        }
    }

    /// To be called when the drain was read to its end.
    pub(super) fn close(&mut self) {
        self.contents.close();
        self.runs.sort_unstable_by_key(|run| run.offset);
        let runs = &self.runs;
        self.by_id = (0..runs.len() as u32).collect();
        self.by_id.sort_unstable_by_key(|&at| {
            let run = &runs[at as usize];
            (run.identity(), run.offset)
        });
        let copied = self.copied_sequences().next().is_some();
        self.copied = copied;
    }

    fn by_id(&self) -> impl DoubleEndedIterator<Item = &LogRun> {
        self.by_id.iter().map(|&at| &self.runs[at as usize])
    }

    /// First offset of the log, as far as it is known; what lies before was deleted.
    pub(in super::super) fn start(&self) -> i64 {
        self.drained.map_or(0, |drained| drained.start_offset)
    }

    /// What policy is to be asked why a record that was acked at `offset` is in L nowhere, if one may be.
    pub(in super::super) fn absence(&self, offset: i64, key: u32) -> Option<Absence> {
        if offset < self.start() {
            return Some(Absence::BeforeStart);
        }
        let newer = self.newest.as_ref()?.get(&key)?;
        let in_force = self.drained.is_none_or(|drained| self.compacted <= drained.at);
        let gone = *newer > offset && !self.offsets.contains(offset);
        (in_force && gone).then_some(Absence::Superseded)
    }

    /// Below this offset, what L does not hold is not in the log.
    pub(in super::super) fn covered(&self) -> i64 {
        match self.drained {
            Some(drained) => drained.reached,
            None => self.offsets.last().map_or(0, |last| last.saturating_add(1)),
        }
    }

    /// Whether an outcome at `done` came after the end offset may have been asked for: then an offset
    /// beyond that end says nothing.
    pub(in super::super) fn came_late(&self, done: RunTime) -> bool {
        let ended = self.drained.map(|drained| drained.at);
        let began = self.first.map(|(_, at)| at).or(ended);
        began.is_some_and(|began| done >= began)
    }

    /// How many records lie from `from` up to and without `to`: as L says, and where L does not
    /// reach, one at each offset.
    pub(in super::super) fn records_between(&self, from: i64, to: i64) -> u64 {
        let unknown = to.saturating_sub(from.max(self.covered())).max(0);
        self.offsets.count_between(from, to.min(self.covered())) + unknown as u64
    }

    /// Offsets of all copies of one record, in order.
    pub(in super::super) fn copies(
        &self,
        (producer, incarnation, sequence): RecordIdentity,
    ) -> Vec<i64> {
        let id = (producer, incarnation, sequence);
        let after = self.by_id.partition_point(|&at| self.runs[at as usize].identity() <= id);
        let mut copies = Vec::new();
        for &at in self.by_id[..after].iter().rev() {
            let run = &self.runs[at as usize];
            let of_writer = run.writer() == (producer, incarnation);
            if !of_writer || sequence - run.sequence >= SEGMENT as u64 {
                break;
            }
            copies.extend(run.offset_of(sequence));
            if !self.copied {
                break;
            }
        }
        copies.sort_unstable();
        copies
    }

    /// Sequences that more than one run holds: writer, first and last.
    fn copied_sequences(&self) -> impl Iterator<Item = ((u16, u16), u64, u64)> {
        let mut reached: Option<((u16, u16), u64)> = None;
        self.by_id().filter_map(move |run| {
            let (writer, last) = (run.writer(), run.last());
            let before = reached.filter(|(other, _)| *other == writer).map(|(_, last)| last);
            reached = Some((writer, before.map_or(last, |before| before.max(last))));
            let again = before.filter(|&before| before >= run.sequence)?;
            Some((writer, run.sequence, last.min(again)))
        })
    }

    /// Adds to `found` where copies of records lie that L holds more than once.
    pub(super) fn duplicates(&self, found: &mut Intervals) {
        for ((producer, incarnation), first, last) in self.copied_sequences() {
            for sequence in first..=last {
                for offset in self.copies((producer, incarnation, sequence)) {
                    found.insert(offset);
                }
            }
        }
    }

    /// Adds to `found` where a sequence is below one that its writer has at a lower offset, and
    /// where that one is.
    pub(super) fn disorder(&self, found: &mut Intervals) {
        // Of each writer, the highest sequence so far and its offset.
        let mut highest: HashMap<(u16, u16), (u64, i64)> = HashMap::new();
        for run in &self.runs {
            let end = (run.last(), run.end());
            match highest.get_mut(&run.writer()) {
                None => drop(highest.insert(run.writer(), end)),
                Some(top) => {
                    if run.sequence < top.0 {
                        found.insert(top.1);
                        found.insert_all(run.offset, run.end());
                    }
                    if run.last() >= top.0 {
                        *top = end;
                    }
                }
            }
        }
    }

    /// How many records L holds that name this partition and were written by one of `writers`; copies
    /// of one record count.
    pub(in super::super) fn written_by(&self, wrote: impl Fn((u16, u16)) -> bool) -> u64 {
        let runs = self.runs.iter().filter(|run| wrote(run.writer()));
        runs.map(|run| u64::from(run.records)).sum()
    }

    /// The same, where copies of one record do not count.
    pub(in super::super) fn different(&self, wrote: impl Fn((u16, u16)) -> bool) -> u64 {
        let again = self.copied_sequences().filter(|(writer, ..)| wrote(*writer));
        let again: u64 = again.map(|(_, first, last)| last - first + 1).sum();
        self.written_by(&wrote) - again
    }
}
