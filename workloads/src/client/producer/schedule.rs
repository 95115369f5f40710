//! When each send is due: an absolute schedule, computed in integers from the first instant.
//!
//! At one rate, send `i` is due at `start + i * 1e9 / rate`. No interval is ever rounded and added
//! up, so that the schedule does not drift, whatever the rate. When the rate changes, the part of an
//! interval that has passed counts: as many sends are due by any instant as the rates over the time
//! before it say, with no burst and no gap at the change. Sends that were due before keep their
//! times, sent or not. The schedule never looks at what was really sent.
//!
//! A shape of the rate is a clock that runs slower where the share is lower (`warp`); the schedule is kept by that
//! clock. Arrivals at random have places of their own in the row of sends (`places`).

mod places;
mod warp;

use results::record::clock::RunTime;

use crate::spec::{Arrivals, Shape};
use places::Places;
use warp::Warp;

const SECOND: u128 = 1_000_000_000;

/// The due times of a load.
#[derive(Debug)]
pub(crate) struct Schedule {
    /// By start, on the warped clock.
    segments: Vec<RateSegment>,
    start: RunTime,
    /// `None`: the clock is the run's own.
    warp: Option<Warp>,
    /// `None`: send `i` is in place `i`.
    places: Option<Places>,
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
    #[cfg(test)]
    pub(crate) fn new(start: RunTime, rate: u64) -> Self {
        Self::shaped(start, rate, &Shape::Constant, Arrivals::Even, 0)
    }

    /// At most `rate` sends a second, of this shape from `start` on; arrivals at random are the seed's.
    pub(crate) fn shaped(
        start: RunTime,
        rate: u64,
        shape: &Shape,
        arrivals: Arrivals,
        seed: u64,
    ) -> Self {
        Self {
            segments: vec![RateSegment { start, before: 0, rate: rate.max(1) }],
            start,
            warp: (!shape.is_constant()).then(|| Warp::new(&shape.stretches())),
            places: (!arrivals.is_even()).then(|| Places::new(seed)),
        }
    }

    /// Changes the rate behind `at`: what is due by then stays so.
    pub(crate) fn change(&mut self, at: RunTime, rate: u64) {
        let rate = rate.max(1);
        let at = if at < self.start { at } else { self.warped(at) };
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
        let reaches = self.places.as_ref().map_or(u128::from(i) * SECOND, |places| places.of(i));
        let segment = self.segments.iter().rfind(|segment| segment.before <= reaches);
        segment.map_or(RunTime(u64::MAX), |segment| {
            let after = (reaches - segment.before) / u128::from(segment.rate);
            self.unwarped(RunTime(segment.start.0.saturating_add(after as u64)))
        })
    }

    /// How many sends are due at or before `now`.
    pub(crate) fn due_by(&self, now: RunTime) -> u64 {
        if now < self.start {
            return 0;
        }
        let now = self.warped(now);
        let segment = self.segments.iter().rfind(|segment| segment.start <= now);
        segment.map_or(0, |segment| {
            let by = segment.by(RunTime(now.0 + 1));
            let even = by.div_ceil(SECOND) as u64;
            self.places.as_ref().map_or(even, |places| places.before(by))
        })
    }

    /// What the warped clock says at an instant.
    fn warped(&self, at: RunTime) -> RunTime {
        let Some(warp) = &self.warp else { return at };
        let after = at.0.saturating_sub(self.start.0);
        RunTime(self.start.0.saturating_add(warp.at(after)))
    }

    /// The first instant at which it says so.
    fn unwarped(&self, said: RunTime) -> RunTime {
        let Some(warp) = &self.warp else { return said };
        let after = said.0.saturating_sub(self.start.0);
        RunTime(self.start.0.saturating_add(warp.reached(after)))
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

        #[test]
        fn a_shape_keeps_its_shares_and_no_send_is_before_the_one_before_it(
            start in 0_u64..1 << 50,
            rate in 1_u64..100_000,
            shape in shapes(),
            poisson: bool,
            seed: u64,
            i in 0_u64..1 << 16,
            ms in 0_u64..100_000,
        ) {
            let arrivals = if poisson { Arrivals::Poisson } else { Arrivals::Even };
            let schedule = Schedule::shaped(RunTime(start), rate, &shape, arrivals, seed);
            let due = schedule.due(i);
            prop_assert!(schedule.due(i + 1) >= due && due.0 >= start);
            prop_assert!(schedule.due_by(due) > i);
            prop_assert!(due.0 == start || schedule.due_by(RunTime(due.0 - 1)) <= i);
            // The shares over the time, added up otherwise than by the schedule.
            let after = ms * 1_000_000;
            let offered = offered(&shape, after) * rate as f64;
            let by = schedule.due_by(RunTime(start + after)) as f64;
            // Of arrivals at random only blocks are whole.
            let off = if poisson { places::BLOCK as f64 } else { 1.0 };
            // Shares are whole millionths, and curves have steps.
            let coarse = rate as f64 * (1e-6 * after as f64 / 1e9 + 3e-5);
            prop_assert!((by - offered).abs() <= off + coarse + 1e-3, "{by}, {offered}");
        }

        #[test]
        fn a_shape_is_kept_when_the_rate_changes(
            shape in shapes(), rate in 1_u64..100_000, next in 1_u64..100_000, ms in 0_u64..50_000,
        ) {
            let mut schedule = Schedule::shaped(RunTime(5), rate, &shape, Arrivals::Even, 0);
            let at = RunTime(5 + ms * 1_000_000);
            let before = schedule.due_by(at);
            schedule.change(at, next);
            prop_assert_eq!(schedule.due_by(at), before);
            let later = at.0 + 20_000_000_000;
            let share = offered(&shape, later - 5) - offered(&shape, at.0 - 5);
            let more = (schedule.due_by(RunTime(later)) - before) as f64;
            let coarse = next as f64 * (1e-6 * 70.0 + 6e-5);
            prop_assert!((more - share * next as f64).abs() <= 2.0 + coarse, "{more}");
        }
    }

    fn shapes() -> impl Strategy<Value = Shape> {
        let share = || 0.0..=1.0_f64;
        let time = |from: u64, to| (from..to).prop_map(std::time::Duration::from_millis);
        prop_oneof![
            Just(Shape::Constant),
            (share(), time(1, 60_000)).prop_map(|(from, over)| Shape::Ramp { from, over }),
            (prop::collection::vec(0.01..=1.0_f64, 1..5), time(1, 20_000))
                .prop_map(|(shares, each)| Shape::Steps { shares, each }),
            (share(), time(10, 60_000)).prop_map(|(low, period)| Shape::Sine { low, period }),
            (share(), time(1000, 30_000), time(1, 1000))
                .prop_map(|(low, every, lasting)| Shape::Bursts { low, every, lasting }),
        ]
    }

    /// Seconds of the whole rate in the first nanoseconds of a shape, by its curve.
    fn offered(shape: &Shape, ns: u64) -> f64 {
        let t = ns as f64 / 1e9;
        match shape {
            Shape::Constant => t,
            Shape::Ramp { from, over } => {
                let over = over.as_secs_f64();
                let in_ramp = t.min(over);
                from * in_ramp + (1.0 - from) * in_ramp * in_ramp / over / 2.0 + (t - in_ramp)
            }
            Shape::Steps { shares, each } => {
                let each = each.as_secs_f64();
                let last = shares.len() - 1;
                let of = |(n, share): (usize, &f64)| {
                    let end = if n == last { f64::INFINITY } else { each };
                    share * (t - n as f64 * each).clamp(0.0, end)
                };
                shares.iter().enumerate().map(of).sum()
            }
            Shape::Sine { low, period } => {
                let turn = std::f64::consts::TAU / period.as_secs_f64();
                low * t + (1.0 - low) * (t - (turn * t).sin() / turn) / 2.0
            }
            Shape::Bursts { low, every, lasting } => {
                let (every, lasting) = (every.as_secs_f64(), lasting.as_secs_f64());
                let whole = (t / every).floor();
                let rest = t - whole * every;
                let of = |t: f64| t.min(lasting) + low * (t - lasting).max(0.0);
                whole * of(every) + of(rest)
            }
        }
    }

    #[test]
    fn arrivals_at_random_are_the_seed_s_and_have_the_rate() {
        let of =
            |seed| Schedule::shaped(RunTime(0), 1000, &Shape::Constant, Arrivals::Poisson, seed);
        let dues = |seed| {
            let schedule = of(seed);
            (0..20_480).map(|i| schedule.due(i).0).collect::<Vec<u64>>()
        };
        let of_seed = dues(7);
        assert_eq!(of_seed, dues(7));
        assert_ne!(of_seed, dues(8));
        // In an exponential distribution so many gaps are longer than the mean, and than three times that.
        let gaps: Vec<u64> = of_seed.windows(2).map(|pair| pair[1] - pair[0]).collect();
        for times in [1, 3] {
            let longer = gaps.iter().filter(|gap| **gap > times * 1_000_000).count() as f64;
            let share = longer / gaps.len() as f64;
            assert!((share - (-(times as f64)).exp()).abs() < 0.01, "{times}: {share}");
        }
        assert_eq!(of(7).due_by(RunTime(20_480_000_000 - 1)), 20_480, "whole blocks have the rate");
    }
}
