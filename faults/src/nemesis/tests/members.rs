//! Leaders and replicas that are moved, and a broker that leaves.

use super::fake::Trouble;
use super::*;

const FAULTS: [&str; 3] = ["move-leaders", "reassign", "remove-broker"];

fn step(fault: &str, target: &str) -> Plan {
    plan(&format!("fault = '{fault}'\ntarget = {target}\nhold = '20s'"))
}

#[tokio::test(start_paused = true)]
async fn what_was_moved_is_shown_and_put_back() {
    for fault in FAULTS {
        let world = World::new();
        let outcome = carry_out(&step(fault, "{broker = 1}"), &world).await.unwrap();
        let injection = injection(&outcome, 0);
        assert!(injection.proven && injection.recovered == Some(true), "{fault}: {injection:?}");
        assert!(world.down().is_empty() && world.on_disk().is_empty());
        assert!(world.layout_is_restored(), "{fault}");
        let events = world.events.borrow();
        let healed = |e: &results::record::event::Event| {
            matches!(e.kind, EventKind::FaultHealed { proven: true, .. })
        };
        assert!(events.iter().any(healed), "{fault}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_move_that_changes_nothing_is_unproven() {
    for fault in FAULTS {
        let mut world = World::new();
        world.deaf = true;
        let outcome = carry_out(&step(fault, "{broker = 1}"), &world).await.unwrap();
        assert!(!injection(&outcome, 0).proven, "{fault}");
        assert!(world.on_disk().is_empty());
    }
}

#[tokio::test(start_paused = true)]
async fn who_has_nothing_to_move_is_refused() {
    for fault in FAULTS {
        let world = World::new();
        let error = carry_out(&step(fault, "'zk-leader'"), &world).await.unwrap_err().to_string();
        assert!(error.contains("of the load"), "{fault}: {error}");
        assert!(world.down().is_empty() && world.on_disk().is_empty());
    }
}

#[tokio::test(start_paused = true)]
async fn the_consumer_group_is_changed_and_as_before_in_the_end() {
    for fault in
        ["consumer-leaves", "consumer-joins", "consumer-stalls", "kill-consumer", "kill-producer"]
    {
        for deaf in [false, true] {
            let mut world = World::new();
            world.deaf = deaf;
            let step = format!("fault = '{fault}'\nhold = '5s'");
            let outcome = carry_out(&plan(&step), &world).await.unwrap();
            assert_eq!(injection(&outcome, 0).proven, !deaf, "{fault}");
            assert!(injection(&outcome, 0).victims.is_empty());
            assert!(world.group().is_none() && world.on_disk().is_empty(), "{fault}");
        }
        let aimed = format!(
            "name = 'p'\ndescription = 'd'\n[[step]]\nid = 'a'\nfault = '{fault}'\n\
             target = 'controller'\nhold = '5s'"
        );
        let error = Plan::parse(&aimed).unwrap_err().to_string();
        assert!(error.contains("has no `target`"), "{error}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_broker_is_drained_before_it_leaves() {
    let world = World::new();
    carry_out(&step("remove-broker", "{broker = 1}"), &world).await.unwrap();
    let trace = world.trace.borrow();
    let at = |wanted: &str| trace.iter().position(|line| line.starts_with(wanted)).unwrap();
    assert!(at("move replicas away from 1") < at("signal broker 1"), "{trace:?}");
    assert!(at("start broker 1") < at("restore leaders"), "{trace:?}");
}

#[tokio::test(start_paused = true)]
async fn an_early_restart_that_was_not_refused_is_unproven() {
    // The registration that goes before the start, and the start that is none.
    for (session, trouble, proven) in [
        (Duration::from_secs(15), None, true),
        (Duration::ZERO, None, false),
        (Duration::from_secs(15), Some(Trouble::Fail), false),
    ] {
        let early = step("early-restart", "{broker = 1}");
        let calls = |world: &World| {
            let trace = world.trace.borrow();
            1 + trace.iter().position(|call| call.starts_with("start ")).unwrap()
        };
        let untroubled = World::new();
        carry_out(&early, &untroubled).await.unwrap();
        let mut world = World::new();
        world.session = session;
        world.trouble.replace(trouble.map(|it| (calls(&untroubled), it)).into_iter().collect());
        let outcome = carry_out(&early, &world).await.unwrap();
        assert_eq!(injection(&outcome, 0).proven, proven, "{:?}", injection(&outcome, 0));
        assert!(world.down().is_empty() && world.on_disk().is_empty());
    }
}
