//! What became of a partition's in-sync replicas during a fault.

use super::{FaultOnPartition, PartitionRecovery, StreamKind};

impl FaultOnPartition<'_> {
    pub(super) fn isr(&self, row: &mut PartitionRecovery, replication_factor: usize) {
        let fault = self.fault;
        let held = self.timeline.state_at(self.topic, self.partition, fault.injecting);
        let later = self.timeline.states(self.topic, self.partition);
        let changes: Vec<_> = later
            .iter()
            .filter(|s| s.at > fault.injecting && s.at < fault.window_end)
            .copied()
            .collect();
        let states = || held.iter().chain(&changes);
        row.min_isr = states().map(|s| s.isr.len()).min();
        // A broker that goes away shrinks what is alive before it is out of the ISR.
        let gone = self.timeline.comings_and_goings();
        let gone = gone.filter(|at| *at > fault.injecting && *at < fault.window_end);
        let moments = states().map(|s| s.at.max(fault.injecting)).chain(gone);
        row.min_live_isr = moments
            .filter_map(|at| {
                let state = self.timeline.state_at(self.topic, self.partition, at)?;
                Some(state.isr.iter().filter(|b| !self.timeline.is_away(**b, at)).count())
            })
            .min();
        let full = held.map_or(0, |s| s.isr.len()).max(replication_factor);
        let shrunk = changes.iter().position(|s| s.isr.len() < full);
        row.isr_full_s = shrunk
            .and_then(|first| changes[first..].iter().find(|s| s.isr.len() >= full))
            .map(|s| self.since_injection(s.at));
    }
}

/// Why acks=all waited for a restart: the copies left were too few.
pub(super) fn say_too_few_copies(row: &mut PartitionRecovery, min_insync_replicas: Option<u32>) {
    let (Some(live), Some(wanted)) = (row.min_live_isr, min_insync_replicas) else {
        return;
    };
    if row.stream == StreamKind::Main && row.ended_after_heal && live < wanted as usize {
        let why = format!(
            "{live} live in-sync copies, min.insync.replicas is {wanted}: acks=all is refused until \
             a broker restarts"
        );
        row.note = Some(row.note.take().map_or(why.clone(), |note| format!("{why}; {note}")));
    }
}
