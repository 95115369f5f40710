//! Each way to spoil a history is found, by its checker and by no other.

use std::collections::BTreeMap;

use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::TestRunner;
use results::judge::check::{self, CheckContext};
use results::judge::span::{FaultSpan, FaultSpans};
use results::judge::verdict::Verdict;
use results::record::clock::RunTime;
use results::record::event::{Effect, Event, EventKind};

use super::good::good_history;
use super::mutate::MUTATORS;
use super::world::eventful;
use super::{named, with_verdict};

#[test]
fn each_mutant_of_an_eventful_history_is_found_by_its_checker_alone() {
    for (name, what, mutate) in MUTATORS {
        let mut applied = 0;
        for pick in [0, 17, 40, 71] {
            let mut history = eventful();
            if !mutate(&mut history, pick) {
                continue;
            }
            applied += 1;
            assert_eq!(with_verdict(&history, Verdict::Violated), [name], "{what}, pick {pick}");
            let check = named(&history, name);
            assert!(check.count > 0 && !check.witnesses.is_empty() && check.witnesses.len() <= 5);
        }
        // The eventful history commits before every rebalance.
        assert!(applied > 0 || what.contains("without committed"), "{what} changed nothing");
    }
}

#[test]
fn each_mutant_of_any_good_history_is_found_by_its_checker_alone() {
    let mut runner = TestRunner::deterministic();
    let strategy = (good_history(), any::<prop::sample::Index>());
    let mut applied: BTreeMap<&str, u32> = BTreeMap::new();
    for _ in 0..150 {
        let (history, pick) = strategy.new_tree(&mut runner).unwrap().current();
        for (name, what, mutate) in MUTATORS {
            let mut bad = history.clone();
            if mutate(&mut bad, pick.index(1000)) {
                *applied.entry(what).or_default() += 1;
                assert_eq!(with_verdict(&bad, Verdict::Violated), [name], "{what}: {bad:#?}");
            }
        }
    }
    for (_, what, _) in MUTATORS {
        assert!(applied.get(what).is_some_and(|&n| n >= 2), "too seldom: {what}; {applied:?}");
    }
}

/// The witnesses of the mutants of one history, as a reader sees them.
#[test]
fn witnesses_read_well() {
    let mut text = String::new();
    for (name, what, mutate) in MUTATORS {
        let mut history = eventful();
        if mutate(&mut history, 17) {
            let check = named(&history, name);
            let witness = &check.witnesses[0];
            text += &format!("{name}: {what}\n    {}\n", witness.what);
        }
    }
    insta::assert_snapshot!(text);
}

/// A fault that was in force from `from` to `to`, in seconds.
fn fault(id: &str, from: f64, to: f64) -> FaultSpan {
    let fault_id = id.to_owned();
    let injecting = EventKind::FaultInjecting {
        fault_id: fault_id.clone(),
        fault: "degrade".to_owned(),
        target: "brokers".to_owned(),
        victims: vec![],
        effect: Effect::NONE,
    };
    let healed = EventKind::FaultHealed {
        fault_id,
        evidence: vec![],
        proven: true,
        waited_for_session_s: 0.0,
    };
    let at = |seconds, kind| Event { at: RunTime::from_secs_f64(seconds), kind };
    let events = [at(from, injecting), at(to, healed)];
    FaultSpans::new(&events, RunTime::from_secs_f64(to)).faults.remove(0)
}

#[test]
fn a_witness_names_the_fault_that_was_in_force() {
    let mut history = eventful();
    let (_, _, drop_acked) = MUTATORS[0];
    assert!(drop_acked(&mut history, 17));
    let at = named(&history, "lost").witnesses[0].at_s.unwrap();
    let during = |faults| {
        let context = CheckContext { faults, ..CheckContext::default() };
        check::all(&history, &context).unwrap()[0].witnesses[0].during.clone()
    };
    let before = fault("controller", 0.0, at / 2.0);
    let active = fault("leader", at / 2.0, at + 1.0);
    assert_eq!(during(vec![before.clone(), active]), Some("leader".to_owned()));
    assert_eq!(during(vec![before]), None);
}
