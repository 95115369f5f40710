//! When each send is due: an absolute schedule, computed in integers from the first instant.
//!
//! Send `i` is due at `start + i * 1e9 / rate`. No interval is ever rounded and added up, so that
//! the schedule does not drift, whatever the rate. It never looks at what was really sent.

use results::record::clock::RunTime;

const SECOND: u128 = 1_000_000_000;

/// The due times of a load.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Schedule {
    start: RunTime,
    rate: u64,
}

impl Schedule {
    /// `rate` sends a second, the first at `start`. The rate is not zero in a validated spec.
    pub(crate) fn new(start: RunTime, rate: u64) -> Self {
        Self { start, rate: rate.max(1) }
    }

    /// When send `i` is due.
    pub(crate) fn due(&self, i: u64) -> RunTime {
        let after = u128::from(i) * SECOND / u128::from(self.rate);
        RunTime(self.start.0.saturating_add(after as u64))
    }

    /// How many sends are due at or before `now`.
    pub(crate) fn due_by(&self, now: RunTime) -> u64 {
        let Some(elapsed) = now.0.checked_sub(self.start.0) else {
            return 0;
        };
        ((u128::from(elapsed) + 1) * u128::from(self.rate)).div_ceil(SECOND) as u64
    }
}

/// The partition of send `i`: each in turn.
pub(crate) fn partition(i: u64, partitions: u32) -> usize {
    (i % u64::from(partitions)) as usize
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_rate_that_does_not_divide_a_second_does_not_drift() {
        let schedule = Schedule::new(RunTime(5), 3);
        assert_eq!(schedule.due(1), RunTime(5 + 333_333_333));
        assert_eq!(schedule.due(3 * 3600), RunTime(5 + 3600 * 1_000_000_000));
        let fast = Schedule::new(RunTime(0), 999_983);
        assert_eq!(fast.due(999_983 * 86_400), RunTime(86_400 * 1_000_000_000));
    }

    #[test]
    fn partitions_are_fed_evenly() {
        let mut fed = [0; 3];
        for i in 0..3000 {
            fed[partition(i, 3)] += 1;
        }
        assert_eq!(fed, [1000; 3]);
    }

    proptest! {
        #[test]
        fn due_by_counts_what_due_says(start in 0_u64..1 << 50, rate in 1_u64..1_000_000, i in 0_u64..1 << 33) {
            let schedule = Schedule::new(RunTime(start), rate);
            let due = schedule.due(i);
            prop_assert_eq!(schedule.due_by(due), i + 1);
            prop_assert!(schedule.due_by(RunTime(due.0.saturating_sub(1))) <= i || due.0 == start);
        }
    }
}
