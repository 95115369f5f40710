use super::*;
use crate::topology::SHIPPED;

fn version(named: &str) -> KafkaVersion {
    KafkaVersion::named(named).unwrap()
}

/// The guide's cluster with these settings of brokers.
fn with(settings: &[(&str, &str)]) -> Topology {
    let mut topology = Topology::parse(SHIPPED[0].1).unwrap();
    let settings = settings.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned()));
    topology.broker.settings.extend(settings);
    topology
}

fn refusal(named: &str, settings: &[(&str, &str)]) -> String {
    match check(&with(settings), version(named)) {
        Ok(_) => panic!("{settings:?} are taken by {named}"),
        Err(why) => why,
    }
}

fn warnings(named: &str, settings: &[(&str, &str)]) -> Vec<String> {
    check(&with(settings), version(named)).unwrap_or_else(|why| panic!("{settings:?}: {why}"))
}

#[test]
fn what_is_shipped_goes_with_every_version() {
    for (name, text) in SHIPPED {
        let topology = Topology::parse(text).unwrap();
        for version in KafkaVersion::all() {
            assert_eq!(check(&topology, version).unwrap(), [""; 0], "{name}, {version}");
        }
    }
}

#[test]
fn what_cannot_be_set_here_is_refused_with_the_reason() {
    for (key, words) in [
        ("broker.id", "follows from the nodes"),
        ("node.id", "follows from the nodes"),
        ("listeners", "follows from the nodes"),
        ("advertised.host.name", "follows from the nodes"),
        ("security.inter.broker.protocol", "`cluster.security`"),
        ("inter.broker.listener.name", "`cluster.security`"),
        ("listener.name.external.ssl.keystore.location", "`cluster.security`"),
        ("sasl.enabled.mechanisms", "`cluster.security`"),
        ("ssl.keystore.location", "`cluster.security`"),
        ("zookeeper.ssl.client.enable", "ZooKeeper servers speak plain text"),
        ("process.roles", "metadata in ZooKeeper"),
        ("controller.quorum.voters", "metadata in ZooKeeper"),
        ("zookeeper.metadata.migration.enable", "metadata in ZooKeeper"),
    ] {
        for of in ["2.6", "3.0", "3.9"] {
            let why = refusal(of, &[(key, "1")]);
            assert!(why.contains(&format!("`{key}`")) && why.contains(words), "{key}: {why}");
        }
    }
}

#[test]
fn values_are_refused_where_kafka_would() {
    for (of, key, value, words) in [
        ("3.9", "num.io.threads", "many", "a whole number from 1 on"),
        ("2.6", "num.io.threads", "0", "a whole number from 1 on"),
        ("3.9", "log.retention.hours", "2147483648", "a whole number from -2147483648"),
        ("3.9", "auto.create.topics.enable", "yes", "true or false"),
        ("3.9", "log.cleanup.policy", "delete,compress", "some of: compact, delete"),
        ("3.9", "compression.type", "lz5", "one of: uncompressed"),
        ("3.9", "log.cleaner.min.cleanable.ratio", "2", "a number from 0 to 1"),
        ("3.9", "log.cleaner.min.cleanable.ratio", "NaN", "a number from 0 to 1"),
        ("3.9", "compression.gzip.level", "0", "that is -1, or from 1 to 9"),
        ("2.8", "inter.broker.protocol.version", "3.0", "up to its own"),
        ("3.9", "inter.broker.protocol.version", "3.x", "up to its own"),
        ("3.9", "log.message.timestamp.type", "createtime", "CreateTime"),
        ("3.9", "background.threads", "", "a whole number"),
        ("3.9", "broker.rack", "a\nprocess.roles=broker", "a line break"),
        ("3.9", "log.roll.ms\nprocess.roles", "broker", "names of settings"),
        ("3.9", "num.io.threads", " 4 ", "begins or ends with a blank"),
        ("3.9", "log.dirs ", "/x", "names of settings"),
        ("3.9", "log.retention.ms", "0", "-1 for no limit"),
        ("3.9", "log.roll.ms", "0", "1 or more"),
        ("3.9", "replica.lag.time.max.ms", "400", "must not exceed"),
        ("3.9", "replica.fetch.wait.max.ms", "40000", "must not exceed"),
        ("3.9", "queued.max.request.bytes", "1000", "must not be below"),
        ("3.9", "log.cleaner.threads", "8", "must be more than 1048576"),
        ("3.9", "max.connections.per.ip", "0", "overrides"),
        ("3.9", "offsets.commit.required.acks", "4", "must not exceed"),
        ("3.9", "offsets.topic.compression.codec", "5", "0 to 4"),
        ("3.9", "connections.max.idle.ms", "100", "must not exceed"),
        ("3.8", "group.consumer.session.timeout.ms", "70000", "must not exceed"),
        ("2.6", "compression.type", "lz5", "one of: uncompressed"),
        ("3.9", "log.cleaner.threads", "0", "1 or more"),
        ("3.9", "max.connections.per.ip.overrides", "localhost", "HOST:NUMBER"),
        ("3.9", "remote.log.manager.copier.thread.pool.size", "0", "-1, or 1 or more"),
        ("3.7", "group.coordinator.rebalance.protocols", "consumer", "`classic`"),
        ("3.9", "create.topic.policy.class.name", "", "the name of a class"),
        ("3.9", "reserved.broker.max.id", "2", "broker = 3 is above"),
        ("3.9", "authorizer.class.name", "kafka.security.authorizer.AclAuthorizer", "super.users"),
        ("3.9", "zookeeper.set.acl", "true", "ACLs"),
        ("3.9", "remote.log.storage.system.enable", "true", "manager.class.name"),
    ] {
        let why = refusal(of, &[(key, value)]);
        assert!(why.contains(words), "{key}: {why}");
    }
    for (of, settings) in [
        ("2.6", &[("num.io.threads", "4")][..]),
        ("3.9", &[("auto.create.topics.enable", "TRUE"), ("log.cleanup.policy", "")]),
        ("2.8", &[("inter.broker.protocol.version", "2.7-IV2")]),
        ("3.0", &[("inter.broker.protocol.version", "0.10.2")]),
        ("3.9", &[("log.retention.ms", "-1"), ("log.retention.hours", "0")]),
        ("3.9", &[("reserved.broker.max.id", "2"), ("broker.id.generation.enable", "false")]),
        ("3.9", &[("zookeeper.set.acl", "false"), ("connections.max.idle.ms", "-1")]),
        ("3.9", &[("authorizer.class.name", "a.B"), ("super.users", "User:ANONYMOUS")]),
    ] {
        assert_eq!(warnings(of, settings), [""; 0], "{settings:?}");
    }
}

#[test]
fn what_no_list_knows_is_handed_on_with_the_nearest_name() {
    let one = |of: &str, key: &str| {
        let warnings = warnings(of, &[(key, "1")]);
        assert_eq!(warnings.len(), 1, "{warnings:?}");
        warnings.into_iter().next().unwrap()
    };
    for (key, words) in [
        ("log.retention.milis", "did you mean `log.retention.ms`"),
        ("zookeeper.sesion.timeout.ms", "did you mean `zookeeper.session.timeout.ms`"),
        ("retention.ms", "`log.retention.ms`"),
        ("confluent.metrics.reporter", "Kafka 3.9 knows no setting `confluent.metrics.reporter`"),
    ] {
        let warning = one("3.9", key);
        assert!(
            warning.contains(words) && warning.contains("all the same, for plugins"),
            "{warning}"
        );
    }
    let later = one("2.6", "compression.gzip.level");
    assert!(
        later.contains("Kafka 2.6 knows no") && later.contains("but that of 3.8 to 3.9 does"),
        "{later}"
    );
    let ignored = one("3.9", "broker.heartbeat.interval.ms");
    assert!(ignored.contains("these brokers ignore it"), "{ignored}");
}

#[test]
fn topics_have_no_settings_but_kafka_s() {
    let with = |key: &str, value: &str| {
        let mut topology = Topology::parse(SHIPPED[0].1).unwrap();
        topology.topic[0].config.insert(key.to_owned(), value.to_owned());
        check(&topology, version("3.9"))
    };
    assert_eq!(with("retention.ms", "60000"), Ok(vec![]));
    let unknown = with("log.retention.ms", "60000").unwrap_err();
    assert!(unknown.contains("topic user-events, config: Kafka 3.9 knows no setting"), "{unknown}");
    assert!(with("retention.mss", "1").unwrap_err().contains("did you mean `retention.ms`"));
    let wrong = with("cleanup.policy", "shrink").unwrap_err();
    assert!(wrong.contains("some of: compact, delete"), "{wrong}");
}

#[test]
fn zookeeper_s_numbers_are_numbers() {
    let with = |key: &str, value: &str| {
        let mut topology = Topology::parse(SHIPPED[0].1).unwrap();
        topology.zookeeper.settings.insert(key.to_owned(), value.to_owned());
        check(&topology, version("3.9"))
    };
    assert_eq!(with("maxClientCnxns", "0"), Ok(vec![]));
    assert!(with("tickTime", "2s").unwrap_err().contains("zookeeper.settings: `tickTime` is `2s`"));
    assert!(with("fsync.warningthresholdms", "a\nb").is_err());
}

#[test]
fn classes_that_brokers_load_are_named() {
    let topology = with(&[
        ("metric.reporters", "a.B, c.D"),
        ("group.consumer.assignors", ""),
        ("authorizer.class.name", "e.F"),
        ("super.users", "User:ANONYMOUS"),
        ("create.topic.policy.class.name", "g.H"),
        ("broker.rack", "i.J"),
    ]);
    let mut classes: Vec<&str> =
        classes(&topology, version("3.9")).into_iter().map(|(_, class)| class).collect();
    classes.sort_unstable();
    assert_eq!(classes, ["a.B", "c.D", "e.F", "g.H"]);
}
