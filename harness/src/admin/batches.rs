//! Who wrote the batches of a topic's log, by their headers: the consumer library does not tell.

use std::io;
use std::ops::Range;

use bytes::{Buf, Bytes};
use faults::port::{ErrorKind, PortError};
use kafka_protocol::ResponseError;
use kafka_protocol::messages::fetch_request::{FetchPartition, FetchTopic};
use kafka_protocol::messages::{BrokerId as WireBroker, FetchRequest};
use kafka_protocol::records::RecordBatchDecoder;
use results::record::history::ProducerEpoch;

use super::{ANSWER_LIMIT, Admin, CALL_LIMIT, topic_name};
use crate::wire::{self, Connection};

/// Version of Fetch that is used: the last one but one with names of topics, known since Kafka 2.3.
const VERSION: i16 = 11;

/// Bytes asked for at once: far below what an answer may have.
const CHUNK: i32 = 8 << 20;

/// Base offset and length: what comes before the bytes that the length counts.
const PREAMBLE: usize = 12;

/// Successive batches that a producer wrote in one epoch: from the first offset, before the end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Batches {
    /// Offset of the first record.
    pub first: i64,
    /// Offset after the last record.
    pub end: i64,
    /// Who wrote them.
    pub epoch: ProducerEpoch,
}

impl Admin {
    /// The batches of a partition in these offsets, for as long as `goes_on`.
    ///
    /// # Errors
    /// When no broker leads the partition, or it does not answer.
    pub async fn batches(
        &self,
        topic: &str,
        partition: i32,
        offsets: Range<i64>,
        goes_on: &dyn Fn() -> bool,
    ) -> Result<Vec<Batches>, PortError> {
        let failed = |error: io::Error| PortError::io(format!("read {topic}-{partition}"), error);
        let mut connection = self.leader(topic, partition).await?;
        let mut batches = vec![];
        let mut from = offsets.start;
        while from < offsets.end && goes_on() {
            let records = fetch(&mut connection, topic, partition, from).await.map_err(failed)?;
            if !append(&mut batches, records).map_err(failed)? {
                break;
            }
            from = batches.last().map_or(from, |run: &Batches| run.end);
        }
        Ok(batches)
    }

    /// A connection to the leader of a partition, by the controller's word.
    async fn leader(&self, topic: &str, partition: i32) -> Result<Connection, PortError> {
        let what = || format!("the leader of {topic}-{partition}");
        let controller = self.controller().await?;
        let metadata = self.metadata(controller, &[topic]).await;
        let metadata = metadata.map_err(|error| PortError::io(what(), error))?;
        let mut partitions = metadata.topics.iter().flat_map(|topic| &topic.partitions);
        let led = partitions.find(|led| led.partition_index == partition);
        let address = led.and_then(|led| self.members.brokers().remove(&led.leader_id.0));
        let none = || PortError::new(ErrorKind::Gone, format!("{}: there is none", what()));
        let address = address.ok_or_else(none)?;
        let connection = wire::connect(self.members.connector(), address, CALL_LIMIT).await;
        connection.map_err(|error| PortError::io(what(), error))
    }
}

async fn fetch(
    connection: &mut Connection,
    topic: &str,
    partition: i32,
    from: i64,
) -> io::Result<Bytes> {
    let wanted = FetchPartition::default()
        .with_partition(partition)
        .with_fetch_offset(from)
        .with_partition_max_bytes(CHUNK);
    let topic = FetchTopic::default().with_topic(topic_name(topic)).with_partitions(vec![wanted]);
    let request = FetchRequest::default()
        // A consumer, and no replica.
        .with_replica_id(WireBroker(-1))
        .with_max_bytes(CHUNK)
        .with_topics(vec![topic]);
    let answer = connection.call(VERSION, &request, ANSWER_LIMIT).await?;
    let of_partition = answer.responses.into_iter().flat_map(|topic| topic.partitions).next();
    let data = of_partition.ok_or_else(|| io::Error::other("an answer without the partition"))?;
    match ResponseError::try_from_code(data.error_code) {
        None => Ok(data.records.unwrap_or_default()),
        Some(error) => Err(io::Error::other(error)),
    }
}

/// Appends the whole batches in `records`, one run for those of one epoch; false when none is new.
///
/// Of a compacted batch only the records that are left are counted: it may be sent again.
fn append(batches: &mut Vec<Batches>, mut records: Bytes) -> io::Result<bool> {
    let whole = whole_batches(&records);
    records.truncate(whole);
    let headers = RecordBatchDecoder::decode_batch_info(&mut records).map_err(io::Error::other)?;
    let reached = batches.last().map_or(0, |run| run.end);
    let new = headers.iter().filter(|header| header.min_offset >= reached);
    for header in new {
        let epoch = ProducerEpoch { id: header.producer_id, epoch: header.producer_epoch };
        let first = header.min_offset;
        let end = first + i64::from(header.record_count);
        match batches.last_mut() {
            Some(last) if last.epoch == epoch && last.end == first => last.end = end,
            _ => batches.push(Batches { first, end, epoch }),
        }
    }
    Ok(batches.last().is_some_and(|run| run.end > reached))
}

/// Length of the whole batches in `records`: a broker cuts what it sends wherever the limit is.
fn whole_batches(records: &[u8]) -> usize {
    let mut whole = 0;
    loop {
        let mut rest = &records[whole..];
        if rest.len() < PREAMBLE {
            return whole;
        }
        rest.advance(size_of::<i64>());
        let Ok(length) = usize::try_from(rest.get_i32()) else { return whole };
        if rest.len() < length {
            return whole;
        }
        whole += PREAMBLE + length;
    }
}

#[cfg(test)]
mod tests {
    use bytes::BytesMut;
    use kafka_protocol::records::{
        Compression, Record, RecordBatchEncoder, RecordEncodeOptions, TimestampType,
    };

    use super::*;

    fn batch(first: i64, count: i64, id: i64, epoch: i16) -> BytesMut {
        let records: Vec<_> = (first..first + count)
            .map(|offset| Record {
                transactional: false,
                control: false,
                delete_horizon: false,
                partition_leader_epoch: 0,
                producer_id: id,
                producer_epoch: epoch,
                timestamp_type: TimestampType::Creation,
                offset,
                sequence: offset as i32,
                timestamp: 0,
                key: None,
                value: Some(Bytes::from_static(b"value")),
                headers: Default::default(),
            })
            .collect();
        let options = RecordEncodeOptions { version: 2, compression: Compression::None };
        let mut bytes = BytesMut::new();
        RecordBatchEncoder::encode(&mut bytes, &records, &options).unwrap();
        bytes
    }

    #[test]
    fn batches_of_one_epoch_are_one_run_and_a_batch_that_is_cut_off_is_left_for_the_next_answer() {
        let run =
            |first, end, id, epoch| Batches { first, end, epoch: ProducerEpoch { id, epoch } };
        let mut log = BytesMut::new();
        for (first, count, id, epoch) in [(0, 2, 7, 0), (2, 3, 7, 0), (5, 1, 7, 1), (6, 4, 8, 0)] {
            log.extend_from_slice(&batch(first, count, id, epoch));
        }
        let all = [run(0, 5, 7, 0), run(5, 6, 7, 1), run(6, 10, 8, 0)];
        let mut batches = vec![];
        assert!(append(&mut batches, log.clone().freeze()).unwrap());
        assert_eq!(batches, all);
        assert!(!append(&mut batches, log.clone().freeze()).unwrap(), "all of it is known");
        assert_eq!(batches, all);
        for cut in 0..log.len() {
            let mut batches = vec![];
            append(&mut batches, Bytes::copy_from_slice(&log[..cut])).unwrap();
            let end = batches.last().map_or(0, |run| run.end);
            assert!([0, 2, 5, 6].contains(&end), "{cut}: {end}");
        }
        assert!(!append(&mut batches, Bytes::new()).unwrap());
    }
}
