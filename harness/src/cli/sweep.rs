//! `kbench sweep`: runs over a matrix of settings, and their figures side by side.

use std::ffi::OsString;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;
use comfy_table::{Table, presets};
use results::compare::median;
use results::judge::metric::LoadMetric;
use results::judge::verdict::Verdict;
use results::plot::{self, Chart, SweptPoint};
use results::report::Report;
use results::suite;

use super::judge;
use crate::failure::Failure;
use crate::series::Series;
use crate::series::sweep::{Axis, combinations, order};

/// Figures that are shown where none are named.
const SHOWN: [&str; 4] = ["acked.rate", "response.p50", "response.p99", "end-to-end.p99"];

/// The same, of runs with faults.
const SHOWN_OF_FAULTS: [&str; 3] = ["response.p99", "faults.response.max", "faults.recovery"];

#[derive(Args)]
pub(super) struct SweepArgs {
    /// A setting and its values, e.g. `workload.producer.acks=1,all`, as `kbench run --set` takes one (may be repeated:
    /// then every combination is run)
    #[arg(long = "over", value_name = "KEY=VALUE,VALUE...", required = true)]
    over: Vec<Axis>,
    /// Runs of each combination
    #[arg(long, value_name = "N", default_value_t = 3, value_parser = clap::value_parser!(u16).range(1..=100))]
    runs: u16,
    /// Show this figure, named as in a gate, e.g. `faults.recovery` (may be repeated)
    #[arg(long = "metric", value_name = "NAME")]
    metrics: Vec<LoadMetric>,
    /// Write a plot as SVG as well: each figure over the values of the first setting
    #[arg(long, value_name = "FILE")]
    svg: Option<PathBuf>,
    /// Folder in which the folder of the runs is made
    #[arg(long, value_name = "DIR", env = "KBENCH_OUT", default_value = "results/runs")]
    out: PathBuf,
    /// Arguments of `kbench run` for every run, e.g. `--workload smoke --faults none --duration 20s`
    #[arg(value_name = "RUN ARGUMENTS", last = true)]
    run: Vec<OsString>,
}

pub(super) fn sweep(args: &SweepArgs) -> Result<ExitCode, Failure> {
    crate::series::block_on(carry_out(args))
}

async fn carry_out(args: &SweepArgs) -> Result<ExitCode, Failure> {
    let all = combinations(&args.over);
    let series = Series::create(&args.out, "sweep", &args.run)?;
    let (reports, failed) = run_all(args, &all, &series).await;
    // What was measured before something failed is shown all the same.
    let Some(first) = reports.iter().flatten().next() else {
        return Err(failed.unwrap_or_else(|| Failure::unknown("no run was carried out")));
    };
    let names: &[&str] = if first.faults.is_empty() { &SHOWN } else { &SHOWN_OF_FAULTS };
    let metrics = match args.metrics.as_slice() {
        [] => names
            .iter()
            .map(|name| name.parse())
            .collect::<Result<_, _>>()
            .map_err(Failure::usage)?,
        named => named.to_vec(),
    };
    results::out!("{}", table(&args.over, &all, &reports, &metrics).trim_fmt());
    results::out!("medians of valid runs, with the least and the most; is a difference one?");
    if let Some(file) = &args.svg {
        let charts = charts(&args.over, &all, &reports, &metrics);
        match judge::write_plot(file, &charts) {
            // What failed first tells more.
            Err(error) if failed.is_some() => error.print(),
            written => written?,
        }
    }
    if reports.iter().take(2).all(|of| !of.is_empty()) {
        let folder = series.folder().display();
        results::out!(
            "  kbench compare {folder}/1 {folder}/2 --allow-differing workload,cluster,versions"
        );
    }
    let worst = suite::worst(reports.iter().flatten().map(|report| report.exit_code));
    let code = failed.map(|failure| {
        failure.print();
        failure.code()
    });
    Ok(ExitCode::from(suite::worst(code.into_iter().chain([worst]))))
}

/// Carries out the runs until one fails: the reports of each combination, and of what it failed.
async fn run_all(
    args: &SweepArgs,
    all: &[Vec<&str>],
    series: &Series,
) -> (Vec<Vec<Report>>, Option<Failure>) {
    let runs = all.len() * usize::from(args.runs);
    results::err!("runs: {}, {runs} of them", series.folder().display());
    let mut reports = vec![vec![]; all.len()];
    for (done, index) in order(all.len(), args.runs.into()).enumerate() {
        let keys = args.over.iter().map(|axis| &axis.key);
        let set: Vec<_> =
            keys.zip(&all[index]).map(|(key, value)| format!("{key}={value}")).collect();
        let arguments: Vec<_> =
            set.iter().flat_map(|it| ["--set".to_owned(), it.clone()]).collect();
        let (number, set) = (done + 1, set.join(" "));
        match series.run_in(&folder(index), &arguments, None).await {
            Ok(report) => {
                results::err!("{number} of {runs}: {set}: {}", report.verdict.as_str());
                reports[index].push(report);
            }
            Err(failure) => {
                return (reports, Some(failure.within(&format!("run {number} of {runs} ({set})"))));
            }
        }
    }
    (reports, None)
}

/// The runs of a combination that are measurements.
fn measured(reports: &[Report]) -> Vec<&Report> {
    let counts = |it: &&Report| matches!(it.verdict, Verdict::Valid | Verdict::Violated);
    reports.iter().filter(counts).collect()
}

/// The figures of every combination, side by side; of one without a run there are none.
fn table(
    over: &[Axis],
    all: &[Vec<&str>],
    reports: &[Vec<Report>],
    metrics: &[LoadMetric],
) -> Table {
    let mut table = Table::new();
    table.load_style(presets::NOTHING);
    let keys = over.iter().map(|axis| axis.key.clone());
    let named = metrics.iter().map(ToString::to_string);
    table.set_header(
        ["FOLDER".to_owned()].into_iter().chain(keys).chain(["RUNS".to_owned()]).chain(named),
    );
    for (index, reports) in reports.iter().enumerate() {
        let measured = measured(reports);
        let figure = |metric: &LoadMetric| {
            let mut figures: Vec<_> = measured.iter().filter_map(|it| metric.of(it).ok()).collect();
            figures.sort_by(f64::total_cmp);
            match (median(&figures), figures.first(), figures.last()) {
                (Some(median), Some(least), Some(most)) => {
                    let show = |figure| metric.show(figure);
                    format!("{} ({} to {})", show(median), show(*least), show(*most))
                }
                _ => "n/a".to_owned(),
            }
        };
        let runs = match measured.len() {
            all if all == reports.len() => all.to_string(),
            some => format!("{some} of {}", reports.len()),
        };
        let values = all[index].iter().map(|value| (*value).to_owned());
        let figures = metrics.iter().map(figure);
        table.add_row([folder(index)].into_iter().chain(values).chain([runs]).chain(figures));
    }
    table
}

/// A plot of each figure over the values of the first setting; none of a figure that no run has.
fn charts(
    over: &[Axis],
    all: &[Vec<&str>],
    reports: &[Vec<Report>],
    metrics: &[LoadMetric],
) -> Vec<Chart> {
    let swept = |metric: &LoadMetric| {
        let of = |(values, reports): (&Vec<&str>, &Vec<Report>)| SweptPoint {
            value: values[0].to_owned(),
            others: others(over, values),
            figures: measured(reports).iter().filter_map(|it| metric.of(it).ok()).collect(),
        };
        let points: Vec<_> = all.iter().zip(reports).map(of).collect();
        plot::sweep(*metric, &over[0].key, &points)
    };
    metrics.iter().map(swept).filter(|chart| !chart.is_empty()).collect()
}

/// The settings of a combination beside the first, in words.
fn others(axes: &[Axis], values: &[&str]) -> String {
    let settings =
        axes.iter().zip(values).skip(1).map(|(axis, value)| format!("{}={value}", axis.key));
    settings.collect::<Vec<_>>().join(" ")
}

/// The folder of a combination's runs.
fn folder(index: usize) -> String {
    (index + 1).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::series::suite::tests::report;

    #[test]
    fn what_was_measured_before_a_run_failed_is_shown() {
        let over: Vec<Axis> = vec!["a=1,2".parse().unwrap()];
        let all = combinations(&over);
        let metrics: Vec<LoadMetric> = SHOWN.iter().map(|name| name.parse().unwrap()).collect();
        let valid = Report { verdict: Verdict::Valid, ..report(false) };
        let reports = [vec![valid, report(false)], vec![]];
        let shown = table(&over, &all, &reports, &metrics).trim_fmt();
        let rows: Vec<_> = shown.lines().map(|row| row.split_whitespace().collect()).collect();
        let begins = |row: &Vec<&str>, with: &[&str]| row.starts_with(with);
        assert!(begins(&rows[1], &["1", "1", "1", "of", "2"]), "{shown}");
        assert!(begins(&rows[2], &["2", "2", "0", "n/a"]), "{shown}");
        drop(charts(&over, &all, &reports, &metrics));
    }
}
