//! `kbench validate`: specification files checked without running anything.

use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use faults::plan::Plan;
use workloads::WorkloadSpec;

use super::{ValidateArgs, WORKLOAD, suite};
use crate::cluster::docker::adopted::ContainerInventory;
use crate::cluster::ssh::Inventory;
use crate::failure::{self, Failure};
use crate::need::{Need, RunFigures, place};
use crate::spec::{self, RunSuite, Spec, trust};
use crate::topology::{Topology, settings};
use crate::version::KafkaVersion;

/// Brokers and partitions of the cluster that a workload is held against when nobody says which.
const SMALLEST: (usize, usize) = (1, 1);

pub(super) fn validate(args: &ValidateArgs) -> Result<ExitCode, Failure> {
    let mut code = ExitCode::SUCCESS;
    for file in &args.files {
        match one(file, args.trust_spec, args.duration.map(Into::into)) {
            Ok(Valid { kind, needs, warnings }) => {
                results::out!("{}: valid {kind}", file.display());
                if let Some(needs) = needs {
                    results::out!("  {needs}");
                }
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

/// What a valid file is, what a run of it needs, and what its author should know.
struct Valid {
    kind: &'static str,
    needs: Option<String>,
    warnings: Vec<String>,
}

/// What a trial of these needs; what is not given is what `kbench run` takes.
fn needs(
    workload: Option<WorkloadSpec>,
    plan: Option<Plan>,
    cluster: Option<Topology>,
) -> Result<Option<String>, Failure> {
    let workload = workload.map_or_else(|| spec::load(WORKLOAD, &[]), Ok)?;
    let mut cluster: Topology = cluster.map_or_else(|| spec::load("guide", &[]), Ok)?;
    let brokers: Vec<_> = cluster.brokers().into_iter().collect();
    let loaded = workload.topics.as_ref().map(|topics| cluster.load_topics(topics, &brokers, ""));
    loaded
        .transpose()
        .map_err(|why| Failure::usage(format!("topics, on {}: {why}", cluster.name)))?;
    let figures = RunFigures::of_trial(&workload, plan.as_ref(), &cluster);
    let need = Need::of(&figures);
    let (seconds, workload, cluster) = (need.seconds, workload.name, cluster.name);
    let told = place::told(&need);
    Ok(Some(format!("a trial of up to {seconds} s with {workload} on {cluster} {told}")))
}

/// Validates one file.
fn one(file: &Path, trusted: bool, duration: Option<Duration>) -> Result<Valid, Failure> {
    let name = file.display().to_string();
    let text = spec::read(file)?;
    let table: toml::Table = text.parse().map_err(|error: toml::de::Error| {
        Failure::spec(&name, &text, &spec::plain(error.message()), error.span())
    })?;
    // The kind is told by the table that only this kind has.
    if table.contains_key("load") {
        let mut workload = parse::<WorkloadSpec>(&name, &text)?;
        if let Some(duration) = duration {
            workload.phases.duration = Some(duration);
            workload.validate().map_err(|error| Failure::usage(format!("--duration: {error}")))?;
        }
        trust::workload(&name, &workload, SMALLEST, trusted)?;
        let needs = needs(Some(workload), None, None)?;
        Ok(Valid { kind: WorkloadSpec::KIND, needs, warnings: vec![] })
    } else if ["step", "mix", "change"].iter().any(|key| table.contains_key(*key)) {
        let plan = parse::<Plan>(&name, &text)?;
        plan.versions().into_iter().try_for_each(|version| KafkaVersion::of(version).map(drop))?;
        let needs = needs(None, Some(plan), None)?;
        Ok(Valid { kind: Plan::KIND, needs, warnings: vec![] })
    } else if ContainerInventory::is_meant(&table) {
        parse::<ContainerInventory>(&name, &text)?;
        Ok(Valid { kind: ContainerInventory::KIND, needs: None, warnings: vec![] })
    } else if Inventory::is_meant(&table) {
        let inventory = parse::<Inventory>(&name, &text)?;
        trust::inventory(&name, &inventory, trusted)?;
        Ok(Valid { kind: Inventory::KIND, needs: None, warnings: vec![] })
    } else if table.contains_key("node") {
        let cluster = parse::<Topology>(&name, &text)?;
        trust::cluster(&name, &cluster, trusted)?;
        let version = KafkaVersion::of(&cluster.kafka.version)?;
        let warnings = settings::check(&cluster, version).map_err(Failure::usage)?;
        let warnings = warnings.iter().map(|warning| format!("{name}: {warning}"));
        let warnings = warnings.collect();
        let needs = needs(None, None, Some(cluster))?;
        Ok(Valid { kind: Topology::KIND, needs, warnings })
    } else if table.contains_key("scenario") {
        parse::<RunSuite>(&name, &text)?;
        let needs = Some(suite::valid(&name, trusted)?);
        Ok(Valid { kind: RunSuite::KIND, needs, warnings: vec![] })
    } else if table.contains_key("claim") {
        spec::claims_of(file)?;
        Ok(Valid { kind: "set of claims", needs: None, warnings: vec![] })
    } else {
        Err(Failure::usage(format!("{name} is none of kbench's specifications")).with_cure(
            "a workload has a table [load], a plan [[step]], [mix] or [[change]], a cluster [[node]], a suite [[scenario]], claims [[claim]]",
        ))
    }
}

fn parse<T: Spec>(name: &str, text: &str) -> Result<T, Failure> {
    spec::parse(text).map_err(|(message, span)| Failure::spec(name, text, &message, span))
}
