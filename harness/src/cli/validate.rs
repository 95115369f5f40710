//! `kbench validate`: specification files checked without running anything.

use std::path::Path;
use std::process::ExitCode;

use faults::plan::Plan;
use workloads::WorkloadSpec;

use super::ValidateArgs;
use crate::failure::{self, Failure};
use crate::spec::{self, Spec, trust};
use crate::topology::{Topology, settings};
use crate::version::KafkaVersion;

/// Brokers and partitions of the cluster that a workload is held against when nobody says which.
const SMALLEST: (usize, usize) = (1, 1);

pub(super) fn validate(args: &ValidateArgs) -> Result<ExitCode, Failure> {
    let mut code = ExitCode::SUCCESS;
    for file in &args.files {
        match one(file, args.trust_spec) {
            Ok((kind, warnings)) => {
                results::out!("{}: valid {kind}", file.display());
                failure::warn(&warnings);
            }
            Err(failure) => {
                failure.print();
                code = failure.exit_code();
            }
        }
    }
    Ok(code)
}

/// Validates one file; says what it is, and what its author should know.
fn one(file: &Path, trusted: bool) -> Result<(&'static str, Vec<String>), Failure> {
    let name = file.display().to_string();
    let text = spec::read(file)?;
    let table: toml::Table = text.parse().map_err(|error: toml::de::Error| {
        Failure::spec(&name, &text, &spec::plain(error.message()), error.span())
    })?;
    // The kind is told by the table that only this kind has.
    if table.contains_key("load") {
        let workload = parse::<WorkloadSpec>(&name, &text)?;
        trust::workload(&name, &workload, SMALLEST, trusted)?;
        Ok((WorkloadSpec::KIND, vec![]))
    } else if table.contains_key("step") || table.contains_key("mix") {
        let plan = parse::<Plan>(&name, &text)?;
        plan.versions().into_iter().try_for_each(|version| KafkaVersion::of(version).map(drop))?;
        Ok((Plan::KIND, vec![]))
    } else if table.contains_key("node") {
        let cluster = parse::<Topology>(&name, &text)?;
        trust::cluster(&name, &cluster, trusted)?;
        let version = KafkaVersion::of(&cluster.kafka.version)?;
        let warnings = settings::check(&cluster, version).map_err(Failure::usage)?;
        let warnings = warnings.iter().map(|warning| format!("{name}: {warning}"));
        Ok((Topology::KIND, warnings.collect()))
    } else if table.contains_key("claim") {
        results::judge::claim::parse(&name, &text).map_err(|error| {
            Failure::spec(&name, &text, &spec::plain(&error.message), Some(error.span))
        })?;
        Ok(("set of claims", vec![]))
    } else {
        Err(Failure::usage(format!("{name} is none of kbench's specifications")).with_cure(
            "a workload has a table [load], a plan [[step]] or [mix], a cluster [[node]], claims [[claim]]",
        ))
    }
}

fn parse<T: Spec>(name: &str, text: &str) -> Result<T, Failure> {
    spec::parse(text).map_err(|(message, span)| Failure::spec(name, text, &message, span))
}
