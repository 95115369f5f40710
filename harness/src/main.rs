//! The binary: hands over to a hidden subcommand or to the command line.

use std::ffi::OsString;
use std::process::ExitCode;

use kbench::{cli, hidden};
use mimalloc::MiMalloc;

#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

fn main() -> ExitCode {
    let arguments: Vec<OsString> = std::env::args_os().skip(1).collect();
    hidden::main(&arguments).unwrap_or_else(cli::main)
}
