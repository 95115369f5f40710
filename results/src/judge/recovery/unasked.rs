//! Partitions of which clients asked nothing for a while.

use super::operations::{OfPartition, longest_responses};
use super::{FaultOnPartition, PartitionRecovery, StreamKind};

/// From the injection of a fault on, one kind of client asked nothing of a partition: for so long it may have been
/// unavailable.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Unasked {
    pub(crate) fault: String,
    pub(crate) stream: StreamKind,
    pub(crate) led: Option<bool>,
    /// Topic and number.
    pub(crate) partition: String,
    /// The length of the fault's window where nothing was asked in it.
    pub(crate) seconds: f64,
}

impl FaultOnPartition<'_> {
    /// What was asked for at other times, and never in the fault's window; `None` when it was not there yet.
    pub(super) fn never_asked(&self, stream: StreamKind) -> Option<Unasked> {
        (!self.is_added()).then(|| Unasked {
            fault: self.fault.id.clone(),
            stream,
            led: self.led(),
            partition: format!("{}-{}", self.topic, self.partition),
            seconds: self.since_injection(self.fault.window_end),
        })
    }

    /// `None` when it was asked for before it had been seen to be unavailable for as long.
    pub(super) fn unasked(
        &self,
        clients: &OfPartition,
        row: &PartitionRecovery,
    ) -> Option<Unasked> {
        let first = longest_responses(clients, self.position).first_due?;
        let seconds = self.since_injection(first);
        (seconds > row.unavailable_s).then(|| Unasked {
            fault: row.fault.clone(),
            stream: row.stream,
            led: row.led,
            partition: format!("{}-{}", row.topic, row.partition),
            seconds,
        })
    }
}

#[cfg(test)]
mod tests {
    use crate::fixture::{self, PROBE, TOPIC, at, three_faults};
    use crate::judge::figures::Figures;
    use crate::judge::recovery::{StreamKind, measure};
    use crate::judge::timeline::Timeline;
    use crate::record::event::EventKind;
    use crate::record::history::Entry;

    #[test]
    fn what_was_never_asked_in_a_window_was_unasked_all_of_it_unless_it_was_added_since() {
        let mut f = three_faults(1);
        // A partition is added at 60 s, after two of the faults.
        f.state(60.0, TOPIC, 3, 1, &[1, 2, 3]);
        for event in &mut f.events {
            if let EventKind::PartitionState { partition: 3, leader_epoch, .. } = &mut event.kind {
                *leader_epoch = 0;
            }
        }
        let mut trial = f.trial();
        fixture::change(&mut trial, |history| {
            for entry in &mut history.streams[0].entries {
                if let Entry::Send(send) = entry
                    && send.partition == 2
                    && send.due > at(82.0)
                {
                    send.partition = 3;
                }
            }
            let probe = history.streams.iter_mut().find(|it| it.header.topic == PROBE).unwrap();
            probe.entries.retain(|entry| match entry {
                Entry::Send(send) => {
                    send.partition != 1 || !(at(50.0)..at(80.0)).contains(&send.due)
                }
                _ => true,
            });
        });
        let timeline = Timeline::new(&trial.events);
        let figures = Figures::of(&*trial.history, &timeline, 150.0).unwrap();
        let environment = trial.environment.as_ref().unwrap();
        let found = measure(1, environment, &timeline, &figures.service, true).unasked;
        let probe: Vec<_> = found.iter().filter(|it| it.stream == StreamKind::Probe).collect();
        assert_eq!(probe.len(), 1, "{found:?}");
        assert_eq!((&*probe[0].fault, probe[0].led), ("leader", Some(true)));
        assert!((probe[0].seconds - 30.0).abs() < 1.01, "{probe:?}");
        assert!(found.iter().all(|it| it.partition != format!("{TOPIC}-3")), "{found:?}");
    }
}
