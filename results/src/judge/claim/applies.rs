//! Claims that the settings of a run give no meaning.

use super::{Claim, LeaderService, Metric, TrialFacts};

/// Why the settings of these trials give the claim no meaning, if that is so.
pub(super) fn not_applicable(claim: &Claim, trials: &[TrialFacts]) -> Option<String> {
    let without = !trials.is_empty() && trials.iter().all(|trial| !trial.acks_all);
    let of_acks_all = matches!(
        claim.metric,
        Metric::ChecksAcksAll(_) | Metric::UnavailabilityNotLed(LeaderService::AcksAll)
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
