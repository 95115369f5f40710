//! Every fault of the catalogue against a real cluster under load, by the shipped plans: the suite
//! `ci/faults`.

mod support;

use std::collections::BTreeSet;
use std::env;
use std::time::Instant;

use support::catalogue::{Outcome, carry_out, table};
use support::{kbench, output};

/// The first column of `kbench list WHAT`.
fn listed(what: &str) -> BTreeSet<String> {
    let (code, text, stderr) = output(kbench().args(["list", what]));
    assert_eq!(code, Some(0), "{stderr}");
    let names = text.lines().skip(1).filter_map(|line| line.split_whitespace().next());
    names.map(str::to_owned).collect()
}

/// `KBENCH_PLANS` restricts the suite to some plans, separated by blanks.
#[test]
#[ignore = "starts a real cluster for each shipped plan: up to an hour"]
fn every_fault_takes_effect_meets_its_expectation_and_is_undone() {
    let shipped = listed("plans");
    let asked = env::var("KBENCH_PLANS").unwrap_or_default();
    let asked: BTreeSet<String> = asked.split_whitespace().map(str::to_owned).collect();
    let plans = if asked.is_empty() { &shipped } else { &asked };
    let mut outcomes: Vec<Outcome> = vec![];
    for (number, plan) in plans.iter().enumerate() {
        let began = Instant::now();
        let outcome = carry_out(plan, &[]);
        let ok = if outcome.failures.is_empty() { "ok" } else { "FAILED" };
        let seconds = began.elapsed().as_secs();
        eprintln!("{}/{} {plan}: {ok} after {seconds} s", number + 1, plans.len());
        for failure in &outcome.failures {
            eprintln!("  {failure}");
        }
        outcomes.push(outcome);
    }
    eprintln!("\n{}", table(&outcomes));
    let failures: Vec<_> = outcomes.iter().flat_map(|outcome| &outcome.failures).collect();
    assert!(failures.is_empty(), "{failures:#?}");
    if asked.is_empty() {
        let seen: BTreeSet<String> =
            outcomes.into_iter().flat_map(|outcome| outcome.faults).collect();
        let missing: Vec<_> = listed("faults").difference(&seen).cloned().collect();
        assert!(missing.is_empty(), "no shipped plan carried out {missing:?}");
    }
}
