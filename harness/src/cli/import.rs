//! `kbench import`: workloads of other tools.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Subcommand};

use crate::failure::Failure;
use crate::omb;

/// Whose workloads.
#[derive(Subcommand)]
pub(super) enum ImportCommand {
    /// Print a workload of the OpenMessaging Benchmark as one of kbench
    Omb(OmbArgs),
}

#[derive(Args)]
pub(super) struct OmbArgs {
    /// Workload file
    #[arg(value_name = "WORKLOAD.yaml")]
    workload: PathBuf,
    /// Driver file, of the driver for Kafka
    #[arg(value_name = "DRIVER.yaml")]
    driver: Option<PathBuf>,
    /// Make one topic of several, with as many partitions as they have together
    #[arg(long)]
    one_topic: bool,
}

pub(super) fn import(command: &ImportCommand) -> Result<ExitCode, Failure> {
    let ImportCommand::Omb(OmbArgs { workload, driver, one_topic }) = command;
    let text = omb::import(workload, driver.as_deref(), *one_topic)?;
    results::out!("{}", text.trim_end());
    Ok(ExitCode::SUCCESS)
}
