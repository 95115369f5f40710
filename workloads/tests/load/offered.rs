//! What a load offers: sizes, payloads, keys, shapes, codecs, and the maximum.

use std::collections::BTreeMap;
use std::time::Duration;

use results::record::history::{History, Send, SendOutcome};
use workloads::LoadSummary;

use crate::lab::{
    LIMIT, Lab, await_that, check_all, check_sequences_of, producer_only, run_for, sends, spec,
};

/// What a load that is changed so sends in some time; it is read back and checked.
fn run(changes: &[(&str, &str)], ms: u64) -> (LoadSummary, Vec<Send>) {
    let (lab, summary, sends) = kept_in_part(changes, ms);
    check_all(&History::load(lab.dir.path()).unwrap());
    (summary, sends)
}

/// The same of a load of which the mock cluster, which keeps 5 MB of a partition, has only the end when it is read.
fn kept_in_part(changes: &[(&str, &str)], ms: u64) -> (Lab, LoadSummary, Vec<Send>) {
    let lab = Lab::new();
    let (load, _seconds) = lab.start(&producer_only(changes));
    load.wait_warm(LIMIT).unwrap();
    load.end_warm_up();
    run_for(ms);
    let summary = load.stop(LIMIT).unwrap();
    assert_eq!((summary.failed, summary.indeterminate), (0, 0), "{changes:?}");
    assert!(lab.drain(3, LIMIT).complete);
    let mut sends = sends(&lab.history()["producer-0"]);
    check_sequences_of(&sends);
    sends.sort_by_key(|send| send.due);
    (lab, summary, sends)
}

fn by<K: Ord>(sends: &[Send], key: impl Fn(&Send) -> K) -> BTreeMap<K, usize> {
    let mut counts = BTreeMap::new();
    sends.iter().for_each(|send| *counts.entry(key(send)).or_default() += 1);
    counts
}

#[test]
fn records_of_all_sizes_with_chosen_keys_are_read_back_whole() {
    let (_, sends) = run(
        &[
            ("record_bytes = 256", "record_bytes = { uniform = { min = 49, max = 20000 } }"),
            ("keys = 100", "keys = { count = 100, chosen = { hot = 0.5 } }"),
        ],
        1500,
    );
    let keys = by(&sends, |send| send.key);
    let hot = keys[&0] as f64 / sends.len() as f64;
    assert!((hot - 0.5).abs() < 0.1, "{hot}");
    // A key is in one partition.
    let places = by(&sends, |send| (send.key, send.partition));
    assert_eq!(places.len(), keys.len());
    let partitions = by(&sends, |send| send.partition);
    assert_eq!(partitions.len(), 3);
    assert!(*partitions.values().max().unwrap() > sends.len() / 2, "{partitions:?}");
}

#[test]
fn a_load_by_count_sends_so_many_behind_the_warm_up_and_knows_when_they_are_acked() {
    for rate in ["{ per_second = 2000 }", "\"max\""] {
        let lab = Lab::new();
        let changes = [("{ per_second = 200 }", rate), ("[phases]", "[phases]\ncount = 1234")];
        let (load, _seconds) = lab.start(&producer_only(&changes));
        load.wait_warm(LIMIT).unwrap();
        run_for(100);
        assert!(!load.live().is_complete());
        load.end_warm_up();
        await_that(&load, &|load| load.live().is_complete());
        // Nothing follows.
        run_for(200);
        let summary = load.stop(LIMIT).unwrap();
        assert_eq!(summary.acked, summary.sent);
        let sends = sends(&lab.history()["producer-0"]);
        assert_eq!(sends.iter().filter(|send| !send.warm_up).count(), 1234, "{rate}");
    }
}

#[test]
fn the_main_producer_s_client_tells_each_second_where_time_went() {
    let lab = Lab::new();
    let (load, _seconds) = lab.start(&spec(&[("{ per_second = 200 }", "{ per_second = 2000 }")]));
    load.wait_warm(LIMIT).unwrap();
    lab.cluster().broker_round_trip_time(-1, Duration::from_millis(30)).unwrap();
    await_that(&load, &|_| lab.times().len() > 3);
    let summary = load.stop(LIMIT).unwrap();
    assert_eq!(summary.compressed, None, "nothing is compressed");
    let times = lab.times();
    assert!(times.iter().all(|one| one.client == "producer-0" && one.over_ms == 1000), "{times:?}");
    let last = times.last().unwrap();
    assert!(!last.brokers.is_empty(), "{times:?}");
    for one in &last.brokers {
        assert!((1..=3).contains(&one.broker) && one.broker_rtt.mean_us >= 30_000, "{one:?}");
        // Each record waited for its batch.
        assert!(one.queue.mean_us > 1000, "{one:?}");
    }
    let records: u64 = last.brokers.iter().map(|one| one.queue.n).sum();
    assert!((500..5000).contains(&records), "{last:?}");
}

#[test]
fn a_record_of_20_mb_is_sent() {
    let rate = ("{ per_second = 200 }", "{ per_second = 1 }");
    let large = ("record_bytes = 256", "record_bytes = 20000000");
    let (_, summary, _) = kept_in_part(&[large, rate], 1500);
    assert!(summary.acked > 3);
}

#[test]
fn a_payload_is_compressed_as_far_as_it_says_by_each_codec() {
    for codec in ["zstd", "lz4", "gzip", "snappy"] {
        let compression = format!("compression = \"{codec}\"");
        let (summary, _) = run(
            &[
                ("record_bytes = 256", "record_bytes = 4000\npayload = { ratio = 0.5 }"),
                ("compression = \"none\"", &compression),
            ],
            2500,
        );
        let [messages, requests] = summary.compressed.unwrap();
        let ratio = requests as f64 / messages as f64;
        println!("{codec}: {ratio:.3}");
        assert!((0.45..0.65).contains(&ratio), "{codec}: {ratio}");
    }
    assert_eq!(run(&[], 200).0.compressed, None);
}

#[test]
fn records_without_keys_come_in_bursts() {
    let (_, sends) = run(
        &[
            ("keys = 100", "keys = \"none\""),
            (
                "{ per_second = 200 }",
                "{ per_second = 1000 }\nshape = { bursts = { low = 0.1, every = \"1s\", lasting = \"200ms\" } }",
            ),
        ],
        3000,
    );
    assert!(sends.iter().all(|send| send.key == 0));
    // The first records of the partitions are before the schedule.
    let start = sends[3].due;
    let of_whole_seconds = sends[3..].iter().filter(|send| send.due.since(start).as_secs() < 2);
    let in_burst = |send: &&Send| send.due.since(start).as_millis() % 1000 < 200;
    let counts = of_whole_seconds.clone().partition::<Vec<&Send>, _>(in_burst);
    assert!(counts.0.len().abs_diff(400) <= 2 && counts.1.len().abs_diff(160) <= 2);
}

#[test]
fn the_maximum_is_a_closed_loop() {
    let (_, summary, sends) = kept_in_part(&[("{ per_second = 200 }", "\"max\"")], 1000);
    assert!(summary.sent > 10_000, "{}", summary.sent);
    assert_eq!(summary.queue_full, 0, "to find it full is what it is for");
    assert!(sends.iter().all(|send| matches!(send.outcome, SendOutcome::Acked { .. })));
    assert!(sends.iter().all(|send| send.sent.since(send.due).as_millis() < 100));
}
