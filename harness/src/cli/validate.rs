//! `kbench validate`: specification files checked without running anything.

use std::path::Path;
use std::process::ExitCode;

use faults::plan::Plan;
use workloads::spec::WorkloadSpec;

use super::ValidateArgs;
use crate::failure::Failure;
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
    let table: toml::Table =
        text.parse().map_err(|error| Failure::spec(&name, &text, &error))?;
    let spec = |error: toml::de::Error| Failure::spec(&name, &text, &error);
    let value = |error: &dyn std::fmt::Display| Failure::usage(format!("{name}: {error}"));
    // The kind is told by the table that only this kind has.
    if table.contains_key("load") {
        let workload: WorkloadSpec = toml::from_str(&text).map_err(spec)?;
        workload.validate().map_err(|error| value(&error))?;
        Ok("workload")
    } else if table.contains_key("step") {
        let plan: Plan = toml::from_str(&text).map_err(spec)?;
        plan.validate().map_err(|error| value(&error))?;
        Ok("plan")
    } else if table.contains_key("node") {
        let cluster: Topology = toml::from_str(&text).map_err(spec)?;
        cluster.validate().map_err(|error| value(&error))?;
        Ok("cluster")
    } else if table.contains_key("claim") {
        results::claim::parse(&text).map_err(|error| value(&error))?;
        Ok("set of claims")
    } else {
        Err(Failure::usage(format!("{name} is none of kbench's specifications")).with_cure(
            "a workload has a table [load], a plan [[step]], a cluster [[node]], claims [[claim]]",
        ))
    }
}
