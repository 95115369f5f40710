//! Carries out shipped plans on a real cluster, and says of each fault how it was proven, what
//! clients felt of it, and how soon it was undone.

#![allow(dead_code, reason = "each test binary uses a part")]

use std::path::Path;
use std::time::Duration;

use comfy_table::{Table, presets};
use serde_json::Value;

use super::{events, exit_code, folder, json, latest, of_the_machine, start, stderr};

/// Limit for one plan: the longest shipped ones hold several faults for a minute each.
const PLAN: Duration = Duration::from_secs(600);

/// What became of one plan.
#[derive(Default)]
pub(crate) struct Outcome {
    /// Names of the faults that took effect and were undone, both proven.
    pub(crate) faults: Vec<String>,
    /// What the faults' evidence says, a line each.
    pub(crate) evidence: Vec<String>,
    /// One row a fault.
    rows: Vec<Vec<String>>,
    /// How soon after the decision each fault was done, and shown to be in effect, in seconds.
    pub(crate) prompt: Vec<(String, [f64; 2])>,
    /// Why the backend refused the plan before anything was started.
    pub(crate) refused: Option<String>,
    /// Why the plan does not count as passed.
    pub(crate) failures: Vec<String>,
}

/// Carries out `plan` with `more` arguments, and judges the faults,
/// not the machine: a run that its own schedule lag made invalid still counts.
/// The run is kept when the plan did not pass: its logs tell why.
pub(crate) fn carry_out(plan: &str, more: &[&str]) -> Outcome {
    carry_out_and(plan, more, false)
}

/// The same, of a plan that destroys acknowledged records: that is to be found.
pub(crate) fn carry_out_losing(plan: &str, more: &[&str]) -> Outcome {
    carry_out_and(plan, more, true)
}

fn carry_out_and(plan: &str, more: &[&str], loses: bool) -> Outcome {
    let out = folder();
    let mut outcome = Outcome::default();
    let mut arguments = vec!["--workload", "smoke", "--faults", plan];
    arguments.extend(more);
    let code = exit_code(&mut start(out.path(), &arguments), PLAN, out.path());
    if [0, 1, 3].contains(&code) {
        look_at(plan, loses, &latest(out.path()), &mut outcome);
    } else if let (2, Some(why)) = (code, refusal(&stderr(out.path()))) {
        let row = [plan, "-", "refused", &why].map(str::to_owned);
        outcome.rows.push(row.into());
        outcome.refused = Some(why);
    } else {
        let text = stderr(out.path());
        outcome.failures.push(format!("{plan}: exit code {code}\n{text}"));
    }
    if !outcome.failures.is_empty() {
        let kept = out.keep();
        outcome.failures.push(format!("{plan}: its run is kept in {}", kept.display()));
    }
    outcome
}

/// Why a backend refuses a plan: it cannot do what a fault needs.
fn refusal(text: &str) -> Option<String> {
    let why = text.lines().find_map(|line| line.strip_prefix("error: "))?;
    why.contains("needs the capability").then(|| why.to_owned())
}

/// Judges the run of a plan, and collects what the table shows of it.
fn look_at(plan: &str, loses: bool, run: &Path, outcome: &mut Outcome) {
    let report = json(&run.join("report.json"));
    judge(plan, loses, &report, run, outcome);
    for fault in report["faults"].as_array().into_iter().flatten() {
        let lines = fault["evidence"].as_array().into_iter().flatten();
        outcome.evidence.extend(lines.filter_map(Value::as_str).map(str::to_owned));
        outcome.rows.push(row(plan, fault, &report, run));
        let seconds = ["took_s", "shown_s"].map(|key| fault[key].as_f64().unwrap_or(f64::INFINITY));
        outcome.prompt.extend(fault["fault"].as_str().map(|name| (name.to_owned(), seconds)));
        if fault["proven"] == true && fault["heal_proven"] == true {
            outcome.faults.extend(fault["fault"].as_str().map(str::to_owned));
        } else {
            outcome.failures.push(format!("{plan}: not proven: {fault}"));
        }
    }
}

/// The outcomes as a table for people.
pub(crate) fn table(outcomes: &[Outcome]) -> String {
    let mut table = Table::new();
    table.load_style(presets::NOTHING);
    table.set_header([
        "PLAN",
        "STEP",
        "FAULT",
        "EVIDENCE",
        "DONE IN",
        "SHOWN BY",
        "FELT BY CLIENTS",
        "HEALED IN",
    ]);
    for row in outcomes.iter().flat_map(|outcome| &outcome.rows) {
        table.add_row(row);
    }
    table.trim_fmt()
}

fn judge(plan: &str, loses: bool, report: &Value, run: &Path, outcome: &mut Outcome) {
    if report["faults"].as_array().is_none_or(Vec::is_empty) {
        outcome.failures.push(format!("{plan}: nothing was injected"));
    }
    for step in report["skipped"].as_array().into_iter().flatten() {
        outcome.failures.push(format!("{plan}: skipped: {step}"));
    }
    let mut lost = 0;
    let mut expected = expects_anything(run);
    for check in report["checks"].as_array().into_iter().flatten() {
        expected |= check["name"] == "plan-expectation" && check["verdict"] == "valid";
        lost += match check["name"].as_str() {
            Some("lost" | "lost-tail") => check["count"].as_u64().unwrap_or_default(),
            _ => 0,
        };
        // What is lost is found in other ways as well.
        let meant = loses && check["verdict"] == "violated";
        if check["verdict"] != "valid" && !meant && !of_the_machine(check) {
            outcome.failures.push(format!("{plan}: {check}"));
        }
    }
    if loses && lost == 0 {
        outcome.failures.push(format!("{plan}: no acknowledged record was lost"));
    }
    if !expected {
        outcome.failures.push(format!("{plan}: its expectation was not met, or not judged"));
    }
}

/// Whether no step of the plan says what the cluster is to do: what is acked must not be lost all the same.
fn expects_anything(run: &Path) -> bool {
    let events = events(run);
    let mut ends = events.iter().filter(|event| event["event"] == "fault-recovered").peekable();
    ends.peek().is_some() && ends.all(|event| event["expected"] == "anything")
}

fn row(plan: &str, fault: &Value, report: &Value, run: &Path) -> Vec<String> {
    let text = |value: &Value| value.as_str().unwrap_or("-").to_owned();
    let milliseconds = |value: &Value| {
        value.as_f64().map_or("-".to_owned(), |seconds| format!("{:.1} ms", seconds * 1e3))
    };
    let id = &fault["id"];
    let at = |kind: &str| {
        let events = events(run);
        let event = events.into_iter().find(|e| e["event"] == kind && e["fault_id"] == *id)?;
        event["at"].as_f64().map(|ns| ns / 1e9)
    };
    let between = |from: &str, to: &str| match (at(from), at(to)) {
        (Some(from), Some(to)) => format!("{:.2} s", to - from),
        _ => "-".to_owned(),
    };
    let main = report["recovery"].as_array().into_iter().flatten();
    let main = main.filter(|row| row["fault"] == *id && row["stream"] == "main");
    let longest = main.max_by(|a, b| {
        let felt = |row: &Value| row["unavailable_s"].as_f64().unwrap_or(f64::INFINITY);
        felt(a).total_cmp(&felt(b))
    });
    let felt = longest.map_or("-".to_owned(), |row| {
        let seconds = row["unavailable_s"].as_f64().unwrap_or(f64::INFINITY);
        let until = if row["ended_after_heal"] == true { ", ended after the heal" } else { "" };
        if row["interrupted"] == true {
            format!("{seconds:.1} s{until}")
        } else {
            format!("no, {:.0} ms", seconds * 1e3)
        }
    });
    vec![
        plan.to_owned(),
        text(id),
        text(&fault["fault"]),
        text(&fault["evidence"][0]),
        milliseconds(&fault["took_s"]),
        milliseconds(&fault["shown_s"]),
        felt,
        between("fault-healing", "fault-healed"),
    ]
}
