use faults::plan::Plan;
use workloads::WorkloadSpec;

use super::super::{Spec, load};
use super::*;
use crate::topology::Topology;

fn changes(texts: &[&str]) -> Vec<Change> {
    texts.iter().map(|text| Change::parse(text).unwrap()).collect()
}

/// A shipped specification with changes, as the TOML that a resolved spec would hold.
fn with<T: Spec + serde::Serialize>(name: &str, texts: &[&str]) -> Result<Table, Failure> {
    load::<T>(name, &changes(texts)).map(|spec| Table::try_from(&spec).unwrap())
}

/// What is said of changes that do not fit.
fn refusal<T: Spec + serde::Serialize>(name: &str, texts: &[&str]) -> String {
    match with::<T>(name, texts) {
        Ok(_) => panic!("{name} takes {texts:?}"),
        Err(failure) => format!("{}; {}", failure.text(), failure.cure().unwrap_or_default()),
    }
}

/// Every key below `value` that is no table, dotted, with its value.
fn leaves(key: &str, value: &Value, into: &mut Vec<(String, Value)>) {
    match value {
        Value::Table(table) if !table.is_empty() => {
            table.iter().for_each(|(name, value)| leaves(&format!("{key}.{name}"), value, into));
        }
        Value::Array(list) if list.iter().all(Value::is_table) => {
            for (number, member) in (1..).zip(list) {
                let name = ["id", "name"].iter().find_map(|key| member.get(key)?.as_str());
                let name = name.map_or_else(|| number.to_string(), str::to_owned);
                leaves(&format!("{key}.{name}"), member, into);
            }
        }
        leaf => into.push((key.to_owned(), leaf.clone())),
    }
}

/// A value as it would be written behind `--set KEY=`: quoted as TOML, and as bare text.
fn written(value: &Value) -> Vec<String> {
    let text = value.as_str().map(str::to_owned);
    std::iter::once(value.to_string()).chain(text).collect()
}

/// Keys whose text may be any: nothing is wrong for them.
fn takes_any_text(key: &str) -> bool {
    let names = ["description", "settings", "config", "group", "version", "to", "node"];
    key == "workload.name"
        || key == "cluster.name"
        || key.split('.').any(|segment| names.contains(&segment))
}

fn each_key_takes_its_own_value_and_names_itself<T>()
where
    T: Spec + serde::Serialize,
{
    const WRONG: &str = "{ nonsense = [1] }";
    for (name, text) in T::shipped() {
        let unchanged = with::<T>(name, &[]).unwrap();
        let mut all = vec![];
        // As it is written, and as it is resolved: defaults are keys too.
        leaves(T::KIND, &Value::Table(text.parse().unwrap()), &mut all);
        leaves(T::KIND, &Value::Table(unchanged.clone()), &mut all);
        all.sort_by(|a, b| a.0.cmp(&b.0));
        all.dedup_by(|a, b| a.0 == b.0);
        assert!(all.len() > 4, "{name}: {all:?}");
        for (key, value) in all {
            for value in written(&value) {
                let set = format!("{key}={value}");
                let same = with::<T>(name, &[&set])
                    .unwrap_or_else(|failure| panic!("{name}, {set}: {}", failure.text()));
                assert_eq!(same, unchanged, "{name}, {set}");
            }
            let wrong = format!("{key}={WRONG}");
            match with::<T>(name, &[&wrong]) {
                Ok(_) => assert!(takes_any_text(&key), "{name} takes {wrong}"),
                Err(failure) => {
                    let text = failure.text();
                    assert!(text.contains(&key) && text.contains(WRONG), "{wrong}: {text}");
                }
            }
            // Below it there is nothing, but where the names of settings have dots.
            let unknown = format!("{key}.nonsense=1");
            if !key.contains("settings.") && !key.contains("config.") {
                let text = refusal::<T>(name, &[&unknown]);
                assert!(text.contains(&key), "{unknown}: {text}");
            }
        }
    }
}

#[test]
fn each_key_of_each_shipped_workload_is_set_by_its_type() {
    each_key_takes_its_own_value_and_names_itself::<WorkloadSpec>();
}

#[test]
fn each_key_of_each_shipped_plan_is_set_by_its_type() {
    each_key_takes_its_own_value_and_names_itself::<Plan>();
}

#[test]
fn each_key_of_each_shipped_cluster_is_set_by_its_type() {
    each_key_takes_its_own_value_and_names_itself::<Topology>();
}

#[test]
fn a_text_that_looks_like_a_number_is_the_text_where_text_is_wanted() {
    let sets = ["workload.producer.acks=1", "workload.producer.idempotence=false"];
    let table = with::<WorkloadSpec>("smoke", &sets).unwrap();
    assert_eq!(table["producer"]["acks"], Value::String("1".into()));
    let sets = [
        "cluster.broker.settings.zookeeper.session.timeout.ms=6000",
        "cluster.broker.settings.unclean.leader.election.enable=true",
        "cluster.topic.user-events.config.leader.replication.throttled.replicas=2_000",
        "cluster.name=3.8",
    ];
    let table = with::<Topology>("guide", &sets).unwrap();
    let settings = &table["broker"]["settings"];
    assert_eq!(settings["zookeeper.session.timeout.ms"], Value::String("6000".into()));
    assert_eq!(settings["unclean.leader.election.enable"], Value::String("true".into()));
    let config = &table["topic"][0]["config"];
    assert_eq!(config["leader.replication.throttled.replicas"], Value::String("2_000".into()));
    assert_eq!(table["name"], Value::String("3.8".into()));
}

#[test]
fn keys_that_are_not_there_are_made_with_their_types() {
    for set in [
        "plan.step.controller.rolling=true",
        "plan.at_once=2",
        "plan.allows=[\"quorum-loss\"]",
        "plan.step.controller.expect=anything",
        "plan.step.controller.expect={ gaps-below = \"5s\" }",
        "plan.step.controller.expect.gaps-below=5s",
        // One variant in place of another: a name, a table, a value in a table.
        "plan.step.controller.target=zk-all",
        "plan.step.controller.target.broker=2",
        "plan.step.leader.target.broker=2",
        "plan.step.leader.target=controller",
        "plan.step.leader.target.leader.partition=1",
        "plan.step.controller.fault.degrade.loss=30",
        "plan.step.controller.fault.cut.from=zookeeper",
    ] {
        let sets = [set, "plan.allows=[\"quorum-loss\"]"];
        with::<Plan>("failover", &sets).unwrap_or_else(|f| panic!("{set}: {}", f.text()));
    }
    let rate = "workload.load.rate.per_broker_per_second=7";
    let table = with::<WorkloadSpec>("smoke", &[rate]).unwrap();
    assert_eq!(table["load"]["rate"].to_string(), "{ per_broker_per_second = 7 }");
    // A member without a name goes by its number.
    let table = with::<Plan>("mayhem", &["plan.mix.candidate.2.hold.from=4s"]).unwrap();
    assert_eq!(table["mix"]["candidate"][1]["hold"]["from"], Value::String("4s".into()));
}

#[test]
fn a_table_is_made_by_several_changes_together() {
    let parts = ["plan.step.leader.repeat.times=3", "plan.step.leader.repeat.pause=2s"];
    assert!(with::<Plan>("failover", &parts).is_ok());
    let after = ["plan.step.leader.start.healed.step=controller", "plan.step.leader.prepare=none"];
    let delayed = ["plan.step.leader.start.healed.delay=4s", after[0], after[1]];
    assert!(with::<Plan>("failover", &after).is_ok());
    let table = with::<Plan>("failover", &delayed).unwrap();
    assert_eq!(table["step"][1]["start"]["healed"]["delay"], Value::String("4s".into()));
    let alone = refusal::<Plan>("failover", &delayed[..1]);
    assert!(alone.contains("the key `step` is missing"), "{alone}");
    assert!(alone.contains("--set 'plan.step.leader.start={ ... }'"), "{alone}");
}

#[test]
fn a_workload_s_further_clients_are_made_by_their_keys() {
    let keys = ["readers.oldest.interval=50ms", "groups.audit.members=2"]
        .map(|key| format!("workload.{key}"));
    let interval = "workload.groups.audit.commit_interval=1s";
    let table = with::<WorkloadSpec>("smoke", &[&keys[0], &keys[1], interval]).unwrap();
    assert_eq!(table["groups"]["audit"]["members"], Value::Integer(2));
    let alone = refusal::<WorkloadSpec>("smoke", &[&keys[1]]);
    assert!(alone.contains("the key `commit_interval` is missing"), "{alone}");
}

#[test]
fn of_two_changes_of_one_key_the_later_wins_with_a_warning() {
    let twice =
        ["workload.load.keys=5", "plan.at_once=2", "workload.load.keys=6", "workload.load.keys=7"];
    let warned = repeated(&changes(&twice));
    assert_eq!(
        warned,
        ["--set workload.load.keys is given more than once (5, 6); the last counts: 7"]
    );
    assert_eq!(repeated(&changes(&twice[1..3])), [""; 0]);
    let keys = ["workload.load.keys=5", "workload.load.record_bytes=100", "workload.load.keys=7"];
    let table = with::<WorkloadSpec>("smoke", &keys).unwrap();
    assert_eq!(table["load"]["keys"], Value::Integer(7));
    let parts = ["plan.step.leader.repeat.times=3", "plan.step.leader.repeat.times=4"];
    let table = with::<Plan>("failover", &parts).unwrap();
    assert_eq!(table["step"][1]["repeat"]["times"], Value::Integer(4));
}

#[test]
fn a_refusal_names_key_and_value_and_what_is_allowed() {
    for (set, texts) in [
        (
            "workload.producer.acks=2",
            &["not known here is `2`", "`all`", "`1`", "without --set it is \"all\""][..],
        ),
        (
            "workload.load.keys=many",
            &["a whole number from 0 to 4294967295", "not the text \"many\"", "it is 1"],
        ),
        ("workload.load.keys=-1", &["`-1`", "a whole number from 0"]),
        ("workload.load.record_bytes=1.5", &["not `1.5`"]),
        ("workload.producer.idempotence=1", &["true or false is expected, not `1`", "is true"]),
        (
            "workload.phases.baseline=soon",
            &["a duration (\"20s\", \"2m\") is expected", "it is \"5s\""],
        ),
        (
            "workload.phases.baseline=5",
            &["a duration (\"20s\", \"2m\") is expected, not the text \"5\""],
        ),
        ("workload.producer.ack=1", &["there is no key `ack` (did you mean `acks`?)"]),
        ("workload.load.rate.per_hour=1", &["not known here is `per_hour`", "`per_second`"]),
        ("workload.load.rate=5", &["not known here is `5`", "`per_second`"]),
        ("workload.consumers.members=[3]", &["a whole number from 0 to 65535 is expected"]),
    ] {
        let text = refusal::<WorkloadSpec>("smoke", &[set]);
        assert!(text.contains(&format!("`{set}`")), "{set}: {text}");
        texts.iter().for_each(|part| assert!(text.contains(part), "{set}: no {part} in {text}"));
    }
    for (set, texts) in [
        ("plan.step.c.hold=15s", &["`step` is a list of: controller, leader, both"][..]),
        ("plan.step.hold=15s", &["`step` is a list of: controller, leader, both"]),
        ("plan.step.leader.fault=explode", &["not known here is `explode`", "`kill`"]),
        (
            "plan.step.leader.target.broker=two",
            &["a whole number from -2147483648", "not the text \"two\""],
        ),
        ("plan.step.leader.prepare=1", &["not known here is `1`", "`move-leaders-away`"]),
        ("plan.step.leader.rolling=yes", &["true or false is expected, not the text \"yes\""]),
    ] {
        let text = refusal::<Plan>("failover", &[set]);
        assert!(text.contains(&format!("`{set}`")), "{set}: {text}");
        texts.iter().for_each(|part| assert!(text.contains(part), "{set}: no {part} in {text}"));
    }
    // What has the right type and makes no sense is told by the specification's own rules.
    let text = refusal::<WorkloadSpec>("smoke", &["workload.producer.acks=1"]);
    assert!(text.contains("--set workload.producer.acks=1: producer.idempotence = true"), "{text}");
}

#[test]
fn what_names_no_specification_is_refused() {
    for argument in ["rate=5", "broker.rate=5", "workload.rate", "workload=5", "workload..x=1"] {
        let failure = Change::parse(argument).unwrap_err();
        assert!(failure.text().contains(argument), "{}", failure.text());
    }
}
