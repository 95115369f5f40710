//! The cheap part of the catalogue on a real cluster; `ci/faults` carries out all of it.

mod support;

use support::SHORT_SESSION;
use support::catalogue::{Outcome, carry_out, carry_out_losing, table};

/// A fault of ZooKeeper, of the network and of the disk, none of which takes long or needs a tool that
/// the rest of kbench does without.
#[test]
#[ignore = "starts a real cluster"]
fn cheap_faults_take_effect_meet_their_expectation_and_are_undone() {
    let plans = ["session-expired", "packet-loss", "full-disk"];
    let outcomes: Vec<_> =
        plans.iter().map(|plan| carry_out(plan, &["--set", SHORT_SESSION])).collect();
    eprintln!("{}", table(&outcomes));
    let failures: Vec<_> = outcomes.iter().flat_map(|outcome| &outcome.failures).collect();
    assert!(failures.is_empty(), "{failures:#?}");
}

/// Every broker's power at once: replicas help nobody, flushes do.
#[test]
#[ignore = "starts a real cluster"]
fn a_power_loss_takes_what_was_not_flushed_and_nothing_else() {
    let each_record = "cluster.broker.settings.log.flush.interval.messages=1";
    let flushed = carry_out("power-loss-all", &["--set", SHORT_SESSION, "--set", each_record]);
    let not = carry_out_losing("power-loss-all", &["--set", SHORT_SESSION]);
    for outcome in [&flushed, &not] {
        assert!(outcome.failures.is_empty(), "{:#?}", outcome.failures);
    }
    let said = |outcome: &Outcome, what: &str| {
        let lines = outcome.evidence.iter().filter(|line| line.contains(what));
        lines.count()
    };
    // A record that was on its way, and not acknowledged, may be gone even so.
    assert_eq!(said(&flushed, "known to be flushed: "), 3, "{:#?}", flushed.evidence);
    assert_eq!(said(&flushed, "known to be flushed: 0 bytes"), 0, "{:#?}", flushed.evidence);
    assert_eq!(said(&not, "not flushed, and gone: "), 3, "{:#?}", not.evidence);
}
