//! A Produce request to brokers that do not lead, which no client sends: what they answer, and what becomes of it.

use bytes::Bytes;
use results::record::event::BrokerId;
use results::record::event::probe::{ClusterProbe, ProbeSaw, ProduceSeen};
use workloads::wire::{PRODUCE_VERSION, produce_request};

use super::{Probes, REQUEST_LIMIT, Saw};

/// What a request says that waits for all in-sync replicas.
const ACKS_ALL: i16 = -1;

impl Probes<'_> {
    /// Sends one record of each partition to each broker, the leader last.
    pub(super) async fn produce(&self, probe: ClusterProbe) -> Saw {
        let topic = self.topic(probe, self.lab.members.brokers().len()).await?;
        let mut seen = vec![];
        for (partition, leader) in self.leaders(&topic).await? {
            let mut brokers: Vec<BrokerId> = self.lab.members.brokers().into_keys().collect();
            brokers.sort_by_key(|broker| *broker == leader);
            for asked in brokers {
                let before = self.log_end(&topic, partition).await?;
                let error_code = self.append(&topic, partition, asked).await?;
                let log_end = [before, self.log_end(&topic, partition).await?];
                let topic = topic.clone();
                seen.push(ProduceSeen { topic, partition, leader, asked, error_code, log_end });
            }
        }
        Ok(ProbeSaw::Produced(seen))
    }

    /// Asks a broker to append a record, and to answer when all in-sync replicas have it; the error in its answer.
    async fn append(&self, topic: &str, partition: i32, broker: BrokerId) -> Result<i16, String> {
        let value = Bytes::from_static(b"kbench");
        let request = produce_request((topic, partition), None, value, ACKS_ALL, REQUEST_LIMIT)
            .ok_or("a record cannot be written down")?;
        let answer = self.lab.admin.ask(broker, PRODUCE_VERSION, &request).await;
        let answer = answer.map_err(|error| format!("broker {broker} did not answer: {error}"))?;
        let mut told = answer.responses.iter().flat_map(|topic| &topic.partition_responses);
        let told = told.find(|told| told.index == partition);
        told.map(|told| told.error_code)
            .ok_or_else(|| format!("broker {broker} answered without partition {partition}"))
    }
}
