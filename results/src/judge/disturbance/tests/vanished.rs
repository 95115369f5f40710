//! Brokers of a cluster whose processes nobody sees.

use super::*;

#[test]
fn a_broker_that_the_metadata_do_not_name_disturbs_whatever_the_plan_does_to_it() {
    let vanished = |from| {
        let (cause, place) = (Cause::Vanished, Place::Server(broker(2)));
        EventKind::Disturbed { cause, place, from: at(from), detail: None }
    };
    for takes in [Takes::Leadership, Takes::Replicas, Takes::Clients, Takes::Answers] {
        assert_ne!(of_effect(takes, 52.0, vanished(51.0)), Verdict::Valid, "{takes:?}");
    }
    let report = with(45.0, vanished(44.9));
    let check = report.checks.iter().find(|check| check.name == "disturbance").unwrap();
    assert_eq!(check.verdict, Verdict::InvalidRun);
    let note = check.note.as_ref().unwrap();
    assert!(note.contains("broker 2 (node2) was not in the brokers' metadata for 0.1 s"), "{note}");
}
