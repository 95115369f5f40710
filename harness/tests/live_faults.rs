//! The cheap part of the catalogue on a real cluster; `ci/faults` carries out all of it.

mod support;

use support::SHORT_SESSION;
use support::catalogue::{carry_out, table};

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
