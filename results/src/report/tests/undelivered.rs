//! Acked records that a group never got are no part of its latencies' survivors.

use super::*;
use crate::judge::latency::Percentiles;
use crate::record::history::Stream;
use crate::report::{GateOutcome, gates};

/// Name of the group's one member in the fixture.
const MEMBER: &str = "consumer-7";

/// A run without faults or with one from 20 s on, of which `change` changes the member's stream.
fn consumed(fault: bool, change: impl Fn(&mut Stream, &mut Vec<Stream>)) -> Report {
    let mut f = Fixture::new(1, 60.0);
    if fault {
        f.kill("leader", 20.0, 2, None);
    }
    let mut trial = f.trial();
    fixture::change(&mut trial, |history| {
        let mut more = vec![];
        let mut streams = history.streams.iter_mut();
        change(streams.find(|stream| stream.name == MEMBER).unwrap(), &mut more);
        history.streams.extend(more);
    });
    report_of(vec![trial])
}

/// Takes away what was read of partition 0 from this offset on.
fn ends_at(stream: &mut Stream, end: i64) {
    stream.entries.retain(|entry| match entry {
        Entry::Poll(poll) => poll.partition != 0 || poll.offset < end,
        Entry::Commit { partition, offset, .. } => *partition != 0 || *offset <= end,
        _ => true,
    });
}

fn samples(of: &Percentiles) -> (u64, u64) {
    (of.n, of.unanswered)
}

fn gate(report: &mut Report, written: &str) -> GateOutcome {
    report.verdict = Verdict::Valid;
    report.run.gates = vec![written.parse().unwrap()];
    gates::judge(report)[0].outcome
}

#[test]
fn what_was_never_delivered_took_longer_than_all_that_was() {
    // 50 records a second in each of three partitions, for 50 s.
    let mut all = consumed(false, |_, _| ());
    assert_eq!(samples(&all.load.end_to_end_us), (7500, 0));
    assert_eq!(gate(&mut all, "all.end-to-end.max<1s"), GateOutcome::Passed);

    let mut some = consumed(false, |stream, _| ends_at(stream, 2400));
    assert_eq!(samples(&some.load.end_to_end_us), (7400, 100));
    assert_eq!(samples(&some.load.baseline.end_to_end_us), (7400, 100));
    assert_eq!(some.load.end_to_end_us.p99, None, "100 of 7500 are beyond it");
    assert_eq!(some.load.end_to_end_us.p90, all.load.end_to_end_us.p90);
    for metric in ["all.end-to-end.max<1s", "end-to-end.max<1s", "all.end-to-end.p99<1s"] {
        assert_eq!(gate(&mut some, metric), GateOutcome::Unknown, "{metric}");
    }
    assert_eq!(gate(&mut some, "all.end-to-end.p90<1s"), GateOutcome::Passed);
    let shown = text::render(&some, None, false);
    assert!(shown.contains("100 of 7500 deliveries of acked records never came"), "{shown}");
    let summary = text::summary(&some, None, false);
    assert!(summary.contains("end to end") && summary.contains("max >= "), "{summary}");
    assert!(!text::summary(&all, None, false).contains("max >= "));
}

#[test]
fn each_group_waits_for_what_was_acked_since_it_began() {
    let with_other = |began: f64, end: i64| {
        consumed(false, move |stream, more| {
            let mut other = stream.clone();
            let group = "late".to_owned();
            (other.name, other.header.client) =
                ("consumer-8".to_owned(), Client::GroupConsumer { consumer: 8, group });
            other
                .entries
                .retain(|entry| !matches!(entry, Entry::Poll(poll) if poll.at < at(began)));
            for entry in &mut other.entries {
                if let Entry::Assigned { at: assigned, .. } = entry {
                    *assigned = at(began);
                }
            }
            ends_at(&mut other, end);
            more.push(other);
        })
    };
    let report = with_other(10.0, 2400);
    assert_eq!(samples(&report.load.end_to_end_us), (14_900, 100));
    // 20 s of its own did it not read.
    let report = with_other(30.0, 2500);
    let (n, unanswered) = samples(&report.load.end_to_end_us);
    assert!(n < 12_010 && unanswered == 0, "{n} and {unanswered}");
}

#[test]
fn what_waits_until_a_fault_waits_in_it() {
    // A record of the steady load, before the fault; and the last one, long after it.
    let without = |offset| {
        let report = consumed(true, move |stream, _| {
            stream.entries.retain(
                |entry| !matches!(entry, Entry::Poll(poll) if (poll.partition, poll.offset) == (0, offset)),
            );
        });
        let unanswered = |of: &Percentiles| of.unanswered;
        let load = &report.load;
        let all = [load.baseline.end_to_end_us, load.faults.end_to_end_us, load.end_to_end_us];
        all.each_ref().map(unanswered)
    };
    assert_eq!(without(100), [0, 1, 1]);
    assert_eq!(without(2499), [1, 0, 1]);
}
