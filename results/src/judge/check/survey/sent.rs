//! The sends to one partition, and where the log should hold their records.

use super::compacted::Compacted;
use super::content::{Contents, SEGMENT, Segments};
use super::intervals::Intervals;
use super::log::{Absence, LogFacts, RecordIdentity};
use crate::record::clock::RunTime;
use crate::record::history::{Observed, RecordId, Send, SendOutcome};

/// The life of a producer in one partition, without its sends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in super::super) struct WriterFacts {
    pub(in super::super) producer: u16,
    pub(in super::super) incarnation: u16,
    pub(in super::super) acks_all: bool,
    pub(in super::super) idempotent: bool,
    /// Whether it is of the load, and not a probe.
    pub(in super::super) of_load: bool,
    /// Number of its stream among the judged ones.
    pub(in super::super) stream: usize,
}

impl WriterFacts {
    /// What stays the same over all copies of the record.
    pub(in super::super) fn identity(&self, send: &Send) -> RecordIdentity {
        (self.producer, self.incarnation, send.sequence)
    }

    fn observed(&self, send: &Send) -> Observed {
        Observed::Record(RecordId {
            producer: self.producer,
            incarnation: self.incarnation,
            partition: send.partition,
            sequence: send.sequence,
            key: send.key,
            due: send.due,
        })
    }
}

/// What was sent to one partition, by one writer or several.
#[derive(Debug, Clone, Default)]
pub(in super::super) struct SentFacts {
    /// What L should hold: where the ack says so, or where L has it.
    pub(super) placed: Contents,
    /// What was acked at an offset that the drain did not come to.
    pub(super) unread: Contents,
    /// Acks of the load of which the log shows whether they were kept.
    pub(super) kept_or_not: u64,
    /// Where acks of the load lie before the start of the log.
    pub(super) before_start: Intervals,
    /// Acks of the load whose records gave way to newer ones of their keys.
    pub(super) superseded: u64,
    /// With compaction: since when these may have.
    pub(super) compacted: Compacted,
    /// Sends that failed for certain.
    pub(super) failed: u64,
    /// Sends with acks=all that have an offset.
    pub(super) ordered: u64,
    /// Offsets of sends that are to be looked at, whatever else there is.
    pub(super) suspect: Intervals,
    runs: Vec<SentRun>,
}

/// Sends with acks=all at consecutive offsets of one [`SEGMENT`], in keeping with real time.
#[derive(Debug, Clone, Copy)]
struct SentRun {
    offset: i64,
    sends: i64,
    /// When the last of them began.
    begun: RunTime,
    /// When the first of them was acked.
    acked: RunTime,
}

impl SentRun {
    fn last(&self) -> i64 {
        self.offset + (self.sends - 1)
    }
}

/// The time of an ack that never came.
const NEVER: RunTime = RunTime(u64::MAX);

impl SentFacts {
    /// Adds a send of `writer`, as it stands against the log.
    pub(super) fn add(
        &mut self,
        segments: &Segments,
        log: &LogFacts,
        writer: &WriterFacts,
        send: &Send,
    ) {
        let offset = match send.outcome {
            SendOutcome::Acked { offset } => {
                self.add_acked(segments, log, writer, send, offset);
                Some(offset)
            }
            SendOutcome::Indeterminate { .. } => {
                let copy = log.copies(writer.identity(send)).first().copied();
                if let Some(offset) = copy {
                    self.placed.add(segments, offset, &writer.observed(send));
                }
                copy
            }
            SendOutcome::Failed { .. } => {
                self.failed += 1;
                // L should not hold it at all, and differs there from what is placed.
                log.copies(writer.identity(send)).first().copied()
            }
        };
        if log.is_compacted() {
            self.compacted.add(send, offset);
        }
        // Of times that cannot be, no order is concluded.
        if writer.acks_all
            && send.sent <= send.done
            && let Some(offset) = offset
        {
            self.ordered += 1;
            self.add_to_order(send, offset);
        }
    }

    fn add_acked(
        &mut self,
        segments: &Segments,
        log: &LogFacts,
        writer: &WriterFacts,
        send: &Send,
        offset: i64,
    ) {
        let late = log.came_late(send.done);
        let beyond_end = log.drained.is_some_and(|drained| offset >= drained.end_offset);
        let there = log.corrupt.contains(offset) || !log.copies(writer.identity(send)).is_empty();
        let absence = if there { None } else { log.absence(offset, send.key) };
        let passed = if beyond_end { !late } else { offset < log.covered() };
        let read = absence.is_none() && (passed || there);
        let contents = if read { &mut self.placed } else { &mut self.unread };
        contents.add(segments, offset, &writer.observed(send));
        if writer.of_load {
            match absence {
                // Of two records that were acked there, a policy can have deleted one at the most.
                Some(Absence::BeforeStart) if !self.before_start.insert(offset) => {
                    self.suspect.insert(offset);
                }
                Some(Absence::BeforeStart) => {}
                Some(Absence::Superseded) => {
                    self.superseded += 1;
                    self.compacted.gone(offset, send.key);
                }
                None => {}
            }
            self.kept_or_not += u64::from(read);
            if late {
                self.suspect.insert(offset);
            }
        }
    }

    fn add_to_order(&mut self, send: &Send, offset: i64) {
        let acked = match send.outcome {
            SendOutcome::Acked { .. } => send.done,
            _ => NEVER,
        };
        if let Some(run) = self.runs.last_mut()
            && run.offset.checked_add(run.sends) == Some(offset)
            && offset.rem_euclid(SEGMENT) != 0
            && run.begun <= acked
        {
            run.sends += 1;
            run.begun = run.begun.max(send.sent);
            run.acked = run.acked.min(acked);
            return;
        }
        self.runs.push(SentRun { offset, sends: 1, begun: send.sent, acked });
    }

    /// To be called when all of this was added.
    pub(super) fn close(&mut self) {
        self.compacted.close();
        self.placed.close();
        self.unread.close();
    }

    /// Adds to `found` the offsets of sends that are not in the order of real time: those with an
    /// offset up to that of an ack which came before they began, and those of such acks.
    pub(super) fn disorder(&mut self, found: &mut Intervals) {
        self.runs.sort_unstable_by_key(|run| run.offset);
        // Of two sends with one offset, one is wrong: they are in the order of nothing.
        self.runs.dedup_by(|next, run| {
            let overlap = next.offset <= run.last();
            if overlap {
                found.insert_all(run.offset, run.last().max(next.last()));
                run.sends = run.sends.max(next.last() - run.offset + 1);
                run.begun = run.begun.max(next.begun);
                run.acked = run.acked.min(next.acked);
            }
            overlap
        });
        let mut early = Vec::new();
        let mut begun_below = RunTime(0);
        for (number, run) in self.runs.iter().enumerate() {
            if run.acked < begun_below {
                early.push(number);
                found.insert_all(run.offset, run.last());
            }
            begun_below = begun_below.max(run.begun);
        }
        let mut acked_above = NEVER;
        let highest = early.last().map_or(0, |highest| highest + 1);
        for (number, run) in self.runs[..highest].iter().enumerate().rev() {
            if run.begun > acked_above {
                found.insert_all(run.offset, run.last());
            }
            if early.pop_if(|early| *early == number).is_some() {
                acked_above = acked_above.min(run.acked);
            }
        }
    }
}
