//! `kbench max-rate`: the highest rate at which a cluster keeps an objective.

use std::ffi::OsString;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;
use comfy_table::{Table, presets};
use results::judge::gate::Gate;
use results::judge::metric::LoadMetric;
use results::report::Report;

use super::per_cent;
use crate::failure::Failure;
use crate::series::Series;
use crate::series::max_rate::{ACHIEVED, Limit, NextStep, RateAttempt, RateSearch, attempt};

/// Figures that are shown of each run.
const SHOWN: [&str; 3] = ["acked.rate", "response.p50", "response.p99"];

/// How often a run at one rate is made again when something spoils it.
const ATTEMPTS: u32 = 3;

#[derive(Args)]
pub(super) struct MaxRateArgs {
    /// What has to be kept at the rate, as `kbench run --gate` takes it (may be repeated); beside it 99 % of the records
    /// have to be acked and consumed
    #[arg(long = "objective", value_name = "EXPR", default_value = "response.p99<50ms")]
    objectives: Vec<Gate>,
    /// The lowest rate to try, in records a second
    #[arg(long, value_name = "RATE", default_value_t = 1_000, value_parser = clap::value_parser!(u64).range(1..))]
    from: u64,
    /// The highest
    #[arg(long, value_name = "RATE", default_value_t = 1_000_000)]
    to: u64,
    /// How close the highest rate that is kept and the lowest that is not are to be, in per cent
    #[arg(long, value_name = "%", default_value = "2", value_parser = per_cent)]
    precision: f64,
    /// Length of the load at each rate
    #[arg(long, value_name = "T", default_value = "10s")]
    step: humantime::Duration,
    /// Length of the load that confirms the result
    #[arg(long, value_name = "T", default_value = "30s")]
    hold: humantime::Duration,
    /// Folder in which the folder of the runs is made
    #[arg(long, value_name = "DIR", env = "KBENCH_OUT", default_value = "results/runs")]
    out: PathBuf,
    /// Arguments of `kbench run` for every run, e.g. `--workload 1k-msg-s --set workload.producer.acks=1`
    #[arg(value_name = "RUN ARGUMENTS", last = true)]
    run: Vec<OsString>,
}

pub(super) fn max_rate(args: &MaxRateArgs) -> Result<ExitCode, Failure> {
    if args.to <= args.from {
        return Err(Failure::usage(format!("--to {} is not above --from {}", args.to, args.from)));
    }
    crate::series::block_on(search(args))
}

async fn search(args: &MaxRateArgs) -> Result<ExitCode, Failure> {
    let mut series = Series::create(&args.out, "max-rate", &args.run)?;
    let mut search = RateSearch::new((args.from, args.to), args.precision / 100.0);
    let mut table = Table::new();
    table.load_style(presets::NOTHING);
    table.set_header(["RATE", "FOR", "ACKED/S", "P50", "P99", "OBJECTIVE"]);
    results::err!("runs: {}", series.folder().display());
    let mut last_missed = None;
    loop {
        let (rate, time) = match search.next() {
            NextStep::Try(rate) => (rate, args.step),
            NextStep::Hold(rate) => (rate, args.hold),
            NextStep::End => break,
        };
        let (report, came_to) = measured(&mut series, args, rate, time).await?;
        let said = match &came_to {
            RateAttempt::Kept => "kept".to_owned(),
            RateAttempt::Missed(why) => format!("missed: {why}"),
            RateAttempt::Spoilt(why) => {
                let text = format!("{rate} records/s could not be measured: {why}");
                results::out!("{}", table.trim_fmt());
                return Err(Failure::unknown(text).with_cure(
                    "make the machine quiet, and try again; `kbench check RUN` says more",
                ));
            }
        };
        results::err!("{rate} records/s for {time}: {said}");
        let figures = SHOWN.map(|name| {
            let metric: Option<LoadMetric> = name.parse().ok();
            let shown = metric.and_then(|it| Some(it.show(it.of(&report).ok()?)));
            shown.unwrap_or_else(|| "n/a".to_owned())
        });
        table.add_row(
            [vec![rate.to_string(), time.to_string()], figures.to_vec(), vec![said]].concat(),
        );
        if let RateAttempt::Missed(why) = &came_to {
            last_missed = Some((rate, why.clone()));
        }
        search.told(came_to == RateAttempt::Kept);
    }
    results::out!("{}\n", table.trim_fmt());
    let why = last_missed.map_or_else(String::new, |(rate, why)| format!(" (at {rate}: {why})"));
    match search.limit() {
        Some(Limit::Between(kept, missed)) => {
            results::out!(
                "max rate: {kept} records/s, held for {}; {missed} are missed{why}",
                args.hold
            );
        }
        Some(Limit::AtLeast(kept)) => {
            results::out!(
                "max rate: at least {kept} records/s, held for {}; no more were tried",
                args.hold
            );
        }
        Some(Limit::Below(missed)) => {
            results::out!(
                "max rate: below {missed} records/s, the lowest rate that was tried{why}"
            );
            return Ok(ExitCode::from(1));
        }
        None => return Err(Failure::unknown("the search did not end (a defect)")),
    }
    Ok(ExitCode::SUCCESS)
}

/// A run at a rate, made again where something spoils it.
async fn measured(
    series: &mut Series,
    args: &MaxRateArgs,
    rate: u64,
    time: humantime::Duration,
) -> Result<(Report, RateAttempt), Failure> {
    let gates = args.objectives.iter().map(ToString::to_string);
    let gates =
        gates.chain(ACHIEVED.map(str::to_owned)).flat_map(|gate| ["--gate".to_owned(), gate]);
    let rate = format!("workload.load.rate={{per_second={rate}}}");
    let load = ["--faults", "none", "--duration", &time.to_string(), "--set", &rate];
    let arguments: Vec<_> = load.map(str::to_owned).into_iter().chain(gates).collect();
    let mut left = ATTEMPTS;
    loop {
        let report = series.run(&arguments).await?;
        left -= 1;
        match attempt(&report) {
            RateAttempt::Spoilt(why) if left > 0 => results::err!("measured again: {why}"),
            came_to => return Ok((report, came_to)),
        }
    }
}
