//! What is made of what was found on nodes.

use super::*;
use crate::cluster::host::ClockOffset;
use crate::cluster::ssh::inventory::SHIPPED;
use crate::cluster::ssh::look::ProgramFacts;

fn set(text: &str) -> NodeSettings {
    text.split_whitespace()
        .map(|entry| entry.split_once('=').unwrap())
        .map(|(key, value)| (key.to_owned(), value.to_owned()))
        .collect()
}

fn service(role: Role) -> ServiceFacts {
    ServiceFacts {
        role,
        runs: Ok(true),
        restart: Some("no".to_owned()),
        hold_refused: None,
        free_mb: Ok(ENOUGH_DISK_MB),
        settings: Ok(NodeSettings::new()),
    }
}

/// A node on which all is as it should be.
fn well() -> NodeFacts {
    let program =
        |name, path: &str| ProgramFacts { name, path: Some(path.to_owned()), refused: None };
    NodeFacts {
        user: "kbench".to_owned(),
        is_root: false,
        programs: vec![program("kill", "/usr/bin/kill"), program("nft", "/usr/sbin/nft")],
        clock: ClockOffset { ahead_ns: -2_000_000, error: Duration::from_micros(300) },
        services: vec![service(Role::Broker)],
    }
}

fn text_of(checks: &[DoctorCheck]) -> String {
    let told = |check: &DoctorCheck| {
        format!("{}: {} / {}\n", check.name, check.detail, check.cure.as_deref().unwrap_or("-"))
    };
    checks.iter().map(told).collect()
}

fn worst(checks: &[DoctorCheck]) -> Health {
    checks.iter().map(|check| check.health).max().unwrap()
}

#[test]
fn each_thing_that_a_node_lacks_is_told_with_its_cure_and_nothing_else_is() {
    let inventory = Inventory::parse(SHIPPED[0].1).unwrap();
    let node = &inventory.node[0];
    let fine = of_node(&inventory, node, &well());
    assert_eq!(worst(&fine), Health::Good, "{}", text_of(&fine));
    assert!(text_of(&fine).contains("-2.0 ms from this machine's, right to 0.3 ms"));
    type Change = fn(&mut NodeFacts);
    let cases: [(Health, &str, Change); 8] = [
        (
            Health::Bad,
            "`kbench ALL=(root) NOPASSWD: /usr/bin/kill, /usr/sbin/nft` in /etc/sudoers.d/kbench",
            |facts| facts.programs[0].refused = Some("sudo: a password is required".to_owned()),
        ),
        (Health::Bad, "install `nft` there", |facts| {
            facts.programs[1].path = None;
            facts.programs[1].refused = Some("it is not installed there".to_owned());
        }),
        (Health::Poor, "let chrony", |facts| facts.clock.ahead_ns = 3_000_000_000),
        (Health::Bad, "broker does not run", |facts| facts.services[0].runs = Ok(false)),
        (Health::Poor, "not known: no unit", |facts| {
            facts.services[0].runs = Err("no unit".to_owned());
        }),
        (
            Health::Poor,
            "`/usr/bin/install -D -m 644 /dev/stdin /run/systemd/system/kafka.service.d/",
            |facts| {
                facts.services[0].restart = Some("on-failure".to_owned());
                facts.services[0].hold_refused = Some("it takes root".to_owned());
            },
        ),
        (Health::Poor, "3 MB free in /var/lib/kafka", |facts| facts.services[0].free_mb = Ok(3)),
        (Health::Poor, "let the user read it", |facts| {
            facts.services[0].settings = Err("permission denied".to_owned());
        }),
    ];
    let mut held = well();
    held.services[0].restart = Some("always".to_owned());
    let told = of_node(&inventory, node, &held);
    assert_eq!(worst(&told), Health::Good, "{}", text_of(&told));
    assert!(text_of(&told).contains("Restart=always, which a run with faults holds off"));
    for (health, words, change) in cases {
        let mut facts = well();
        change(&mut facts);
        let checks = of_node(&inventory, node, &facts);
        let told = text_of(&checks);
        assert_eq!(worst(&checks), health, "{words}: {told}");
        assert!(told.contains(words), "{words}: {told}");
        let unwell = checks.iter().filter(|check| check.health != Health::Good).count();
        assert_eq!(unwell, 1, "{words}: {told}");
    }
}

#[test]
fn a_user_who_is_not_root_and_may_not_become_it_can_do_nothing_of_root_s() {
    let mut inventory = Inventory::parse(SHIPPED[0].1).unwrap();
    inventory.ssh.sudo = None;
    let node = &inventory.node[0];
    let told = of_node(&inventory, node, &well());
    assert!(text_of(&told).contains("is not root"), "{}", text_of(&told));
    assert_eq!(worst(&told), Health::Bad);
    let told = of_node(&inventory, node, &NodeFacts { is_root: true, ..well() });
    assert_eq!(worst(&told), Health::Good, "{}", text_of(&told));
    let told = of_node(&inventory, node, &NodeFacts { programs: vec![], ..well() });
    assert_eq!(worst(&told), Health::Good, "{}", text_of(&told));
}

#[test]
fn configurations_are_the_same_but_for_a_server_s_own_and_no_value_is_told() {
    let one = set("broker.id=1 listeners=PLAINTEXT://a:9092 sasl.jaas.config=secret-a");
    let other = set("broker.id=2 listeners=PLAINTEXT://b:9092 sasl.jaas.config=secret-a");
    let third = set("broker.id=3 sasl.jaas.config=secret-b num.io.threads=4");
    let same_two = same("broker", &BTreeMap::from([("a", &one), ("b", &other)]));
    assert_eq!(same_two.health, Health::Good, "{}", same_two.detail);
    let differ = same("broker", &BTreeMap::from([("a", &one), ("b", &other), ("c", &third)]));
    assert_eq!(differ.health, Health::Poor);
    assert!(differ.detail.ends_with(": num.io.threads, sasl.jaas.config"), "{}", differ.detail);
    assert!(!differ.detail.contains("secret"), "{}", differ.detail);
    // What was not read is not the same.
    assert_eq!(same("broker", &BTreeMap::from([("a", &one)])).health, Health::Poor);
}

#[test]
fn settings_that_contradict_each_other_are_told_and_defaults_do_not() {
    for (broker, zookeeper, words) in [
        ("", "", ""),
        ("min.insync.replicas=2 default.replication.factor=3", "tickTime=2000", ""),
        (
            "min.insync.replicas=2",
            "",
            "min.insync.replicas=2 is above default.replication.factor=1",
        ),
        ("transaction.state.log.replication.factor=1", "", "transaction.state.log.min.isr=2"),
        ("offsets.topic.replication.factor=1", "", "offsets.topic.replication.factor=1"),
        ("zookeeper.session.timeout.ms=60001", "", "ZooKeeper grants 6000 to 60000"),
        ("zookeeper.session.timeout.ms=60000", "", ""),
        ("zookeeper.session.timeout.ms=6000", "tickTime=4000", "grants 8000 to 80000"),
        ("", "maxSessionTimeout=9000", "grants 6000 to 9000"),
    ] {
        let (broker, zookeeper) = (set(broker), set(zookeeper));
        let brokers = BTreeMap::from([("a", &broker), ("b", &broker)]);
        let told = contradictions(&brokers, &BTreeMap::from([("a", &zookeeper)]));
        // Once, however many nodes say it.
        assert_eq!(told.len(), usize::from(!words.is_empty()), "{}", text_of(&told));
        assert!(text_of(&told).contains(words), "{words}: {}", text_of(&told));
    }
    let single = set("offsets.topic.replication.factor=1");
    let alone = contradictions(&BTreeMap::from([("a", &single)]), &BTreeMap::new());
    assert_eq!(alone, [], "one broker has one copy of everything");
}

#[test]
fn a_broker_with_another_id_than_the_inventory_s_is_told() {
    let inventory = Inventory::parse(SHIPPED[0].1).unwrap();
    let seen: Vec<_> = inventory.members().map(|node| (node, well())).collect();
    let (right, wrong) = (set("broker.id=1"), set("broker.id=3"));
    let files = BTreeMap::from([("cpu-node1", &right), ("cpu-node2", &wrong)]);
    let told = ids(&files, &seen);
    assert_eq!((told.len(), worst(&told)), (1, Health::Bad), "{}", text_of(&told));
    assert!(text_of(&told).contains("cpu-node2: broker.id=3, and 2 in the inventory"));
}

#[test]
fn brokers_that_say_other_addresses_than_the_inventory_are_told() {
    let inventory = Inventory::parse(SHIPPED[0].1).unwrap();
    let broker = |last: u8, port| crate::cluster::attached::SurveyedBroker {
        address: ([192, 168, 1, last], port).into(),
        rack: None,
    };
    let mut survey = ClusterSurvey {
        bootstrap: inventory.bootstrap(),
        cluster_id: "kbench".to_owned(),
        kraft: false,
        brokers: [(1, broker(184, 9092)), (2, broker(187, 9092)), (3, broker(190, 9092))].into(),
        settings: BTreeMap::new(),
        topics: BTreeSet::new(),
        groups: BTreeSet::new(),
        unwell: vec![],
    };
    let good = as_told(&inventory, &survey);
    assert_eq!(good.health, Health::Good, "{}", good.detail);
    survey.brokers.insert(3, broker(190, 9093));
    let wrong = as_told(&inventory, &survey);
    assert_eq!(wrong.health, Health::Bad, "{}", wrong.detail);
    assert!(wrong.detail.contains("192.168.1.190:9093"), "{}", wrong.detail);
    survey.brokers.remove(&3);
    assert_eq!(as_told(&inventory, &survey).health, Health::Bad, "one broker is not there");
    survey.brokers.extend([(3, broker(190, 9092)), (4, broker(191, 9092))]);
    let more = as_told(&inventory, &survey);
    assert!(more.detail.contains("broker 4 belongs to the cluster"), "{}", more.detail);
    survey.brokers.remove(&4);
    survey.unwell.push("user-events-0 has no leader".to_owned());
    assert_eq!(as_told(&inventory, &survey).health, Health::Bad, "it is not well");
}
