//! The history of runs: filled once, kept when runs are deleted, and read by `kbench trend`.

#![expect(clippy::expect_used, reason = "a test that cannot set itself up has failed")]

mod support;

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use kbench::cluster::local::sandbox::Mode;
use kbench::run_history::{HISTORY_FILE, RunHistory};
use kbench::spec::{Request, RunSpec};
use results::judge::offer::Offer;
use results::judge::verdict::Verdict;
use results::record::environment::Environment;
use results::report::{Question, Report, RunMeta, TrialEnvironment, judge};
use serde_json::Value;

use support::{exited, kbench};

/// What each of the nights asks for.
fn asked() -> RunSpec {
    let (seed, mode) = (Some(7), Some(Mode::Loopback));
    let request = Request { seed, mode, ..Request::of("smoke", "none", "guide") };
    request.resolve().expect("a spec").spec
}

/// A run of night `number` (from 0) as it would be left in `folder`, with a p99 of so many microseconds.
fn night(folder: &Path, spec: &RunSpec, number: usize, p99: u64) -> Report {
    let run_id = format!("202601{:02}T020000Z-smoke-{number:04x}", number + 1);
    let dir = folder.join(&run_id);
    fs::create_dir_all(&dir).expect("a folder");
    let started = format!("2026-01-{:02}T02:00:00Z", number + 1);
    let spec = RunSpec { run_id: run_id.clone(), started: started.clone(), ..spec.clone() };
    fs::write(dir.join("spec.toml"), toml::to_string(&spec).expect("TOML")).expect("a spec");
    results::record::format::write(&dir).expect("a format");
    let run = RunMeta {
        run_id,
        started,
        command: "kbench run".to_owned(),
        workload: "smoke".to_owned(),
        plan: "none".to_owned(),
        seed: 7,
        asked_per_s: 100.0,
        offer: Offer::Even,
        record_bytes: 100,
        kbench: "0.1.0".to_owned(),
        trials_asked: 1,
        strict: false,
        gates: vec![],
        trusted: vec![],
    };
    let question = Question { run, claims: vec![], allowed: BTreeSet::new() };
    let mut report = Report { verdict: Verdict::Valid, ..judge(&question, &[]) };
    report.load.baseline.latency_us.p99 = Some(p99);
    let kafka = if p99 > 22_000 { "3.9.1" } else { "3.8.1" }.to_owned();
    let environment = Environment { kafka, cores: 2, ..Environment::default() };
    report.environments.push(TrialEnvironment { trial: 1, environment });
    fs::write(dir.join("report.json"), report.to_json().expect("JSON")).expect("a report");
    report
}

/// So many nights around 20 ms, from `slower` on 25 % above it.
fn nights(folder: &Path, all: usize, slower: usize) {
    let spec = asked();
    for number in 0..all {
        let p99 = if number < slower { 20_000 } else { 25_000 };
        night(folder, &spec, number, p99 + 100 * (number as u64 * 7 % 5));
    }
}

/// Exit code, stdout and stderr of `kbench VERB --out OUT ARGUMENTS`.
fn of(verb: &str, out: &Path, arguments: &[&str]) -> (i32, String, String) {
    exited(kbench().arg(verb).arg("--out").arg(out).args(arguments))
}

fn json(text: &str) -> Value {
    serde_json::from_str(text).expect("JSON")
}

#[test]
fn a_run_is_taken_once_and_its_figures_outlive_its_directory() {
    let out = tempfile::tempdir().expect("a folder");
    let out = out.path();
    nights(out, 6, 6);
    // A scenario of a suite.
    nights(&out.join("20260101T010000Z-guide-0001/01-healthy"), 3, 3);
    let mut history = RunHistory::open(out).expect("a history");
    let filled = history.fill(out).expect("filled");
    assert_eq!((filled.taken, filled.passed_over), (6, vec![]), "three have the same names");
    night(&out.join("20260101T010000Z-guide-0001/02-other"), &asked(), 20, 20_000);
    fs::create_dir(out.join("20260201T000000Z-smoke-0099")).expect("a folder");
    fs::write(out.join("20260201T000000Z-smoke-0099/spec.toml"), "").expect("a spec");
    let filled = history.fill(out).expect("filled");
    assert_eq!((filled.taken, filled.passed_over.len()), (1, 1), "{filled:?}");
    assert!(filled.passed_over[0].starts_with("20260201T000000Z-smoke-0099: "), "{filled:?}");
    let before = history.series().expect("series");
    assert_eq!((before.len(), before[0].runs.len()), (1, 7));
    assert_eq!(before[0].runs[6].id, "20260121T020000Z-smoke-0014");
    drop(history);
    fs::remove_dir_all(out.join("20260201T000000Z-smoke-0099")).expect("removed");
    night(out, &asked(), 8, 20_000);
    let (code, stdout, stderr) = of("prune", out, &["--keep", "1"]);
    assert_eq!(code, 0, "{stdout}{stderr}");
    let left = kbench::rundir::RunDir::all(out);
    assert_eq!(left.len(), 1, "{stdout}");
    let mut history = RunHistory::open(out).expect("a history");
    assert_eq!(history.fill(out).expect("filled").taken, 0, "taken before the rest was deleted");
    let after = history.series().expect("series");
    assert_eq!(after[0].runs.len(), 8);
    assert!(before[0].runs.iter().all(|run| after[0].runs.contains(run)));
}

#[test]
fn a_regression_is_told_and_fails_where_that_is_asked_for() {
    let out = tempfile::tempdir().expect("a folder");
    let out = out.path();
    nights(out, 20, 14);
    let (code, stdout, stderr) = of("trend", out, &[]);
    assert_eq!(code, 0, "{stderr}");
    assert!(stderr.contains("history.sqlite: 20 taken"), "{stderr}");
    for words in [
        "workload smoke, plan none, profile not seen, 1 trial a run",
        "response.p99: 20.20 ms to 25.25 ms (+25.0 %) from 20260115T020000Z-smoke-000e on",
        "regression; with it: kafka 3.8.1 to 3.9.1",
    ] {
        assert!(support::flat(&stdout).contains(words), "no {words:?} in {stdout}");
    }
    let (code, stdout, stderr) = of("trend", out, &["--strict", "--format", "json"]);
    assert!(code == 1 && stderr.contains(": 0 taken"), "{code} {stderr}");
    let metric = &json(&stdout)["series"][0]["metrics"][0];
    assert_eq!(
        (&metric["metric"], &metric["change"]),
        (&"response.p99".into(), &"regression".into())
    );
    assert_eq!(metric["changes"][0]["index"], 14);
    let (code, _, _) = of("trend", out, &["--strict", "--least-effect", "30"]);
    assert_eq!(code, 0, "a quarter is not what counts");
    let id = json(&stdout)["series"][0]["id"].as_str().expect("an id").to_owned();
    let plot = out.join("plot.svg");
    let svg = plot.to_str().expect("a path");
    let (code, _, stderr) = of("trend", out, &["--strict", "--series", &id, "--svg", svg]);
    assert!(code == 1 && stderr.contains("plot: "), "{code} {stderr}");
    let drawn = fs::read_to_string(&plot).expect("a plot");
    assert!(drawn.starts_with("<svg ") && drawn.contains("+25.0 % regression"), "{drawn}");
}

#[test]
fn figures_are_written_for_other_tools() {
    let out = tempfile::tempdir().expect("a folder");
    let out = out.path();
    nights(out, 4, 4);
    let file = out.join("exported");
    let export = |form: &str| {
        let (code, _, stderr) =
            of("trend", out, &["--export", form, file.to_str().expect("a path")]);
        assert_eq!(code, 0, "{stderr}");
        fs::read_to_string(&file).expect("a file")
    };
    let csv = export("otava");
    assert!(csv.starts_with("time,run,response.p99\n2026-01-01T02:00:00Z,"), "{csv}");
    assert_eq!(csv.lines().count(), 5);
    let bencher = json(&export("bencher"));
    let (name, measures) = bencher.as_object().expect("an object").iter().next().expect("one");
    assert!(name.starts_with("smoke/none/not seen/"), "{name}");
    assert_eq!(measures["response.p99"]["value"], 20_100.0);
    let github = json(&export("github-benchmark"));
    assert_eq!((&github[0]["unit"], &github[0]["value"]), (&"us".into(), &20_100.0.into()));
}

#[test]
fn what_cannot_be_followed_is_refused_in_words() {
    let out = tempfile::tempdir().expect("a folder");
    let out = out.path();
    let none = out.join("none");
    for (folder, arguments, words) in [
        (&*none, &[][..], "there is no folder"),
        (out, &[], "there is no run with a report"),
        (out, &["--metric", "response.p95"], "there is no figure `response.p95`"),
        (out, &["--export", "hunter", "x"], "there is no form `hunter`"),
        (out, &["--strict", "--last", "5"], "it takes 14"),
        (out, &["--series", "0"], "there is no series 0"),
    ] {
        if arguments.len() > 1 && arguments[0] != "--metric" {
            nights(out, 1, 1);
        }
        let (code, stdout, stderr) = of("trend", folder, arguments);
        assert!(code == 2 && stdout.is_empty(), "{arguments:?}: {code} {stdout}{stderr}");
        assert!(support::flat(&stderr).contains(words), "{arguments:?}: {stderr}");
    }
    for (bytes, expected, words) in [
        (
            "no database at all, but a text that is long enough to be read as one.".repeat(9),
            3,
            "not a database",
        ),
        (String::new(), 0, ""),
    ] {
        fs::write(out.join(HISTORY_FILE), bytes).expect("a file");
        let (code, _, stderr) = of("trend", out, &[]);
        assert!(code == expected && stderr.contains(words), "{code} {stderr}");
    }
    fs::remove_file(out.join(HISTORY_FILE)).expect("removed");
    std::os::unix::fs::symlink(out.join("elsewhere"), out.join(HISTORY_FILE)).expect("a link");
    let (code, _, stderr) = of("trend", out, &[]);
    assert!(code == 4 && !out.join("elsewhere").exists(), "{code} {stderr}");
}
