//! `kbench compare`: two sets of recorded runs.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Args;
use clap::builder::{PossibleValuesParser, TypedValueParser};
use results::compare::{self, Aspect, CompareOptions, Replicate};
use results::judge::metric::LoadMetric;

use super::{Format, per_cent};
use crate::failure::Failure;
use crate::run;
use crate::rundir::RunDir;

#[derive(Args)]
pub(super) struct CompareArgs {
    /// Runs to compare with: a run, by its directory or name, or a folder of runs, or several of these with commas
    /// between them
    #[arg(value_parser = run_set)]
    a: RunSet,
    /// Runs that may have become worse, named alike
    #[arg(value_parser = run_set)]
    b: RunSet,
    /// Judge this figure, named as in a gate, e.g. `response.p99`, `faults.response.max`, `consume.lag` (may be
    /// repeated; default: acked.rate, response.p50, response.p99 and end-to-end.p99)
    #[arg(long = "metric", value_name = "NAME")]
    metrics: Vec<LoadMetric>,
    /// Smallest change that counts, in per cent of A's figure
    #[arg(long, value_name = "%", default_value_t = 5.0, value_parser = per_cent)]
    least_effect: f64,
    /// Compare although the runs differ in this
    #[arg(long, value_name = "ASPECT", value_delimiter = ',', value_parser = aspect())]
    allow_differing: Vec<Aspect>,
    /// What to print on stdout
    #[arg(long, value_enum, default_value = "text")]
    format: Format,
    /// Folder in which names of runs are looked up
    #[arg(long, value_name = "DIR", env = "KBENCH_OUT", default_value = "results/runs")]
    out: PathBuf,
}

/// Runs and folders of runs.
#[derive(Clone)]
struct RunSet(Vec<PathBuf>);

#[expect(clippy::unnecessary_wraps, reason = "what clap wants of a parser")]
fn run_set(text: &str) -> Result<RunSet, String> {
    Ok(RunSet(text.split(',').map(PathBuf::from).collect()))
}

fn aspect() -> impl TypedValueParser<Value = Aspect> {
    let known = |text: String| Aspect::ALL.into_iter().find(|aspect| aspect.as_str() == text);
    PossibleValuesParser::new(Aspect::ALL.map(Aspect::as_str))
        .try_map(move |text| known(text).ok_or("no such aspect"))
}

pub(super) fn compare(args: &CompareArgs) -> Result<ExitCode, Failure> {
    let metrics = match args.metrics.is_empty() {
        true => compare::METRICS.iter().map(|name| name.parse()).collect::<Result<_, String>>(),
        false => Ok(args.metrics.clone()),
    };
    let options = CompareOptions {
        metrics: metrics.map_err(Failure::usage)?,
        least_effect: args.least_effect / 100.0,
        differing: args.allow_differing.clone(),
    };
    let (a, b) = (replicates(&args.a.0, &args.out)?, replicates(&args.b.0, &args.out)?);
    let compared = compare::compare(&a, &b, &options).map_err(|error| {
        let cure = "--allow-differing names what may differ; `kbench check RUN` judges one run";
        Failure::unknown(error.to_string()).with_cure(cure)
    })?;
    args.format.print(|| compare::render(&compared), &compared)?;
    Ok(ExitCode::from(compared.exit_code()))
}

/// The trials of a set of runs.
fn replicates(runs: &[PathBuf], out: &Path) -> Result<Vec<Replicate>, Failure> {
    let mut all = Vec::new();
    for named in runs {
        let found = match RunDir::find(named, out) {
            Ok(run) => vec![run],
            Err(no_run) => {
                let folder = RunDir::all(named);
                if folder.is_empty() {
                    return Err(no_run);
                }
                folder
            }
        };
        for run in found {
            all.extend(trials(&run)?);
        }
    }
    Ok(all)
}

fn trials(dir: &RunDir) -> Result<Vec<Replicate>, Failure> {
    let spec = dir.spec()?;
    let each = run::each_trial(&spec, dir)?;
    let name = |number| match spec.trials {
        1 => dir.name(),
        _ => format!("{} trial {number}", dir.name()),
    };
    let replicate = |(number, report)| Replicate {
        name: name(number),
        conditions: spec.conditions_with(&report),
        report,
    };
    Ok(each.into_iter().map(replicate).collect())
}
