//! The load's test of itself: whether a stall can hide behind the generator.

use super::{DoctorCheck, Health, check};

const NAME: &str = "load generator";

/// Lets mock brokers stall under a load, which takes some seconds.
pub(super) fn load_generator() -> DoctorCheck {
    let measured = tempfile::tempdir()
        .map_err(|error| format!("a temporary folder cannot be made: {error}"))
        .and_then(|dir| workloads::honesty(dir.path()).map_err(|error| error.to_string()));
    let seen = match measured {
        Ok(seen) => seen,
        Err(why) => {
            let detail = format!("its test of itself cannot be made: {why}");
            let cure = "end other programs, and see that loopback is up (`ip link set lo up`)";
            return check(NAME, Health::Poor, detail, Some(cure.to_owned()));
        }
    };
    let figures = format!(
        "of {} records that were due while mock brokers stalled, {} have response times that hide it (median {} ms; \
         a generator that waits would have said {} ms)",
        seen.due,
        seen.hidden,
        seen.response_p50.as_millis(),
        seen.service_p50.as_millis(),
    );
    if seen.honest() {
        return check(NAME, Health::Good, figures, None);
    }
    let detail = format!("{figures}; {} were due by its schedule", seen.expected);
    let cure = "latencies of this build cannot be trusted: report it, with this line";
    check(NAME, Health::Bad, detail, Some(cure.to_owned()))
}
