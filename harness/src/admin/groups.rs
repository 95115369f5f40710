//! Consumer groups: who coordinates one.

use std::time::Duration;

use futures::FutureExt;
use futures::future::select_ok;
use kafka_protocol::messages::FindCoordinatorRequest;
use kafka_protocol::protocol::StrBytes;
use results::event::BrokerId;
use tokio::time::timeout;

use super::Admin;

/// Version of FindCoordinator that is used: the last that asks for one group.
const VERSION: i16 = 2;

/// Limit for an answer: any broker that is well knows it in milliseconds.
const LIMIT: Duration = Duration::from_secs(2);

impl Admin {
    /// The broker that coordinates a consumer group, by the word of the broker that answers first;
    /// none when nobody says so in time.
    pub async fn coordinator(&self, group: &str) -> Option<BrokerId> {
        let request = FindCoordinatorRequest::default()
            .with_key(StrBytes::from_string(group.to_owned()))
            .with_key_type(0);
        let one = async |broker: BrokerId| {
            let answer = timeout(LIMIT, self.ask(broker, VERSION, &request)).await.ok()?.ok()?;
            (answer.error_code == 0).then_some(answer.node_id.0)
        };
        let asked = self
            .brokers
            .keys()
            .map(|broker| one(*broker).map(|answer| answer.ok_or(())).boxed_local());
        let asked: Vec<_> = asked.collect();
        if asked.is_empty() {
            return None;
        }
        select_ok(asked).await.ok().map(|(coordinator, _)| coordinator)
    }
}
