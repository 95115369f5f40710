//! Clusters that run already and are only connected to: one with ZooKeeper, and one of KRaft.

#![expect(clippy::expect_used, reason = "a test that cannot set itself up has failed")]

mod support;

use std::fs;
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use support::attached::{assert_valid, run};
use support::kept::Kept;
use support::kraft::{KraftNode, jars};
use support::*;

/// Limit for brokers to put the logs of a deleted topic aside.
const PUT_ASIDE: Duration = Duration::from_secs(10);

/// Limit for a load to begin.
const BEGUN: Duration = Duration::from_secs(60);

/// The logs of runs' topics on a cluster, less those that are put aside to be deleted.
fn topics_of(kept: &Kept) -> Vec<String> {
    let logs = kept.clusters().join("guide/data");
    let mut found = vec![];
    for broker in fs::read_dir(logs).expect("the servers' data").flatten() {
        for folder in fs::read_dir(broker.path()).into_iter().flatten().flatten() {
            let name = folder.file_name().to_string_lossy().into_owned();
            if name.contains("-kb") && !name.contains("-delete") {
                found.push(name);
            }
        }
    }
    found.sort();
    found
}

/// Asserts that this is what is left. Brokers forget a topic, and then put its logs aside: the metadata tell first.
fn left(kept: &Kept, expected: &[String], text: &str) {
    let settled = within(PUT_ASIDE, || topics_of(kept) == expected);
    assert!(settled, "{:?} and not {expected:?}: {text}", topics_of(kept));
}

#[test]
#[ignore = "starts a real cluster"]
fn a_cluster_with_zookeeper_is_loaded_and_left_as_it_was() {
    let kept = Kept::up(&["--mode", "loopback", "--set", SHORT_SESSION]);
    let out = kept.folder();
    let (_, status) = kept.kbench(&["cluster", "status", "guide"]);
    let address = |word: &str| word.starts_with("127.") && word.ends_with(":9092");
    let broker = status.split_whitespace().find(|word| address(word)).expect("a broker").to_owned();
    // The first address is nobody's.
    let bootstrap = format!("127.0.0.1:1,{broker}");

    let (_, text) = run(out, &bootstrap, &["--faults", "none", "--duration", "8s"]);
    assert_valid(out, &text);
    left(&kept, &[], &text);

    let (code, text) = run(out, &bootstrap, &["--faults", "failover"]);
    assert_eq!(code, Some(2), "{text}");
    assert!(flat(&text).contains("is only connected to"), "{text}");

    // Leaders are moved on a cluster that was named, by Kafka's own id of it.
    let (code, text) = run(out, &bootstrap, &["--faults", "leaders-moved"]);
    assert_eq!(code, Some(2), "{text}");
    let flat_text = flat(&text);
    let id = flat_text.split("--yes-hurt-this-cluster ").nth(1).expect("the cure");
    let id = id.split([' ', ',']).next().expect("a name").to_owned();
    let named = ["--faults", "leaders-moved", "--yes-hurt-this-cluster", &id, "--keep-topics"];
    let (_, text) = run(out, &bootstrap, &named);
    let report = assert_valid(out, &text);
    assert_eq!(report["faults"][0]["proven"], true, "{text}");
    assert_eq!(report["faults"][0]["heal_proven"], true, "{text}");
    // Who led what was not seen, and is not made up.
    let rows = report["recovery"].as_array().expect("rows");
    assert!(rows.iter().all(|row| row["led"].is_null()), "{text}");
    let stay = topics_of(&kept);
    assert!(!stay.is_empty(), "kept: {text}");

    // A killed run's topics are deleted by heal, and only on a cluster that was named again.
    let arguments = ["--workload", "smoke", "--faults", "none", "--duration", "60s"];
    let killed = out.join("killed");
    fs::create_dir(&killed).expect("a folder");
    let mut child = start(&killed, &[&arguments[..], &["--bootstrap-server", &bootstrap]].concat());
    let loads = || topics_of(&kept).len() > stay.len() && killed.join("latest/history").exists();
    assert!(within(BEGUN, loads), "{}", stderr(&killed));
    // It is told to whoever comes meanwhile.
    let short = ["--faults", "none", "--duration", "6s"];
    let (code, text) = run(out, &bootstrap, &short);
    let holder = latest(&killed).file_name().expect("a name").to_string_lossy().into_owned();
    assert_eq!(code, Some(2), "{text}");
    let words =
        format!("another kbench works on the cluster {id} at {bootstrap}: run {holder} on ");
    assert!(flat(&text).contains(&words), "{words}: {text}");
    kill(Pid::from_raw(child.id() as i32), Signal::SIGKILL).expect("a signal");
    child.wait().expect("a child");
    let name = latest(&killed).display().to_string();
    let (code, text) = kept.kbench(&["heal", &name]);
    assert_eq!(code, Some(3), "{text}");
    assert!(text.contains(&format!("--yes-hurt-this-cluster {id}")), "{text}");
    assert!(topics_of(&kept).len() > stay.len(), "{text}");
    let (code, text) = kept.kbench(&["heal", &name, "--yes-hurt-this-cluster", &id]);
    assert_eq!(code, Some(0), "{text}");
    left(&kept, &stay, &text);
    let (code, text) = kept.kbench(&["heal", &name]);
    assert!(code == Some(0) && text.contains("nothing to heal"), "{text}");
    let (_, text) = run(out, &bootstrap, &short);
    assert_valid(out, &text);
}

#[test]
#[ignore = "starts a real cluster"]
fn a_kraft_cluster_is_loaded_and_checked() {
    let Some(jars) = jars() else {
        return skipped("KRaft", "Kafka 3.9.1 is not in kbench's cache: kbench doctor --prepare");
    };
    let nodes = KraftNode::cluster(&jars, &["127.0.77.1", "127.0.77.2", "127.0.77.3"]);
    let out = folder();
    let bootstrap = "127.0.77.1:9092";
    let (_, text) = run(out.path(), bootstrap, &["--faults", "none", "--duration", "8s"]);
    let report = assert_valid(out.path(), &text);
    assert_eq!(report["environments"][0]["environment"]["zookeeper"], "none (KRaft)", "{text}");
    // Its brokers name any of them as the controller.
    let seen = events(&latest(out.path()));
    assert!(seen.iter().all(|event| event["event"] != "controller-seen"), "{text}");

    let (code, text) = run(out.path(), bootstrap, &["--faults", "leaders-moved"]);
    assert_eq!(code, Some(2), "{text}");
    assert!(flat(&text).contains("KRaft clusters so far"), "{text}");

    let plan = out.path().join("leaves.toml");
    let step = "name = 'leaves'\ndescription = 'a member leaves'\n[[step]]\nid = 'leaves'\n\
                fault = 'consumer-leaves'\nhold = '5s'\n";
    fs::write(&plan, step).expect("a plan");
    let plan = plan.display().to_string();
    let (_, text) = run(out.path(), bootstrap, &["--faults", &plan]);
    let report = assert_valid(out.path(), &text);
    assert_eq!(report["faults"][0]["proven"], true, "{text}\n{}", nodes[0].log());
}
