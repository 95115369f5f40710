//! Clients that end with a fatal error of their own.

use std::collections::BTreeMap;
use std::time::Duration;

use rdkafka::types::RDKafkaApiKey;
use rdkafka_sys::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_OUT_OF_ORDER_SEQUENCE_NUMBER as OUT_OF_ORDER;
use results::record::clock::RunTime;
use results::record::event::EventKind;
use results::record::history::{Ending, History, Send, SendOutcome};
use workloads::ClientKind;

use crate::clients::worker;
use crate::lab::{LIMIT, Lab, await_that, check_all, producer_only, run_for, sends};

/// How long a client is away.
const AWAY: Duration = Duration::from_secs(1);

/// The next request to produce is answered as by a broker that has lost what the client had sent: an
/// idempotent producer cannot go on after that.
fn refuse_one(lab: &Lab) {
    lab.cluster().request_errors(RDKafkaApiKey::Produce, &[OUT_OF_ORDER]);
}

/// When each client failed and with which words, and when the next began under which name.
type Lives = BTreeMap<String, (RunTime, String, Option<(RunTime, String)>)>;

fn lives(lab: &Lab) -> Lives {
    let mut lives = Lives::new();
    for (at, kind) in lab.told() {
        match kind {
            EventKind::ClientFailed { client, error } => {
                assert!(lives.insert(client, (at, error, None)).is_none(), "a client fails once");
            }
            EventKind::ClientRenewed { failed, client } => {
                lives.get_mut(&failed).unwrap().2 = Some((at, client));
            }
            other => panic!("{other:?}"),
        }
    }
    lives
}

#[test]
fn a_fatal_error_ends_a_life_and_no_record_is_skipped() {
    let lab = Lab::new();
    let (load, _seconds) = lab.start(&producer_only(&[]));
    load.wait_warm(LIMIT).unwrap();
    load.end_warm_up();
    run_for(500);
    for life in 1..=2 {
        refuse_one(&lab);
        let goes_on = format!("producer-{life}");
        await_that(&load, &|_| {
            lives(&lab).values().any(|l| l.2.as_ref().is_some_and(|n| n.1 == goes_on))
        });
        let renewed = lab.clock.now();
        await_that(&load, &|load| load.live().acked_since(renewed));
    }
    assert_eq!(load.clients()[0].name, "producer-2");
    let summary = load.stop(LIMIT).unwrap();

    let history = lab.history();
    let of = |life: u16| sends(&history[&format!("producer-{life}")]);
    assert!((0..=2).all(|life| history[&format!("producer-{life}")].ending == Ending::Complete));
    let all: Vec<Send> = (0..=2).flat_map(of).collect();
    assert_eq!(all.len() as u64, summary.sent, "figures are of all lives");
    assert_eq!(summary.sent, summary.acked + summary.failed + summary.indeterminate);
    assert!(summary.indeterminate > 0, "what was refused may be in the log as far as is known");
    let mut due: Vec<_> = all.iter().filter(|s| !s.warm_up).map(|s| s.due.0).collect();
    due.sort_unstable();
    let apart = due.windows(2).map(|pair| pair[1] - pair[0]);
    assert!(apart.clone().all(|ns| ns == 5_000_000), "{:?}", apart.max());
    for life in 0..2_u16 {
        let (failed, words, next) = &lives(&lab)[&format!("producer-{life}")];
        assert!(words.contains("sequence"), "{words}");
        let (renewed, _) = next.as_ref().unwrap();
        let away = renewed.since(*failed);
        assert!((AWAY..AWAY * 3).contains(&away), "{away:?}");
        let next = of(life + 1);
        assert!(next.iter().all(|send| send.sent >= *renewed));
        let late = next.iter().filter(|send| send.due < *renewed).count() as f64;
        assert!(late >= away.as_secs_f64() * 200.0 - 5.0, "{late} were due while it was away");
        for partition in 0..3 {
            let first = next.iter().filter(|send| send.partition == partition).map(|s| s.sequence);
            assert_eq!(first.min(), Some(0), "a life counts its records from 0");
        }
    }
    let acked = |send: &&Send| matches!(send.outcome, SendOutcome::Acked { .. });
    assert_eq!(lab.drain(3, LIMIT).records, all.iter().filter(acked).count() as u64);
    check_all(&History::load(lab.dir.path()).unwrap());
}

#[test]
fn a_fatal_error_before_the_first_ack_does_not_end_the_load() {
    let lab = Lab::new();
    refuse_one(&lab);
    let (load, _seconds) = lab.start(&producer_only(&[]));
    load.wait_warm(LIMIT).unwrap();
    assert_eq!(load.clients()[0].name, "producer-1");
    load.stop(LIMIT).unwrap();
    assert!(lives(&lab).contains_key("producer-0"));
}

#[test]
fn a_worker_is_made_anew_and_killed_and_started_under_its_newest_name() {
    let mut lab = Lab::new();
    lab.worker = Some(worker);
    let (mut load, _seconds) = lab.start(&producer_only(&[]));
    load.wait_warm(LIMIT).unwrap();
    await_that(&load, &|load| load.killable(ClientKind::Producer).is_ok());
    // The main producer may take the error instead, and is away then.
    await_that(&load, &|_| {
        let failed = lives(&lab).contains_key("killable-producer-0");
        if !failed {
            refuse_one(&lab);
        }
        failed
    });
    await_that(&load, &|load| {
        load.killable(ClientKind::Producer).unwrap() == "killable-producer-1"
    });
    run_for(300);
    let killed = load.kill("killable-producer-1").unwrap();
    load.restore().unwrap();
    await_that(&load, &|load| load.killable(ClientKind::Producer).is_ok());
    load.stop(LIMIT).unwrap();
    assert!(lab.drain(3, LIMIT).complete);

    let streams = lab.history();
    let ending = |name: &str| &streams[name].ending;
    assert_eq!(
        (&*killed.client, ending("killable-producer-0")),
        ("killable-producer-1", &Ending::Complete)
    );
    assert!(matches!(ending("killable-producer-1"), Ending::Truncated { size: Some(_), .. }));
    assert_eq!(ending("killable-producer-2"), &Ending::Complete);
    let mut history = History::load(lab.dir.path()).unwrap();
    history.killed([(&*killed.client, killed.history_bytes)]);
    check_all(&history);
}
