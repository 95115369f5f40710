//! The highest rate at which a cluster keeps an objective: rates are doubled until it is missed, then halved in
//! between until the two are close enough, and the best is held for longer. A rate that is missed when held is
//! followed by held ones alone: lower ones, each time by twice as much, until one is kept, then halved in between.
//!
//! What a machine can do is not the same from one minute to the next, and the two rates say nothing of that. Both are
//! therefore asked again, in rounds: the lowest that was missed is raised, each time by twice as much, while it is kept
//! now, and the highest that was held is lowered while it is missed. The rates at the end contain what the rounds differ by.
//!
//! A rate is *kept* by a run that is valid, acks and consumes 99 % of what was asked for, and keeps every gate of the
//! objective. What a disturbance spoils is asked again, and a rate that misses the objective alone (all of it was acked
//! and consumed, but late), or that the generator did not keep, is in doubt and asked a second time: a stall of a second
//! decides the 99th percentile of a short run.

use results::judge::verdict::Verdict;
use results::report::{GateOutcome, GateResult, Report};

/// Least part of what was asked for that has to be acked, and consumed by each group.
pub const ACHIEVED: [&str; 2] = ["acked.rate>=99%", "consumed.rate>=99%"];

/// Checks that say that the generator was what could do no more.
const OF_THE_GENERATOR: [&str; 4] =
    ["generator-rate", "client-cpu", "client-queue", "schedule-lag"];

/// Checks without which figures are no measurement: what disturbed the run, and whether its record is whole.
const OF_THE_RECORD: [&str; 3] = ["disturbance", "history-complete", "record-intact"];

/// What a run at some rate came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RateAttempt {
    /// The objective was kept.
    Kept,
    /// It was not, for this reason.
    Missed(String),
    /// Missed, but a stall may be why: all of it was acked and consumed and the objective was not kept, or the generator
    /// did not keep up, for this reason.
    InDoubt(String),
    /// The run is no measurement, for this reason.
    Spoilt(String),
}

/// What checks with these names say of what is wrong.
fn notes(report: &Report, names: &[&str]) -> String {
    let of = report.checks.iter().filter(|check| names.contains(&check.name.as_str()));
    let bad = of.filter(|check| check.verdict != Verdict::Valid);
    let said =
        bad.map(|check| format!("{}: {}", check.name, check.note.as_deref().unwrap_or("failed")));
    said.collect::<Vec<_>>().join("; ")
}

/// Why the generator was what could do no more, if it was.
pub fn generator(report: &Report) -> Option<String> {
    let generator = notes(report, &OF_THE_GENERATOR);
    let undisturbed = notes(report, &["disturbance"]).is_empty();
    let is_it = report.verdict == Verdict::InvalidRun && undisturbed && !generator.is_empty();
    is_it.then_some(generator)
}

/// What a report says of the rate that its run asked for.
pub fn attempt(report: &Report) -> RateAttempt {
    if let Some(why) = generator(report) {
        return RateAttempt::InDoubt(format!("the generator can do no more ({why})"));
    }
    let nobody_consumes = report.consuming.is_empty();
    let of = |outcome| {
        let counts = |gate: &&GateResult| !(nobody_consumes && gate.gate == ACHIEVED[1]);
        let gates = report.gates.iter().filter(counts).filter(move |gate| gate.outcome == outcome);
        gates.collect::<Vec<_>>()
    };
    let said = |gates: &[&GateResult]| {
        let each = gates.iter().map(|gate| format!("{}: {}", gate.gate, gate.seen));
        each.collect::<Vec<_>>().join("; ")
    };
    let (failed, unknown) = (of(GateOutcome::Failed), of(GateOutcome::Unknown));
    let less = failed.iter().any(|gate| ACHIEVED.contains(&gate.gate.as_str()));
    let whole = notes(report, &OF_THE_RECORD).is_empty() && !report.interrupted;
    match report.verdict {
        Verdict::Valid | Verdict::Violated => {}
        // Readers that fall far behind are stopped before they have been delivered everything.
        Verdict::Unknown if less && whole => {}
        Verdict::InvalidRun | Verdict::Unknown => {
            let of = |names: &[&str]| notes(report, names);
            let why = [of(&["disturbance"]), of(&OF_THE_GENERATOR), report.problems.join("; ")];
            let why = why.into_iter().find(|why| !why.is_empty());
            let verdict = report.verdict.as_str();
            return RateAttempt::Spoilt(format!("{verdict}: {}", why.unwrap_or_default()));
        }
    }
    match (failed.is_empty(), unknown.is_empty()) {
        (true, true) => RateAttempt::Kept,
        (true, false) => RateAttempt::Spoilt(said(&unknown)),
        (false, true) if !less => RateAttempt::InDoubt(said(&failed)),
        (false, _) => RateAttempt::Missed(said(&failed)),
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

/// An end of the result that is asked again, and the rate that it was at.
#[derive(Debug, Clone, Copy)]
enum End {
    /// The lowest rate that was missed.
    Upper(u64),
    /// The highest that was held.
    Lower(u64),
}

/// The search: what is known of the rates so far.
#[derive(Debug, Clone)]
pub struct RateSearch {
    range: (u64, u64),
    /// The two are close enough at this ratio.
    precision: f64,
    /// How often both ends are still to be asked again.
    rounds: u32,
    /// The end that is asked again next; none before there are two.
    again: Option<End>,
    next: NextStep,
    /// The highest rate that was kept in a short run.
    kept: Option<u64>,
    /// The highest that was kept in a long one.
    held: Option<u64>,
    /// The lowest that was missed.
    missed: Option<u64>,
    /// The first rate that was missed in a long run: short runs say too much from then on.
    first_fallen: Option<u64>,
}

/// What a search came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Limit {
    /// The highest rate that was held, and the lowest that was missed.
    Between(u64, u64),
    /// No rate is known that was missed each time; this one was held.
    AtLeast(u64),
    /// The lowest rate that was tried was not kept each time; this is the lowest that was missed.
    Below(u64),
}

impl RateSearch {
    /// From the lowest rate of `range` to its highest, in records a second; `precision` is the ratio of the lowest rate
    /// that is missed to the highest that is kept, less 1, before both are asked again in so many `rounds`.
    pub fn new(range: (u64, u64), precision: f64, rounds: u32) -> Self {
        Self {
            range,
            precision,
            rounds,
            again: None,
            next: NextStep::Try(range.0),
            kept: None,
            held: None,
            missed: None,
            first_fallen: None,
        }
    }

    /// The lowest rate that was missed so far, in records a second.
    pub fn missed(&self) -> Option<u64> {
        self.missed
    }

    /// The next step.
    pub fn next(&self) -> NextStep {
        self.next
    }

    /// Says whether the objective was kept in that step.
    pub fn told(&mut self, kept: bool) {
        let (NextStep::Try(rate) | NextStep::Hold(rate)) = self.next else { return };
        self.next = match self.again {
            None => {
                self.told_between(kept);
                match self.step() {
                    NextStep::End => self.next_round(),
                    step => step,
                }
            }
            Some(End::Upper(was)) => self.told_upper(was, rate, kept),
            Some(End::Lower(was)) => self.told_lower(was, rate, kept),
        };
    }

    /// Takes up a step of the search that comes before the rounds.
    fn told_between(&mut self, kept: bool) {
        match (self.next, kept) {
            (NextStep::Try(rate), true) => self.kept = Some(rate),
            (NextStep::Hold(rate), true) => self.held = Some(rate),
            (NextStep::Try(rate), false) => self.missed = Some(rate),
            (NextStep::Hold(rate), false) => {
                self.missed = Some(rate);
                self.first_fallen.get_or_insert(rate);
            }
            (NextStep::End, _) => {}
        }
    }

    /// The first step of another round, if there is to be one.
    fn next_round(&mut self) -> NextStep {
        if self.rounds == 0 {
            return NextStep::End;
        }
        self.rounds -= 1;
        let Some(missed) = self.missed else { return self.lower() };
        self.again = Some(End::Upper(missed));
        self.upper(missed)
    }

    /// Asks for a rate that may be the upper end, in a run as long as the one that said so.
    fn upper(&self, rate: u64) -> NextStep {
        match self.first_fallen {
            Some(_) => NextStep::Hold(rate),
            None => NextStep::Try(rate),
        }
    }

    /// Asks for the lower end, or for the lowest rate where none was held; goes on where that was missed just now.
    fn lower(&mut self) -> NextStep {
        let rate = self.held.unwrap_or(self.range.0);
        self.again = Some(End::Lower(rate));
        if self.missed == Some(rate) { self.next_round() } else { NextStep::Hold(rate) }
    }

    fn told_upper(&mut self, was: u64, rate: u64, kept: bool) -> NextStep {
        let most = self.range.1;
        self.missed = (rate < most || !kept).then_some(rate);
        if !kept || rate == most {
            return self.lower();
        }
        let above = (2 * (rate - was)).max(self.least_step(was));
        self.upper(was.saturating_add(above).min(most))
    }

    fn told_lower(&mut self, was: u64, rate: u64, kept: bool) -> NextStep {
        self.held = kept.then_some(rate);
        if !kept {
            self.missed.get_or_insert(rate);
        }
        if kept || rate == self.range.0 {
            return self.next_round();
        }
        NextStep::Hold(self.below(was, rate))
    }

    /// A rate below `rate`, which was missed: twice as far from `was`, where the search for a lower one began.
    fn below(&self, was: u64, rate: u64) -> u64 {
        let by = (2 * (was - rate)).max(self.least_step(was));
        was.saturating_sub(by).max(self.range.0)
    }

    /// By how much a rate differs at least from another one that is worth a run.
    fn least_step(&self, rate: u64) -> u64 {
        ((rate as f64 * self.precision).ceil() as u64).max(1)
    }

    fn step(&self) -> NextStep {
        if let Some(fallen) = self.first_fallen {
            return self.step_of_held(fallen);
        }
        let (least, most) = self.range;
        match (self.kept, self.missed) {
            _ if self.held.is_some() => NextStep::End,
            (None, None) => NextStep::Try(least),
            // Rates are tried from the lowest on.
            (None, Some(_)) => NextStep::End,
            (Some(kept), None) if kept == most => NextStep::Hold(kept),
            (Some(kept), None) => NextStep::Try(kept.saturating_mul(2).min(most)),
            (Some(kept), Some(missed)) => {
                self.between(kept, missed).map_or(NextStep::Hold(kept), NextStep::Try)
            }
        }
    }

    /// The next of the long runs, when one at `fallen` was missed.
    fn step_of_held(&self, fallen: u64) -> NextStep {
        let (least, missed) = (self.range.0, self.missed.unwrap_or(fallen));
        match self.held {
            Some(held) => self.between(held, missed).map_or(NextStep::End, NextStep::Hold),
            None if missed <= least => NextStep::End,
            None => NextStep::Hold(self.below(fallen, missed)),
        }
    }

    /// The rate in the middle of the two; none when they are close enough.
    fn between(&self, kept: u64, missed: u64) -> Option<u64> {
        let middle = u64::midpoint(kept, missed);
        let close = missed as f64 <= kept as f64 * (1.0 + self.precision);
        (!close && middle > kept).then_some(middle)
    }

    /// The result; none before the end.
    pub fn limit(&self) -> Option<Limit> {
        match (self.next, self.held, self.missed) {
            (NextStep::End, Some(held), None) => Some(Limit::AtLeast(held)),
            (NextStep::End, Some(held), Some(missed)) => Some(Limit::Between(held, missed)),
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
        let (found, steps) = ask(RateSearch::new(range, 0.02, 0), |step, _| match step {
            NextStep::Try(rate) => rate <= limit,
            NextStep::Hold(rate) => rate <= held,
            NextStep::End => unreachable!(),
        });
        (found, steps.len() as u32)
    }

    /// Carries a search out; `kept` says of each step, and of its number, whether the objective is kept.
    fn ask(
        mut search: RateSearch,
        kept: impl Fn(NextStep, usize) -> bool,
    ) -> (Limit, Vec<(NextStep, bool)>) {
        let mut steps = vec![];
        while search.next() != NextStep::End {
            assert!(search.limit().is_none() && steps.len() < 200, "{search:?}");
            let step = search.next();
            steps.push((step, kept(step, steps.len())));
            search.told(steps[steps.len() - 1].1);
        }
        (search.limit().unwrap(), steps)
    }

    fn rate(step: NextStep) -> u64 {
        let (NextStep::Try(rate) | NextStep::Hold(rate)) = step else { panic!("{step:?}") };
        rate
    }

    #[test]
    fn a_limit_is_found_between_two_rates() {
        let (limit, steps) = search((1_000, 1_000_000), 33_333, 33_333);
        let Limit::Between(kept, missed) = limit else { panic!("{limit:?}") };
        assert!(kept <= 33_333 && 33_333 < missed && missed as f64 <= kept as f64 * 1.02);
        assert!(steps <= 14, "{steps}");
        assert_eq!(search((1_000, 8_000), 9_000, 9_000).0, Limit::AtLeast(8_000));
        assert_eq!(search((1_000, 8_000), 900, 900).0, Limit::Below(1_000));
        // Rates that only short runs keep, from one record a second: as CI once drew them.
        assert_eq!(search((1, 68), 68, 0).0, Limit::Below(1));
        let (limit, steps) = search((1_000, 1_000_000), 33_333, 22_222);
        let Limit::Between(kept, missed) = limit else { panic!("{limit:?}") };
        assert!(kept <= 22_222 && 22_222 < missed && missed as f64 <= kept as f64 * 1.02);
        assert!(steps <= 26, "{steps}");
    }

    #[test]
    fn both_ends_are_asked_again_and_moved_where_they_do_not_stand() {
        let range = (1_000, 1_000_000);
        let of = |rounds, limit: &dyn Fn(usize) -> u64| {
            ask(RateSearch::new(range, 0.02, rounds), |step, n| rate(step) <= limit(n))
        };
        let (bracket, once) = of(0, &|_| 60_000);
        let (same, steps) = of(2, &|_| 60_000);
        assert_eq!(same, bracket, "a machine that is always the same");
        assert_eq!(steps.len(), once.len() + 4);
        let Limit::Between(held, missed) = bracket else { panic!("{bracket:?}") };
        let again = [NextStep::Try(missed), NextStep::Hold(held)];
        assert!(steps[once.len()..].iter().map(|it| it.0).eq([again, again].concat()));

        // A machine that can do more, or less, when the two rates are known.
        let n = once.len();
        let (more, steps) = of(1, &|step| if step < n { 60_000 } else { 90_000 });
        let Limit::Between(held, missed) = more else { panic!("{more:?}") };
        assert!(held <= 60_000 && missed > 90_000 && missed < 125_000, "{more:?}");
        assert!(steps.len() < n + 10);
        let (less, steps) = of(1, &|step| if step < n { 60_000 } else { 40_000 });
        let Limit::Between(held, missed) = less else { panic!("{less:?}") };
        assert!(held <= 40_000 && held > 20_000 && missed > 60_000, "{less:?}");
        assert!(steps.len() < n + 10);
        // The lowest rate was missed in a bad minute only, and the highest kept in a good one.
        let (found, _) = of(1, &|step| if step < 1 { 0 } else { 1_500 });
        let Limit::Between(1_000, missed) = found else { panic!("{found:?}") };
        assert!(missed > 1_500 && missed < 2_500, "{found:?}");
        let n = of(0, &|_| 2_000_000).1.len();
        let (found, _) = of(1, &|step| if step < n { 2_000_000 } else { 900_000 });
        let Limit::Between(held, 1_000_000) = found else { panic!("{found:?}") };
        assert!(held <= 900_000);
    }

    proptest! {
        #[test]
        fn every_search_ends_at_its_limit(
            least in 1_u64..5_000, span in 1_u64..1_000_000, limit in 0_u64..2_000_000, less in 0_u64..500,
        ) {
            let (most, held) = (least + span, limit.saturating_sub(less));
            let (found, steps) = search((least, most), limit, held);
            // Doubling and halving of short runs, then of long ones: 2 log2(1e6) each at most.
            prop_assert!(steps <= 80, "{steps}");
            match found {
                Limit::Between(kept, missed) => {
                    prop_assert!(kept <= held && missed > held && missed <= most);
                    prop_assert!(missed - kept <= 1 || missed as f64 <= kept as f64 * 1.02);
                }
                Limit::AtLeast(kept) => prop_assert!(kept == most && most <= held),
                Limit::Below(missed) => prop_assert!(missed > held),
            }
        }

        /// Whatever a machine does from one step to the next: each end is what its last run said of it.
        #[test]
        fn every_search_on_a_machine_that_varies_ends_and_has_asked_for_its_ends(
            least in 1_u64..5_000, span in 1_u64..1_000_000, rounds in 0_u32..4,
            limits in prop::collection::vec(0_u64..1_200_000, 200),
        ) {
            let range = (least, least + span);
            let (found, steps) =
                ask(RateSearch::new(range, 0.02, rounds), |step, n| rate(step) <= limits[n]);
            let last = |at: u64| steps.iter().rfind(|(step, _)| rate(*step) == at).map(|it| it.1);
            match found {
                Limit::Between(held, missed) => {
                    prop_assert!(held < missed);
                    prop_assert_eq!((last(held), last(missed)), (Some(true), Some(false)));
                }
                Limit::AtLeast(held) => prop_assert_eq!(last(held), Some(true)),
                Limit::Below(missed) => {
                    prop_assert_eq!((last(least), last(missed)), (Some(false), Some(false)));
                }
            }
        }
    }
}
