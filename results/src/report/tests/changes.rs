//! What changes of the cluster took and cost stands in every form of the report.

use std::path::Path;

use super::*;
use crate::fixture::Fixture;
use crate::record::event::{BrokerId, ChangeMark, ChangeSeen, PlacedPartition, ProcessEnd};
use crate::report::{html, markdown, text};

#[test]
fn each_change_is_told_with_what_it_took_and_whether_it_was_completed() {
    let mut f = three_faults(1);
    for (seconds, change, mark) in [
        (10.0, "partitions", ChangeMark::Began),
        (13.25, "partitions", ChangeMark::Done),
        (14.0, "reassignment", ChangeMark::Began),
        (15.0, "reassignment", ChangeMark::GivenUp),
    ] {
        let what = format!("the {change} change");
        let (change, partitions, log_bytes) = (change.to_owned(), vec![], Default::default());
        let leave = vec![];
        let seen = ChangeSeen { change, mark, what, leave, partitions, log_bytes, unseen: None };
        f.at(seconds, EventKind::Change(seen));
    }
    let trial = f.trial();
    let report = judge(&fixture::question(1), std::slice::from_ref(&trial));
    let [done, given_up] = &report.changes[..] else { panic!("{:?}", report.changes) };
    assert_eq!((done.change.as_str(), done.took_s), ("partitions", Some(3.25)));
    assert_eq!((given_up.change.as_str(), given_up.took_s), ("reassignment", None));
    assert_eq!(done.p99_before_s, None, "too few records were due before");
    assert_eq!(report.verdict, Verdict::Unknown);
    let doubt = "trial 1: change \"reassignment\" was given up: the reassignment change";
    assert!(report.problems.iter().any(|problem| problem == doubt), "{:?}", report.problems);
    for form in [
        text::render(&report, Some(Path::new("x")), false),
        text::summary(&report, Some(Path::new("x")), false),
        markdown::render(&report).unwrap(),
        html::render(&report, &[trial], &Default::default()).unwrap(),
    ] {
        assert!(form.contains("the partitions change") && form.contains("3.2 s"), "{form}");
        assert!(form.contains("not completed"), "{form}");
    }
    let none = judge(&fixture::question(1), &[three_faults(1).trial()]);
    assert!(none.changes.is_empty() && !text::render(&none, None, false).contains("Changes"));
}

/// A broker ends while the change by which it joined is undone, or without that; `last` is what becomes of the undo.
fn left(begins: bool, last: ChangeMark, end: ProcessEnd) -> Report {
    let mut f = three_faults(1);
    let seen = |mark, leave| {
        let [change, what] = ["brokers", "brokers 3 leave"].map(str::to_owned);
        let (partitions, log_bytes) = (vec![], Default::default());
        EventKind::Change(ChangeSeen {
            change,
            mark,
            what,
            leave,
            partitions,
            log_bytes,
            unseen: None,
        })
    };
    f.at(11.0, seen(ChangeMark::Began, vec![]));
    f.at(12.0, seen(ChangeMark::Done, vec![]));
    if begins {
        f.at(102.0, seen(ChangeMark::Undoing, vec![3]));
    }
    f.at(103.0, EventKind::ProcessEnded { process: fixture::broker(3), pid: 1, end });
    if begins {
        f.at(104.5, seen(last, vec![]));
    }
    judge(&fixture::question(1), &[f.trial()])
}

#[test]
fn a_broker_leaves_when_its_change_is_undone_and_at_no_other_time() {
    let undone = left(true, ChangeMark::Undone, ProcessEnd::Exit(143));
    assert_eq!(undone.changes[0].undone_s, Some(2.5));
    assert_eq!(undone.verdict, Verdict::Valid);
    assert!(text::render(&undone, None, false).contains("in 2.5 s"));
    for (begins, end) in [
        (false, ProcessEnd::Exit(143)),
        (true, ProcessEnd::Signal(9)),
        (true, ProcessEnd::Exit(137)),
        (true, ProcessEnd::Exit(134)),
    ] {
        let disturbed = left(begins, ChangeMark::Undone, end);
        assert_eq!(disturbed.verdict, Verdict::InvalidRun);
        assert!(text::render(&disturbed, None, false).contains("ended without an order"));
    }
    let not = left(true, ChangeMark::NotUndone, ProcessEnd::Exit(143));
    let doubt = "trial 1: change \"brokers\" was not undone: brokers 3 leave";
    assert!(not.problems.iter().any(|problem| problem == doubt), "{:?}", not.problems);
    assert_eq!((not.verdict, not.changes[0].undone_s), (Verdict::Unknown, None));
}

/// The replicas of each partition, and the bytes on each broker.
type Placement = (&'static [&'static [BrokerId]], &'static [BrokerId]);

const THREE: &[&[BrokerId]] = &[&[1, 2, 3], &[2, 3, 1], &[3, 1, 2]];
const GROWN: &[&[BrokerId]] = &[&[1, 2, 3], &[2, 3, 1], &[3, 1, 2], &[5, 1, 3], &[4, 1, 5]];
const SPREAD: &[&[BrokerId]] = &[&[1, 2, 3], &[2, 3, 4], &[3, 4, 5], &[4, 5, 1], &[5, 1, 2]];

/// A change of the healthy cluster, from one placement to another.
fn changed(f: &mut Fixture, change: &str, from_s: f64, [before, after]: [Placement; 2]) {
    for (seconds, mark, (replicas, brokers)) in
        [(from_s, ChangeMark::Began, before), (from_s + 1.0, ChangeMark::Done, after)]
    {
        let placed = |(partition, replicas): (i32, &&[BrokerId])| PlacedPartition {
            partition,
            leader: replicas[0],
            replicas: replicas.to_vec(),
            isr: replicas.to_vec(),
        };
        let seen = ChangeSeen {
            change: change.to_owned(),
            mark,
            what: change.to_owned(),
            leave: vec![],
            partitions: (0..).zip(replicas).map(placed).collect(),
            log_bytes: brokers.iter().map(|broker| (*broker, 1_000_000)).collect(),
            unseen: None,
        };
        f.at(seconds, EventKind::Change(seen));
    }
}

/// The report of trials, with all of the guide's claims.
fn of_guide(trials: &[TrialRecord]) -> Report {
    let claims = crate::judge::claim::guide().unwrap();
    judge(&Question { claims, ..fixture::question(trials.len() as u32) }, trials)
}

/// The four phases before the faults.
fn scaled_out(number: u32) -> Fixture {
    let mut f = three_faults(number);
    let (three, five): (&[BrokerId], &[BrokerId]) = (&[1, 2, 3], &[1, 2, 3, 4, 5]);
    changed(&mut f, "brokers", 8.0, [(THREE, three), (THREE, five)]);
    changed(&mut f, "partitions", 10.0, [(THREE, five), (GROWN, five)]);
    changed(&mut f, "reassignment", 12.0, [(GROWN, five), (SPREAD, five)]);
    changed(&mut f, "election", 14.0, [(SPREAD, five), (SPREAD, five)]);
    f
}

#[test]
fn what_all_trials_say_is_told_once_and_counts_as_tested() {
    let report = of_guide(&[scaled_out(1).trial(), scaled_out(2).trial()]);
    let claim = report.claims.iter().find(|it| it.id == "new-brokers-visible").unwrap();
    let once = "each trial: with brokers 4, 5 there";
    assert!(claim.reason.starts_with(once) && !claim.reason.contains("; "), "{}", claim.reason);
    assert_eq!((claim.outcome, claim.tested), (Outcome::Refuted, true));
}

#[test]
fn the_sentences_about_scaling_out_are_judged_by_what_each_phase_did() {
    let report = of_guide(&[scaled_out(1).trial()]);
    let reason = |id: &str| {
        let claim = report.claims.iter().find(|it| it.id == id).unwrap();
        (claim.outcome, claim.reason.clone())
    };
    for (id, outcome, words) in [
        ("new-brokers-visible", Outcome::Refuted, "named replicas on brokers 1, 2, 3 only"),
        (
            "new-partitions-placed",
            Outcome::Refuted,
            "3 on [5, 1, 3] led by 5, 4 on [4, 1, 5] led by 4",
        ),
        ("existing-stay", Outcome::Holds, "after \"partitions\": 0 on [1, 2, 3]"),
        ("replicas-rebalanced", Outcome::Refuted, "\"reassignment\" moved them"),
        ("storage-60", Outcome::Holds, "broker 4 holds 3 (1.0 MB of logs)"),
        ("leaders-even", Outcome::Holds, "broker 5 leads 1"),
        // A fault comes later, which is what clients felt.
        ("procedure-online", Outcome::Undecided, ""),
    ] {
        let (is, why) = reason(id);
        assert!(is == outcome && why.contains(words), "{id}: {is:?}: {why}");
    }
    // What clients felt without a fault.
    let mut trial = scaled_out(1).trial();
    let name = |event: &Event| serde_json::to_value(event).unwrap()["event"].to_string();
    trial.events.retain(|event| !name(event).starts_with("\"fault-"));
    let report = of_guide(&[trial]);
    let online = report.claims.iter().find(|it| it.id == "procedure-online").unwrap();
    assert_eq!(online.outcome, Outcome::Refuted, "{}", online.reason);
    assert!(online.reason.ends_with(", after \"election\""), "{}", online.reason);
}

#[test]
fn a_phase_beside_a_fault_decides_nothing_about_the_guide_s_procedure() {
    let mut trial = scaled_out(1).trial();
    for event in &mut trial.events {
        if let EventKind::Change(seen) = &mut event.kind {
            seen.unseen = Some("a fault was on brokers 2".to_owned());
        }
    }
    let report = of_guide(&[trial]);
    for id in ["new-brokers-visible", "existing-stay", "storage-60", "procedure-online"] {
        let claim = report.claims.iter().find(|it| it.id == id).unwrap();
        assert_eq!(claim.outcome, Outcome::Undecided, "{id}: {}", claim.reason);
    }
}

/// Replicas that were moved before partitions were added.
const MOVED: &[&[BrokerId]] = &[&[1, 2, 4], &[2, 3, 5], &[3, 1, 2]];
const MOVED_AND_GROWN: &[&[BrokerId]] =
    &[&[1, 2, 4], &[2, 3, 5], &[3, 1, 2], &[5, 1, 3], &[4, 1, 5]];

#[test]
fn a_sentence_about_phases_is_decided_where_they_were_made_and_in_their_order() {
    let (three, five): (&[BrokerId], &[BrokerId]) = (&[1, 2, 3], &[1, 2, 3, 4, 5]);
    let undecided = |f: Fixture, ids: &[&str], words: &str| {
        let report = of_guide(&[f.trial()]);
        for id in ids {
            let claim = report.claims.iter().find(|it| it.id == *id).unwrap();
            assert_eq!(claim.outcome, Outcome::Undecided, "{id}: {}", claim.reason);
            assert!(claim.reason.contains(words), "{id}: {}", claim.reason);
        }
    };
    let mut two = three_faults(1);
    changed(&mut two, "brokers", 8.0, [(THREE, three), (THREE, five)]);
    changed(&mut two, "reassignment", 12.0, [(THREE, five), (MOVED, five)]);
    let all_four = ["storage-60", "leaders-even", "procedure-online"];
    undecided(two, &all_four, "it needs step \"partitions\"");
    let mut other_order = three_faults(1);
    changed(&mut other_order, "brokers", 8.0, [(THREE, three), (THREE, five)]);
    changed(&mut other_order, "reassignment", 10.0, [(THREE, five), (MOVED, five)]);
    changed(&mut other_order, "partitions", 12.0, [(MOVED, five), (MOVED_AND_GROWN, five)]);
    let words = "\"reassignment\" moved replicas before partitions were added";
    undecided(other_order, &["existing-stay", "replicas-rebalanced"], words);
}
