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
fn a_suite_on_a_cluster_that_runs_already_is_refused_what_makes_no_sense_there() {
    let out = tempfile::tempdir().expect("a folder");
    let nobody = ["--bootstrap-server", "127.0.0.1:1"];
    let hurt = ["--yes-hurt-this-cluster", "x"];
    for (arguments, code, words) in [
        (&["--cluster", "guide"][..], 2, "cluster `guide` is no inventory"),
        (&["--cluster", "gide"], 2, "cluster `gide` is no inventory"),
        (
            &["--cluster", "homelab", "--parallel", "2"],
            2,
            "one kbench works on a cluster at a time",
        ),
        (&["--cluster", "homelab", "--mode", "loopback"], 2, "--mode is of new clusters"),
        (
            &["--cluster", "homelab", "--backend", "docker"],
            2,
            "--backend docker is of new clusters",
        ),
        (&["--cluster", "homelab", nobody[0], nobody[1]], 2, "cannot be used with"),
        (&["--keep-topics"], 2, "--keep-topics is for a cluster that runs already"),
        (&hurt, 2, "--yes-hurt-this-cluster is for a cluster that runs already"),
        (&["--on", "nosuch"], 2, "there is no kept cluster"),
        // Whoever may hurt it or not, it has to be asked what it is.
        (&nobody, 4, "no broker can be asked"),
        (&[nobody[0], nobody[1], hurt[0], hurt[1]], 4, "no broker can be asked"),
    ] {
        let run = ["run", "--suite", "guide-quick", "--out"];
        let (got, _, stderr) = exited(kbench().args(run).arg(out.path()).args(arguments));
        assert!(got == code && flat(&stderr).contains(words), "{arguments:?}: {got} {stderr}");
    }
    for arguments in [&["--cluster", "homelab"][..], &nobody, &["--on", "x"], &["--keep-topics"]] {
        let (code, _, stderr) =
            exited(kbench().args(["run", "--resume", "latest"]).args(arguments));
        assert!(code == 2 && stderr.contains("cannot be used with"), "{arguments:?}: {stderr}");
    }
    assert_eq!(std::fs::read_dir(out.path()).expect("the folder").count(), 0);
}

#[test]
fn a_suite_that_is_gone_on_with_is_still_on_its_cluster() {
    let out = tempfile::tempdir().expect("a folder");
    let folder = out.path().join("20261127T080000Z-s-0001");
    std::fs::create_dir(&folder).expect("a folder");
    let text = |config: &str| {
        format!(
            "format = 1\ncommand = 'kbench run --suite s'\nstarted = '2026-11-27T08:00:00Z'\nkbench = '0.1.0'\n\
             strict = false\n[cluster]\nid = 'theirs'\n{config}[cluster.which]\n\
             bootstrap-server = '127.0.0.1:1'\n[suite]\nname = 's'\ndescription = 'd'\n\
             [[suite.scenario]]\nid = 'a'\nclaims = ['no-acked-loss']\n"
        )
    };
    write(&folder, "suite.toml", &text(""));
    let resume = |more: &[&str]| {
        let run = ["run", "--resume", "20261127T080000Z-s-0001", "--out"];
        let (code, _, stderr) = exited(kbench().args(run).arg(out.path()).args(more));
        (code, flat(&stderr))
    };
    let (code, stderr) = resume(&["--yes-hurt-this-cluster", "theirs"]);
    assert!(code == 4 && stderr.contains("127.0.0.1:1: Connection refused"), "{code} {stderr}");
    let (code, stderr) = resume(&["--parallel", "2"]);
    assert!(code == 2 && stderr.contains("one kbench works on a cluster"), "{code} {stderr}");
    write(&folder, "suite.toml", &text("command_config = '/nowhere/client.properties'\n"));
    let (code, stderr) = resume(&["--yes-hurt-this-cluster", "theirs"]);
    assert!(
        code == 2 && stderr.contains("--command-config /nowhere/client.properties"),
        "{stderr}"
    );
}

#[test]
fn a_user_s_claims_are_told_to_a_suite_and_refused_where_it_can_decide_none() {
    let out = tempfile::tempdir().expect("a folder");
    let head = "[[claim]]\nid = 'mine'\ntext = 't'\nsource = 's'\n";
    let of = |metric: &str| {
        let file = write(out.path(), "own.toml", &format!("{head}metric = {metric}\n"));
        let run = ["run", "--suite", "guide-quick", "--dry-run", "--claims"];
        let (code, _, stderr) = exited(kbench().args(run).arg(file));
        (code, flat(&stderr))
    };
    let (code, stderr) = of("{ checks = ['lost'] }");
    assert!(code == 0 && stderr.contains("nothing was done"), "{code} {stderr}");
    let (code, stderr) = of("{ not-tested-here = 'people' }");
    assert!(
        code == 2 && stderr.contains("no scenario of suite `guide-quick` can decide"),
        "{stderr}"
    );
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
