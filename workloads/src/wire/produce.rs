//! A Produce request with one record, which is no batch of librdkafka's.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bytes::{Bytes, BytesMut};
use kafka_protocol::messages::ProduceRequest;
use kafka_protocol::messages::produce_request::{PartitionProduceData, TopicProduceData};
use kafka_protocol::records::{
    Compression, NO_PARTITION_LEADER_EPOCH, NO_PRODUCER_EPOCH, NO_PRODUCER_ID, NO_SEQUENCE, Record,
    RecordBatchEncoder, RecordEncodeOptions, TimestampType,
};

use super::topic_name;

/// Version of Produce that is used: understood by every Kafka from 1.0 to 3.9.
pub const PRODUCE_VERSION: i16 = 7;

/// A request to append a record to a partition, answered within `limit` with the acks that are asked for; `None` when the
/// record cannot be written down.
pub fn produce_request(
    (topic, partition): (&str, i32),
    key: Option<Bytes>,
    value: Bytes,
    acks: i16,
    limit: Duration,
) -> Option<ProduceRequest> {
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
        key,
        value: Some(value),
        headers: Default::default(),
    };
    let options = RecordEncodeOptions { version: 2, compression: Compression::None };
    let mut batch = BytesMut::new();
    RecordBatchEncoder::encode(&mut batch, [&record], &options).ok()?;
    let data =
        PartitionProduceData::default().with_index(partition).with_records(Some(batch.freeze()));
    let topic =
        TopicProduceData::default().with_name(topic_name(topic)).with_partition_data(vec![data]);
    let request = ProduceRequest::default()
        .with_acks(acks)
        .with_timeout_ms(limit.as_millis() as i32)
        .with_topic_data(vec![topic]);
    Some(request)
}
