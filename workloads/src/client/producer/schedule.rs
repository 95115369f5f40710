//! When each send is due: an absolute schedule, computed in integers from the first instant.
//!
//! At one rate, send `i` is due at `start + i * 1e9 / rate`. No interval is ever rounded and added
//! up, so that the schedule does not drift, whatever the rate. When the rate changes, the part of an
//! interval that has passed counts: as many sends are due by any instant as the rates over the time
//! before it say, with no burst and no gap at the change. Sends that were due before keep their
//! times, sent or not. The schedule never looks at what was really sent.

use results::record::clock::RunTime;

const SECOND: u128 = 1_000_000_000;

/// The due times of a load.
#[derive(Debug, Clone)]
pub(crate) struct Schedule {
    /// By start.
    segments: Vec<RateSegment>,
}

/// A stretch of time with one rate.
#[derive(Debug, Clone, Copy)]
struct RateSegment {
    start: RunTime,
    /// Rate times nanoseconds, added up over the time before the start. Send `i` is due when that
    /// reaches `i * 1e9`.
    before: u128,
    rate: u64,
}

impl RateSegment {
    fn by(&self, at: RunTime) -> u128 {
        self.before + u128::from(at.0.saturating_sub(self.start.0)) * u128::from(self.rate)
    }
}

impl Schedule {
    /// `rate` sends a second, the first at `start`. The rate is not zero in a validated spec.
    pub(crate) fn new(start: RunTime, rate: u64) -> Self {
        Self { segments: vec![RateSegment { start, before: 0, rate: rate.max(1) }] }
    }

    /// Changes the rate behind `at`: what is due by then stays so.
    pub(crate) fn change(&mut self, at: RunTime, rate: u64) {
        let rate = rate.max(1);
        let start = RunTime(at.0.saturating_add(1));
        if let Some(last) = self.segments.last_mut() {
            if start <= last.start {
                // It has not begun.
                last.rate = rate;
            } else {
                let before = last.by(start);
                self.segments.push(RateSegment { start, before, rate });
            }
        }
    }

    /// When send `i` is due.
    pub(crate) fn due(&self, i: u64) -> RunTime {
        let reaches = u128::from(i) * SECOND;
        let segment = self.segments.iter().rfind(|segment| segment.before <= reaches);
        segment.map_or(RunTime(u64::MAX), |segment| {
            let after = (reaches - segment.before) / u128::from(segment.rate);
            RunTime(segment.start.0.saturating_add(after as u64))
        })
    }

    /// How many sends are due at or before `now`.
    pub(crate) fn due_by(&self, now: RunTime) -> u64 {
        let segment = self.segments.iter().rfind(|segment| segment.start <= now);
        segment.map_or(0, |segment| segment.by(RunTime(now.0 + 1)).div_ceil(SECOND) as u64)
    }
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
    fn a_change_in_the_middle_of_an_interval_neither_bursts_nor_pauses() {
        let second = |s: f64| RunTime((s * 1e9).round() as u64);
        let mut schedule = Schedule::new(RunTime(0), 1);
        // Half of the interval after send 3 is over; the other half passes a thousand times faster.
        schedule.change(RunTime(second(3.5).0 - 1), 1000);
        assert_eq!(schedule.due(3), second(3.0));
        assert_eq!(schedule.due(4), second(3.5005));
        assert_eq!(schedule.due(5), second(3.5015));
        assert_eq!(schedule.due_by(second(4.5)), 1004);
        schedule.change(RunTime(second(4.5).0 - 1), 1);
        assert_eq!(schedule.due(1003), second(4.4995));
        assert_eq!(schedule.due(1004), second(5.0), "half an interval of the slow rate is left");
    }

    #[test]
    fn a_change_before_the_start_is_one_of_the_first_rate() {
        let mut schedule = Schedule::new(RunTime(1000), 1);
        schedule.change(RunTime(999), 1_000_000);
        assert_eq!((schedule.due(0), schedule.due(1)), (RunTime(1000), RunTime(2000)));
    }

    proptest! {
        #[test]
        fn due_by_counts_what_due_says(
            start in 0_u64..1 << 50,
            rate in 1_u64..1_000_000,
            changes in prop::collection::vec((0_u64..1 << 34, 1_u64..1_000_000), 0..4),
            i in 0_u64..1 << 20,
        ) {
            let mut schedule = Schedule::new(RunTime(start), rate);
            let mut at = start;
            let mut rates = vec![rate];
            for (after, rate) in changes {
                at += after;
                schedule.change(RunTime(at), rate);
                rates.push(rate);
            }
            let due = schedule.due(i);
            prop_assert_eq!(schedule.due_by(due), i + 1);
            prop_assert!(due.0 == start || schedule.due_by(RunTime(due.0 - 1)) <= i);
            // Two sends are as far apart as a rate says, or as two of them between them say.
            let apart = schedule.due(i + 1).0 - due.0;
            let interval = |rate: &u64| 1_000_000_000 / rate;
            let (shortest, longest) = (rates.iter().map(interval).min(), rates.iter().map(interval).max());
            prop_assert!(apart + 1 >= shortest.unwrap() && apart <= longest.unwrap() + 2, "{apart}");
        }
    }
}
