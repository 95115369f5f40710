//! Changes of the cluster that go with steps: when each is made, and beside which faults.

use results::record::event::ChangeMark;

use super::fake::Trouble;
use super::*;

const PLAN: &str = "\
name = 'p'
description = 'd'
[[change]]
id = 'grow'
change = {add-partitions = 5}
start = {injected = {step = 'a', delay = '2s'}}
hold = '3s'
[[change]]
id = 'move'
change = 'reassign'
start = {healed = {step = 'grow', delay = '1s'}}
hold = '30s'
[[step]]
id = 'a'
fault = 'pause'
target = {broker = 1}
hold = '20s'
[[step]]
id = 'b'
fault = 'pause'
target = {broker = 3}
hold = '30s'
start = {injected = {step = 'move', delay = '1s'}}
[[step]]
id = 'c'
fault = 'pause'
target = {broker = 2}
hold = '1s'
";

/// The moments of changes, in seconds since the first injection.
fn moments(world: &World) -> Vec<(f64, String)> {
    let events = world.events.borrow();
    let injecting = |kind: &EventKind| matches!(kind, EventKind::FaultInjecting { .. });
    let zero =
        events.iter().find(|event| injecting(&event.kind)).map_or(0.0, |it| it.at.as_secs_f64());
    let moment = |event: &results::record::event::Event| match &event.kind {
        EventKind::Change(seen) => {
            let mark = match seen.mark {
                ChangeMark::Began => "begins",
                ChangeMark::Done => "is made",
                ChangeMark::GivenUp => "is given up",
                // The nemesis undoes none.
                other => panic!("{other:?}"),
            };
            let at = (event.at.as_secs_f64() - zero).round();
            Some((at, format!("{} {mark}, {}", seen.change, seen.what)))
        }
        _ => None,
    };
    events.iter().filter_map(moment).collect()
}

fn told(moments: &[(f64, String)]) -> Vec<(f64, &str)> {
    moments.iter().map(|(at, what)| (*at, what.as_str())).collect()
}

#[tokio::test(start_paused = true)]
async fn changes_and_faults_wait_for_each_other_and_know_who_is_struck() {
    let world = World::new();
    let outcome = carry_out(&Plan::parse(PLAN).unwrap(), &world).await.unwrap();
    assert!((0..3).all(|index| injection(&outcome, index).proven));
    let moments = moments(&world);
    assert_eq!(
        told(&moments),
        [
            (2.0, "grow begins, beside 1"),
            (6.0, "grow is made, beside 1"),
            (10.0, "move begins, beside 1"),
            (14.0, "move is made, beside 1,3"),
        ]
    );
    let events = world.events.borrow();
    let next = events.iter().find(|event| {
        matches!(&event.kind, EventKind::FaultInjecting { fault_id, .. } if fault_id == "c")
    });
    let first = events.iter().find(|event| matches!(event.kind, EventKind::FaultInjecting { .. }));
    let began = next.unwrap().at.secs_since(first.unwrap().at);
    assert!(began >= 44.0, "the hold of a change is waited for: {began}");
    assert!(world.down().is_empty() && world.on_disk().is_empty());
}

#[tokio::test(start_paused = true)]
async fn what_comes_after_a_change_that_is_given_up_is_not_begun() {
    let plan =
        PLAN.replace("start = {injected = {step = 'a', delay = '2s'}}", "start = {at = '2s'}");
    let plan = Plan::parse(&plan).unwrap();
    let world = World::new();
    carry_out(&plan, &world).await.unwrap();
    let change = world.trace.borrow().iter().position(|call| call == "make change").unwrap();
    let world = World::new();
    world.trouble.borrow_mut().insert(change + 1, Trouble::Fail);
    carry_out(&plan, &world).await.unwrap();
    let moments = moments(&world);
    let after = |what| {
        format!("it was not begun: it was to start after \"{what}\", which was not carried out")
    };
    assert_eq!(
        told(&moments),
        [
            (2.0, "grow begins, beside 1"),
            (2.0, "grow is given up, beside 1"),
            (2.0, &format!("move is given up, {}", after("grow"))),
        ]
    );
    assert!(world.down().is_empty() && world.on_disk().is_empty());
}
