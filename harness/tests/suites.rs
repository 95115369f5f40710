//! Suites on the command line, without a cluster: listed, told beforehand, refused, judged.

mod support;

use support::{exited, flat, kbench, write};

#[test]
fn a_suite_is_listed_told_beforehand_and_refused_what_is_a_scenario_s() {
    let out = tempfile::tempdir().expect("a folder");
    let run = |arguments: &[&str]| {
        let (code, stdout, stderr) =
            exited(kbench().arg("run").arg("--out").arg(out.path()).args(arguments));
        (code, stdout, flat(&stderr))
    };
    let (code, stdout, stderr) = run(&["--suite", "guide-quick", "--dry-run"]);
    assert_eq!(code, 0, "{stderr}");
    assert!(
        stderr.contains("3 scenarios, expected to take about")
            && stderr.contains("nothing was done"),
        "{stderr}"
    );
    assert!(stdout.contains("kbench run --workload 1k-msg-s --faults failover"), "{stdout}");
    assert_eq!(std::fs::read_dir(out.path()).expect("the folder").count(), 0);
    for (arguments, words) in [
        (&["--suite", "guide-quik"][..], "there is no suite `guide-quik`"),
        (&["--suite", "guide", "--trials", "2"], "cannot be used with"),
        (&["--suite", "guide", "--faults", "none"], "cannot be used with"),
        (&["--suite", "guide", "--resume", "latest"], "cannot be used with"),
        (&["--resume", "latest"], "is no suite's folder"),
        (&["--claim", "leader-failovr"], "did you mean `leader-failover`?"),
    ] {
        let (code, _, stderr) = run(arguments);
        assert!(code == 2 && stderr.contains(words), "{arguments:?}: {code} {stderr}");
    }
    let dir = out.path();
    let head = "name = 's'\ndescription = 'd'\n[[scenario]]\nid = 'a'\nworkload = 'smoke'\n";
    let good = write(dir, "good.toml", &format!("{head}claims = ['no-acked-loss']\n"));
    let (code, stdout, stderr) = exited(kbench().args(["validate", &good]));
    assert!(
        code == 0 && stdout.contains("valid suite") && stdout.contains("1 scenario takes"),
        "{stdout}{stderr}"
    );
    let blind = write(dir, "blind.toml", &format!("{head}claims = ['leader-failover']\n"));
    let (code, _, stderr) = exited(kbench().args(["validate", &blind]));
    assert!(code == 2 && flat(&stderr).contains("needs step \"leader\""), "{stderr}");
    let (code, stdout, _) = exited(kbench().args(["list", "claims"]));
    assert_eq!(code, 0);
    for words in ["threshold-at-limit", "AS A CLAIM NAMES IT", "metric = \"unavailability-led\""] {
        assert!(stdout.contains(words), "{words}: {stdout}");
    }
}

#[test]
fn a_suite_without_runs_is_judged_as_unknown_and_nothing_of_it_passes() {
    let out = tempfile::tempdir().expect("a folder");
    let suite = out.path().join("20261127T080000Z-guide-quick-0001");
    std::fs::create_dir(&suite).expect("a folder");
    let text = "format = 1\ncommand = 'kbench run --suite s'\nstarted = '2026-11-27T08:00:00Z'\nkbench = '0.1.0'\n\
                strict = false\n[suite]\nname = 's'\ndescription = 'd'\n[[suite.scenario]]\nid = 'a'\n\
                claims = ['no-acked-loss']\n";
    write(&suite, "suite.toml", text);
    let of = |command: &[&str]| {
        let mut kbench = kbench();
        exited(kbench.args(command).arg("--out").arg(out.path()))
    };
    let name = "20261127T080000Z-guide-quick-0001";
    let (code, stdout, stderr) = of(&["report", name]);
    assert_eq!(code, 3, "{stdout}{stderr}");
    assert!(stdout.contains("not carried out") && stdout.contains("no-acked-loss"), "{stdout}");
    for file in ["report.html", "report.md", "report.json"] {
        assert!(suite.join(file).is_file(), "{file}");
    }
    let (code, stdout, _) = of(&["list", "runs"]);
    assert!(code == 0 && stdout.contains("suite: 3") && stdout.contains(name), "{stdout}");
    let (code, _, stderr) = of(&["heal", name]);
    assert_eq!(code, 0, "{stderr}");
    // An id is the name of a folder.
    write(&suite, "suite.toml", &text.replace("id = 'a'", "id = '../a'"));
    let (code, _, stderr) = of(&["check", name]);
    assert!(code == 3 && stderr.contains("damaged"), "{code} {stderr}");
}
