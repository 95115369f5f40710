//! `kbench doctor` and `kbench completions`.

use std::process::ExitCode;

use clap::CommandFactory;

use super::{Cli, DoctorArgs};
use crate::doctor::{self, Health};
use crate::failure::Failure;
use crate::provision;

pub(super) fn doctor(args: &DoctorArgs) -> Result<ExitCode, Failure> {
    let source = super::run::kafka_source(args.kafka_version.clone(), args.kafka_home.clone())?;
    let mut worst = Health::Good;
    for check in doctor::checks(&source) {
        let word = match check.health {
            Health::Good => "ok",
            Health::Poor => "note",
            Health::Bad => "MISSING",
        };
        println!("{word:<8} {:<16} {}", check.name, check.detail);
        if let Some(cure) = &check.cure {
            println!("{:<25} cure: {cure}", "");
        }
        worst = worst.max(check.health);
    }
    if worst == Health::Bad {
        return Ok(ExitCode::from(4));
    }
    if args.prepare {
        provision::prepare(&source)?;
    }
    Ok(ExitCode::SUCCESS)
}

pub(super) fn completions(shell: clap_complete::Shell) -> Result<ExitCode, Failure> {
    clap_complete::generate(shell, &mut Cli::command(), "kbench", &mut std::io::stdout());
    Ok(ExitCode::SUCCESS)
}
