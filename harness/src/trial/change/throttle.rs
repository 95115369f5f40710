//! The throttle of a move, on every broker that may send or get what moves. A broker takes its own alone, so that one that
//! a fault is on has none, and one that a fault strikes later keeps it until it is back.

use std::collections::BTreeSet;
use std::time::Duration;

use faults::port::{Assignment, ErrorKind, PortError};
use faults::until;

use super::{Changing, LOOK, STEADY_LIMIT};

/// Limit for it to be known of a broker that it does not answer because a fault is on it.
const STRUCK_LIMIT: Duration = Duration::from_secs(5);

impl Changing<'_> {
    /// Throttles a move to these replicas to so many bytes a second and broker.
    pub(super) async fn throttle(
        &self,
        to: &Assignment,
        bytes_per_s: u64,
    ) -> Result<(), PortError> {
        let mut done = BTreeSet::new();
        let all = until(STRUCK_LIMIT, LOOK, async || {
            for broker in self.admin.brokers() {
                if !done.contains(&broker) {
                    // What answers nothing may have taken it.
                    self.throttled.borrow_mut().insert(broker);
                    self.admin.throttle_broker(broker, Some(bytes_per_s)).await?;
                    done.insert(broker);
                }
            }
            Ok::<_, PortError>(())
        });
        all.await?;
        self.admin.throttle_replicas(to).await
    }

    /// Takes the throttle away again, which may have to wait for a fault to be healed.
    pub(super) async fn unthrottle(&self, moved: &Assignment) -> Result<(), PortError> {
        // None is in force from here on, whatever the brokers' rates are.
        self.admin.unthrottle_replicas(moved).await?;
        until(STEADY_LIMIT, LOOK, async || {
            let mut left = Ok(());
            // Whoever is asked when this is dropped stays among them.
            let throttled = self.throttled.borrow().clone();
            for broker in throttled {
                let taken = match self.admin.brokers().contains(&broker) {
                    true => self.admin.throttle_broker(broker, None).await,
                    false => Err(PortError::new(ErrorKind::TimedOut, "a fault is on it")),
                };
                match taken {
                    Ok(()) => drop(self.throttled.borrow_mut().remove(&broker)),
                    Err(error) => {
                        let what = format!("broker {broker} still has its throttle");
                        left = Err(error.context(what));
                    }
                }
            }
            left
        })
        .await
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
            bytes += self.admin.log_bytes(topic).await?.values().sum::<u64>();
        }
        let takes = Duration::try_from_secs_f64(2.0 * bytes as f64 / bytes_per_s.max(1) as f64);
        Ok(STEADY_LIMIT.saturating_add(takes.unwrap_or(Duration::MAX)))
    }
}
