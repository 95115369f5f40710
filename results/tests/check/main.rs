//! The tests of the testers: good histories are never accused, and each way to spoil one is found
//! by the checker that is there for it, and by no other.

#![allow(clippy::unwrap_used, reason = "a test whose own data is not as expected has failed")]

mod bad;
mod cause;
mod compacted;
mod evidence;
mod good;
mod lawful;
mod mutate;
mod split;
mod times;
mod world;

use results::judge::check::{self, CheckContext};
use results::judge::verdict::{Check, Verdict};
use results::record::history::History;

/// All checks of a history of which nothing is known beside it.
fn checks(history: &History) -> Vec<Check> {
    check::all(history, &CheckContext::default()).unwrap()
}

/// Names of the checks with this verdict.
fn with_verdict(history: &History, verdict: Verdict) -> Vec<String> {
    checks(history)
        .into_iter()
        .filter(|check| check.verdict == verdict)
        .map(|check| check.name)
        .collect()
}

/// One check by its name.
fn named(history: &History, name: &str) -> Check {
    checks(history).into_iter().find(|check| check.name == name).unwrap()
}
