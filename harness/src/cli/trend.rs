//! `kbench trend`: the figures of runs over nights.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;
use results::plot;
use results::record::open;
use results::trend::{self, LEAST_FIGURES, TrendExport, TrendMetric, TrendOptions, Trends};

use super::{Format, judge, per_cent};
use crate::failure::Failure;
use crate::run_history::{HISTORY_FILE, RunHistory};

/// Runs that are not in the history and are named.
const NAMED: usize = 6;

#[derive(Args)]
pub(super) struct TrendArgs {
    /// Follow this figure, named as in a gate, or `claim.ID` for the time of a claim (may be repeated; default:
    /// acked.rate, response.p50, response.p99, end-to-end.p99 and the times of claims)
    #[arg(long = "metric", value_name = "NAME")]
    metrics: Vec<TrendMetric>,
    /// Look at this series alone, by the short name that is shown (may be repeated)
    #[arg(long, value_name = "ID")]
    series: Vec<String>,
    /// How many runs of a series to look at, the newest
    #[arg(long, value_name = "N", default_value_t = 100, value_parser = clap::value_parser!(u16).range(1..=500))]
    last: u16,
    /// Smallest change that counts, in per cent of the figure before it
    #[arg(long, value_name = "%", default_value_t = 5.0, value_parser = per_cent)]
    least_effect: f64,
    /// Exit with 1 when the newest change of a figure is for the worse
    #[arg(long)]
    strict: bool,
    /// What to print on stdout
    #[arg(long, value_enum, default_value = "text")]
    format: Format,
    /// Write the figures for another tool as well: `otava` (CSV, of one series), `bencher` (Bencher Metric Format) or
    /// `github-benchmark` (customSmallerIsBetter of github-action-benchmark)
    #[arg(long, num_args = 2, value_names = ["FORM", "FILE"])]
    export: Option<Vec<String>>,
    /// Write a plot of each figure over the runs, as SVG, as well
    #[arg(long, value_name = "FILE")]
    svg: Option<PathBuf>,
    /// Folder of the runs, and of their history
    #[arg(long, value_name = "DIR", env = "KBENCH_OUT", default_value = "results/runs")]
    out: PathBuf,
}

pub(super) fn trend(args: &TrendArgs) -> Result<ExitCode, Failure> {
    let export = match args.export.as_deref() {
        Some([form, file]) => {
            Some((form.parse::<TrendExport>().map_err(Failure::usage)?, PathBuf::from(file)))
        }
        _ => None,
    };
    let trends = followed(args)?;
    if let Some((form, file)) = export {
        write_export(form, &file, &trends)?;
    }
    if let Some(file) = &args.svg {
        let charts: Vec<_> = trends.series.iter().flat_map(plot::trend).collect();
        if charts.is_empty() {
            return Err(Failure::usage("no run has any of the figures that are to be plotted"));
        }
        judge::write_plot(file, &charts)?;
    }
    args.format.print(|| trend::render(&trends), &trends)?;
    Ok(ExitCode::from(u8::from(args.strict && trends.regressed())))
}

/// The series that are asked for, with all runs of the folder in their history.
fn followed(args: &TrendArgs) -> Result<Trends, Failure> {
    if !args.out.is_dir() {
        return Err(Failure::usage(format!("there is no folder {}", args.out.display()))
            .with_cure("--out names the folder of runs"));
    }
    let mut history = RunHistory::open(&args.out)?;
    let filled = history.fill(&args.out)?;
    results::err!("{}: {} taken", args.out.join(HISTORY_FILE).display(), filled.taken);
    filled.passed_over.iter().take(NAMED).for_each(|run| results::err!("passed over: {run}"));
    if let Some(more @ 1..) = filled.passed_over.len().checked_sub(NAMED) {
        results::err!("passed over: {more} more");
    }
    let mut all = history.series()?;
    if all.is_empty() {
        return Err(Failure::usage(format!(
            "there is no run with a report in {}",
            args.out.display()
        ))
        .with_cure("`kbench list runs` shows what is there; --out names the folder"));
    }
    if let Some(unknown) = args.series.iter().find(|id| !all.iter().any(|it| it.key.id() == **id)) {
        return Err(Failure::usage(format!("there is no series {unknown}"))
            .with_cure("`kbench trend` shows those that there are"));
    }
    all.retain(|it| args.series.is_empty() || args.series.contains(&it.key.id()));
    let options = TrendOptions {
        metrics: args.metrics.clone(),
        least_effect: args.least_effect / 100.0,
        last: args.last.into(),
    };
    if args.strict && usize::from(args.last) < LEAST_FIGURES {
        let what = format!("--strict says nothing of {} runs: it takes {LEAST_FIGURES}", args.last);
        return Err(Failure::usage(what).with_cure("--last names how many to look at"));
    }
    Ok(Trends::of(&all, &options))
}

fn write_export(form: TrendExport, file: &std::path::Path, trends: &Trends) -> Result<(), Failure> {
    let document = form.document(trends).map_err(|error| {
        let cure = "--series names one series, --metric fewer figures";
        Failure::usage(error.to_string()).with_cure(cure)
    })?;
    open::write(file, document.as_bytes()).map_err(|error| {
        Failure::infrastructure(format!("{} cannot be written: {error}", file.display()))
    })?;
    let lacking: usize = trends.series.iter().map(|it| it.runs_lacking_a_figure()).sum();
    if form == TrendExport::Otava && lacking > 0 {
        results::err!("{lacking} runs lack a figure and are not in {}", file.display());
    }
    Ok(())
}
