//! An independent client beside the load, on a kept cluster: the outages that it has are those that kbench tells
//! of. A part of the suite `ci/trouble`.

#![expect(clippy::expect_used, reason = "a test that cannot set itself up has failed")]

mod support;

use std::collections::BTreeMap;
use std::fs::File;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use comfy_table::{Table, presets};
use serde_json::Value;
use support::during::{await_event, is_stage, signal};
use support::kept::{Kept, jars};
use support::*;

/// Limit for one run.
const RUN: Duration = Duration::from_secs(400);

/// A version of Kafka whose jars hold its own tools.
const KAFKA: &str = "3.9.1";

/// How much longer than kbench's client the independent one may have waited, in seconds: it waits its own time
/// between two tries and between two looks at the metadata, and is told of its acks in batches.
const POLLING_S: f64 = 1.0;

/// How much sooner than brokers could serve it may have had its ack, in seconds: its times are of the wall clock, in
/// whole milliseconds, and the last ack before the fault is that of another record than kbench's.
const APART_S: f64 = 0.1;

/// Times of the acks that Kafka's VerifiableProducer told, in seconds of the wall clock, by partition.
fn acks(said: &Path) -> BTreeMap<i64, Vec<f64>> {
    let text = std::fs::read_to_string(said).expect("a file");
    let lines = text.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let mut acks: BTreeMap<i64, Vec<f64>> = BTreeMap::new();
    for line in lines.filter(|line| line["name"] == "producer_send_success") {
        let at = line["timestamp"].as_f64().expect("a time") / 1e3;
        acks.entry(line["partition"].as_i64().expect("a partition")).or_default().push(at);
    }
    acks
}

/// Its longest wait for an ack that ended from `from` to `to`, in seconds.
fn longest_wait(acks: &[f64], from: f64, to: f64) -> f64 {
    let pairs = acks.windows(2).filter(|pair| from <= pair[1] && pair[0] <= to);
    pairs.map(|pair| pair[1] - pair[0]).fold(0.0, f64::max)
}

/// The process of the producer that this test has started.
fn verifiable_producer() -> i32 {
    let is_it = |line: &str| {
        line.contains("kafka.tools.VerifiableProducer") && !line.contains("cluster exec")
    };
    let all = processes();
    let mut found = all.iter().filter(|(.., line)| line.starts_with("java") && is_it(line));
    found.next().map(|(pid, ..)| *pid).expect("the producer")
}

/// Kafka's own producer, beside the load, on the same cluster: the outages that it had are those that kbench
/// tells of.
#[test]
#[ignore = "starts a real cluster, for three runs"]
fn an_independent_client_has_the_same_outages() {
    let kept = Kept::up(&["--set", SHORT_SESSION, "--kafka-version", KAFKA]);
    let bootstrap = kept.bootstrap();
    let mut table = Table::new();
    table.load_style(presets::NOTHING);
    table.set_header([
        "RUN",
        "FAULT",
        "PARTITION",
        "KBENCH",
        "OF IT THE CLIENT",
        "VERIFIABLEPRODUCER",
    ]);
    let mut wrong = vec![];
    for number in 1..=3 {
        let out = kept.folder().join(format!("run-{number}"));
        std::fs::create_dir(&out).expect("a folder");
        let said = out.join("verifiable");
        let mut run = kbench()
            .args(["run", "--on", "guide", "--workload", "smoke"])
            .env("KBENCH_CLUSTERS", kept.clusters())
            .env("KBENCH_OUT", &out)
            .stdout(File::create(out.join("stdout")).expect("a file"))
            .stderr(File::create(out.join("stderr")).expect("a file"))
            .spawn()
            .expect("kbench starts");
        await_event(&mut run, &out, is_stage("baseline"));
        // On the topic of the acks=1 probe, whose records no check looks at.
        let mut client = kbench()
            .args(["cluster", "exec", "guide", "--", "java", "-cp"])
            .arg(jars(KAFKA).join("*"))
            .args(["org.apache.kafka.tools.VerifiableProducer", "--topic", "kbench-probe"])
            .args(["--throughput", "100", "--acks", "1", "--repeating-keys", "50"])
            .args(["--bootstrap-server", &bootstrap])
            .env("KBENCH_CLUSTERS", kept.clusters())
            .stdin(Stdio::null())
            .stdout(File::create(&said).expect("a file"))
            .stderr(Stdio::null())
            .spawn()
            .expect("kbench starts");
        await_event(&mut run, &out, is_stage("draining"));
        // Before the topic is deleted: it would make it anew.
        signal("KILL", verifiable_producer());
        client.wait().expect("a child");
        let code = exit_code(&mut run, RUN, &out);
        assert!([0, 3].contains(&code), "{}", stderr(&out));
        let trial = latest(&out);
        let report = json(&trial.join("report.json"));
        let events = events(&trial);
        let start = events[0]["wall_at_start_ms"].as_f64().expect("a time") / 1e3;
        let acks = acks(&said);
        let at = |kind: &str, id: &Value| {
            let event = events.iter().find(|e| e["event"] == kind && e["fault_id"] == *id);
            start + event.expect("an event")["at"].as_f64().expect("a time") / 1e9
        };
        for row in report["recovery"].as_array().into_iter().flatten() {
            if row["stream"] != "probe" || row["interrupted"] != true {
                continue;
            }
            let partition = row["partition"].as_i64().expect("a number");
            let window = (at("fault-injecting", &row["fault"]), at("fault-healing", &row["fault"]));
            let ours = row["total_s"].as_f64().expect("a figure");
            let phase = |name: &str| row["phases_s"][name].as_f64().expect("a phase");
            let client = phase("metadata") + phase("client");
            let theirs = longest_wait(&acks[&partition], window.0, window.1);
            table.add_row([
                number.to_string(),
                row["fault"].as_str().expect("an id").to_owned(),
                partition.to_string(),
                format!("{ours:.2} s"),
                format!("{client:.2} s"),
                format!("{theirs:.2} s"),
            ]);
            // Nobody is served before there is a leader; what comes then is each client's own.
            if theirs < ours - client - APART_S || theirs > ours + POLLING_S {
                wrong.push(format!("run {number}: {row}, and {theirs:.2} s"));
            }
        }
    }
    eprintln!("\n{}", table.trim_fmt());
    assert!(table.row_count() >= 6, "too few outages");
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
