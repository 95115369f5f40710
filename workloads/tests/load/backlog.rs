//! Groups that are paused, and read off what came meanwhile.

use results::record::history::{Entry, History};

use crate::lab::{LIMIT, Lab, await_that, check_all, run_for, sends, spec};

#[test]
fn groups_that_are_paused_read_nothing_and_go_on_where_they_were() {
    let audit = "\n[groups.audit]\nmembers = 1\ncommit_interval = \"500ms\"\n\n[phases]";
    let lab = Lab::new();
    let (mut load, _seconds) = lab.start(&spec(&[("\n[phases]", audit)]));
    load.wait_warm(LIMIT).unwrap();
    load.end_warm_up();
    let live = load.live();
    await_that(&load, &|_| live.has_consumed(&[1, 1, 1]));
    load.pause_groups(true);
    run_for(300);
    let from = lab.clock.now();
    run_for(1500);
    // A member that joins is paused as well.
    let joined = load.restart_consumer().unwrap();
    await_that(&load, &|load| (0..3).any(|p| load.live().owner(p) == Some(joined)));
    run_for(300);
    let until = lab.clock.now();
    let ends = live.acked_ends();
    // 200 records a second.
    assert!(live.lag() >= 300 && !live.has_consumed(&ends), "{}", live.lag());
    load.pause_groups(false);
    await_that(&load, &|_| live.has_consumed(&ends));
    load.stop(LIMIT).unwrap();
    lab.drain(3, LIMIT);
    let history = History::load(lab.dir.path()).unwrap();
    let polls = history.streams.iter().flat_map(|stream| &stream.entries).filter_map(|entry| {
        let Entry::Poll(poll) = entry else { return None };
        Some(poll.at)
    });
    let polls: Vec<_> = polls.collect();
    assert_eq!(polls.iter().filter(|at| (from..until).contains(*at)).count(), 0);
    assert!(polls.iter().any(|at| *at < from) && polls.iter().any(|at| *at > until));
    check_all(&history);
}

#[test]
fn groups_that_go_on_during_a_rebalance_read_every_partition() {
    let lab = Lab::new();
    let (mut load, _seconds) = lab.start(&spec(&[]));
    load.wait_warm(LIMIT).unwrap();
    load.end_warm_up();
    let live = load.live();
    for _ in 0..3 {
        load.pause_groups(true);
        run_for(300);
        load.restart_consumer().unwrap();
        // Long enough for some to have lost their partitions, not for all to have new ones.
        run_for(100);
        load.pause_groups(false);
        let ends = live.acked_ends();
        await_that(&load, &|_| live.has_consumed(&ends));
    }
    load.stop(LIMIT).unwrap();
    lab.drain(3, LIMIT);
    check_all(&History::load(lab.dir.path()).unwrap());
}

#[test]
fn schedules_begin_when_the_groups_read() {
    let lab = Lab::new();
    let (load, _seconds) = lab.start(&spec(&[]));
    run_for(700);
    load.wait_warm(LIMIT).unwrap();
    run_for(700);
    load.stop(LIMIT).unwrap();
    let sent = sends(&lab.history()["producer-0"]);
    // 200 records a second.
    assert!((100..200).contains(&sent.len()), "{}", sent.len());
}
