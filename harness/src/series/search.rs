//! A search of the highest rate, carried out: runs at the rates that [`RateSearch`] asks for. What it has come to follows
//! from its runs alone, so that it is gone on with after an interrupt, and judged again.

use std::path::Path;
use std::time::Duration;

use results::judge::capacity::RecordFlow;
use results::judge::verdict::Verdict;
use results::report::Report;
use results::suite::searched::{KEPT, Limiting, limiting, predicted};
use results::suite::{MaxRate, RateStep};
use results::terminal::printable_line;
use workloads::Rate;

use super::Series;
use super::max_rate::{ACHIEVED, Limit, NextStep, RateAttempt, RateSearch, attempt, generator};
use crate::failure::Failure;
use crate::run::shared::{SharedCluster, may_share};
use crate::spec::{CLUSTER_TIME, RunSpec, SearchSpec, written};

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

    /// Whether its cluster may be why it came to that: it was no measurement, or found a guarantee violated. Readers that
    /// are behind at the end, which makes a run unknown, are what a rate that is missed looks like.
    fn is_suspect(&self) -> bool {
        matches!(self.report.verdict, Verdict::InvalidRun | Verdict::Violated)
            || matches!(self.came_to, RateAttempt::Spoilt(_))
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
/// the middle of its range. The cluster that its runs share is started and ended once.
pub fn expected(question: &RateQuestion, run: &RunSpec) -> Duration {
    let (least, most) = question.range;
    let middle = (least as f64 * most as f64).sqrt();
    let rate = predicted_of(run).unwrap_or(middle).clamp(least as f64, most as f64);
    let once = if may_share(run) { CLUSTER_TIME } else { Duration::ZERO };
    let of_run = |(rate, time): (u64, Duration)| {
        let mut run = run.clone();
        run.workload.load.rate = Rate::PerSecond(rate);
        run.workload.phases.duration = Some(time);
        run.expected_trial().saturating_sub(once)
    };
    let runs = RateRuns::expected(question, rate as u64).into_iter();
    runs.map(of_run).fold(once, Duration::saturating_add)
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

/// Goes on with a search until its end, its runs in this folder of the series', on one cluster where they may share one;
/// each is told. `arguments` are further ones for all runs.
///
/// # Errors
/// An unknown-failure when a rate cannot be measured, or it is interrupted; what a run failed of; an infrastructure
/// failure when something of the cluster is left.
pub async fn carry_out(
    series: &Series,
    folder: &str,
    runs: &mut RateRuns,
    arguments: &[String],
    told: impl FnMut(&RateRun),
) -> Result<(), Failure> {
    let run = async |shared: &Path, more: &[String]| {
        series.run_in(folder, &[arguments, more].concat(), Some(shared)).await
    };
    in_folder(&series.folder().join(folder), folder, runs, run, told).await
}

/// The same in this folder; `run` carries a run out by its arguments, on the cluster in the folder that it is told.
async fn in_folder(
    path: &Path,
    folder: &str,
    runs: &mut RateRuns,
    run: impl AsyncFn(&Path, &[String]) -> Result<Report, Failure>,
    told: impl FnMut(&RateRun),
) -> Result<(), Failure> {
    let shared = SharedCluster::prepare(path).await?;
    let outcome = on_shared(&shared, folder, runs, run, told).await;
    match (outcome, shared.end().await) {
        (outcome, Ok(_)) => outcome,
        (Ok(()), Err(left)) => Err(left),
        (Err(failure), Err(left)) => {
            left.print();
            Err(failure)
        }
    }
}

/// The runs of a search. One whose outcome may be its cluster's is the last one there, and one that failed on a cluster
/// that others were on before is made again on a new one.
async fn on_shared(
    shared: &SharedCluster,
    folder: &str,
    runs: &mut RateRuns,
    run: impl AsyncFn(&Path, &[String]) -> Result<Report, Failure>,
    mut told: impl FnMut(&RateRun),
) -> Result<(), Failure> {
    let (mut spoilt, mut is_new) = (0, true);
    while let Some((rate, time)) = runs.next() {
        let gates = runs.question.objectives.iter().cloned().chain(ACHIEVED.map(str::to_owned));
        let gates = gates.flat_map(|gate| ["--gate".to_owned(), gate]);
        let set = format!("workload.load.rate={{per_second={rate}}}");
        let load = ["--faults", "none", "--duration", &written(time), "--set", &set];
        let all: Vec<_> = load.map(str::to_owned).into_iter().chain(gates).collect();
        let report = match run(shared.dir(), &all).await {
            Err(failure) if failure.is_infrastructure() && !is_new => {
                if !shared.end().await? {
                    return Err(failure);
                }
                results::err!("once more on a new cluster: {}", printable_line(failure.text()));
                is_new = true;
                continue;
            }
            report => report?,
        };
        let name = [folder, &report.run.run_id];
        let name = name.into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join("/");
        runs.take(name, rate, time, report);
        let Some(last) = runs.runs.last() else { continue };
        told(last);
        is_new = last.is_suspect();
        if is_new {
            shared.end().await?;
        }
        match &last.came_to {
            RateAttempt::Spoilt(_) => spoilt += 1,
            _ => spoilt = 0,
        }
        if let (RateAttempt::Spoilt(why), true) = (&last.came_to, spoilt >= ATTEMPTS) {
            let text = format!("{rate} records/s could not be measured: {why}");
            return Err(Failure::unknown(text)
                .with_cure("make the machine quiet, or the runs longer (--step, --hold); `kbench check RUN` says more"));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests;
