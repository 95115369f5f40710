//! How long the load may take until every partition has been written and read.

use std::time::Duration;

use super::Trial;

/// Limit for the group's assignment and a first acked record: Kafka's own initial rebalance delay
/// is 3 s, creating the offsets topic takes about as long on a busy machine.
pub(super) const WARM_LIMIT: Duration = Duration::from_secs(60);

/// What each partition adds: it has its turn, and is asked for and assigned by itself.
const WARM_EACH: Duration = Duration::from_millis(10);

impl Trial {
    /// Records a second that the main load asks for.
    pub(super) fn per_second(&self) -> u64 {
        let brokers = self.spec.cluster.brokers().len() as u32;
        self.spec.workload.load.most_per_s(brokers)
    }

    /// Limit for every partition to have been written and read once.
    pub(super) fn warm_limit(&self) -> Duration {
        let topics = self.spec.written_topics().into_iter();
        let topics = topics.filter_map(|place| self.spec.cluster.topic.get(place));
        let partitions: usize = topics.map(|topic| topic.assignment.len()).sum();
        let turn =
            Duration::from_secs(1) / u32::try_from(self.per_second().max(1)).unwrap_or(u32::MAX);
        let each = WARM_EACH.saturating_add(turn);
        WARM_LIMIT
            .saturating_add(each.saturating_mul(u32::try_from(partitions).unwrap_or(u32::MAX)))
    }
}
