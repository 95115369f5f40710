//! Whom consumers fetch from, with `client.rack` and without, and what brokers answer who are asked directly.
//!
//! A leader tells a consumer with a rack of a nearer replica where `replica.selector.class` is set (KIP-392). A follower
//! answers a consumer that asks it by a version that has a rack; nobody but a leader sends one there.

use kafka_protocol::messages::fetch_request::{FetchPartition, FetchTopic};
use kafka_protocol::messages::{BrokerId as WireBroker, FetchRequest};
use kafka_protocol::protocol::StrBytes;
use results::record::event::BrokerId;
use results::record::event::probe::{ClusterProbe, ConsumerSeen, FetchSeen, FetchesSeen, ProbeSaw};

use super::{Probes, Saw, aside};
use crate::admin::topic_name;

/// The last version of Fetch without a rack, and the first with one.
const VERSIONS: [i16; 2] = [10, 11];

/// The rack of a consumer that has one. Brokers of the lab have none of their own.
const RACK: &str = "kbench";

/// Bytes asked for.
const MOST_BYTES: i32 = 1 << 20;

/// Milliseconds that a broker may wait until it has a byte.
const WAIT_MS: i32 = 500;

impl Probes<'_> {
    pub(super) async fn fetch(&self, probe: ClusterProbe) -> Saw {
        let topic = self.topic(probe, 1).await?;
        let leader = *self.leaders(&topic).await?.get(&0).ok_or("the topic has no leader")?;
        let client = self.client(topic.clone());
        aside(move || client.write_and_read(0, b"to be fetched")).await?;
        let mut answers = vec![];
        for broker in self.lab.members.brokers().into_keys() {
            for (version, rack) in [(VERSIONS[0], ""), (VERSIONS[1], ""), (VERSIONS[1], RACK)] {
                answers.push(self.fetched(&topic, broker, version, rack).await?);
            }
        }
        let mut consumers = vec![];
        for rack in [None, Some(RACK)] {
            let client = self.client(topic.clone());
            let read = aside(move || client.read(0, rack)).await?;
            let rack = rack.map(str::to_owned);
            let (records, fetches) = (read.records, read.fetches);
            consumers.push(ConsumerSeen { rack, records, fetches });
        }
        let seen = FetchesSeen { topic, partition: 0, leader, answers, consumers };
        Ok(ProbeSaw::Fetched(seen))
    }

    /// Asks one broker for the partition, as a consumer.
    async fn fetched(
        &self,
        topic: &str,
        broker: BrokerId,
        version: i16,
        rack: &'static str,
    ) -> Result<FetchSeen, String> {
        let wanted = FetchPartition::default()
            .with_partition(0)
            .with_fetch_offset(0)
            .with_partition_max_bytes(MOST_BYTES);
        let topic =
            FetchTopic::default().with_topic(topic_name(topic)).with_partitions(vec![wanted]);
        let request = FetchRequest::default()
            // A consumer, and no replica.
            .with_replica_id(WireBroker(-1))
            .with_max_bytes(MOST_BYTES)
            .with_max_wait_ms(WAIT_MS)
            .with_min_bytes(1)
            .with_rack_id(StrBytes::from_static_str(rack))
            .with_topics(vec![topic]);
        let answer = self.lab.admin.ask(broker, version, &request).await;
        let answer = answer.map_err(|error| format!("broker {broker} did not answer: {error}"))?;
        let told = answer.responses.into_iter().flat_map(|topic| topic.partitions).next();
        let told = told.ok_or_else(|| format!("broker {broker} answered without the partition"))?;
        Ok(FetchSeen {
            broker,
            version,
            rack: rack.to_owned(),
            error_code: told.error_code,
            bytes: told.records.map_or(0, |records| records.len() as u64),
            preferred_replica: told.preferred_read_replica.0,
        })
    }
}
