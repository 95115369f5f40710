//! A Produce request to brokers that do not lead, which no client sends: what they answer, and what becomes of it.

use std::time::{SystemTime, UNIX_EPOCH};

use bytes::{Bytes, BytesMut};
use kafka_protocol::messages::ProduceRequest;
use kafka_protocol::messages::produce_request::{PartitionProduceData, TopicProduceData};
use kafka_protocol::records::{
    Compression, NO_PARTITION_LEADER_EPOCH, NO_PRODUCER_EPOCH, NO_PRODUCER_ID, NO_SEQUENCE, Record,
    RecordBatchEncoder, RecordEncodeOptions, TimestampType,
};
use results::record::event::BrokerId;
use results::record::event::probe::{ClusterProbe, ProbeSaw, ProduceSeen};

use super::{Probes, REQUEST_LIMIT, Saw};
use crate::admin::topic_name;

/// Version of Produce that is used: understood by every Kafka from 1.0 to 3.9.
const VERSION: i16 = 7;

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
        let request = request(topic, partition)?;
        let answer = self.lab.admin.ask(broker, VERSION, &request).await;
        let answer = answer.map_err(|error| format!("broker {broker} did not answer: {error}"))?;
        let mut told = answer.responses.iter().flat_map(|topic| &topic.partition_responses);
        let told = told.find(|told| told.index == partition);
        told.map(|told| told.error_code)
            .ok_or_else(|| format!("broker {broker} answered without partition {partition}"))
    }
}

fn request(topic: &str, partition: i32) -> Result<ProduceRequest, String> {
    let since_1970 = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let record = Record {
        transactional: false,
        control: false,
        delete_horizon: false,
        partition_leader_epoch: NO_PARTITION_LEADER_EPOCH,
        producer_id: NO_PRODUCER_ID,
        producer_epoch: NO_PRODUCER_EPOCH,
        timestamp_type: TimestampType::Creation,
        offset: 0,
        sequence: NO_SEQUENCE,
        timestamp: since_1970.as_millis() as i64,
        key: None,
        value: Some(Bytes::from_static(b"kbench")),
        headers: Default::default(),
    };
    let options = RecordEncodeOptions { version: 2, compression: Compression::None };
    let mut batch = BytesMut::new();
    RecordBatchEncoder::encode(&mut batch, [&record], &options).map_err(|it| it.to_string())?;
    let data =
        PartitionProduceData::default().with_index(partition).with_records(Some(batch.freeze()));
    let topic =
        TopicProduceData::default().with_name(topic_name(topic)).with_partition_data(vec![data]);
    Ok(ProduceRequest::default()
        .with_acks(-1)
        .with_timeout_ms(REQUEST_LIMIT.as_millis() as i32)
        .with_topic_data(vec![topic]))
}
