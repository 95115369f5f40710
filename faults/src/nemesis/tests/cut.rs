//! Cuts: what proves them, who counts as gone, and that they heal without a restart.

use super::*;
use crate::cut::{By, Cut, CutSpec, Side, Way};

const CUT: &str = "fault = {cut = {from = 'zookeeper'}}\ntarget = {broker = 1}\nhold = '5s'";

#[tokio::test(start_paused = true)]
async fn a_cut_is_proven_by_probes_and_counters_and_so_is_its_end() {
    let world = World::new();
    let outcome = carry_out(&plan(CUT), &world).await.unwrap();
    assert!(injection(&outcome, 0).proven);
    let (injected, healed) = evidence(&world);
    let expected = [
        "3 probes on the cut links: 3 unanswered",
        "21 probes on the other links: 21 answered",
        "cpu-node1: packets taken: 7",
    ];
    assert_eq!(injected, expected);
    let expected =
        ["3 probes on the links that were cut: 3 answered", "no rule of the cut is left"];
    assert_eq!(healed, expected);
    let trace = world.trace.borrow();
    assert!(!trace.iter().any(|line| line.starts_with("start")), "nothing is restarted: {trace:?}");
    assert!(world.cuts().is_empty() && world.on_disk().is_empty());
}

#[tokio::test(start_paused = true)]
async fn rules_that_take_nothing_and_probes_that_get_through_prove_nothing() {
    for haunted in [false, true] {
        let mut world = World::new();
        (world.deaf, world.haunted) = (!haunted, haunted);
        let outcome = carry_out(&plan(CUT), &world).await.unwrap();
        assert!(!injection(&outcome, 0).proven, "haunted: {haunted}");
        let (injected, _) = evidence(&world);
        assert!(
            injected[0].contains("cpu-node1 to zookeeper 2 (cpu-node2) answered"),
            "{injected:?}"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn only_brokers_that_lose_zookeeper_count_as_gone() {
    for (from, gone) in [("zookeeper", true), ("other-nodes", true), ("brokers", false)] {
        let world = World::new();
        carry_out(&plan(&CUT.replace("zookeeper", from)), &world).await.unwrap();
        let events = world.events.borrow();
        let named = events.iter().find_map(|event| match &event.kind {
            EventKind::FaultInjecting { victims, effect, .. } => {
                Some((victims[0].to_string(), effect.unregisters()))
            }
            _ => None,
        });
        assert_eq!(named, Some(("broker 1 (cpu-node1)".to_owned(), gone)), "{from}");
    }
}

#[tokio::test(start_paused = true)]
async fn an_undo_without_a_cut_finds_nothing_to_do() {
    let world = World::new();
    let mut ledger = world.ledger();
    let spec = CutSpec { from: Side::OtherNodes, way: Way::Both, by: By::Reset };
    let tag = ledger.tag();
    let cut = Cut { tag: tag.clone(), nodes: vec!["cpu-node1".into(), "cpu-node2".into()], spec };
    let ends = cut.nodes.clone();
    ledger.plan(&tag, "a", world.now(), &[Undo::Uncut { cut, ends }]).unwrap();
    heal_all(world.ports(), Some(&world), &mut ledger).await.unwrap();
    assert!(world.on_disk().is_empty());
}
