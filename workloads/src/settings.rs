//! Every setting that kbench gives librdkafka; whatever is not here is librdkafka's own default.
//!
//! All of them are recorded with the run: a claim's outcome can hang on any of them.

use std::collections::BTreeMap;

use rdkafka::ClientConfig;

use crate::security::Security;
use crate::spec::{Compression, ConsumersSpec, ProducerSpec, RecordBytes};

/// Settings of one client, by librdkafka's names.
pub(crate) type ClientSettings = BTreeMap<String, String>;

/// Longest time in which a record may be delivered: the default of the Java client's
/// `delivery.timeout.ms`, so that a recovery of two minutes is seen as one and not as losses.
const DELIVERY_TIMEOUT_S: u64 = 120;

/// The queue takes this many seconds of load, so that an outage of the whole delivery time-out
/// with room to spare does not fill it.
const QUEUED_S: u64 = DELIVERY_TIMEOUT_S + 30;

/// An idempotent librdkafka (2.12) has at most 5 requests open per partition, and while more is
/// queued its broker threads spin. With 5 ms that happens as soon as an ack takes 25 ms, and on two
/// cores shared with six JVMs the spinning then keeps the acks slow: p50 of 200 ms was measured.
/// With 10 ms the brokers also get half as many requests.
const LINGER_MS: &str = "10";

/// Settings of a producer of at most `rate` records of `bytes` a second.
///
/// - The queue of a producer that sends as fast as it can holds as many records as librdkafka's own, of 64 MiB at
///   most: whatever its size, it is full, and what lies in it grows cold in the CPU's caches.
/// - `message.max.bytes` is as high as the largest record needs, where that is more than librdkafka's default.
/// - `linger.ms`: see [`LINGER_MS`]; written out because it is in every response time.
/// - Retries, back-offs, socket and metadata intervals stay at their defaults: how fast a real
///   client finds the new leader is what is measured.
pub(crate) fn producer(
    spec: &ProducerSpec,
    bootstrap: &str,
    rate: Option<u64>,
    bytes: &RecordBytes,
) -> ClientSettings {
    let due = rate.map_or(0, |rate| rate.saturating_mul(QUEUED_S)).min(MOST_QUEUED);
    let records = due.max(LEAST_QUEUED);
    let mean = bytes.mean().ceil() as u64;
    let kbytes_of = |records: u64| (records * (mean + PER_RECORD)).div_ceil(1024);
    // Room for the fewest records that are queued is made only where it is little.
    let least = rate.map_or(0, |_| kbytes_of(LEAST_QUEUED).min(MOST_UNASKED_KBYTES));
    let kbytes = kbytes_of(due).max(least);
    let largest = bytes.largest() as u64;
    let kbytes = kbytes.max(65_536).max(QUEUED_AT_LEAST * largest / 1024);
    let mut settings = ClientSettings::from([
        ("bootstrap.servers".into(), bootstrap.into()),
        ("acks".into(), spec.acks.number().to_string()),
        ("enable.idempotence".into(), spec.idempotence.to_string()),
        ("compression.type".into(), spec.compression.as_str().into()),
        ("linger.ms".into(), LINGER_MS.into()),
        ("message.timeout.ms".into(), (DELIVERY_TIMEOUT_S * 1000).to_string()),
        ("queue.buffering.max.messages".into(), records.to_string()),
        ("queue.buffering.max.kbytes".into(), kbytes.min(i32::MAX as u64).to_string()),
    ]);
    if spec.compression != Compression::None {
        // How far batches are compressed.
        settings.insert(STATISTICS_INTERVAL.into(), STATISTICS_MS.into());
    }
    if largest + BESIDE_VALUE > MESSAGE_MAX_BYTES {
        let most = largest + BESIDE_VALUE;
        settings.insert("message.max.bytes".into(), most.to_string());
    }
    settings.extend(spec.settings.clone());
    settings
}

/// librdkafka's default of `message.max.bytes`, its highest record with key and framing.
pub(crate) const MESSAGE_MAX_BYTES: u64 = 1_000_000;

/// Bytes of a record's key and framing, generously.
pub const BESIDE_VALUE: u64 = 512;

/// Fewest records that are queued: librdkafka's default.
const LEAST_QUEUED: u64 = 100_000;

/// Most room that is made for records that no outage holds up, in KiB.
const MOST_UNASKED_KBYTES: u64 = 4 << 20;

/// So many of the largest records have room in the queue.
const QUEUED_AT_LEAST: u64 = 4;

/// The setting that says how often a client tells its statistics.
pub(crate) const STATISTICS_INTERVAL: &str = "statistics.interval.ms";

/// Between two statistics of a client.
const STATISTICS_MS: &str = "1000";

/// Most records that librdkafka can be told to queue.
const MOST_QUEUED: u64 = 10_000_000;

/// Bytes of key and bookkeeping that librdkafka counts for each queued record, generously.
const PER_RECORD: u64 = 128;

/// Settings of a member of a group: it commits by itself, and a group without a committed offset
/// begins at the beginning.
pub(crate) fn member(spec: &ConsumersSpec, bootstrap: &str) -> ClientSettings {
    let mut settings = consumer(bootstrap, &spec.group);
    settings.extend(spec.settings.clone());
    settings
}

/// Settings of a consumer that picks its partitions itself and commits nothing; librdkafka wants
/// a group id all the same.
pub(crate) fn reader(bootstrap: &str, group: &str) -> ClientSettings {
    let mut settings = consumer(bootstrap, group);
    settings.insert("isolation.level".into(), "read_uncommitted".into());
    settings
}

fn consumer(bootstrap: &str, group: &str) -> ClientSettings {
    ClientSettings::from([
        ("bootstrap.servers".into(), bootstrap.into()),
        ("group.id".into(), group.into()),
        ("enable.auto.commit".into(), "false".into()),
        ("auto.offset.reset".into(), "earliest".into()),
    ])
}

/// librdkafka's form of `settings`, for a client that calls itself `client`. How it connects is put to them here and
/// nowhere else: `settings` are recorded.
pub(crate) fn config(settings: &ClientSettings, client: &str, security: &Security) -> ClientConfig {
    let mut config = ClientConfig::new();
    for (name, value) in security.librdkafka() {
        config.set(name, value);
    }
    for (name, value) in settings {
        config.set(name, value);
    }
    config.set("client.id", format!("kbench-{client}"));
    config
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::spec::{WorkloadSpec, shipped};

    #[test]
    fn the_queue_holds_two_minutes_of_every_shipped_load_and_a_spec_has_the_last_word() {
        for (name, text) in shipped() {
            let mut spec = WorkloadSpec::parse(text).unwrap();
            let rate = spec.load.rate.total(3);
            let settings = producer(&spec.producer, "b:1", rate, &spec.load.record_bytes);
            let Some(rate) = rate else { continue };
            let number = |key: &str| settings[key].parse::<u64>().unwrap();
            assert!(number("queue.buffering.max.messages") >= rate * 120, "{name}");
            let bytes = rate * 120 * spec.load.record_bytes.mean() as u64;
            assert!(number("queue.buffering.max.kbytes") * 1024 >= bytes, "{name}");
            assert!(config(&settings, "x", &Security::default()).create_native_config().is_ok());
            spec.producer.settings.insert("linger.ms".into(), "0".into());
            let small = producer(&spec.producer, "b:1", Some(rate), &100.into());
            assert_eq!(small["linger.ms"], "0");
            assert_eq!(small.get("message.max.bytes"), None);
        }
    }

    #[test]
    fn large_records_fit_into_a_message_and_the_queue() {
        let spec = WorkloadSpec::parse(shipped()[0].1).unwrap().producer;
        let slow = producer(&spec, "b:1", Some(2), &20_000_000.into());
        let kbytes: usize = slow["queue.buffering.max.kbytes"].parse().unwrap();
        let wanted = 300 * 20_000_000 / 1024;
        assert!((wanted..8 << 20).contains(&kbytes), "two and a half minutes: {kbytes}");
        for (bytes, allowed) in [(1_000_000, "1000512"), (20_000_000, "20000512")] {
            let settings = producer(&spec, "b:1", None, &bytes.into());
            assert_eq!(settings["message.max.bytes"], allowed);
            assert_eq!(settings["queue.buffering.max.messages"], "100000");
            let kbytes: usize = settings["queue.buffering.max.kbytes"].parse().unwrap();
            assert!(kbytes * 1024 > 3 * bytes, "{kbytes}");
            assert!(config(&settings, "x", &Security::default()).create_native_config().is_ok());
        }
    }
}
