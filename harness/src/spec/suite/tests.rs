//! Suites as they are written, and what their scenarios can decide.

use results::judge::claim;
use results::judge::claim::Metric;

use super::*;
use crate::cluster::local::sandbox::Mode;
use crate::series::search;
use crate::spec::{Request, guide, load, parse};
use crate::topology::LinksSpec;

fn refused(text: &str) -> String {
    parse::<RunSuite>(text).unwrap_err().0
}

#[test]
fn each_claim_that_something_measures_is_decided_by_the_guide_s_suite() {
    let claims = guide().unwrap();
    let suite: RunSuite = load("guide", &[]).unwrap();
    let decided: BTreeSet<_> = suite.scenarios.iter().flat_map(|it| &it.claims).collect();
    let there: BTreeSet<_> = suite.scenarios.iter().map(|it| it.id.as_str()).collect();
    let left: Vec<_> = claims
        .iter()
        .filter(|claim| claim.metric.is_tested_here())
        .filter(|claim| match claim.metric.scenarios().as_slice() {
            [] => !decided.contains(&claim.id),
            names => names.iter().any(|name| !there.contains(name)),
        })
        .map(|claim| &claim.id)
        .collect();
    assert!(left.is_empty(), "no scenario decides {left:?}");
}

#[test]
fn the_shipped_suites_can_decide_what_they_say_and_the_quick_one_is_quick() {
    let claims = guide().unwrap();
    for (name, _) in RunSuite::shipped() {
        let suite: RunSuite = load(name, &[]).unwrap();
        assert_eq!(suite.name, *name);
        let mut whole = Duration::ZERO;
        for scenario in &suite.scenarios {
            // Without its plan, so that no machine lacks what it takes.
            // Of links that are limited, as these are, where the machine can.
            let (links, set): (Vec<_>, Vec<_>) =
                scenario.set.iter().cloned().partition(|it| it.starts_with("cluster.links"));
            let rate = |it: &String| match it.as_str() {
                "cluster.links.rate=2 MB/s" => 2_000_000,
                "cluster.links.rate=500 kB/s" => 500_000,
                other => panic!("{other}"),
            };
            let request = Request {
                set,
                trials: scenario.trials,
                mode: Some(Mode::Loopback),
                ..Request::of(&scenario.workload, "none", &scenario.cluster)
            };
            let mut spec = request.resolve().unwrap().spec;
            spec.cluster.links = links.first().map(|it| LinksSpec { rate: rate(it) });
            spec.plan = match scenario.plan.as_str() {
                "none" => None,
                plan => Some(load(plan, &[]).unwrap()),
            };
            scenario.can_decide(&claims, spec.plan.as_ref()).unwrap();
            whole += match &scenario.max_rate {
                None => spec.expected_trial() * scenario.trials,
                Some(search) => search::expected(&search.into(), &spec),
            };
        }
        let limit = match *name {
            "guide-quick" => 300,
            "guide" => 3600,
            _ => 85 * 60,
        };
        assert!(whole.as_secs() <= limit, "{name} takes {whole:?}");
    }
}

#[test]
fn mistakes_are_told() {
    let head = "name = \"x\"\ndescription = \"d\"\n";
    let of = |body: &str| refused(&format!("{head}[[scenario]]\n{body}\n"));
    assert!(of("id = \"a/b\"").contains("hyphens"));
    assert!(of("id = \"a\"\ntrials = 0").contains("trials"));
    assert!(of("id = \"a\"\nduration = \"x\"").contains("duration"));
    assert!(of("id = \"a\"\nmust_find = [\"lots\"]").contains("no check `lots`"));
    assert!(of("id = \"a\"\n[[scenario]]\nid = \"a\"").contains("twice"));
    assert!(of("id = \"a\"\nfaults = \"x\"").contains("faults"));
    assert!(refused("name = \"x\"\ndescription = \"d\"\nscenario = []\n").contains("1 to"));
    let search = "id = \"a\"\nmax_rate = { from = 1, to = 9 }";
    let text = |more: &str| format!("{head}[[scenario]]\n{search}\n{more}\n");
    let whole: RunSuite = parse(&text("")).unwrap();
    let command = whole.scenarios[0].command(None);
    let ends =
        "--from 1 --to 9 --precision 2 --step 10s --hold 30s --rounds 0 -- --workload 1k-msg-s";
    assert!(
        command.starts_with("kbench max-rate --objective ") && command.ends_with(ends),
        "{command}"
    );
    assert!(of("id = \"a\"\nmax_rate = { from = 9, to = 9 }").contains("the lower one first"));
    for (more, words) in [
        ("plan = \"failover\"", "without faults"),
        ("duration = \"9s\"", "how long its runs are"),
        ("trials = 2", "how long its runs are"),
        ("claims = [\"plus-67\"]", "name it by their metric"),
        ("must_find = [\"lost\"]", "looks for no check"),
    ] {
        let why = refused(&text(more));
        assert!(why.contains(words), "{more}: {why}");
    }
}

#[test]
fn a_scenario_is_refused_what_it_cannot_decide() {
    let mut claims = guide().unwrap();
    let unmeasured = claims.iter_mut().find(|claim| claim.id == "msg-rate");
    unmeasured.unwrap().metric = Metric::NotTestedHere("more".to_owned());
    let spec = |plan: &str| Request::of("smoke", plan, "local").resolve().unwrap().spec;
    let scenario = |plan: &str, claim: &str| {
        let text = format!(
            "name = \"x\"\ndescription = \"d\"\n[[scenario]]\nid = \"a\"\nplan = \"{plan}\"\nclaims = [\"{claim}\"]"
        );
        parse::<RunSuite>(&text).unwrap().scenarios.remove(0)
    };
    let asked = |plan: &str, claim: &str| {
        scenario(plan, claim).can_decide(&claims, spec(plan).plan.as_ref())
    };
    // By the steps of one of two plans.
    for (plan, claim) in [("failover", "leader-failover"), ("minorities-lost", "seven-three")] {
        assert!(asked(plan, claim).is_ok(), "{plan} {claim}");
    }
    for (plan, claim, words) in [
        ("none", "leader-failover", "needs step \"leader\""),
        ("none", "seven-three", "needs step \"three-nodes\""),
        ("none", "leader-failovr", "no claim"),
        ("none", "msg-rate", "nothing measures"),
        ("none", "plus-67", "the scenarios that its metric names"),
    ] {
        let why = asked(plan, claim).unwrap_err().to_string();
        assert!(why.contains(words), "{why}");
    }
    assert_eq!(
        scenario("failover", "leader-failover").command(None),
        "kbench run --workload 1k-msg-s --faults failover"
    );
}

#[test]
fn a_user_s_claims_are_decided_by_the_scenarios_that_can_and_unknown_ids_are_left_out() {
    let guide = guide().unwrap();
    let own = |bodies: &[(&str, &str)]| {
        let one = |(id, body): &(&str, &str)| {
            format!("[[claim]]\nid = \"{id}\"\ntext = \"t\"\nsource = \"s\"\n{body}\n")
        };
        claim::parse("own.toml", &bodies.iter().map(one).collect::<String>()).unwrap()
    };
    let answered = |own: &[Claim]| {
        let mut suite: RunSuite = load("guide", &[]).unwrap();
        suite.answer_for(own, &guide, "own.toml").map(|()| suite)
    };
    let decide = |suite: &RunSuite, id: &str| -> Vec<String> {
        let named = suite.scenarios.iter().filter(|it| it.claims.iter().any(|claim| claim == id));
        named.map(|it| it.id.clone()).collect()
    };
    let time = "scenario = [\"leader\"]\nstated_s = [0.0, 2.0]\nmetric = \"unavailability-led\"";
    let mut claims = own(&[
        ("quick", time),
        ("nothing-lost", "metric = { checks = [\"lost\"] }"),
        ("elsewhere", "scenario = [\"no-such-step\"]\nmetric = \"recovers-while-fault-lasts\""),
        ("people", "metric = { not-tested-here = \"people\" }"),
    ]);
    let of_guide = guide.iter().find(|it| it.id == "settings-in-force").unwrap();
    claims.push(Claim { id: "in-force".to_owned(), ..of_guide.clone() });
    let suite = answered(&claims).unwrap();
    assert!(decide(&suite, "quick").contains(&"failover".to_owned()));
    assert!(!decide(&suite, "quick").contains(&"healthy".to_owned()), "it has no step \"leader\"");
    // Every run tells, but where the checks must find something.
    let lost = decide(&suite, "nothing-lost");
    assert!(
        lost.contains(&"healthy".to_owned()) && !lost.contains(&"power".to_owned()),
        "{lost:?}"
    );
    // As the guide's claim of that metric.
    assert_eq!(decide(&suite, "in-force"), ["healthy"]);
    for id in ["elsewhere", "people", "leader-failover"] {
        assert_eq!(decide(&suite, id), [""; 0], "{id}");
    }
    for scenario in &suite.scenarios {
        let plan = scenario.plan_as_written().unwrap();
        scenario.can_decide(&claims, plan.as_ref()).unwrap();
        assert!(scenario.max_rate.is_none() || scenario.claims.is_empty());
    }
    let refused = answered(&own(&[("people", "metric = { not-tested-here = \"people\" }")]));
    let refused = refused.map(drop).unwrap_err();
    assert!(refused.text().contains("can decide any claim of own.toml"), "{}", refused.text());
    let ratio = |of: &str| {
        let bound = format!("{{ scenario = \"{of}\", least = 1.0, most = 9.0 }}");
        own(&[("rate", &format!("metric = {{ max-rate-per-broker = {bound} }}"))])
    };
    assert!(answered(&ratio("rate")).is_ok(), "a search decides it");
    assert!(answered(&ratio("no-such-scenario")).is_err());
}
