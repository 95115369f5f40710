//! Faults drawn at random: a mix is turned into timed steps by its seed, before anything runs.
//!
//! The same seed draws the same schedule. Only times, faults, targets and holds are drawn here; who
//! a target is, is resolved at the injection, by the same seed.

use std::collections::BTreeSet;
use std::time::Duration;

use results::record::event::Expectation;
use serde::{Deserialize, Serialize};

use super::limits::{self, MOST_STEPS};
use super::{Prepare, Start, Step};
use crate::fault::FaultSpec;
use crate::port::Capability;
use crate::target::{Target, splitmix};

/// Time that is left for a heal before the next fault may be due: a server starts in 4 s.
const HEALS: Duration = Duration::from_secs(10);

/// What to draw steps from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Mix {
    /// All steps are over by then, but for healing.
    #[serde(with = "humantime_serde")]
    pub duration: Duration,
    /// Mean time without a fault, between a heal and the next injection.
    #[serde(with = "humantime_serde")]
    pub quiet: Duration,
    /// Most faults in force at once.
    #[serde(default = "one")]
    pub at_once: usize,
    /// What may happen, each as likely as the others.
    #[serde(rename = "candidate")]
    pub candidates: Vec<Candidate>,
}

/// One thing that may happen.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Candidate {
    /// What is injected.
    pub fault: FaultSpec,
    /// Whom it strikes.
    pub target: Target,
    /// How long it lasts.
    pub hold: Range,
}

/// A time between two bounds, each as likely as the others.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Range {
    /// At least.
    #[serde(with = "humantime_serde")]
    pub from: Duration,
    /// At most.
    #[serde(with = "humantime_serde")]
    pub to: Duration,
}

fn one() -> usize {
    1
}

impl Mix {
    pub(super) fn check(&self) -> Result<(), String> {
        if self.candidates.is_empty() {
            return Err("a [mix] needs at least one [[mix.candidate]]".to_owned());
        }
        limits::at_once(self.at_once)?;
        let (duration, quiet) = (self.duration, self.quiet);
        limits::time("mix.duration", duration)?;
        limits::time("mix.quiet", quiet)?;
        for candidate in &self.candidates {
            let (hold, name) = (&candidate.hold, candidate.fault.fault().name());
            limits::time("mix.candidate.hold.from", hold.from)?;
            limits::time("mix.candidate.hold.to", hold.to)?;
            if hold.from.is_zero() || hold.from > hold.to {
                return Err(format!(
                    "the hold of \"{name}\" must be longer than 0 s, `from` <= `to`"
                ));
            }
            if hold.to + quiet > duration {
                return Err(format!(
                    "the mix is too short: \"{name}\" may hold for {} s after {} s of quiet, \
                     `duration` is {} s",
                    hold.to.as_secs_f64(),
                    quiet.as_secs_f64(),
                    duration.as_secs_f64()
                ));
            }
            candidate.step("mix".to_owned(), Duration::ZERO, hold.to).check()?;
        }
        if self.draw(0).len() > MOST_STEPS {
            return Err(format!(
                "the mix draws more than {MOST_STEPS} steps: make `duration` shorter, or `quiet` and the \
                 holds longer"
            ));
        }
        Ok(())
    }

    pub(super) fn needs(&self) -> BTreeSet<Capability> {
        let of = |candidate: &Candidate| candidate.fault.fault().needs().to_vec();
        self.candidates.iter().flat_map(of).collect()
    }

    /// The steps that `seed` draws, in the order of their times.
    pub(super) fn draw(&self, seed: u64) -> Vec<Step> {
        let mut random = RandomNumbers(seed);
        let mut drawn: Vec<(Duration, Duration, &Candidate)> = vec![];
        // As many sequences beside each other as there may be faults at once.
        for _ in 0..self.at_once {
            let mut at = Duration::ZERO;
            // One more than a plan may have is refused.
            while drawn.len() <= MOST_STEPS {
                at += random.around(self.quiet);
                let candidate = random.one_of(&self.candidates);
                let hold = random.within(candidate.hold);
                let Some(latest) = self.duration.checked_sub(hold) else { break };
                if at > latest {
                    // Never no fault at all: the first one of all is brought forward.
                    if drawn.is_empty() {
                        drawn.push((self.quiet.min(latest), hold, candidate));
                    }
                    break;
                }
                drawn.push((at, hold, candidate));
                at += hold + HEALS;
            }
        }
        drawn.sort_by_key(|(at, ..)| *at);
        let step = |(index, (at, hold, candidate)): (usize, (Duration, Duration, &Candidate))| {
            candidate.step(format!("mix-{:02}", index + 1), at, hold)
        };
        drawn.into_iter().enumerate().map(step).collect()
    }
}

impl Candidate {
    /// The step that it is when it is drawn.
    fn step(&self, id: String, at: Duration, hold: Duration) -> Step {
        Step {
            id,
            fault: self.fault.clone(),
            target: Some(self.target.clone()),
            targets: vec![],
            prepare: Prepare::None,
            until: None,
            recover_within: None,
            hold: Some(hold),
            flapping: None,
            start: Some(Start::At(at)),
            repeat: None,
            rolling: false,
            expect: Expectation::Anything,
        }
    }
}

/// A few numbers, the same on every machine and in every version.
struct RandomNumbers(u64);

impl RandomNumbers {
    fn next(&mut self) -> u64 {
        self.0 = splitmix(self.0);
        self.0
    }

    /// From 0 to 1, without 1.
    fn unit(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1_u64 << 53) as f64
    }

    /// A time with this mean, as between events that know nothing of each other.
    fn around(&mut self, mean: Duration) -> Duration {
        millis(-(1.0 - self.unit()).ln() * mean.as_secs_f64())
    }

    fn within(&mut self, range: Range) -> Duration {
        range.from + millis(self.unit() * (range.to - range.from).as_secs_f64())
    }

    #[expect(clippy::indexing_slicing, reason = "a mix that was parsed has candidates")]
    fn one_of<'a, T>(&mut self, candidates: &'a [T]) -> &'a T {
        &candidates[(self.next() % candidates.len() as u64) as usize]
    }
}

/// Whole milliseconds, so that a resolved plan is read by people as well.
fn millis(seconds: f64) -> Duration {
    Duration::from_millis((seconds * 1000.0) as u64)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use crate::plan::{Plan, Start};

    fn plan(at_once: usize, quiet: u64, duration: u64) -> Plan {
        Plan::parse(&format!(
            "name = 'p'\ndescription = 'd'\n[mix]\nduration = '{duration}s'\nquiet = '{quiet}s'\n\
             at_once = {at_once}\n\
             [[mix.candidate]]\nfault = 'kill'\ntarget = 'controller'\n\
             hold = {{ from = '2s', to = '9s' }}\n\
             [[mix.candidate]]\nfault = 'pause'\ntarget = 'zk-leader'\n\
             hold = {{ from = '3s', to = '3s' }}\n"
        ))
        .unwrap()
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(200) })]

        #[test]
        fn a_seed_draws_one_schedule_within_its_bounds(
            seed: u64, at_once in 1..4_usize, quiet in 0..20_u64, duration in 30..300_u64,
        ) {
            let drawn = plan(at_once, quiet, duration).drawn(seed);
            prop_assert_eq!(&drawn, &plan(at_once, quiet, duration).drawn(seed));
            prop_assert!(!drawn.steps.is_empty() && drawn.at_once == Some(at_once));
            let spans: Vec<_> = drawn.steps.iter().map(|step| {
                let Some(Start::At(at)) = step.start else { panic!("{step:?}") };
                (at, at + step.lasts().limit())
            }).collect();
            for (at, end) in &spans {
                prop_assert!(end.as_secs_f64() <= duration as f64);
                let others = spans.iter().filter(|(from, to)| from <= at && at < to);
                prop_assert!(others.count() <= at_once);
            }
            // What is saved in a resolved spec reads back as the same plan, and draws no more.
            let again = Plan::parse(&toml::to_string(&drawn).unwrap()).unwrap();
            prop_assert_eq!(&again, &drawn);
            prop_assert_eq!(again.drawn(seed ^ 1), drawn);
        }
    }

    #[test]
    fn another_seed_draws_another_schedule_and_the_mean_is_as_asked() {
        assert_ne!(plan(1, 5, 300).drawn(1), plan(1, 5, 300).drawn(2));
        let firsts: f64 = (0..2000)
            .map(|seed| match plan(1, 5, 3000).drawn(seed).steps[0].start {
                Some(Start::At(at)) => at.as_secs_f64(),
                _ => panic!("not timed"),
            })
            .sum();
        assert!((4.7..5.3).contains(&(firsts / 2000.0)), "{}", firsts / 2000.0);
    }
}
