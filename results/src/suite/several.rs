//! Claims that no run decides by itself: they name scenarios of the suite, whose results are put side by side.

use super::decided::{not_carried_out, undecided_here};
use super::searched::{Limiting, MaxRate, shared_cores_taken};
use super::{DecidedClaim, Decision, ScenarioAsked, ScenarioRun, SuiteMeta};
use crate::judge::claim::{
    Claim, ClaimResult, FigureRatio, Metric, Outcome, RateRatio, judge, sentence,
};
use crate::judge::verdict::Verdict;
use crate::report::Report;

/// Judges a claim whose metric names scenarios of the suite.
pub(super) fn decided(
    claim: &Claim,
    runs: &[(ScenarioAsked, ScenarioRun)],
    suite: &SuiteMeta,
) -> DecidedClaim {
    let names = claim.metric.scenarios();
    let find = |name: &str| runs.iter().find(|(asked, _)| asked.id == name);
    let is_missing = |name: &&str| find(name).is_none();
    let nothing = judge(claim, &[]);
    let figures = claim.metric.figures();
    // What one figure decides is decided without the others; that it holds is not.
    if figures.iter().all(|names| names.iter().any(is_missing)) {
        let missing = names.into_iter().find(is_missing).unwrap_or_default();
        return undecided_here(nothing, suite.has_own_claims(), &format!("a scenario `{missing}`"));
    }
    let found = |name: &str| match find(name).map(|(_, run)| run) {
        Some(ScenarioRun::Searched(search)) if search.ended => Ok(&**search),
        Some(ScenarioRun::Searched(_)) => Err(format!("the search of scenario {name} did not end")),
        Some(ScenarioRun::Missing | ScenarioRun::Failed(..)) => {
            Err(format!("scenario {name} has no finished search"))
        }
        Some(ScenarioRun::NotAllowed(why)) => Err(not_carried_out(name, why)),
        Some(ScenarioRun::Finished(..)) => {
            Err(format!("scenario {name} is no search of the highest rate"))
        }
        None => Err(format!("scenario {name} is not in this suite")),
    };
    let finished = |name: &str| match find(name).map(|(_, run)| run) {
        Some(ScenarioRun::Finished(_, report)) => Ok(&**report),
        Some(ScenarioRun::NotAllowed(why)) => Err(not_carried_out(name, why)),
        Some(_) => Err(format!("scenario {name} has no finished run")),
        None => Err(format!("scenario {name} is not in this suite")),
    };
    let weighed: Vec<Weighed> = match &claim.metric {
        Metric::MaxRateRatios(ratios) => ratios
            .iter()
            .map(|it| both_known(found(&it.of), found(&it.to), |of, to| weigh_ratio(it, of, to)))
            .collect(),
        Metric::MaxRatePerBroker(bound) => vec![match found(&bound.scenario) {
            Ok(search) => weigh_per_broker([bound.least, bound.most], search, suite),
            Err(why) => Weighed::open(String::new(), why),
        }],
        Metric::FigureRatios(ratios) => ratios
            .iter()
            .map(|it| {
                both_known(finished(&it.of), finished(&it.to), |of, to| weigh_figures(it, of, to))
            })
            .collect(),
        Metric::ThresholdAtLimit(names) => names
            .iter()
            .map(|name| match found(name) {
                Ok(search) => weigh_threshold(name, search),
                Err(why) => Weighed::open(String::new(), why),
            })
            .collect(),
        _ => vec![],
    };
    let worst = [Outcome::Refuted, Outcome::Undecided, Outcome::Holds];
    let outcome = worst.into_iter().find(|of| weighed.iter().any(|it| it.outcome == *of));
    let outcome = outcome.unwrap_or(Outcome::Undecided);
    let join = |of: &dyn Fn(&Weighed) -> &str| {
        let texts = weighed.iter().map(of).filter(|text| !text.is_empty());
        texts.collect::<Vec<_>>().join("; ")
    };
    let reason = join(&|it| &it.reason);
    let mut result = ClaimResult { outcome, tested: true, reason, ..nothing };
    result.corrected = sentence(claim, &result);
    let by = names.iter().filter(|name| !is_missing(name)).map(|name| Decision {
        scenario: (*name).to_owned(),
        run: find(name).and_then(|(_, run)| match run {
            ScenarioRun::Searched(search) => search.run().map(str::to_owned),
            ScenarioRun::Finished(dir, _) => Some(dir.clone()),
            _ => None,
        }),
        outcome,
    });
    DecidedClaim { figure: join(&|it| &it.figure), by: by.collect(), claim: result }
}

/// A figure that was held against what is stated.
struct Weighed {
    outcome: Outcome,
    figure: String,
    reason: String,
}

impl Weighed {
    fn open(figure: String, reason: String) -> Self {
        Self { outcome: Outcome::Undecided, figure, reason }
    }

    /// An interval is within the bounds, beyond them, or says nothing.
    fn of([low, high]: [f64; 2], [least, most]: [f64; 2], figure: String, what: &str) -> Self {
        let stated = format!("{least} to {most}");
        let (outcome, reason) = if least <= low && high <= most {
            (Outcome::Holds, format!("{what} is within {stated}"))
        } else if high < least || most < low {
            (Outcome::Refuted, format!("{what} is {figure}, and not {stated}"))
        } else {
            (Outcome::Undecided, format!("{what} is {figure}, which may be {stated}, or not"))
        };
        Self { outcome, figure, reason }
    }
}

/// What two scenarios came to, weighed; open where one of them is not known.
fn both_known<T>(
    of: Result<T, String>,
    to: Result<T, String>,
    weigh: impl FnOnce(T, T) -> Weighed,
) -> Weighed {
    match (of, to) {
        (Ok(of), Ok(to)) => weigh(of, to),
        (Err(why), _) | (_, Err(why)) => Weighed::open(String::new(), why),
    }
}

/// What a link's limit makes of the ratio is the cluster's; what this machine's cores make of it is not.
fn weigh_ratio(ratio: &RateRatio, of: &MaxRate, to: &MaxRate) -> Weighed {
    let what = format!("the highest rate of {} to that of {}", ratio.of, ratio.to);
    let (Some(of_both), Some(to_both)) = (both(of), both(to)) else {
        return Weighed::open(
            String::new(),
            format!("{what} is not known: a search found no limit between its rates"),
        );
    };
    let interval = [of_both[0] / to_both[1], of_both[1] / to_both[0]];
    let model = match (of.predicted, to.predicted) {
        (Some(of), Some(to)) if to > 0.0 => format!("; {:.2} by the model", of / to),
        _ => String::new(),
    };
    let figure = format!("{:.2} to {:.2}{model}", interval[0], interval[1]);
    for (name, search) in [(&ratio.of, of), (&ratio.to, to)] {
        if !matches!(search.limiting, Some(Limiting::Links(_))) {
            let limiting =
                search.limiting.as_ref().map_or("nothing".to_owned(), |it| it.to_string());
            let why = format!("in {name} no node's link was what limited, but {limiting}");
            return Weighed::open(figure, why);
        }
    }
    if of.link_bytes_per_s != to.link_bytes_per_s {
        return Weighed::open(figure, format!("{} and {} have other links", ratio.of, ratio.to));
    }
    Weighed::of(interval, [ratio.least, ratio.most], figure, &what)
}

/// How much more of all cores the servers of one scenario take before that may be what makes its figures worse.
const MORE_CORES: f64 = 0.1;

/// Figures of runs that are no measurement say nothing.
fn weigh_figures(ratio: &FigureRatio, of: &Report, to: &Report) -> Weighed {
    let FigureRatio { figure, least, most, spread, .. } = ratio;
    for (name, report) in [(&ratio.of, of), (&ratio.to, to)] {
        if !matches!(report.verdict, Verdict::Valid | Verdict::Violated) {
            let why = format!("the run of {name} is no measurement ({})", report.verdict.as_str());
            return Weighed::open(String::new(), why);
        }
    }
    let cores = [of, to].map(|report| shared_cores_taken(report).unwrap_or_default());
    let (of, to) = match (figure.of(of), figure.of(to)) {
        (Ok(of), Ok(to)) if to > 0.0 => (of, to),
        (Err(why), _) | (_, Err(why)) => {
            return Weighed::open(String::new(), format!("{figure} is not known: {why}"));
        }
        (Ok(_), Ok(_)) => {
            return Weighed::open(String::new(), format!("{figure} of {} is 0", ratio.to));
        }
    };
    let seen = of / to;
    let (shown_of, shown_to) = (figure.show(of), figure.show(to));
    let text = format!("{figure} {shown_of} to {shown_to}: {seen:.2}");
    let what = format!("the ratio of {} to {}", ratio.of, ratio.to);
    let weighed =
        Weighed::of([seen * (1.0 - spread), seen * (1.0 + spread)], [*least, *most], text, &what);
    // What more servers take of cores that all share, they would not take of each other's on machines of their own.
    if weighed.outcome == Outcome::Refuted && cores[0] > cores[1] + MORE_CORES {
        let [of, to] = cores.map(|share| format!("{:.0} %", share * 100.0));
        let why = format!(
            "the nodes share one machine, of whose cores servers took {of} in {} and {to} in {}: {}",
            ratio.of, ratio.to, weighed.reason
        );
        return Weighed::open(weighed.figure, why);
    }
    weighed
}

fn weigh_per_broker(bounds: [f64; 2], search: &MaxRate, suite: &SuiteMeta) -> Weighed {
    let brokers = f64::from(search.brokers);
    let Some((held, missed)) = search.interval().filter(|_| brokers > 0.0) else {
        return Weighed::open(
            String::new(),
            "how many brokers took the load is not known".to_owned(),
        );
    };
    let (low, high) = (held / brokers, missed.map(|rate| rate / brokers));
    let figure = match high {
        Some(high) => format!("{low:.0} to {high:.0} records/s a broker"),
        None => format!("at least {low:.0} records/s a broker"),
    };
    let weighed =
        Weighed::of([low, high.unwrap_or(f64::INFINITY)], bounds, figure, "the highest rate");
    // What servers that share cores can do, or a load generator, says nothing of brokers that have their own; a rate
    // beyond the bounds that was held does.
    let beyond = low > bounds[1];
    if !beyond && !matches!(search.limiting, Some(Limiting::Links(_))) {
        let limits = match &suite.cluster {
            None => "the nodes share one machine, which may be what limits",
            Some(_) => {
                "no node's link was what limited, and what else shares its cores is not known"
            }
        };
        return Weighed::open(weighed.figure, format!("{limits}: {}", weighed.reason));
    }
    weighed
}

/// Whoever waits for a threshold of CPU or network must see one where brokers take no more.
fn weigh_threshold(name: &str, search: &MaxRate) -> Weighed {
    let Some([held, missed]) = both(search) else {
        return Weighed::open(String::new(), format!("{name} found no limit between its rates"));
    };
    let at = |what: String| format!("{what} at {held:.0} to {missed:.0} records/s in {name}");
    match &search.limiting {
        Some(limiting @ (Limiting::Links(_) | Limiting::Cores(_))) => Weighed {
            outcome: Outcome::Holds,
            figure: at(limiting.to_string()),
            reason: format!("a threshold told of the limit of {name}"),
        },
        Some(Limiting::Unseen) => Weighed {
            outcome: Outcome::Refuted,
            figure: at("neither cores nor links were at their limit".to_owned()),
            reason: format!(
                "the objective was missed in {name}, and neither cores nor links were at their limit"
            ),
        },
        Some(limiting @ Limiting::Generator(_)) => Weighed::open(
            at(limiting.to_string()),
            format!("the limit of {name} is not the brokers'"),
        ),
        None => Weighed::open(String::new(), format!("what limited in {name} is not known")),
    }
}

/// The rates between which the highest is; none before the end of a search, or where one of them is open.
fn both(search: &MaxRate) -> Option<[f64; 2]> {
    let (held, missed) = search.interval()?;
    missed.filter(|_| held > 0.0).map(|missed| [held, missed])
}
