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
    pub(crate) seconds: f64,
}

impl FaultOnPartition<'_> {
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
