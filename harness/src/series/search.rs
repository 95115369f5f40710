//! A search of the highest rate, carried out: runs at the rates that [`RateSearch`] asks for. What it has come to follows
//! from its runs alone, so that it is gone on with after an interrupt, and judged again.

use std::time::Duration;

use results::judge::capacity::RecordFlow;
use results::report::Report;
use results::suite::searched::{KEPT, Limiting, limiting, predicted};
use results::suite::{MaxRate, RateStep};
use workloads::Rate;

use super::Series;
use super::max_rate::{ACHIEVED, Limit, NextStep, RateAttempt, RateSearch, attempt, generator};
use crate::failure::Failure;
use crate::spec::{RunSpec, SearchSpec, written};

/// How often a run at one rate is made again when something spoils it.
const ATTEMPTS: usize = 3;

/// What is searched for.
#[derive(Debug, Clone)]
pub struct RateQuestion {
    /// What has to be kept at the rate, as gates.
    pub objectives: Vec<String>,
    /// The lowest rate and the highest, in records a second.
    pub range: (u64, u64),
    /// The ratio of the lowest rate that is missed to the highest that is kept, less 1.
    pub precision: f64,
    /// Length of the load at each rate.
    pub step: Duration,
    /// Length of the load that confirms the result.
    pub hold: Duration,
    /// How often both ends of the result are asked again.
    pub rounds: u32,
}

impl From<&SearchSpec> for RateQuestion {
    fn from(spec: &SearchSpec) -> Self {
        Self {
            objectives: spec.objective.clone(),
            range: (spec.from, spec.to),
            precision: f64::from(spec.precision) / 100.0,
            step: spec.step,
            hold: spec.hold,
            rounds: spec.rounds,
        }
    }
}

/// A run of a search.
#[derive(Debug, Clone)]
pub struct RateRun {
    /// Its name, as it is told.
    pub run: String,
    /// Records a second that it asked for.
    pub rate: u64,
    /// Length of its load.
    pub time: Duration,
    /// Its report.
    pub report: Report,
    /// What it came to.
    pub came_to: RateAttempt,
}

/// A search and its runs so far.
#[derive(Debug)]
pub struct RateRuns {
    question: RateQuestion,
    search: RateSearch,
    runs: Vec<RateRun>,
    /// Whether the rate that is next has been in doubt once.
    in_doubt: bool,
}

impl RateRuns {
    /// Of a search without runs.
    pub fn new(question: RateQuestion) -> Self {
        let search = RateSearch::new(question.range, question.precision, question.rounds);
        Self { question, search, runs: vec![], in_doubt: false }
    }

    /// Takes a run up; whether it is one that the search asks for next.
    pub fn take(&mut self, run: String, rate: u64, time: Duration, report: Report) -> bool {
        if self.next() != Some((rate, time)) {
            return false;
        }
        let came_to = attempt(&report);
        match came_to {
            RateAttempt::Spoilt(_) => {}
            RateAttempt::InDoubt(_) if !self.in_doubt => self.in_doubt = true,
            RateAttempt::Kept | RateAttempt::Missed(_) | RateAttempt::InDoubt(_) => {
                self.search.told(came_to == RateAttempt::Kept);
                self.in_doubt = false;
            }
        }
        self.runs.push(RateRun { run, rate, time, report, came_to });
        true
    }

    /// The rate and the length of the next run; none at the end.
    pub fn next(&self) -> Option<(u64, Duration)> {
        match self.search.next() {
            NextStep::Try(rate) => Some((rate, self.question.step)),
            NextStep::Hold(rate) => Some((rate, self.question.hold)),
            NextStep::End => None,
        }
    }

    /// Its runs so far.
    pub fn runs(&self) -> &[RateRun] {
        &self.runs
    }

    /// What it came to; none before its end.
    pub fn limit(&self) -> Option<Limit> {
        self.search.limit()
    }

    /// The run at the lowest rate that was missed, and why.
    pub fn lowest_missed(&self) -> Option<(&RateRun, &str)> {
        let lowest = self.search.missed()?;
        let mut missed = self.runs.iter().filter_map(|run| match &run.came_to {
            RateAttempt::Missed(why) | RateAttempt::InDoubt(why) => Some((run, why.as_str())),
            RateAttempt::Kept | RateAttempt::Spoilt(_) => None,
        });
        missed.rfind(|(run, _)| run.rate == lowest)
    }

    /// The last run that held this rate.
    fn kept(&self, rate: u64) -> Option<&RateRun> {
        self.runs.iter().rfind(|run| run.rate == rate && run.came_to == RateAttempt::Kept)
    }

    /// What limited at the lowest rate that was missed. A load that overruns its limit may collapse and then use less of
    /// it than just before: what was at its limit nowhere there is looked for at the highest rate that was held.
    fn limiting(&self) -> Option<Limiting> {
        let (missed, _) = self.lowest_missed()?;
        let held = match self.limit() {
            Some(Limit::Between(held, _)) => self.kept(held),
            _ => None,
        };
        let at_missed = limiting(&missed.report, generator(&missed.report));
        match (at_missed, held) {
            (Limiting::Unseen, Some(held)) => Some(limiting(&held.report, None)),
            (at_missed, _) => Some(at_missed),
        }
    }

    /// What the report of a suite has of it.
    pub fn told(&self) -> MaxRate {
        let (held, missed) = match self.limit() {
            None => (None, None),
            Some(Limit::Between(held, missed)) => (Some(held), Some(missed)),
            Some(Limit::AtLeast(held)) => (Some(held), None),
            Some(Limit::Below(missed)) => (None, Some(missed)),
        };
        let environment = self.runs.iter().find_map(|run| run.report.environments.first());
        let environment = environment.map(|it| &it.environment);
        MaxRate {
            objective: self.question.objectives.clone(),
            ended: self.limit().is_some(),
            held,
            missed,
            rounds: self.question.rounds,
            limiting: self.limiting(),
            brokers: environment.map_or(0, |it| it.settings.brokers),
            link_bytes_per_s: environment.and_then(|it| Some(it.links.as_ref()?.bytes_per_s)),
            predicted: self.runs.iter().find_map(|run| predicted(&run.report)),
            steps: self.runs.iter().map(RateRun::told).collect(),
        }
    }

    /// The runs that it takes if the highest rate is this one: rates and lengths.
    fn expected(question: &RateQuestion, highest: u64) -> Vec<(u64, Duration)> {
        let mut runs = Self::new(question.clone());
        let mut all = vec![];
        while let Some((rate, time)) = runs.next() {
            all.push((rate, time));
            runs.search.told(rate <= highest);
        }
        all
    }
}

impl RateRun {
    /// What it came to, in words.
    pub fn outcome(&self) -> String {
        match &self.came_to {
            RateAttempt::Kept => KEPT.to_owned(),
            RateAttempt::Missed(why) | RateAttempt::InDoubt(why) => format!("missed: {why}"),
            RateAttempt::Spoilt(why) => format!("no measurement: {why}"),
        }
    }

    fn told(&self) -> RateStep {
        let stages = self.report.time.iter().flat_map(|it| &it.stages);
        RateStep {
            run: self.run.clone(),
            rate: self.rate,
            for_s: self.time.as_secs_f64(),
            outcome: self.outcome(),
            verdict: self.report.verdict,
            took_s: stages.map(|stage| stage.seconds).sum(),
        }
    }
}

/// How long a search is likely to take, whose runs are as this one: its highest rate is what the links' model says, or in
/// the middle of its range.
pub fn expected(question: &RateQuestion, run: &RunSpec) -> Duration {
    let (least, most) = question.range;
    let middle = (least as f64 * most as f64).sqrt();
    let rate = predicted_of(run).unwrap_or(middle).clamp(least as f64, most as f64);
    let of_run = |(rate, time): (u64, Duration)| {
        let mut run = run.clone();
        run.workload.load.rate = Rate::PerSecond(rate);
        run.workload.phases.duration = Some(time);
        run.expected_trial()
    };
    let runs = RateRuns::expected(question, rate as u64).into_iter();
    runs.map(of_run).fold(Duration::ZERO, Duration::saturating_add)
}

/// The highest rate by the model of the links, for a run that is to come; none where links are not limited.
fn predicted_of(run: &RunSpec) -> Option<f64> {
    let links = run.cluster.links?.rate;
    let topic = run.cluster.main_topic();
    let groups = run.workload.groups.len() + usize::from(run.workload.consumers.is_some());
    let flow = RecordFlow {
        replicas: topic.assignment.clone(),
        groups: groups as u32,
        record_bytes: run.workload.load.record_bytes.mean(),
    };
    flow.highest(links as f64)
}

/// Goes on with a search until its end, its runs in this folder of the series'; each is told. `arguments` are further ones
/// for all runs.
///
/// # Errors
/// An unknown-failure when a rate cannot be measured, or it is interrupted; what a run failed of.
pub async fn carry_out(
    series: &Series,
    folder: &str,
    runs: &mut RateRuns,
    arguments: &[String],
    mut told: impl FnMut(&RateRun),
) -> Result<(), Failure> {
    let mut spoilt = 0;
    while let Some((rate, time)) = runs.next() {
        let gates = runs.question.objectives.iter().cloned().chain(ACHIEVED.map(str::to_owned));
        let gates = gates.flat_map(|gate| ["--gate".to_owned(), gate]);
        let set = format!("workload.load.rate={{per_second={rate}}}");
        let load = ["--faults", "none", "--duration", &written(time), "--set", &set];
        let load = load.map(str::to_owned);
        let all: Vec<_> = arguments.iter().cloned().chain(load).chain(gates).collect();
        let report = series.run_in(folder, &all).await?;
        let name = [folder, &report.run.run_id];
        let name = name.into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join("/");
        runs.take(name, rate, time, report);
        let Some(last) = runs.runs.last() else { continue };
        told(last);
        match &last.came_to {
            RateAttempt::Spoilt(_) => spoilt += 1,
            _ => spoilt = 0,
        }
        if let (RateAttempt::Spoilt(why), true) = (&last.came_to, spoilt >= ATTEMPTS) {
            let text = format!("{rate} records/s could not be measured: {why}");
            return Err(Failure::unknown(text)
                .with_cure("make the machine quiet, and try again; `kbench check RUN` says more"));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::series::suite::tests::report;
    use results::judge::threshold::{Threshold, TimeAbove};
    use results::judge::verdict::{Check, Verdict};
    use results::report::{GateOutcome, GateResult};

    fn question() -> RateQuestion {
        let (step, hold) = (Duration::from_secs(10), Duration::from_secs(30));
        let objectives = vec!["response.p99<50ms".to_owned()];
        RateQuestion { objectives, range: (1000, 8000), precision: 0.05, step, hold, rounds: 0 }
    }

    fn valid() -> Report {
        Report { verdict: Verdict::Valid, ..report(false) }
    }

    /// A run that fails this gate.
    fn fails(gate: &str) -> Report {
        let of = |gate: &str, outcome| {
            let (gate, seen) = (gate.to_owned(), String::new());
            GateResult { gate, outcome, seen }
        };
        let gates = vec![of(gate, GateOutcome::Failed), of("x", GateOutcome::Passed)];
        Report { gates, ..valid() }
    }

    #[test]
    fn a_search_is_what_its_runs_in_their_order_make_of_it() {
        let mut runs = RateRuns::new(question());
        let (step, hold) = (question().step, question().hold);
        let invalid = || Report { verdict: Verdict::InvalidRun, ..report(false) };
        assert!(!runs.take("a".to_owned(), 2000, step, valid()), "another rate");
        assert!(!runs.take("b".to_owned(), 1000, hold, valid()), "another length");
        assert!(runs.take("c".to_owned(), 1000, step, invalid()));
        assert_eq!(runs.next(), Some((1000, step)), "it was no measurement");
        for rate in [1000, 2000, 4000, 8000] {
            assert!(runs.take("d".to_owned(), rate, step, valid()));
        }
        assert!(!runs.told().ended);
        assert!(runs.take("06-x/e".to_owned(), 8000, hold, valid()));
        let told = runs.told();
        assert_eq!((told.ended, told.held, told.missed), (true, Some(8000), None));
        assert_eq!(told.limiting, None);
        assert_eq!(told.steps.len(), 6);
        assert!(told.steps[0].outcome.starts_with("no measurement: invalid"), "{told:?}");
        assert_eq!((told.steps[5].for_s, told.steps[5].outcome.as_str()), (30.0, "kept"));
        assert!(!runs.take("f".to_owned(), 8000, hold, valid()), "it has ended");
    }

    #[test]
    fn a_rate_that_is_in_doubt_once_is_asked_again() {
        let (late, less) = (fails("response.p99<50ms"), fails(ACHIEVED[0]));
        let mut runs = RateRuns::new(question());
        let step = question().step;
        let mut take = |rate, report: &Report| {
            assert!(runs.take("a".to_owned(), rate, step, report.clone()));
            (runs.next().map(|it| it.0), runs.lowest_missed().map(|it| it.0.rate))
        };
        assert_eq!(take(1000, &late), (Some(1000), None));
        assert_eq!(take(1000, &valid()), (Some(2000), None));
        assert_eq!(take(2000, &late), (Some(2000), None));
        assert_eq!(take(2000, &late), (Some(1500), Some(2000)));
        assert_eq!(take(1500, &less), (Some(1250), Some(1500)), "the cluster can do no more");
        let check = Check {
            name: "schedule-lag".to_owned(),
            verdict: Verdict::InvalidRun,
            count: 1,
            examined: 1,
            without_a_copy: false,
            note: Some("lag p99 9 ms".to_owned()),
            witnesses: vec![],
        };
        let short = Report { verdict: Verdict::InvalidRun, checks: vec![check], ..report(false) };
        assert_eq!(take(1250, &short), (Some(1250), Some(1500)), "a generator may stall as well");
        assert_eq!(take(1250, &short), (Some(1125), Some(1250)));
    }

    #[test]
    fn a_rate_at_which_readers_fall_far_behind_is_missed_and_one_that_was_disturbed_is_not() {
        let unknown = || Report { verdict: Verdict::Unknown, ..fails(ACHIEVED[0]) };
        assert!(matches!(attempt(&unknown()), RateAttempt::Missed(_)));
        let late = Report { verdict: Verdict::Unknown, ..fails("response.p99<50ms") };
        assert!(matches!(attempt(&late), RateAttempt::Spoilt(_)), "all was achieved");
        let interrupted = Report { interrupted: true, ..unknown() };
        assert!(matches!(attempt(&interrupted), RateAttempt::Spoilt(_)));
        for name in ["disturbance", "history-complete", "record-intact"] {
            let check = Check {
                name: name.to_owned(),
                verdict: Verdict::Unknown,
                count: 1,
                examined: 1,
                without_a_copy: false,
                note: None,
                witnesses: vec![],
            };
            let spoilt = Report { checks: vec![check], ..unknown() };
            assert!(matches!(attempt(&spoilt), RateAttempt::Spoilt(_)), "{name}");
        }
    }

    #[test]
    fn a_limit_that_a_load_which_collapses_leaves_unused_is_seen_where_it_was_held() {
        let network = |above_s| TimeAbove {
            trial: 1,
            threshold: Threshold::Network,
            place: "n1".to_owned(),
            above_s,
            over_s: 20.0,
            most: 0.96,
        };
        let limiting = |at_held: f64, at_missed: f64| {
            let mut runs = RateRuns::new(question());
            while let Some((rate, time)) = runs.next() {
                let (mut report, above_s) = match rate {
                    ..=3000 => (valid(), at_held),
                    _ => (fails(ACHIEVED[0]), at_missed),
                };
                report.thresholds = vec![network(above_s)];
                assert!(runs.take("a".to_owned(), rate, time, report));
            }
            runs.told().limiting
        };
        let links = Some(Limiting::Links(vec!["n1".to_owned()]));
        assert_eq!(limiting(20.0, 0.0), links, "it collapses above");
        assert_eq!(limiting(2.0, 20.0), links, "it is not at its limit below");
        assert_eq!(limiting(2.0, 0.0), Some(Limiting::Unseen));
    }

    #[test]
    fn how_many_runs_a_search_takes_follows_from_its_range() {
        let all = RateRuns::expected(&question(), 3000);
        assert_eq!(all[..3].iter().map(|it| it.0).collect::<Vec<_>>(), [1000, 2000, 4000]);
        assert!(all.len() <= 9, "{all:?}");
        assert_eq!(all.last().map(|it| it.1), Some(question().hold));
    }
}
