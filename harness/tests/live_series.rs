//! Several runs for one question, on real clusters: a sweep over a setting, and its runs compared; a search, whose runs
//! share one; a suite.

mod support;

use std::path::{Path, PathBuf};
use std::time::Duration;

use support::*;

/// Longest that a run of a few seconds may take here.
const SHORT: Duration = Duration::from_secs(90);

#[test]
#[ignore = "starts two real clusters, one after the other"]
fn a_sweep_makes_runs_that_are_told_apart() {
    let (out, plots) = (folder(), folder());
    let plot = plots.path().join("sweep.svg");
    let mut sweep = kbench();
    sweep.args(["sweep", "--over", "workload.producer.acks=1,all", "--runs", "1", "--out"]);
    sweep.arg(out.path()).arg("--svg").arg(&plot).args([
        "--",
        "--workload",
        "smoke",
        "--faults",
        "none",
    ]);
    sweep.args(["--set", "workload.producer.idempotence=false", "--duration", "6s"]);
    let swept = awaited(&mut sweep);
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let (said, errors) = (text(&swept.stdout), text(&swept.stderr));
    // A busy machine makes a run invalid, which the table shows as well.
    let code = swept.status.code();
    assert!([Some(0), Some(3)].contains(&code), "{code:?}\n{said}\n{errors}");
    for (folder, value) in [("1", "1"), ("2", "all")] {
        let row = said.lines().find(|line| line.split_whitespace().next() == Some(folder));
        let row = row.unwrap_or_else(|| panic!("no row {folder}\n{said}\n{errors}"));
        assert_eq!(row.split_whitespace().nth(1), Some(value), "{said}");
    }
    let series = std::fs::read_dir(out.path()).expect("a folder").flatten().next();
    let series: PathBuf = series.expect("the folder of the series").path();
    let compare = |more: &[&str]| {
        let mut compare = kbench();
        compare.arg("compare").args([series.join("1"), series.join("2")]).args(more);
        let compared = awaited(&mut compare);
        let said = text(&compared.stdout) + &text(&compared.stderr);
        assert_eq!(compared.status.code(), Some(3), "{said}");
        flat(&said)
    };
    if code == Some(0) {
        let refused = compare(&[]);
        assert!(refused.contains("not comparable") && refused.contains("acks"), "{refused}");
        let unknown = compare(&["--allow-differing", "workload"]);
        assert!(unknown.contains("unknown: a comparison needs"), "{unknown}");
    } else {
        skipped("a comparison of what was swept", "a run of it was no measurement");
    }
    let svg = |path: &Path| std::fs::read_to_string(path).unwrap_or_default();
    assert!(svg(&plot).contains("workload.producer.acks"), "{errors}");
    let run = std::fs::read_dir(series.join("1")).expect("a folder").flatten();
    let run = run.map(|entry| entry.path()).find(|path| path.join("spec.toml").is_file());
    let mut report = kbench();
    report.arg("report").arg(run.expect("a run")).arg("--svg").arg(plots.path());
    let reported = awaited(&mut report);
    let drawn = svg(&plots.path().join("response.svg"));
    assert!(drawn.contains("99th percentile"), "{}", text(&reported.stderr));
    let trend = awaited(kbench().arg("trend").arg("--out").arg(out.path()));
    let (said, errors) = (text(&trend.stdout), text(&trend.stderr));
    assert!(trend.status.success() && errors.contains(": 2 taken"), "{said}{errors}");
    assert_eq!(said.matches("workload smoke, plan none").count(), 2, "two series: {said}");
}

/// Whether a process is left that is of something in this folder.
fn is_left(folder: &Path) -> bool {
    let folder = folder.display().to_string();
    let own = std::process::id() as i32;
    processes().iter().any(|(pid, _, line)| *pid != own && line.contains(&folder))
}

#[test]
#[ignore = "starts two real clusters, one after the other"]
fn the_runs_of_a_search_share_a_cluster_that_ends_with_it() {
    let out = folder();
    let search = || {
        let mut search = kbench();
        search.args(["max-rate", "--objective", "response.p50<9s", "--from", "100", "--to", "200"]);
        search.args(["--precision", "50", "--step", "3s", "--hold", "3s", "--out"]).arg(out.path());
        search.args(["--", "--workload", "smoke"]);
        search
    };
    let series = || -> Vec<PathBuf> {
        let all = std::fs::read_dir(out.path()).expect("a folder").flatten();
        all.map(|entry| entry.path()).filter(|path| path.join("runs.log").is_file()).collect()
    };
    let log = |series: &Path| std::fs::read_to_string(series.join("runs.log")).unwrap_or_default();
    let up = "the cluster that the runs share is up after";

    // Killed, it ends nothing itself.
    let mut killed = search().stderr(std::process::Stdio::null()).spawn().expect("kbench starts");
    let is_up = || series().iter().any(|series| log(series).contains(up));
    assert!(within(SHORT, is_up), "{:?}", series());
    assert!(is_left(out.path()));
    killed.kill().expect("a signal");
    killed.wait().expect("a child");
    let gone = within(Duration::from_secs(20), || !is_left(out.path()));
    assert!(gone, "{:?}", processes());
    std::fs::remove_dir_all(&series()[0]).expect("a folder");

    let (code, said, errors) = output(&mut search());
    // A busy machine makes a run invalid, after which the next one begins on a new cluster.
    assert!([Some(0), Some(3)].contains(&code), "{code:?}\n{said}\n{errors}");
    let series = series().remove(0);
    let runs = std::fs::read_dir(&series).expect("a folder").flatten().map(|entry| entry.path());
    let reports: Vec<_> = runs
        .map(|run| run.join("report.json"))
        .filter(|it| it.is_file())
        .map(|it| json(&it))
        .collect();
    let started = log(&series).matches(up).count();
    assert!(reports.len() >= 3 && started >= 1, "{}", log(&series));
    assert!(started == 1 || reports.iter().any(|it| it["verdict"] != "valid"), "{}", log(&series));
    for report in &reports {
        let mode = report["environments"][0]["environment"]["mode"].as_str().unwrap_or_default();
        assert!(mode.contains("on a cluster that runs share"), "{mode}");
        assert!(!report["run"]["command"].as_str().unwrap_or("--on").contains("--on"), "{report}");
    }
    assert!(!is_left(out.path()), "{:?}", processes());
}

/// Two short scenarios, of which the second must find what a healthy cluster does not have.
const SUITE: &str = "name = \"short\"\ndescription = \"two short runs\"\n\
    [[scenario]]\nid = \"healthy\"\nworkload = \"smoke\"\nduration = \"3s\"\n\
    set = [\"workload.consumers.members=1\"]\n\
    claims = [\"load-balanced\", \"written-unique-offset\", \"no-order-across\", \"settings-in-force\"]\n\
    [[scenario]]\nid = \"blind\"\nworkload = \"smoke\"\nduration = \"3s\"\nmust_find = [\"lost\"]\n";

#[test]
#[ignore = "starts three real clusters, one after the other"]
fn a_suite_is_interrupted_gone_on_with_and_told_in_one_report() {
    let out = folder();
    let file = out.path().join("short.toml");
    std::fs::write(&file, SUITE).expect("a file");
    let runs = out.path().join("runs");
    std::fs::create_dir(&runs).expect("a folder");
    let file = file.display().to_string();
    let mut suite = start(&runs, &["--suite", &file]);
    let second = || stderr(&runs).contains("2 of 2: blind: kbench run");
    assert!(within(SHORT, second), "{}", stderr(&runs));
    let pid = nix::unistd::Pid::from_raw(suite.id() as i32);
    nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGINT).expect("a signal");
    assert_eq!(exit_code(&mut suite, SHORT, &runs), 3, "{}", stderr(&runs));
    let folder = latest(&runs);
    let report = json(&folder.join("report.json"));
    assert_eq!(report["scenarios"][1]["outcome"], "interrupted", "{report}");

    let resumed = exit_code(&mut start(&runs, &["--resume", "latest"]), SHORT * 2, &runs);
    let said = stderr(&runs);
    // An invalid run, as on a busy machine, is made again.
    let settled = report["scenarios"][0]["verdict"] != "invalid-run";
    assert_eq!(said.contains("2 scenarios, 1 of them finished"), settled, "{said}");
    let report = json(&folder.join("report.json"));
    let outcome = report["scenarios"][1]["outcome"].as_str().unwrap_or_default().to_owned();
    // A busy machine makes a run invalid, and whether anything is lost is unknown then.
    assert!(outcome.starts_with("MISSED") || resumed == 3, "{resumed}: {report}");
    assert!([1, 3].contains(&resumed), "{said}");
    for claim in report["claims"].as_array().into_iter().flatten() {
        let (id, stands) = (&claim["claim"]["id"], &claim["claim"]["outcome"]);
        let decided = claim["by"].as_array().is_some_and(|by| !by.is_empty());
        assert_eq!(decided, stands != "not-tested", "{claim}");
        if decided && resumed == 1 {
            assert_eq!(stands, "holds", "{id}: {claim}");
        }
    }
    let (code, checked, errors) = output(kbench().args(["check"]).arg(&folder));
    assert_eq!(code, Some(resumed), "{checked}{errors}");
    let (code, _, errors) = output(kbench().args(["prune", "--keep", "1", "--out"]).arg(&runs));
    assert_eq!((code, folder.exists()), (Some(0), true), "{errors}");
}
