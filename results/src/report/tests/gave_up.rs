//! What a run gave up on stands in the report, and in the verdict.

use super::*;

/// What a run gave up on: each stands in the report, and the run is no pass.
#[test]
fn a_step_that_was_skipped_and_a_group_or_drain_that_was_not_waited_for_are_no_pass() {
    let mut f = three_faults(1);
    let (fault_id, reason) = ("more".to_owned(), "nobody leads".to_owned());
    f.at(104.0, EventKind::FaultSkipped { fault_id, reason });
    let skipped = report_of(vec![f.trial()]);
    assert_eq!((skipped.verdict, skipped.exit_code), (Verdict::Unknown, 3));
    assert!(skipped.problems.iter().any(|problem| problem.contains("\"more\" was skipped")));
    assert!(text::render(&skipped, None, false).contains("nobody leads"));

    let mut behind = three_faults(1).trial();
    fixture::change(&mut behind, |history| {
        let group = |stream: &&mut crate::record::history::Stream| stream.name == "consumer-7";
        let group = history.streams.iter_mut().find(group).unwrap();
        group.entries.retain(|e| !matches!(e, Entry::Poll(poll) if poll.at > at(105.0)));
    });
    let behind = report_of(vec![behind]);
    assert_eq!((behind.verdict, behind.exit_code), (Verdict::Unknown, 3));
    assert!(behind.consuming[0].undelivered > 700, "{}", behind.consuming[0].undelivered);
    let told = |problem: &String| problem.contains("not delivered to it");
    assert!(behind.problems.iter().any(told), "{:?}", behind.problems);
    assert!(text::render(&behind, None, false).contains("NOT DELIVERED"));

    let mut cut = three_faults(1).trial();
    fixture::change(&mut cut, |history| {
        for entry in history.streams.iter_mut().flat_map(|stream| &mut stream.entries) {
            if let Entry::Drained { end_offset, .. } = entry {
                *end_offset += 5;
            }
        }
    });
    let cut = report_of(vec![cut]);
    assert_eq!((cut.verdict, cut.exit_code), (Verdict::Unknown, 3));
    let unseen = cut.checks.iter().find(|check| check.name == "unseen").unwrap();
    assert_eq!(unseen.verdict, Verdict::Unknown);
}
