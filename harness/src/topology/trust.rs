//! What of a cluster's file would run code of its author's choice or reach files beyond the run: taken only
//! from who is trusted.
//!
//! Kafka's own settings are taken, its classes from a list. What no version of Kafka knows is for a class that
//! is none of Kafka's, and read by nobody without it: a warning says so. A ZooKeeper server makes each key that
//! it does not know a property of its JVM, so that its settings are taken from a list.

use results::record::secret;

use super::settings::{LISTS_OF_CLASSES, here};
use super::{Topology, jvm};

/// Kafka's own classes that a setting may name: they keep to the broker's memory and logs.
const OWN_CLASSES: [&str; 9] = [
    "org.apache.kafka.common.metrics.JmxReporter",
    "kafka.security.authorizer.AclAuthorizer",
    "kafka.security.auth.SimpleAclAuthorizer",
    "org.apache.kafka.common.security.authenticator.DefaultKafkaPrincipalBuilder",
    "org.apache.kafka.common.replica.RackAwareReplicaSelector",
    "org.apache.kafka.coordinator.group.assignor.RangeAssignor",
    "org.apache.kafka.coordinator.group.assignor.UniformAssignor",
    "org.apache.kafka.coordinator.group.assignor.SimpleAssignor",
    "org.apache.kafka.server.log.remote.metadata.storage.TopicBasedRemoteLogMetadataManager",
];

/// Settings of ZooKeeper servers that are about its own work and nothing else; with a dot at the end all
/// that begin so.
const OF_ZOOKEEPER: [&str; 92] = [
    "autopurge.purgeInterval",
    "autopurge.snapRetainCount",
    "bitHashCacheSize",
    "clientPortListenBacklog",
    "clientTcpKeepAlive",
    "closeSessionTxn.enabled",
    "cnxTimeout",
    "commitLogCount",
    "commitProcessor.maxCommitBatchSize",
    "commitProcessor.maxReadBatchSize",
    "commitProcessor.numWorkerThreads",
    "commitProcessor.shutdownTimeout",
    "connectToLearnerMasterLimit",
    "digest.enabled",
    "electionAlg",
    "electionPortBindRetry",
    "enableEagerACLCheck",
    "enforceQuota",
    "extendedTypesEnabled",
    "fastleader.maxNotificationInterval",
    "fastleader.minNotificationInterval",
    "flushDelay",
    "forceSnapshotSync",
    "forceSync",
    "fsync.warningthresholdms",
    "globalOutstandingLimit",
    "group.",
    "initLimit",
    "jute.maxbuffer",
    "largeRequestMaxBytes",
    "largeRequestThreshold",
    "leader.ackLoggingFrequency",
    "leader.closeSocketAsync",
    "leader.maxConcurrentDiffSyncs",
    "leader.maxConcurrentSnapSyncs",
    "leader.maxTimeToWaitForEpoch",
    "leaderServes",
    "learner.asyncSending",
    "learner.closeSocketAsync",
    "localSessionsEnabled",
    "localSessionsUpgradingEnabled",
    "maxBatchSize",
    "maxClientCnxns",
    "maxCnxns",
    "maxGetChildrenResponseCacheSize",
    "maxInProcessingDeadWatchers",
    "maxResponseCacheSize",
    "maxSessionTimeout",
    "maxWriteQueuePollTime",
    "messageTracker.BufferSize",
    "messageTracker.Enabled",
    "minSessionTimeout",
    "multiAddress.enabled",
    "multiAddress.reachabilityCheckEnabled",
    "multiAddress.reachabilityCheckTimeoutMs",
    "nio.directBufferBytes",
    "nio.numSelectorThreads",
    "nio.numWorkerThreads",
    "nio.sessionlessCnxnTimeout",
    "nio.shutdownTimeout",
    "observer.reconnectDelayMs",
    "observer.syncEnabled",
    "peerType",
    "preAllocSize",
    "quorumCnxnTimeoutMs",
    "quorumListenOnAllIPs",
    "readonlymode.enabled",
    "reconfigEnabled",
    "request.timeout",
    "request_stale_connection_check",
    "request_stale_latency_check",
    "request_throttle_drop_stale",
    "request_throttle_max_requests",
    "request_throttle_stall_time",
    "request_throttler.shutdownTimeout",
    "skipACL",
    "snapCount",
    "snapshot.compression.method",
    "snapshot.trust.empty",
    "snapshotSizeFactor",
    "snapSizeLimitInKb",
    "standaloneEnabled",
    "syncEnabled",
    "syncLimit",
    "tcpKeepAlive",
    "throttled_op_wait_time",
    "tickTime",
    "txnLogSizeLimitInKb",
    "watcherCleanIntervalInSeconds",
    "watcherCleanThreadsNum",
    "watcherCleanThreshold",
    "weight.",
];

/// What of a cluster takes trust: where it stands, and why.
pub(super) fn of_trust(topology: &Topology) -> Vec<String> {
    let (broker, zookeeper) = (&topology.broker, &topology.zookeeper);
    let of_brokers = broker.settings.iter().filter_map(|(key, value)| {
        Some(format!("broker.settings: `{key}` {}", of_broker(key, value)?))
    });
    let of_servers = zookeeper.settings.keys().filter(|key| !is_of_zookeeper(key));
    let of_servers = of_servers.map(|key| {
        format!(
            "zookeeper.settings: `{key}` is none of those that kbench knows to be harmless, and \
             ZooKeeper makes it a property of its JVM"
        )
    });
    let options = [("broker", broker), ("zookeeper", zookeeper)].into_iter();
    let options = options.flat_map(|(table, server)| {
        let why = |(key, option): (_, &String)| {
            Some(format!("{table}.{key}: `{}` {}", jvm::shown(option), jvm::why_not(option)?))
        };
        server.all_options().filter_map(why).collect::<Vec<_>>()
    });
    of_brokers.chain(of_servers).chain(options).collect()
}

/// Whether a setting of ZooKeeper servers is one of those that are taken.
pub(super) fn is_of_zookeeper(key: &str) -> bool {
    OF_ZOOKEEPER.iter().any(|pattern| here::is_like(pattern, key))
}

/// Why a setting of brokers takes trust, to follow its name.
fn of_broker(key: &str, value: &str) -> Option<String> {
    if key.starts_with("config.providers") {
        return Some(
            "makes values of what files and the environment hold, and brokers log them".into(),
        );
    }
    if key.starts_with("kafka.csv.") {
        return Some("is of a reporter that deletes the folder which it names".into());
    }
    if names_classes(key) {
        let mut classes = value.split(',').map(str::trim).filter(|class| !class.is_empty());
        let foreign = classes.find(|class| !OWN_CLASSES.contains(class))?;
        let foreign = secret::shown(key, foreign);
        return Some(format!("loads the class `{foreign}`, which may do anything"));
    }
    let loads = key.ends_with(".class.path") && !value.is_empty();
    loads.then(|| "loads code from a place of its own".to_owned())
}

fn names_classes(key: &str) -> bool {
    LISTS_OF_CLASSES.contains(&key)
        || [".class", ".class.name"].iter().any(|end| key.ends_with(end))
}

#[cfg(test)]
mod tests {
    use super::super::settings::known::{self, SettingOf};
    use super::*;
    use crate::topology::SHIPPED;

    fn with(change: impl Fn(&mut Topology)) -> Vec<String> {
        let mut topology = Topology::parse(SHIPPED[0].1).unwrap();
        change(&mut topology);
        of_trust(&topology)
    }

    #[test]
    fn what_is_shipped_and_every_setting_of_kafka_s_that_is_no_class_takes_no_trust() {
        for (name, text) in SHIPPED {
            assert_eq!(of_trust(&Topology::parse(text).unwrap()), [""; 0], "{name}");
        }
        let of_classes: Vec<&str> = known::all_names(SettingOf::Broker)
            .filter(|key| of_broker(key, "x.Y").is_some())
            .collect();
        assert!(of_classes.contains(&"metric.reporters") && of_classes.len() > 10);
        let plain = |key: &&str| !key.contains("class") && !LISTS_OF_CLASSES.contains(key);
        assert_eq!(of_classes.into_iter().filter(plain).collect::<Vec<_>>(), [""; 0]);
    }

    #[test]
    fn a_broker_s_code_files_and_plugins_take_trust() {
        for (key, value, words) in [
            ("config.providers", "file", "files and the environment"),
            ("config.providers.file.class", "x.Y", "files and the environment"),
            ("kafka.metrics.reporters", "kafka.metrics.KafkaCSVMetricsReporter", "loads the class"),
            ("kafka.csv.metrics.dir", "/home", "deletes the folder"),
            ("metric.reporters", "org.apache.kafka.common.metrics.JmxReporter, x.Y", "`x.Y`"),
            ("authorizer.class.name", "x.Y", "`x.Y`"),
            ("principal.builder.class", "x.Y", "`x.Y`"),
            ("client.quota.callback.class", "x.Y", "`x.Y`"),
            ("replica.selector.class", "org.apache.kafka.common.replica.Other", "Other"),
            ("remote.log.storage.manager.class.name", "x.Y", "`x.Y`"),
            ("remote.log.storage.manager.class.path", "/x.jar", "loads code"),
            ("new.policy.class", "x.Y", "`x.Y`"),
        ] {
            let found = with(|topology| {
                topology.broker.settings.insert(key.into(), value.into());
            });
            assert!(found.len() == 1 && found[0].contains(words), "{key}: {found:?}");
            assert!(found[0].starts_with(&format!("broker.settings: `{key}` ")), "{found:?}");
        }
        for (key, value) in [
            ("metric.reporters", ""),
            ("metric.reporters", "org.apache.kafka.common.metrics.JmxReporter"),
            ("authorizer.class.name", "kafka.security.authorizer.AclAuthorizer"),
            ("super.users", "User:ANONYMOUS"),
            ("compression.gzip.level", "1"),
            ("confluent.license", "x"),
        ] {
            let found = with(|topology| {
                topology.broker.settings.insert(key.into(), value.into());
            });
            assert_eq!(found, [""; 0], "{key}");
        }
    }

    #[test]
    fn what_zookeeper_would_make_a_property_takes_trust() {
        for key in ["serverCnxnFactory", "authProvider.1", "metricsProvider.className", "datadir"] {
            let found = with(|topology| {
                topology.zookeeper.settings.insert(key.into(), "x".into());
            });
            assert!(found.len() == 1 && found[0].contains(key), "{found:?}");
        }
        for key in ["snapCount", "group.1", "weight.1", "forceSync"] {
            let found = with(|topology| {
                topology.zookeeper.settings.insert(key.into(), "1".into());
            });
            assert_eq!(found, [""; 0], "{key}");
        }
    }

    #[test]
    fn options_of_both_servers_are_looked_at() {
        let found = with(|topology| {
            topology.broker.jvm.push("-javaagent:x.jar".to_owned());
            topology.zookeeper.quick_start.push("@file".to_owned());
        });
        assert!(found[0].starts_with("broker.jvm: `-javaagent:x.jar`"), "{found:?}");
        assert!(found[1].starts_with("zookeeper.quick_start: `@file`"), "{found:?}");
    }
}
