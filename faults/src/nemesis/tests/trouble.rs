//! The one promise of the nemesis, at each of its calls: whatever fails there, whoever interrupts
//! or kills it there, a process that was struck runs again or the ledger still says to start it, and
//! a link that was cut is open again or the ledger still says to open it.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::fake::{Trouble, repairs, restores, takes_up};
use super::*;

/// Runs `plan` with trouble at some calls and checks the promise; then heals and checks that
/// everything is as before. Returns how many calls the run made.
pub(super) fn survive(plan: &Plan, trouble: BTreeMap<usize, Trouble>) -> usize {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .unwrap();
    runtime.block_on(async {
        let mut world = World::new();
        // Each look at a registration is a call, and each call is troubled once.
        world.session = Duration::from_secs(1);
        let untroubled = trouble.is_empty();
        world.trouble.replace(trouble);
        let ended = tokio::select! {
            ended = carry_out(plan, &world) => Some(ended),
            () = world.killed.notified() => None,
        };
        let calls = world.calls();

        let listed = world.brought_back_on_disk();
        for down in world.down() {
            assert!(listed.contains(&down), "{down} is down and forgotten: {ended:?}");
        }
        for cut in world.cuts() {
            let listed = |undo: &Undo| matches!(undo, Undo::Uncut { cut: of, .. } if *of == cut);
            assert!(world.on_disk().iter().any(listed), "{cut:?} forgotten: {ended:?}");
        }
        for node in world.links_down() {
            let listed = world.on_disk().iter().any(|undo| takes_up(undo, &node));
            assert!(listed, "the link of {node} forgotten: {ended:?}");
        }
        for degradation in world.degradations() {
            let listed = world.on_disk().iter().any(|undo| restores(undo, &degradation));
            assert!(listed, "{degradation} forgotten: {ended:?}");
        }
        for (process, impairment) in world.impairments() {
            let listed = world.on_disk().iter().any(|undo| repairs(undo, &process, &impairment));
            assert!(listed, "{impairment} of {process} forgotten: {ended:?}");
        }
        let undone = world.group().is_none() || world.on_disk().contains(&Undo::RestoreClients);
        assert!(undone, "the consumer group forgotten: {ended:?}");
        match ended {
            Some(Ok(outcome)) => {
                assert!(world.on_disk().is_empty(), "{outcome:?}");
                for event in world.events.borrow().iter() {
                    let json = serde_json::to_value(event).unwrap();
                    let of_round = |id: &str| outcome.steps.iter().any(|round| round.id == id);
                    assert!(json["fault_id"].as_str().is_none_or(of_round), "{json}: {outcome:?}");
                }
                assert!(outcome.steps.len() >= plan.steps.len(), "{outcome:?}");
                assert_eq!(outcome.interrupted, world.interrupted.get());
            }
            Some(Err(error)) if untroubled => panic!("{error}"),
            Some(Err(error)) => assert_eq!(error.left.entries.len(), world.on_disk().len()),
            None => {}
        }

        assert!(!struck_after_interruption(&world), "{:?}", world.trace.borrow());

        // `kbench heal`, in another process and without trouble.
        world.trouble.take();
        heal_all(world.ports(), None, &mut world.ledger()).await.unwrap();
        assert!(world.down().is_empty() && world.on_disk().is_empty());
        assert!(world.cuts().is_empty() && world.degradations().is_empty());
        assert!(world.links_down().is_empty() && world.impairments().is_empty());
        assert!(world.group().is_none());
        assert!(world.replicas_are_restored());
        calls
    })
}

/// Whether the nemesis went on to inject although the user had interrupted.
fn struck_after_interruption(world: &World) -> bool {
    let trouble = world.trouble.borrow();
    let Some(call) = trouble.iter().find(|(_, t)| **t == Trouble::Interrupt).map(|(n, _)| *n)
    else {
        return false;
    };
    let trace = world.trace.borrow();
    let strikes = |line: &String| {
        [
            "signal",
            "cut",
            "take down",
            "degrade ",
            "move replicas",
            "impair",
            "change group",
            "set version",
            "fault-injecting",
        ]
        .iter()
        .any(|strike| line.starts_with(strike))
    };
    // Calls count from 1; an injection under way is finished, not left half done.
    let under_way = trace.get(call - 1).is_some_and(strikes);
    !under_way && trace.iter().skip(call).any(strikes)
}

/// All plans that are shipped, and the number of calls of each when nothing goes wrong.
fn plans() -> Vec<(Plan, usize)> {
    let count = |plan: Plan| {
        let calls = survive(&plan, BTreeMap::new());
        (plan, calls)
    };
    // What is drawn differs in nothing but length from the sequences that are tried elsewhere; changes alone are not the
    // nemesis's.
    let tried = |plan: &Plan| plan.name != "mayhem" && !plan.steps.is_empty();
    all_shipped().into_iter().filter(tried).map(count).collect()
}

fn at_each_call(trouble: Trouble) {
    for (plan, calls) in plans() {
        assert!(calls > 15, "{}: {calls}", plan.name);
        for call in 1..=calls {
            survive(&plan, BTreeMap::from([(call, trouble)]));
        }
    }
}

#[test]
fn interrupted_at_each_call() {
    at_each_call(Trouble::Interrupt);
}

#[test]
fn failing_at_each_call() {
    at_each_call(Trouble::Fail);
    at_each_call(Trouble::FailAfterwards);
}

#[test]
fn killed_at_each_call() {
    at_each_call(Trouble::Hang);
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(200) })]

    #[test]
    fn several_troubles_in_one_run(
        plan in prop::sample::select(all_shipped()),
        trouble in prop::collection::btree_map(
            1..120_usize,
            prop_oneof![
                Just(Trouble::Fail),
                Just(Trouble::FailAfterwards),
                Just(Trouble::Interrupt),
                Just(Trouble::Hang),
            ],
            1..6,
        ),
    ) {
        survive(&plan, trouble);
    }
}

#[tokio::test(start_paused = true)]
async fn an_interruption_is_felt_at_once_and_heals() {
    let world = World::new();
    let plan = shipped("failover-two-brokers");
    let interrupt = async {
        while !world.trace.borrow().iter().any(|line| line == "recovered") {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        world.interrupted.set(true);
        tokio::time::Instant::now()
    };
    let (outcome, at) = tokio::join!(carry_out(&plan, &world), interrupt);
    let outcome = outcome.unwrap();
    assert!(outcome.interrupted);
    assert_eq!(injection(&outcome, 0).recovered, None);
    assert!(world.down().is_empty() && world.on_disk().is_empty());
    // Healing waits for the two sessions, and for nothing else.
    assert!(at.elapsed() < world.session + Duration::from_secs(1), "{:?}", at.elapsed());
}

#[tokio::test(start_paused = true)]
async fn what_was_missing_of_a_steady_cluster_is_said_once() {
    let world = World::new();
    // After the event that it is awaited.
    world.trouble.replace([(2, Trouble::Fail)].into());
    let outcome = carry_out(&shipped("failover"), &world).await.unwrap();
    for step in &outcome.steps {
        let StepEnd::Skipped(reason) = &step.end else { panic!("{outcome:?}") };
        assert_eq!(reason, "steady: made to fail", "as the port said it");
    }
}
