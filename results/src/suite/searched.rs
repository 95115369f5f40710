//! A search of the highest rate as a suite's report has it: what came of it, what limited, and what a model of the links
//! says. It is made from the reports of its runs alone.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::judge::capacity::RecordFlow;
use crate::judge::threshold::Threshold;
use crate::judge::verdict::Verdict;
use crate::report::Report;
use crate::terminal::counted;

/// Share of the cores from which on they are what limits: whoever watches takes a little as well.
const CORES: f64 = 0.85;

/// What was at its limit in a run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum Limiting {
    /// The links of these nodes were saturated for more than half of the time.
    Links(Vec<String>),
    /// A machine's cores: the share that servers took of them.
    Cores(f64),
    /// kbench's own clients, for this reason.
    Generator(String),
    /// None of these was seen to.
    Unseen,
}

impl std::fmt::Display for Limiting {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Links(nodes) => write!(f, "links ({})", nodes.join(", ")),
            Self::Cores(share) => {
                write!(f, "cores (servers took {:.0} % of them)", share * 100.0)
            }
            Self::Generator(why) => write!(f, "kbench's own clients ({why})"),
            Self::Unseen => f.write_str("nothing that is watched"),
        }
    }
}

/// What limited the load of a run; `generator` says why that was kbench, if it was.
pub fn limiting(report: &Report, generator: Option<String>) -> Limiting {
    let shared = shared_cores_taken(report);
    if let Some(why) = generator {
        // A client that comes late on cores that servers take as well need not be the one that can do no more.
        return Limiting::Generator(match shared {
            Some(share) => format!("{why}; servers took {:.0} % of the same cores", share * 100.0),
            None => why,
        });
    }
    let network = report.thresholds.iter().filter(|it| it.threshold == Threshold::Network);
    let saturated = network.filter(|it| it.over_s > 0.0 && it.above_s > it.over_s / 2.0);
    let nodes: Vec<_> = saturated.map(|it| it.place.clone()).collect();
    if !nodes.is_empty() {
        return Limiting::Links(nodes);
    }
    let most = shared.into_iter().chain(own_cores_taken(report));
    match most.max_by(f64::total_cmp) {
        Some(share) if share >= CORES => Limiting::Cores(share),
        _ => Limiting::Unseen,
    }
}

/// What servers took of the cores of kbench's own machine, as a part of them; none where none is there, or that is not
/// told.
pub(super) fn shared_cores_taken(report: &Report) -> Option<f64> {
    let cores = report.environments.first()?.environment.cores;
    let here: Vec<f64> =
        report.servers.iter().filter(|it| it.cores.is_none()).map(|it| it.cpu_share).collect();
    let used: f64 = here.iter().sum();
    let known = cores > 0 && !here.is_empty();
    known.then(|| used / f64::from(cores) / f64::from(report.trials.max(1)))
}

/// The same of each other machine's own.
fn own_cores_taken(report: &Report) -> Vec<f64> {
    let mut nodes: BTreeMap<&str, f64> = BTreeMap::new();
    for server in &report.servers {
        if let Some(cores) = server.cores.filter(|cores| *cores > 0) {
            *nodes.entry(&server.process.node).or_default() += server.cpu_share / f64::from(cores);
        }
    }
    nodes.into_values().map(|share| share / f64::from(report.trials.max(1))).collect()
}

/// The highest rate that a model of the links allows for the load and the cluster of a run; none where links are not
/// limited, or what it takes is not known.
pub fn predicted(report: &Report) -> Option<f64> {
    let environment = &report.environments.first()?.environment;
    let links = environment.links.as_ref()?.bytes_per_s;
    let settings = &environment.settings;
    let groups: BTreeSet<_> = report.consuming.iter().map(|it| &it.group).collect();
    if settings.assignment.is_empty() {
        return None;
    }
    let flow = RecordFlow {
        replicas: settings.assignment.clone(),
        groups: groups.len() as u32,
        record_bytes: report.run.record_bytes as f64,
    };
    flow.highest(links as f64)
}

/// A run at a rate.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct RateStep {
    /// Directory of the run in the suite's folder.
    pub run: String,
    /// Records a second that it asked for.
    pub rate: u64,
    /// Seconds of load.
    pub for_s: f64,
    /// What it came to: "kept", "missed: ...", or "no measurement: ...".
    pub outcome: String,
    /// Its verdict.
    pub verdict: Verdict,
    /// Seconds that it took.
    pub took_s: f64,
}

/// A search of the highest rate that keeps an objective.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct MaxRate {
    /// What had to be kept.
    pub objective: Vec<String>,
    /// Whether the search has come to its end.
    pub ended: bool,
    /// The highest rate that was held; none where the lowest that was tried is missed.
    pub held: Option<u64>,
    /// The lowest that was missed; none where the highest that may be tried was kept when it was asked for last.
    pub missed: Option<u64>,
    /// How often both were asked again.
    pub rounds: u32,
    /// What limited at the lowest rate that was missed, or else at the highest that was held; none where none was missed.
    pub limiting: Option<Limiting>,
    /// Brokers that took the load; 0 where no run tells.
    pub brokers: u32,
    /// What each link takes, in bytes a second each way; none where that is not limited.
    pub link_bytes_per_s: Option<u64>,
    /// The highest rate by the model of the links.
    pub predicted: Option<f64>,
    /// Its runs, in order.
    pub steps: Vec<RateStep>,
}

impl MaxRate {
    /// The rates between which the highest one is, the second none where no limit was found; none before the end.
    pub fn interval(&self) -> Option<(f64, Option<f64>)> {
        let missed = self.missed.map(|rate| rate as f64);
        self.ended.then(|| (self.held.unwrap_or(0) as f64, missed))
    }

    /// As which exit code it counts: that it found a limit is what passes.
    pub(super) fn code(&self) -> u8 {
        let violated = self.steps.iter().any(|step| step.verdict == Verdict::Violated);
        match (violated, self.ended, self.held) {
            (true, ..) | (false, true, None) => 1,
            (false, false, _) => 3,
            (false, true, Some(_)) => 0,
        }
    }

    /// What it came to, in words.
    pub(super) fn outcome(&self) -> String {
        let broken = self.steps.iter().filter(|step| step.verdict == Verdict::Violated).count();
        let broken = match broken {
            0 => String::new(),
            n => format!("; {} violated a guarantee", counted(n as u64, "run")),
        };
        let said = match (self.ended, self.held, self.missed) {
            (false, ..) => {
                let last = self.steps.last().map(|step| format!(" ({})", step.outcome));
                format!(
                    "the search did not end, after {}{}: `--resume` goes on with it",
                    counted(self.steps.len() as u64, "run"),
                    last.unwrap_or_default()
                )
            }
            (true, Some(held), Some(missed)) => {
                let limiting = self.limiting.as_ref();
                let limiting = limiting.map(|it| format!("; what limits: {it}"));
                let again = match u64::from(self.rounds) {
                    0 => String::new(),
                    rounds => format!(", after {} of asking again", counted(rounds, "round")),
                };
                format!("{held}/s held, {missed}/s missed{again}{}", limiting.unwrap_or_default())
            }
            (true, Some(held), None) => {
                format!("at least {held}/s; no rate that was tried is always missed")
            }
            (true, None, missed) => {
                let missed = missed.unwrap_or_default();
                format!("below {missed}/s; the lowest rate that was tried is not always kept")
            }
        };
        said + &broken
    }

    /// What the links take and what the model says, in words; empty where links are not limited.
    pub(super) fn model(&self) -> String {
        match (self.link_bytes_per_s, self.predicted) {
            (Some(links), Some(rate)) => {
                format!("{rate:.0}/s by the model, with links of {:.3} MB/s", links as f64 / 1e6)
            }
            (Some(links), None) => format!("links of {:.3} MB/s", links as f64 / 1e6),
            (None, _) => String::new(),
        }
    }

    /// Directory of the run that held the result.
    pub(super) fn run(&self) -> Option<&str> {
        let kept = |step: &&RateStep| Some(step.rate) == self.held && step.outcome == KEPT;
        self.steps.iter().rev().find(kept).map(|step| step.run.as_str())
    }
}

/// What a run came to that kept the objective.
pub const KEPT: &str = "kept";
