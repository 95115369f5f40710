//! Claims as data: a sentence that somebody wrote, and how kbench tests it.
//!
//! Parsing is strict: an unknown key, an impossible bound, a missing scenario is an error with
//! file, line and column. Judging is in [`judge`].

mod applies;
mod changes;
mod corrected;
mod guarantee;
pub mod judge;
mod measure;
mod measured;
mod metric;
mod proof;
mod seen;

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use serde::{Deserialize, Serialize};
use toml::Spanned;

use crate::record::event::{Detection, Effect, Takes};

pub use changes::ChangeCost;
pub use judge::{ClaimResult, Outcome, TrialFacts, judge};
pub use measured::{ClaimedOutages, Measured, TrialTime};
pub use metric::{
    EnsembleLimit, FigureRatio, LeaderService, LeaderSpread, Metric, OneSide, RatePerBroker,
    RateRatio,
};
pub(crate) use seen::ClusterSeen;

/// The guide's claims, shipped with kbench.
pub const GUIDE: &str = include_str!("../../claims/guide.toml");

/// One claim.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "snake_case")]
pub struct Claim {
    /// Short name, unique in its file.
    pub id: String,
    /// The sentence.
    pub text: String,
    /// Where it is written.
    pub source: String,
    /// The sentence made exact: what it is judged by, in words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reading: Option<String>,
    /// Ids of the plan's steps that test it; empty when everything in a run does.
    #[serde(default)]
    pub scenario: Vec<String>,
    /// What a fault takes away that the sentence speaks of; empty for whatever it takes.
    #[serde(default)]
    pub takes: Vec<Takes>,
    /// How the cluster detects such a fault; empty for whatever way.
    #[serde(default)]
    pub detection: Vec<Detection>,
    /// The cluster that the sentence speaks of, where that is a certain one.
    #[serde(default, skip_serializing_if = "GivenCluster::is_any")]
    pub given: GivenCluster,
    /// What is measured.
    pub metric: Metric,
    /// The mechanism or setting behind the outcome, in a sentence.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mechanism: Option<String>,
    /// The sentence that is true in its place when it is refuted, with places for figures: see [`corrected`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub corrected: Option<String>,
    /// Shortest and longest time stated, in seconds. Times only.
    #[serde(default)]
    pub stated_s: Option<[f64; 2]>,
    /// What of the trials is held to the bound. Times only.
    #[serde(default, skip_serializing_if = "TrialsHeld::is_every")]
    pub of: TrialsHeld,
    /// Trials needed for a judgement.
    #[serde(default = "one")]
    pub min_trials: u32,
    /// Trials needed where the settings predict times on both sides of the bound: one that happens to
    /// lie within says little then.
    #[serde(default = "five")]
    pub min_trials_if_close: u32,
}

impl Claim {
    /// Whether the sentence speaks of faults of this effect.
    pub fn speaks_of(&self, effect: &Effect) -> bool {
        (self.takes.is_empty() || self.takes.contains(&effect.takes))
            && (self.detection.is_empty() || self.detection.contains(&effect.detection))
    }
}

/// A cluster that a sentence speaks of. Runs on another one say nothing about it.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GivenCluster {
    /// Number of its brokers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub brokers: Option<u32>,
    /// Replication factor of the load's topic.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub replication_factor: Option<u32>,
    /// Settings that its brokers have in force.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub settings: BTreeMap<String, String>,
}

impl GivenCluster {
    fn is_any(&self) -> bool {
        *self == Self::default()
    }
}

/// What of several trials is held to what is stated.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum TrialsHeld {
    /// Every one.
    #[default]
    Every,
    /// Their median: the sentence says what is typical.
    Median,
}

impl TrialsHeld {
    fn is_every(&self) -> bool {
        *self == Self::Every
    }
}

/// A file of claims cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{file}:{line}:{column}: {message}")]
pub struct ClaimsError {
    /// The file.
    pub file: String,
    /// Line, from 1.
    pub line: usize,
    /// Column, from 1.
    pub column: usize,
    /// What is wrong, and what would be right.
    pub message: String,
    /// The bytes of the file that it is about.
    pub span: Range<usize>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ClaimsFile {
    claim: Vec<Spanned<Claim>>,
}

fn one() -> u32 {
    1
}

fn five() -> u32 {
    5
}

/// Reads claims from TOML. `file` is only for error messages.
pub fn parse(file: &str, text: &str) -> Result<Vec<Claim>, ClaimsError> {
    let parsed: ClaimsFile = toml::from_str(text)
        .map_err(|e| error(file, text, e.span().unwrap_or(0..0), e.message().to_owned()))?;
    let mut ids = BTreeSet::new();
    let mut claims = Vec::new();
    for spanned in parsed.claim {
        let span = spanned.span();
        let claim = spanned.into_inner();
        if let Some(message) = fault_in(&claim) {
            return Err(error(file, text, span, format!("claim \"{}\": {message}", claim.id)));
        }
        if !ids.insert(claim.id.clone()) {
            let message = format!("claim \"{}\" is there twice; ids must be unique", claim.id);
            return Err(error(file, text, span, message));
        }
        claims.push(claim);
    }
    Ok(claims)
}

/// The guide's claims.
pub fn guide() -> Result<Vec<Claim>, ClaimsError> {
    parse("results/claims/guide.toml", GUIDE)
}

fn fault_in(claim: &Claim) -> Option<String> {
    if claim.id.trim().is_empty() {
        return Some("the id is empty; give it a short name".to_owned());
    }
    match (claim.metric.is_time(), claim.stated_s) {
        (true, None) => {
            return Some("a time needs stated_s = [shortest, longest], in seconds".to_owned());
        }
        (true, Some([low, high])) if !(0.0 <= low && low <= high && high.is_finite()) => {
            return Some(format!(
                "stated_s = [{low}, {high}] is no interval; write [shortest, longest], in seconds"
            ));
        }
        (false, Some(_)) => {
            return Some("a guarantee has no time; remove stated_s".to_owned());
        }
        _ => {}
    }
    if !claim.metric.is_time() && !claim.of.is_every() {
        return Some("only a time has a median; remove of".to_owned());
    }
    if claim.metric.is_of_steps() && claim.scenario.is_empty() {
        return Some("scenario is empty; name the plan's steps that test it".to_owned());
    }
    if claim.min_trials == 0 || claim.min_trials_if_close == 0 {
        return Some("no trials are asked for; use at least 1".to_owned());
    }
    claim.metric.fault().or_else(|| claim.corrected.as_deref().and_then(corrected::fault))
}

/// The sentence that is true in place of one that something else than a run refutes; none where it does not, or where
/// the sentence needs a figure of runs.
pub(crate) fn sentence(claim: &Claim, result: &ClaimResult) -> Option<String> {
    let template = claim.corrected.as_ref().filter(|_| result.outcome == Outcome::Refuted)?;
    corrected::filled(template, result, &[])
}

/// Those of the claims that a run with these steps says something about, whatever its cluster is.
pub fn for_steps<'a>(claims: Vec<Claim>, steps: impl IntoIterator<Item = &'a str>) -> Vec<Claim> {
    let steps: BTreeSet<&str> = steps.into_iter().collect();
    let tested = |claim: &Claim| {
        let any = claim.scenario.iter().any(|step| steps.contains(step.as_str()));
        any || (claim.scenario.is_empty() && claim.metric.is_of_any_run())
    };
    claims.into_iter().filter(|claim| claim.given.is_any()).filter(tested).collect()
}

fn error(file: &str, text: &str, span: Range<usize>, message: String) -> ClaimsError {
    let before = text.get(..span.start).unwrap_or(text);
    let line = before.matches('\n').count() + 1;
    let column = before.rsplit('\n').next().unwrap_or("").chars().count() + 1;
    ClaimsError { file: file.to_owned(), line, column, message, span }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_row_of_the_guide_s_claims_ships_and_says_what_it_means() {
        let claims = guide().unwrap();
        assert!(claims.len() > 50, "{} claims", claims.len());
        for claim in &claims {
            let id = &claim.id;
            assert!(claim.reading.is_some(), "{id}: no reading");
            assert!(claim.source.starts_with("Kafka Distributed Architecture Guide, "), "{id}");
            let unbounded = claim.corrected.is_none();
            assert!(!unbounded || !claim.metric.is_time(), "{id}: no corrected sentence");
        }
        let untested = claims.iter().filter(|claim| !claim.metric.is_tested_here()).count();
        assert_eq!(untested, 4, "not tested here");
    }

    #[test]
    fn a_run_is_asked_what_its_steps_can_tell() {
        let ids = |steps: &[&str]| {
            let claims = for_steps(guide().unwrap(), steps.iter().copied());
            claims.into_iter().map(|claim| claim.id).collect::<Vec<_>>()
        };
        assert!(ids(&["controller"]).contains(&"controller-failover".to_owned()));
        let of_any = ids(&[]);
        assert!(of_any.contains(&"no-acked-loss".to_owned()));
        assert!(!of_any.contains(&"controller-failover".to_owned()));
        assert!(!of_any.contains(&"msg-rate".to_owned()), "nothing measures it");
    }

    #[test]
    fn each_example_of_a_metric_is_one() {
        let kinds: BTreeSet<String> = Metric::EXAMPLES
            .iter()
            .map(|(example, _)| {
                let text = format!("metric = {example}");
                let table: toml::Table = text.parse().unwrap();
                let metric: Metric = table["metric"].clone().try_into().unwrap();
                format!("{metric:?}").split(['(', ' ']).next().unwrap().to_owned()
            })
            .collect();
        assert_eq!(kinds.len(), Metric::EXAMPLES.len(), "each once: {kinds:?}");
        let unknown = refused("metric = \"x\"\n");
        let named = unknown.matches('`').count() / 2;
        assert_eq!(
            named,
            kinds.len() + 1,
            "the metric that is not there, and the others: {unknown}"
        );
    }

    fn refused(body: &str) -> String {
        let head = "[[claim]]\nid = \"x\"\ntext = \"t\"\nsource = \"s\"\n";
        parse("my.toml", &format!("{head}{body}")).unwrap_err().to_string()
    }

    #[test]
    fn mistakes_are_told_with_their_place() {
        let typo = refused("metric = \"controller-failover\"\nstated = [0, 1]\n");
        assert!(typo.starts_with("my.toml:6:1: ") && typo.contains("stated_s"), "{typo}");
        let metric = refused("metric = \"controller-failovr\"\n");
        assert!(
            metric.contains("my.toml:5:10") && metric.contains("controller-failover"),
            "{metric}"
        );
        let bound = refused("metric = \"controller-failover\"\nscenario = [\"c\"]\n");
        assert!(bound.starts_with("my.toml:1:1: claim \"x\": a time needs"), "{bound}");
        let reversed =
            refused("metric = \"unavailability-led\"\nscenario = [\"c\"]\nstated_s = [9.0, 1.0]\n");
        assert!(reversed.contains("is no interval"), "{reversed}");
        let guarantee = refused("metric = { checks = [\"lost\"] }\nstated_s = [0.0, 1.0]\n");
        assert!(guarantee.contains("remove stated_s"), "{guarantee}");
        let untested = refused("metric = { not-tested-here = \" \" }\n");
        assert!(untested.contains("what would be needed"), "{untested}");
        let place = refused("metric = { checks = [\"lost\"] }\ncorrected = \"after {medain} s\"\n");
        assert!(place.contains("{medain}") && place.contains("{median}"), "{place}");
    }
}
