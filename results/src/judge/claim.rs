//! Claims as data: a sentence that somebody wrote, and how kbench tests it.
//!
//! Parsing is strict: an unknown key, an impossible bound, a missing scenario is an error with
//! file, line and column. Judging is in [`judge`].

mod applies;
mod guarantee;
pub mod judge;
mod measure;
mod proof;

use std::collections::BTreeSet;
use std::ops::Range;

use serde::{Deserialize, Serialize};
use toml::Spanned;

use crate::record::event::{Detection, Effect, Takes};

pub use judge::{ClaimResult, Measured, Outcome, TrialFacts, judge};

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
    /// What is measured.
    pub metric: Metric,
    /// Shortest and longest time stated, in seconds. Times only.
    #[serde(default)]
    pub stated_s: Option<[f64; 2]>,
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

/// What a claim is measured by.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Metric {
    /// Time from the fault to another controller.
    ControllerFailover,
    /// The part of it after the dead controller's registration is gone.
    ControllerElection,
    /// Longest unavailability of the main topic's partitions that the dead broker led.
    UnavailabilityLed,
    /// Longest unavailability of partitions that it did not lead, for one kind of client.
    UnavailabilityNotLed(LeaderService),
    /// The part of an unavailability of partitions that the dead broker led from their new leader and copies on.
    NewLeaderServes,
    /// Named checks find nothing.
    Checks(Vec<String>),
    /// The same, and the sentence speaks of acks=all only.
    ChecksAcksAll(Vec<String>),
    /// At least so many members of every ISR are alive all the time.
    MinIsrCopies(usize),
    /// Named checks find nothing, and every member that a fault made resume was seen to do so at the commit.
    ResumeAtCommitted(Vec<String>),
}

/// What is asked of a leader.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum LeaderService {
    /// Writes that wait for the whole ISR: the main load.
    AcksAll,
    /// Writes that wait for the leader: the probe.
    #[serde(rename = "acks-1")]
    Acks1,
    /// Reads: the read probe.
    Reads,
}

impl Metric {
    /// Whether it is a time, to be compared with a bound.
    pub fn is_time(&self) -> bool {
        match self {
            Self::ControllerFailover
            | Self::ControllerElection
            | Self::UnavailabilityLed
            | Self::NewLeaderServes
            | Self::UnavailabilityNotLed(_) => true,
            Self::Checks(_)
            | Self::ChecksAcksAll(_)
            | Self::MinIsrCopies(_)
            | Self::ResumeAtCommitted(_) => false,
        }
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
    let needs_step = claim.metric.is_time() || matches!(claim.metric, Metric::MinIsrCopies(_));
    if needs_step && claim.scenario.is_empty() {
        return Some("scenario is empty; name the plan's steps that test it".to_owned());
    }
    match &claim.metric {
        Metric::Checks(names) | Metric::ChecksAcksAll(names) | Metric::ResumeAtCommitted(names)
            if names.is_empty() =>
        {
            Some("names no check; list at least one, e.g. [\"lost\"]".to_owned())
        }
        _ if claim.min_trials == 0 || claim.min_trials_if_close == 0 => {
            Some("no trials are asked for; use at least 1".to_owned())
        }
        _ => None,
    }
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
    fn the_guide_is_well_formed_and_complete() {
        let claims = guide().unwrap();
        let ids: Vec<&str> = claims.iter().map(|c| c.id.as_str()).collect();
        assert_eq!(
            ids,
            [
                "controller-failover",
                "controller-election",
                "leader-failover",
                "takes-over-immediately",
                "new-leader-serves",
                "both-failover",
                "leaders-serve-uninterrupted-acks-all",
                "leaders-serve-uninterrupted-acks-1",
                "leaders-serve-uninterrupted-reads",
                "order-within-partition",
                "no-acked-loss",
                "two-copies-remain",
                "consumers-resume",
            ]
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
    }
}
