//! `kbench validate`: specification files checked without running anything.

use std::path::Path;
use std::process::ExitCode;

use faults::plan::Plan;
use workloads::WorkloadSpec;

use super::ValidateArgs;
use crate::failure::Failure;
use crate::spec::Spec;
use crate::topology::Topology;

pub(super) fn validate(args: &ValidateArgs) -> Result<ExitCode, Failure> {
    let mut code = ExitCode::SUCCESS;
    for file in &args.files {
        match one(file) {
            Ok(kind) => println!("{}: valid {kind}", file.display()),
            Err(failure) => {
                failure.print();
                code = failure.exit_code();
            }
        }
    }
    Ok(code)
}

/// Validates one file; says what it is.
fn one(file: &Path) -> Result<&'static str, Failure> {
    let name = file.display().to_string();
    let text = std::fs::read_to_string(file)
        .map_err(|error| Failure::usage(format!("{name} cannot be read: {error}")))?;
    let table: toml::Table = text.parse().map_err(|error: toml::de::Error| {
        Failure::spec(&name, &text, error.message(), error.span())
    })?;
    // The kind is told by the table that only this kind has.
    if table.contains_key("load") {
        parse::<WorkloadSpec>(&name, &text)
    } else if table.contains_key("step") || table.contains_key("mix") {
        parse::<Plan>(&name, &text)
    } else if table.contains_key("node") {
        parse::<Topology>(&name, &text)
    } else if table.contains_key("claim") {
        results::judge::claim::parse(&name, &text)
            .map_err(|error| Failure::spec(&name, &text, &error.message, Some(error.span)))?;
        Ok("set of claims")
    } else {
        Err(Failure::usage(format!("{name} is none of kbench's specifications")).with_cure(
            "a workload has a table [load], a plan [[step]] or [mix], a cluster [[node]], claims [[claim]]",
        ))
    }
}

fn parse<T: Spec>(name: &str, text: &str) -> Result<&'static str, Failure> {
    match T::parse(text) {
        Ok(_) => Ok(T::KIND),
        Err((message, span)) => Err(Failure::spec(name, text, &message, span)),
    }
}
