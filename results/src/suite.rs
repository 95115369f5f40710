//! The report of a suite: several runs that answer for the claims of one document.
//!
//! Made from the reports of its runs and nothing else, so that it can be made again. Each claim is decided by the runs
//! of the scenarios that name it: refuted by one, it is refuted; where one of them does not say, it is undecided. What
//! no scenario decides is *not tested here*, with what would be needed; of a user's own claims it is undecided. A
//! scenario that the suite's cluster does not allow decides nothing: what only such ones decide is undecided.
//! `report.json` in the suite's folder is this document (`results/schema/suite.schema.json`); [`text`], [`markdown`]
//! and [`html`] are views of it.

mod advice;
mod decided;
mod html;
mod markdown;
pub mod searched;
mod several;
#[cfg(test)]
mod tests;
mod text;

use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::judge::claim::{ChangeCost, Claim, ClaimResult, Outcome};
use crate::judge::verdict::Verdict;
use crate::record::open;
use crate::report::Report;
use crate::report::files::{WriteError, escaped};
use crate::terminal::counted;

use decided::decided;
pub use markdown::render as markdown;
pub use searched::{MaxRate, RateStep};
pub(crate) use text::summary;
pub use text::{render, summary_of};

/// Version of the document's keys.
pub const FORMAT: u32 = 1;

/// Exit codes of runs, from the best to the worst.
const CODES: [u8; 4] = [0, 3, 4, 1];

/// The worst of these exit codes by the contract: a violation comes before infrastructure, that before unknown. One
/// that is none of a run's is as bad as infrastructure that failed.
pub fn worst(codes: impl IntoIterator<Item = u8>) -> u8 {
    let rank = |code| CODES.iter().position(|it| *it == code).unwrap_or(2);
    CODES[codes.into_iter().map(rank).max().unwrap_or_default()]
}

/// What a suite was asked to do.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct SuiteMeta {
    /// Its name.
    pub name: String,
    /// What it is for.
    pub description: String,
    /// Name of its folder.
    pub folder: String,
    /// The command line.
    pub command: String,
    /// When it began (RFC 3339).
    pub started: String,
    /// kbench's version.
    pub kbench: String,
    /// Where the claims come from: "guide", or a file.
    pub claims: String,
    /// Whether refuted claims fail it.
    pub strict: bool,
    /// The cluster that runs already on which every scenario was carried out; none where each had a new one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cluster: Option<String>,
}

/// What [`SuiteMeta::claims`] says of the guide's.
pub const OF_GUIDE: &str = "guide";

impl SuiteMeta {
    /// Whether the claims are a user's.
    fn has_own_claims(&self) -> bool {
        self.claims != OF_GUIDE
    }
}

/// What a scenario of a suite is to decide.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ScenarioAsked {
    /// Its id.
    pub id: String,
    /// What is run, as arguments of `kbench run`.
    pub command: String,
    /// Ids of the claims that it decides.
    pub claims: Vec<String>,
    /// Checks of which one must find something.
    pub must_find: Vec<String>,
}

/// What became of its run.
#[derive(Debug)]
pub enum ScenarioRun {
    /// It left a report: the run's directory in the suite's folder, and the report.
    Finished(String, Box<Report>),
    /// It is a search of the highest rate, as far as it has come.
    Searched(Box<MaxRate>),
    /// It left none: with which code it ended, and what it said.
    Failed(u8, String),
    /// The suite's cluster does not allow it, for this reason.
    NotAllowed(String),
    /// It was not carried out.
    Missing,
}

/// What a scenario came to.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct ScenarioResult {
    /// Its id.
    pub id: String,
    /// What was run, as arguments of `kbench run`.
    pub command: String,
    /// Directory of its run in the suite's folder; none when it left none.
    pub run: Option<String>,
    /// The verdict of its run.
    pub verdict: Option<Verdict>,
    /// What it counts as, by the contract's exit codes: where something had to be found, 0 when it was.
    pub code: u8,
    /// Trials that were judged.
    pub trials: u32,
    /// Faults that were injected.
    pub faults: usize,
    /// Seconds that its trials took, all together.
    pub seconds: f64,
    /// What it came to, in words.
    pub outcome: String,
    /// Of a search of the highest rate, what it found; none of a run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_rate: Option<MaxRate>,
    /// What changes of the cluster took, and cost.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub changes: Vec<ChangeCost>,
}

/// A claim, and what decides it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct DecidedClaim {
    /// How it stands, and the figures of the run that decides it.
    pub claim: ClaimResult,
    /// What was measured, with the number of trials or of things that were examined.
    pub figure: String,
    /// The runs that decide it, with their outcomes.
    pub by: Vec<Decision>,
}

impl DecidedClaim {
    /// The exit code that it asks for: where claims may fail a suite, as one of a run's.
    fn code(&self, strict: bool) -> u8 {
        match self.claim.outcome {
            Outcome::Refuted if strict => 1,
            Outcome::Undecided if strict && self.claim.tested => 3,
            _ => 0,
        }
    }
}

/// What one run says of a claim.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Decision {
    /// Id of the scenario.
    pub scenario: String,
    /// Directory of its run.
    pub run: Option<String>,
    /// How the claim stands there.
    pub outcome: Outcome,
}

/// The report of a suite.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct SuiteReport {
    /// Version of the keys.
    pub format: u32,
    /// What the suite was asked to do.
    pub suite: SuiteMeta,
    /// What kbench exits with: the worst of its runs and, where it is strict, of its claims.
    pub exit_code: u8,
    /// What its scenarios came to, in order.
    pub scenarios: Vec<ScenarioResult>,
    /// Every claim.
    pub claims: Vec<DecidedClaim>,
    /// Host and versions of the first run, in a sentence; none when no run tells.
    pub environment: Option<String>,
}

impl SuiteReport {
    /// Of a suite whose scenarios came to this; `claims` are all of the document's.
    pub fn of(suite: SuiteMeta, claims: &[Claim], runs: &[(ScenarioAsked, ScenarioRun)]) -> Self {
        let scenarios: Vec<_> = runs.iter().map(|(asked, run)| scenario(asked, run)).collect();
        let claims: Vec<_> = claims.iter().map(|claim| decided(claim, runs, &suite)).collect();
        let codes = scenarios.iter().map(|scenario| scenario.code);
        let exit_code = worst(codes.chain(claims.iter().map(|it| it.code(suite.strict))));
        let reports = runs.iter().filter_map(|(_, run)| match run {
            ScenarioRun::Finished(_, report) => Some(report),
            _ => None,
        });
        let environment = reports.flat_map(|report| &report.environments).next().map(|it| {
            let it = &it.environment;
            format!(
                "Kafka {}, ZooKeeper {}, {}, {}, data in {}, kernel {}",
                it.kafka,
                it.zookeeper,
                it.mode,
                counted(it.cores.into(), "core"),
                it.storage,
                it.kernel
            )
        });
        Self { format: FORMAT, suite, exit_code, scenarios, claims, environment }
    }

    /// How many claims stand so.
    pub fn count(&self, outcome: Outcome) -> usize {
        self.claims.iter().filter(|it| it.claim.outcome == outcome).count()
    }

    /// The document as it stands in `report.json`.
    ///
    /// # Errors
    /// When it cannot be written as JSON.
    pub fn to_json(&self) -> serde_json::Result<String> {
        Ok(escaped(serde_json::to_string_pretty(self)? + "\n"))
    }

    /// Writes the files of the report into the suite's folder.
    ///
    /// # Errors
    /// When one cannot be written.
    pub fn write(&self, folder: &Path) -> Result<(), WriteError> {
        let json = self.to_json().map_err(std::io::Error::other);
        for (name, text) in [
            ("report.md", Ok(markdown(self))),
            ("report.html", html::render(self)),
            ("report.json", json),
        ] {
            let path = folder.join(name);
            let written = text.and_then(|text| open::write(&path, text.as_bytes()));
            written.map_err(|source| WriteError { path, source })?;
        }
        Ok(())
    }
}

fn scenario(asked: &ScenarioAsked, run: &ScenarioRun) -> ScenarioResult {
    let without = |code: u8, outcome: String| ScenarioResult {
        id: asked.id.clone(),
        command: asked.command.clone(),
        run: None,
        verdict: None,
        code,
        trials: 0,
        faults: 0,
        seconds: 0.0,
        outcome,
        max_rate: None,
        changes: vec![],
    };
    match run {
        ScenarioRun::Missing => {
            without(3, "not carried out: `--resume` goes on with it".to_owned())
        }
        ScenarioRun::Failed(code, said) => without(*code, said.clone()),
        // Nothing failed, and nothing was seen.
        ScenarioRun::NotAllowed(why) => {
            without(3, format!("not carried out on this cluster: {why}"))
        }
        ScenarioRun::Searched(search) => ScenarioResult {
            run: search.run().map(str::to_owned),
            trials: search.steps.len() as u32,
            seconds: search.steps.iter().map(|step| step.took_s).sum(),
            max_rate: Some((**search).clone()),
            ..without(search.code(), search.outcome())
        },
        ScenarioRun::Finished(dir, report) => {
            let (code, outcome) = came_to(asked, report);
            ScenarioResult {
                run: Some(dir.clone()),
                verdict: Some(report.verdict),
                trials: report.trials,
                faults: report.faults.len(),
                seconds: report.time.iter().flat_map(|it| &it.stages).map(|it| it.seconds).sum(),
                changes: report.changes.clone(),
                ..without(code, outcome)
            }
        }
    }
}

/// As which exit code a run counts, and what it came to.
fn came_to(asked: &ScenarioAsked, report: &Report) -> (u8, String) {
    if asked.must_find.is_empty() {
        let violated = report.checks.iter().filter(|check| check.verdict == report.verdict);
        let named: Vec<_> = match report.verdict {
            Verdict::Valid => vec![],
            _ => violated.map(|check| check.name.as_str()).collect(),
        };
        let outcome = match named.is_empty() {
            true => report.verdict.as_str().to_owned(),
            false => format!("{}: {}", report.verdict.as_str(), named.join(", ")),
        };
        return (report.exit_code, outcome);
    }
    let sought = || report.checks.iter().filter(move |check| asked.must_find.contains(&check.name));
    let found = sought().filter(|check| check.count > 0);
    let found: Vec<_> = found.map(|check| format!("{} {}", check.name, check.count)).collect();
    if !found.is_empty() {
        return (0, format!("found what it must: {}", found.join(", ")));
    }
    let names = asked.must_find.join(", ");
    // What was not looked at in full may be there.
    let looked = !report.interrupted
        && sought().count() > 0
        && sought().all(|check| check.verdict == Verdict::Valid && check.examined > 0)
        && !matches!(report.verdict, Verdict::Unknown | Verdict::InvalidRun);
    match looked {
        true => (1, format!("MISSED what it must find: {names}; checks or faults are blind")),
        false => (3, format!("{}: whether {names} is there is not known", report.verdict.as_str())),
    }
}
