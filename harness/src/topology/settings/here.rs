//! What cannot be set in a cluster that kbench makes, whatever Kafka knows: its brokers have one listener, which
//! is secured as the cluster says, and keep their metadata in ZooKeeper.

use std::collections::BTreeMap;

use super::super::Topology;
use super::GivenSettings;

const FROM_THE_NODES: &str = "it follows from the nodes";
const ONE_LISTENER: &str =
    "kbench's brokers have one listener, which is secured as `cluster.security` says";
const WITH_ZOOKEEPER: &str = "kbench's brokers keep their metadata in ZooKeeper";
const OPEN: &str = "kbench's ZooKeeper servers speak plain text to everybody";

/// Settings that are refused, and why; with a dot at the end all that begin so.
const REFUSED: [(&str, &str); 24] = [
    ("broker.id", FROM_THE_NODES),
    ("node.id", FROM_THE_NODES),
    ("listeners", FROM_THE_NODES),
    ("advertised.", FROM_THE_NODES),
    ("host.name", FROM_THE_NODES),
    ("port", FROM_THE_NODES),
    ("zookeeper.connect", FROM_THE_NODES),
    ("log.dirs", FROM_THE_NODES),
    ("log.dir", FROM_THE_NODES),
    ("security.", ONE_LISTENER),
    ("sasl.", ONE_LISTENER),
    ("ssl.", ONE_LISTENER),
    ("listener.", ONE_LISTENER),
    ("inter.broker.listener.name", ONE_LISTENER),
    ("control.plane.listener.name", ONE_LISTENER),
    ("early.start.listeners", ONE_LISTENER),
    ("zookeeper.ssl.", OPEN),
    ("zookeeper.clientCnxnSocket", OPEN),
    ("process.roles", WITH_ZOOKEEPER),
    ("controller.listener.names", WITH_ZOOKEEPER),
    ("controller.quorum.", WITH_ZOOKEEPER),
    ("zookeeper.metadata.", WITH_ZOOKEEPER),
    ("metadata.log.dir", WITH_ZOOKEEPER),
    ("group.share.", WITH_ZOOKEEPER),
];

/// Settings that brokers with ZooKeeper read and do nothing with; with a dot at the end all that begin so.
const OF_KRAFT: [&str; 7] = [
    "broker.heartbeat.interval.ms",
    "broker.session.timeout.ms",
    "initial.broker.registration.timeout.ms",
    "metadata.log.",
    "metadata.max.",
    "server.max.startup.time.ms",
    "group.consumer.migration.policy",
];

/// What `true` needs beside itself, or any value where it is a class.
const NEEDS: [(&str, &[&str], &str); 3] = [
    (
        "authorizer.class.name",
        &["super.users", "allow.everyone.if.no.acl.found"],
        "without `super.users` = `User:ANONYMOUS` or `allow.everyone.if.no.acl.found` = `true` the \
         brokers and kbench's clients, who are nobody, may do nothing",
    ),
    (
        "remote.log.storage.system.enable",
        &["remote.log.storage.manager.class.name"],
        "it needs `remote.log.storage.manager.class.name`, of a plugin in the installation that \
         --kafka-home names",
    ),
    (
        "zookeeper.set.acl",
        &[],
        "a broker who sets ACLs must have said who it is, and kbench's ZooKeeper servers ask nobody",
    ),
];

/// Settings of ZooKeeper servers that are whole numbers.
const WHOLE: [&str; 12] = [
    "tickTime",
    "initLimit",
    "syncLimit",
    "connectToLearnerMasterLimit",
    "maxClientCnxns",
    "minSessionTimeout",
    "maxSessionTimeout",
    "clientPortListenBacklog",
    "cnxTimeout",
    "snapCount",
    "autopurge.snapRetainCount",
    "autopurge.purgeInterval",
];

/// Whether a name is this pattern, or begins so where that ends with a dot.
pub(in super::super) fn is_like(pattern: &str, key: &str) -> bool {
    if pattern.ends_with('.') { key.starts_with(pattern) } else { key == pattern }
}

/// Whether a setting of brokers is refused, whatever its value.
pub(super) fn is_refused(key: &str) -> bool {
    REFUSED.iter().any(|(pattern, _)| is_like(pattern, key))
}

/// Whether brokers with ZooKeeper ignore it.
pub(super) fn is_of_kraft(key: &str) -> bool {
    !is_refused(key) && OF_KRAFT.iter().any(|pattern| is_like(pattern, key))
}

/// Refuses settings of brokers that cannot be set here.
pub(super) fn check(topology: &Topology, given: &GivenSettings<'_>) -> Result<(), String> {
    for (key, value) in given.settings {
        super::writable(key, value)?;
        if let Some((_, why)) = REFUSED.iter().find(|(pattern, _)| is_like(pattern, key)) {
            return Err(format!("`{key}` cannot be set: {why}; leave it out"));
        }
    }
    for (key, one_of, why) in NEEDS {
        let value = given.settings.get(key).map_or("", |value| value.trim());
        let asked = !value.is_empty() && !value.eq_ignore_ascii_case("false");
        if asked && !one_of.iter().any(|other| given.settings.contains_key(*other)) {
            return Err(format!("`{key}` is `{value}`: {why}"));
        }
    }
    ids(topology, given)
}

/// Refuses ids that Kafka keeps for those that it generates itself.
fn ids(topology: &Topology, given: &GivenSettings<'_>) -> Result<(), String> {
    let most = given.number("reserved.broker.max.id").unwrap_or(i64::MAX);
    let above =
        topology.node.iter().filter_map(|node| node.broker).find(|id| i64::from(*id) > most);
    match above.filter(|_| given.is_true("broker.id.generation.enable")) {
        Some(id) => Err(format!(
            "broker = {id} is above `reserved.broker.max.id` ({most}); raise that, or set \
             `broker.id.generation.enable` to false"
        )),
        None => Ok(()),
    }
}

/// Refuses settings that ZooKeeper servers would not start with.
pub(super) fn zookeeper(settings: &BTreeMap<String, String>) -> Result<(), String> {
    for (key, value) in settings {
        super::writable(key, value)?;
        if WHOLE.contains(&key.as_str()) && value.trim().parse::<i32>().is_err() {
            return Err(format!("`{key}` is `{value}`, not a whole number"));
        }
    }
    let number = |key: &str| settings.get(key)?.trim().parse::<i32>().ok();
    match (number("minSessionTimeout"), number("maxSessionTimeout")) {
        (Some(least), Some(most)) if least > most && most >= 0 => {
            Err(format!("minSessionTimeout {least} exceeds maxSessionTimeout {most}"))
        }
        _ => Ok(()),
    }
}
