//! A suite's folder: what was asked for in `suite.toml`, a folder of runs for each scenario, and one report. It is made
//! from the runs alone, so that it can be made again, and that an interrupted suite goes on with what has no finished run.

mod schedule;
#[cfg(test)]
pub(crate) mod tests;

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use results::judge::claim::{self, Claim};
use results::judge::verdict::Verdict;
use results::record::budget::{MOST_DOCUMENT_BYTES, MOST_EVENT_BYTES};
use results::record::open;
use results::report::Report;
use results::suite::{OF_GUIDE, ScenarioAsked, ScenarioRun, SuiteMeta, SuiteReport};
use results::terminal::printable_line;
use serde::{Deserialize, Serialize};

pub use self::schedule::{carry_out, others_beside};
use super::Series;
use super::search::RateRuns;
use crate::cluster::local::sandbox::Mode;
use crate::failure::Failure;
use crate::private;
use crate::run;
use crate::rundir::{RunDir, folders};
use crate::spec::{RunSuite, SearchSpec, SuiteCluster, SuiteScenario, guide};

/// The file that says what was asked for.
const SUITE: &str = "suite.toml";

/// A copy of the user's claims.
const CLAIMS: &str = "claims.toml";

/// The check that tells what disturbed a run.
const DISTURBANCE: &str = "disturbance";

/// Version of the folder's layout.
const FORMAT: u32 = 1;

/// What was asked for.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SuiteSpec {
    /// Version of the folder's layout.
    pub format: u32,
    /// The command line.
    pub command: String,
    /// When it began, RFC 3339.
    pub started: String,
    /// kbench's version.
    pub kbench: String,
    /// The user's file of claims, of which the folder has a copy; none for the guide's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub claims: Option<String>,
    /// Whether a refuted claim fails it.
    pub strict: bool,
    /// Seed of every run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seed: Option<u64>,
    /// Version of Kafka, when it is not the clusters'.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kafka_version: Option<String>,
    /// How local clusters are isolated, when it is not the best way.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mode: Option<Mode>,
    /// The images of containers, as they were named; none for local clusters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub images: Option<Vec<String>>,
    /// The cluster that runs already on which every scenario is carried out; none where each has a new one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cluster: Option<SuiteCluster>,
    /// The suite; its scenarios as that cluster has them.
    pub suite: RunSuite,
}

/// A suite's folder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SuiteDir(PathBuf);

/// What became of the scenarios of this session, where that is not in their runs.
pub type Failures = std::collections::BTreeMap<String, (u8, String)>;

impl SuiteDir {
    /// Writes what was asked for into the folder of a series.
    ///
    /// # Errors
    /// An infrastructure failure when it cannot be written.
    pub fn create(
        series: &Series,
        spec: &SuiteSpec,
        claims: Option<&Path>,
    ) -> Result<Self, Failure> {
        let folder = series.folder().to_owned();
        let cannot = |error: &dyn std::fmt::Display| {
            Failure::infrastructure(format!("{} cannot be written: {error}", folder.display()))
        };
        if let Some(claims) = claims {
            let text = crate::spec::read(claims)?;
            open::write(&folder.join(CLAIMS), text.as_bytes()).map_err(|error| cannot(&error))?;
        }
        let text = toml::to_string(spec).map_err(|error| cannot(&error))?;
        open::write(&folder.join(SUITE), text.as_bytes()).map_err(|error| cannot(&error))?;
        Ok(Self(std::fs::canonicalize(&folder).unwrap_or(folder)))
    }

    /// The folder of a suite: a path, a name in `out`, or `latest`; none where it is none.
    pub fn find(path: &Path, out: &Path) -> Option<Self> {
        let candidates = [path.to_path_buf(), out.join(path)];
        let found = candidates.into_iter().find(|path| path.join(SUITE).is_file())?;
        Some(Self(std::fs::canonicalize(&found).unwrap_or(found)))
    }

    /// Every suite in `out`, oldest first. A link to one is none.
    pub fn all(out: &Path) -> Vec<Self> {
        let mut all: Vec<_> = folders(out).filter(|path| path.join(SUITE).is_file()).collect();
        all.sort();
        all.into_iter().map(Self).collect()
    }

    /// The folder itself.
    pub fn path(&self) -> &Path {
        &self.0
    }

    /// Its name, as it may be printed.
    pub fn name(&self) -> String {
        let name = self.0.file_name().unwrap_or_default().to_string_lossy();
        printable_line(&name).into_owned()
    }

    /// Makes sure that nobody else can have put something into it: it is to be gone on with.
    ///
    /// # Errors
    /// A usage failure when somebody may have.
    pub fn is_own(&self) -> Result<(), Failure> {
        private::folder(&self.0).map(drop).map_err(|error| {
            Failure::usage(format!("{} is not gone on with: {error}", self.0.display()))
        })
    }

    /// What was asked for.
    ///
    /// # Errors
    /// An unknown-failure when it cannot be read, or is of another format.
    pub fn spec(&self) -> Result<SuiteSpec, Failure> {
        let path = self.0.join(SUITE);
        let damaged = |why: &str| Failure::unknown(format!("{} is damaged: {why}", path.display()));
        let text = open::read_text(&path, MOST_DOCUMENT_BYTES)
            .map_err(|error| damaged(&error.to_string()))?;
        let spec: SuiteSpec = toml::from_str(&text).map_err(|error| damaged(error.message()))?;
        if spec.format != FORMAT {
            let (is, reads) = (spec.format, FORMAT);
            let what = format!("{} has format {is}, and this kbench reads {reads}", path.display());
            return Err(Failure::usage(what));
        }
        // Its ids are names of folders.
        let suite = toml::to_string(&spec.suite).map_err(|error| damaged(&error.to_string()))?;
        crate::spec::parse::<RunSuite>(&suite).map_err(|(why, _)| damaged(&why))?;
        Ok(spec)
    }

    /// The claims that it answers for.
    ///
    /// # Errors
    /// When they cannot be read.
    pub fn claims(&self, spec: &SuiteSpec) -> Result<Vec<Claim>, Failure> {
        match spec.claims {
            None => guide(),
            // The folder may be a stranger's.
            Some(_) => {
                let path = self.0.join(CLAIMS);
                let text = open::read_text(&path, MOST_DOCUMENT_BYTES).map_err(|error| {
                    Failure::unknown(format!("{} cannot be read: {error}", path.display()))
                })?;
                claim::parse(CLAIMS, &text).map_err(|error| Failure::unknown(error.to_string()))
            }
        }
    }

    /// The runs of a scenario, oldest first; none in what is only linked to.
    fn runs_of(&self, folder: &str) -> Vec<RunDir> {
        let path = self.0.join(folder);
        let own = std::fs::symlink_metadata(&path).is_ok_and(|found| found.is_dir());
        if own { RunDir::all(&path) } else { vec![] }
    }

    /// The newest finished run of a scenario, with its report: not one that was interrupted, or of which a trial failed.
    /// A violation that was proven before stands.
    pub fn finished(&self, folder: &str, trials: u32) -> Option<(RunDir, Report)> {
        self.runs_of(folder)
            .into_iter()
            .rev()
            .filter_map(|run| {
                let report = recorded(&run)?;
                Some((run, report))
            })
            .find(|(run, report)| {
                report.verdict == Verdict::Violated || is_whole(run, report, trials)
            })
    }

    /// The same, unless it is invalid, or something that is no part of it disturbed it: whoever goes on with the suite
    /// makes it again.
    pub fn settled(&self, folder: &str, trials: u32) -> Option<(RunDir, Report)> {
        let finished = self.finished(folder, trials);
        finished.filter(|(_, report)| match report.verdict {
            Verdict::InvalidRun => false,
            Verdict::Unknown => !is_disturbed(report),
            Verdict::Valid | Verdict::Violated => true,
        })
    }

    /// How a scenario ended of which nothing is to be made again: in words. None for one that is to be gone on with.
    pub fn done(&self, scenario: &SuiteScenario, folder: &str) -> Option<String> {
        let Some(search) = &scenario.max_rate else {
            let (run, report) = self.settled(folder, scenario.trials)?;
            // Where a violation is what is looked for, one proves nothing before the end.
            let early = !is_whole(&run, &report, scenario.trials);
            if early && !scenario.must_find.is_empty() {
                return None;
            }
            return Some(format!("{}, by {}", report.verdict.as_str(), run.name()));
        };
        let runs = self.search(search, folder, None);
        runs.limit().map(|_| format!("{} runs of a search that has ended", runs.runs().len()))
    }

    /// A search as its finished runs make it; with `again` each is judged anew, strictly where that is asked for.
    fn search(&self, search: &SearchSpec, folder: &str, again: Option<bool>) -> RateRuns {
        let mut runs = RateRuns::new(search.into());
        for dir in self.runs_of(folder) {
            let (Ok(spec), Some(recorded)) = (dir.spec(), recorded(&dir)) else { continue };
            let whole = is_whole(&dir, &recorded, recorded.trials);
            let (Some(time), true) = (spec.workload.phases.duration, whole) else { continue };
            let report = match again {
                None => recorded,
                Some(strict) => match run::judge(&spec, &dir, strict || spec.strict) {
                    Ok(judged) => judged.report,
                    Err(_) => continue,
                },
            };
            let rate = report.run.asked_per_s.round() as u64;
            runs.take(format!("{folder}/{}", dir.name()), rate, time, report);
        }
        runs
    }

    /// The report, from the reports of the runs; with `again` each run is judged anew, strictly where that is asked for.
    ///
    /// # Errors
    /// When what was asked for cannot be read.
    pub fn report(&self, failed: &Failures, again: Option<bool>) -> Result<SuiteReport, Failure> {
        let spec = self.spec()?;
        let claims = self.claims(&spec)?;
        let strict = spec.strict || again == Some(true);
        let mut runs = vec![];
        for (scenario, folder) in folder_names(&spec.suite) {
            let asked = ScenarioAsked {
                id: scenario.id.clone(),
                command: scenario.command(spec.cluster.as_ref()),
                claims: scenario.claims.clone(),
                must_find: scenario.must_find.clone(),
            };
            let run = match spec.not_allowed(scenario) {
                Some(why) => ScenarioRun::NotAllowed(why.to_owned()),
                None => self.run_of(scenario, &folder, failed, again.map(|_| strict)),
            };
            runs.push((asked, run));
        }
        let meta = SuiteMeta {
            name: spec.suite.name.clone(),
            description: spec.suite.description.clone(),
            folder: self.name(),
            command: spec.command,
            started: spec.started,
            kbench: spec.kbench,
            claims: spec.claims.unwrap_or_else(|| OF_GUIDE.to_owned()),
            strict,
            cluster: spec.cluster.as_ref().map(SuiteCluster::describe),
        };
        Ok(SuiteReport::of(meta, &claims, &runs))
    }

    fn run_of(
        &self,
        scenario: &SuiteScenario,
        folder: &str,
        failed: &Failures,
        again: Option<bool>,
    ) -> ScenarioRun {
        if let Some((code, said)) = failed.get(&scenario.id) {
            return ScenarioRun::Failed(*code, said.clone());
        }
        if let Some(search) = &scenario.max_rate {
            let runs = self.search(search, folder, again);
            return match runs.runs() {
                [] => ScenarioRun::Missing,
                _ => ScenarioRun::Searched(Box::new(runs.told())),
            };
        }
        let Some((dir, report)) = self.finished(folder, scenario.trials) else {
            return self.runs_of(folder).last().map_or(ScenarioRun::Missing, unfinished);
        };
        let name = format!("{folder}/{}", dir.name());
        let Some(strict) = again else { return ScenarioRun::Finished(name, Box::new(report)) };
        let judged = dir.spec().and_then(|spec| run::judge(&spec, &dir, strict || spec.strict));
        match judged {
            Ok(judged) => ScenarioRun::Finished(name, Box::new(judged.report)),
            Err(failure) => ScenarioRun::Failed(3, format!("{name}: {}", failure.text())),
        }
    }
}

/// Whether a report is of a run that came to its end, with all of so many trials.
fn is_whole(run: &RunDir, report: &Report, trials: u32) -> bool {
    !report.interrupted && report.trials == trials && run.failure().is_none()
}

/// Whether something disturbed a run that is no part of it.
fn is_disturbed(report: &Report) -> bool {
    let mut checks = report.checks.iter();
    checks.any(|check| check.name == DISTURBANCE && check.verdict != Verdict::Valid)
}

/// What a run came to that left no report which stands.
fn unfinished(run: &RunDir) -> ScenarioRun {
    match run.failure() {
        Some(why) => ScenarioRun::Failed(4, format!("its run {} failed: {why}", run.name())),
        None => ScenarioRun::Failed(3, format!("its run {} was not finished", run.name())),
    }
}

/// The report that a run left.
fn recorded(run: &RunDir) -> Option<Report> {
    let json = open::read(&run.path().join("report.json"), MOST_EVENT_BYTES).ok()?;
    serde_json::from_slice(&json).ok()
}

/// The scenarios, each with the name of its folder: in order, by name as well.
pub fn folder_names(suite: &RunSuite) -> impl Iterator<Item = (&SuiteScenario, String)> {
    (1..).zip(&suite.scenarios).map(|(n, scenario)| (scenario, format!("{n:02}-{}", scenario.id)))
}

impl SuiteSpec {
    /// Of a suite that begins now.
    pub fn new(suite: RunSuite, command: String, started: String) -> Self {
        let kbench = env!("CARGO_PKG_VERSION").to_owned();
        Self {
            format: FORMAT,
            command,
            started,
            kbench,
            claims: None,
            strict: false,
            seed: None,
            kafka_version: None,
            mode: None,
            images: None,
            cluster: None,
            suite,
        }
    }

    /// Why the suite's cluster does not allow a scenario; none where it does, or where each has a new one.
    pub fn not_allowed(&self, scenario: &SuiteScenario) -> Option<&str> {
        self.cluster.as_ref()?.not_allowed.get(&scenario.id).map(String::as_str)
    }

    /// Arguments of `kbench run` for a scenario of the suite in this folder.
    pub fn arguments(&self, dir: &SuiteDir, scenario: &SuiteScenario) -> Vec<String> {
        let mut all = scenario.arguments(self.cluster.as_ref());
        let mut add = |option: &str, value: String| all.extend([option.to_owned(), value]);
        if self.claims.is_some() {
            add("--claims", dir.path().join(CLAIMS).display().to_string());
        }
        scenario.claims.iter().for_each(|id| add("--claim", id.clone()));
        self.seed.iter().for_each(|seed| add("--seed", seed.to_string()));
        self.kafka_version.iter().for_each(|version| add("--kafka-version", version.clone()));
        self.mode.iter().for_each(|mode| add("--mode", mode.as_str().to_owned()));
        if let Some(images) = &self.images {
            add("--backend", "docker".to_owned());
            images.iter().for_each(|image| add("--image", image.clone()));
        }
        all.extend(self.strict.then(|| "--strict".to_owned()));
        all
    }
}

/// Arguments of all runs of a suite that are not taken from its folder: what is to be trusted, and what may be hurt, is
/// said each time.
pub fn said_each_time(
    trust: bool,
    kafka_home: Option<&Path>,
    cluster: Option<&SuiteCluster>,
) -> Vec<OsString> {
    let mut all = vec![];
    all.extend(trust.then(|| OsString::from("--trust-spec")));
    if let Some(home) = kafka_home {
        all.extend([OsString::from("--kafka-home"), home.as_os_str().to_owned()]);
    }
    all.extend(cluster.into_iter().flat_map(SuiteCluster::said_each_time).map(OsString::from));
    all
}
