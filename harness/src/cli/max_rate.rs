//! `kbench max-rate`: the highest rate at which a cluster keeps an objective.

use std::ffi::OsString;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;
use comfy_table::{Table, presets};
use results::judge::gate::Gate;
use results::judge::metric::LoadMetric;
use results::terminal::counted;

use super::per_cent;
use crate::failure::Failure;
use crate::series::Series;
use crate::series::max_rate::Limit;
use crate::series::search::{RateQuestion, RateRun, RateRuns, carry_out};

/// Figures that are shown of each run.
const SHOWN: [&str; 3] = ["acked.rate", "response.p50", "response.p99"];

#[derive(Args)]
pub(super) struct MaxRateArgs {
    /// What has to be kept at the rate, as `kbench run --gate` takes it, or `p99=50ms` for `response.p99<=50ms` (may be
    /// repeated); beside it 99 % of the records have to be acked and consumed. A rate that misses this alone is tried
    /// twice
    #[arg(long = "objective", value_name = "EXPR", default_value = "p99=50ms", value_parser = objective)]
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
    /// How often the highest rate that is kept and the lowest that is not are asked again, and moved where they do not
    /// stand: what a machine can do differs from one minute to the next
    #[arg(long, value_name = "N", default_value_t = 2)]
    rounds: u32,
    /// Folder in which the folder of the runs is made
    #[arg(long, value_name = "DIR", env = "KBENCH_OUT", default_value = "results/runs")]
    out: PathBuf,
    /// Arguments of `kbench run` for every run, e.g. `--workload 1k-msg-s --set workload.producer.acks=1`
    #[arg(value_name = "RUN ARGUMENTS", last = true)]
    run: Vec<OsString>,
}

/// A gate; one with `=` is about the response.
fn objective(text: &str) -> Result<Gate, String> {
    match text.split_once('=') {
        Some((figure, bound)) if !text.contains(['<', '>']) => {
            format!("response.{figure}<={bound}").parse()
        }
        _ => text.parse(),
    }
}

pub(super) fn max_rate(args: &MaxRateArgs) -> Result<ExitCode, Failure> {
    if args.to <= args.from {
        return Err(Failure::usage(format!("--to {} is not above --from {}", args.to, args.from)));
    }
    crate::series::block_on(search(args))
}

async fn search(args: &MaxRateArgs) -> Result<ExitCode, Failure> {
    let series = Series::create(&args.out, "max-rate", &args.run)?;
    let mut runs = RateRuns::new(RateQuestion {
        objectives: args.objectives.iter().map(ToString::to_string).collect(),
        range: (args.from, args.to),
        precision: args.precision / 100.0,
        step: args.step.into(),
        hold: args.hold.into(),
        rounds: args.rounds,
    });
    results::err!("runs: {}", series.folder().display());
    let told = |run: &RateRun| {
        let time = humantime::format_duration(run.time);
        results::err!("{} records/s for {time}: {}", run.rate, run.outcome());
    };
    let carried_out = carry_out(&series, "", &mut runs, &[], told).await;
    results::out!("{}\n", table(&runs));
    carried_out?;
    let what = runs.told();
    let why = runs.lowest_missed();
    let why = why.map_or_else(String::new, |(run, why)| format!(" (at {}: {why})", run.rate));
    let code = match runs.limit() {
        Some(Limit::Between(kept, missed)) => {
            results::out!(
                "max rate: {kept} records/s, held for {}; {missed} are missed{why}",
                args.hold
            );
            ExitCode::SUCCESS
        }
        Some(Limit::AtLeast(kept)) => {
            results::out!(
                "max rate: at least {kept} records/s, held for {}; no rate that was tried is always missed",
                args.hold
            );
            ExitCode::SUCCESS
        }
        Some(Limit::Below(missed)) => {
            results::out!(
                "max rate: below {missed} records/s; the lowest rate that was tried is not always kept{why}"
            );
            ExitCode::from(1)
        }
        None => return Err(Failure::unknown("the search did not end (a defect)")),
    };
    if args.rounds > 0 {
        let rounds = counted(u64::from(args.rounds), "round");
        results::out!(
            "the interval contains what {rounds} of asking for both ends again differed by"
        );
    }
    what.limiting.iter().for_each(|it| results::out!("what limits: {it}"));
    if let (Some(links), Some(rate)) = (what.link_bytes_per_s, what.predicted) {
        results::out!(
            "by the model of links that take {links} bytes/s each way: {rate:.0} records/s"
        );
    }
    Ok(code)
}

/// The runs, side by side.
fn table(runs: &RateRuns) -> String {
    let mut table = Table::new();
    table.load_style(presets::NOTHING);
    table.set_header(["RATE", "FOR", "ACKED/S", "P50", "P99", "OBJECTIVE"]);
    for run in runs.runs() {
        let figures = SHOWN.map(|name| {
            let metric: Option<LoadMetric> = name.parse().ok();
            let shown = metric.and_then(|it| Some(it.show(it.of(&run.report).ok()?)));
            shown.unwrap_or_else(|| "n/a".to_owned())
        });
        let time = humantime::format_duration(run.time).to_string();
        let row = [vec![run.rate.to_string(), time], figures.to_vec(), vec![run.outcome()]];
        table.add_row(row.concat());
    }
    table.trim_fmt()
}

#[cfg(test)]
mod tests {
    use super::objective;

    #[test]
    fn an_objective_is_a_gate_or_short_for_one() {
        let written = |text| objective(text).map(|gate| gate.to_string());
        assert_eq!(written("p99=50ms"), written("response.p99<=50ms"));
        assert_eq!(written("end-to-end.p50<20ms").as_deref(), Ok("end-to-end.p50<20ms"));
        assert!(written("p98.7=50ms").is_err() && written("p99=50").is_err());
    }
}
