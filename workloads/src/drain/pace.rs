//! How a drain gets on, and when it is given up. Its limit is progress and no number of seconds: a log of hours is
//! read for as long as it takes.
//!
//! Given up is a drain whose logs nobody passed on anywhere for [`Patience::stuck`]; one that is so slow that what is
//! left would take longer than [`Patience::most_left`], and longer than the whole trial has taken up to its begin (a
//! log is read no slower than it was written); and one that goes on for [`Patience::interrupted`] after an interrupt.
//! Time in which kbench itself stood still is nobody's.

use std::collections::VecDeque;
use std::time::Duration;

use results::record::clock::RunTime;

/// How long a drain is waited for.
#[derive(Debug, Clone, Copy)]
pub struct Patience {
    /// Longest time without any progress on any partition.
    pub stuck: Duration,
    /// Longest time that what is left may take, as fast as it goes.
    pub most_left: Duration,
    /// How long it may go on after an interrupt.
    pub interrupted: Duration,
}

impl Default for Patience {
    fn default() -> Self {
        Self {
            stuck: Duration::from_secs(30),
            most_left: Duration::from_secs(3600),
            interrupted: Duration::from_secs(60),
        }
    }
}

/// Where a drain stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DrainProgress {
    /// Offsets passed.
    pub passed: u64,
    /// Offsets left.
    pub left: u64,
    /// Offsets passed in a second, of late.
    pub per_s: u64,
}

/// The time over which a pace is measured, and before which none is known.
const MEASURED: Duration = Duration::from_secs(60);

/// How often it is looked how far the drain is.
const EVERY: Duration = Duration::from_secs(1);

/// Longest time between two looks that counts: a poll and a question together take less.
const LONGEST_LOOK: Duration = Duration::from_secs(3);

/// The pace of a drain.
#[derive(Debug)]
pub(super) struct Pace {
    patience: Patience,
    total: u64,
    passed: u64,
    looked: RunTime,
    /// Time that counted: since the begin, since the last progress, since the interrupt.
    active: Duration,
    idle: Duration,
    interrupted: Duration,
    /// Once a second: when in active time, and what was passed then. The oldest is [`MEASURED`] ago.
    measured: VecDeque<(Duration, u64)>,
}

impl Pace {
    /// That of a drain which begins now, with so many offsets to pass.
    pub(super) fn new(mut patience: Patience, now: RunTime, total: u64) -> Self {
        patience.most_left = patience.most_left.max(now.since(RunTime(0)));
        let measured = VecDeque::from([(Duration::ZERO, 0)]);
        let (active, idle, interrupted) = Default::default();
        Self { patience, total, passed: 0, looked: now, active, idle, interrupted, measured }
    }

    /// So many offsets more were passed.
    pub(super) fn pass(&mut self, offsets: u64) {
        self.passed += offsets;
        if offsets > 0 {
            self.idle = Duration::ZERO;
        }
    }

    /// Looks at the clock; whether a second has passed since the last figures.
    pub(super) fn look(&mut self, now: RunTime, interrupted: bool) -> bool {
        let step = now.since(self.looked).min(LONGEST_LOOK);
        self.looked = now;
        self.active += step;
        self.idle += step;
        if interrupted {
            self.interrupted += step;
        }
        let due = self.measured.back().is_none_or(|(last, _)| self.active - *last >= EVERY);
        if due {
            self.measured.push_back((self.active, self.passed));
            while self.measured.get(1).is_some_and(|(at, _)| self.active - *at >= MEASURED) {
                self.measured.pop_front();
            }
        }
        due
    }

    /// The figures of now.
    pub(super) fn progress(&self) -> DrainProgress {
        let per_s = self.per_s() as u64;
        DrainProgress { passed: self.passed, left: self.left(), per_s }
    }

    fn left(&self) -> u64 {
        self.total.saturating_sub(self.passed)
    }

    fn per_s(&self) -> f64 {
        let (since, before) = self.measured.front().copied().unwrap_or_default();
        (self.passed - before) as f64 / (self.active - since).as_secs_f64().max(1e-9)
    }

    /// Why the drain is to be given up, if it is.
    pub(super) fn given_up(&self) -> Option<String> {
        let Patience { stuck, most_left, interrupted } = self.patience;
        let left = self.left();
        if self.interrupted >= interrupted {
            let seconds = interrupted.as_secs();
            return Some(format!("{seconds} s after the interrupt, with {left} offsets left"));
        }
        if self.idle >= stuck {
            let seconds = stuck.as_secs();
            return Some(format!("nothing came for {seconds} s, with {left} offsets left"));
        }
        let per_s = self.per_s();
        let too_slow = left as f64 > per_s * most_left.as_secs_f64();
        (self.active >= MEASURED && too_slow).then(|| {
            let hours = most_left.as_secs_f64() / 3600.0;
            format!(
                "{left} offsets left, at {per_s:.1} a second, would take longer than {hours:.1} h"
            )
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: u64 = 1_000_000_000;

    /// A drain that begins `begins` after its trial, with a look every 50 ms, at each of which `source` tells how
    /// many offsets were passed until then. How long it took, and why it was given up.
    fn drain(begins: u64, total: u64, source: impl Fn(f64) -> u64) -> (f64, Option<String>) {
        let begin = RunTime(begins * SECOND);
        let mut pace = Pace::new(Patience::default(), begin, total);
        let mut passed = 0;
        for look in 1.. {
            let elapsed = f64::from(look) * 0.05;
            let now = source(elapsed).min(total);
            pace.pass(now - passed);
            passed = now;
            pace.look(begin.plus(Duration::from_secs_f64(elapsed)), false);
            let why = pace.given_up();
            if passed == total || why.is_some() {
                return (elapsed, why.filter(|_| passed < total));
            }
        }
        unreachable!()
    }

    #[test]
    fn a_drain_that_moves_goes_on_and_one_that_does_not_ends_within_the_window() {
        // Ten minutes; an hour and a half of a log that took two; with pauses that are short enough.
        let steady = |per_s: f64| move |elapsed: f64| (elapsed * per_s) as u64;
        let (took, why) = drain(100, 600_000, steady(1000.0));
        assert_eq!((took.round(), why), (600.0, None));
        let (took, why) = drain(7200, 540_000, steady(100.0));
        assert_eq!((took.round(), why), (5400.0, None));
        let pauses = |elapsed: f64| (elapsed / 29.0) as u64 * 10_000;
        assert_eq!(drain(100, 600_000, pauses).1, None);

        let stuck = |elapsed: f64| (elapsed.min(10.0) * 1000.0) as u64;
        let (took, why) = drain(100, 600_000, stuck);
        assert!((39.9..40.1).contains(&took), "{took}");
        assert_eq!(why.unwrap(), "nothing came for 30 s, with 590000 offsets left");
        assert_eq!(drain(100, 600_000, |_| 0).0.round(), 30.0);
    }

    #[test]
    fn one_that_would_take_hours_is_given_up_and_says_so() {
        let trickle = |elapsed: f64| (elapsed / 10.0) as u64;
        let (took, why) = drain(100, 1_000_000, trickle);
        assert!((60.0..61.0).contains(&took), "{took}");
        let why = why.unwrap();
        assert!(why.contains("would take longer than 1.0 h"), "{why}");
        // It becomes one: however a pace falls, the drain ends.
        let falls = |elapsed: f64| (1e6 * (1.0 - (-elapsed / 3000.0).exp())) as u64;
        let (took, why) = drain(100, 1_000_001, falls);
        assert!(took < 12.0 * 3600.0 && why.is_some(), "{took} {why:?}");
    }

    #[test]
    fn an_interrupt_leaves_it_a_minute() {
        let mut pace = Pace::new(Patience::default(), RunTime(0), 1_000_000);
        let end = (1..).find(|second| {
            pace.pass(1000);
            pace.look(RunTime(second * SECOND), *second > 10);
            pace.given_up().is_some()
        });
        assert_eq!(end, Some(70));
        assert!(pace.given_up().unwrap().contains("after the interrupt"));
    }

    #[test]
    fn time_in_which_kbench_stood_still_is_nobody_s() {
        let mut pace = Pace::new(Patience::default(), RunTime(0), 1000);
        pace.pass(10);
        for at in [10, 100, 1000, 2000] {
            pace.look(RunTime(at * SECOND), false);
            assert_eq!(pace.given_up(), None, "{at}");
        }
    }

    #[test]
    fn figures_are_told_once_a_second_and_follow_the_pace() {
        let mut pace = Pace::new(Patience::default(), RunTime(0), 100_000);
        let mut told = vec![];
        for look in 1..=2000 {
            pace.pass(if look <= 1000 { 50 } else { 5 });
            if pace.look(RunTime(look * SECOND / 20), false) {
                told.push(pace.progress());
            }
        }
        assert_eq!(told.len(), 100);
        assert_eq!(told[0], DrainProgress { passed: 1000, left: 99_000, per_s: 1000 });
        let last = told.last().unwrap();
        assert_eq!((last.passed, last.left), (55_000, 45_000));
        assert!((100..300).contains(&last.per_s), "{last:?}");
    }
}
