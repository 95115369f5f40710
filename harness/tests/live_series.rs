//! Several runs for one question, on real clusters: a sweep over a setting, and its runs compared.

mod support;

use std::path::PathBuf;

use support::*;

#[test]
#[ignore = "starts two real clusters, one after the other"]
fn a_sweep_makes_runs_that_are_told_apart() {
    let out = folder();
    let mut sweep = kbench();
    sweep.args(["sweep", "--over", "workload.producer.acks=1,all", "--runs", "1", "--out"]);
    sweep.arg(out.path()).args(["--", "--workload", "smoke", "--faults", "none"]);
    sweep.args(["--set", "workload.producer.idempotence=false", "--duration", "6s"]);
    let swept = sweep.output().expect("kbench starts");
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
        let compared = compare.output().expect("kbench starts");
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
}
