//! A cluster that is only connected to: no way to its processes, and topics that are the trial's own.

use super::*;
use crate::nemesis::{end_trial, heal_all};
use crate::port::Metadata as _;
use results::record::clock::RunTime;

const MOVES: &str = r#"
name = "moves"
description = "d"
[[step]]
id = "topics"
fault = "move-leaders"
target = { broker = 1 }
hold = "2s"
"#;

fn made(ledger: &mut Ledger) -> Undo {
    let topics = vec!["user-events-kb1".to_owned(), "kbench-probe-kb1".to_owned()];
    let undo = Undo::DeleteTopics { topics };
    let tag = ledger.tag();
    // By the id of a step, whatever that is called.
    ledger.plan(&tag, "topics", RunTime(0), std::slice::from_ref(&undo)).unwrap();
    undo
}

fn deletions(world: &World) -> usize {
    world.trace.borrow().iter().filter(|call| call.contains("delete user-events-kb1")).count()
}

#[tokio::test(start_paused = true)]
async fn leaders_move_where_nobody_sees_a_process_and_the_trial_s_topics_stay_until_it_is_over() {
    let world = World::new();
    let mut ledger = world.ledger();
    let undo = made(&mut ledger);
    let plan = Plan::parse(MOVES).unwrap();
    let ports = Ports { servers: None, network: None, machine: None, ..world.ports() };
    let outcome = run(&plan, ports, &world, &mut ledger, 0).await.unwrap();
    assert!(matches!(outcome.steps[0].end, StepEnd::CarriedOut(_)), "{outcome:?}");
    assert_eq!(deletions(&world), 0, "the load reads them still");
    assert_eq!(world.on_disk(), [undo]);
    end_trial(ports, &mut ledger, RunTime(9)).await.unwrap();
    assert_eq!((deletions(&world), world.on_disk().len()), (1, 0));
}

#[tokio::test(start_paused = true)]
async fn who_heals_a_killed_trial_deletes_its_topics() {
    let world = World::new();
    made(&mut world.ledger());
    heal_all(world.ports(), None, &mut world.ledger()).await.unwrap();
    assert_eq!((deletions(&world), world.on_disk().len()), (1, 0));
}

#[tokio::test(start_paused = true)]
async fn what_was_done_to_the_trial_s_topics_is_undone_while_they_are_there() {
    let world = World::new();
    let mut ledger = world.ledger();
    made(&mut ledger);
    let leaders = Undo::RestoreLeaders { assignment: world.assignment() };
    let replicas = Undo::RestoreAssignment { assignment: world.assignment() };
    for (step, undo) in [("leader", leaders), ("replicas", replicas)] {
        let tag = ledger.tag();
        ledger.plan(&tag, step, RunTime(1), &[undo]).unwrap();
    }
    heal_all(world.ports(), None, &mut world.ledger()).await.unwrap();
    let trace = world.trace.borrow();
    let at = |wanted: &str| -> Vec<usize> {
        (0..trace.len()).filter(|call| trace[*call].contains(wanted)).collect()
    };
    let (restored, deleted) = (at("restore leaders"), at("delete user-events-kb1"));
    assert_eq!((restored.len(), deleted.len()), (2, 1), "{trace:?}");
    assert!(restored[1] < deleted[0], "{trace:?}");
}

#[tokio::test(start_paused = true)]
async fn a_container_has_its_restart_policy_back_when_what_was_killed_in_it_runs_again() {
    let killed = |world: &World, container: &str| {
        let process = world.broker(1);
        let identity = world.identity_of(&process);
        let (container, policy) = (container.to_owned(), "always".to_owned());
        let starter = Starter::Container(container.clone());
        let signal = Signal::Kill;
        let policy = Undo::LetRestart { process: process.clone(), container, policy };
        let start = Undo::StartProcess { process, identity, signal, starter };
        let mut ledger = world.ledger();
        for (step, undo) in [("restart-policies", policy), ("leader", start)] {
            let tag = ledger.tag();
            ledger.plan(&tag, step, RunTime(1), &[undo]).unwrap();
        }
    };
    let world = World::new();
    killed(&world, "c1");
    world.signal(&world.broker(1), Signal::Kill).await.unwrap();
    heal_all(world.ports(), None, &mut world.ledger()).await.unwrap();
    let trace = world.trace.borrow().clone();
    let at = |wanted: &str| trace.iter().position(|call| call.contains(wanted)).expect(wanted);
    assert!(at("start broker 1") < at("policy always of broker 1"), "{trace:?}");
    assert_eq!(world.on_disk(), []);
    // An engine that does not do it leaves it to be done; a container that is gone needs none.
    for (container, left) in [("c1", 1), ("removed", 0)] {
        let mut deaf = World::new();
        deaf.deaf = true;
        killed(&deaf, container);
        let healed = heal_all(deaf.ports(), None, &mut deaf.ledger()).await;
        assert_eq!((healed.is_ok(), deaf.on_disk().len()), (left == 0, left), "{container}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_plan_that_needs_processes_is_refused_there() {
    let world = World::new();
    let plan = Plan::parse(&MOVES.replace("move-leaders", "kill")).unwrap();
    let ports = Ports { servers: None, ..world.ports() };
    let refused = run(&plan, ports, &world, &mut world.ledger(), 0).await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Unsupported, "{refused}");
    assert!(world.events.borrow().is_empty());
}
