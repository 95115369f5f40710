//! Where a log went back below what had been acked, and the acks of one partition between such cuts.
//!
//! A record that is sent after another one of its partition was acked gets a higher offset. When it does
//! not, the log was cut in between: another replica leads that never had the rest. From then on the same
//! offsets name other records, and what an earlier reader had reached says nothing. So a partition is
//! followed anew from each cut on; what the cut took waits for nobody, the check for loss tells of it.

use super::progress::{Furthest, ReachedOffsets, tick};
use crate::record::clock::RunTime;
use crate::record::history::{Observed, Poll, Send};

/// One cut, as acks show it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct LogCut {
    /// When the first ack came that shows it.
    pub(super) at: RunTime,
    /// The offset of that ack: the first that names another record.
    pub(super) from: i64,
    /// The highest offset that was acked before.
    pub(super) highest: i64,
    /// When.
    pub(super) acked: RunTime,
}

/// What one producer's stream shows of a partition.
#[derive(Debug, Clone)]
pub(super) struct AckedPiece {
    since: RunTime,
    highest: i64,
    acked: RunTime,
    progress: ReachedOffsets,
}

/// The acks of a partition, in pieces that rise.
#[derive(Debug, Clone, Default)]
pub(super) struct AckedLog {
    pieces: Vec<AckedPiece>,
    /// In order.
    cuts: Vec<LogCut>,
}

impl LogCut {
    /// Whether this is of the records that were written after the cut. One that was sent after the highest
    /// ack before it is not among those that had such offsets then.
    fn is_before(&self, poll: &Poll) -> bool {
        match poll.record {
            Observed::Record(record) => {
                record.due > self.acked && (poll.offset <= self.highest || poll.at >= self.at)
            }
            _ => poll.at >= self.at && poll.offset >= self.from,
        }
    }
}

/// How many cuts lie before what was polled.
pub(super) fn generation(cuts: &[LogCut], poll: &Poll) -> usize {
    cuts.iter().rposition(|cut| cut.is_before(poll)).map_or(0, |last| last + 1)
}

impl AckedLog {
    /// The ack of a send of one producer, in the order of its stream.
    pub(super) fn ack(&mut self, send: &Send, offset: i64) {
        let Send { sent, done, .. } = *send;
        let cut = self.pieces.last().filter(|last| offset <= last.highest && sent > last.acked);
        if let Some(AckedPiece { highest, acked, .. }) = cut {
            self.cuts.push(LogCut { at: done, from: offset, highest: *highest, acked: *acked });
        }
        if cut.is_some() || self.pieces.is_empty() {
            let progress = ReachedOffsets::default();
            self.pieces.push(AckedPiece { since: done, highest: offset, acked: done, progress });
        }
        if let Some(piece) = self.pieces.last_mut() {
            piece.progress.reach(done, offset);
            if offset > piece.highest {
                (piece.highest, piece.acked) = (offset, done);
            }
        }
    }

    /// Adds what another producer's stream shows.
    pub(super) fn merge(&mut self, other: Self) {
        self.pieces.extend(other.pieces);
        self.cuts.extend(other.cuts);
        self.cuts.sort_by_key(|cut| cut.at);
        // Two streams show the same cut when what the later one was acked before it came before the other's.
        self.cuts.dedup_by(|next, cut| {
            let same = next.acked < cut.at;
            if same {
                cut.from = cut.from.min(next.from);
                if next.highest > cut.highest {
                    (cut.highest, cut.acked) = (next.highest, next.acked);
                }
            }
            same
        });
    }

    pub(super) fn cuts(&self) -> &[LogCut] {
        &self.cuts
    }

    /// What was acked between this many cuts and the next, followed in time.
    pub(super) fn between(&self, generation: usize) -> Furthest<'_> {
        let cut = generation.checked_sub(1).and_then(|last| self.cuts.get(last));
        let next = self.cuts.get(generation);
        let lasts = |piece: &&AckedPiece| {
            let begins = next.is_none_or(|next| piece.since < next.at);
            // A producer that the cut passed by goes on rising; what others had reached is past.
            let goes_on = |cut: &LogCut| {
                piece.since >= cut.at || piece.reached(cut.at) <= cut.from.unsigned_abs()
            };
            begins && cut.is_none_or(goes_on)
        };
        Furthest::of(self.pieces.iter().filter(lasts).map(|piece| &piece.progress))
    }

    /// Where the acked records end, at last.
    pub(super) fn end(&self) -> u64 {
        self.between(self.cuts.len()).at(u64::MAX)
    }
}

impl AckedPiece {
    /// The end of what was acked before `at`.
    fn reached(&self, at: RunTime) -> u64 {
        let before = tick(at).saturating_sub(1);
        Furthest::of([&self.progress]).at(before)
    }
}
