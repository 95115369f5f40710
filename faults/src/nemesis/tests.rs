//! The nemesis against a cluster in memory: what it does, in which order, with what evidence.

mod attached;
mod beside;
mod cut;
pub(crate) mod fake;
mod links;
mod machine;
mod members;
mod overlap;
mod trouble;
mod undo;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use async_trait::async_trait;
use results::record::event::{BrokerId, EventKind, Role};

use super::*;
use crate::plan::{Expectation, SHIPPED, Step};
use crate::port::{Servers, Signal, Starter, Subject};
use crate::undo::Undo;
use fake::World;

fn shipped(name: &str) -> Plan {
    let (_, text) = SHIPPED.iter().find(|(known, _)| *known == name).unwrap();
    Plan::parse(text).unwrap().drawn(1)
}

/// The shipped plans that mean something on three nodes.
fn all_shipped() -> Vec<Plan> {
    SHIPPED.iter().map(|(name, _)| shipped(name)).filter(|plan| plan.nodes() <= 3).collect()
}

fn plan(step: &str) -> Plan {
    Plan::parse(&format!("name = 'p'\ndescription = 'd'\n[[step]]\nid = 'a'\n{step}")).unwrap()
}

async fn carry_out(plan: &Plan, world: &World) -> Result<NemesisOutcome, NemesisError> {
    let mut ledger = world.ledger();
    run(plan, world.ports(), world, &mut ledger, 1).await
}

fn injection(outcome: &NemesisOutcome, index: usize) -> &Injection {
    match &outcome.steps[index].end {
        StepEnd::CarriedOut(injection) => injection,
        StepEnd::Skipped(reason) => panic!("skipped: {reason}"),
    }
}

/// The victims as they are written for people.
fn names(injection: &Injection) -> Vec<String> {
    injection.victims.iter().map(|victim| victim.to_string()).collect()
}

/// The evidence of the one injection, and of its healing.
fn evidence(world: &World) -> (Vec<String>, Vec<String>) {
    let events = world.events.borrow();
    let of = |get: fn(&EventKind) -> Option<&Vec<String>>| {
        events.iter().find_map(|event| get(&event.kind)).cloned().unwrap()
    };
    let injected = of(|kind| match kind {
        EventKind::FaultInjected { evidence, .. } => Some(evidence),
        _ => None,
    });
    let healed = of(|kind| match kind {
        EventKind::FaultHealed { evidence, .. } => Some(evidence),
        _ => None,
    });
    (injected, healed)
}

#[tokio::test(start_paused = true)]
async fn a_member_is_replaced_once_after_each_heal_when_the_cluster_is_steady_again() {
    let world = World::new();
    let mut plan = shipped("failover");
    plan.steps.truncate(2);
    let outcome = carry_out(&plan, &world).await.unwrap();
    assert!(outcome.member_due, "of the last fault, whose recovery others wait for");
    let trace = world.trace.borrow();
    let places = |what: &str| {
        let found = trace.iter().enumerate().filter(|(_, line)| *line == what);
        found.map(|(at, _)| at).collect::<Vec<_>>()
    };
    let (healed, replaced) = (places("fault-healed"), places("replace member"));
    let injecting = places("fault-injecting");
    assert_eq!((healed.len(), replaced.len(), injecting.len()), (2, 1, 2), "{trace:?}");
    assert!(healed[0] < replaced[0] && replaced[0] < injecting[1], "{trace:?}");
    // The wait before it, and the event after it.
    assert_eq!([&*trace[replaced[0] - 1], &*trace[replaced[0] + 1]], ["steady", "steady"]);
}

#[tokio::test(start_paused = true)]
async fn the_controller_alone_is_killed_and_everything_is_put_back() {
    let world = World::new();
    let mut plan = shipped("failover");
    plan.steps.truncate(1);
    let outcome = carry_out(&plan, &world).await.unwrap();

    let expected = [
        "awaiting-steady",
        "steady",
        "steady",
        "view",
        "move leaders away from 2",
        "awaiting-steady",
        "steady",
        "steady",
        "view",
        "state broker 2 (cpu-node2)",
        "identity of broker 2 (cpu-node2)",
        "fault-injecting",
        "signal broker 2 (cpu-node2)",
        "ended broker 2 (cpu-node2)",
        "answers broker 2 (cpu-node2)",
        "fault-injected",
        "recovered",
        "fault-recovered",
        "fault-healing",
        "state broker 2 (cpu-node2)",
        "view",
        "start broker 2 (cpu-node2)",
        "state broker 2 (cpu-node2)",
        "answers broker 2 (cpu-node2)",
        "view",
        "fault-healed",
        "steady",
        "restore leaders",
        "view",
    ];
    assert_eq!(*world.trace.borrow(), expected);
    let injection = injection(&outcome, 0);
    assert!(injection.proven && injection.recovered == Some(true), "{injection:?}");
    assert_eq!(names(injection), ["broker 2 (cpu-node2)"]);
    assert!(world.down().is_empty() && world.on_disk().is_empty() && world.layout_is_restored());
}

#[tokio::test(start_paused = true)]
async fn every_shipped_plan_is_carried_out_and_leaves_nothing() {
    for plan in all_shipped() {
        let (world, name) = (World::new(), &plan.name);
        let outcome = carry_out(&plan, &world).await.unwrap();
        assert!(outcome.steps.len() >= plan.steps.len());
        for (index, round) in outcome.steps.iter().enumerate() {
            let injection = injection(&outcome, index);
            assert!(injection.proven, "{name}/{}", round.id);
            let step = plan.steps.iter().find(|step| round.id.starts_with(&step.id)).unwrap();
            let recovered = match step.expect {
                Expectation::Recovery => Some(true),
                Expectation::OutageUntilHeal => Some(false),
                Expectation::GapsBelow(_) | Expectation::Anything => injection.recovered,
            };
            assert_eq!(injection.recovered, recovered, "{name}/{}", round.id);
        }
        assert!(world.down().is_empty() && world.on_disk().is_empty(), "{name}");
    }
}

#[tokio::test(start_paused = true)]
async fn two_brokers_are_struck_together_and_held() {
    let world = World::new();
    let outcome = carry_out(&shipped("failover-two-brokers"), &world).await.unwrap();
    assert_eq!(injection(&outcome, 0).recovered, Some(false));
    let trace = world.trace.borrow();
    let first = trace.iter().position(|line| line.starts_with("signal")).unwrap();
    assert!(trace[first + 1].starts_with("signal"), "nothing between the signals: {trace:?}");
    let at = |name: &str| {
        let events = world.events.borrow();
        let named =
            |e: &&results::record::event::Event| serde_json::to_value(e).unwrap()["event"] == name;
        events.iter().find(named).unwrap().at.as_secs_f64()
    };
    let held = at("fault-healing") - at("fault-injected");
    assert!((40.0..40.2).contains(&held), "{held}");
}

#[tokio::test(start_paused = true)]
async fn the_wait_for_a_stale_registration_is_told_apart() {
    let world = World::new();
    let step = "fault = 'kill'\ntarget = {broker = 1}\nhold = '5s'";
    carry_out(&plan(step), &world).await.unwrap();
    let events = world.events.borrow();
    let waited = events.iter().find_map(|event| match &event.kind {
        EventKind::FaultHealed { waited_for_session_s, proven: true, evidence, .. } => {
            assert!(
                evidence.contains(&"broker 1 (cpu-node1) is registered in ZooKeeper".to_owned())
            );
            Some(*waited_for_session_s)
        }
        _ => None,
    });
    // Killed with a session of 15 s, held for 5 s.
    assert!((9.9..10.2).contains(&waited.unwrap()), "{waited:?}");
}

#[tokio::test(start_paused = true)]
async fn a_node_loses_its_broker_and_its_zookeeper() {
    let world = World::new();
    let step = "fault = 'kill'\ntarget = {node = 'worker-node3'}\nhold = '5s'";
    let outcome = carry_out(&plan(step), &world).await.unwrap();
    assert_eq!(
        names(injection(&outcome, 0)),
        ["broker 3 (worker-node3)", "zookeeper 3 (worker-node3)"]
    );
    assert!(world.down().is_empty() && world.on_disk().is_empty());
}

#[tokio::test(start_paused = true)]
async fn zookeeper_comes_back_together_and_before_the_brokers() {
    let world = World::new();
    let step = "fault = 'kill'\ntargets = [{broker = 1}, 'zk-all']\nhold = '30s'";
    let outcome = carry_out(&plan(step), &world).await.unwrap();
    assert_eq!(injection(&outcome, 0).recovered, Some(false));
    let trace = world.trace.borrow();
    let at = |wanted: &str| trace.iter().position(|line| line.starts_with(wanted)).unwrap();
    for id in 1..=3 {
        assert!(at(&format!("start zookeeper {id}")) < at("start broker 1"), "{trace:?}");
    }
    assert!(world.down().is_empty() && world.on_disk().is_empty());
}

#[tokio::test(start_paused = true)]
async fn what_stands_still_goes_on_afterwards() {
    for (target, recovered) in [("'zk-leader'", true), ("{broker = 2}", true)] {
        let world = World::new();
        let step = format!("fault = 'pause'\ntarget = {target}\nhold = '20s'");
        let outcome = carry_out(&plan(&step), &world).await.unwrap();
        let injection = injection(&outcome, 0);
        assert!(injection.proven && injection.recovered == Some(recovered), "{injection:?}");
        assert!(!world.trace.borrow().iter().any(|line| line.starts_with("start")));
        assert!(world.down().is_empty() && world.on_disk().is_empty());
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_restarted_runs_under_another_pid() {
    for (deaf, target) in [
        (false, "{broker = 1}"),
        (false, "'zk-all'"),
        (false, "{random = {count = 3}}"),
        (true, "{broker = 1}"),
    ] {
        let mut world = World::new();
        world.deaf = deaf;
        let step = format!("fault = 'restart'\ntarget = {target}\nhold = '1s'");
        let outcome = carry_out(&plan(&step), &world).await.unwrap();
        assert_eq!(injection(&outcome, 0).proven, !deaf, "{target}");
        assert!(world.down().is_empty() && world.on_disk().is_empty());
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_upgraded_says_which_version_it_is() {
    for deaf in [false, true] {
        let mut world = World::new();
        world.deaf = deaf;
        let step = "fault = {upgrade = {to = '3.9.2'}}\ntarget = 'brokers'\nhold = '1s'\n\
                    rolling = true";
        let outcome = carry_out(&plan(step), &world).await.unwrap();
        assert_eq!(outcome.steps.len(), 3);
        assert!((0..3).all(|index| injection(&outcome, index).proven != deaf));
        assert!(world.down().is_empty() && world.on_disk().is_empty());
    }
}

#[tokio::test(start_paused = true)]
async fn power_is_lost_with_what_was_not_flushed() {
    let world = World::new();
    let step = "fault = 'power-loss'\ntarget = {broker = 1}\nhold = '5s'";
    let outcome = carry_out(&plan(step), &world).await.unwrap();
    assert!(injection(&outcome, 0).proven);
    assert!(world.down().is_empty() && world.on_disk().is_empty());
    let broken = |broken: fn(&mut World)| {
        let mut world = World::new();
        broken(&mut world);
        world
    };
    let synced = broken(|world| world.synced = true);
    let outcome = carry_out(&plan(step), &synced).await.unwrap();
    assert!(injection(&outcome, 0).proven, "nothing was to be taken");
    for (world, why) in [
        (broken(|world| world.deaf = true), "it runs on, and loses nothing"),
        (
            broken(|world| world.lacks = [crate::port::Capability::Flushes].into()),
            "nobody knows what it flushed",
        ),
    ] {
        let outcome = carry_out(&plan(step), &world).await.unwrap();
        assert!(!injection(&outcome, 0).proven, "{why}");
    }
}

#[tokio::test(start_paused = true)]
async fn an_expired_session_is_shown_by_the_registration() {
    for deaf in [false, true] {
        let mut world = World::new();
        world.deaf = deaf;
        let step = "fault = 'expire-session'\ntarget = 'controller'\nhold = '5s'";
        let outcome = carry_out(&plan(step), &world).await.unwrap();
        assert_eq!(injection(&outcome, 0).proven, !deaf);
        assert_eq!(injection(&outcome, 0).recovered, Some(true), "nobody stays away");
        assert!(world.down().is_empty() && world.on_disk().is_empty());
    }
    let world = World::new();
    let step = "fault = 'expire-session'\ntarget = 'zk-leader'\nhold = '5s'";
    let error = carry_out(&plan(step), &world).await.unwrap_err().to_string();
    assert!(error.contains("has no registration"), "{error}");
}

#[tokio::test(start_paused = true)]
async fn without_evidence_an_injection_is_unproven() {
    for (fault, haunted) in [("kill", false), ("kill", true), ("pause", false), ("pause", true)] {
        let step = format!("fault = '{fault}'\ntarget = 'controller'\nhold = '5s'");
        let mut world = World::new();
        (world.deaf, world.haunted) = (!haunted, haunted);
        let outcome = carry_out(&plan(&step), &world).await.unwrap();
        assert!(!injection(&outcome, 0).proven, "{fault}, haunted: {haunted}");
        assert!(world.on_disk().is_empty());
    }
}

#[tokio::test(start_paused = true)]
async fn a_target_that_is_not_met_is_awaited_then_skipped() {
    let world = World::new();
    let step = "fault = 'kill'\ntarget = {broker = 9}\nhold = '5s'";
    let outcome = carry_out(&plan(step), &world).await.unwrap();
    let StepEnd::Skipped(reason) = &outcome.steps[0].end else { panic!("{outcome:?}") };
    assert!(reason.starts_with("the cluster has no broker 9"), "{reason}");
    assert!(reason.ends_with("(awaited for 30 s)"), "{reason}");
    assert!(!world.trace.borrow().iter().any(|line| line.starts_with("signal")));
}

#[tokio::test(start_paused = true)]
async fn a_broker_that_does_not_come_back_is_named_in_the_error_and_stays_in_the_ledger() {
    let mut world = World::new();
    // Beyond every limit: each attempt to start the broker would find its id taken.
    world.session = Duration::from_secs(3600);
    let step = "fault = 'kill'\ntarget = {broker = 1}\nhold = '5s'";
    let error = carry_out(&plan(step), &world).await.unwrap_err().to_string();
    assert!(error.contains("its registration of before is still in ZooKeeper"), "{error}");
    assert!(
        error.ends_with("still to be undone: start broker 1 (cpu-node1) (try `kbench heal`)"),
        "{error}"
    );
    assert_eq!(world.brought_back_on_disk(), world.down());
}

#[tokio::test(start_paused = true)]
async fn a_process_that_is_still_ending_is_not_taken_for_one_that_runs() {
    // kbench was killed right after the signal; the broker shuts down for another 2 s.
    let world = World::new();
    let mut ledger = world.ledger();
    let process = world.broker(1);
    let pid = world.pid(&process);
    let identity = world.identity_of(&process);
    let (signal, starter) = (Signal::Term, Starter::Parent);
    let undo = Undo::StartProcess { process: process.clone(), identity, signal, starter };
    let tag = ledger.tag();
    ledger.plan(&tag, "a", world.now(), &[undo]).unwrap();
    world.end_after(&process, Duration::from_secs(2));

    heal_all(world.ports(), Some(&world), &mut ledger).await.unwrap();
    tokio::time::sleep(Duration::from_secs(10)).await;
    assert_ne!(world.pid(&process), pid, "it was started again");
    assert!(world.down().is_empty() && world.on_disk().is_empty());
}

#[tokio::test(start_paused = true)]
async fn what_nobody_could_ask_is_no_evidence_although_the_fault_took_effect() {
    for fault in [
        "'kill'",
        "'terminate'",
        "'pause'",
        "'power-loss'",
        "'link-down'",
        "{cut = {from = 'other-nodes'}}",
        "{cut = {from = 'clients', by = 'reset'}}",
        "{degrade = {delay = {by = '100ms'}}}",
        "{degrade = {loss = 10}}",
    ] {
        let mut world = World::new();
        world.blind = true;
        let step = format!("fault = {fault}\ntarget = {{broker = 1}}\nhold = '5s'");
        // Nor can it be shown to be undone.
        let error = carry_out(&plan(&step), &world).await.unwrap_err();
        assert!(!error.left.entries.is_empty() && !world.on_disk().is_empty(), "{fault}: {error}");
        let proven = |event: &results::record::event::Event| match &event.kind {
            EventKind::FaultInjected { proven, evidence, .. } => {
                assert!(evidence.iter().any(|line| line.contains("the prober is gone")));
                Some(*proven)
            }
            _ => None,
        };
        let proven: Vec<_> = world.events.borrow().iter().filter_map(proven).collect();
        assert_eq!(proven, [false], "{fault}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_plan_that_needs_an_absent_port_is_refused_before_anything_starts() {
    for (fault, absent) in [
        ("{cut = {from = 'other-nodes'}}", Subject::Network),
        ("'full-disk'", Subject::Machine),
        ("'reassign'", Subject::Metadata),
        ("'kill'", Subject::Servers),
    ] {
        let world = World::new();
        let mut ports = world.ports();
        match absent {
            Subject::Servers => ports.servers = None,
            Subject::Network => ports.network = None,
            Subject::Machine => ports.machine = None,
            Subject::Metadata => ports.metadata = None,
            Subject::Clients => ports.clients = None,
        }
        let plan = plan(&format!("fault = {fault}\ntarget = {{broker = 1}}\nhold = '5s'"));
        let mut ledger = world.ledger();
        let error = run(&plan, ports, &world, &mut ledger, 1).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unsupported);
        assert!(error.to_string().contains(absent.as_str()), "{error}");
        assert!(world.trace.borrow().is_empty() && world.on_disk().is_empty());
    }
}
