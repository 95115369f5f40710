//! A suite: scenarios, each of which is a run, and the claims that they decide. Whether they can be carried out is seen
//! when each is resolved as any run is.

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

use super::{Mistake, RunSpec, SearchSpec, Spec};
use crate::failure::Failure;
use crate::nearest::{did_you_mean, nearest};

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
    /// Whether nothing else may run beside it: the highest rate is a question about the whole machine.
    pub fn is_alone(&self) -> bool {
        self.max_rate.is_some()
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

    /// As arguments of `kbench run`, without the claims.
    pub fn arguments(&self) -> Vec<String> {
        let mut all = vec![];
        let mut add = |option: &str, value: &str| all.extend([option, value].map(str::to_owned));
        add("--workload", &self.workload);
        // A search says so by itself.
        if self.max_rate.is_none() {
            add("--faults", &self.plan);
        }
        if self.cluster != "local" {
            add("--cluster", &self.cluster);
        }
        self.set.iter().for_each(|set| add("--set", set));
        self.duration.iter().for_each(|duration| add("--duration", duration));
        if self.trials > 1 {
            add("--trials", &self.trials.to_string());
        }
        all
    }

    /// The command that carries it out by itself.
    pub fn command(&self) -> String {
        let arguments = self.arguments();
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

    /// Whether a run with this spec can decide the claims that the scenario is to decide.
    ///
    /// # Errors
    /// A usage failure for a claim that is not among `all`, that nothing measures, or that needs another step.
    pub fn can_decide(&self, all: &[Claim], spec: &RunSpec) -> Result<(), Failure> {
        let steps: BTreeSet<&str> = spec.plan.iter().flat_map(Plan::ids).collect();
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

/// There is no such claim.
pub(super) fn unknown_claim(id: &str, all: &[Claim]) -> Failure {
    let meant = did_you_mean(&nearest(id, all.iter().map(|claim| claim.id.as_str())));
    let listed = "`kbench list claims` shows the guide's";
    let cure = meant.map_or(listed.to_owned(), |meant| format!("{meant} {listed}"));
    Failure::usage(format!("there is no claim `{id}`")).with_cure(cure)
}

#[cfg(test)]
mod tests {
    use results::judge::claim::Metric;

    use super::*;
    use crate::cluster::local::sandbox::Mode;
    use crate::series::search;
    use crate::spec::{Request, guide, load, parse};
    use crate::topology::LinksSpec;

    fn refused(text: &str) -> String {
        parse::<RunSuite>(text).unwrap_err().0
    }

    #[test]
    fn each_claim_that_something_measures_is_decided_by_the_guide_s_suite() {
        let claims = guide().unwrap();
        let suite: RunSuite = load("guide", &[]).unwrap();
        let decided: BTreeSet<_> = suite.scenarios.iter().flat_map(|it| &it.claims).collect();
        let there: BTreeSet<_> = suite.scenarios.iter().map(|it| it.id.as_str()).collect();
        // The hour has no room for one of two searches of a claim, which the other one may refute by itself.
        const LEFT: &str = "capacity-4-of-5";
        let larger: RunSuite = load("pre-scaling", &[]).unwrap();
        assert!(larger.scenarios.iter().any(|it| it.id == LEFT) && !there.contains(LEFT));
        let left: Vec<_> = claims
            .iter()
            .filter(|claim| claim.metric.is_tested_here())
            .filter(|claim| match claim.metric.scenarios().as_slice() {
                [] => !decided.contains(&claim.id),
                names => names.iter().any(|name| !there.contains(name) && *name != LEFT),
            })
            .map(|claim| &claim.id)
            .collect();
        assert!(left.is_empty(), "no scenario decides {left:?}");
    }

    #[test]
    fn the_shipped_suites_can_decide_what_they_say_and_the_quick_one_is_quick() {
        let claims = guide().unwrap();
        for (name, _) in RunSuite::shipped() {
            let suite: RunSuite = load(name, &[]).unwrap();
            assert_eq!(suite.name, *name);
            let mut whole = Duration::ZERO;
            for scenario in &suite.scenarios {
                // Without its plan, so that no machine lacks what it takes.
                // Of links that are limited, as these are, where the machine can.
                let (links, set): (Vec<_>, Vec<_>) =
                    scenario.set.iter().cloned().partition(|it| it.starts_with("cluster.links"));
                let rate = |it: &String| match it.as_str() {
                    "cluster.links.rate=2 MB/s" => 2_000_000,
                    "cluster.links.rate=500 kB/s" => 500_000,
                    other => panic!("{other}"),
                };
                let request = Request {
                    set,
                    trials: scenario.trials,
                    mode: Some(Mode::Loopback),
                    ..Request::of(&scenario.workload, "none", &scenario.cluster)
                };
                let mut spec = request.resolve().unwrap().spec;
                spec.cluster.links = links.first().map(|it| LinksSpec { rate: rate(it) });
                spec.plan = match scenario.plan.as_str() {
                    "none" => None,
                    plan => Some(load(plan, &[]).unwrap()),
                };
                scenario.can_decide(&claims, &spec).unwrap();
                whole += match &scenario.max_rate {
                    None => spec.expected_trial() * scenario.trials,
                    Some(search) => search::expected(&search.into(), &spec),
                };
            }
            let limit = match *name {
                "guide-quick" => 300,
                "guide" => 3600,
                _ => 85 * 60,
            };
            assert!(whole.as_secs() <= limit, "{name} takes {whole:?}");
        }
    }

    #[test]
    fn mistakes_are_told() {
        let head = "name = \"x\"\ndescription = \"d\"\n";
        let of = |body: &str| refused(&format!("{head}[[scenario]]\n{body}\n"));
        assert!(of("id = \"a/b\"").contains("hyphens"));
        assert!(of("id = \"a\"\ntrials = 0").contains("trials"));
        assert!(of("id = \"a\"\nduration = \"x\"").contains("duration"));
        assert!(of("id = \"a\"\nmust_find = [\"lots\"]").contains("no check `lots`"));
        assert!(of("id = \"a\"\n[[scenario]]\nid = \"a\"").contains("twice"));
        assert!(of("id = \"a\"\nfaults = \"x\"").contains("faults"));
        assert!(refused("name = \"x\"\ndescription = \"d\"\nscenario = []\n").contains("1 to"));
        let search = "id = \"a\"\nmax_rate = { from = 1, to = 9 }";
        let text = |more: &str| format!("{head}[[scenario]]\n{search}\n{more}\n");
        let whole: RunSuite = parse(&text("")).unwrap();
        let command = whole.scenarios[0].command();
        let ends =
            "--from 1 --to 9 --precision 2 --step 10s --hold 30s --rounds 0 -- --workload 1k-msg-s";
        assert!(
            command.starts_with("kbench max-rate --objective ") && command.ends_with(ends),
            "{command}"
        );
        assert!(of("id = \"a\"\nmax_rate = { from = 9, to = 9 }").contains("the lower one first"));
        for (more, words) in [
            ("plan = \"failover\"", "without faults"),
            ("duration = \"9s\"", "how long its runs are"),
            ("trials = 2", "how long its runs are"),
            ("claims = [\"plus-67\"]", "name it by their metric"),
            ("must_find = [\"lost\"]", "looks for no check"),
        ] {
            let why = refused(&text(more));
            assert!(why.contains(words), "{more}: {why}");
        }
    }

    #[test]
    fn a_scenario_is_refused_what_it_cannot_decide() {
        let mut claims = guide().unwrap();
        let unmeasured = claims.iter_mut().find(|claim| claim.id == "msg-rate");
        unmeasured.unwrap().metric = Metric::NotTestedHere("more".to_owned());
        let spec = |plan: &str| Request::of("smoke", plan, "local").resolve().unwrap().spec;
        let scenario = |plan: &str, claim: &str| {
            let text = format!(
                "name = \"x\"\ndescription = \"d\"\n[[scenario]]\nid = \"a\"\nplan = \"{plan}\"\nclaims = [\"{claim}\"]"
            );
            parse::<RunSuite>(&text).unwrap().scenarios.remove(0)
        };
        let asked =
            |plan: &str, claim: &str| scenario(plan, claim).can_decide(&claims, &spec(plan));
        // By the steps of one of two plans.
        for (plan, claim) in [("failover", "leader-failover"), ("minorities-lost", "seven-three")] {
            assert!(asked(plan, claim).is_ok(), "{plan} {claim}");
        }
        for (plan, claim, words) in [
            ("none", "leader-failover", "needs step \"leader\""),
            ("none", "seven-three", "needs step \"three-nodes\""),
            ("none", "leader-failovr", "no claim"),
            ("none", "msg-rate", "nothing measures"),
            ("none", "plus-67", "the scenarios that its metric names"),
        ] {
            let why = asked(plan, claim).unwrap_err().to_string();
            assert!(why.contains(words), "{why}");
        }
        assert_eq!(
            scenario("failover", "leader-failover").command(),
            "kbench run --workload 1k-msg-s --faults failover"
        );
    }
}
