//! The highest rate at which a cluster keeps an objective: rates are doubled until it is missed, then halved in
//! between until the two are close enough, and the best is held for longer.
//!
//! A rate is *kept* by a run that is valid, acks and consumes 99 % of what was asked for, and keeps every gate of the
//! objective. What a disturbance spoils is asked again.

use std::collections::BTreeSet;

use results::judge::verdict::Verdict;
use results::report::{GateOutcome, GateResult, Report};

/// Least part of what was asked for that has to be acked, and consumed by each group.
pub const ACHIEVED: [&str; 2] = ["acked.rate>=99%", "consumed.rate>=99%"];

/// Checks that say that the generator was what could do no more.
const OF_THE_GENERATOR: [&str; 4] =
    ["generator-rate", "client-cpu", "client-queue", "schedule-lag"];

/// What a run at some rate came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RateAttempt {
    /// The objective was kept.
    Kept,
    /// It was not, for this reason.
    Missed(String),
    /// The run is no measurement, for this reason.
    Spoilt(String),
}

/// What a report says of the rate that its run asked for.
pub fn attempt(report: &Report) -> RateAttempt {
    let notes = |names: &[&str]| {
        let of = report.checks.iter().filter(|check| names.contains(&check.name.as_str()));
        let bad = of.filter(|check| check.verdict != Verdict::Valid);
        let said = bad
            .map(|check| format!("{}: {}", check.name, check.note.as_deref().unwrap_or("failed")));
        said.collect::<Vec<_>>().join("; ")
    };
    let disturbed = notes(&["disturbance"]);
    let generator = notes(&OF_THE_GENERATOR);
    match report.verdict {
        Verdict::Valid | Verdict::Violated => {}
        Verdict::InvalidRun if disturbed.is_empty() && !generator.is_empty() => {
            return RateAttempt::Missed(format!("the generator can do no more ({generator})"));
        }
        Verdict::InvalidRun | Verdict::Unknown => {
            let why = [disturbed, generator, report.problems.join("; ")];
            let why = why.into_iter().find(|why| !why.is_empty());
            let verdict = report.verdict.as_str();
            return RateAttempt::Spoilt(format!("{verdict}: {}", why.unwrap_or_default()));
        }
    }
    let nobody_consumes = report.consuming.is_empty();
    let of = |outcome| {
        let counts = |gate: &&GateResult| !(nobody_consumes && gate.gate == ACHIEVED[1]);
        let gates = report.gates.iter().filter(counts).filter(move |gate| gate.outcome == outcome);
        gates.map(|gate| format!("{}: {}", gate.gate, gate.seen)).collect::<Vec<_>>().join("; ")
    };
    match (of(GateOutcome::Failed), of(GateOutcome::Unknown)) {
        (failed, _) if !failed.is_empty() => RateAttempt::Missed(failed),
        (_, unknown) if !unknown.is_empty() => RateAttempt::Spoilt(unknown),
        _ => RateAttempt::Kept,
    }
}

/// What is to be done next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NextStep {
    /// A short run at this rate, in records a second.
    Try(u64),
    /// A long one.
    Hold(u64),
    /// Nothing: the search has ended.
    End,
}

/// The search: what is known of the rates so far.
#[derive(Debug, Clone)]
pub struct RateSearch {
    range: (u64, u64),
    /// The two are close enough at this ratio.
    precision: f64,
    next: NextStep,
    /// Rates that were kept in a short run, below all that were missed.
    kept: BTreeSet<u64>,
    /// The lowest that was not.
    missed: Option<u64>,
    held: bool,
}

/// What a search came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Limit {
    /// The highest rate that was held, and the lowest that was missed.
    Between(u64, u64),
    /// The objective is kept at the highest rate that may be tried.
    AtLeast(u64),
    /// It is missed at the lowest.
    Below(u64),
}

impl RateSearch {
    /// From the lowest rate of `range` to its highest, in records a second; `precision` is the ratio of the lowest rate
    /// that is missed to the highest that is kept, less 1.
    pub fn new(range: (u64, u64), precision: f64) -> Self {
        let next = NextStep::Try(range.0);
        Self { range, precision, next, kept: BTreeSet::new(), missed: None, held: false }
    }

    /// The next step.
    pub fn next(&self) -> NextStep {
        self.next
    }

    /// Says whether the objective was kept in that step.
    pub fn told(&mut self, kept: bool) {
        match (self.next, kept) {
            (NextStep::Try(rate), true) => drop(self.kept.insert(rate)),
            (NextStep::Hold(_), true) => self.held = true,
            (NextStep::Try(rate) | NextStep::Hold(rate), false) => {
                self.missed = Some(rate);
                self.kept.retain(|kept| *kept < rate);
            }
            (NextStep::End, _) => {}
        }
        self.next = self.step();
    }

    fn step(&self) -> NextStep {
        let (least, most) = self.range;
        match (self.kept.last().copied(), self.missed) {
            _ if self.held => NextStep::End,
            (None, None) => NextStep::Try(least),
            (Some(kept), None) if kept == most => NextStep::Hold(kept),
            (Some(kept), None) => NextStep::Try(kept.saturating_mul(2).min(most)),
            (None, Some(missed)) if missed <= least => NextStep::End,
            (None, Some(missed)) => NextStep::Try((missed / 2).max(least)),
            (Some(kept), Some(missed)) => {
                let middle = u64::midpoint(kept, missed);
                let close = (missed as f64) <= kept as f64 * (1.0 + self.precision);
                if close || middle == kept { NextStep::Hold(kept) } else { NextStep::Try(middle) }
            }
        }
    }

    /// The result; none before the end.
    pub fn limit(&self) -> Option<Limit> {
        match (self.next, self.kept.last().copied(), self.missed) {
            (NextStep::End, Some(kept), None) => Some(Limit::AtLeast(kept)),
            (NextStep::End, Some(kept), Some(missed)) => Some(Limit::Between(kept, missed)),
            (NextStep::End, None, Some(missed)) => Some(Limit::Below(missed)),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Searches where every rate up to `limit` is kept, and up to `held` in long runs; the number of steps.
    fn search(range: (u64, u64), limit: u64, held: u64) -> (Limit, u32) {
        let mut search = RateSearch::new(range, 0.02);
        for steps in 0..100 {
            match search.next() {
                NextStep::Try(rate) => search.told(rate <= limit),
                NextStep::Hold(rate) => search.told(rate <= held),
                NextStep::End => return (search.limit().unwrap(), steps),
            }
            assert!(search.limit().is_none() || search.next() == NextStep::End);
        }
        panic!("{search:?}");
    }

    #[test]
    fn a_limit_is_found_between_two_rates() {
        let (limit, steps) = search((1_000, 1_000_000), 33_333, 33_333);
        let Limit::Between(kept, missed) = limit else { panic!("{limit:?}") };
        assert!(kept <= 33_333 && 33_333 < missed && missed as f64 <= kept as f64 * 1.02);
        assert!(steps <= 14, "{steps}");
        assert_eq!(search((1_000, 8_000), 9_000, 9_000).0, Limit::AtLeast(8_000));
        assert_eq!(search((1_000, 8_000), 900, 900).0, Limit::Below(1_000));
    }

    proptest! {
        #[test]
        fn every_search_ends_at_its_limit(
            least in 1_u64..5_000, span in 1_u64..1_000_000, limit in 0_u64..2_000_000, less in 0_u64..500,
        ) {
            let (most, held) = (least + span, limit.saturating_sub(less));
            let (found, _) = search((least, most), limit, held);
            match found {
                Limit::Between(kept, missed) => {
                    prop_assert!(kept <= held && missed > held);
                    // A rate that was kept in a short run and not in a long one is passed over.
                    prop_assert!(missed <= most);
                }
                Limit::AtLeast(kept) => prop_assert!(kept == most && most <= held),
                Limit::Below(missed) => prop_assert!(missed > held),
            }
        }
    }
}
