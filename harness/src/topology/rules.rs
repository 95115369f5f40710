//! What a cluster cannot be: refused in words before anything starts.
//!
//! Only what can never work is refused. What works badly (an even number of ZooKeeper servers, a
//! session time-out that ZooKeeper clamps) is an experiment, and the settings in force are read
//! back from the running servers.

use std::collections::{BTreeMap, BTreeSet};

use super::{LinksSpec, ServerSpec, Topic, Topology, jvm, limits, settings};
use crate::version::KafkaVersion;
use results::record::event::BrokerId;
use results::record::line;
use results::terminal::counted;

/// Most nodes that a local cluster can have: one octet of its addresses, less the bridge.
const MOST_NODES: usize = 100;

/// Ports that ZooKeeper servers use among themselves.
pub const PEER_PORTS: [u16; 2] = [2888, 3888];

/// Settings of ZooKeeper servers that kbench writes itself: identity, addresses and places follow from
/// the nodes.
const OWN_ZOOKEEPER: [&str; 6] = [
    "dataDir",
    "dataLogDir",
    "clientPort",
    "clientPortAddress",
    "dynamicConfigFile",
    "4lw.commands.whitelist",
];

/// Replication factors among the brokers' settings, and Kafka's defaults.
const FACTORS: [(&str, Option<usize>); 3] = [
    // Without this topic no consumer group can commit.
    ("offsets.topic.replication.factor", Some(3)),
    ("default.replication.factor", None),
    ("transaction.state.log.replication.factor", None),
];

/// Settings of brokers that kbench itself goes by: what is no number could not be gone by, and no broker
/// would start with it.
const READ_BROKER: [&str; 5] = [
    "zookeeper.session.timeout.ms",
    "min.insync.replicas",
    "offsets.topic.replication.factor",
    "default.replication.factor",
    "transaction.state.log.replication.factor",
];

/// Refuses what cannot work.
pub(super) fn check(topology: &Topology) -> Result<(), String> {
    line::check_name(&topology.name).map_err(|why| format!("name: it {why}"))?;
    nodes(topology, true)?;
    servers(topology)?;
    limits::check(topology)?;
    topology.links.map_or(Ok(()), LinksSpec::check)?;
    numbers("broker.settings", &topology.broker.settings, &READ_BROKER)?;
    for Topic { name, config, .. } in &topology.topic {
        numbers(&format!("topic {name}, config"), config, &["min.insync.replicas"])?;
    }
    let version = KafkaVersion::of(&topology.kafka.version);
    let version = version.map_err(|failure| format!("kafka.version: {failure}"))?;
    settings::check(topology, version)?;
    replication(topology)?;
    topics(&topology.topic, &topology.brokers())
}

/// The same where the servers are somebody else's.
pub(super) fn check_attached(topology: &Topology) -> Result<(), String> {
    nodes(topology, false)?;
    topics(&topology.topic, &topology.brokers())
}

/// Refuses topics that cannot be on these brokers.
pub(crate) fn topics(topics: &[Topic], brokers: &BTreeSet<BrokerId>) -> Result<(), String> {
    let names: BTreeSet<&str> = topics.iter().map(|topic| topic.name.as_str()).collect();
    if names.is_empty() {
        return Err("a cluster needs a [[topic]]: the first takes the main load".to_owned());
    }
    if names.len() != topics.len() {
        return Err("topics need names of their own".to_owned());
    }
    topics.iter().try_for_each(|topic| check_topic(topic, brokers))
}

fn nodes(topology: &Topology, with_zookeeper: bool) -> Result<(), String> {
    let nodes = &topology.node;
    let names: BTreeSet<&str> = nodes.iter().map(|node| node.name.as_str()).collect();
    if names.len() != nodes.len() || nodes.len() > MOST_NODES {
        return Err(format!("nodes need names of their own, and at most {MOST_NODES}"));
    }
    let plain = |c: char| c.is_ascii_alphanumeric() || c == '-';
    if let Some(bad) = names.iter().find(|name| !name.chars().all(plain)) {
        return Err(format!("node name `{bad}`: letters, digits and `-` only"));
    }
    let unusable =
        names.iter().find_map(|name| line::check_name(name).err().map(|why| (name, why)));
    if let Some((bad, why)) = unusable {
        return Err(format!("node name `{bad}`: it {why}"));
    }
    if let Some(bad) = nodes.iter().find(|node| node.standby && node.zookeeper.is_some()) {
        let name = &bad.name;
        return Err(format!(
            "node {name}: standby is for brokers; a ZooKeeper ensemble does not grow by itself"
        ));
    }
    let brokers: Vec<_> = nodes.iter().filter_map(|node| node.broker).collect();
    let zookeepers: Vec<_> = nodes.iter().filter_map(|node| node.zookeeper).collect();
    for (what, ids, allowed, needed) in [
        ("broker", brokers, 0..=i32::MAX, true),
        ("zookeeper", zookeepers, 1..=255, with_zookeeper),
    ] {
        let distinct: BTreeSet<_> = ids.iter().copied().collect();
        if ids.is_empty() && needed {
            return Err(format!("a cluster needs at least one {what}"));
        }
        if distinct.len() != ids.len() {
            return Err(format!("every {what} needs an id of its own"));
        }
        if let Some(bad) = distinct.iter().find(|id| !allowed.contains(*id)) {
            let (least, most) = (allowed.start(), allowed.end());
            return Err(format!("{what} = {bad}: ids are from {least} to {most}"));
        }
    }
    Ok(())
}

fn servers(topology: &Topology) -> Result<(), String> {
    let (broker, zookeeper) = (&topology.broker, &topology.zookeeper);
    let server = |name: &str, server: &ServerSpec, least: u32| {
        if server.heap_mb < least {
            return Err(format!("{name}.heap_mb = {}: at least {least}", server.heap_mb));
        }
        if server.port == 0 || PEER_PORTS.contains(&server.port) {
            let port = server.port;
            return Err(format!("{name}.port = {port}: not 0, 2888 or 3888 (ZooKeeper's own)"));
        }
        for (key, option) in server.all_options() {
            line::check(option)
                .map_err(|why| format!("{name}.{key}: `{}` {why}", jvm::shown(option)))?;
        }
        Ok(())
    };
    server("broker", broker, 128)?;
    server("zookeeper", zookeeper, 32)?;
    let is_own =
        |key: &&String| OWN_ZOOKEEPER.contains(&key.as_str()) || key.starts_with("server.");
    if let Some(key) = zookeeper.settings.keys().find(is_own) {
        return Err(format!("zookeeper.settings: `{key}` follows from the nodes; leave it out"));
    }
    if broker.port == zookeeper.port {
        return Err(format!("broker and zookeeper share port {} of their nodes", broker.port));
    }
    let ensemble = topology.node.iter().filter(|node| node.zookeeper.is_some()).count() > 1;
    for key in ["initLimit", "syncLimit"] {
        if ensemble && !zookeeper.settings.contains_key(key) {
            return Err(format!(
                "zookeeper.settings: several servers need `{key}` (10 and 5 are usual)"
            ));
        }
    }
    Ok(())
}

fn numbers(table: &str, settings: &BTreeMap<String, String>, keys: &[&str]) -> Result<(), String> {
    for key in keys {
        if let Some(value) = settings.get(*key).filter(|value| value.parse::<u32>().is_err()) {
            return Err(format!("{table}: `{key}` is `{value}`, not a whole number"));
        }
    }
    Ok(())
}

fn replication(topology: &Topology) -> Result<(), String> {
    let brokers = topology.brokers().len();
    let set = |key: &str| topology.broker.settings.get(key).and_then(|value| value.parse().ok());
    for (key, default) in FACTORS {
        let Some(factor) = set(key).or(default) else { continue };
        if factor > brokers {
            return Err(format!(
                "broker.settings: `{key}` is {factor}, but the cluster has {}; \
                 nothing could be written to such a topic",
                counted(brokers as u64, "broker")
            ));
        }
    }
    let offsets = set("offsets.topic.replication.factor").unwrap_or(3);
    match set("min.insync.replicas") {
        Some(least) if least > offsets => Err(format!(
            "broker.settings: min.insync.replicas {least} exceeds the replicas of the offsets topic \
             ({offsets}); no consumer group could commit"
        )),
        _ => Ok(()),
    }
}

fn check_topic(topic: &Topic, brokers: &BTreeSet<BrokerId>) -> Result<(), String> {
    let name = &topic.name;
    let plain = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
    if name.is_empty()
        || name.len() > 249
        || name.starts_with("__")
        || !name.chars().all(plain)
        || [".", ".."].contains(&&**name)
    {
        return Err(format!(
            "topic name `{name}`: letters, digits, `.`, `_` and `-`, not `__` first"
        ));
    }
    // As few replicas as any partition has.
    let factor = topic.assignment.iter().map(Vec::len).min().unwrap_or_default();
    let by_number = [topic.partitions, topic.replication_factor, topic.count];
    // What was read has assignments alone.
    if factor == 0 || by_number.iter().any(Option::is_some) {
        return Err(format!(
            "topic {name}: `assignment` lists the replicas of each partition; or `partitions` and \
             `replication_factor` are numbers"
        ));
    }
    for (partition, replicas) in topic.assignment.iter().enumerate() {
        let distinct: BTreeSet<_> = replicas.iter().copied().collect();
        if distinct.len() != replicas.len() {
            return Err(format!(
                "topic {name}, partition {partition}: replicas are on brokers of their own, none of them twice"
            ));
        }
        if let Some(unknown) = distinct.difference(brokers).next() {
            return Err(format!("topic {name}, partition {partition}: no broker {unknown}"));
        }
    }
    let min_isr = topic.config.get("min.insync.replicas").and_then(|v| v.parse::<usize>().ok());
    match min_isr {
        Some(min_isr) if min_isr > factor => Err(format!(
            "topic {name}: min.insync.replicas {min_isr} exceeds its replicas ({factor}); \
             nothing could ever be written with acks=all"
        )),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::topology::SHIPPED;

    #[test]
    fn what_cannot_work_is_refused_in_words() {
        let guide = SHIPPED[0].1;
        for (from, to, words) in [
            ("[1, 2, 3],", "[1, 2, 4],", "no broker 4"),
            ("[1, 2, 3],", "[1, 1, 3],", "none of them twice"),
            ("[1, 2, 3],", "[],", "lists the replicas of each partition"),
            ("[1, 2, 3],", "[1],", "exceeds its replicas (1)"),
            ("broker = 2", "broker = 1", "every broker needs an id of its own"),
            ("broker = 2", "broker = -1", "broker = -1: ids are from 0"),
            ("zookeeper = 2", "zookeeper = 0", "zookeeper = 0: ids are from 1"),
            ("version = \"3.9.1\"", "version = \"4.0.0\"", "kafka.version: Apache Kafka 4.0.0"),
            ("zookeeper = 2", "zookeeper = 256", "from 1 to 255"),
            ("\"cpu-node2\"", "\"cpu-node1\"", "names of their own"),
            ("\"cpu-node2\"", "\"cpu node2\"", "letters"),
            ("\"user-events\"", "\"__user\"", "topic name `__user`"),
            ("heap_mb = 512", "heap_mb = 5", "broker.heap_mb = 5: at least 128"),
            ("port = 9092", "port = 2181", "share port 2181"),
            ("port = 9092", "port = 2888", "broker.port = 2888"),
            ("initLimit", "otherLimit", "several servers need `initLimit`"),
            ("tickTime", "dataDir", "`dataDir` follows from the nodes"),
            ("tickTime", "\"server.1\"", "`server.1` follows from the nodes"),
            ("\"default.replication.factor\"", "\"log.dirs\"", "`log.dirs` cannot be set"),
            (
                "timeout.ms\" = \"18000\"",
                "timeout.ms\" = \"18s\"",
                "`zookeeper.session.timeout.ms` is `18s`, not a whole number",
            ),
            (
                "offsets.topic.replication.factor\" = \"3\"",
                "offsets.topic.replication.factor\" = \"4\"",
                "is 4, but the cluster has 3 brokers",
            ),
            (
                "\"min.insync.replicas\" = \"2\"",
                "\"min.insync.replicas\" = \"4\"",
                "no consumer group could commit",
            ),
            (
                "[topic.config]\n\"min.insync.replicas\" = \"2\"",
                "[topic.config]\n\"min.insync.replicas\" = \"4\"",
                "exceeds its replicas (3)",
            ),
        ] {
            let text = guide.replacen(from, to, 1);
            assert_ne!(text, guide, "{from} is not in the guide's cluster");
            let message = Topology::parse(&text).expect_err(to).message;
            assert!(message.contains(words), "{to}: {message}");
        }
        let uneven = guide.replacen("[1, 2, 3],", "[1, 2],", 1);
        let uneven = Topology::parse(&uneven).unwrap();
        assert_eq!(uneven.main_topic().assignment, [vec![1, 2], vec![2, 3, 1], vec![3, 1, 2]]);
        let twice = format!("{guide}\n[[topic]]\nname = \"user-events\"\nassignment = [[1]]\n");
        assert!(
            Topology::parse(&twice).unwrap_err().message.contains("topics need names of their own")
        );
    }

    #[test]
    fn a_small_cluster_takes_a_few_lines() {
        let small = "name = 'one'\ndescription = 'one of each'\nkafka.version = '3.9.1'\n\
            [broker]\nport = 9092\nheap_mb = 256\n\
            settings = { 'offsets.topic.replication.factor' = '1' }\n\
            [zookeeper]\nport = 2181\nheap_mb = 64\n\
            [[node]]\nname = 'a'\nbroker = 1\nzookeeper = 1\n\
            [[topic]]\nname = 't'\nassignment = [[1]]\n";
        assert_eq!(Topology::parse(small).unwrap().processes().len(), 2);
        let unset = small.replace("'offsets.topic.replication.factor' = '1'", "");
        assert!(
            Topology::parse(&unset)
                .unwrap_err()
                .message
                .contains("offsets.topic.replication.factor")
        );
    }
}
