//! Records of a compacted topic that gave way to newer ones of their keys: since when each may have.
//!
//! Compaction takes a record only when a newer one of its key is in the log. So a record was there still when
//! the next one of its key had not been sent yet. Kept for compacted topics only: 16 bytes a send.

use std::collections::HashMap;

use crate::record::clock::RunTime;
use crate::record::history::{Send, SendOutcome};

/// Of one partition.
#[derive(Debug, Clone, Default)]
pub(super) struct Compacted {
    /// By key: offset and time of each send that is or may be in the log.
    sends: HashMap<u32, Vec<(i64, RunTime)>>,
    /// Offset and key of each acked record that is not in the log.
    gone: Vec<(i64, u32)>,
    /// By offset: when the first that is newer than such a record was sent.
    since: Vec<(i64, RunTime)>,
}

impl Compacted {
    /// Adds a send; `offset` where it is known.
    pub(super) fn add(&mut self, send: &Send, offset: Option<i64>) {
        let offset = match send.outcome {
            SendOutcome::Failed { .. } => return,
            // It may have been the newest of its key, and gone since.
            SendOutcome::Indeterminate { .. } => offset.unwrap_or(i64::MAX),
            SendOutcome::Acked { offset } => offset,
        };
        self.sends.entry(send.key).or_default().push((offset, send.sent));
    }

    /// An acked record gave way to a newer one.
    pub(super) fn gone(&mut self, offset: i64, key: u32) {
        self.gone.push((offset, key));
    }

    /// To be called when all sends were added.
    pub(super) fn close(&mut self) {
        for sends in self.sends.values_mut() {
            sends.sort_unstable();
            // Of each send and all behind it, the first that was sent.
            let mut first = RunTime(u64::MAX);
            for (_, sent) in sends.iter_mut().rev() {
                first = first.min(*sent);
                *sent = first;
            }
        }
        let since = |(offset, key): (i64, u32)| {
            let sends = self.sends.get(&key)?;
            let newer = sends.partition_point(|(other, _)| *other <= offset);
            Some((offset, sends.get(newer).map_or(RunTime(u64::MAX), |(_, sent)| *sent)))
        };
        self.since = std::mem::take(&mut self.gone).into_iter().filter_map(since).collect();
        self.since.sort_unstable();
        self.sends.clear();
    }

    /// How many from offset `from` up to and without `to` cannot have given way at `at`.
    pub(super) fn there_at(&self, at: RunTime, from: i64, to: i64) -> u64 {
        let first = self.since.partition_point(|(offset, _)| *offset < from);
        let between = self.since[first..].iter().take_while(|(offset, _)| *offset < to);
        between.filter(|(_, since)| *since > at).count() as u64
    }

    /// The same, where nothing had been compacted yet.
    pub(super) fn all(&self, from: i64, to: i64) -> u64 {
        self.there_at(RunTime(0), from, to)
    }
}
