//! A suite: scenarios, each of which is a run, and the claims that they decide. Whether they can be carried out is seen
//! when each is resolved as any run is.

mod cluster;

use std::collections::BTreeSet;
use std::path::Path;
use std::time::Duration;

use faults::plan::Plan;
use results::judge::check::is_of_history;
use results::judge::claim::Claim;
use results::record::budget::MOST_TRIALS;
use results::record::line::MOST_NAME_BYTES;
use results::terminal::argument;
use serde::{Deserialize, Serialize};
use toml::Spanned;

use super::{Mistake, SearchSpec, Spec};
use crate::failure::Failure;
use crate::nearest::{did_you_mean, nearest};

pub use cluster::{SuiteCluster, WhichCluster};

/// The workload of a scenario, as of a run, that names none.
pub const WORKLOAD: &str = "1k-msg-s";

/// Most scenarios of a suite.
const MOST_SCENARIOS: usize = 100;

/// A suite.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RunSuite {
    /// Its name.
    pub name: String,
    /// What it is for, in a sentence.
    pub description: String,
    /// What is run, in this order.
    #[serde(rename = "scenario")]
    pub scenarios: Vec<SuiteScenario>,
}

/// One run of a suite, or one search of the highest rate.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SuiteScenario {
    /// Short name, unique in its suite.
    pub id: String,
    /// Name or file of the workload.
    #[serde(default = "workload")]
    pub workload: String,
    /// Name or file of the plan, or `none`.
    #[serde(default = "none")]
    pub plan: String,
    /// Name or file of the cluster, or `local`.
    #[serde(default = "local")]
    pub cluster: String,
    /// Changes of single values, as `--set` takes them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub set: Vec<String>,
    /// Length of the load without faults, when it is not the workload's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub duration: Option<String>,
    /// Trials.
    #[serde(default = "one")]
    pub trials: u32,
    /// Ids of the claims that it decides.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub claims: Vec<String>,
    /// A search of the highest rate, in place of a run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_rate: Option<SearchSpec>,
    /// Checks of which one must find something: then finding it is what passes.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub must_find: Vec<String>,
}

/// A suite as it is written.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct WrittenSuite {
    name: Spanned<String>,
    description: String,
    scenario: Vec<Spanned<SuiteScenario>>,
}

fn workload() -> String {
    WORKLOAD.to_owned()
}

fn none() -> String {
    "none".to_owned()
}

fn local() -> String {
    "local".to_owned()
}

fn one() -> u32 {
    1
}

impl Spec for RunSuite {
    const KIND: &'static str = "suite";

    fn shipped() -> &'static [(&'static str, &'static str)] {
        workloads::SUITES
    }

    fn parse(text: &str) -> Result<Self, Mistake> {
        let written: WrittenSuite = toml::from_str(text)
            .map_err(|error| (error.message().trim().to_owned(), error.span()))?;
        let name = written.name.get_ref();
        is_plain(name).map_err(|why| (format!("name: {why}"), Some(written.name.span())))?;
        if !(1..=MOST_SCENARIOS).contains(&written.scenario.len()) {
            let why = format!("a suite has 1 to {MOST_SCENARIOS} scenarios");
            return Err((why, Some(written.name.span())));
        }
        let mut ids = BTreeSet::new();
        for scenario in &written.scenario {
            let (span, scenario) = (scenario.span(), scenario.get_ref());
            let wrong = |why: String| (format!("scenario \"{}\": {why}", scenario.id), Some(span));
            scenario
                .check()
                .and_then(|()| match ids.insert(&scenario.id) {
                    true => Ok(()),
                    false => Err("it is there twice; ids must be unique".to_owned()),
                })
                .map_err(wrong)?;
        }
        let scenarios = written.scenario.into_iter().map(Spanned::into_inner).collect();
        Ok(Self { name: written.name.into_inner(), description: written.description, scenarios })
    }

    /// With the files that scenarios name looked up beside the suite's own.
    fn resolved(mut self, folder: Option<&Path>) -> Result<Self, String> {
        let Some(folder) = folder else { return Ok(self) };
        for scenario in &mut self.scenarios {
            for name in [&mut scenario.workload, &mut scenario.plan, &mut scenario.cluster] {
                let beside = folder.join(&*name);
                if beside.is_file() {
                    // Whoever goes on with it may be somewhere else.
                    let beside =
                        std::fs::canonicalize(beside).map_err(|error| error.to_string())?;
                    *name = beside.to_str().ok_or("a path is no text")?.to_owned();
                }
            }
        }
        Ok(self)
    }
}

/// A time as an argument.
pub(crate) fn written(time: Duration) -> String {
    humantime::format_duration(time).to_string().replace(' ', "")
}

/// Whether a name may be one of a folder and stand in any text.
fn is_plain(name: &str) -> Result<(), String> {
    let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    match !name.is_empty() && name.len() <= MOST_NAME_BYTES && name.chars().all(plain) {
        true => Ok(()),
        false => Err(format!(
            "a name is made of a-z, 0-9 and hyphens, {MOST_NAME_BYTES} of them at the most"
        )),
    }
}

impl SuiteScenario {
    /// Whether nothing else may run beside it: the highest rate is a question about the whole machine, and trials run
    /// beside each other.
    pub fn is_alone(&self) -> bool {
        self.max_rate.is_some() || self.trials > 1
    }

    /// How many of its trials run at the same time, where so many clusters may.
    pub fn parallel(&self, at_once: usize) -> u32 {
        u32::try_from(at_once).unwrap_or(u32::MAX).clamp(1, self.trials.max(1))
    }

    fn check(&self) -> Result<(), String> {
        is_plain(&self.id)?;
        if !(1..=MOST_TRIALS).contains(&self.trials) {
            return Err(format!("trials: 1 to {MOST_TRIALS} are possible"));
        }
        self.length()?;
        self.max_rate.as_ref().map_or(Ok(()), |search| self.check_search(search))?;
        match self.must_find.iter().find(|name| !is_of_history(name)) {
            Some(name) => Err(format!("must_find: there is no check `{name}` of what clients saw")),
            None => Ok(()),
        }
    }

    /// What a search leaves no room for.
    fn check_search(&self, search: &SearchSpec) -> Result<(), String> {
        let why = "a search of the highest rate";
        if self.plan != "none" {
            return Err(format!("plan: {why} is made without faults; remove it"));
        }
        if self.duration.is_some() || self.trials != 1 {
            return Err(format!(
                "{why} decides how long its runs are, and how many; remove duration and trials"
            ));
        }
        if !self.must_find.is_empty() || !self.claims.is_empty() {
            return Err(format!(
                "{why} looks for no check, and claims name it by their metric; remove must_find and claims"
            ));
        }
        search.check()
    }

    /// Length of the load without faults.
    ///
    /// # Errors
    /// When it is none.
    pub fn length(&self) -> Result<Option<Duration>, String> {
        let parsed = self.duration.as_deref().map(humantime::parse_duration).transpose();
        parsed.map_err(|error| format!("duration: {error}"))
    }

    /// As arguments of `kbench run`, without the claims; on this cluster where the suite has one.
    pub fn arguments(&self, on: Option<&SuiteCluster>) -> Vec<String> {
        let mut all = vec![];
        let mut add = |option: &str, value: &str| all.extend([option, value].map(str::to_owned));
        add("--workload", &self.workload);
        // A search says so by itself.
        if self.max_rate.is_none() {
            add("--faults", &self.plan);
        }
        if self.cluster != "local" && on.is_none() {
            add("--cluster", &self.cluster);
        }
        self.set.iter().for_each(|set| add("--set", set));
        self.duration.iter().for_each(|duration| add("--duration", duration));
        if self.trials > 1 {
            add("--trials", &self.trials.to_string());
        }
        all.extend(on.into_iter().flat_map(SuiteCluster::arguments));
        all
    }

    /// The command that carries it out by itself.
    pub fn command(&self, on: Option<&SuiteCluster>) -> String {
        let leave = on.into_iter().flat_map(SuiteCluster::said_each_time);
        let arguments: Vec<_> = self.arguments(on).into_iter().chain(leave).collect();
        let all: Vec<_> = arguments.iter().map(|it| argument(it)).collect();
        let Some(search) = &self.max_rate else {
            return format!("kbench run {}", all.join(" "));
        };
        let objectives = search.objective.iter();
        let objectives: Vec<_> =
            objectives.map(|gate| format!("--objective {}", argument(gate))).collect();
        let objectives = objectives.join(" ");
        let [step, hold] = [search.step, search.hold].map(written);
        let (from, to, precision, rounds) =
            (search.from, search.to, search.precision, search.rounds);
        format!(
            "kbench max-rate {objectives} --from {from} --to {to} --precision {precision} --step {step} --hold {hold} \
             --rounds {rounds} -- {}",
            all.join(" ")
        )
    }

    /// Whether a run with this plan can decide the claims that the scenario is to decide.
    ///
    /// # Errors
    /// A usage failure for a claim that is not among `all`, that nothing measures, or that needs another step.
    pub fn can_decide(&self, all: &[Claim], plan: Option<&Plan>) -> Result<(), Failure> {
        let steps: BTreeSet<&str> = plan.into_iter().flat_map(Plan::ids).collect();
        for id in &self.claims {
            let wrong = |why: String| Failure::usage(format!("scenario \"{}\": {why}", self.id));
            let Some(claim) = all.iter().find(|claim| claim.id == *id) else {
                return Err(unknown_claim(id, all).within(&format!("scenario \"{}\"", self.id)));
            };
            if !claim.metric.scenarios().is_empty() {
                return Err(wrong(format!(
                    "claim `{id}` is decided by the scenarios that its metric names; remove it from claims"
                )));
            }
            if !claim.metric.is_tested_here() {
                return Err(wrong(format!("nothing measures claim `{id}`")));
            }
            let needed = claim.steps(|step| steps.contains(step));
            if let Some(step) = needed.iter().find(|step| !steps.contains(step.as_str())) {
                let plan = &self.plan;
                return Err(wrong(format!(
                    "claim `{id}` needs step \"{step}\", and plan `{plan}` has none"
                )));
            }
        }
        Ok(())
    }
}

impl RunSuite {
    /// Gives each scenario those of a user's claims that it can decide, in place of the guide's that it names: by their
    /// ids, by the steps of its plan, by a metric of a claim that it decides of the guide, or, where nothing has to be
    /// found, because every run tells.
    ///
    /// # Errors
    /// Usage failures: a plan that cannot be read, and claims of which no scenario can decide any.
    pub fn answer_for(
        &mut self,
        own: &[Claim],
        guide: &[Claim],
        file: &str,
    ) -> Result<(), Failure> {
        for scenario in &mut self.scenarios {
            let within =
                |failure: Failure| failure.within(&format!("scenario \"{}\"", scenario.id));
            let plan = scenario.plan_as_written().map_err(within)?;
            let steps: BTreeSet<&str> = plan.iter().flat_map(Plan::ids).collect();
            let of_guide = guide.iter().filter(|claim| scenario.claims.contains(&claim.id));
            let metrics: Vec<_> = of_guide.map(|claim| &claim.metric).collect();
            // Where something must be found, whatever speaks of every run is refuted on purpose.
            let whatever = scenario.must_find.is_empty();
            let decides = |claim: &&Claim| {
                let needed = claim.steps(|step| steps.contains(step));
                let its_steps = needed.iter().all(|step| steps.contains(step.as_str()));
                let meant = !claim.scenario.is_empty()
                    || scenario.claims.contains(&claim.id)
                    || metrics.contains(&&claim.metric)
                    || (whatever && claim.metric.is_of_any_run());
                let by_a_run = claim.metric.is_tested_here() && claim.metric.scenarios().is_empty();
                by_a_run && its_steps && meant && scenario.max_rate.is_none()
            };
            let claims: Vec<_> = own.iter().filter(decides).map(|it| it.id.clone()).collect();
            scenario.claims = claims;
        }
        let of_several = |claim: &Claim| {
            let names = claim.metric.scenarios();
            let has = |name: &&str| self.scenarios.iter().any(|it| it.id == **name);
            !names.is_empty() && names.iter().all(has)
        };
        if self.scenarios.iter().any(|it| !it.claims.is_empty()) || own.iter().any(of_several) {
            return Ok(());
        }
        let why = format!("no scenario of suite `{}` can decide any claim of {file}", self.name);
        Err(Failure::usage(why).with_cure(
            "claims name steps of a plan, or scenarios; `kbench list claims` shows by what they are measured",
        ))
    }
}

/// There is no such claim.
pub(super) fn unknown_claim(id: &str, all: &[Claim]) -> Failure {
    let meant = did_you_mean(&nearest(id, all.iter().map(|claim| claim.id.as_str())));
    let listed = "`kbench list claims` shows the guide's";
    let cure = meant.map_or(listed.to_owned(), |meant| format!("{meant} {listed}"));
    Failure::usage(format!("there is no claim `{id}`")).with_cure(cure)
}

#[cfg(test)]
mod tests;
