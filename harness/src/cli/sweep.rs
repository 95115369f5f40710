//! `kbench sweep`: runs over a matrix of settings, and their figures side by side.

use std::ffi::OsString;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;
use comfy_table::{Table, presets};
use results::compare::median;
use results::judge::metric::LoadMetric;
use results::judge::verdict::Verdict;
use results::plot::{self, SweptPoint};
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
    let runs = all.len() * usize::from(args.runs);
    results::err!("runs: {}, {runs} of them", series.folder().display());
    let mut reports = vec![vec![]; all.len()];
    for (done, index) in order(all.len(), args.runs.into()).enumerate() {
        let keys = args.over.iter().map(|axis| &axis.key);
        let set: Vec<_> =
            keys.zip(&all[index]).map(|(key, value)| format!("{key}={value}")).collect();
        let arguments: Vec<_> =
            set.iter().flat_map(|it| ["--set".to_owned(), it.clone()]).collect();
        let report = series.run_in(&folder(index), &arguments).await?;
        let (verdict, set) = (report.verdict.as_str(), set.join(" "));
        results::err!("{} of {runs}: {set}: {verdict}", done + 1);
        reports[index].push(report);
    }
    let names: &[&str] = if reports[0][0].faults.is_empty() { &SHOWN } else { &SHOWN_OF_FAULTS };
    let metrics = match args.metrics.as_slice() {
        [] => names
            .iter()
            .map(|name| name.parse())
            .collect::<Result<_, _>>()
            .map_err(Failure::usage)?,
        named => named.to_vec(),
    };
    let mut table = Table::new();
    table.load_style(presets::NOTHING);
    let keys = args.over.iter().map(|axis| axis.key.clone());
    let named = metrics.iter().map(ToString::to_string);
    table.set_header(
        ["FOLDER".to_owned()].into_iter().chain(keys).chain(["RUNS".to_owned()]).chain(named),
    );
    let (mut worst, mut swept) = (0, vec![Vec::new(); metrics.len()]);
    for (index, reports) in reports.iter().enumerate() {
        worst = suite::worst(reports.iter().map(|report| report.exit_code).chain([worst]));
        let measured: Vec<_> = reports
            .iter()
            .filter(|it| matches!(it.verdict, Verdict::Valid | Verdict::Violated))
            .collect();
        for (metric, points) in metrics.iter().zip(&mut swept) {
            points.push(SweptPoint {
                value: all[index][0].to_owned(),
                others: others(&args.over, &all[index]),
                figures: measured.iter().filter_map(|it| metric.of(it).ok()).collect(),
            });
        }
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
    results::out!("{}", table.trim_fmt());
    results::out!("medians of valid runs, with the least and the most; is a difference one?");
    if let Some(file) = &args.svg {
        let key = &args.over[0].key;
        let all = metrics.iter().zip(&swept);
        let mut charts: Vec<_> = all.map(|(it, points)| plot::sweep(*it, key, points)).collect();
        charts.retain(|chart| !chart.is_empty());
        judge::write_plot(file, &charts)?;
    }
    let folder = series.folder().display();
    results::out!(
        "  kbench compare {folder}/1 {folder}/2 --allow-differing workload,cluster,versions"
    );
    Ok(ExitCode::from(worst))
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
