//! A suite, carried out: which scenarios run, when, and beside which others.

use std::time::Instant;

use futures::StreamExt as _;
use futures::stream::FuturesUnordered;
use results::judge::verdict::Verdict;
use results::report::Report;
use results::terminal::printable_line;

use super::{Failures, SuiteDir, SuiteSpec, folder_names};
use crate::failure::Failure;
use crate::series::{RunEnd, Series, search};
use crate::spec::SearchSpec;

/// Carries out every scenario that has no finished run, or one that is invalid or was disturbed, as many at the same time as may be, or as many
/// trials of one; what became of those without one. Stops when it is interrupted, and says so.
///
/// # Errors
/// Infrastructure failures: a run cannot be started.
pub async fn carry_out(
    series: &Series,
    dir: &SuiteDir,
    spec: &SuiteSpec,
    at_once: usize,
) -> Result<(Failures, bool), Failure> {
    let all = spec.suite.scenarios.len();
    let mut going = FuturesUnordered::new();
    let mut ends = vec![];
    let mut before = false;
    for (n, (scenario, folder)) in (1..).zip(folder_names(&spec.suite)) {
        let label = format!("{n} of {all}: {}", scenario.id);
        if let Some(why) = spec.not_allowed(scenario) {
            results::err!("{label}: not carried out on this cluster: {}", printable_line(why));
            continue;
        }
        if let Some(how) = dir.done(scenario, &folder) {
            results::err!("{label}: {how}");
            continue;
        }
        let alone = scenario.is_alone();
        let others = others_beside(alone, before, at_once);
        while going.len() > others {
            ends.extend(going.next().await);
        }
        if series.is_stopped() || ends.iter().any(Result::is_err) {
            break;
        }
        before = alone;
        going.push(async move {
            results::err!("{label}: {}", printable_line(&scenario.command(spec.cluster.as_ref())));
            let mut arguments = spec.arguments(dir, scenario);
            let parallel = scenario.parallel(at_once);
            if parallel > 1 {
                arguments.extend(["--parallel".to_owned(), parallel.to_string()]);
            }
            let end = match &scenario.max_rate {
                Some(asked) => search_of(series, dir, &folder, asked, &arguments, &label).await,
                None => run_of(series, dir, &folder, scenario.trials, &arguments, &label).await?,
            };
            Ok(end.map(|end| (scenario.id.clone(), end)))
        });
    }
    ends.extend(going.collect::<Vec<_>>().await);
    let failed = ends.into_iter().filter_map(Result::transpose).collect::<Result<_, Failure>>()?;
    Ok((failed, series.is_stopped()))
}

/// How many scenarios may still run when another one begins: none where this one, or the one before it, has the machine for
/// itself.
pub fn others_beside(alone: bool, before: bool, at_once: usize) -> usize {
    if alone || before { 0 } else { at_once.saturating_sub(1) }
}

/// Carries out a search; what became of it, where that is not in its runs.
async fn search_of(
    series: &Series,
    dir: &SuiteDir,
    folder: &str,
    asked: &SearchSpec,
    arguments: &[String],
    label: &str,
) -> Option<(u8, String)> {
    let mut runs = dir.search(asked, folder, None);
    let told = |run: &search::RateRun| {
        results::err!("{label}: {}/s: {}", run.rate, run.outcome());
    };
    let failure = search::carry_out(series, folder, &mut runs, arguments, told).await.err()?;
    let (code, said) = (failure.code(), failure.text().to_owned());
    results::err!("{label}: {said}");
    Some((code, said))
}

/// Carries out the run of a scenario; what became of it, where that is not in the run.
async fn run_of(
    series: &Series,
    dir: &SuiteDir,
    folder: &str,
    trials: u32,
    arguments: &[String],
    label: &str,
) -> Result<Option<(u8, String)>, Failure> {
    let began = Instant::now();
    let end = series.end_of(folder, arguments, None).await?;
    if let Some((_, report)) = dir.finished(folder, trials).filter(|(_, it)| stands(&end, it)) {
        let took = began.elapsed().as_secs();
        results::err!("{label}: {}, after {took} s", report.verdict.as_str());
        return Ok(None);
    }
    if end.stopped && end.code != Some(4) {
        return Ok(Some((3, "interrupted".to_owned())));
    }
    results::err!("{label}: no finished run: {}", end.said);
    let code = end.code.and_then(|code| u8::try_from(code).ok()).filter(|it| *it != 0);
    Ok(Some((code.unwrap_or(4), end.said)))
}

/// Whether a report is that of a run which ended so, and counts. What was proven before the machine failed, or before the
/// run was told to stop, does.
fn stands(end: &RunEnd, report: &Report) -> bool {
    let its_own = end.report.as_ref().is_some_and(|told| told.run.run_id == report.run.run_id);
    let whole = !end.stopped && end.code != Some(4);
    its_own && (whole || report.verdict == Verdict::Violated)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::series::suite::tests::report;

    #[test]
    fn what_was_proven_before_an_interrupt_or_a_failure_counts_and_an_older_run_never_does() {
        let violated = || Report { verdict: Verdict::Violated, ..report(true) };
        let end = |code, stopped, report: &Report| RunEnd {
            code: Some(code),
            report: Some(report.clone()),
            said: String::new(),
            stopped,
        };
        assert!(stands(&end(0, false, &report(false)), &report(false)));
        assert!(!stands(&end(3, true, &report(true)), &report(true)), "interrupted");
        assert!(!stands(&end(4, false, &report(false)), &report(false)), "a trial failed");
        assert!(stands(&end(1, true, &violated()), &violated()));
        assert!(stands(&end(1, false, &violated()), &violated()));
        let mut older = report(false);
        older.run.run_id = "older".to_owned();
        assert!(!stands(&end(3, false, &report(false)), &older));
    }
}
