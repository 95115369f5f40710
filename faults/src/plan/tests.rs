//! Shipped plans are valid; plans that make no sense are refused, with their place.

use std::time::Duration;

use super::*;

const HEAD: &str = "name = 'p'\ndescription = 'd'\n[[step]]\nid = 'a'\nfault = 'kill'\n";

fn error(text: &str) -> PlanError {
    Plan::parse(text).expect_err(text)
}

#[test]
fn every_shipped_plan_is_valid_and_carries_its_file_name() {
    for (name, text) in SHIPPED {
        let plan = Plan::parse(text).unwrap_or_else(|e| panic!("{name}: {e} at {:?}", e.span));
        assert_eq!(plan.name, *name);
        assert!(plan.description.len() > 20, "{name}");
        let again = Plan::parse(&toml::to_string(&plan).unwrap());
        assert_eq!(again.as_ref(), Ok(&plan), "a resolved plan reads back the same");
    }
    let files = std::fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/plans")).unwrap();
    assert_eq!(files.count(), SHIPPED.len(), "a file in plans/ is not shipped");
}

#[test]
fn the_default_plan_needs_what_it_uses_and_fits_its_time() {
    let plan = Plan::parse(SHIPPED[0].1).unwrap();
    let needs = BTreeSet::from([Capability::Signal, Capability::Start, Capability::MoveLeaders]);
    assert_eq!(plan.needs(), needs);
    let took = plan.estimate(Duration::from_secs(18));
    assert!(took > Duration::from_secs(3 * 18) && took <= Duration::from_secs(120), "{took:?}");
    assert!(plan.estimate(Duration::from_secs(6)) < took);
}

#[test]
fn two_brokers_of_three_are_not_expected_to_come_back() {
    let plan = Plan::parse(SHIPPED[2].1).unwrap();
    assert_eq!(plan.steps[0].expect, Expectation::OutageUntilHeal);
    assert_eq!(plan.steps[0].targets_listed(), "controller + leader(not controller)");
}

#[test]
fn a_typo_is_found_where_it_is() {
    let text = format!("{HEAD}target = 'controler'\nhold = '1s'\n");
    let found = error(&text);
    assert!(found.message.contains("controller-and-leader"), "{found}");
    assert!(text[found.span.clone().unwrap()].contains("controler"), "{found:?}");

    let text = format!("{HEAD}tarket = 'controller'\nhold = '1s'\n");
    let found = error(&text);
    assert!(found.message.contains("`targets`"), "{found}");
    assert_eq!(&text[found.span.unwrap()], "tarket");
}

#[test]
fn a_typo_in_the_timing_is_found_with_what_is_allowed() {
    let wrong = |text: String, key: &str, allowed: &str| {
        let found = error(&text);
        assert!(found.message.contains(allowed), "{found}");
        assert_eq!(&text[found.span.unwrap()], key, "{}", found.message);
    };
    let step = format!("{HEAD}target = 'controller'\nhold = '1s'\n");
    wrong(format!("{step}start = {{ when = '1s' }}"), "when", "`at`, `injected`, `recovered`");
    wrong(format!("{step}start = {{ healed = {{ stp = 'a' }} }}"), "stp", "`step` or `delay`");
    wrong(format!("{step}repeat = {{ count = 2 }}"), "count", "`times`, `during`, `pause`");
    let head = "name = 'p'\ndescription = 'd'\n";
    wrong(format!("{head}alows = []"), "alows", "`allows`");
    wrong(format!("{head}anomalies = ['lost']"), "'lost'", "`duplicate-in-new-epoch`");
    wrong(format!("{head}allows = ['chaos']"), "'chaos'", "`quorum-loss` or `data-loss`");
    let mix = format!("{head}[mix]\nduration = '9s'\nquiet = '1s'\n");
    wrong(format!("{mix}noise = 1"), "noise", "`at_once`");
    let candidate = format!("{mix}[[mix.candidate]]\nfault = 'kill'\ntarget = 'controller'\n");
    wrong(format!("{candidate}hold = {{ upto = '9s' }}"), "upto", "`from`");
    let long = error(&format!("{candidate}hold = {{ from = '2s', to = '9s' }}"));
    assert!(long.message.contains("too short: \"kill\" may hold for 9 s"), "{long}");
}

#[test]
fn a_plan_that_makes_no_sense_is_refused() {
    let bad = |lines: &str, expected: &str| {
        let found = error(&format!("{HEAD}{lines}"));
        assert!(found.message.contains(expected), "{lines}: {found}");
        assert!(found.span.is_some(), "{lines}");
    };
    bad("hold = '1s'", "needs a `target`");
    bad("target = 'controller'\ntargets = [{broker = 1}]\nhold = '1s'", "not both");
    bad("target = 'controller'", "say how long");
    bad("target = 'controller'\nhold = '1s'\nrecover_within = '2s'", "say how long");
    bad("target = 'controller'\nuntil = 'recovered'", "say how long");
    bad("target = 'controller'\nhold = '0s'", "longer than 0 s");
    bad("target = 'controller'\nhold = '1 sec or so'", "");
    bad(
        "target = 'controller'\nuntil = 'recovered'\nrecover_within = '9s'\n\
         expect = 'outage-until-heal'",
        "needs `hold`",
    );
    bad(
        "target = 'controller'\nhold = '9s'\nexpect = 'outage-until-heal'\n\
         [[step]]\nid = 'b'\nfault = 'kill'\ntarget = {broker = 1}\nhold = '1s'\nstart = {at = '1s'}",
        "step \"a\": `expect = \"outage-until-heal\"` cannot be judged beside other",
    );
    let flapping = "target = 'controller'\nhold = '1s'\nflapping = {on = '1s', off = '1s'}";
    bad(flapping, "`kill` cannot come and go");
    bad(
        "target = 'controller'\nhold = '1s'\n\
         [[step]]\nid = 'a'\nfault = 'kill'\ntarget = 'controller'\nhold = '1s'",
        "two steps have the id \"a\"",
    );
    let fine = "target = 'controller'\nhold = '1s'\n";
    bad(&format!("{fine}rolling = true\nstart = {{at = '1s'}}"), "goes with neither");
    bad(&format!("{fine}rolling = true\nrepeat = {{times = 2}}"), "goes with neither");
    bad(&format!("{fine}prepare = 'restore-leaders'\nstart = {{at = '1s'}}"), "needs a steady");
    for repeat in ["{}", "{times = 1}", "{times = 2, during = '9s'}", "{during = '0s'}"] {
        bad(&format!("{fine}repeat = {repeat}"), "`repeat` needs either");
    }
    bad(
        &format!("{fine}start = {{healed = {{step = 'b'}}}}"),
        "after \"b\", which is no step before it (those are: none)",
    );
    bad(&format!("{fine}[mix]\nduration = '9s'\nquiet = '1s'\ncandidate = []"), "not both");
    assert!(error("name = 'p'\ndescription = 'd'").message.contains("at least one"));
    assert!(error("name = 'A b'\ndescription = ''").message.contains("a-z, 0-9"));
}

#[test]
fn a_ring_and_a_bridge_need_nodes_enough() {
    let nodes = |from: &str| {
        let step = format!("fault = {{cut = {{from = '{from}'}}}}\ntarget = 'all'\nhold = '1s'");
        let text = format!("name = 'p'\ndescription = 'd'\n[[step]]\nid = 'a'\n{step}");
        Plan::parse(&text).unwrap().nodes()
    };
    assert_eq!([nodes("clients"), nodes("across-bridge"), nodes("non-neighbours")], [1, 3, 4]);
}
