//! The binary: hands over to the sandbox, to a trial, or to the command line.

use std::ffi::OsString;
use std::path::Path;
use std::process::ExitCode;

use kbench::cluster::local::sandbox;
use kbench::{cli, trial};

fn main() -> ExitCode {
    let arguments: Vec<OsString> = std::env::args_os().skip(1).collect();
    let first = arguments.first().and_then(|argument| argument.to_str());
    match (first, arguments.get(1..).unwrap_or_default()) {
        // First of all, before any thread exists: see the sandbox.
        (Some(sandbox::SUBCOMMAND), rest) => sandbox::init_main(rest),
        (Some(sandbox::TRY), rest) => sandbox::try_main(rest),
        (Some(trial::SUBCOMMAND), [run, number]) => {
            trial::main(Path::new(run), number.to_str().and_then(|n| n.parse().ok()).unwrap_or(1))
        }
        (Some(trial::WORKER), _) => trial::worker_main(),
        _ => cli::main(),
    }
}
