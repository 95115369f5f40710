//! Timing: steps that overlap, follow each other's states, repeat and roll; and that any sequence of
//! them, whatever goes wrong, ends with a cluster that is as before.

use std::collections::BTreeMap;

use proptest::prelude::*;
use proptest::sample::select;

use super::fake::Trouble;
use super::trouble::survive;
use super::*;

fn steps(head: &str, steps: &[&str]) -> Plan {
    let step = |(id, step): (char, &&str)| format!("[[step]]\nid = '{id}'\n{step}\n");
    let steps: String = ('a'..).zip(steps).map(step).collect();
    Plan::parse(&format!("name = 'p'\ndescription = 'd'\n{head}\n{steps}")).unwrap()
}

/// When the event of this name happened to this fault, in whole seconds since the first injection.
fn at(world: &World, event: &str, fault: &str) -> f64 {
    let events = world.events.borrow();
    let time = |event: &str, fault: Option<&str>| {
        let is_it = |e: &&results::record::event::Event| {
            let json = serde_json::to_value(e).unwrap();
            json["event"] == event && fault.is_none_or(|fault| json["fault_id"] == fault)
        };
        events.iter().find(is_it).unwrap_or_else(|| panic!("no {event} of {fault:?}")).at
    };
    let zero = time("fault-injecting", None);
    (time(event, Some(fault)).as_secs_f64() - zero.as_secs_f64()).round()
}

#[tokio::test(start_paused = true)]
async fn steps_overlap_and_heal_in_their_own_time() {
    let world = World::new();
    let plan = steps(
        "",
        &[
            "fault = 'pause'\ntarget = {broker = 1}\nhold = '30s'",
            "fault = 'kill'\ntarget = 'zk-follower'\nhold = '5s'\nstart = {at = '10s'}",
            "fault = {cut = {from = 'clients'}}\ntarget = {broker = 3}\nhold = '20s'\n\
         start = {injected = {step = 'b', delay = '2s'}}",
            "fault = 'pause'\ntarget = {broker = 2}\nhold = '1s'\nstart = {healed = {step = 'a'}}",
            "fault = 'kill'\ntarget = {broker = 3}\nhold = '20s'",
        ],
    );
    assert_eq!(plan.groups().map(<[Step]>::len).collect::<Vec<_>>(), [4, 1]);
    let outcome = carry_out(&plan, &world).await.unwrap();
    let ids: Vec<_> = outcome.steps.iter().map(|step| step.id.as_str()).collect();
    assert_eq!(ids, ["a", "b", "c", "d", "e"], "in the plan's order");
    assert!((0..5).all(|index| injection(&outcome, index).proven));
    let began = ["a", "b", "c", "d"].map(|id| at(&world, "fault-injecting", id));
    assert_eq!(began, [0.0, 10.0, 12.0, 30.0]);
    let healed = ["a", "b", "c"].map(|id| at(&world, "fault-healing", id));
    assert_eq!(healed, [30.0, 15.0, 32.0]);
    assert!(at(&world, "awaiting-steady", "e") >= 32.0, "a plain step waits for all of them");
    assert!(world.down().is_empty() && world.on_disk().is_empty() && world.cuts().is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_change_of_clients_waits_for_the_one_before() {
    // Each heal restores all clients: the first one to heal would end the others too.
    let world = World::new();
    let plan = steps(
        "",
        &[
            "fault = 'consumer-stalls'\nhold = '20s'",
            "fault = 'kill-producer'\nhold = '5s'\nstart = {at = '3s'}",
        ],
    );
    carry_out(&plan, &world).await.unwrap();
    assert_eq!(at(&world, "fault-healing", "a"), 20.0);
    assert!(at(&world, "fault-injecting", "b") >= 20.0);
    assert!(world.group().is_none() && world.on_disk().is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_way_that_opens_while_a_probe_waits_on_it_does_not_tell_of_another_fault() {
    let world = World::new();
    let plan = steps(
        "",
        &[
            "fault = {cut = {from = 'other-nodes'}}\ntarget = {broker = 1}\nhold = '5s'",
            "fault = {degrade = {loss = 20}}\ntarget = 'brokers'\nhold = '3900ms'\n\
             start = {injected = {step = 'a', delay = '1s'}}",
        ],
    );
    carry_out(&plan, &world).await.unwrap();
    assert_eq!(at(&world, "fault-healing", "b"), 5.0, "just before the cut is healed");
    assert!(world.on_disk().is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_fault_that_another_process_of_the_node_has_brought_is_waited_for() {
    let world = World::new();
    let plan = steps(
        "",
        &[
            "fault = {degrade = {loss = 20}}\ntarget = 'zk-all'\nhold = '20s'",
            "fault = {degrade = {loss = 20}}\ntarget = 'brokers'\nhold = '5s'\nstart = {at = '3s'}",
        ],
    );
    carry_out(&plan, &world).await.unwrap();
    assert!(at(&world, "fault-injecting", "b") >= 20.0);
    assert!(world.degradations().is_empty() && world.on_disk().is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_heal_that_needs_another_one_waits_for_it() {
    // The broker's registration cannot expire before ZooKeeper is back.
    let world = World::new();
    let plan = steps(
        "",
        &[
            "fault = 'kill'\ntarget = 'zk-all'\nhold = '200s'\nexpect = 'anything'",
            "fault = 'kill'\ntarget = {broker = 1}\nhold = '5s'\nstart = {at = '3s'}",
        ],
    );
    carry_out(&plan, &world).await.unwrap();
    let healing = world.events.borrow().iter().filter(|event| {
        matches!(&event.kind, EventKind::FaultHealed { fault_id, proven: true, .. } if fault_id == "b")
    }).count();
    assert_eq!(healing, 1, "told once, when it is so");
    assert!(at(&world, "fault-healed", "b") > 200.0);
    assert!(world.down().is_empty() && world.on_disk().is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_crash_loop_and_flapping_are_rounds_of_one_step() {
    let world = World::new();
    let loops =
        "fault = 'kill'\ntarget = {broker = 1}\nhold = '1s'\nrepeat = {times = 3, pause = '2s'}";
    let outcome = carry_out(&steps("", &[loops]), &world).await.unwrap();
    let ids: Vec<_> = outcome.steps.iter().map(|step| step.id.as_str()).collect();
    assert_eq!(ids, ["a-1", "a-2", "a-3"]);
    let pause = at(&world, "fault-injecting", "a-2") - at(&world, "fault-healed", "a-1");
    assert_eq!(pause, 2.0, "with no wait for a steady cluster");

    let world = World::new();
    let flapping = "fault = {cut = {from = 'brokers'}}\ntarget = {broker = 1}\nhold = '2s'\n\
                    repeat = {during = '20s', pause = '3s'}";
    let outcome = carry_out(&steps("", &[flapping]), &world).await.unwrap();
    assert_eq!(outcome.steps.len(), 4, "they begin at 0, 5, 10 and 15 s");
    assert!(world.on_disk().is_empty() && world.cuts().is_empty());
}

#[tokio::test(start_paused = true)]
async fn rolling_takes_one_process_after_the_other() {
    let world = World::new();
    let rolling = "fault = 'terminate'\ntarget = 'brokers'\nrolling = true\nhold = '3s'";
    let outcome = carry_out(&steps("", &[rolling]), &world).await.unwrap();
    let victims: Vec<_> = (0..3).flat_map(|i| names(injection(&outcome, i))).collect();
    assert_eq!(
        victims,
        ["broker 1 (cpu-node1)", "broker 2 (cpu-node2)", "broker 3 (worker-node3)"]
    );
    for (before, round) in [("a-1", "a-2"), ("a-2", "a-3")] {
        let steady = at(&world, "awaiting-steady", round);
        assert!(at(&world, "fault-healed", before) <= steady, "{round}");
    }
}

#[tokio::test(start_paused = true)]
async fn no_more_than_so_many_at_once() {
    let world = World::new();
    let pause = |id: u8| {
        format!("fault = 'pause'\ntarget = {{broker = {id}}}\nhold = '10s'\nstart = {{at = '1s'}}")
    };
    let all = [pause(1), pause(2), pause(3)];
    let all: Vec<_> = all.iter().map(String::as_str).collect();
    carry_out(&steps("at_once = 1", &all), &world).await.unwrap();
    let began = ["a", "b", "c"].map(|id| at(&world, "fault-injecting", id));
    assert_eq!(began, [0.0, 10.0, 20.0]);
}

#[tokio::test(start_paused = true)]
async fn what_could_not_be_followed_is_skipped_with_the_reason() {
    let world = World::new();
    let plan = steps(
        "",
        &[
            "fault = 'kill'\ntarget = {broker = 9}\nhold = '1s'",
            "fault = 'kill'\ntarget = {broker = 1}\nhold = '1s'\nstart = {healed = {step = 'a'}}",
        ],
    );
    let outcome = carry_out(&plan, &world).await.unwrap();
    let StepEnd::Skipped(reason) = &outcome.steps[1].end else { panic!("{outcome:?}") };
    assert_eq!(reason, "it was to start after \"a\", which was not carried out");
}

#[tokio::test(start_paused = true)]
async fn what_was_recorded_is_repeated_at_its_times_on_its_processes() {
    let world = World::new();
    let plan = steps(
        "",
        &[
            "fault = 'kill'\ntarget = 'controller'\nprepare = 'move-leaders-away'\nuntil = 'recovered'\n\
         recover_within = '60s'",
            "fault = 'pause'\ntarget = 'zk-leader'\nhold = '4s'\nstart = {at = '3s'}",
            "fault = {cut = {from = 'brokers'}}\ntarget = {random = {count = 1, role = 'broker'}}\n\
         hold = '2s'\nrepeat = {times = 2, pause = '1s'}",
        ],
    );
    let first = carry_out(&plan, &world).await.unwrap();
    let replayed = crate::plan::replay(&plan, &world.events.borrow(), &world.processes()).unwrap();
    assert_eq!(Plan::parse(&toml::to_string(&replayed).unwrap()).as_ref(), Ok(&replayed));

    let again = World::new();
    let second = carry_out(&replayed, &again).await.unwrap();
    assert_eq!(first.steps.len(), second.steps.len());
    for index in 0..first.steps.len() {
        let id = &first.steps[index].id;
        assert_eq!(*id, second.steps[index].id);
        assert_eq!(injection(&first, index).victims, injection(&second, index).victims);
        for event in ["fault-injecting", "fault-healing"] {
            let (then, now) = (at(&world, event, id), at(&again, event, id));
            assert!((then - now).abs() <= 1.0, "{event} of {id}: {then} and {now}");
        }
    }
    let nothing = crate::plan::replay(&plan, &[], &world.processes()).unwrap_err();
    assert_eq!(nothing.to_string(), "it injected no fault");
}

/// As it was drawn once in some two thousand sequences: two restarts of one broker, of which one waits for the
/// registration of before while the other has started the broker already.
#[test]
fn a_broker_that_another_fault_has_started_meanwhile_is_not_waited_for() {
    let plan = steps(
        "",
        &[
            "fault = 'kill'\ntarget = 'controller'\nhold = '1s'",
            "fault = 'kill'\ntarget = 'controller'\nhold = '4s'\nstart = {healed = {step = 'a'}}",
            "fault = 'kill'\ntarget = {coordinator = {group = 'g'}}\nhold = '1s'\n\
         start = {recovered = {step = 'a', delay = '3s'}}",
            "fault = 'restart'\ntarget = {node = 'cpu-node1'}\nhold = '8s'\n\
         start = {healed = {step = 'a'}}",
            "fault = 'restart'\ntarget = 'controller'\nhold = '5s'\n\
         start = {healed = {step = 'b', delay = '1s'}}\nrepeat = {times = 2, pause = '1s'}",
        ],
    );
    survive(&plan, BTreeMap::new());
}

/// One step of a random sequence.
fn any_step(index: usize) -> impl Strategy<Value = String> {
    let fault = select(vec![
        "'kill'",
        "'terminate'",
        "'pause'",
        "'restart'",
        "{cut = {from = 'other-nodes'}}",
        "{cut = {from = 'zookeeper'}}",
        "{cut = {from = 'clients', by = 'reset'}}",
        "'link-down'",
        "{degrade = {loss = 20}}",
    ]);
    let target = select(vec![
        "'controller'",
        "{leader = {}}",
        "{follower = {partition = 1}}",
        "{coordinator = {group = 'g'}}",
        "{node = 'cpu-node1'}",
        "{random = {count = 2}}",
        "'zk-leader'",
        "{minority = {}}",
        "'zk-all'",
        "'brokers'",
    ]);
    let before = (index > 0).then_some(0..index);
    let start = before.map_or(Just(String::new()).boxed(), |before| {
        let after = |state: &'static str| {
            let delay = 0..5_u32;
            (before.clone(), delay).prop_map(move |(step, delay)| {
                format!("start = {{{state} = {{step = 's{step}', delay = '{delay}s'}}}}\n")
            })
        };
        prop_oneof![
            Just(String::new()),
            (0..30_u32).prop_map(|at| format!("start = {{at = '{at}s'}}\n")),
            after("injected"),
            after("recovered"),
            after("healed"),
        ]
        .boxed()
    });
    let repeat = select(vec!["", "", "", "repeat = {times = 2, pause = '1s'}\n"]);
    let flapping = select(vec!["", "flapping = {on = '1s', off = '2s'}\n"]);
    (fault, target, 1..20_u32, start, repeat, flapping).prop_map(
        move |(fault, target, hold, start, repeat, flapping)| {
            let flapping = if fault.contains("link-down") { flapping } else { "" };
            // All nodes together have no others to be cut off from.
            let all = fault.contains("other-nodes") && ["'zk-all'", "'brokers'"].contains(&target);
            let target = if all { "{minority = {}}" } else { target };
            format!(
                "[[step]]\nid = 's{index}'\nfault = {fault}\ntarget = {target}\nhold = '{hold}s'\n\
             {start}{repeat}{flapping}"
            )
        },
    )
}

fn any_plan() -> impl Strategy<Value = Plan> {
    let steps = (any_step(0), any_step(1), any_step(2), any_step(3), any_step(4));
    (steps, 1..6_usize).prop_map(|((a, b, c, d, e), count)| {
        let steps: String = [a, b, c, d, e].into_iter().take(count).collect();
        Plan::parse(&format!("name = 'p'\ndescription = 'd'\n{steps}")).unwrap()
    })
}

fn any_trouble() -> impl Strategy<Value = BTreeMap<usize, Trouble>> {
    let trouble =
        select(vec![Trouble::Fail, Trouble::FailAfterwards, Trouble::Interrupt, Trouble::Hang]);
    prop::collection::btree_map(1..200_usize, trouble, 0..5)
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(300) })]

    #[test]
    fn any_sequence_with_any_trouble_ends_as_it_began(plan in any_plan(), trouble in any_trouble()) {
        survive(&plan, trouble);
    }
}
