//! The direct producer against the mock cluster.

use std::time::Duration;

use results::record::clock::RunTime;
use results::record::history::{Client, History, LoadRole, Send, SendOutcome};

use crate::lab::{
    LIMIT, Lab, RUN, TOPIC, await_that, check_all, check_sequences_of, producer_only, run_for,
    sends, spec,
};

const DIRECT: &str = "direct-producer-0";

fn is_acked(send: &&Send) -> bool {
    matches!(send.outcome, SendOutcome::Acked { .. })
}

/// From `at` until a record to `partition` that was due later was acked.
fn answered_after(lab: &Lab, partition: i32, at: RunTime) -> Option<Duration> {
    let sends = sends(&lab.history()[DIRECT]);
    let later = sends.iter().filter(|send| send.partition == partition && send.due >= at);
    later.filter(is_acked).map(|send| send.done.since(at)).min()
}

#[test]
fn its_records_are_in_the_log_and_read_by_the_group_as_all_others() {
    let lab = Lab::with_partitions(4);
    let (mut load, _seconds) = lab.start(&spec(&[]));
    load.wait_warm(LIMIT).unwrap();
    load.end_warm_up();
    load.grow("user-events", 4).unwrap();
    let live = load.live();
    await_that(&load, &|_| live.consumed_offset(3).is_some());
    run_for(1500);
    load.stop(LIMIT).unwrap();
    assert_eq!(live.lag(), 0, "the group has read them before it leaves");
    assert!(lab.drain(4, LIMIT).complete);
    let stream = &lab.history()[DIRECT];
    let client = Client::Producer {
        producer: 2,
        incarnation: 0,
        acks: -1,
        idempotent: false,
        role: LoadRole::Direct,
    };
    assert_eq!((&stream.header.client, stream.header.run), (&client, RUN));
    let sends = sends(stream);
    check_sequences_of(&sends);
    assert!(sends.iter().filter(|send| !send.warm_up).all(|send| is_acked(&send)), "{sends:?}");
    for partition in 0..4 {
        assert!(sends.iter().filter(|send| send.partition == partition).count() > 3);
    }
    check_all(&History::load(lab.dir.path()).unwrap());
}

#[test]
fn it_goes_to_a_new_leader_and_says_what_was_refused_for_certain() {
    let lab = Lab::new();
    let direct = spec(&[]).direct;
    let (load, _seconds) = lab.start(&workloads::WorkloadSpec { direct, ..producer_only(&[]) });
    load.wait_warm(LIMIT).unwrap();
    (0..3).for_each(|partition| lab.cluster().partition_leader(TOPIC, partition, Some(1)).unwrap());
    run_for(1500);
    let down = lab.clock.now();
    lab.cluster().broker_down(1).unwrap();
    run_for(1500);
    let moved = lab.clock.now();
    lab.cluster().partition_leader(TOPIC, 0, Some(2)).unwrap();
    run_for(2500);
    load.stop(Duration::ZERO).unwrap();
    let served = answered_after(&lab, 0, moved).expect("the new leader is found");
    assert!(served < Duration::from_millis(1500), "{served:?}");
    assert_eq!(answered_after(&lab, 1, down), None, "its leader is down");
    let sends = sends(&lab.history()[DIRECT]);
    let refused = |send: &&Send| matches!(send.outcome, SendOutcome::Failed { code: -195 });
    assert!(sends.iter().filter(|send| send.due > moved).any(|send| refused(&send)));
}

#[test]
fn a_try_that_hangs_holds_up_no_other() {
    let lab = Lab::new();
    let direct = spec(&[]).direct;
    let (load, _seconds) = lab.start(&workloads::WorkloadSpec { direct, ..producer_only(&[]) });
    load.wait_warm(LIMIT).unwrap();
    run_for(500);
    let hangs = lab.clock.now();
    lab.cluster().broker_round_trip_time(-1, Duration::from_secs(60)).unwrap();
    run_for(2000);
    lab.cluster().broker_round_trip_time(-1, Duration::ZERO).unwrap();
    let healed = lab.clock.now();
    run_for(2000);
    load.stop(Duration::ZERO).unwrap();
    let sends = sends(&lab.history()[DIRECT]);
    // Every half second another one to each partition, each on a connection of its own.
    let begun = sends.iter().filter(|send| send.due > hangs && send.due < healed).count();
    assert!((9..=15).contains(&begun), "{begun}");
    for partition in 0..3 {
        let served = answered_after(&lab, partition, healed).expect("served again");
        assert!(served < Duration::from_millis(1500), "{served:?}");
    }
}

#[test]
fn each_broker_is_written_to_and_takes_what_it_leads() {
    let lab = Lab::new();
    let each = [("[phases]", "[each_broker]\nper_second = 5\n\n[phases]")];
    let (load, _seconds) = lab.start(&producer_only(&each));
    load.wait_warm(LIMIT).unwrap();
    let lead = |partition, broker| {
        lab.cluster().partition_leader(TOPIC, partition, Some(broker)).unwrap();
    };
    (0..3).for_each(|partition| lead(partition, partition + 1));
    run_for(500);
    let led = lab.clock.now();
    run_for(1500);
    load.stop(Duration::from_secs(1)).unwrap();
    for broker in 1..=3 {
        let stream = &lab.history()[&format!("broker-producer-{broker}")];
        let Client::Producer { acks, role, .. } = stream.header.client else { panic!() };
        assert_eq!((acks, role), (1, LoadRole::Broker(broker)));
        let sends = sends(stream);
        check_sequences_of(&sends);
        for partition in 0..3 {
            let of = |send: &&Send| send.partition == partition && send.due > led;
            let (mut all, mut taken) = (0, 0);
            for send in sends.iter().filter(of) {
                all += 1;
                taken += u32::from(is_acked(&send));
                // NOT_LEADER_OR_FOLLOWER may come after an append as well, so it is no certain failure.
                let refused = matches!(send.outcome, SendOutcome::Indeterminate { code: 6 });
                assert!(is_acked(&send) || refused, "{send:?}");
            }
            let leads = broker == partition + 1;
            assert!(
                all > 3 && taken == if leads { all } else { 0 },
                "{broker} {partition}: {sends:?}"
            );
        }
    }
}
