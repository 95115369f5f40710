//! The sends that have no outcome yet.

use results::record::history::Send;

/// Sends without outcome, numbered by what the client carries along.
#[derive(Default)]
pub(super) struct Slots {
    sends: Vec<Option<Send>>,
    unused: Vec<usize>,
    /// Number of sends without outcome.
    pub(super) open: usize,
}

impl Slots {
    pub(super) fn take(&mut self, send: Send) -> usize {
        self.open += 1;
        if let Some(slot) = self.unused.pop() {
            self.sends[slot] = Some(send);
            return slot;
        }
        self.sends.push(Some(send));
        self.sends.len() - 1
    }

    pub(super) fn free(&mut self, slot: usize) -> Option<Send> {
        let send = self.sends.get_mut(slot)?.take()?;
        self.unused.push(slot);
        self.open -= 1;
        Some(send)
    }

    pub(super) fn taken(&self) -> Vec<usize> {
        (0..self.sends.len()).filter(|slot| self.sends[*slot].is_some()).collect()
    }
}
