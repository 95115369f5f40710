//! The throttle of a move, on every broker that no fault is on: a broker takes its own alone.

use std::collections::BTreeSet;
use std::time::Duration;

use faults::port::{Assignment, PortError};

use super::{Changing, STEADY_LIMIT};

impl Changing<'_> {
    /// Throttles a move to these replicas to so many bytes a second and broker.
    pub(super) async fn throttle(
        &self,
        to: &Assignment,
        bytes_per_s: u64,
    ) -> Result<(), PortError> {
        self.set_rates(Some(bytes_per_s)).await?;
        self.admin.throttle_replicas(to).await
    }

    /// Takes the throttle away again. A broker that a fault is on keeps its rate, which throttles no replica any more.
    pub(super) async fn unthrottle(&self, moved: &Assignment) -> Result<(), PortError> {
        self.admin.unthrottle_replicas(moved).await?;
        self.set_rates(None).await
    }

    async fn set_rates(&self, bytes_per_s: Option<u64>) -> Result<(), PortError> {
        for broker in self.admin.brokers() {
            match self.admin.throttle_broker(broker, bytes_per_s).await {
                Err(_) if !self.admin.brokers().contains(&broker) => {}
                set => set?,
            }
        }
        Ok(())
    }

    /// Limit for a throttled move: all that there is could go to one broker, and more comes meanwhile.
    pub(super) async fn throttled_limit(
        &self,
        to: &Assignment,
        bytes_per_s: u64,
    ) -> Result<Duration, PortError> {
        let topics: BTreeSet<&String> = to.keys().map(|(topic, _)| topic).collect();
        let mut bytes = 0;
        for topic in topics {
            let told = match self.admin.log_bytes(topic).await {
                Ok(told) => told,
                // A broker that a fault has struck meanwhile is not asked again.
                Err(_) => self.admin.log_bytes(topic).await?,
            };
            bytes += told.values().sum::<u64>();
        }
        let takes = Duration::try_from_secs_f64(2.0 * bytes as f64 / bytes_per_s.max(1) as f64);
        Ok(STEADY_LIMIT.saturating_add(takes.unwrap_or(Duration::MAX)))
    }
}
