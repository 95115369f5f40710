//! How a producing thread waits for the schedule: exactly where records are far apart, otherwise from burst to burst
//! ([`burst`]).
//!
//! An exact wait sleeps until shortly before its end and spins for the rest. The spin is never more than
//! [`SPIN_SHARE`] of the time between two records, and there is none before a burst: a thread that waits leaves its
//! core to others, whatever the rate.

use std::time::Duration;

use results::record::burst;
use results::record::clock::{RunClock, RunTime};

use crate::wake::Wake;

/// Longest spin: a wake-up takes about 50 us on a virtual machine.
const SPIN: Duration = Duration::from_micros(50);

/// The part of the time between two records that may be spun away.
const SPIN_SHARE: u32 = 20;

/// How to wait at one rate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Tempo {
    /// How long a record waits for its burst.
    burst: Duration,
    /// For how long the end of a wait is spun.
    spin: Duration,
}

impl Tempo {
    /// Nothing is waited for.
    pub(super) const NONE: Self = Self { burst: Duration::ZERO, spin: Duration::ZERO };

    /// For so many records a second.
    pub(super) fn of(per_second: u64) -> Self {
        let burst = burst::planned(per_second as f64);
        let gap = Duration::from_nanos(1_000_000_000 / per_second.max(1));
        let spin = if burst.is_zero() { SPIN.min(gap / SPIN_SHARE) } else { Duration::ZERO };
        Self { burst, spin }
    }

    /// When a record that is due at `due` is sent, with all that is due by then.
    pub(super) fn sent_at(&self, due: RunTime) -> RunTime {
        due.plus(self.burst)
    }

    /// Sleeps until `until`, less when `wake` rings.
    pub(super) fn wait(&self, clock: RunClock, now: RunTime, until: RunTime, wake: &Wake) {
        let left = until.since(now);
        if left > self.spin {
            wake.wait(left - self.spin);
            return;
        }
        while clock.now() < until {
            std::hint::spin_loop();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_spin_takes_a_twentieth_of_a_core_at_most() {
        for rate in [1, 10, 999, 1000, 1001, 3999, 4000, 4001, 20_000, 500_000, 10_000_000] {
            let tempo = Tempo::of(rate);
            let spun_a_second = tempo.spin.as_secs_f64() * rate as f64;
            assert!(spun_a_second <= 0.05, "{rate}: {spun_a_second}");
            assert!(tempo.burst <= burst::LONGEST);
            assert_eq!(tempo.burst.is_zero(), rate <= 4000, "{rate}");
        }
    }

    #[test]
    fn a_rate_of_zero_is_one_to_wait_for() {
        assert_eq!(Tempo::of(0), Tempo::of(1));
    }
}
