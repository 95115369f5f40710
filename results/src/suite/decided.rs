//! Claims that runs decide by themselves: by those of all scenarios that name them, the worst one first.

use std::collections::BTreeMap;

use super::{DecidedClaim, Decision, ScenarioAsked, ScenarioRun, SuiteMeta, several};
use crate::judge::claim::{Claim, ClaimResult, Outcome, judge};
use crate::terminal::counted;

/// A claim by the runs of all scenarios of the suite that decide it.
pub(super) fn decided(
    claim: &Claim,
    runs: &[(ScenarioAsked, ScenarioRun)],
    suite: &SuiteMeta,
) -> DecidedClaim {
    if !claim.metric.scenarios().is_empty() {
        return several::decided(claim, runs, suite);
    }
    let own = suite.has_own_claims();
    let named = || runs.iter().filter(|(asked, _)| asked.claims.contains(&claim.id));
    let allowed = |(_, run): &&(_, ScenarioRun)| !matches!(run, ScenarioRun::NotAllowed(_));
    let not_allowed: Vec<_> = named().filter(|it| !allowed(it)).collect();
    let mut deciding: Vec<_> = named().filter(allowed).collect();
    if deciding.is_empty() {
        deciding.clone_from(&not_allowed);
    }
    // Judged over nothing: as the claim stands where no run says anything.
    let nothing = judge(claim, &[]);
    if deciding.is_empty() || !claim.metric.is_tested_here() {
        return match claim.metric.is_tested_here() {
            true => undecided_here(nothing, own, "a scenario that decides it"),
            false => {
                let claim = ClaimResult { outcome: Outcome::NotTested, tested: false, ..nothing };
                DecidedClaim { claim, figure: String::new(), by: vec![] }
            }
        };
    }
    let of_run = |(asked, run): &&(ScenarioAsked, ScenarioRun)| {
        let open = |why: String| ClaimResult { reason: why, tested: true, ..nothing.clone() };
        let (dir, result) = match run {
            ScenarioRun::Finished(dir, report) => {
                let told = report.claims.iter().find(|it| it.id == claim.id).cloned();
                let none = || open(format!("the run of scenario {} was not asked", asked.id));
                (Some(dir.clone()), told.unwrap_or_else(none))
            }
            ScenarioRun::Searched(_) => {
                (None, open(format!("scenario {} is a search of the highest rate", asked.id)))
            }
            ScenarioRun::Failed(..) | ScenarioRun::Missing => {
                (None, open(format!("scenario {} has no finished run", asked.id)))
            }
            ScenarioRun::NotAllowed(why) => (None, open(not_carried_out(&asked.id, why))),
        };
        let outcome = result.outcome;
        (Decision { scenario: asked.id.clone(), run: dir, outcome }, result)
    };
    let mut results: Vec<(Decision, ClaimResult)> = deciding.iter().map(of_run).collect();
    // Which scenarios test a user's claim is kbench's guess: one whose run turns out not to says nothing about it.
    if own && results.iter().any(|(_, result)| result.tested) {
        results.retain(|(_, result)| result.tested || result.outcome == Outcome::Refuted);
    }
    let (by, results): (Vec<_>, Vec<_>) = results.into_iter().unzip();
    let worst = [Outcome::Refuted, Outcome::NotTested, Outcome::Undecided, Outcome::Holds];
    let rank = |result: &&ClaimResult| worst.iter().position(|it| *it == result.outcome);
    // The first of the worst ones tells.
    let Some(first) = results.iter().min_by_key(rank) else {
        return DecidedClaim { claim: nothing, figure: String::new(), by };
    };
    let mut deciding = first.clone();
    if deciding.outcome == Outcome::Holds && results.len() > 1 {
        deciding.examined = BTreeMap::new();
        for (what, n) in results.iter().flat_map(|result| &result.examined) {
            *deciding.examined.entry(what.clone()).or_default() += n;
        }
        deciding.reason = match deciding.examined.is_empty() {
            true => {
                let each = by.iter().zip(&results);
                let each = each.map(|(by, result)| format!("{}: {}", by.scenario, result.reason));
                each.collect::<Vec<_>>().join("; ")
            }
            false => format!("{} examined, none wrong", examined(&deciding)),
        };
    }
    if by.iter().any(|by| by.run.is_some()) && !not_allowed.is_empty() {
        let ids: Vec<_> = not_allowed.iter().map(|(asked, _)| asked.id.as_str()).collect();
        // What every run tells holds by those that there are; anything else by all that are meant to decide it.
        if deciding.outcome == Outcome::Holds && !claim.metric.is_of_any_run() {
            deciding.outcome = Outcome::Undecided;
        }
        deciding.reason =
            format!("{}; not carried out on this cluster: {}", deciding.reason, ids.join(", "));
    }
    let faults = by.iter().filter_map(|by| {
        let run = runs.iter().find(|(asked, _)| asked.id == by.scenario);
        run.and_then(|(_, run)| match run {
            ScenarioRun::Finished(_, report) => Some(report.faults.len()),
            _ => None,
        })
    });
    let figure = figure(&deciding, faults.sum());
    DecidedClaim { claim: deciding, figure, by }
}

/// A claim that the suite lacks something for: of the guide it is not tested here, of a user's own claims undecided.
pub(super) fn undecided_here(nothing: ClaimResult, own: bool, lacking: &str) -> DecidedClaim {
    let (outcome, reason) = match own {
        true => (Outcome::Undecided, format!("this suite does not have {lacking}")),
        false => (Outcome::NotTested, format!("{lacking}, which this suite does not have")),
    };
    let claim = ClaimResult { outcome, tested: false, reason, ..nothing };
    DecidedClaim { claim, figure: String::new(), by: vec![] }
}

/// What a claim's reason is where the suite's cluster does not allow a scenario.
pub(super) fn not_carried_out(scenario: &str, why: &str) -> String {
    format!("scenario {scenario} was not carried out on this cluster: {why}")
}

/// What was measured, in words; of a guarantee what was examined, and how rare what was not found is at the most.
fn figure(claim: &ClaimResult, faults: usize) -> String {
    if let Some(measured) = claim.measured_s.as_ref().filter(|measured| measured.n > 0) {
        let response = measured.longest_response_s.filter(|_| measured.uninterrupted == measured.n);
        if let Some(response) = response {
            return format!(
                "no gap; longest response {:.0} ms (n = {})",
                response * 1e3,
                measured.n
            );
        }
        let show = |value: Option<f64>| value.map_or("?".to_owned(), |s| format!("{s:.2}"));
        let open = match measured.censored {
            0 => String::new(),
            n => format!(", {n} did not end"),
        };
        return match measured.n {
            1 => format!("{} s (n = 1{open})", show(measured.max)),
            n => format!(
                "{} s (n = {n}, {} to {}{open})",
                show(measured.median),
                show(measured.min),
                show(measured.max)
            ),
        };
    }
    match claim.outcome {
        Outcome::Holds if claim.examined.is_empty() => return claim.reason.clone(),
        Outcome::Holds => {}
        Outcome::Refuted | Outcome::Undecided | Outcome::NotTested => return String::new(),
    }
    let over = match faults {
        0 => String::new(),
        n => format!(", over {}", counted(n as u64, "fault")),
    };
    let rare = claim.examined.get("records").map(|n| {
        // With probability 95 % none of n is found where a share of more than this is wrong.
        let below = |n: f64| 1.0 - 0.05_f64.powf(1.0 / n);
        let records = format!("; at 95 % below {:.3} per million records", below(*n as f64) * 1e6);
        // Records of one fault share its fate, and say less than as many that are independent.
        match faults {
            0 => records,
            n => format!("{records}, and below {:.1} % of faults", below(n as f64) * 100.0),
        }
    });
    let none = if rare.is_some() { "0 of " } else { "" };
    format!("{none}{}{over}{}", examined(claim), rare.unwrap_or_default())
}

/// What was examined, in words.
fn examined(claim: &ClaimResult) -> String {
    let all = claim.examined.iter().map(|(what, n)| counted(*n, what.trim_end_matches('s')));
    all.collect::<Vec<_>>().join(", ")
}
