//! Judges a claim over all trials.
//!
//! A time: *refuted* when one usable trial lies beyond the upper bound, censored trials included (where the sentence
//! says what is typical: when their median does);
//! *undecided* when any trial is unusable (interrupted, invalid, its fault unproven, its step
//! missing, its clients' record broken off), when a partition was away several times, for longer than the
//! bound in sum though not at once, a censored trial has not passed the bound, or there are too
//! few; else *holds*. Where the settings predict times on both sides of the bound, more trials are
//! asked for. Below
//! the lower bound it holds and is marked faster than stated. A guarantee: *refuted* when any check
//! found a violation, even in a run that is otherwise worth little; *undecided* when anything could
//! not be checked in full or nothing was looked at; else *holds*.

use std::cmp::Ordering;
use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::judge::disturbance::Disturbance;
use crate::judge::recovery::{Phases, Recovery, StreamKind};
use crate::judge::span::FaultSpan;
use crate::judge::verdict::Check;
use crate::record::environment::Environment;
use crate::terminal::counted;

use super::applies::{another_cluster, not_applicable};
use super::corrected;
use super::guarantee::{Examination, guarantee};
use super::measure::{Figure, figure, proven_step};
use super::measured::{ClaimedOutages, Measured, TrialTime};
use super::proof::Proof;
use super::{Claim, ClusterSeen, Metric, TrialsHeld};

/// What judging needs to know of one trial.
#[derive(Debug, Clone)]
pub struct TrialFacts {
    /// Number of the trial, from 1.
    pub number: u32,
    /// Where it ran.
    pub environment: Environment,
    /// Why nothing that it measured counts: interrupted, or invalid as a run.
    pub unusable: Option<String>,
    /// Faults that were injected.
    pub faults: Vec<FaultSpan>,
    /// Steps that were not carried out, and why.
    pub skipped: Vec<(String, String)>,
    /// Recovery figures.
    pub recovery: Recovery,
    /// Checks of the history.
    pub checks: Vec<Check>,
    /// What disturbed it and was no part of its plan.
    pub disturbances: Vec<Disturbance>,
    /// Whether all producers of the main load used acks=all.
    pub acks_all: bool,
    /// Whether no producer of the main load asked for acks.
    pub no_acks: bool,
    /// Whether all producers of the main load were idempotent.
    pub idempotent: bool,
    /// Kinds of clients of which a record breaks off, or is wrong, in words.
    pub cut: BTreeMap<StreamKind, String>,
    /// Whether the record of a group's member breaks off.
    pub cut_group: bool,
    /// What was seen of the cluster itself, and of its log.
    pub(crate) seen: ClusterSeen,
}

/// How a claim stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum Outcome {
    /// Every trial is within it.
    Holds,
    /// At least one trial is beyond it.
    Refuted,
    /// The trials do not say.
    Undecided,
    /// Nothing measures it; the reason is what would be needed.
    NotTested,
}

impl Outcome {
    /// The outcome as it is written in reports.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Holds => "holds",
            Self::Refuted => "refuted",
            Self::Undecided => "undecided",
            Self::NotTested => "not tested here",
        }
    }
}

/// A claim and its judgement.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct ClaimResult {
    /// Id of the claim.
    pub id: String,
    /// The sentence.
    pub text: String,
    /// Where it is written.
    pub source: String,
    /// The sentence made exact.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reading: Option<String>,
    /// The mechanism or setting behind the outcome.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mechanism: Option<String>,
    /// The sentence that is true in its place, with the measured figures; only where it is refuted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub corrected: Option<String>,
    /// How much was examined for a guarantee that was kept, by what it is called.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub examined: BTreeMap<String, u64>,
    /// Shortest and longest time stated; none for guarantees.
    pub stated_s: Option<[f64; 2]>,
    /// Interval predicted from the settings in force, over all trials; none without a formula.
    pub predicted_s: Option<[f64; 2]>,
    /// How the prediction comes about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub formula: Option<String>,
    /// What was measured; none for guarantees.
    pub measured_s: Option<Measured>,
    /// The outages whose length it states; none for guarantees, and for times of something else.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub outages: Option<ClaimedOutages>,
    /// Where the median's time went: the phases of the middle trial, or the mean of the two middle ones.
    pub phases_s: Option<Phases>,
    /// What the phases do not explain of the median: from healing on, or beside what was not seen.
    pub phase_rest_s: Option<f64>,
    /// Judgement.
    pub outcome: Outcome,
    /// Whether it holds with a trial below the lower bound.
    pub faster_than_stated: bool,
    /// Whether a trial lies outside the predicted interval: a finding of its own.
    pub outside_prediction: bool,
    /// Whether the run's plan has what tests the claim.
    pub tested: bool,
    /// The judgement in words.
    pub reason: String,
}

/// Judges one claim over all trials.
pub fn judge(claim: &Claim, trials: &[TrialFacts]) -> ClaimResult {
    let missing = missing(claim, trials);
    let mut result = ClaimResult {
        id: claim.id.clone(),
        text: claim.text.clone(),
        source: claim.source.clone(),
        reading: claim.reading.clone(),
        mechanism: claim.mechanism.clone(),
        corrected: None,
        examined: BTreeMap::new(),
        stated_s: claim.stated_s,
        predicted_s: None,
        formula: None,
        measured_s: None,
        outages: None,
        phases_s: None,
        phase_rest_s: None,
        outcome: Outcome::Undecided,
        faster_than_stated: false,
        outside_prediction: false,
        tested: missing.is_empty(),
        reason: String::new(),
    };
    if let Metric::NotTestedHere(needs) = &claim.metric {
        let (outcome, reason) = (Outcome::NotTested, needs.clone());
        return ClaimResult { outcome, reason, tested: false, ..result };
    }
    if let Some(reason) = another_cluster(claim, trials) {
        return ClaimResult { reason, tested: false, ..result };
    }
    match claim.stated_s {
        Some(stated) => judge_time(claim, stated, trials, &mut result),
        None => judge_guarantee(claim, trials, &mut result),
    }
    let all_usable = trials.iter().all(|trial| trial.unusable.is_none());
    let refuted = result.outcome == Outcome::Refuted;
    let template = claim.corrected.as_ref().filter(|_| refuted);
    result.corrected = template.and_then(|it| corrected::filled(it, &result, trials));
    if let Some(why) = not_applicable(claim, trials).filter(|_| !refuted) {
        (result.tested, result.reason) = (false, why);
    } else if result.outcome == Outcome::Undecided && !result.tested && all_usable {
        let mut faults = trials.iter().flat_map(|trial| &trial.faults);
        let other = faults.any(|fault| missing.contains(&fault.id.as_str()));
        let steps = missing.join("\", \"");
        let of = if other { " with a fault that the claim speaks of" } else { "" };
        result.reason = format!("this run's plan does not test it: it needs step \"{steps}\"{of}");
    }
    result
}

/// The steps and changes of the claim that no trial's plan has.
fn missing<'a>(claim: &'a Claim, trials: &[TrialFacts]) -> Vec<&'a str> {
    let of_changes = matches!(claim.metric, Metric::ScaleOut(_));
    let has = |trial: &TrialFacts, step: &str| {
        let mut changes = trial.seen.changes.all.iter().filter(|_| of_changes);
        trial.faults.iter().any(|f| f.id == step && claim.speaks_of(&f.effect))
            || trial.skipped.iter().any(|(id, _)| id == step)
            || changes.any(|change| change.began.1.change == step)
    };
    let steps = claim.scenario.iter().map(String::as_str);
    steps.filter(|step| !trials.iter().any(|trial| has(trial, step))).collect()
}

fn judge_time(claim: &Claim, [low, high]: [f64; 2], trials: &[TrialFacts], out: &mut ClaimResult) {
    let (mut figures, mut each): (Vec<Figure>, Vec<TrialTime>) = (vec![], vec![]);
    let mut reasons = Reasons::default();
    for trial in trials {
        match usable_figure(claim, trial) {
            Ok(figure) => {
                let Figure { seconds, censored, .. } = figure;
                each.push(TrialTime { trial: trial.number, seconds, censored });
                figures.push(figure);
            }
            Err(reason) => reasons.add(trial, reason),
        }
    }
    out.outages = ClaimedOutages::of(claim, trials);
    // A lower bound may be anything above: those come last.
    figures.sort_by(|a, b| {
        (a.censored, a.seconds).partial_cmp(&(b.censored, b.seconds)).unwrap_or(Ordering::Equal)
    });
    describe(&figures, each, out);
    let close = out.predicted_s.is_some_and(|[low, longest]| low <= high && high < longest);
    let wanted =
        if close { claim.min_trials_if_close.max(claim.min_trials) } else { claim.min_trials };
    let of_median = claim.of == TrialsHeld::Median;
    // The two middle ones: one and the same when there is an odd number.
    let (half, all) = (figures.len() / 2, figures.len());
    let held = if of_median {
        &figures[all.saturating_sub(1) / 2..(half + 1).min(all)]
    } else {
        &figures[..]
    };
    let mean = held.iter().map(|f| f.seconds).sum::<f64>() / held.len().max(1) as f64;
    let enough = !of_median || all >= claim.min_trials as usize;
    let beyond = match of_median {
        true => usize::from(mean > high && enough),
        false => figures.iter().filter(|f| f.seconds > high).count(),
    };
    let open = held.iter().filter(|f| f.censored).count();
    (out.outcome, out.reason) = if beyond > 0 {
        let how = match of_median {
            true => {
                format!("the median of {} is longer than {high} s", counted(all as u64, "trial"))
            }
            false => format!("{} took longer than {high} s", of_trials(beyond, all)),
        };
        (Outcome::Refuted, how)
    } else if !reasons.0.is_empty() {
        (Outcome::Undecided, reasons.text(trials))
    } else if open > 0 {
        let how = format!("{} ended before recovery did", of_trials(open, figures.len()));
        (Outcome::Undecided, how)
    } else if figures.len() < wanted as usize {
        let why =
            if close { ": the settings predict times on both sides of the bound" } else { "" };
        let needed = counted(wanted.into(), "trial");
        let how = format!("{} of {needed} that it needs{why}", figures.len());
        (Outcome::Undecided, how)
    } else {
        let faster = figures.iter().filter(|f| f.seconds < low).count();
        out.faster_than_stated = faster > 0;
        let within = match of_median {
            true => format!("the median of {} within {high} s", counted(all as u64, "trial")),
            false => format!("{} within {high} s", of_trials(all, all)),
        };
        let sooner = format!(", {} faster than the {low} s stated", of_trials(faster, all));
        (Outcome::Holds, if faster > 0 { within + &sooner } else { within })
    };
}

/// The worst figure over the claim's steps.
fn usable_figure(claim: &Claim, trial: &TrialFacts) -> Result<Figure, String> {
    if let Some(reason) = &trial.unusable {
        return Err(reason.clone());
    }
    let mut worst: Option<Figure> = None;
    for step in &claim.scenario {
        let figure = figure(trial, claim, step)?;
        if worst.as_ref().is_none_or(|w| w.seconds < figure.seconds) {
            let censored = figure.censored || worst.is_some_and(|w| w.censored);
            worst = Some(Figure { censored, ..figure });
        } else if figure.censored
            && let Some(worst) = &mut worst
        {
            worst.censored = true;
        }
    }
    worst.ok_or_else(|| "the claim names no step".to_owned())
}

/// Between formulas of trials that differ.
const OR: &str = "; or ";

fn describe(figures: &[Figure], each: Vec<TrialTime>, out: &mut ClaimResult) {
    let n = figures.len();
    let seconds = |index: usize| figures.get(index).map(|f| f.seconds);
    // The two middle ones: one and the same when n is odd.
    let middle = figures.get(n.saturating_sub(1) / 2).zip(figures.get(n / 2));
    let exact = middle.filter(|(a, b)| n == 1 || !(a.censored || b.censored));
    let uninterrupted = figures.iter().filter(|f| f.uninterrupted());
    let responses = uninterrupted.filter_map(|f| f.longest_response);
    out.measured_s = Some(Measured {
        n,
        min: seconds(0),
        median: exact.map(|(a, b)| f64::midpoint(a.seconds, b.seconds)),
        max: figures.iter().map(|f| f.seconds).reduce(f64::max),
        censored: figures.iter().filter(|f| f.censored).count(),
        uninterrupted: figures.iter().filter(|f| f.uninterrupted()).count(),
        longest_response_s: responses.reduce(f64::max),
        trials: each,
    });
    out.phases_s = middle.map(|(a, b)| a.phases.mean(&b.phases));
    out.phase_rest_s = middle.map(|(a, b)| rest(a, b));
    for figure in figures {
        let Some(prediction) = &figure.prediction else {
            continue;
        };
        let [low, high] = prediction.interval_s;
        let [l, h] = out.predicted_s.unwrap_or([low, high]);
        out.predicted_s = Some([l.min(low), h.max(high)]);
        // One of each kind of trial, as the interval is that of them all.
        out.formula = Some(match out.formula.take() {
            Some(so_far) if so_far.split(OR).any(|one| one == prediction.formula) => so_far,
            Some(so_far) => so_far + OR + &prediction.formula,
            None => prediction.formula.clone(),
        });
        out.outside_prediction |= prediction.excludes(figure.seconds, figure.censored);
    }
}

/// What the phases of the median do not explain of it; nothing where no gap has any.
fn rest(a: &Figure, b: &Figure) -> f64 {
    let gap = |figure: &Figure| !figure.phases.is_empty() || figure.rest != 0.0;
    if !gap(a) && !gap(b) {
        return 0.0;
    }
    a.phases.mean(&b.phases).rest_of(f64::midpoint(a.seconds, b.seconds))
}

fn judge_guarantee(claim: &Claim, trials: &[TrialFacts], out: &mut ClaimResult) {
    let (mut violated, mut open) = (Reasons::default(), Reasons::default());
    let mut kept: Option<Proof> = None;
    let mut usable = 0;
    for trial in trials {
        let finding = guarantee(claim, trial);
        match (finding, steps_proven(claim, trial)) {
            (Examination::Violated(what), _) => violated.add(trial, what),
            (Examination::Open(why), _) | (Examination::Kept(_), Err(why)) => open.add(trial, why),
            (Examination::Kept(what), Ok(())) => {
                usable += 1;
                kept = Some(match kept {
                    Some(before) => before.and(what),
                    None => what,
                });
            }
        }
    }
    (out.outcome, out.reason) = if !violated.0.is_empty() {
        (Outcome::Refuted, violated.text(trials))
    } else if !open.0.is_empty() {
        (Outcome::Undecided, open.text(trials))
    } else if usable < claim.min_trials.max(1) {
        let needed = counted(claim.min_trials.into(), "trial");
        (Outcome::Undecided, format!("{usable} of {needed} that it needs"))
    } else {
        out.examined = kept.as_ref().map(Proof::examined).unwrap_or_default();
        (Outcome::Holds, kept.map(|kept| kept.to_string()).unwrap_or_default())
    };
}

fn steps_proven(claim: &Claim, trial: &TrialFacts) -> Result<(), String> {
    if let Some(reason) = &trial.unusable {
        return Err(reason.clone());
    }
    if matches!(claim.metric, Metric::ScaleOut(_)) {
        // Of changes, which are no faults: what was seen of them is examined with them.
        return Ok(());
    }
    let all = trial.faults.iter().map(|fault| &fault.id);
    let steps: Vec<&String> =
        if claim.scenario.is_empty() { all.collect() } else { claim.scenario.iter().collect() };
    if let (true, Some((step, reason))) = (claim.scenario.is_empty(), trial.skipped.first()) {
        return Err(format!("step \"{step}\" was skipped: {reason}"));
    }
    steps.into_iter().try_for_each(|step| proven_step(trial, claim, step).map(|_| ()))
}

impl TrialFacts {
    pub(super) fn main_topic(&self) -> &str {
        &self.environment.settings.topic
    }
}

/// So many of the trials; "the trial" where there was one.
fn of_trials(some: usize, all: usize) -> String {
    if all == 1 { "the trial".to_owned() } else { format!("{some} of {all} trials") }
}

/// What trials say: each text once, with the numbers of those that say it.
#[derive(Default)]
struct Reasons(Vec<(String, Vec<u32>)>);

impl Reasons {
    fn add(&mut self, trial: &TrialFacts, text: String) {
        match self.0.iter_mut().find(|(known, _)| *known == text) {
            Some((_, said_by)) => said_by.push(trial.number),
            None => self.0.push((text, vec![trial.number])),
        }
    }

    fn text(&self, trials: &[TrialFacts]) -> String {
        let of_one = |(text, said_by): &(String, Vec<u32>)| match &said_by[..] {
            _ if trials.len() == 1 => text.clone(),
            all if all.len() == trials.len() => format!("each trial: {text}"),
            [number] => format!("trial {number}: {text}"),
            some => {
                let some: Vec<_> = some.iter().map(ToString::to_string).collect();
                format!("trials {}: {text}", some.join(", "))
            }
        };
        self.0.iter().map(of_one).collect::<Vec<_>>().join("; ")
    }
}
