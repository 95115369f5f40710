//! What a report leaves on disk, and what is read back from a run's directory.

use super::*;
use crate::fixture::files::write_down;
use crate::report::judge::judge_and_count;

#[test]
fn all_files_are_written_and_read_back() {
    let dir = tempfile::tempdir().unwrap();
    let trials = vec![three_faults(1).trial()];
    let (report, acks) = judge_and_count(&fixture::question(1), &trials);
    report.write_all(dir.path(), &trials, &acks).unwrap();
    let mut names: Vec<String> = std::fs::read_dir(dir.path())
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    let expected = [
        "consuming.csv",
        "junit.xml",
        "latency.hlog",
        "omb.json",
        "report.html",
        "report.json",
        "summary.csv",
    ];
    assert_eq!(names, expected);
    let said = text::render(&report, Some(dir.path()), false);
    assert!(names.iter().all(|name| said.contains(name.as_str())), "{said}");
    let read = |name: &str| std::fs::read_to_string(dir.path().join(name)).unwrap();
    assert_eq!(serde_json::from_str::<Report>(&read("report.json")).unwrap(), report);
    assert_eq!(read("summary.csv").lines().count(), 1 + 3 * 9);
    let log = read("latency.hlog");
    use hdrhistogram::serialization::interval_log::{IntervalLogIterator, LogEntry};
    let entries: Vec<_> = IntervalLogIterator::new(log.as_bytes()).map(Result::unwrap).collect();
    let intervals = entries.iter().filter(|e| matches!(e, LogEntry::Interval(_))).count();
    // Every second of load but those of the three stalls.
    assert!((50..=56).contains(&intervals), "{intervals}");
    assert!(report.write_all(&dir.path().join("missing"), &trials, &acks).is_err());
}

#[test]
fn a_report_does_not_depend_on_how_its_history_is_divided() {
    let mut trials = vec![three_faults(1).trial()];
    let judged = |trials: &[TrialRecord]| {
        let dir = tempfile::tempdir().unwrap();
        let (report, acks) = judge_and_count(&fixture::question(1), trials);
        report.write_all(dir.path(), trials, &acks).unwrap();
        (report, std::fs::read_to_string(dir.path().join("latency.hlog")).unwrap())
    };
    let whole = judged(&trials);
    let mut history = History::collect(&*trials[0].history).unwrap();
    // Two producers of the main load, each with every other record.
    let mut more = history.streams[0].clone();
    more.name = "more".to_owned();
    let mut turn = false;
    let mut other = |_: &_| {
        turn = !turn;
        turn
    };
    let (mine, theirs) = more.entries.drain(..).partition(|entry| other(entry));
    (history.streams[0].entries, more.entries) = (mine, theirs);
    history.streams.push(more);
    trials[0].history = Box::new(fixture::Chopped(history, 7));
    let (mut divided, latency) = judged(&trials);
    assert_eq!(latency, whole.1);
    let mut whole = whole.0;
    for report in [&mut whole, &mut divided] {
        // These count streams, or divide by the number of producers.
        let of_streams = ["history-complete", "unseen", "client-cpu"];
        report.checks.retain(|check| !of_streams.contains(&&*check.name));
    }
    assert_eq!(divided, whole);
}

#[test]
fn a_run_s_directory_is_judged_as_it_was_recorded() {
    let dir = tempfile::tempdir().unwrap();
    let run = dir.path();
    let question = fixture::question(2);
    assert!(Judged::of(run, &question).unwrap_err().to_string().contains("trial 2: cannot read"));

    let trials = [three_faults(1).trial(), three_faults(2).trial()];
    trials.iter().for_each(|one| drop(write_down(one, run, 2, &[])));
    let judged = Judged::of(run, &question).unwrap();
    let mut in_memory = judge(&question, &trials);
    // Files are counted.
    let compared = |check: &&mut Check| check.name == "record-intact";
    in_memory.checks.iter_mut().find(compared).unwrap().examined = 18;
    assert_eq!(judged.report, in_memory);
    judged.write(run).unwrap();
    assert!(run.join("report.json").is_file() && run.join("latency.hlog").is_file());
    assert_eq!(
        Judged::of(run, &question).unwrap().report,
        judged.report,
        "a report changes nothing"
    );

    std::fs::remove_dir_all(trial::directory(run, 2, 2)).unwrap();
    let missing = Judged::of(run, &question).unwrap().report;
    assert_eq!((missing.verdict, missing.trials), (Verdict::Unknown, 1));
}

#[test]
fn a_client_that_was_killed_on_purpose_may_have_left_half_a_block() {
    let judged = |told: bool| {
        let dir = tempfile::tempdir().unwrap();
        let mut trial = three_faults(1).trial();
        let whole = write_down(&trial, &dir.path().join("whole"), 1, &["reads"]);
        let history_bytes = std::fs::metadata(whole.join("history/reads.kbh")).unwrap().len();
        if told {
            let kind = EventKind::ClientKilled { client: "reads".to_owned(), history_bytes };
            trial.events.insert(30, Event { at: at(60.0), kind });
        }
        let run = dir.path().join("run");
        write_down(&trial, &run, 1, &["reads"]);
        Judged::of(&run, &fixture::question(1)).unwrap().report
    };
    assert_eq!(judged(true).verdict, Verdict::Valid);
    assert_eq!(judged(false).verdict, Verdict::Unknown);
}

/// Keys that readers of `report.json` may count on.
const CONTRACT: [&str; 9] =
    ["format", "run", "verdict", "exit_code", "load", "checks", "faults", "claims", "recovery"];

#[test]
fn the_schema_is_in_step_and_the_contract_s_keys_are_there() {
    let schema = schemars::schema_for!(Report);
    let text = serde_json::to_string_pretty(&schema).unwrap() + "\n";
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/schema/report.schema.json");
    if std::env::var_os("UPDATE_SCHEMA").is_some() {
        std::fs::write(path, &text).unwrap();
    }
    let committed = std::fs::read_to_string(path).unwrap_or_default();
    assert_eq!(committed, text, "run the test with UPDATE_SCHEMA=1 and commit the schema");

    let sample = report_of(vec![three_faults(1).trial()]);
    let json: serde_json::Value = serde_json::from_str(&sample.to_json().unwrap()).unwrap();
    let has = |value: &serde_json::Value, keys: &[&str]| {
        for key in keys {
            assert!(value.get(key).is_some(), "key {key} is missing");
        }
    };
    has(&json, &CONTRACT);
    has(&json["run"], &["run_id", "seed", "command", "workload", "plan", "started", "strict"]);
    has(&json["load"], &["asked_per_s", "achieved_per_s", "sent", "acked", "failed"]);
    has(&json["load"], &["indeterminate", "delivered", "redelivered", "bytes", "service_us"]);
    has(&json["load"], &["schedule_lag_us", "end_to_end_us"]);
    has(&json["load"]["latency_us"], &["p50", "p90", "p99", "p999", "max", "n"]);
    has(&json["checks"][0], &["name", "verdict", "count", "witnesses"]);
    let group =
        ["trial", "group", "topic", "delivered", "redelivered", "undelivered", "steady", "faults"];
    has(&json["consuming"][0], &group);
    let fault = ["id", "fault", "target", "victims", "injected_s", "healed_s", "evidence"];
    has(&json["faults"][0], &fault);
    has(&json["claims"][0], &["id", "text", "source", "stated_s", "predicted_s", "outcome"]);
    has(&json["claims"][0]["measured_s"], &["n", "min", "median", "max", "censored"]);
    has(&json["claims"][0]["phases_s"], &["detect", "elect", "metadata", "client"]);
    has(&json["recovery"][0], &["fault", "partition", "first_error_s", "unavailable_s"]);
    has(&json["recovery"][0], &["first_ack_s", "throughput_restored_s", "isr_full_s"]);
    assert_eq!(json["verdict"], "valid");
    assert_eq!(TOPIC, json["recovery"][0]["topic"]);
}

#[test]
fn what_nobody_did_has_no_rows() {
    let mut report = report_of(vec![three_faults(1).trial()]);
    let shown = text::render(&report, None, false);
    for part in ["around faults", "end to end", "detection of dead brokers"] {
        assert!(shown.contains(part), "{shown}");
    }
    report.faults.clear();
    report.load.end_to_end_us = Default::default();
    let shown = text::render(&report, None, false);
    for part in ["around faults", "end to end", "detection of dead brokers", "-0.0"] {
        assert!(!shown.contains(part), "{shown}");
    }
}
