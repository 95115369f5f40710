//! Topics, leadership and settings, through the brokers' own protocol.
//!
//! Requests that change the cluster go to its controller. Everything that changes something waits
//! until the change is visible, within a limit.

mod batches;
mod configs;
mod controller;
mod groups;
mod leaders;
mod others;
mod placement;
mod producers;
mod rights;
mod throttle;
mod topics;

use std::collections::BTreeSet;
use std::io;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use faults::port::{ErrorKind, PortError};
use kafka_protocol::messages::MetadataResponse;
use kafka_protocol::protocol::{Request, StrBytes};
use results::record::event::BrokerId;

use crate::membership::Membership;
use crate::wire;

pub use batches::Batches;
pub use rights::MissingRights;
pub use topics::{NewTopic, TopicsMade};
pub(crate) use workloads::wire::{METADATA_VERSION, metadata_request, topic_name};

/// Limit that a broker is given for a request. Creating a topic takes about 0.2 s on a busy machine.
const CALL_LIMIT: Duration = Duration::from_secs(10);

/// Limit for its answer: later, so that it can say itself what did not come about in time.
const ANSWER_LIMIT: Duration = Duration::from_secs(15);

/// Limit for a change to become visible on every broker.
const VISIBLE_LIMIT: Duration = Duration::from_secs(30);

/// How much longer both may take for each partition that is changed: a busy machine of two cores made some hundred in a
/// second.
const PER_PARTITION: Duration = Duration::from_millis(20);

/// How often visibility is looked at.
const LOOK: Duration = Duration::from_millis(20);

/// Asks brokers for changes.
#[derive(Debug, Clone)]
pub struct Admin {
    members: Arc<Membership>,
    /// Brokers that are not asked, and not waited for.
    left_out: Arc<RwLock<BTreeSet<BrokerId>>>,
}

impl Admin {
    /// For a cluster of these members.
    pub fn new(members: Arc<Membership>) -> Self {
        Self { members, left_out: Arc::default() }
    }

    /// For the same cluster, with brokers of its own that it leaves out.
    pub fn apart(&self) -> Self {
        Self::new(Arc::clone(&self.members))
    }

    /// Asks these brokers for nothing, and does not wait for them, from now on.
    pub fn leave_out(&self, brokers: BTreeSet<BrokerId>) {
        *self.left_out.write().unwrap_or_else(PoisonError::into_inner) = brokers;
    }

    /// The brokers that it leaves out.
    pub fn left_out(&self) -> BTreeSet<BrokerId> {
        self.left_out.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Ids of the brokers that belong to the cluster now and are asked.
    pub fn brokers(&self) -> Vec<BrokerId> {
        let left_out = self.left_out();
        let all = self.members.brokers().into_keys();
        all.filter(|broker| !left_out.contains(broker)).collect()
    }

    /// Asks one broker.
    pub(crate) async fn ask<R: Request>(
        &self,
        broker: BrokerId,
        version: i16,
        request: &R,
    ) -> io::Result<R::Response> {
        self.ask_within(broker, version, request, ANSWER_LIMIT).await
    }

    async fn ask_within<R: Request>(
        &self,
        broker: BrokerId,
        version: i16,
        request: &R,
        limit: Duration,
    ) -> io::Result<R::Response> {
        let brokers = self.members.brokers();
        let address = brokers
            .get(&broker)
            .ok_or_else(|| io::Error::other(format!("there is no broker {broker}")))?;
        let mut connection = wire::connect(self.members.connector(), *address, CALL_LIMIT).await?;
        connection.call(version, request, limit).await
    }

    /// A broker's metadata of some topics.
    pub(crate) async fn metadata(
        &self,
        broker: BrokerId,
        topics: &[&str],
    ) -> io::Result<MetadataResponse> {
        self.ask(broker, METADATA_VERSION, &metadata_request(topics)).await
    }
}

/// A limit that grows with the number of partitions that it is for.
fn for_many(limit: Duration, partitions: usize) -> Duration {
    limit
        .saturating_add(PER_PARTITION.saturating_mul(u32::try_from(partitions).unwrap_or(u32::MAX)))
}

/// What an error code of the protocol says, as a result.
fn check(what: impl Into<String>, code: i16, message: Option<&StrBytes>) -> Result<(), PortError> {
    match kafka_protocol::ResponseError::try_from_code(code) {
        None => Ok(()),
        Some(error) => {
            let message = message.map_or_else(String::new, |text| format!(": {}", text.as_str()));
            let what = format!("{}: {error}{message}", what.into());
            Err(PortError::new(ErrorKind::Refused, what))
        }
    }
}
