//! The command line as a stranger meets it: bad input, with a message that helps and the documented exit code. Nothing
//! here starts a cluster.

#![expect(clippy::expect_used, reason = "a test that cannot set itself up has failed")]

mod support;

use support::{exited, flat, kbench, write};

/// Runs `kbench run` with these arguments; asserts the exit code and that stderr holds each text.
fn refused(arguments: &[&str], code: i32, texts: &[&str]) {
    let out = tempfile::tempdir().expect("a folder");
    let mut command = kbench();
    command.arg("run").arg("--out").arg(out.path()).args(arguments);
    let (got, _, stderr) = exited(&mut command);
    assert_eq!(got, code, "{arguments:?}: {stderr}");
    let flat = flat(&stderr);
    for text in texts {
        assert!(flat.contains(text), "{arguments:?}: no {text:?} in:\n{stderr}");
    }
}

#[test]
fn an_unknown_name_suggests_the_nearest() {
    refused(&["--workload", "1k-msgs"], 2, &["there is no workload `1k-msgs`", "`1k-msg-s`"]);
    refused(&["--faults", "failovr"], 2, &["there is no plan `failovr`", "`failover`"]);
    refused(&["--cluster", "gide"], 2, &["there is no cluster `gide`", "`guide`"]);
    let (_, _, stderr) = exited(kbench().args(["run", "--faults", "quorum"]));
    assert!(stderr.contains("`kbench list plans` shows the") && stderr.len() < 300, "{stderr}");
    let (_, _, stderr) = exited(kbench().args(["run", "--faults", "zk-quorum-los"]));
    assert!(stderr.contains("did you mean `zk-quorum-lost`?") && stderr.len() < 300, "{stderr}");
}

#[test]
fn a_cluster_that_runs_already_is_named_by_addresses_that_can_be_reached_and_nothing_else() {
    let of = |address: &str| ["--bootstrap-server".to_owned(), address.to_owned()];
    for other in [["--cluster", "guide"], ["--kafka-version", "3.9.1"], ["--mode", "loopback"]] {
        let [option, address] = of("127.0.0.1:1");
        refused(&[&option, &address, other[0], other[1]], 2, &["cannot be used with"]);
    }
    refused(&["--keep-topics"], 2, &["--bootstrap-server"]);
    let [option, address] = of("nowhere");
    refused(&[&option, &address], 2, &["`nowhere` is no address of a broker", "HOST:PORT"]);
    // Port 1 is nobody's.
    let [option, address] = of("127.0.0.1:1,127.0.0.2:1");
    let words = ["no broker can be asked", "127.0.0.1:1: Connection refused", "127.0.0.2:1: "];
    refused(&[&option, &address, "--faults", "none"], 4, &words);
}

#[test]
fn a_length_that_the_plan_decides_is_refused() {
    let plan = "with plan `failover` the load lasts as long as the plan's steps take";
    refused(&["--duration", "9s"], 2, &["--duration is the length", plan, "--faults none"]);
    refused(&["--set", "workload.phases.duration=9s"], 2, &["duration=9s is the length", plan]);
}

#[test]
fn versions_that_are_not_started_are_refused_before_anything_is_fetched() {
    let cache = tempfile::tempdir().expect("a folder");
    for (version, words) in
        [("2.4.1", "too old"), ("4.0.0", "without ZooKeeper"), ("abc", "not a version")]
    {
        let out = cache.path().join("out");
        let mut command = kbench();
        command.env("XDG_CACHE_HOME", cache.path()).arg("run").arg("--out").arg(&out);
        let (code, _, stderr) = exited(command.args(["--kafka-version", version]));
        assert!(code == 2 && stderr.contains(words) && stderr.contains("2.6 to 3.9"), "{stderr}");
        assert!(!cache.path().join("kbench").exists() && !out.exists(), "{version}");
        let set = format!("cluster.kafka.version={version}");
        refused(&["--set", &set], 2, &[words]);
        let plan = format!(
            "name = 'p'\ndescription = 'd'\n[[step]]\nid = 'a'\nfault = {{ upgrade = {{ to = \
             '{version}' }} }}\ntarget = 'controller'\nhold = '1s'\n"
        );
        let plan = write(cache.path(), "plan.toml", &plan);
        refused(&["--faults", &plan], 2, &[words]);
        let (code, _, stderr) = exited(kbench().args(["validate", &plan]));
        assert!(code == 2 && stderr.contains(words), "{stderr}");
    }
}

#[test]
fn settings_that_no_broker_would_start_with_are_refused_by_run_and_validate() {
    let dir = tempfile::tempdir().expect("a folder");
    let guide = kbench::topology::SHIPPED[0].1;
    for (setting, words) in [
        ("process.roles=broker", "`process.roles` cannot be set"),
        ("security.inter.broker.protocol=SSL", "secured as `cluster.security` says"),
        ("inter.broker.listener.name=X", "secured as `cluster.security` says"),
        ("listeners=PLAINTEXT://:9092", "follows from the nodes"),
        ("num.io.threads=many", "a whole number from 1 on"),
        ("log.retention.ms=0", "-1 for no limit"),
    ] {
        refused(&["--set", &format!("cluster.broker.settings.{setting}")], 2, &[words]);
        let (key, value) = setting.split_once('=').expect("a setting");
        let line = format!("[broker.settings]\n\"{key}\" = \"{value}\"");
        let file = write(dir.path(), "c.toml", &guide.replace("[broker.settings]", &line));
        let (code, _, stderr) = exited(kbench().args(["validate", &file]));
        assert!(code == 2 && stderr.contains(words), "{setting}: {stderr}");
    }
    let line = "[broker.settings]\n\"log.retention.mss\" = \"5\"";
    let file = write(dir.path(), "c.toml", &guide.replace("[broker.settings]", line));
    let (code, stdout, stderr) = exited(kbench().args(["validate", &file]));
    assert!(code == 0 && stdout.contains("valid cluster"), "{stdout}{stderr}");
    assert!(stderr.contains("warning: ") && stderr.contains("`log.retention.ms`"), "{stderr}");
}

#[test]
fn a_gate_that_is_none_is_refused_in_words_wherever_it_is_written() {
    let words = "there is no figure `response.p95`";
    refused(&["--gate", "response.p95<5ms"], 2, &[words]);
    let dir = tempfile::tempdir().expect("a folder");
    let smoke = workloads::shipped().iter().find(|(name, _)| *name == "smoke").expect("it ships").1;
    for (gates, expected) in [("response.p99<5ms", 0), ("response.p95<5ms", 2)] {
        let file = write(dir.path(), "w.toml", &format!("gates = [\"{gates}\"]\n{smoke}"));
        let (code, stdout, stderr) = exited(kbench().args(["validate", &file]));
        assert_eq!(code, expected, "{stdout}{stderr}");
        assert_eq!(stderr.contains(words), code == 2, "{stderr}");
    }
}

#[test]
fn damage_that_a_plan_does_not_mean_is_refused_before_anything_starts() {
    let dir = tempfile::tempdir().expect("a folder");
    let text = "name = 'p'\ndescription = 'd'\n[[step]]\nid = 'a'\nfault = 'kill'\n\
                target = 'zk-all'\nhold = '1s'\n";
    let file = write(dir.path(), "plan.toml", text);
    let why = "may take the quorum of ZooKeeper and does not say that it means to";
    refused(&["--faults", &file], 2, &[why, "up to 3 of 3", "`allows = [\"quorum-loss\"]`"]);
}

#[test]
fn consumers_that_are_not_there_cannot_be_struck() {
    let smoke = workloads::shipped().iter().find(|(n, _)| *n == "smoke").expect("shipped").1;
    let at = |part: &str| smoke.find(part).expect("a table of the spec");
    let without = [&smoke[..at("[consumers]")], &smoke[at("[probe]")..]].concat();
    let dir = tempfile::tempdir().expect("a folder");
    let file = write(dir.path(), "without.toml", &without);
    let arguments = ["--workload", &*file, "--faults", "consumers"];
    refused(&arguments, 2, &["plan `consumers` strikes consumers", "[consumers]"]);
}

#[test]
fn a_typo_in_a_spec_is_shown_where_it_is_with_what_is_allowed() {
    let dir = tempfile::tempdir().expect("a folder");
    let shipped = workloads::shipped().iter().find(|(n, _)| *n == "smoke").expect("shipped").1;
    let file = write(dir.path(), "typo.toml", &shipped.replace("record_bytes", "record_byte"));
    refused(
        &["--workload", &file],
        2,
        &["typo.toml", "record_byte", "there is no key", "did you mean `record_bytes`?", "`rate`"],
    );
    let line = shipped.lines().position(|l| l.starts_with("record_bytes")).expect("a key") + 1;
    refused(&["--workload", &file], 2, &[&format!("typo.toml:{line}:1")]);
}

/// Whatever is written for a value that is a name, or a table with one: the names are told.
#[test]
fn what_is_no_name_is_refused_with_the_names_that_are_allowed() {
    let dir = tempfile::tempdir().expect("a folder");
    for value in ["5", "[1]", "true", "'explode'", "{ explode = 1 }"] {
        for (key, names) in
            [("fault", "`kill`"), ("target", "`controller`"), ("expect", "`outage-until-heal`")]
        {
            let mut step =
                vec![("fault", "'kill'"), ("target", "'controller'"), ("expect", "'anything'")];
            step.retain(|(other, _)| *other != key);
            step.push((key, value));
            let step: String =
                step.iter().map(|(key, value)| format!("{key} = {value}\n")).collect();
            let head = "name = 'p'\ndescription = 'd'\n[[step]]\nid = 'a'\nhold = '1s'\n";
            let file = write(dir.path(), "plan.toml", &format!("{head}{step}"));
            let (code, _, stderr) = exited(kbench().args(["validate", &file]));
            assert!(code == 2 && stderr.contains(names), "{key} = {value}: {stderr}");
            assert!(!stderr.contains("wanted") && !stderr.contains("variant"), "{stderr}");
        }
    }
}

#[test]
fn impossible_values_are_refused_by_name() {
    refused(&["--set", "workload.load.rate.per_second=0"], 2, &["per_second", "1000000"]);
    refused(&["--set", "workload.load.record_bytes=3"], 2, &["record_bytes"]);
    refused(&["--set", "rate=3"], 2, &["workload., plan., cluster."]);
    refused(&["--set", "workload.producer.acks=2"], 2, &["workload.producer.acks=2", "`all`, `1`"]);
    refused(&["--trials", "0"], 2, &["--trials"]);
    let none = ["--faults", "none", "--duration", "0s"];
    refused(&none, 2, &["--duration: phases.duration", "at least \"1s\""]);
    refused(&["--seed", "9223372036854775808"], 2, &["--seed", "9223372036854775807"]);
    refused(&["--mode", "docker"], 2, &["--mode", "user-namespaces", "loopback"]);
    refused(&["--faults", "none", "--set", "plan.name=x"], 2, &["no plan"]);
}

/// kbench starts itself by these: what is malformed is refused, and nothing assumed in its place.
#[test]
fn hidden_commands_refuse_what_is_malformed() {
    for (arguments, wanted) in [
        (&["__trial", "run"][..], "RUN NUMBER"),
        (&["__trial", "run", "one"], "RUN NUMBER"),
        (&["__trial", "run", "0"], "RUN NUMBER"),
        (&["__trial", "run", "-1"], "RUN NUMBER"),
        (&["__trial", "run", "1", "2"], "RUN NUMBER"),
        (&["__sandbox"], "MODE COMMAND"),
        (&["__sandbox", "loopback"], "MODE COMMAND"),
        (&["__sandbox", "moon", "__try", "link"], "MODE COMMAND"),
        (&["__try"], "CAPABILITY"),
        (&["__try", "moon"], "CAPABILITY"),
        (&["__try", "link", "link"], "CAPABILITY"),
        (&["__conformance"], "OUT [MODE|docker|ssh"),
        (&["__conformance", "out", "no-mode"], "OUT [MODE|docker|ssh"),
        (&["__conformance", "out", "ssh", "inventory"], "ssh INVENTORY CLUSTER-ID]"),
        (&["__examine"], "RUN"),
        (&["__worker", "1"], "without arguments"),
        (&["__nothing"], "unrecognized"),
    ] {
        let inside: &[&str] = match arguments[0] {
            "__trial" | "__try" | "__examine" => &["__sandbox", "loopback"],
            _ => &[],
        };
        let (code, stdout, stderr) = exited(kbench().args(inside).args(arguments));
        assert_eq!((code, &*stdout), (2, ""), "{arguments:?}: {stderr}");
        assert!(stderr.contains(wanted) && stderr.contains(arguments[0]), "{stderr}");
    }
    // A run that is not there is told from arguments that are none.
    let trial = ["__sandbox", "loopback", "__trial", "/nowhere", "1"];
    let (code, _, stderr) = exited(kbench().args(trial));
    assert_eq!(code, 2, "{stderr}");
    assert!(stderr.contains("no recorded run /nowhere"), "{stderr}");
}

/// What acts on a machine acts on none but the sandbox's.
#[test]
fn hidden_commands_refuse_to_act_outside_of_a_sandbox() {
    for arguments in [
        &["__try", "cut"][..],
        &["__trial", "/nowhere", "1"],
        &["__undo", "/nowhere", "1"],
        &["__keeper", "/nowhere"],
        &["__examine", "/nowhere"],
    ] {
        let (code, stdout, stderr) = exited(kbench().args(arguments));
        assert_eq!((code, &*stdout), (2, ""), "{arguments:?}: {stderr}");
        assert!(stderr.contains("this is no sandbox"), "{arguments:?}: {stderr}");
    }
}

#[test]
fn a_folder_that_cannot_be_written_is_refused_with_the_cure() {
    let (code, _, stderr) = exited(kbench().args(["run", "--out", "/proc/kbench"]));
    assert_eq!(code, 4, "{stderr}");
    assert!(stderr.contains("/proc/kbench") && stderr.contains("--out"), "{stderr}");
}

#[test]
fn validate_tells_kinds_apart_and_fails_on_the_first_mistake() {
    let dir = tempfile::tempdir().expect("a folder");
    let good = write(dir.path(), "good.toml", faults::plan::SHIPPED[0].1);
    let bad = write(dir.path(), "bad.toml", "nothing = 1\n");
    let (code, stdout, _) = exited(kbench().args(["validate", &good]));
    assert_eq!((code, stdout.contains("valid plan")), (0, true), "{stdout}");
    let (code, stdout, stderr) = exited(kbench().args(["validate", &bad, &good]));
    assert_eq!(code, 2);
    assert!(stderr.contains("none of kbench's specifications"), "{stderr}");
    assert!(stdout.contains("valid plan"), "the rest is still validated: {stdout}");
}

#[test]
fn lists_name_everything_that_is_shipped() {
    for (what, name) in [
        ("workloads", "1k-msg-s"),
        ("workloads", "smoke"),
        ("workloads", "many-topics"),
        ("workloads", "three-topics"),
        ("plans", "failover-two-brokers"),
        ("faults", "kill"),
        ("claims", "controller-failover"),
        ("clusters", "guide"),
        ("clusters", "four-nodes"),
    ] {
        let (code, stdout, stderr) = exited(kbench().args(["list", what]));
        assert_eq!(code, 0, "{stderr}");
        assert!(stdout.contains(name), "{what}: {stdout}");
    }
}

#[test]
fn a_workload_of_another_tool_is_imported_and_valid() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/omb");
    let file = |name: &str| format!("{folder}/{name}");
    let (workload, driver) = ("1-topic-16-partitions-1kb.yaml", "kafka-throughput.yaml");
    let import = ["import", "omb", &file(workload), &file(driver)];
    let (code, stdout, stderr) = exited(kbench().args(import));
    assert_eq!(code, 0, "{stderr}");
    let out = tempfile::tempdir().expect("a folder");
    let imported = out.path().join("imported.toml");
    std::fs::write(&imported, stdout).expect("a file");
    let (code, stdout, stderr) = exited(kbench().arg("validate").arg(&imported));
    assert_eq!(code, 0, "{stderr}");
    assert!(stdout.contains("valid workload"), "{stdout}");
    let swapped = ["import", "omb", &file(driver)];
    let (code, _, stderr) = exited(kbench().args(swapped));
    assert_eq!(code, 2, "{stderr}");
    assert!(stderr.contains("driverClass"), "{stderr}");
}

#[test]
fn metrics_are_told_at_an_address_of_this_machine_or_nothing_begins() {
    let out = tempfile::tempdir().expect("a folder");
    for address in ["nowhere", "192.0.2.1:9464"] {
        let run = ["run", "--faults", "none", "--metrics-addr", address, "--out"];
        let (code, _, stderr) = exited(kbench().args(run).arg(out.path()));
        assert_eq!(code, 2, "{stderr}");
        assert!(stderr.contains(&format!("--metrics-addr {address}")), "{stderr}");
    }
    assert_eq!(std::fs::read_dir(out.path()).expect("the folder").count(), 0);
}

#[test]
fn a_missing_run_is_a_usage_error() {
    let out = tempfile::tempdir().expect("a folder");
    for command in ["check", "report", "heal"] {
        let (code, _, stderr) =
            exited(kbench().arg(command).arg("nosuch").arg("--out").arg(out.path()));
        assert_eq!(code, 2, "{stderr}");
        assert!(stderr.contains("no recorded run nosuch"), "{stderr}");
    }
}

#[test]
fn a_comparison_is_told_what_it_is_of() {
    let out = tempfile::tempdir().unwrap();
    let folder = out.path().to_str().unwrap();
    for (arguments, words) in [
        (vec!["nosuch", folder], "there is no recorded run nosuch"),
        (vec![folder, folder], "there is no recorded run"),
        (vec![folder, folder, "--metric", "response.p95"], "there is no figure `response.p95`"),
        (
            vec![folder, folder, "--allow-differing", "weather"],
            "possible values: workload, cluster",
        ),
        (vec![folder, folder, "--least-effect=-1"], "not a per cent"),
        (vec![folder], "<B>"),
    ] {
        let (code, _, stderr) = exited(kbench().arg("compare").args(&arguments));
        assert_eq!(code, 2, "{stderr}");
        assert!(stderr.contains(words), "{arguments:?}: {stderr}");
    }
}

#[test]
fn a_run_of_another_format_is_refused_by_its_number_and_left_alone() {
    let out = tempfile::tempdir().expect("a folder");
    let run = out.path().join("old");
    std::fs::create_dir(&run).expect("a run's directory");
    write(&run, "spec.toml", "run_id = 'old'\n");
    let reads = format!("this kbench reads format {}", results::record::format::FORMAT);
    let refused = |text: &str| {
        for verb in ["check", "report", "replay", "heal"] {
            let mut command = kbench();
            command.arg(verb).arg(&run).arg("--out").arg(out.path());
            let (code, stdout, stderr) = exited(&mut command);
            let flat = flat(&stderr);
            assert!(
                code == 2 && stdout.is_empty() && flat.contains(text),
                "{verb}: {code} {stderr}"
            );
            assert!(flat.contains(&reads), "{verb}: {stderr}");
        }
        let mut all = kbench();
        all.args(["heal", "--all", "--out"]).arg(out.path());
        let (code, _, stderr) = exited(&mut all);
        assert!(code == 2 && flat(&stderr).contains(text), "{code} {stderr}");
    };
    refused("has no format number");
    write(&run, "format", "7\n");
    refused("is in format 7 of run directories");
    let mut listed = kbench();
    let (code, stdout, _) = exited(listed.args(["list", "runs", "--out"]).arg(out.path()));
    assert!(code == 0 && stdout.contains("another format"), "{stdout}");
    let names = std::fs::read_dir(&run).expect("a folder").count();
    assert_eq!(names, 2, "nothing was written");
}

#[test]
fn completions_are_printed() {
    let (code, stdout, _) = exited(kbench().args(["completions", "bash"]));
    assert_eq!(code, 0);
    assert!(stdout.contains("kbench") && stdout.contains("--workload"));
}
