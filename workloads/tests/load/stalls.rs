//! A stalled cluster cannot hide behind a waiting generator.

use std::time::Duration;

use results::record::event::Second;

use crate::lab::{LIMIT, Lab, producer_only, run_for, sends, wait};

#[test]
fn a_stall_shows_in_the_response_times() {
    check_stall("100000");
}

#[test]
fn a_stall_shows_in_the_response_times_when_the_clients_queue_is_full_too() {
    check_stall("100");
}

fn check_stall(queue: &str) {
    let lab = Lab::new();
    let setting = format!(
        "compression = \"none\"\nsettings = {{ \"queue.buffering.max.messages\" = \"{queue}\" }}"
    );
    let spec = producer_only(&[
        ("per_second = 200", "per_second = 1000"),
        ("compression = \"none\"", &setting),
    ]);
    let (load, seconds) = lab.start(&spec);
    load.wait_warm(LIMIT).unwrap();
    load.end_warm_up();
    run_for(500);
    let stall = lab.clock.now();
    lab.cluster().broker_round_trip_time(-1, Duration::from_millis(1000)).unwrap();
    run_for(1000);
    lab.cluster().broker_round_trip_time(-1, Duration::ZERO).unwrap();
    let healed = lab.clock.now();
    let caught_up = |ended: &[Second]| {
        let lag = ended.last().and_then(|second| second.schedule_lag_p99_us);
        lag.is_some_and(|lag| lag < 100_000)
    };
    while !caught_up(&wait(&lab, &seconds, 1)) {
        assert!(lab.clock.now().since(healed) < LIMIT, "the generator does not catch up");
    }
    let summary = load.stop(LIMIT).unwrap();
    assert_eq!(summary.acked, summary.sent, "nothing is lost by a stall");
    assert_eq!(summary.queue_full > 0, queue == "100");

    let mut sends = sends(&lab.history()["producer-0"]);
    // Before the end of the warm-up is the time that the first acks took.
    sends.retain(|send| !send.warm_up);
    let stalled: Vec<_> =
        sends.iter().filter(|send| send.due > stall && send.due < healed).collect();
    let due = (healed.secs_since(stall) * 1000.0) as usize;
    assert!(stalled.len().abs_diff(due) < 10, "none skipped: {} of {due}", stalled.len());
    // What was due in the stall waited for its end: half of it longer than half the stall.
    let mut response: Vec<_> = stalled.iter().map(|s| s.done.secs_since(s.due)).collect();
    response.sort_by(f64::total_cmp);
    let median = response[response.len() / 2];
    assert!(median > 0.4, "queue {queue}: median response in the stall {median} s");
    let (first, last) = (sends.iter().map(|s| s.due).min(), sends.iter().map(|s| s.due).max());
    let over = last.unwrap().secs_since(first.unwrap());
    assert!(sends.len() as f64 > over * 1000.0 * 0.9, "{} in {over} s", sends.len());
}
