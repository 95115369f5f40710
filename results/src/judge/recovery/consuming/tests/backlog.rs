//! A planned backlog of a known size that is read off at a known rate.

use super::*;
use crate::judge::backlog::check;
use crate::judge::verdict::Verdict;

/// Paused from 20 s on; told to go on, and gone, when `events` say so.
fn planned(course: &Course, events: &[(f64, EventKind)]) -> (GroupConsuming, Verdict) {
    let mut f = Fixture::new(1, 50.0);
    f.at(20.0, EventKind::ConsumersPaused);
    for (s, event) in events {
        f.at(*s, event.clone());
    }
    let events = f.trial().events;
    let mut entries = vec![assigned(0, 10.0, Committed::Nothing)];
    entries.extend(deliveries(0, course));
    let mut found = measured(&events, std::slice::from_ref(course), vec![member(1, entries)]);
    crate::judge::backlog::weigh(&mut found.consuming, 1000);
    let timeline = Timeline::new(&events);
    let check = check(timeline.backlog.as_ref(), &found.consuming).unwrap();
    assert_eq!(check.verdict == Verdict::Valid, check.count == 0, "{check:?}");
    (found.consuming.remove(0), check.verdict)
}

const RESUMED: (f64, EventKind) = (30.0, EventKind::ConsumersResumed);
const READ: (f64, EventKind) = (31.0, EventKind::BacklogRead);

#[test]
fn its_size_and_how_it_was_read_off_are_measured_and_no_lag_of_the_steady_load() {
    // 50 records a second come, and ten are read every 20 ms from 30 s on.
    let course = Course { batch: 10, apart_ms: 20, ..outage(20_000, 30_000) };
    let (group, verdict) = planned(&course, &[RESUMED, READ]);
    let backlog = group.backlog.unwrap();
    assert!((495..=505).contains(&backlog.records), "{backlog:?}");
    assert_eq!(backlog.bytes, backlog.records * 1000);
    // 450 + 50 t records had been acked a second before t, of which 500 t were read.
    assert!(backlog.gone_s.is_some_and(|s| (s - 1.0).abs() < 0.05), "{backlog:?}");
    // With the 50 that came meanwhile.
    assert!(backlog.read_per_s.is_some_and(|rate| (rate - 555.0).abs() < 20.0), "{backlog:?}");
    assert_eq!((backlog.read_while_paused, backlog.trouble(), verdict), (0, None, Verdict::Valid));
    assert!(backlog.words().contains("read off at 5"), "{}", backlog.words());
    assert!(group.steady.longest_wait_s.is_some_and(|wait| wait < 0.1), "{:?}", group.steady);
}

#[test]
fn one_that_was_not_seen_to_be_gone_is_unknown() {
    let slow = Course { batch: 1, apart_ms: 60, ..outage(20_000, 30_000) };
    let quick = Course { batch: 10, apart_ms: 20, ..slow.clone() };
    for (course, events, words) in [
        // Read more slowly than producers end.
        (&slow, vec![RESUMED], "NOT READ OFF when producers ended"),
        // Read after producers had ended.
        (&outage(20_000, 60_000), vec![RESUMED], "NOT READ OFF when producers ended"),
        (&outage(20_000, 60_000), vec![], "NEVER READ OFF"),
        (&quiet(), vec![RESUMED, READ], "NOT PAUSED"),
        (&quick, vec![(20.0, EventKind::ConsumersResumed), READ], "NO BACKLOG"),
    ] {
        let (group, verdict) = planned(course, &events);
        let trouble = group.backlog.as_ref().and_then(GroupBacklog::trouble);
        assert!(trouble.as_ref().is_some_and(|why| why.contains(words)), "{words}: {group:?}");
        assert_eq!(verdict, Verdict::Unknown, "{words}");
    }
}

#[test]
fn producers_are_measured_meanwhile_and_their_load_is_not_saturated_by_it() {
    let mut f = Fixture::new(1, 50.0);
    f.at(20.0, EventKind::ConsumersPaused);
    for (s, event) in [RESUMED, READ] {
        f.at(s, event);
    }
    let events = f.trial().events;
    let streams = vec![producer(&[quiet()])];
    let load = Figures::of(&History { streams }, &Timeline::new(&events), 50.0).unwrap().load;
    let seconds = load.counts.backlog.each_ref().map(|counts| counts.seconds);
    assert!((seconds[0] - 10.0).abs() < 1e-6 && (seconds[1] - 1.0).abs() < 1e-6, "{seconds:?}");
    let sends = load.backlog.each_ref().map(|all| all.response.len());
    assert!(sends[0].abs_diff(500) <= 1 && sends[1].abs_diff(50) <= 1, "{sends:?}");
    assert_eq!(load.baseline.response.len() + sends[0] + sends[1], SLOTS);
    assert_eq!(load.counts.left_behind(50.0), None);
    assert!((load.counts.steady.seconds - 29.0).abs() < 1.0, "{:?}", load.counts.steady);
}
