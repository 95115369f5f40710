//! What one client of librdkafka by itself does on a cluster: it writes a record and reads it back, places keys, or
//! reads a partition and says whom it fetched from. It has librdkafka's defaults but for limits, and its history is
//! its answer: nothing of it is in the load's.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use rdkafka::client::ClientContext;
use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerContext};
use rdkafka::error::{KafkaError, KafkaResult, RDKafkaErrorCode};
use rdkafka::message::Message as _;
use rdkafka::producer::{BaseProducer, BaseRecord, DeliveryResult, Producer as _, ProducerContext};
use rdkafka::{Offset, TopicPartitionList};
use serde::Deserialize;

use crate::security::Security;
use crate::settings::{self, ClientSettings};

/// Limit for all that one client does: librdkafka finds a leader within a second or two.
const LIMIT: Duration = Duration::from_secs(15);

/// Longest wait for what the client says next.
const POLL: Duration = Duration::from_millis(50);

/// Milliseconds between two statistics of a reader.
const STATISTICS_MS: &str = "200";

/// A client that is made for one question, and where it asks.
#[derive(Debug, Clone)]
pub struct OneClient {
    /// Addresses of brokers.
    pub bootstrap: String,
    /// How they are connected to.
    pub security: Security,
    /// The topic.
    pub topic: String,
}

/// What a reader got of a partition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PartitionRead {
    /// Records from the start of the log to its end.
    pub records: u64,
    /// Fetch requests to each broker, by the client's statistics.
    pub fetches: BTreeMap<i32, u64>,
}

impl OneClient {
    /// Writes a record with acks=all and reads it back with another client of the same addresses.
    ///
    /// # Errors
    /// When either does not come about within 15 s, or a client cannot be made.
    pub fn write_and_read(&self, partition: i32, value: &[u8]) -> KafkaResult<()> {
        let record = |slot| {
            BaseRecord::with_opaque_to(&self.topic, slot).partition(partition).payload(value)
        };
        let placed = self.send(None, 1, |slot| record(slot).key("kbench"))?;
        let offset = placed.first().map_or(0, |(_, offset)| *offset);
        let consumer: BaseConsumer = self.reader("written-and-read", None).create()?;
        self.assign(&consumer, partition, Offset::Offset(offset))?;
        let deadline = Instant::now() + LIMIT;
        while Instant::now() < deadline {
            match consumer.poll(POLL) {
                Some(Ok(read)) if read.offset() == offset && read.payload() == Some(value) => {
                    return Ok(());
                }
                Some(Ok(_)) => {
                    return Err(KafkaError::MessageConsumption(RDKafkaErrorCode::BadMessage));
                }
                Some(Err(error)) if !passes(&error) => return Err(error),
                _ => {}
            }
        }
        Err(late())
    }

    /// Sends a record of each key by a new producer; the partition of each, in order. Without a partitioner it is
    /// librdkafka's default.
    ///
    /// # Errors
    /// When a record is not acked within 15 s, or there is no such partitioner.
    pub fn place(&self, partitioner: Option<&str>, keys: &[String]) -> KafkaResult<Vec<i32>> {
        let record =
            |slot: usize| BaseRecord::with_opaque_to(&self.topic, slot).payload(&b"kbench"[..]);
        let placed =
            self.send(partitioner, keys.len(), |slot| record(slot).key(keys[slot].as_str()))?;
        Ok(placed.into_iter().map(|(partition, _)| partition).collect())
    }

    /// Reads a partition to its end, with `client.rack` where one is given.
    ///
    /// # Errors
    /// When the end does not come within 15 s.
    pub fn read(&self, partition: i32, rack: Option<&str>) -> KafkaResult<PartitionRead> {
        let consumer: BaseConsumer<Fetches> =
            self.reader("read", rack).create_with_context(Fetches::default())?;
        self.assign(&consumer, partition, Offset::Beginning)?;
        let (mut records, mut ended) = (0, None);
        let deadline = Instant::now() + LIMIT;
        while Instant::now() < deadline {
            match consumer.poll(POLL) {
                Some(Ok(_)) => records += 1,
                Some(Err(KafkaError::PartitionEOF(_))) => {
                    ended.get_or_insert(consumer.context().told());
                }
                Some(Err(error)) if !passes(&error) => return Err(error),
                _ => {}
            }
            // Those that were written before the end may lack the last requests.
            let (times, fetches) = consumer.context().told();
            if ended.as_ref().is_some_and(|(before, _)| times > before + 1) {
                return Ok(PartitionRead { records, fetches });
            }
        }
        Err(late())
    }

    fn settings(&self) -> ClientSettings {
        ClientSettings::from([("bootstrap.servers".into(), self.bootstrap.clone())])
    }

    fn reader(&self, group: &str, rack: Option<&str>) -> rdkafka::ClientConfig {
        let mut reader = settings::reader(&self.bootstrap, &format!("kbench-{group}"));
        reader.insert("enable.partition.eof".into(), "true".into());
        reader.insert("statistics.interval.ms".into(), STATISTICS_MS.into());
        reader.extend(rack.map(|rack| ("client.rack".to_owned(), rack.to_owned())));
        settings::config(&reader, "one", &self.security)
    }

    fn assign<C: ConsumerContext>(
        &self,
        consumer: &BaseConsumer<C>,
        partition: i32,
        from: Offset,
    ) -> KafkaResult<()> {
        let mut wanted = TopicPartitionList::new();
        wanted.add_partition_offset(&self.topic, partition, from)?;
        consumer.assign(&wanted)
    }

    /// Sends so many records; partition and offset of each.
    fn send<'a>(
        &'a self,
        partitioner: Option<&str>,
        records: usize,
        record: impl Fn(usize) -> BaseRecord<'a, str, [u8], usize>,
    ) -> KafkaResult<Vec<(i32, i64)>> {
        let mut settings = self.settings();
        settings.insert("message.timeout.ms".into(), LIMIT.as_millis().to_string());
        settings.extend(partitioner.map(|name| ("partitioner".to_owned(), name.to_owned())));
        let config = settings::config(&settings, "one", &self.security);
        let producer: BaseProducer<Reports> = config.create_with_context(Reports::default())?;
        for slot in 0..records {
            producer.send(record(slot)).map_err(|(error, _)| error)?;
        }
        producer.flush(LIMIT)?;
        let mut reports = producer.context().0.lock().unwrap_or_else(PoisonError::into_inner);
        (0..records).map(|slot| reports.remove(&slot).unwrap_or_else(|| Err(late()))).collect()
    }
}

/// What did not come in time.
fn late() -> KafkaError {
    KafkaError::MessageConsumption(RDKafkaErrorCode::OperationTimedOut)
}

/// Whether a consumer goes on after an error by itself: a broker of several that is not reached, say.
fn passes(error: &KafkaError) -> bool {
    use RDKafkaErrorCode as E;
    matches!(error, KafkaError::PartitionEOF(_))
        || matches!(
            error.rdkafka_error_code(),
            Some(E::BrokerTransportFailure | E::AllBrokersDown | E::Resolve | E::OperationTimedOut)
        )
}

/// Partition and offset of each record, by its slot.
#[derive(Default)]
struct Reports(Mutex<BTreeMap<usize, KafkaResult<(i32, i64)>>>);

impl ClientContext for Reports {}

impl ProducerContext for Reports {
    type DeliveryOpaque = usize;

    fn delivery(&self, report: &DeliveryResult<'_>, slot: usize) {
        let placed = match report {
            Ok(record) => Ok((record.partition(), record.offset())),
            Err((error, _)) => Err(error.clone()),
        };
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(slot, placed);
    }
}

/// How often statistics came, and the Fetch requests to each broker in the last of them.
#[derive(Default)]
struct Fetches(Mutex<(u64, BTreeMap<i32, u64>)>);

impl Fetches {
    fn told(&self) -> (u64, BTreeMap<i32, u64>) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl ClientContext for Fetches {
    fn stats_raw(&self, statistics: &[u8]) {
        match fetches(statistics) {
            Ok(fetches) => {
                let mut told = self.0.lock().unwrap_or_else(PoisonError::into_inner);
                *told = (told.0 + 1, fetches);
            }
            Err(error) => tracing::warn!(%error, "librdkafka's statistics"),
        }
    }
}

impl ConsumerContext for Fetches {}

/// What is read of librdkafka's statistics (its STATISTICS.md).
#[derive(Deserialize)]
struct Requests {
    brokers: BTreeMap<String, RequestsOfBroker>,
}

#[derive(Deserialize)]
struct RequestsOfBroker {
    nodeid: i32,
    /// By the name of the request.
    req: BTreeMap<String, u64>,
}

/// The Fetch requests to each broker; an address that no broker is known to have (-1) is nobody's.
fn fetches(statistics: &[u8]) -> serde_json::Result<BTreeMap<i32, u64>> {
    let of: Requests = serde_json::from_slice(statistics)?;
    let known = of.brokers.into_values().filter(|broker| broker.nodeid >= 0);
    Ok(known.map(|it| (it.nodeid, it.req.get("Fetch").copied().unwrap_or(0))).collect())
}

#[cfg(test)]
mod tests {
    use rdkafka::mocking::MockCluster;

    use super::*;

    fn on_mock(
        partitions: i32,
    ) -> (MockCluster<'static, rdkafka::producer::DefaultProducerContext>, OneClient) {
        let cluster = MockCluster::new(3).unwrap();
        cluster.create_topic("t", partitions, 3).unwrap();
        let (bootstrap, security) = (cluster.bootstrap_servers(), Security::default());
        (cluster, OneClient { bootstrap, security, topic: "t".to_owned() })
    }

    #[test]
    fn statistics_tell_whom_a_client_fetched_from() {
        let text = r#"{"name": "x", "brokers": {
            "a:1/bootstrap": {"nodeid": -1, "req": {"Fetch": 9}},
            "a:1/1": {"nodeid": 1, "req": {"Fetch": 4, "Metadata": 2}},
            "a:2/2": {"nodeid": 2, "req": {"Metadata": 2}}}}"#;
        assert_eq!(fetches(text.as_bytes()).unwrap(), BTreeMap::from([(1, 4), (2, 0)]));
        assert!(fetches(b"{}").is_err(), "without brokers nothing is known");
    }

    #[test]
    fn a_record_comes_back_and_a_reader_says_whom_it_asked() {
        let (_cluster, client) = on_mock(1);
        client.write_and_read(0, b"hello").unwrap();
        let read = client.read(0, None).unwrap();
        assert_eq!(read.records, 1);
        assert!(read.fetches.values().sum::<u64>() > 0, "{read:?}");
    }

    /// The partitions by Java's default partitioner: `murmur2` of the key without its sign, modulo their number. The
    /// hashes are those of `UtilsTest.testMurmur2` in Kafka's source.
    #[test]
    fn librdkafka_s_murmur2_is_java_s_and_its_default_is_another() {
        let (_cluster, client) = on_mock(5);
        let known = [("21", -973_932_308_i32), ("foobar", -790_332_482), ("abc", 479_470_107)];
        let keys: Vec<_> = known.iter().map(|(key, _)| (*key).to_owned()).collect();
        let java: Vec<_> = known.iter().map(|(_, hash)| (hash & i32::MAX) % 5).collect();
        assert_eq!(client.place(Some("murmur2_random"), &keys).unwrap(), java);
        let crc32: Vec<_> = keys.iter().map(|key| (crc32(key.as_bytes()) % 5) as i32).collect();
        assert_eq!(client.place(None, &keys).unwrap(), crc32);
        assert_ne!(crc32, java);
    }

    /// CRC-32 (IEEE), bit by bit.
    fn crc32(bytes: &[u8]) -> u32 {
        let step = |crc: u32, _| if crc & 1 == 1 { (crc >> 1) ^ 0xedb8_8320 } else { crc >> 1 };
        !bytes.iter().fold(u32::MAX, |crc, byte| (0..8).fold(crc ^ u32::from(*byte), step))
    }
}
