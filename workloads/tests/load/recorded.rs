//! What a load and its drain record.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use rdkafka::types::RDKafkaApiKey;

use results::record::history::{
    Client, Ending, Entry, LoadRole, NO_ACK_ASKED, Observed, Send, SendOutcome, Stream,
};
use workloads::{Load, LoadContext, LoadError, WorkloadSpec};

use crate::lab::{LIMIT, Lab, check_sequences_of, producer_only, run_for, sends, spec, wait};

#[test]
fn a_load_is_recorded_in_full_and_read_back() {
    let lab = Lab::new();
    let (load, seconds) = lab.start(&WorkloadSpec { direct: None, ..spec(&[]) });
    load.wait_warm(LIMIT).unwrap();
    load.end_warm_up();
    let figures = wait(&lab, &seconds, 4);
    let live = load.live();
    let summary = load.stop(LIMIT).unwrap();
    assert_eq!((summary.failed, summary.indeterminate, summary.queue_full), (0, 0, 0));
    assert_eq!(summary.sent, summary.acked);
    assert_eq!(live.lag(), 0, "the group reads what was acked before it leaves");
    assert_eq!(live.failure(), None);
    let steady = figures.last().unwrap();
    assert!((199..=201).contains(&steady.due), "200 a second were asked for: {steady:?}");
    assert!(steady.response_p50_us.is_some() && steady.schedule_lag_p99_us.is_some());
    assert_eq!(summary.producer_settings["acks"], "-1");

    let drained = lab.drain(3, LIMIT);
    assert!(drained.complete);
    assert_eq!(drained.records, summary.acked);

    let history = lab.history();
    assert!(history.values().all(|stream| stream.ending == Ending::Complete));
    let main = sends(&history["producer-0"]);
    assert_eq!(main.len() as u64, summary.sent);
    check_sequences(&main);
    assert!(main.iter().any(|send| send.warm_up) && main.iter().any(|send| !send.warm_up));
    check_log(&main, &history["drain"]);
    check_consumers(&main, &history);
    check_probes(&history);
}

/// Sequences of each partition are 0, 1, 2... and rise with the due time.
fn check_sequences(main: &[Send]) {
    for partition in 0..3 {
        let mut own: Vec<_> = main.iter().filter(|send| send.partition == partition).collect();
        own.sort_by_key(|send| send.sequence);
        assert!(own.len() > 100, "partition {partition} was fed");
        for (i, pair) in own.windows(2).enumerate() {
            assert_eq!(pair[0].sequence, i as u64);
            assert!(pair[0].due < pair[1].due && pair[0].sent <= pair[1].sent);
        }
    }
    assert!(main.iter().all(|send| send.due <= send.sent && send.sent <= send.done));
}

/// The drain found each acked record at its offset, and nothing else.
fn check_log(main: &[Send], drain: &Stream) {
    let mut log = BTreeMap::new();
    for entry in &drain.entries {
        if let Entry::Poll(poll) = entry {
            let Observed::Record(id) = poll.record else { panic!("{poll:?}") };
            log.insert((poll.partition, poll.offset), (id.sequence, id.key, id.due));
        }
    }
    assert_eq!(log.len(), main.len());
    for send in main {
        let SendOutcome::Acked { offset } = send.outcome else { panic!("{send:?}") };
        assert_eq!(log[&(send.partition, offset)], (send.sequence, send.key, send.due));
    }
}

/// The coordinator's answer to a commit while a member that is late joins.
const REBALANCING: i32 = 27;

/// Every record reached a member of the group, and every partition was committed by its reader.
fn check_consumers(main: &[Send], history: &BTreeMap<String, Stream>) {
    let mut polled = BTreeSet::new();
    let mut committed = BTreeSet::new();
    for stream in history.values() {
        let Client::GroupConsumer { .. } = stream.header.client else {
            continue;
        };
        for entry in &stream.entries {
            match entry {
                Entry::Poll(poll) => drop(polled.insert((poll.partition, poll.offset))),
                Entry::Commit { partition, error: None, .. } => drop(committed.insert(*partition)),
                Entry::Commit { error: Some(REBALANCING), .. } => (),
                Entry::Commit { error: Some(code), .. } => panic!("commit refused: {code}"),
                _ => (),
            }
        }
    }
    assert_eq!(polled.len(), main.len());
    assert_eq!(committed, BTreeSet::from([0, 1, 2]));
}

fn check_probes(history: &BTreeMap<String, Stream>) {
    let probe = &history["probe-producer-0"];
    let Client::Producer { acks: 1, role: LoadRole::Probe, idempotent: false, .. } =
        probe.header.client
    else {
        panic!("{:?}", probe.header)
    };
    assert!(sends(probe).iter().all(|send| matches!(send.outcome, SendOutcome::Acked { .. })));
    let mut reads = [0; 3];
    for entry in &history["read-probe"].entries {
        let Entry::Read { partition, asked, done: got, .. } = entry else { panic!("{entry:?}") };
        assert!(asked < got);
        reads[*partition as usize] += 1;
    }
    assert!(reads.iter().all(|n| *n > 10), "several reads a second for some seconds: {reads:?}");
}

#[test]
fn what_never_had_an_outcome_is_recorded_as_indeterminate() {
    let lab = Lab::new();
    let (load, _seconds) = lab.start(&producer_only(&[]));
    load.wait_warm(LIMIT).unwrap();
    run_for(300);
    lab.cluster().broker_down(-1).unwrap();
    run_for(1000);
    let summary = load.stop(Duration::from_millis(200)).unwrap();
    assert!(summary.indeterminate > 100, "{summary:?}");
    assert_eq!(summary.sent, summary.acked + summary.indeterminate);
    let sends = sends(&lab.history()["producer-0"]);
    let open = sends.iter().filter(|s| s.outcome == SendOutcome::Indeterminate { code: 0 }).count();
    assert_eq!(open as u64, summary.indeterminate);
    check_sequences_of(&sends);
}

#[test]
fn a_load_that_asks_for_no_acks_runs_as_others_do() {
    let lab = Lab::new();
    let settings = [("acks = \"all\"\nidempotence = true", "acks = \"0\"\nidempotence = false")];
    let (load, _seconds) = lab.start(&WorkloadSpec { direct: None, ..spec(&settings) });
    load.wait_warm(LIMIT).unwrap();
    load.end_warm_up();
    let since = lab.clock.now();
    run_for(500);
    assert!(load.served_since(since), "handed over is all that is asked for");
    assert!(load.live().last_trouble() < since);
    let summary = load.stop(LIMIT).unwrap();
    let sends = sends(&lab.history()["producer-0"]);
    assert_eq!((summary.sent, summary.acked, summary.failed), (sends.len() as u64, 0, 0));
    let sent = SendOutcome::Indeterminate { code: NO_ACK_ASKED };
    assert!(sends.iter().all(|send| send.outcome == sent));
    assert_eq!(lab.drain(3, LIMIT).records, summary.sent);
    crate::lab::check_all(&results::record::history::History::load(lab.dir.path()).unwrap());
}

#[test]
fn an_error_of_a_broker_is_the_outcome_that_the_table_says() {
    use rdkafka_sys::rd_kafka_resp_err_t::*;
    let certain = [
        RD_KAFKA_RESP_ERR_INVALID_TIMESTAMP,
        RD_KAFKA_RESP_ERR_INVALID_RECORD,
        RD_KAFKA_RESP_ERR_RECORD_LIST_TOO_LARGE,
        RD_KAFKA_RESP_ERR_UNSUPPORTED_FOR_MESSAGE_FORMAT,
        RD_KAFKA_RESP_ERR_UNSUPPORTED_COMPRESSION_TYPE,
        RD_KAFKA_RESP_ERR_INVALID_REQUIRED_ACKS,
    ];
    let unknown = [
        RD_KAFKA_RESP_ERR_POLICY_VIOLATION,
        RD_KAFKA_RESP_ERR_OUT_OF_ORDER_SEQUENCE_NUMBER,
        RD_KAFKA_RESP_ERR_UNKNOWN_PRODUCER_ID,
    ];
    let lab = Lab::new();
    let (load, _seconds) =
        lab.start(&producer_only(&[("idempotence = true", "idempotence = false")]));
    load.wait_warm(LIMIT).unwrap();
    run_for(200);
    let all: Vec<_> = certain.into_iter().chain(unknown).collect();
    lab.cluster().request_errors(RDKafkaApiKey::Produce, &all);
    run_for(1000);
    let summary = load.stop(LIMIT).unwrap();
    let sends = sends(&lab.history()["producer-0"]);
    let outcomes: BTreeSet<_> = sends
        .iter()
        .filter_map(|send| match send.outcome {
            SendOutcome::Acked { .. } => None,
            SendOutcome::Failed { code } => Some((true, code)),
            SendOutcome::Indeterminate { code } => Some((false, code)),
        })
        .collect();
    let certain = certain.into_iter().map(|code| (true, code as i32));
    let unknown = unknown.into_iter().map(|code| (false, code as i32));
    assert_eq!(outcomes, certain.chain(unknown).collect());
    assert!(summary.failed > 0 && summary.indeterminate > 0);
}

#[test]
fn a_load_that_cannot_get_warm_says_what_is_missing_and_a_dropped_one_ends() {
    let lab = Lab::new();
    lab.cluster().broker_down(-1).unwrap();
    let (load, _seconds) = lab.start(&spec(&[]));
    let error = load.wait_warm(Duration::from_millis(300)).unwrap_err();
    let words = error.to_string();
    assert!(matches!(error, LoadError::NotWarm { .. }), "{words}");
    assert!(words.contains("no record is acked yet on partition 0, 1, 2"), "{words}");
    assert!(words.contains("no member of group analytics reads partition 0, 1, 2"), "{words}");
    drop(load);
    assert!(lab.history().values().all(|stream| stream.ending == Ending::Complete));
}

#[test]
fn a_wrong_setting_and_too_few_keys_are_refused_at_the_start() {
    let lab = Lab::new();
    // Fine by itself, but not with idempotence.
    let setting = "compression = \"none\"\nsettings = { \"max.in.flight\" = \"10\" }";
    for (from, to, words) in [
        ("compression = \"none\"", setting, "max.in.flight"),
        ("keys = 100", "keys = 1", "load.keys = 1 leaves partition"),
    ] {
        let dir = tempfile::tempdir().unwrap();
        let history_dir = dir.path().to_owned();
        let context = LoadContext { probe_topic: None, history_dir, ..lab.context() };
        let started = Load::start(&spec(&[(from, to)]), context);
        let Err(error) = started.and_then(|mut load| load.start_group()) else {
            panic!("{to}: accepted")
        };
        assert!(error.to_string().contains(words), "{error}");
    }
}

#[test]
fn a_drain_that_cannot_finish_says_how_far_it_came() {
    let lab = Lab::new();
    lab.cluster().broker_down(-1).unwrap();
    let (limit, start) = (Duration::from_millis(300), std::time::Instant::now());
    let drained = lab.drain(3, limit);
    assert!(start.elapsed() < limit * 5, "the limit is one of all partitions together");
    assert!(!drained.complete);
    let unread = |e: &&Entry| matches!(e, Entry::Drained { reached: 0, end_offset: 1.., .. });
    assert_eq!(lab.history()["drain"].entries.iter().filter(unread).count(), 3);
}
