//! Two sentences as they were published, judged as anybody's runbook would be.

use super::*;
use crate::judge::claim::parse;
use crate::report::Question;

const CLOUD_PROVIDER: &str = include_str!("../../../tests/claims/cloud-provider.toml");
const CLIENT_LIBRARY: &str = include_str!("../../../tests/claims/client-library.toml");

/// Trials in which partition 1 is away for so many seconds when its leader dies.
fn judged(text: &str, seconds: &[f64]) -> Vec<ClaimResult> {
    let trials: Vec<_> = (1..)
        .zip(seconds)
        .map(|(number, seconds)| {
            let mut f = Fixture::new(number, 80.0);
            f.inject("leader", 20.0, &[2]);
            f.detect(20.1, &[2], None);
            f.outage("main", 1, 20.0, Some(20.0 + seconds));
            f.heal("leader", 50.0, 0.0, &[2], true);
            f.trial()
        })
        .collect();
    let claims = parse("published.toml", text).unwrap();
    let question = Question { claims, ..fixture::question(trials.len() as u32) };
    judge(&question, &trials).claims
}

fn outcomes(text: &str, seconds: &[f64]) -> Vec<Outcome> {
    judged(text, seconds).iter().map(|claim| claim.outcome).collect()
}

#[test]
fn what_is_typical_is_judged_by_the_median_and_what_is_the_most_by_every_trial() {
    use Outcome::{Holds, Refuted, Undecided};
    assert_eq!(outcomes(CLOUD_PROVIDER, &[1.5, 1.2, 9.0]), [Holds], "one of three is not typical");
    assert_eq!(outcomes(CLOUD_PROVIDER, &[1.5, 8.0, 9.0]), [Refuted]);
    assert_eq!(outcomes(CLOUD_PROVIDER, &[1.5, 1.2]), [Undecided], "two trials are no three");
    // The settings predict times on both sides of 15 s, of which three trials say little.
    assert_eq!(outcomes(CLIENT_LIBRARY, &[0.8, 0.9, 14.0]), [Holds, Undecided]);
    assert_eq!(outcomes(CLIENT_LIBRARY, &[0.8, 0.9, 14.0, 0.7, 0.8]), [Holds, Holds]);
    assert_eq!(outcomes(CLIENT_LIBRARY, &[0.8, 0.9, 16.0]), [Holds, Refuted]);
    assert_eq!(outcomes(CLIENT_LIBRARY, &[16.2, 16.1, 16.3]), [Refuted, Refuted]);
    let provider = &judged(CLOUD_PROVIDER, &[16.2, 16.1, 16.3])[0];
    assert_eq!(provider.reason, "the median of 3 trials is longer than 2 s");
    let corrected = provider.corrected.as_deref().unwrap();
    assert_eq!(corrected, "failover in 16.2 s (n = 3), as long as a session of 18 s lasts");
    assert_eq!(judged(CLOUD_PROVIDER, &[1.5, 1.2, 9.0])[0].corrected, None, "it holds");
}

#[test]
fn a_recovery_that_never_came_is_beyond_every_median() {
    let trials: Vec<_> = (1..=3)
        .map(|number| {
            let mut f = Fixture::new(number, 60.0);
            f.inject("leader", 20.0, &[2]);
            f.detect(20.1, &[2], None);
            f.outage("main", 1, 20.0, if number == 1 { Some(21.0) } else { None });
            f.heal("leader", 50.0, 0.0, &[2], false);
            f.trial()
        })
        .collect();
    let claims = parse("published.toml", CLOUD_PROVIDER).unwrap();
    let claim = judge(&Question { claims, ..fixture::question(3) }, &trials).claims.remove(0);
    assert_eq!(claim.outcome, Outcome::Refuted, "{}", claim.reason);
    assert_eq!(claim.corrected, None, "the median is not known, and no sentence says one");
}
