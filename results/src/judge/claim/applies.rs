//! What a claim is in a run: of which of its steps, and whether the run's settings give it a meaning.

use super::{Claim, GivenCluster, LeaderService, Metric, TrialFacts};

/// The claim as one of the steps of the plan that was carried out, where it names those of several plans.
pub(super) fn of_steps_there(claim: &Claim, trials: &[TrialFacts]) -> Claim {
    let there = |step: &str| {
        trials.iter().any(|trial| {
            trial.faults.iter().any(|fault| fault.id == step)
                || trial.skipped.iter().any(|(id, _)| id == step)
        })
    };
    Claim { scenario: claim.steps(there), ..claim.clone() }
}

/// In what a trial's cluster is not the one that the claim speaks of, if it is another.
pub(super) fn another_cluster(claim: &Claim, trials: &[TrialFacts]) -> Option<String> {
    let GivenCluster { brokers, replication_factor, settings } = &claim.given;
    trials.iter().find_map(|trial| {
        let seen = &trial.environment.settings;
        let numbers = [
            ("brokers", brokers, seen.brokers),
            ("replication factor", replication_factor, seen.replication_factor),
        ];
        let number = numbers.iter().find_map(|(what, wanted, seen)| {
            wanted
                .filter(|wanted| wanted != seen)
                .map(|wanted| format!("{what} {wanted}, not {seen}"))
        });
        let setting = settings.iter().find_map(|(name, wanted)| {
            let seen = seen.broker.get(name).map_or("unknown", String::as_str);
            (seen != wanted).then(|| format!("{name} = {wanted}, which is {seen} here"))
        });
        let other = number.or(setting)?;
        Some(format!("not applicable: the claim speaks of a cluster with {other}"))
    })
}

/// Why the settings of these trials give the claim no meaning, if that is so.
pub(super) fn not_applicable(claim: &Claim, trials: &[TrialFacts]) -> Option<String> {
    let without = !trials.is_empty() && trials.iter().all(|trial| !trial.acks_all);
    let of_acks_all = matches!(
        claim.metric,
        Metric::ChecksAcksAll(_)
            | Metric::ChecksWithACopy(_)
            | Metric::UnavailabilityNotLed(LeaderService::AcksAll)
    );
    let why = "not applicable: the main load does not use acks=all";
    let unasked = !trials.is_empty() && trials.iter().all(|trial| trial.no_acks);
    let of_main = matches!(
        claim.metric,
        Metric::UnavailabilityLed | Metric::NewLeaderServes | Metric::MinIsrCopies(_)
    );
    match (without && of_acks_all, unasked && of_main) {
        (true, _) => Some(why.to_owned()),
        (false, true) => Some(
            "not applicable: the main load asks for no acks (acks=0), so its partitions have no figures"
                .to_owned(),
        ),
        (false, false) => None,
    }
}
