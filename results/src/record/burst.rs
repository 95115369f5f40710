//! How a producer of so many records a second keeps its schedule: each record alone, or in bursts.
//!
//! To wait for every record alone takes a wake-up for each, and a short spin where it is to be exact; from some
//! thousand records a second on, that is a whole core. What comes closer together than [`ALONE`] is therefore sent in
//! bursts: the producer sleeps until the next record has been due for [`LONGEST`], and sends all that is due. Each
//! record keeps the time that the schedule gives it, so that its response time contains what it waited for its burst.
//!
//! The producer and those who judge it both ask here: a wait for a burst is the plan, and no lateness.

use std::time::Duration;

/// The longest that a record waits for its burst.
pub const LONGEST: Duration = Duration::from_millis(1);

/// Records that are due this far apart are sent each alone: up to 4000 a second.
pub const ALONE: Duration = Duration::from_micros(250);

/// How long a record waits at most, by plan, at a producer of so many a second; nothing where each is sent alone.
pub fn planned(per_s: f64) -> Duration {
    if per_s * ALONE.as_secs_f64() > 1.0 { LONGEST } else { Duration::ZERO }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_that_are_far_apart_wait_for_no_other() {
        for alone in [0.0, 1.0, 1000.0, 4000.0] {
            assert_eq!(planned(alone), Duration::ZERO, "{alone}");
        }
        for burst in [4001.0, 20_000.0, 500_000.0] {
            assert_eq!(planned(burst), LONGEST, "{burst}");
        }
    }
}
