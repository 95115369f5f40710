//! `kbench list`: what is shipped, and the recorded runs.

use std::collections::{BTreeMap, BTreeSet};
use std::process::ExitCode;

use clap::ValueEnum;
use comfy_table::{Table, presets};
use faults::fault::FaultSpec;
use faults::plan::Plan;
use results::record::budget::MOST_EVENT_BYTES;
use results::record::open;
use results::terminal::printable_line;
use workloads::WorkloadSpec;

use super::ListArgs;
use crate::cluster::docker::adopted::ContainerInventory;
use crate::cluster::local::{capability, sandbox};
use crate::cluster::ssh::Inventory;
use crate::failure::Failure;
use crate::rundir::RunDir;
use crate::spec::{self, Spec};
use crate::topology::Topology;

/// What can be listed.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum What {
    /// Loads that `--workload` knows by name
    Workloads,
    /// Plans that `--faults` knows by name
    Plans,
    /// Faults that a plan can name
    Faults,
    /// The guide's claims
    Claims,
    /// Clusters that `--cluster` knows by name
    Clusters,
    /// Recorded runs, oldest first
    Runs,
}

pub(super) fn list(args: &ListArgs) -> Result<ExitCode, Failure> {
    let (header, rows) = match args.what {
        What::Workloads => specs::<WorkloadSpec>(),
        What::Plans => specs::<Plan>(),
        What::Clusters => {
            let (header, clusters) = specs::<Topology>();
            let inventories = [specs::<Inventory>().1, specs::<ContainerInventory>().1];
            (header, [clusters, inventories.concat()].concat())
        }
        What::Claims => claims()?,
        What::Faults => fault_rows()?,
        What::Runs => runs(args),
    };
    let mut table = Table::new();
    table.load_style(presets::NOTHING).set_header(header);
    for row in rows {
        table.add_row(row.iter().map(|text| printable_line(text)));
    }
    results::out!("{}", table.trim_fmt());
    Ok(ExitCode::SUCCESS)
}

type Rows = (Vec<&'static str>, Vec<Vec<String>>);

fn specs<T: Spec>() -> Rows {
    let describe = |text: &str| {
        text.parse::<toml::Table>()
            .ok()
            .and_then(|table| table.get("description")?.as_str().map(str::to_owned))
            .unwrap_or_default()
    };
    let rows =
        T::shipped().iter().map(|(name, text)| vec![(*name).to_owned(), describe(text)]).collect();
    (vec!["NAME", "DESCRIPTION"], rows)
}

fn claims() -> Result<Rows, Failure> {
    let rows = spec::guide()?
        .into_iter()
        .map(|claim| {
            let steps = claim.scenario.join(", ");
            let steps = if steps.is_empty() { "any".into() } else { steps };
            let reading = claim.reading.unwrap_or_default();
            vec![claim.id, steps, format!("\"{}\"", claim.text), reading]
        })
        .collect();
    Ok((vec!["CLAIM", "TESTED BY STEP", "SENTENCE", "READING"], rows))
}

/// Each fault, and whether the best mode of this machine can do it.
fn fault_rows() -> Result<Rows, Failure> {
    let mode = sandbox::choose(None).map_err(|error| Failure::infrastructure(error.to_string()))?;
    let needs: BTreeSet<_> =
        FaultSpec::ALL.iter().flat_map(|spec| spec.fault().needs().to_vec()).collect();
    let missing: BTreeMap<_, _> = needs
        .into_iter()
        .filter_map(|need| Some((need, capability::missing(mode, need)?)))
        .collect();
    let row = |spec: &FaultSpec| {
        let fault = spec.fault();
        let why = fault.needs().iter().find_map(|need| missing.get(need));
        let here = why.map_or("yes".to_owned(), |why| format!("no: {why}"));
        let written = toml::Value::try_from(spec).map(|value| value.to_string());
        let written = written.unwrap_or_default();
        vec![fault.name().to_owned(), written, here, fault.summary().to_owned()]
    };
    Ok((
        vec!["FAULT", "IN A PLAN", "HERE", "DESCRIPTION"],
        FaultSpec::ALL.iter().map(row).collect(),
    ))
}

fn runs(args: &ListArgs) -> Rows {
    let rows = RunDir::all(&args.out)
        .iter()
        .map(|run| {
            let report: Option<serde_json::Value> =
                open::read(&run.path().join("report.json"), MOST_EVENT_BYTES)
                    .ok()
                    .and_then(|bytes| serde_json::from_slice(&bytes).ok());
            let verdict = report
                .as_ref()
                .and_then(|report| report["verdict"].as_str().map(str::to_owned))
                .unwrap_or_else(|| "no report".into());
            let command = match (run.readable(), run.spec()) {
                (Ok(()), Ok(spec)) => spec.command,
                (Ok(()), Err(_)) => "spec.toml is damaged".to_owned(),
                (Err(_), _) => "recorded in another format of run directories".to_owned(),
            };
            vec![run.name(), verdict, command]
        })
        .collect();
    (vec!["RUN", "VERDICT", "COMMAND"], rows)
}
