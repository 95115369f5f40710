//! Processes that their machine withholds something from.

use super::*;

const IMPAIRMENTS: [(&str, bool); 9] = [
    ("'no-descriptors'", true),
    ("'no-memory'", false),
    ("{slow-cpu = {percent = 20}}", false),
    ("'full-disk'", true),
    ("'read-only-disk'", true),
    ("'failing-fsync'", true),
    ("{slow-disk = {by = '50ms'}}", false),
    ("{clock = {ahead = '1h'}}", false),
    ("{clock = {behind = '10m'}}", false),
];

fn step(fault: &str) -> Plan {
    plan(&format!("fault = {fault}\ntarget = {{node = 'cpu-node1'}}\nhold = '20s'"))
}

#[tokio::test(start_paused = true)]
async fn what_gives_up_is_started_again_and_no_impairment_is_left() {
    for (fault, fatal) in IMPAIRMENTS {
        let world = World::new();
        let outcome = carry_out(&step(fault), &world).await.unwrap();
        assert!(injection(&outcome, 0).proven, "{fault}");
        let starts = world.trace.borrow().iter().filter(|l| l.starts_with("start ")).count();
        assert_eq!(starts, if fatal { 2 } else { 0 }, "{fault}");
        assert!(world.down().is_empty() && world.on_disk().is_empty(), "{fault}");
        assert!(world.impairments().is_empty(), "{fault}");
    }
}

/// A JVM that was refused memory writes a report before it ends.
#[tokio::test(start_paused = true)]
async fn what_gives_up_as_it_is_repaired_is_started_again() {
    let mut world = World::new();
    world.gives_up_late = true;
    carry_out(&step("'no-memory'"), &world).await.unwrap();
    let starts = world.trace.borrow().iter().filter(|l| l.starts_with("start ")).count();
    assert_eq!(starts, 2);
    assert!(world.down().is_empty() && world.on_disk().is_empty());
}

#[tokio::test(start_paused = true)]
async fn an_impairment_that_is_not_seen_is_unproven() {
    for (fault, _) in IMPAIRMENTS {
        let mut world = World::new();
        world.deaf = true;
        let outcome = carry_out(&step(fault), &world).await.unwrap();
        assert!(!injection(&outcome, 0).proven, "{fault}");
        assert!(world.on_disk().is_empty());
    }
}

#[test]
fn plans_say_which_way_a_clock_jumps() {
    for (clock, why) in [
        ("{ahead = '1h', behind = '1h'}", "either `ahead` or `behind`"),
        ("{}", "either `ahead` or `behind`"),
        ("{ahead = '10ms'}", "a second or more"),
    ] {
        let text = format!(
            "name = 'p'\ndescription = 'd'\n[[step]]\nid = 'a'\nfault = {{clock = {clock}}}\n\
             target = 'controller'\nhold = '1s'"
        );
        let error = Plan::parse(&text).unwrap_err().to_string();
        assert!(error.contains(why), "{error}");
    }
    let plan = step("{clock = {behind = '10m'}}");
    assert_eq!(Plan::parse(&toml::to_string(&plan).unwrap()).unwrap(), plan);
}
