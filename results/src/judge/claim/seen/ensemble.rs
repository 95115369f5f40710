//! What the ZooKeeper servers answered the clients that each of them had to itself.

use std::collections::BTreeMap;

use crate::judge::timeline::Timeline;
use crate::record::clock::RunTime;
use crate::record::event::{BrokerId, EnsembleAnswer, EventKind};

/// A write to a ZooKeeper server.
#[derive(Debug, Clone, Copy)]
pub(in crate::judge::claim) struct EnsembleWrite {
    /// The server.
    pub(in crate::judge::claim) server: BrokerId,
    /// When it was sent.
    pub(in crate::judge::claim) sent: RunTime,
    /// When the server answered, or the connection broke.
    pub(in crate::judge::claim) done: RunTime,
    /// The value written: one more each time.
    pub(in crate::judge::claim) number: u64,
    /// Epoch of the leader that committed it; `None` where it was not answered.
    pub(in crate::judge::claim) epoch: Option<i64>,
}

/// Writes and reads of one trial, in order of their answers.
#[derive(Debug, Clone, Default)]
pub(in crate::judge::claim) struct Ensemble {
    /// Every write.
    pub(in crate::judge::claim) writes: Vec<EnsembleWrite>,
    /// Reads that a server answered one after the other: from when, until when.
    pub(in crate::judge::claim) reads: Vec<(BrokerId, RunTime, RunTime)>,
    /// What was there at the end of what was written to each server: the value, and how often it had been written.
    pub(in crate::judge::claim) kept: BTreeMap<BrokerId, (u64, u64)>,
    /// When a broker's registration went, which ends with its session.
    pub(in crate::judge::claim) sessions_lost: Vec<(BrokerId, RunTime)>,
}

impl Ensemble {
    pub(super) fn of(timeline: &Timeline) -> Self {
        let mut seen = Self::default();
        for event in timeline.events() {
            let done = event.at;
            if let EventKind::BrokerGone { broker, .. } = event.kind {
                seen.sessions_lost.push((broker, done));
            }
            let EventKind::Ensemble(answer) = &event.kind else { continue };
            match *answer {
                EnsembleAnswer::Write { server, sent, number, zxid } => {
                    // The upper half of a transaction's id is the epoch of who committed it.
                    let epoch = zxid.map(|zxid| zxid >> 32);
                    seen.writes.push(EnsembleWrite { server, sent, done, number, epoch });
                }
                EnsembleAnswer::Reads { server, from, .. } => seen.reads.push((server, from, done)),
                EnsembleAnswer::Written { server, number, version } => {
                    seen.kept.insert(server, (number, version));
                }
            }
        }
        seen
    }
}
