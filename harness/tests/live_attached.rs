//! Clusters that run already and are only connected to: one with ZooKeeper, and one of KRaft.

#![expect(clippy::expect_used, reason = "a test that cannot set itself up has failed")]

mod support;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use rdkafka::config::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::message::{Message, OwnedMessage};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
use results::record::history::{Client, Entry, History};
use support::attached::{assert_valid, run};
use support::during::{await_event, is_stage};
use support::kept::Kept;
use support::kraft::{KraftNode, jars};
use support::*;

/// Limit for brokers to put the logs of a deleted topic aside.
const PUT_ASIDE: Duration = Duration::from_secs(10);

/// Limit for a broker to answer a client of the test's own.
const ANSWER: Duration = Duration::from_secs(20);

/// Limit for a run of a few seconds to end.
const SHORT_RUN: Duration = Duration::from_secs(90);

/// The partition whose first records are written again, and how many of them.
const COPIED: i32 = 0;
const COPIES: usize = 100;

/// Limit for a load to begin.
const BEGUN: Duration = Duration::from_secs(60);

/// A scenario that a cluster of three brokers allows, without the limit of its links, and one that it does not.
const SUITE: &str = r#"
name = "there"
description = "two short scenarios"
[[scenario]]
id = "healthy"
workload = "smoke"
duration = "6s"
set = ["workload.consumers.members=1", "cluster.links.rate=2 MB/s"]
claims = ["written-unique-offset"]
[[scenario]]
id = "five"
workload = "smoke"
cluster = "five-brokers"
duration = "3s"
claims = ["load-33-20"]
"#;

/// The logs of runs' topics on a cluster, less those that are put aside to be deleted.
fn topics_of(kept: &Kept) -> Vec<String> {
    let logs = kept.clusters().join("guide/data");
    let mut found = vec![];
    for broker in fs::read_dir(logs).expect("the servers' data").flatten() {
        for folder in fs::read_dir(broker.path()).into_iter().flatten().flatten() {
            let name = folder.file_name().to_string_lossy().into_owned();
            if name.contains("-kb") && !name.contains("-delete") {
                found.push(name);
            }
        }
    }
    found.sort();
    found
}

/// Asserts that this is what is left. Brokers forget a topic, and then put its logs aside: the metadata tell first.
fn left(kept: &Kept, expected: &[String], text: &str) {
    let settled = within(PUT_ASIDE, || topics_of(kept) == expected);
    assert!(settled, "{:?} and not {expected:?}: {text}", topics_of(kept));
}

#[test]
#[ignore = "starts a real cluster"]
fn a_cluster_with_zookeeper_is_loaded_and_left_as_it_was() {
    let kept = Kept::up(&["--mode", "loopback", "--set", SHORT_SESSION]);
    let out = kept.folder();
    let (_, status) = kept.kbench(&["cluster", "status", "guide"]);
    let address = |word: &str| word.starts_with("127.") && word.ends_with(":9092");
    let broker = status.split_whitespace().find(|word| address(word)).expect("a broker").to_owned();
    // The first address is nobody's.
    let bootstrap = format!("127.0.0.1:1,{broker}");

    let (_, text) = run(out, &bootstrap, &["--faults", "none", "--duration", "8s"]);
    assert_valid(out, &text);
    left(&kept, &[], &text);

    let (code, text) = run(out, &bootstrap, &["--faults", "failover"]);
    assert_eq!(code, Some(2), "{text}");
    assert!(flat(&text).contains("is only connected to"), "{text}");

    // Leaders are moved on a cluster that was named, by Kafka's own id of it.
    let (code, text) = run(out, &bootstrap, &["--faults", "leaders-moved"]);
    assert_eq!(code, Some(2), "{text}");
    let flat_text = flat(&text);
    let id = flat_text.split("--yes-hurt-this-cluster ").nth(1).expect("the cure");
    let id = id.split([' ', ',']).next().expect("a name").to_owned();

    // Of a suite without the cluster's name it is told what it would do.
    let suite = write(out, "there.toml", SUITE);
    let suite = ["run", "--suite", &suite, "--bootstrap-server", &bootstrap];
    let (code, text) = kept.kbench(&suite);
    assert_eq!(code, Some(0), "{text}");
    let cure = "nothing was done; to carry it out: kbench run --suite";
    assert!(text.contains(cure) && text.contains(&id), "{text}");
    left(&kept, &[], &text);
    let named = ["--yes-hurt-this-cluster", &id];
    let (code, text) = kept.kbench(&[&suite[..], &named].concat());
    assert_eq!(code, Some(3), "what it does not allow was not seen: {text}");
    assert!(text.contains("cluster.links is left out"), "{text}");
    let report = json(&latest(out).join("report.json"));
    let verdict = report["scenarios"][0]["verdict"].as_str().unwrap_or("none");
    assert!(["valid", "invalid-run"].contains(&verdict), "{report}");
    let outcome = report["scenarios"][1]["outcome"].as_str().unwrap_or_default();
    assert!(outcome.contains("it is for 5 brokers"), "{outcome}");
    let claims = report["claims"].as_array().expect("claims");
    let load = claims.iter().find(|it| it["claim"]["id"] == "load-33-20").expect("the claim");
    assert_eq!(load["claim"]["outcome"], "undecided", "{load}");
    left(&kept, &[], &text);

    let named = ["--faults", "leaders-moved", "--yes-hurt-this-cluster", &id, "--keep-topics"];
    let (_, text) = run(out, &bootstrap, &named);
    let report = assert_valid(out, &text);
    assert_eq!(report["faults"][0]["proven"], true, "{text}");
    assert_eq!(report["faults"][0]["heal_proven"], true, "{text}");
    // Who led what was not seen, and is not made up.
    let rows = report["recovery"].as_array().expect("rows");
    assert!(rows.iter().all(|row| row["led"].is_null()), "{text}");
    let stay = topics_of(&kept);
    assert!(!stay.is_empty(), "kept: {text}");

    // The load's topic grows and is spread, and is deleted with all of its partitions.
    let named = ["--faults", "scale-out-joined", "--yes-hurt-this-cluster", &id];
    let (_, text) = run(out, &bootstrap, &named);
    let report = assert_valid(out, &text);
    let changes = report["changes"].as_array().expect("changes");
    let ended = changes.iter().filter(|change| change["took_s"].is_number()).count();
    assert_eq!((changes.len(), ended), (3, 3), "{changes:?}: {text}");
    left(&kept, &stay, &text);

    // A killed run's topics are deleted by heal, and only on a cluster that was named again.
    let arguments = ["--workload", "smoke", "--faults", "none", "--duration", "60s"];
    let killed = out.join("killed");
    fs::create_dir(&killed).expect("a folder");
    let mut child = start(&killed, &[&arguments[..], &["--bootstrap-server", &bootstrap]].concat());
    let loads = || topics_of(&kept).len() > stay.len() && killed.join("latest/history").exists();
    assert!(within(BEGUN, loads), "{}", stderr(&killed));
    // It is told to whoever comes meanwhile.
    let short = ["--faults", "none", "--duration", "6s"];
    let (code, text) = run(out, &bootstrap, &short);
    let holder = latest(&killed).file_name().expect("a name").to_string_lossy().into_owned();
    assert_eq!(code, Some(2), "{text}");
    let words =
        format!("another kbench works on the cluster {id} at {bootstrap}: run {holder} on ");
    assert!(flat(&text).contains(&words), "{words}: {text}");
    kill(Pid::from_raw(child.id() as i32), Signal::SIGKILL).expect("a signal");
    child.wait().expect("a child");
    let name = latest(&killed).display().to_string();
    let (code, text) = kept.kbench(&["heal", &name]);
    assert_eq!(code, Some(3), "{text}");
    assert!(text.contains(&format!("--yes-hurt-this-cluster {id}")), "{text}");
    assert!(topics_of(&kept).len() > stay.len(), "{text}");
    let (code, text) = kept.kbench(&["heal", &name, "--yes-hurt-this-cluster", &id]);
    assert_eq!(code, Some(0), "{text}");
    left(&kept, &stay, &text);
    let (code, text) = kept.kbench(&["heal", &name]);
    assert!(code == Some(0) && text.contains("nothing to heal"), "{text}");
    let (_, text) = run(out, &bootstrap, &short);
    assert_valid(out, &text);
}

#[test]
#[ignore = "starts a real cluster"]
fn a_kraft_cluster_is_loaded_and_checked() {
    let Some(jars) = jars() else {
        return skipped("KRaft", "Kafka 3.9.1 is not in kbench's cache: kbench doctor --prepare");
    };
    let nodes = KraftNode::cluster(&jars, &["127.0.77.1", "127.0.77.2", "127.0.77.3"]);
    let out = folder();
    let bootstrap = "127.0.77.1:9092";
    let (_, text) = run(out.path(), bootstrap, &["--faults", "none", "--duration", "8s"]);
    let report = assert_valid(out.path(), &text);
    assert_eq!(report["environments"][0]["environment"]["zookeeper"], "none (KRaft)", "{text}");
    // Its brokers name any of them as the controller.
    let seen = events(&latest(out.path()));
    assert!(seen.iter().all(|event| event["event"] != "controller-seen"), "{text}");

    let (code, text) = run(out.path(), bootstrap, &["--faults", "leaders-moved"]);
    assert_eq!(code, Some(2), "{text}");
    assert!(flat(&text).contains("KRaft clusters so far"), "{text}");

    let plan = out.path().join("leaves.toml");
    let step = "name = 'leaves'\ndescription = 'a member leaves'\n[[step]]\nid = 'leaves'\n\
                fault = 'consumer-leaves'\nhold = '5s'\n";
    fs::write(&plan, step).expect("a plan");
    let plan = plan.display().to_string();
    let (_, text) = run(out.path(), bootstrap, &["--faults", &plan]);
    let report = assert_valid(out.path(), &text);
    assert_eq!(report["faults"][0]["proven"], true, "{text}\n{}", nodes[0].log());
    a_copy_is_found_with_its_producer_epoch(bootstrap);
}

/// Records that another client writes again, as a producer that lost count would: the check finds them, and knows from
/// the headers of that partition's batches that they were written in another epoch. No other partition is read again.
fn a_copy_is_found_with_its_producer_epoch(bootstrap: &str) {
    let out = folder();
    let arguments = ["--workload", "smoke", "--bootstrap-server", bootstrap, "--faults", "none"];
    let mut child = start(out.path(), &[&arguments[..], &["--duration", "8s"]].concat());
    await_event(&mut child, out.path(), is_stage("baseline"));
    write_again(bootstrap, &first_records(bootstrap));
    let code = exit_code(&mut child, SHORT_RUN, out.path());
    let run = latest(out.path());
    let report = json(&run.join("report.json"));
    let checks = report["checks"].as_array().expect("checks");
    let check = checks.iter().find(|check| check["name"] == "duplicate").expect("a check");
    assert_eq!(
        (code, &check["verdict"]),
        (1, &"violated".into()),
        "{check}\n{}",
        stderr(out.path())
    );
    let found = check.to_string();
    assert!(found.contains(" and again at offset "), "{found}");
    assert!(found.contains(", in a new producer epoch"), "{found}");
    assert!(!found.contains("not known"), "{found}");
    headers_of_one_partition(&run, COPIED);
}

/// The first records of a partition that the only run here writes to: more than its direct producer, whose copies are
/// only counted, has written before another producer wrote any.
fn first_records(bootstrap: &str) -> Vec<OwnedMessage> {
    let consumer: BaseConsumer = ClientConfig::new()
        .set("bootstrap.servers", bootstrap)
        .set("group.id", "none")
        .create()
        .expect("a consumer");
    let metadata = consumer.fetch_metadata(None, ANSWER).expect("metadata");
    let topics = metadata.topics().iter().map(|topic| topic.name().to_owned());
    let topics: Vec<_> = topics.filter(|name| name.starts_with("user-events-kb")).collect();
    assert_eq!(topics.len(), 1, "{topics:?}");
    let mut from = TopicPartitionList::new();
    from.add_partition_offset(&topics[0], COPIED, Offset::Beginning).expect("a partition");
    consumer.assign(&from).expect("an assignment");
    let next = || consumer.poll(ANSWER).expect("a record in time").expect("a record").detach();
    (0..COPIES).map(|_| next()).collect()
}

/// Writes records again to their partition, as a producer without idempotence.
fn write_again(bootstrap: &str, records: &[OwnedMessage]) {
    let producer: BaseProducer =
        ClientConfig::new().set("bootstrap.servers", bootstrap).create().expect("a producer");
    for record in records {
        let mut copy = BaseRecord::<[u8], [u8]>::to(record.topic())
            .partition(record.partition())
            .payload(record.payload().expect("a payload"));
        copy.key = record.key();
        copy.headers = record.headers().cloned();
        producer.send(copy).map_err(|(error, _)| error).expect("room in the queue");
    }
    producer.flush(ANSWER).expect("acks");
}

/// Asserts that the batches of this partition alone were read again, from the begin of its log to its end.
fn headers_of_one_partition(run: &Path, partition: i32) {
    let history = History::load(&run.join("history")).expect("a history");
    let (mut known, mut ends) = (BTreeMap::from([(partition, 0)]), BTreeMap::new());
    let mut epochs = BTreeSet::new();
    let mut without = 0;
    for stream in &history.streams {
        for entry in &stream.entries {
            match *entry {
                Entry::Batches { partition, first, end, epoch, .. } => {
                    assert_eq!(stream.header.client, Client::BatchHeaders);
                    assert_eq!(known.insert(partition, end), Some(first), "partition {partition}");
                    epochs.insert((epoch.id >= 0, epoch.epoch >= 0));
                    without += if epoch.id < 0 { end - first } else { 0 };
                }
                Entry::Drained { partition, end_offset, .. } => {
                    ends.insert(partition, end_offset);
                }
                _ => {}
            }
        }
    }
    assert_eq!(known, BTreeMap::from([(partition, ends[&partition])]));
    assert_eq!(epochs, BTreeSet::from([(false, false), (true, true)]));
    assert!(without >= COPIES as i64, "{without} records without an epoch");
}
