use std::time::Duration;

use proptest::prelude::*;

use super::check::tests::asked;
use super::{Request, RunSpec, parse};
use crate::cluster::local::sandbox::Mode;
use crate::topology::{SHIPPED, Topology};
use workloads::WorkloadSpec;

/// What another program may read otherwise than it was written.
const BAD: [&str; 6] = ["a\nb", "a\u{1b}[2Jb", "a\0b", " a", "a ", "a\u{a0}"];

type Change = fn(&mut RunSpec, String);

/// Every kind of place from which a text goes to a server, to librdkafka or into a path, as key and as value.
const PLACES: [(Change, &str); 20] = [
    (|s, bad| s.run_id = bad, "run_id"),
    (|s, bad| s.cluster.name = bad, "cluster: name"),
    (|s, bad| s.cluster.node[0].name = bad, "node name"),
    (|s, bad| s.cluster.kafka.version = bad, "kafka.version"),
    (|s, bad| s.cluster.topic[0].name = bad, "topic name"),
    (|s, bad| drop(s.cluster.topic[0].config.insert(bad, "1".into())), "config"),
    (|s, bad| drop(s.cluster.topic[0].config.insert("compression.type".into(), bad)), "config"),
    (|s, bad| drop(s.cluster.broker.settings.insert(bad, "1".into())), "broker.settings"),
    (|s, bad| drop(s.cluster.broker.settings.insert("broker.rack".into(), bad)), "broker.settings"),
    (|s, bad| drop(s.cluster.zookeeper.settings.insert(bad, "1".into())), "zookeeper.settings"),
    (|s, bad| drop(s.cluster.zookeeper.settings.insert("forceSync".into(), bad)), "zookeeper"),
    (|s, bad| s.cluster.broker.jvm.push(bad), "broker.jvm"),
    (|s, bad| s.cluster.zookeeper.jvm.push(bad), "zookeeper.jvm"),
    (|s, bad| s.cluster.broker.quick_start.push(bad), "broker.quick_start"),
    (|s, bad| s.workload.name = bad, "workload: name"),
    (|s, bad| s.workload.consumers.as_mut().unwrap().group = bad, "consumers.group"),
    (|s, bad| drop(s.workload.producer.settings.insert(bad, "1".into())), "producer.settings"),
    (
        |s, bad| drop(s.workload.producer.settings.insert("client.rack".into(), bad)),
        "producer.settings",
    ),
    (|s, bad| s.plan.as_mut().unwrap().name = bad, "plan: `name`"),
    (|s, bad| s.plan.as_mut().unwrap().steps[0].id = bad, "plan: `id`"),
];

#[test]
fn a_text_that_another_program_may_misread_is_refused_wherever_it_stands() {
    for (change, place) in PLACES {
        for bad in BAD {
            let mut spec = asked("failover");
            change(&mut spec, bad.to_owned());
            let why = spec.check().expect_err(place);
            assert!(why.contains(place), "{place}: {why}");
        }
    }
}

#[test]
fn what_was_taken_on_trust_is_recorded_and_nothing_else() {
    let seed = Some(7);
    let request = |set: &[&str], trusted| Request {
        set: set.iter().map(|one| (*one).to_owned()).collect(),
        mode: Some(Mode::Loopback),
        seed,
        trusted,
        ..Request::of("smoke", "failover", "guide")
    };
    assert!(request(&[], true).resolve().unwrap().spec.trusted.is_empty());
    for (set, words) in [
        ("cluster.broker.jvm=['-XX:OnError=x']", "broker.jvm: `-XX:OnError=x` runs a command"),
        (
            "cluster.broker.settings.metric.reporters=a.B",
            "broker.settings: `metric.reporters` loads",
        ),
        (
            "cluster.zookeeper.settings.serverCnxnFactory=a.B",
            "zookeeper.settings: `serverCnxnFactory`",
        ),
        ("workload.producer.settings.debug=all", "producer.settings: `debug` has clients print"),
    ] {
        let refused = request(&[set], false).resolve().unwrap_err();
        assert!(refused.text().contains(words), "{}", refused.text());
        assert!(refused.cure().unwrap().contains("--trust-spec"));
        let spec = request(&[set], true).resolve().unwrap().spec;
        assert!(spec.trusted.len() == 1 && spec.trusted[0].contains(words), "{set}");
        let again: RunSpec = toml::from_str(&toml::to_string(&spec).unwrap()).unwrap();
        assert_eq!((again.check(), again.trusted), (Ok(()), spec.trusted));
    }
    // Not even trust makes another's what kbench itself must own, or what there is not.
    for (set, words) in [
        ("cluster.broker.settings.log.dirs=/x", "`log.dirs` cannot be set"),
        ("cluster.zookeeper.settings.dataDir=/x", "follows from the nodes"),
        ("cluster.broker.heap_mb=4000000000", "the machine has"),
        (
            "workload.producer.settings.queue.buffering.max.kbytes=2147483647",
            "half of this machine",
        ),
        ("workload.producer.settings.debug=nothing", "is refused by librdkafka"),
        ("workload.producer.settings.lingr.ms=5", "it knows no such setting"),
    ] {
        let refused = request(&[set], true).resolve().unwrap_err();
        assert!(refused.text().contains(words), "{}", refused.text());
    }
}

/// A workload with every time that a workload may have.
fn workload(times: &[String]) -> String {
    let mut text =
        "name = 'w'\ndescription = 'd'\n[load]\nrate = { per_second = 10 }\nrecord_bytes = 100\n\
         keys = 10\n[producer]\nacks = 'all'\nidempotence = true\ncompression = 'none'\n\
         [consumers]\ngroup = 'g'\nmembers = 1\ncommit_interval = '{0}'\n\
         [probe]\nper_second = 1\nrecord_bytes = 100\nread_interval = '{1}'\n\
         [groups.h]\nmembers = 1\ncommit_interval = '{2}'\n[readers.r]\ninterval = '{3}'\n\
         [phases]\nwarm_up = '{4}'\nbaseline = '{5}'\nduration = '{6}'\n"
            .to_owned();
    for (number, time) in times.iter().enumerate() {
        text = text.replace(&format!("{{{number}}}"), time);
    }
    text
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(300) })]

    #[test]
    fn no_time_in_a_workload_makes_anything_overflow(
        times in proptest::collection::vec(
            prop_oneof![
                Just("18446744073709551615s".to_owned()),
                Just("7days".to_owned()),
                Just("0s".to_owned()),
                (0..u64::MAX).prop_map(|ns| format!("{ns}ns")),
                (1..100_u64).prop_map(|s| format!("{s}s")),
                (1..100_u64).prop_map(|s| format!("{s}s")),
                (1..100_u64).prop_map(|s| format!("{s}s")),
            ],
            7,
        ),
        session: u32,
        trials in 1..1000_u32,
    ) {
        let Ok(workload) = parse::<WorkloadSpec>(&workload(&times)) else { return Ok(()) };
        let mut spec = RunSpec { workload, ..asked("failover") };
        let session_ms = (session / 2).to_string();
        spec.cluster.broker.settings.insert("zookeeper.session.timeout.ms".into(), session_ms);
        let expected = spec.expected_trial();
        prop_assert!(expected.saturating_mul(trials) >= expected);
        if spec.check().is_ok() {
            prop_assert!(expected <= Duration::from_secs(7 * 24 * 3600));
        }
    }
}

#[test]
fn a_trial_that_would_outlast_the_run_s_clock_is_refused() {
    let text = workload(&["1s", "1s", "1s", "1s", "4days", "4days", "1s"].map(str::to_owned));
    let spec = RunSpec { workload: parse(&text).unwrap(), ..asked("failover") };
    assert!(spec.check().unwrap_err().contains("about 8 days: it has 7 at most"));
}

#[test]
fn what_is_shipped_takes_no_trust_and_fits_here() {
    for (name, text) in SHIPPED {
        let cluster = parse::<Topology>(text).unwrap();
        super::trust::cluster(name, &cluster, false).unwrap();
        for (load, text) in workloads::shipped() {
            let workload = parse::<WorkloadSpec>(text).unwrap();
            super::trust::workload(load, &workload, (cluster.brokers().len(), 3), false).unwrap();
        }
    }
}
