//! The settings of librdkafka that a workload may have: those that are about sending and fetching. The
//! rest takes trust, and is not even shown to librdkafka without: it loads a plugin as soon as it is told of
//! one.

use rdkafka::ClientConfig;
use rdkafka::error::KafkaError;
use rdkafka::types::RDKafkaConfRes;

use super::WorkloadSpec;

/// What is taken, in the order of librdkafka's documentation.
const ALLOWED: [&str; 80] = [
    "message.max.bytes",
    "message.copy.max.bytes",
    "receive.message.max.bytes",
    "max.in.flight.requests.per.connection",
    "max.in.flight",
    "metadata.recovery.strategy",
    "metadata.recovery.rebootstrap.trigger.ms",
    "topic.metadata.refresh.interval.ms",
    "metadata.max.age.ms",
    "topic.metadata.refresh.fast.interval.ms",
    "topic.metadata.refresh.fast.cnt",
    "topic.metadata.refresh.sparse",
    "topic.metadata.propagation.max.ms",
    "socket.timeout.ms",
    "socket.send.buffer.bytes",
    "socket.receive.buffer.bytes",
    "socket.keepalive.enable",
    "socket.nagle.disable",
    "socket.max.fails",
    "socket.connection.setup.timeout.ms",
    "broker.address.ttl",
    "broker.address.family",
    "connections.max.idle.ms",
    "reconnect.backoff.jitter.ms",
    "reconnect.backoff.ms",
    "reconnect.backoff.max.ms",
    "log.connection.close",
    "enable.random.seed",
    "api.version.request",
    "api.version.request.timeout.ms",
    "api.version.fallback.ms",
    "broker.version.fallback",
    "allow.auto.create.topics",
    "client.rack",
    "client.dns.lookup",
    "enable.metrics.push",
    "retry.backoff.ms",
    "retry.backoff.max.ms",
    "group.instance.id",
    "partition.assignment.strategy",
    "session.timeout.ms",
    "heartbeat.interval.ms",
    "group.protocol.type",
    "group.protocol",
    "group.remote.assignor",
    "coordinator.query.interval.ms",
    "max.poll.interval.ms",
    "auto.commit.interval.ms",
    "enable.auto.offset.store",
    "queued.min.messages",
    "queued.max.messages.kbytes",
    "fetch.wait.max.ms",
    "fetch.queue.backoff.ms",
    "fetch.message.max.bytes",
    "max.partition.fetch.bytes",
    "fetch.max.bytes",
    "fetch.min.bytes",
    "fetch.error.backoff.ms",
    "isolation.level",
    "enable.partition.eof",
    "check.crcs",
    "consume.callback.max.messages",
    "transaction.timeout.ms",
    "queue.buffering.max.messages",
    "queue.buffering.max.kbytes",
    "queue.buffering.max.ms",
    "linger.ms",
    "message.send.max.retries",
    "retries",
    "queue.buffering.backpressure.threshold",
    "batch.num.messages",
    "batch.size",
    "sticky.partitioning.linger.ms",
    "request.timeout.ms",
    "message.timeout.ms",
    "delivery.timeout.ms",
    "queuing.strategy",
    "produce.offset.report",
    "partitioner",
    "compression.level",
];

/// Why other settings take trust, by what their names begin with.
const REASONS: [(&str, &str); 8] = [
    ("plugin.", "loads code into kbench"),
    (
        "sasl.",
        "may run a command and read files; a cluster that runs already is secured by --command-config",
    ),
    (
        "ssl",
        "may load code and read files; a cluster that runs already is secured by --command-config",
    ),
    ("https.", "reads files, and no broker is asked by it"),
    (
        "security.",
        "is not the load's to say: a cluster that runs already is secured by --command-config",
    ),
    ("debug", "has clients print what they do without end"),
    ("offset.store.", "writes files"),
    ("internal.", "sends signals"),
];

/// Whether a setting is taken from everybody.
pub(super) fn is_allowed(name: &str) -> bool {
    ALLOWED.contains(&name)
}

/// Whether librdkafka knows a setting. It is told of an empty value, which makes it do nothing.
pub(super) fn is_known(name: &str) -> bool {
    let made = ClientConfig::new().set(name, "").create_native_config();
    let unknown = RDKafkaConfRes::RD_KAFKA_CONF_UNKNOWN;
    !made.is_err_and(|error| matches!(error, KafkaError::ClientConfig(of, ..) if of == unknown))
}

impl WorkloadSpec {
    /// What of it would run its author's code or reach files, and where that stands.
    pub fn of_trust(&self) -> Vec<String> {
        let mut found = vec![];
        for (table, settings) in self.settings() {
            let others = settings.keys().filter(|name| !is_allowed(name));
            found.extend(others.map(|name| {
                let reason = REASONS.iter().find(|(start, _)| name.starts_with(start));
                let why = match reason {
                    Some((_, why)) => why,
                    None => "is none of those that kbench knows to be harmless",
                };
                format!("{table}.settings: `{name}` {why}")
            }));
        }
        found
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::spec::shipped;

    #[test]
    fn librdkafka_knows_every_setting_that_is_allowed_and_none_that_there_is_not() {
        for name in ALLOWED {
            assert!(is_known(name), "{name}");
        }
        for name in ["plugin.library.paths", "ssl.ca.location", "offset.store.path", "debug"] {
            assert!(is_known(name) && !is_allowed(name), "{name}");
        }
        for name in ["", "lingr.ms", "Linger.ms", "linger.ms ", "plugin"] {
            assert!(!is_known(name) && !is_allowed(name), "{name}");
        }
    }

    #[test]
    fn librdkafka_is_not_told_of_a_plugin_before_it_is_trusted() {
        let mut spec = WorkloadSpec::parse(shipped()[0].1).unwrap();
        let path = "/nowhere/evil.so".to_owned();
        spec.producer.settings.insert("plugin.library.paths".to_owned(), path);
        // It would look for the file, and refuse the setting since there is none.
        assert!(spec.validate().is_ok());
        let told = spec.validate_trusted().unwrap_err().to_string();
        assert!(
            told.contains("/nowhere/evil.so") && told.contains("refused by librdkafka"),
            "{told}"
        );
    }

    #[test]
    fn what_loads_code_reads_files_or_calls_back_takes_trust_in_each_table() {
        let text = format!(
            "{}\n[producers.bulk]\nrate = {{ per_second = 1 }}\nrecord_bytes = 100\nkeys = 1\n\
             acks = \"1\"\nidempotence = false\ncompression = \"none\"\n\
             [groups.audit]\nmembers = 1\ncommit_interval = \"1s\"\n",
            shipped()[0].1
        );
        let harmless = WorkloadSpec::parse(&text).unwrap();
        assert_eq!(harmless.of_trust(), [""; 0]);
        for name in [
            "plugin.library.paths",
            "ssl.ca.location",
            "ssl.engine.location",
            "ssl_engine_callback_data",
            "https.ca.location",
            "sasl.kerberos.kinit.cmd",
            "sasl.mechanisms",
            "security.protocol",
            "interceptors",
            "open_cb",
            "socket_cb",
            "debug",
            "log_level",
            "offset.store.path",
            "internal.termination.signal",
            "enabled_events",
            "topic.blacklist",
            "not.yet.known",
        ] {
            for table in ["producer", "consumers", "producers.bulk", "groups.audit"] {
                let mut spec = harmless.clone();
                let settings = match table {
                    "producer" => &mut spec.producer.settings,
                    "consumers" => &mut spec.consumers.as_mut().unwrap().settings,
                    "producers.bulk" => &mut spec.producers.get_mut("bulk").unwrap().settings,
                    _ => &mut spec.groups.get_mut("audit").unwrap().settings,
                };
                settings.insert(name.to_owned(), "x".to_owned());
                let found = spec.of_trust();
                let begin = format!("{table}.settings: `{name}` ");
                assert!(found.len() == 1 && found[0].starts_with(&begin), "{found:?}");
            }
        }
    }
}
