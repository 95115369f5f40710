use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::symlink;

use results::judge::offer::Offer;
use results::judge::verdict::Check;
use results::record::clock::RunTime;
use results::record::event::log::EventLog;
use results::record::event::{Event, EventKind};
use results::record::trial::EVENTS;
use results::report::{Question, RunMeta, judge};

use super::*;
use crate::private::tests::own_place;
use crate::spec::{WhichCluster, load, now};

fn spec() -> SuiteSpec {
    let suite: RunSuite = load("guide-quick", &[]).unwrap();
    let command = "kbench run --suite guide-quick".to_owned();
    SuiteSpec { seed: Some(7), strict: true, ..SuiteSpec::new(suite, command, now()) }
}

fn written(place: &Path) -> SuiteDir {
    fs::write(place.join(SUITE), toml::to_string(&spec()).unwrap()).unwrap();
    SuiteDir::find(place, place).unwrap()
}

/// A report of no trial at all.
pub(crate) fn report(interrupted: bool) -> Report {
    let text = || "x".to_owned();
    let run = RunMeta {
        run_id: text(),
        command: text(),
        workload: text(),
        plan: text(),
        seed: 1,
        asked_per_s: 1.0,
        offer: Offer::Even,
        record_bytes: 1,
        started: text(),
        kbench: text(),
        trials_asked: 0,
        strict: false,
        gates: vec![],
        trusted: vec![],
    };
    let question = Question { run, claims: vec![], allowed: BTreeSet::new() };
    Report { interrupted, ..judge(&question, &[]) }
}

fn run_in(folder: &Path, name: &str, report: Option<&Report>) {
    let run = folder.join(name);
    fs::create_dir_all(&run).unwrap();
    fs::write(run.join("spec.toml"), "").unwrap();
    if let Some(report) = report {
        fs::write(run.join("report.json"), report.to_json().unwrap()).unwrap();
    }
}

#[test]
fn a_scenario_is_finished_by_a_report_of_all_its_trials_and_by_nothing_else() {
    let place = own_place();
    let dir = written(place.path());
    let folder = place.path().join("01-healthy");
    let finished = |trials| dir.finished("01-healthy", trials).map(|(run, _)| run.name());
    assert_eq!(finished(0), None);
    run_in(&folder, "1", Some(&report(true)));
    assert_eq!(finished(0), None, "interrupted");
    run_in(&folder, "2", Some(&report(false)));
    run_in(&folder, "3", None);
    assert_eq!(finished(0).as_deref(), Some("2"));
    assert_eq!(finished(1), None, "a trial is missing");
    let settled = || dir.settled("01-healthy", 0).map(|(run, _)| run.name());
    assert_eq!(settled().as_deref(), Some("2"));
    let invalid = Report { verdict: Verdict::InvalidRun, ..report(false) };
    run_in(&folder, "4", Some(&invalid));
    assert_eq!((finished(0).as_deref(), settled()), (Some("4"), None), "it is made again");
    // A run that tells nothing of itself is not made again, and one that was disturbed is.
    let disturbed = |verdict| Check {
        name: "disturbance".to_owned(),
        verdict,
        count: 1,
        examined: 1,
        without_a_copy: false,
        note: None,
        witnesses: vec![],
    };
    for (verdict, again) in [(Verdict::Unknown, true), (Verdict::Valid, false)] {
        let unknown =
            Report { verdict: Verdict::Unknown, checks: vec![disturbed(verdict)], ..report(false) };
        run_in(&folder, "5", Some(&unknown));
        assert_eq!(settled().is_none(), again, "{verdict:?}");
    }
    fs::remove_dir_all(folder.join("5")).unwrap();
    // As the suite tells it: one trial was asked for.
    let told = dir.report(&Failures::new(), None).unwrap();
    assert_eq!((told.exit_code, told.scenarios[0].code), (3, 3));
    assert!(told.scenarios[0].outcome.contains("4 was not finished"), "{told:?}");
    assert!(told.scenarios[1].outcome.contains("not carried out"), "{told:?}");
    let failed = Failures::from([("healthy".to_owned(), (4, "no disk".to_owned()))]);
    assert_eq!(dir.report(&failed, None).unwrap().exit_code, 4);
    assert_eq!(RunDir::within(place.path()).len(), 4, "all of them are healed");
}

#[test]
fn a_run_of_which_a_trial_failed_is_made_again_unless_it_proved_a_violation() {
    let place = own_place();
    let dir = written(place.path());
    let (name, run) = ("01-healthy", place.path().join("01-healthy/1"));
    run_in(&place.path().join(name), "1", Some(&report(false)));
    assert!(dir.finished(name, 0).is_some());
    let mut events = EventLog::create(run.join(EVENTS)).unwrap();
    let failed = EventKind::TrialFailed { text: "no space left".to_owned(), cure: None };
    events.append(&Event { at: RunTime(1), kind: EventKind::Steady }).unwrap();
    assert!(dir.finished(name, 0).is_none(), "its record breaks off");
    events.append(&Event { at: RunTime(1), kind: failed }).unwrap();
    assert!(dir.finished(name, 0).is_none());
    // As it is told again from the files, with a report and without one.
    for _ in 0..2 {
        let told = dir.report(&Failures::new(), None).unwrap();
        assert_eq!((told.exit_code, told.scenarios[0].code), (4, 4));
        assert!(told.scenarios[0].outcome.contains("1 failed: no space left"), "{told:?}");
        fs::remove_file(run.join("report.json")).ok();
    }
    let violated = Report { verdict: Verdict::Violated, ..report(true) };
    fs::write(run.join("report.json"), violated.to_json().unwrap()).unwrap();
    assert!(dir.settled(name, 3).is_some(), "of the trials that there were");
    let mut scenario = spec().suite.scenarios.remove(0);
    assert!(dir.done(&scenario, name).is_some());
    scenario.must_find = vec!["lost".to_owned()];
    assert!(dir.done(&scenario, name).is_none(), "what it must find may be another violation");
}

#[test]
fn what_is_only_linked_to_is_no_part_of_a_suite() {
    let (place, other) = (own_place(), own_place());
    run_in(&other.path().join("runs"), "1", Some(&report(false)));
    let dir = written(place.path());
    symlink(other.path().join("runs"), place.path().join("01-healthy")).unwrap();
    assert!(dir.finished("01-healthy", 0).is_none() && RunDir::within(place.path()).is_empty());
    fs::remove_file(place.path().join(SUITE)).unwrap();
    let real = other.path().join(SUITE);
    fs::write(&real, toml::to_string(&spec()).unwrap()).unwrap();
    symlink(&real, place.path().join(SUITE)).unwrap();
    assert!(dir.spec().is_err(), "a link");
}

#[test]
fn a_run_is_asked_for_what_its_scenario_and_its_suite_say() {
    let place = own_place();
    let dir = written(place.path());
    let read = dir.spec().unwrap();
    let (scenario, folder) = folder_names(&read.suite).nth(1).unwrap();
    assert_eq!(folder, "02-failover");
    let arguments = read.arguments(&dir, scenario).join(" ");
    assert!(arguments.starts_with("--workload 1k-msg-s --faults failover --claim "), "{arguments}");
    assert!(arguments.ends_with("--seed 7 --strict"), "{arguments}");
    let asked = arguments.matches("--claim ").count();
    assert_eq!(asked, scenario.claims.len());
}

#[test]
fn a_suite_on_a_cluster_that_runs_already_stays_there_and_what_it_does_not_allow_is_told() {
    let place = own_place();
    let cluster = SuiteCluster {
        which: WhichCluster::Inventory("my machines.toml".to_owned()),
        id: Some("-theirs".to_owned()),
        command_config: Some("client.properties".into()),
        keep_topics: true,
        not_allowed: [("failover".to_owned(), "it is for 5 brokers".to_owned())].into(),
    };
    let written = SuiteSpec { cluster: Some(cluster.clone()), ..spec() };
    fs::write(place.path().join(SUITE), toml::to_string(&written).unwrap()).unwrap();
    let dir = SuiteDir::find(place.path(), place.path()).unwrap();
    let read = dir.spec().unwrap();
    assert_eq!(read.cluster.as_ref(), Some(&cluster));
    let scenario = &read.suite.scenarios[0];
    let arguments = read.arguments(&dir, scenario).join(" ");
    assert!(arguments.contains("--cluster my machines.toml --keep-topics"), "{arguments}");
    assert!(!arguments.contains("hurt"), "that is said each time: {arguments}");
    let said = said_each_time(false, None, read.cluster.as_ref());
    let leave = ["--command-config", "client.properties", "--yes-hurt-this-cluster", "-theirs"];
    assert_eq!(said, leave);
    let command = scenario.command(read.cluster.as_ref());
    let ends = format!("--cluster 'my machines.toml' --keep-topics {}", leave.join(" "));
    assert!(command.ends_with(&ends), "{command}");
    let told = dir.report(&Failures::new(), None).unwrap();
    let failover = told.scenarios.iter().find(|it| it.id == "failover").unwrap();
    assert_eq!(failover.outcome, "not carried out on this cluster: it is for 5 brokers");
    assert_eq!(told.suite.cluster.as_deref(), Some("-theirs, my machines.toml"));
    assert_eq!(told.exit_code, 3);
}

#[test]
fn a_suite_of_another_format_is_refused() {
    let place = own_place();
    let text = toml::to_string(&SuiteSpec { format: 9, ..spec() }).unwrap();
    fs::write(place.path().join(SUITE), text).unwrap();
    let dir = SuiteDir::find(place.path(), place.path()).unwrap();
    assert!(dir.spec().unwrap_err().text().contains("format 9"));
}
