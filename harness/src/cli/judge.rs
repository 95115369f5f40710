//! `kbench check` and `kbench report`: a recorded run judged again from its files.

use std::io::IsTerminal;
use std::process::ExitCode;

use results::report::{Report, terminal};

use super::{Format, JudgeArgs};
use crate::failure::Failure;
use crate::run::{self, Outcome};
use crate::rundir::RunDir;

pub(super) fn check(args: &JudgeArgs) -> Result<ExitCode, Failure> {
    let (dir, report) = judged(args)?;
    print(&report, &dir, args.format == Format::Json, args.strict);
    Ok(ExitCode::from(report.exit_code(args.strict)))
}

pub(super) fn report(args: &JudgeArgs) -> Result<ExitCode, Failure> {
    let (dir, report) = judged(args)?;
    run::write_report(&report, &dir, args.strict)?;
    print(&report, &dir, args.format == Format::Json, args.strict);
    Ok(ExitCode::from(report.exit_code(args.strict)))
}

fn judged(args: &JudgeArgs) -> Result<(RunDir, Report), Failure> {
    let dir = RunDir::find(&args.run, &args.out)?;
    let spec = dir.spec()?;
    let report = run::judge(&spec, &dir, &Outcome::recorded(&dir))?;
    Ok((dir, report))
}

/// Prints the report on stdout.
pub(super) fn print(report: &Report, dir: &RunDir, json: bool, strict: bool) {
    if json {
        print!("{}", report.to_json());
        return;
    }
    let colour = std::io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none();
    print!("{}", terminal::render(report, &dir.path().display().to_string(), colour, strict));
}
