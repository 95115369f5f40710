//! `kbench heal`: undo what an interrupted run may have left behind.

use std::process::ExitCode;

use results::terminal::printable_line;

use super::HealArgs;
use crate::cluster::docker;
use crate::cluster::ssh::control;
use crate::failure::Failure;
use crate::heal::{self, Healed};
use crate::rundir::RunDir;
use crate::series::suite::SuiteDir;
use crate::spec::Asked;

pub(super) fn heal(args: &HealArgs) -> Result<ExitCode, Failure> {
    let runs = match &args.run {
        Some(run) => match SuiteDir::find(run, &args.out) {
            Some(suite) => RunDir::within(suite.path()),
            None => vec![RunDir::find(run, &args.out)?],
        },
        None => RunDir::within(&args.out),
    };
    let asked = Asked {
        hurt: args.yes_hurt_this_cluster.clone(),
        command_config: args.command_config.clone(),
        ..Asked::default()
    };
    let mut code = ExitCode::SUCCESS;
    for run in &runs {
        let healed = match heal::heal(run, &asked) {
            Ok(healed) => healed,
            Err(failure) => {
                failure.print();
                code = failure.exit_code();
                continue;
            }
        };
        match healed {
            Healed::Nothing => results::out!("{}: nothing to heal", run.name()),
            Healed::Undone(what) => {
                results::out!("{}: healed", run.name());
                what.iter().for_each(|line| results::out!("  {}", printable_line(line)));
            }
            Healed::Left { undone, left } => {
                results::out!("{}: not healed", run.name());
                undone.iter().for_each(|line| results::out!("  {}", printable_line(line)));
                left.iter().for_each(|line| results::out!("  LEFT: {}", printable_line(line)));
                code = Failure::unknown("something is left").exit_code();
            }
            Healed::Elsewhere if args.all => {
                results::out!("{}: of another machine, left alone", run.name());
            }
            Healed::Elsewhere => {
                let name = run.name();
                let failure = Failure::usage(format!("{name} is a run of another machine"))
                    .with_cure("heal it there: what it left is there, if anything is");
                failure.print();
                code = failure.exit_code();
            }
            Healed::StillRunning if args.all => results::out!("{}: still running", run.name()),
            Healed::StillRunning => {
                let failure = Failure::usage(format!("{} is still running", run.name()))
                    .with_cure("stop it with Ctrl-C; it heals what it did before it ends");
                failure.print();
                code = failure.exit_code();
            }
        }
    }
    // Connections to machines that a killed kbench had; where there is no place for them, none is left.
    let swept = control::sweep().unwrap_or_default();
    swept
        .iter()
        .for_each(|folder| results::out!("removed {}", printable_line(&folder.to_string_lossy())));
    if args.all {
        // Where no engine is to be had, nothing is left with one. Runs of containers say so themselves.
        let swept = docker::sweep(None).unwrap_or_default();
        swept.iter().for_each(|line| results::out!("containers: {}", printable_line(line)));
    }
    Ok(code)
}
