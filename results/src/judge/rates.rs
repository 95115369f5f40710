//! Rates of the main load: what was asked for, handed to the client, acked and consumed, side by side.
//!
//! What is *achieved* is what was acked. A record counts at each of its times by itself: so the acks that
//! come in a phase may be those of records of the phase before, of the warm-up as well, and a backlog that grows is
//! the difference between what is asked for and what is acked.
//!
//! A load is *saturated* when its steady part left behind half a second's worth of records, and one in a
//! hundred: its responses grow with the time that it lasts, and are no latency of the cluster. Healthy loads
//! begin and end with some milliseconds' worth on their way.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::timeline::Interval;
use crate::record::clock::RunTime;
use crate::record::history::{NO_ACK_ASKED, Send, SendOutcome};

/// Least backlog of a saturated load, in seconds of the rate that is asked for.
const BACKLOG_S: f64 = 0.5;

/// The same as a part of what was asked for.
const BACKLOG_SHARE: f64 = 0.01;

/// How many records of the main load there were in some time.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct PhaseCounts {
    /// How long it was, summed over trials.
    pub seconds: f64,
    /// Records that were due then, sent or not.
    pub due: u64,
    /// Records that were handed to the client then.
    pub sent: u64,
    /// Records that were acked then.
    pub acked: u64,
    /// Records that each group got then for the first time.
    pub consumed: BTreeMap<String, u64>,
}

/// The phases of a load.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct LoadCounts {
    /// The steady load.
    pub steady: PhaseCounts,
    /// The load around faults.
    pub faults: PhaseCounts,
    /// From the end of the warm-up until the producers are told to stop.
    pub all: PhaseCounts,
    /// While a planned backlog builds, and while it is read off.
    pub backlog: [PhaseCounts; 2],
    /// Whether no acks are asked for, so that none can come.
    pub unacked: bool,
}

/// Records a second in one phase.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct PhaseRates {
    /// How long the phase was, in seconds, over all trials.
    pub seconds: f64,
    /// Asked for in this phase; none where the load has one rate, or none, at all times.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub asked_per_s: Option<f64>,
    /// Handed to the client.
    pub sent_per_s: f64,
    /// Acked; none where no acks are asked for.
    pub acked_per_s: Option<f64>,
    /// Got for the first time by the group that got the fewest; none without a group.
    pub consumed_per_s: Option<f64>,
}

impl PhaseCounts {
    fn merge(&mut self, other: &Self) {
        self.seconds += other.seconds;
        self.due += other.due;
        self.sent += other.sent;
        self.acked += other.acked;
        for (group, records) in &other.consumed {
            *self.consumed.entry(group.clone()).or_default() += records;
        }
    }

    /// The rates; `None` of no time.
    pub fn rates(&self, unacked: bool) -> Option<PhaseRates> {
        let per_s = |records: u64| records as f64 / self.seconds;
        (self.seconds > 0.0).then(|| PhaseRates {
            seconds: self.seconds,
            asked_per_s: None,
            sent_per_s: per_s(self.sent),
            acked_per_s: (!unacked).then(|| per_s(self.acked)),
            consumed_per_s: self.consumed.values().min().map(|records| per_s(*records)),
        })
    }
}

impl LoadCounts {
    /// Adds another trial's.
    pub fn merge(&mut self, other: &Self) {
        self.steady.merge(&other.steady);
        self.faults.merge(&other.faults);
        self.all.merge(&other.all);
        let backlog = self.backlog.iter_mut().zip(&other.backlog);
        backlog.for_each(|(mine, theirs)| mine.merge(theirs));
        self.unacked |= other.unacked;
    }

    /// Records that the steady load of one trial left behind, where they are so many that it is saturated.
    pub fn left_behind(&self, asked_per_s: f64) -> Option<u64> {
        let PhaseCounts { seconds, acked, .. } = self.steady;
        let asked = asked_per_s * seconds;
        let least = (asked * BACKLOG_SHARE).max(asked_per_s * BACKLOG_S);
        let behind = asked - acked as f64;
        (!self.unacked && behind > 0.0 && behind >= least).then_some(behind as u64)
    }
}

/// Counts the main load of one trial.
pub(crate) struct RatesFold {
    steady: Vec<Interval>,
    disturbed: Vec<Interval>,
    /// Of a planned backlog: while it builds, and while it is read off.
    backlog: Option<[Interval; 2]>,
    all: Interval,
    counts: LoadCounts,
    last_due: RunTime,
}

impl RatesFold {
    /// `all` is from the end of the warm-up until the producers are told to stop.
    pub(crate) fn new(steady: Vec<Interval>, disturbed: Vec<Interval>, all: Interval) -> Self {
        let (backlog, counts) = (None, LoadCounts::default());
        Self { steady, disturbed, backlog, all, counts, last_due: RunTime(0) }
    }

    /// Counts a planned backlog as well.
    pub(crate) fn with_backlog(self, backlog: Option<[Interval; 2]>) -> Self {
        Self { backlog, ..self }
    }

    /// Adds a send, of the warm-up or later.
    pub(crate) fn sent(&mut self, send: &Send) {
        self.last_due = self.last_due.max(send.due);
        self.each(send.due, |counts| counts.due += 1);
        self.each(send.sent, |counts| counts.sent += 1);
        match send.outcome {
            SendOutcome::Acked { .. } => self.each(send.done, |counts| counts.acked += 1),
            SendOutcome::Indeterminate { code: NO_ACK_ASKED } => self.counts.unacked = true,
            SendOutcome::Failed { .. } | SendOutcome::Indeterminate { .. } => {}
        }
    }

    /// Adds records that were due in the second before `end`, after all sends: those that are due after the last
    /// one that was sent are in no history, because the generator never came to them.
    pub(crate) fn due_in_second(&mut self, end: RunTime, due: u64) {
        const SECOND: u64 = 1_000_000_000;
        let begin = RunTime(end.0.saturating_sub(SECOND));
        if begin >= self.last_due {
            self.each(RunTime(begin.0 + SECOND / 2), |counts| counts.due += due);
        }
    }

    /// Adds a record that a group got for the first time.
    pub(crate) fn got(&mut self, group: &str, at: RunTime) {
        self.each(at, |counts| match counts.consumed.get_mut(group) {
            Some(records) => *records += 1,
            None => drop(counts.consumed.insert(group.to_owned(), 1)),
        });
    }

    fn each(&mut self, at: RunTime, mut add: impl FnMut(&mut PhaseCounts)) {
        let within = |all: &[Interval]| all.iter().any(|(from, to)| *from <= at && at < *to);
        if !within(&[self.all]) {
            return;
        }
        let LoadCounts { steady, faults, all, backlog, .. } = &mut self.counts;
        add(all);
        let planned = self.backlog.iter().flatten().zip(backlog);
        planned.filter(|(time, _)| within(&[**time])).for_each(|(_, counts)| add(counts));
        if within(&self.steady) {
            add(steady);
        } else if within(&self.disturbed) {
            add(faults);
        }
    }

    /// The counts.
    pub(crate) fn finish(mut self) -> LoadCounts {
        let (from, until) = self.all;
        let sum = |all: &[Interval]| {
            let of =
                |(begin, end): &Interval| (*end).min(until).secs_since((*begin).max(from)).max(0.0);
            all.iter().map(of).fold(0.0, |sum, seconds| sum + seconds)
        };
        self.counts.steady.seconds = sum(&self.steady);
        self.counts.faults.seconds = sum(&self.disturbed);
        self.counts.all.seconds = sum(&[self.all]);
        let planned = self.backlog.iter().flatten().zip(&mut self.counts.backlog);
        planned.for_each(|(time, counts)| counts.seconds = sum(&[*time]));
        self.counts
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn at(s: f64) -> RunTime {
        RunTime((s * 1e9) as u64)
    }

    /// A load of 1000 records/s from 10 s to 40 s of which the cluster takes so many a second, and which is
    /// handed over at its due times or, where a queue holds only so many, when there is room.
    fn counts(taken_per_s: f64, queue: Option<f64>) -> LoadCounts {
        let all = (at(10.0), at(40.0));
        let mut fold = RatesFold::new(vec![all], vec![], all);
        for n in 0..30_000 {
            let due = 10.0 + f64::from(n) / 1e3;
            let acked = (10.0 + f64::from(n) / taken_per_s).max(due) + 0.005;
            let room = queue.map_or(due, |queue| acked - queue / taken_per_s);
            let (due, sent, done) = (at(due), at(room.max(due)), at(acked));
            let outcome = SendOutcome::Acked { offset: n.into() };
            let (partition, sequence, key, warm_up) = (0, n as u64, 0, false);
            fold.sent(&Send { partition, sequence, key, warm_up, due, sent, done, outcome });
            fold.got("g", done);
        }
        fold.finish()
    }

    #[test]
    fn what_is_achieved_is_what_was_acked() {
        let counts = counts(800.0, None);
        let rates = counts.steady.rates(false).unwrap();
        assert!((rates.sent_per_s - 1000.0).abs() < 1.0, "{rates:?}");
        assert!((rates.acked_per_s.unwrap() - 800.0).abs() < 1.0, "{rates:?}");
        assert!((rates.consumed_per_s.unwrap() - 800.0).abs() < 1.0, "{rates:?}");
        assert!(counts.left_behind(1000.0).unwrap().abs_diff(6000) < 20);
        assert_eq!(counts.steady, counts.all);
        assert_eq!(counts.steady.due, 30_000);
        assert_eq!(PhaseCounts::default().rates(false), None);
        assert_eq!(counts.steady.rates(true).unwrap().acked_per_s, None);
    }

    #[test]
    fn acks_of_the_warm_up_are_acks() {
        // What was sent in the warm-up is acked in the steady load, and what was sent in that only afterwards.
        let all = (at(10.0), at(40.0));
        let mut fold = RatesFold::new(vec![all], vec![], all);
        for n in 0..60_000 {
            let due = at(f64::from(n) / 1e3 - 20.0);
            let outcome = SendOutcome::Acked { offset: n.into() };
            let done = due.plus(std::time::Duration::from_secs(30));
            let (partition, sequence, key, warm_up) = (0, n as u64, 0, due < at(10.0));
            fold.sent(&Send { partition, sequence, key, warm_up, due, sent: due, done, outcome });
        }
        let rates = fold.finish().steady.rates(false).unwrap();
        assert!((rates.acked_per_s.unwrap() - 1000.0).abs() < 1.0, "{rates:?}");
    }

    #[test]
    fn what_the_generator_never_came_to_was_due() {
        let all = (at(10.0), at(40.0));
        let mut fold = RatesFold::new(vec![all], vec![], all);
        for n in 0..10_000 {
            let due = at(10.0 + f64::from(n) / 1e3);
            let outcome = SendOutcome::Acked { offset: n.into() };
            let (partition, sequence, key, warm_up) = (0, n as u64, 0, false);
            fold.sent(&Send {
                partition,
                sequence,
                key,
                warm_up,
                due,
                sent: due,
                done: due,
                outcome,
            });
        }
        // Seconds of the whole load and some time after it.
        (1..=50).for_each(|second| fold.due_in_second(at(f64::from(second)), 1000));
        assert_eq!(fold.finish().all.due, 30_000);
    }

    #[test]
    fn a_short_queue_hides_no_saturation() {
        assert!(counts(800.0, Some(100.0)).left_behind(1000.0).unwrap().abs_diff(6000) < 20);
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(20) })]

        #[test]
        fn a_load_is_saturated_where_it_leaves_half_a_second_behind(taken in 700.0..1400.0_f64) {
            let behind = (1000.0 - taken) * 30.0;
            prop_assume!((behind - 500.0).abs() > 20.0);
            prop_assert_eq!(counts(taken, None).left_behind(1000.0).is_some(), behind > 500.0);
        }
    }
}
