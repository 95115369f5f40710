//! What runs take, as a table; and that more of anything never takes less.

use std::time::Duration;

use proptest::prelude::*;
use workloads::{WorkloadSpec, shipped};

use super::*;
use crate::topology::{SHIPPED, Topology};

const GIB: f64 = (1 << 30) as f64;

fn guide() -> Topology {
    Topology::parse(SHIPPED[0].1).unwrap()
}

/// The default load with so many records of so many bytes a second, for so long.
fn workload(per_s: u64, bytes: usize, seconds: u64) -> WorkloadSpec {
    let text = shipped().iter().find(|(name, _)| *name == "1k-msg-s").unwrap().1;
    let mut workload = WorkloadSpec::parse(text).unwrap();
    workload.load.rate = workloads::Rate::PerSecond(per_s);
    workload.load.record_bytes = bytes.into();
    workload.phases.duration = Some(Duration::from_secs(seconds));
    workload
}

fn need(per_s: u64, bytes: usize, seconds: u64) -> Need {
    Need::of(&RunFigures::of_trial(&workload(per_s, bytes, seconds), None, &guide()))
}

#[test]
fn what_runs_take_is_what_was_measured_and_more() {
    // Rate, bytes, seconds; what a machine was seen to write or to hold, and how much more is too much.
    let short = need(10_000, 100, 50);
    assert!((282..500).contains(&(short.data / 1_000_000)), "{short:?}");
    assert!((5_900_000..30_000_000).contains(&short.history), "{short:?}");
    assert!(short.files > 6_800_000 && short.events > 40_479, "{short:?}");
    let hour = need(1000, 1024, 3600);
    assert!((10.0..13.0).contains(&(hour.data as f64 / GIB)), "{hour:?}");
    assert!((2.3..3.5).contains(&(hour.lab as f64 / GIB)), "{hour:?}");
    assert!(hour.files < 300 << 20 && hour.judge < 400 << 20, "{hour:?}");
    let many = need(8334, 100, 3600);
    assert!(many.records > 30_000_000 && many.judge < 1 << 30, "{many:?}");
    assert!((14.0..18.0).contains(&(many.data as f64 / GIB)), "{many:?}");
}

#[test]
fn the_guide_s_cluster_needs_its_heaps_and_more() {
    assert_eq!(jvms(&guide()), (3 * (512 + 100) + 3 * (128 + 100)) << 20);
}

#[test]
fn a_plan_counts_by_how_long_it_may_take() {
    let workload = workload(1000, 1024, 60);
    let mut all: Vec<(Duration, u64)> = vec![];
    for (name, text) in faults::plan::SHIPPED {
        let plan = faults::plan::Plan::parse(text).unwrap();
        let likely = plan.estimate(Duration::from_secs(18));
        let need = Need::of(&RunFigures::of_trial(&workload, Some(&plan), &guide()));
        assert!(need.seconds > likely.as_secs() + 60, "{name}: {need:?}");
        assert!(need.data > 440 << 20 || need.seconds < 150, "{name}: {need:?}");
        all.push((likely, need.data));
    }
    all.sort();
    assert!(all.is_sorted_by_key(|(_, data)| *data), "a longer plan takes more: {all:?}");
}

#[test]
fn a_topic_that_keeps_little_counts_by_what_it_can_hold() {
    let held = |topic: &[(&str, &str)], brokers: &[(&str, &str)]| {
        let mut cluster = guide();
        let pairs = |list: &[(&str, &str)]| {
            list.iter()
                .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()))
                .collect::<Vec<_>>()
        };
        cluster.topic[0].config.extend(pairs(topic));
        cluster.broker.settings.extend(pairs(brokers));
        let figures = RunFigures::of_trial(&workload(1000, 1024, 8 * 3600), None, &cluster);
        Need::of(&figures).data as f64 / GIB
    };
    let whole = held(&[], &[]);
    assert!(whole > 85.0, "{whole}");
    let small = [("retention.bytes", "104857600"), ("segment.bytes", "16777216")];
    assert!(held(&small, &[]) < 6.0);
    let age = [("retention.ms", "60000"), ("segment.bytes", "16777216")];
    assert!(held(&age, &[]) < 6.0);
    let sooner = [("log.retention.check.interval.ms", "10000")];
    assert!(held(&age, &sooner) < held(&age, &[]));
    let by_brokers = [("log.retention.minutes", "1"), ("log.segment.bytes", "16777216")];
    assert!(held(&[], &by_brokers) < 6.0);
    // A segment is never cut: those of 1 GiB hold more than the limit says.
    assert!(held(&small[..1], &[]) > 15.0);
    // What bounds nothing.
    for unbounded in [
        &[("retention.bytes", "-1")][..],
        &[("retention.ms", "-1")],
        &[("retention.ms", "604800000")],
        &[("retention.bytes", "1"), ("segment.bytes", "1048576"), ("cleanup.policy", "compact")],
    ] {
        assert_eq!(held(unbounded, &[]), whole, "{unbounded:?}");
    }
}

#[test]
fn the_largest_figures_are_large_and_no_panic() {
    let need = need(u64::MAX, usize::MAX, u64::MAX / 4);
    assert_eq!((need.data, need.history), (u64::MAX, u64::MAX));
}

fn figures() -> impl Strategy<Value = RunFigures> {
    let kept = (prop::option::of(0.0..1e12), prop::option::of(0.0..1e6), 0.0..2e9, 0.0..1000.0)
        .prop_map(|(bytes, seconds, segment, late)| Kept { bytes, seconds, segment, late });
    let topic = (0.0..1e6, 0.0..1e5, 1.0..1000.0, 1.0..5.0, kept, any::<bool>()).prop_map(
        |(per_s, bytes, partitions, replicas, kept, is_main)| TopicFigures {
            per_s,
            bytes_per_s: per_s * bytes,
            partitions,
            replicas,
            kept,
            is_main,
        },
    );
    let numbers = (1_u32..1000, 1_u32..64, 0_u64..1 << 40, 0_u32..50, 0_u32..10, 0_u32..100);
    let rates = (0.0..1e6, 0.0..1e4, 1.0..3.0, 0.0..1e4);
    (prop::collection::vec(topic, 1..4), numbers, rates).prop_map(|(topics, numbers, rates)| {
        let (trials, parallel, jvms, servers, groups, consumers) = numbers;
        let (seconds, commits_per_s, commit_replicas, reads_per_s) = rates;
        RunFigures {
            topics,
            seconds,
            trials,
            parallel,
            jvms,
            servers,
            groups,
            consumers,
            commits_per_s,
            commit_replicas,
            reads_per_s,
        }
    })
}

/// Every amount of a need.
fn amounts(need: &Need) -> [u64; 9] {
    let Need { data, lab, judge, files, history, events, records, seconds, labs } = *need;
    [data, lab, judge, files, history, events, records, seconds, labs.into()]
}

proptest! {
    #[test]
    fn more_of_anything_never_needs_less(figures in figures(), by in 1.0..100.0, n in 1_u32..9) {
        let before = amounts(&Need::of(&figures));
        type More = fn(&mut RunFigures, f64, u32);
        let more: [(&str, More); 17] = [
            ("seconds", |f, by, _| f.seconds *= by),
            ("trials", |f, _, n| f.trials += n),
            ("parallel", |f, _, n| f.parallel += n),
            ("jvms", |f, _, n| f.jvms += u64::from(n)),
            ("servers", |f, _, n| f.servers += n),
            ("groups", |f, _, n| f.groups += n),
            ("consumers", |f, _, n| f.consumers += n),
            ("commits", |f, by, _| f.commits_per_s *= by),
            ("commit_replicas", |f, by, _| f.commit_replicas *= by),
            ("reads", |f, by, _| f.reads_per_s *= by),
            ("topics", |f, _, _| f.topics.push(f.topics[0].clone())),
            ("rate", |f, by, _| {
                f.topics[0].per_s *= by;
                f.topics[0].bytes_per_s *= by;
            }),
            ("bytes", |f, by, _| f.topics[0].bytes_per_s *= by),
            ("partitions", |f, by, _| f.topics[0].partitions *= by),
            ("replicas", |f, by, _| f.topics[0].replicas *= by),
            ("kept", |f, by, _| {
                let kept = &mut f.topics[0].kept;
                kept.bytes = kept.bytes.map(|bytes| bytes * by);
                kept.seconds = kept.seconds.map(|seconds| seconds * by);
                kept.segment *= by;
                kept.late *= by;
            }),
            ("no limit", |f, _, _| {
                f.topics[0].kept.bytes = None;
                f.topics[0].kept.seconds = None;
            }),
        ];
        for (what, change) in more {
            let mut changed = figures.clone();
            change(&mut changed, by, n);
            let after = amounts(&Need::of(&changed));
            let less = before.iter().zip(after).any(|(before, after)| {
                // What a product of rounded figures may lose.
                after < before.saturating_sub(before / 1_000_000_000 + 1)
            });
            prop_assert!(!less, "{}: {:?} {:?}", what, before, after);
        }
    }
}
