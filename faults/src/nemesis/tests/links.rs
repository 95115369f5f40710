//! Links that are down, degraded or flapping: what proves them, and that they are as before.

use results::record::clock::RunTime;

use super::*;
use crate::port::Network;

const DOWN: &str = "fault = 'link-down'\ntarget = {node = 'cpu-node1'}\nhold = '10s'";

#[tokio::test(start_paused = true)]
async fn a_link_that_is_down_is_proven_by_probes_and_by_the_kernel() {
    let world = World::new();
    let outcome = carry_out(&plan(DOWN), &world).await.unwrap();
    assert!(injection(&outcome, 0).proven);
    let (injected, healed) = evidence(&world);
    let expected = [
        "10 probes on the links that are down: 10 unanswered",
        "14 probes on the other links: 14 answered",
        "the link of cpu-node1 is down",
    ];
    assert_eq!(injected, expected);
    let expected =
        ["10 probes on the links that were down: 10 answered", "the link of cpu-node1 is up"];
    assert_eq!(healed, expected);
    assert!(world.links_down().is_empty() && world.on_disk().is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_flapping_link_comes_and_goes_and_is_up_in_the_end() {
    let world = World::new();
    let flapping = format!("{DOWN}\nflapping = {{on = '3s', off = '2s'}}");
    carry_out(&plan(&flapping), &world).await.unwrap();
    let events = world.events.borrow();
    let flapped = events.iter().filter_map(|event| match event.kind {
        EventKind::FaultFlapped { on, .. } => Some(on),
        _ => None,
    });
    assert_eq!(flapped.collect::<Vec<_>>(), [false, true, false]);
    let downs = world.trace.borrow().iter().filter(|line| line.starts_with("take down")).count();
    assert_eq!(downs, 2);
    assert!(world.links_down().is_empty() && world.on_disk().is_empty());
}

const DELAY: &str = "fault = {degrade = {delay = {by = '100ms', jitter = '20ms'}}}
target = {broker = 1}\nhold = '5s'";

#[tokio::test(start_paused = true)]
async fn a_delay_is_proven_by_counters_and_round_trips() {
    let world = World::new();
    let outcome = carry_out(&plan(DELAY), &world).await.unwrap();
    assert!(injection(&outcome, 0).proven);
    let (injected, healed) = evidence(&world);
    let expected = [
        "cpu-node1: nft has delayed 7 of 70 packets",
        "round trips to the slow nodes: 100200 us to 100200 us",
        "round trips to the other nodes: 200 us to 200 us",
        "14 probes on the other links: 14 answered",
    ];
    assert_eq!(injected, expected);
    let expected = ["no delay of 100 ms +- 20 ms is left", "10 probes on the links: 10 answered"];
    assert_eq!(healed, expected);
    assert!(world.degradations().is_empty() && world.on_disk().is_empty());
}

#[tokio::test(start_paused = true)]
async fn what_has_no_effect_is_not_proven_and_healed_all_the_same() {
    let loss = "fault = {degrade = {loss = 10}}\ntarget = {broker = 1}\nhold = '5s'";
    for step in [DOWN, DELAY, loss] {
        let mut world = World::new();
        world.deaf = true;
        let outcome = carry_out(&plan(step), &world).await.unwrap();
        assert!(!injection(&outcome, 0).proven, "{step}");
        assert!(world.on_disk().is_empty());
    }
}

/// One partition, and whoever is the controller: there is always a leader beside it, or one that is both.
#[tokio::test(start_paused = true)]
async fn a_leader_that_a_target_needs_is_made_where_there_is_none() {
    for controller in 1..=3 {
        for (target, both) in [
            ("{ leader = { partition = 0, not_controller = true } }", false),
            ("'controller-and-leader'", true),
        ] {
            let world = World::new();
            world.be_controlled_by(controller);
            let step = format!(
                "fault = 'link-down'\ntarget = {target}\nprepare = 'restore-leaders'\nhold = '5s'\n"
            );
            let outcome = carry_out(&plan(&step), &world).await.unwrap();
            let victims = &injection(&outcome, 0).victims;
            assert_eq!(victims.len(), 1);
            assert_eq!(victims[0].id == controller, both, "{target}, controller {controller}");
            assert!(world.on_disk().is_empty() && world.links_down().is_empty());
            assert!(world.layout_is_restored(), "{target}, controller {controller}");
        }
    }
}

/// Two faults that are injected at the same time: the entries of one may be on both sides of the other's.
#[tokio::test(start_paused = true)]
async fn a_server_that_answers_once_another_fault_is_undone_is_no_failure() {
    let world = World::new();
    let mut ledger = world.ledger();
    let (kill, down) = (ledger.tag(), ledger.tag());
    let links = vec![world.link("cpu-node1").unwrap()];
    ledger.plan(&down, "down", RunTime::default(), &[Undo::LinkUp { links }]).unwrap();
    let start = |process: Process| Undo::StartProcess {
        identity: world.identity_of(&process),
        process,
        signal: Signal::Kill,
        starter: world.starter.clone(),
    };
    let on = |node: &str| Process { node: node.into(), role: Role::Zookeeper, id: 1 };
    let servers = [start(Process { id: 2, ..on("cpu-node2") }), start(on("cpu-node1"))];
    ledger.plan(&kill, "kill", RunTime::default(), &servers).unwrap();
    let faults: Vec<_> = ledger.outstanding().entries.into_iter().map(|e| e.fault_id).collect();
    assert_eq!(faults, ["kill", "down", "kill"]);

    world.set_links(&["cpu-node1".into()], false).await.unwrap();
    heal_all(world.ports(), None, &mut ledger).await.unwrap();
    assert!(world.links_down().is_empty() && world.on_disk().is_empty());
}
