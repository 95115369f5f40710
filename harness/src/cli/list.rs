//! `kbench list`: what is shipped, and the recorded runs.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::ExitCode;

use clap::ValueEnum;
use comfy_table::{Table, presets};
use faults::fault::FaultSpec;
use faults::plan::Plan;
use results::judge::claim::Metric;
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
use crate::series::suite::SuiteDir;
use crate::spec::{self, RunSuite, Spec};
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
    /// The guide's claims, and the metrics that a claim can name
    Claims,
    /// Clusters that `--cluster` knows by name
    Clusters,
    /// Suites that `--suite` knows by name
    Suites,
    /// Recorded runs and suites, oldest first
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
        What::Suites => specs::<RunSuite>(),
        What::Faults => fault_rows()?,
        What::Runs => runs(args),
    };
    show(header, &rows);
    if args.what == What::Claims {
        results::out!("");
        let row = |(example, what): &(&str, &str)| {
            vec![format!("metric = {example}"), (*what).to_owned()]
        };
        let rows: Vec<_> = Metric::EXAMPLES.iter().map(row).collect();
        show(vec!["METRIC, AS A CLAIM NAMES IT", "WHAT IT IS"], &rows);
    }
    Ok(ExitCode::SUCCESS)
}

fn show(header: Vec<&str>, rows: &[Vec<String>]) {
    let mut table = Table::new();
    table.load_style(presets::NOTHING).set_header(header);
    for row in rows {
        table.add_row(row.iter().map(|text| printable_line(text)));
    }
    results::out!("{}", table.trim_fmt());
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
            let each = [claim.scenario, claim.or_scenario].map(|steps| steps.join(", "));
            let steps: Vec<_> = each.into_iter().filter(|steps| !steps.is_empty()).collect();
            let steps = steps.join("; or ");
            let steps = match (claim.metric.is_tested_here(), steps.is_empty()) {
                (false, _) => "not tested here".to_owned(),
                (true, true) => "any".to_owned(),
                (true, false) => steps,
            };
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
    let of_run = |run: &RunDir| {
        let verdict = reported(run.path(), "verdict");
        let verdict = verdict.as_ref().and_then(serde_json::Value::as_str);
        let verdict = verdict.unwrap_or("no report").to_owned();
        let command = match (run.readable(), run.spec()) {
            (Ok(()), Ok(spec)) => spec.command,
            (Ok(()), Err(_)) => "spec.toml is damaged".to_owned(),
            (Err(_), _) => "recorded in another format of run directories".to_owned(),
        };
        vec![run.name(), verdict, command]
    };
    let of_suite = |suite: &SuiteDir| {
        let code = reported(suite.path(), "exit_code");
        let code = code.map_or("no report".to_owned(), |code| format!("suite: {code}"));
        let command = suite.spec().map_or("suite.toml is damaged".to_owned(), |spec| spec.command);
        vec![suite.name(), code, command]
    };
    let mut rows: Vec<_> = RunDir::all(&args.out).iter().map(of_run).collect();
    rows.extend(SuiteDir::all(&args.out).iter().map(of_suite));
    // Names begin with the time.
    rows.sort();
    (vec!["RUN", "VERDICT", "COMMAND"], rows)
}

/// What the report in this folder has under a key.
fn reported(folder: &Path, key: &str) -> Option<serde_json::Value> {
    let bytes = open::read(&folder.join("report.json"), MOST_EVENT_BYTES).ok()?;
    serde_json::from_slice::<serde_json::Value>(&bytes).ok()?.get(key).cloned()
}
