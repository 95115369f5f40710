//! The sends that have no outcome yet.

use results::record::clock::RunTime;
use results::record::history::Send;

use crate::client::outcome::OPEN;

/// What has to be remembered of a send: as little as can be, since there may be as many as the client queues.
#[derive(Debug, Clone, Copy)]
pub(super) struct OpenSend {
    pub(super) sequence: u64,
    pub(super) due: RunTime,
    pub(super) sent: RunTime,
    pub(super) partition: i32,
    pub(super) key: u32,
    pub(super) warm_up: bool,
}

impl OpenSend {
    /// The send as it ended at `done`, with an outcome that is still to be told.
    pub(super) fn ended(self, done: RunTime) -> Send {
        let Self { sequence, due, sent, partition, key, warm_up } = self;
        Send { partition, sequence, key, warm_up, due, sent, done, outcome: OPEN }
    }
}

/// Sends without outcome, numbered by what the client carries along.
#[derive(Default)]
pub(super) struct Slots {
    sends: Vec<Option<OpenSend>>,
    unused: Vec<usize>,
    /// Number of sends without outcome.
    pub(super) open: usize,
}

impl Slots {
    pub(super) fn take(&mut self, send: OpenSend) -> usize {
        self.open += 1;
        if let Some(slot) = self.unused.pop() {
            self.sends[slot] = Some(send);
            return slot;
        }
        self.sends.push(Some(send));
        self.sends.len() - 1
    }

    pub(super) fn free(&mut self, slot: usize) -> Option<OpenSend> {
        let send = self.sends.get_mut(slot)?.take()?;
        self.unused.push(slot);
        self.open -= 1;
        Some(send)
    }

    pub(super) fn taken(&self) -> Vec<usize> {
        (0..self.sends.len()).filter(|slot| self.sends[*slot].is_some()).collect()
    }
}
