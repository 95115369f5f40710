//! `kbench check` and `kbench report`: a recorded run judged again from its files.

use std::io::{IsTerminal, Write as _};
use std::path::Path;
use std::process::ExitCode;

use results::plot::{self, Chart};
use results::record::open;
use results::report::{Judged, Report, markdown, text};

use super::{JudgeArgs, PrintArgs, ReportArgs, ReportFormat, suite};
use crate::failure::Failure;
use crate::run;
use crate::rundir::RunDir;
use crate::series::suite::SuiteDir;

pub(super) fn check(args: &JudgeArgs) -> Result<ExitCode, Failure> {
    if let Some(dir) = SuiteDir::find(&args.run, &args.out) {
        return suite::judge(&dir, args, false);
    }
    let (dir, judged) = judged(args)?;
    print(&judged.report, &dir, args.print)
}

pub(super) fn report(all: &ReportArgs) -> Result<ExitCode, Failure> {
    let args = &all.judge;
    if let Some(dir) = SuiteDir::find(&args.run, &args.out) {
        if all.svg.is_some() {
            return Err(Failure::usage("plots are of one run, and this is a suite")
                .with_cure("name one of its runs by its directory"));
        }
        return suite::judge(&dir, args, true);
    }
    let (dir, judged) = judged(args)?;
    run::write(&judged, &dir)?;
    let renewed = dir.path().parent().map_or(Ok(()), RunDir::renew_index);
    renewed.unwrap_or_else(|error| error.print());
    if let Some(folder) = &all.svg {
        std::fs::create_dir_all(folder).map_err(|error| {
            Failure::infrastructure(format!("{} cannot be made: {error}", folder.display()))
        })?;
        for (name, chart) in plot::of_run(&judged) {
            write_plot(&folder.join(name), &[chart])?;
        }
    }
    print(&judged.report, &dir, args.print)
}

/// Writes charts as one file, and says so.
pub(super) fn write_plot(path: &Path, charts: &[Chart]) -> Result<(), Failure> {
    let svg = plot::render(charts).map_err(|error| Failure::infrastructure(error.to_string()))?;
    open::write(path, svg.as_bytes()).map_err(|error| {
        Failure::infrastructure(format!("{} cannot be written: {error}", path.display()))
    })?;
    results::err!("plot: {}", path.display());
    Ok(())
}

fn judged(args: &JudgeArgs) -> Result<(RunDir, Judged), Failure> {
    let dir = RunDir::find(&args.run, &args.out)?;
    let spec = dir.spec()?;
    let judged = run::judge(&spec, &dir, args.strict || spec.strict)?;
    Ok((dir, judged))
}

/// Prints the report on stdout; the exit code is the report's.
pub(super) fn print(report: &Report, dir: &RunDir, how: PrintArgs) -> Result<ExitCode, Failure> {
    match how.format {
        ReportFormat::Json => {
            let json = report.to_json().map_err(|error| {
                Failure::infrastructure(format!("the report cannot be written: {error}"))
            })?;
            results::out!("{}", json.trim_end());
        }
        ReportFormat::Markdown => {
            let document = markdown::render(report).map_err(|error| {
                Failure::infrastructure(format!("the report cannot be written: {error}"))
            })?;
            results::out!("{}", document.trim_end());
        }
        ReportFormat::Text => {
            let terminal = std::io::stdout().is_terminal();
            let colours = terminal && std::env::var_os("NO_COLOR").is_none();
            let render = if how.verbose { text::render } else { text::summary };
            let text = render(report, Some(dir.path()), colours);
            // With colours of our own; where stdout cannot be written there is nobody to tell.
            drop(writeln!(std::io::stdout().lock(), "{}", text.trim_end()));
        }
    }
    Ok(ExitCode::from(report.exit_code))
}
