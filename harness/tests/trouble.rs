//! Trouble that a verdict must survive, on real clusters: lawful absence and lawful loss, the client's own
//! doing, what no plan ordered; and, of each, the harmless kind that must accuse nobody. The suite
//! `ci/trouble`.

#![expect(clippy::expect_used, reason = "a test that cannot set itself up has failed")]

mod support;

use std::collections::{BTreeMap, BTreeSet};
use std::env;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use comfy_table::{Table, presets};
use serde_json::Value;
use support::during::{await_event, is_stage, signal};
use support::kept::Kept;
use support::*;

/// Limit for one run.
const RUN: Duration = Duration::from_secs(400);

/// A run, and what kbench has to say of it.
struct Case {
    name: &'static str,
    arguments: &'static [&'static str],
    /// Exit codes that are right.
    codes: &'static [i32],
    /// Verdicts of checks: those that are not named are *valid*, or may be the machine's doing.
    checks: &'static [(&'static str, &'static [&'static str])],
    /// Outcomes of claims.
    claims: &'static [(&'static str, &'static str)],
    /// What the report says, somewhere.
    says: &'static [&'static str],
}

const QUIET: Case = Case {
    name: "quiet",
    arguments: &["--faults", "none", "--duration", "20s"],
    codes: &[0],
    checks: &[],
    claims: &[("no-acked-loss", "holds"), ("order-within-partition", "holds")],
    says: &[],
};

/// Where a loss may be seen, according to what became of the offset.
const LOSS: [&str; 3] = ["lost", "lost-tail", "offset-mismatch"];

const LOST: &[(&str, &[&str])] = &[
    ("lost", &["valid", "violated"]),
    ("lost-tail", &["valid", "violated"]),
    ("offset-mismatch", &["valid", "violated"]),
    // Where the log was written anew while a member stood still, it may have read what is gone.
    ("poll-regress", &["valid", "violated"]),
    ("divergent-read", &["valid", "violated"]),
    // The group's own log may lose its end by the same.
    ("commit-regress", &["valid", "violated"]),
];

const ONE_IN_SYNC: &str = "cluster.topic.user-events.config.min.insync.replicas=1";
const UNCLEAN: &str = "cluster.topic.user-events.config.unclean.leader.election.enable=true";

const CASES: [Case; 15] = [
    QUIET,
    // Lawful absence.
    Case {
        name: "retention",
        arguments: &[
            "--faults",
            "none",
            "--duration",
            "25s",
            "--set",
            "cluster.topic.user-events.config.retention.ms=3000",
            "--set",
            "cluster.topic.user-events.config.segment.bytes=65536",
            "--set",
            "cluster.broker.settings.log.retention.check.interval.ms=1000",
        ],
        says: &["deleted by policy", "retention.ms=3000", "moved the log's start"],
        ..QUIET
    },
    Case {
        name: "retention-by-size",
        arguments: &[
            "--faults",
            "none",
            "--duration",
            "25s",
            "--set",
            "cluster.topic.user-events.config.retention.bytes=70000",
            "--set",
            "cluster.topic.user-events.config.segment.bytes=65536",
            "--set",
            "cluster.broker.settings.log.retention.check.interval.ms=1000",
        ],
        says: &["deleted by policy", "retention.bytes=70000"],
        ..QUIET
    },
    Case {
        name: "compaction",
        arguments: &[
            "--faults",
            "none",
            "--duration",
            "25s",
            "--set",
            "cluster.topic.user-events.config.cleanup.policy=compact",
            "--set",
            "cluster.topic.user-events.config.min.cleanable.dirty.ratio=0.01",
            "--set",
            "cluster.topic.user-events.config.max.compaction.lag.ms=1000",
            "--set",
            "cluster.topic.user-events.config.segment.bytes=65536",
            "--set",
            "cluster.broker.settings.log.cleaner.backoff.ms=500",
        ],
        says: &["deleted by policy: cleanup.policy=compact"],
        ..QUIET
    },
    // Lawful loss, with its cause.
    Case {
        name: "unclean-election",
        arguments: &["--faults", "unclean-election", "--set", ONE_IN_SYNC, "--set", UNCLEAN],
        codes: &[1],
        checks: LOST,
        claims: &[("no-acked-loss", "refuted"), ("order-within-partition", "holds")],
        says: &["lost because of this: unclean leader election", "in sync at the ack: broker 1"],
    },
    Case {
        name: "last-in-sync-power",
        arguments: &["--faults", "last-in-sync-power", "--set", ONE_IN_SYNC],
        codes: &[1],
        checks: LOST,
        claims: &[("no-acked-loss", "refuted"), ("order-within-partition", "holds")],
        says: &["lost because of this: the last in-sync replica lost its power"],
    },
    Case {
        name: "power-loss-all",
        arguments: &["--faults", "power-loss-all"],
        codes: &[1],
        checks: LOST,
        claims: &[("no-acked-loss", "refuted"), ("order-within-partition", "holds")],
        says: &["lost because of this: every in-sync replica lost its power"],
    },
    Case {
        name: "leader-killed-acks-1",
        arguments: &[
            "--faults",
            "leader-killed-acks-1",
            "--set",
            "workload.producer.acks=1",
            "--set",
            "workload.producer.idempotence=false",
        ],
        codes: &[0],
        checks: &[],
        claims: &[],
        says: &["lost because of this: acks other than all"],
    },
    // The same, where the settings allow no loss.
    Case {
        name: "unclean-election-safe",
        arguments: &["--faults", "unclean-election"],
        // With all brokers away librdkafka may take the topic for deleted, and its group stands still for
        // minutes: the run is given up then, and nobody is accused.
        codes: &[0, 3],
        ..QUIET
    },
    // min.insync.replicas=2 would not help: the followers follow the only one that may lead.
    Case {
        name: "last-in-sync-power-safe",
        arguments: &[
            "--faults",
            "last-in-sync-power",
            "--set",
            "cluster.broker.settings.log.flush.interval.messages=1",
        ],
        ..QUIET
    },
    Case {
        name: "power-loss-all-safe",
        arguments: &[
            "--faults",
            "power-loss-all",
            "--set",
            "cluster.broker.settings.log.flush.interval.messages=1",
        ],
        ..QUIET
    },
    Case {
        name: "leader-killed-acks-all",
        arguments: &["--faults", "leader-killed-acks-1"],
        ..QUIET
    },
    // The producer's settings.
    Case {
        name: "acks-1",
        arguments: &[
            "--faults",
            "failover",
            "--set",
            "workload.producer.acks=1",
            "--set",
            "workload.producer.idempotence=false",
        ],
        codes: &[0],
        checks: &[],
        claims: &[],
        says: &["not applicable: acks=1"],
    },
    Case {
        name: "acks-0",
        arguments: &[
            "--faults",
            "failover",
            "--set",
            "workload.producer.acks=0",
            "--set",
            "workload.producer.idempotence=false",
        ],
        codes: &[0],
        checks: &[],
        claims: &[],
        says: &["not applicable: acks=0"],
    },
    Case {
        name: "coordinator-one-copy",
        arguments: &[
            "--faults",
            "coordinator-lost",
            "--set",
            "cluster.broker.settings.min.insync.replicas=1",
            "--set",
            "cluster.broker.settings.offsets.topic.replication.factor=1",
        ],
        codes: &[0, 1],
        checks: &[],
        claims: &[("consumers-resume", "refuted")],
        says: &["coord"],
    },
];

/// What became of one run.
struct Seen {
    name: &'static str,
    code: i32,
    seconds: u64,
    verdict: String,
    /// Checks that found something, and claims that are refuted.
    found: String,
    /// What is not as it has to be.
    wrong: Vec<String>,
}

fn carry_out(case: &Case) -> Seen {
    let out = folder();
    let began = Instant::now();
    let common = ["--workload", "smoke", "--set", SHORT_SESSION];
    let mut run = start(out.path(), &[&common[..], case.arguments].concat());
    let code = exit_code(&mut run, RUN, out.path());
    let mut seen = Seen {
        name: case.name,
        code,
        seconds: began.elapsed().as_secs(),
        verdict: "-".to_owned(),
        found: String::new(),
        wrong: vec![],
    };
    if out.path().join("latest/report.json").is_file() {
        look_at(case, out.path(), &mut seen);
    } else {
        seen.wrong.push(format!("no report: {}", stderr(out.path())));
    }
    if !seen.wrong.is_empty() {
        let kept = out.keep();
        seen.wrong.push(format!("the run is kept in {}", kept.display()));
    }
    seen
}

fn look_at(case: &Case, out: &Path, seen: &mut Seen) {
    let report = json(&latest(out).join("report.json"));
    let text = |value: &Value| value.as_str().unwrap_or("-").to_owned();
    seen.verdict = text(&report["verdict"]);
    let mut machine = false;
    let mut found: Vec<String> = vec![];
    for check in report["checks"].as_array().into_iter().flatten() {
        let (name, verdict) = (text(&check["name"]), text(&check["verdict"]));
        if check["count"].as_u64().is_some_and(|count| count > 0) {
            found.push(format!("{name} {}", check["count"]));
        }
        machine |= verdict != "valid" && of_the_machine(check);
        let allowed = case.checks.iter().find(|(of, _)| *of == name);
        let allowed = allowed.map_or(&["valid"][..], |(_, verdicts)| verdicts);
        if !allowed.contains(&&*verdict) && !of_the_machine(check) {
            seen.wrong.push(format!("{check}"));
        }
    }
    if case.checks.iter().any(|(name, _)| LOSS.contains(name))
        && !found.iter().any(|it| LOSS.iter().any(|name| it.starts_with(name)))
    {
        seen.wrong.push("no loss was found".to_owned());
    }
    for claim in report["claims"].as_array().into_iter().flatten() {
        let (id, outcome) = (text(&claim["id"]), text(&claim["outcome"]));
        if outcome == "refuted" {
            found.push(format!("{id} refuted"));
        }
        let wanted = case.claims.iter().find(|(of, _)| *of == id);
        let unmeasured = machine && outcome == "undecided";
        if wanted.is_some_and(|(_, wanted)| *wanted != outcome && !unmeasured) {
            seen.wrong.push(format!("{claim}"));
        }
    }
    // A machine that is busy with other work costs a run its figures, not its findings.
    let right = case.codes.contains(&seen.code) || (machine && seen.code == 3);
    if !right {
        seen.wrong.push(format!("exit code {}", seen.code));
    }
    let said = flat(&stdout(out));
    let all = report.to_string();
    for words in case.says.iter().filter(|words| !said.contains(**words) && !all.contains(**words))
    {
        seen.wrong.push(format!("the report does not say \"{words}\""));
    }
    seen.found = found.join(", ");
}

fn table(all: &[Seen]) -> String {
    let mut table = Table::new();
    table.load_style(presets::NOTHING);
    table.set_header(["CASE", "EXIT", "VERDICT", "FOUND", "SECONDS", "AS EXPECTED"]);
    for Seen { name, code, seconds, verdict, found, wrong } in all {
        let expected = if wrong.is_empty() { "yes" } else { "NO" };
        table.add_row([name, &*code.to_string(), verdict, found, &seconds.to_string(), expected]);
    }
    table.trim_fmt()
}

/// A number in the environment, else 1.
fn number(name: &str) -> usize {
    env::var(name).ok().and_then(|value| value.parse().ok()).unwrap_or(1)
}

/// `KBENCH_CASES` restricts the suite to some cases, separated by blanks; each is carried out `KBENCH_TIMES`
/// times, `KBENCH_PARALLEL` at once.
#[test]
#[ignore = "starts a real cluster for each case: half an hour"]
fn every_case_is_judged_as_it_has_to_be() {
    let asked = env::var("KBENCH_CASES").unwrap_or_default();
    let asked: BTreeSet<&str> = asked.split_whitespace().collect();
    let unknown: Vec<_> =
        asked.iter().filter(|name| CASES.iter().all(|case| case.name != **name)).collect();
    assert!(unknown.is_empty(), "no such case: {unknown:?}");
    let cases = CASES.iter().filter(|case| asked.is_empty() || asked.contains(case.name));
    let times = number("KBENCH_TIMES");
    let all: Vec<&Case> = cases.flat_map(|case| std::iter::repeat_n(case, times)).collect();
    let left = Mutex::new(all.into_iter());
    let seen = Mutex::new(vec![]);
    std::thread::scope(|scope| {
        for _ in 0..number("KBENCH_PARALLEL") {
            scope.spawn(|| {
                loop {
                    let next = left.lock().expect("no thread has panicked").next();
                    let Some(case) = next else { break };
                    let one = carry_out(case);
                    let wrong =
                        if one.wrong.is_empty() { "as expected" } else { "NOT as expected" };
                    eprintln!("{}: {}, exit {}, {wrong}", one.name, one.verdict, one.code);
                    seen.lock().expect("no thread has panicked").push(one);
                }
            });
        }
    });
    let mut seen = seen.into_inner().expect("no thread has panicked");
    let place = |one: &Seen| CASES.iter().position(|case| case.name == one.name);
    seen.sort_by_key(place);
    eprintln!("\n{}", table(&seen));
    let wrong: Vec<String> = seen
        .iter()
        .flat_map(|one| one.wrong.iter().map(move |it| format!("{}: {it}", one.name)))
        .collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// A version of Kafka whose jars hold its own tools.
const KAFKA: &str = "3.9.1";

/// What the independent client's figure of an outage may differ by, in seconds: it waits its own time between two
/// tries and between two looks at the metadata, and is told of its acks in batches.
const POLLING_S: f64 = 1.0;

/// Folder of Kafka's jars, where kbench has put them.
fn jars() -> PathBuf {
    let cache = env::var_os("XDG_CACHE_HOME").map(PathBuf::from);
    let home = || PathBuf::from(env::var_os("HOME").expect("a home")).join(".cache");
    cache.unwrap_or_else(home).join("kbench/kafka").join(KAFKA).join("jars")
}

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
    let (_, status) = kept.kbench(&["cluster", "status", "guide"]);
    let address = |line: &str| {
        let mut words = line.split_whitespace();
        line.contains("broker")
            .then(|| words.find(|word| word.ends_with(":9092")))?
            .map(str::to_owned)
    };
    let bootstrap: Vec<String> = status.lines().filter_map(address).collect();
    assert_eq!(bootstrap.len(), 3, "{status}");
    let mut table = Table::new();
    table.load_style(presets::NOTHING);
    table.set_header(["RUN", "FAULT", "PARTITION", "KBENCH", "VERIFIABLEPRODUCER", "DIFFERENCE"]);
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
            .arg(jars().join("*"))
            .args(["org.apache.kafka.tools.VerifiableProducer", "--topic", "kbench-probe"])
            .args(["--throughput", "100", "--acks", "1", "--repeating-keys", "50"])
            .args(["--bootstrap-server", &bootstrap.join(",")])
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
            let theirs = longest_wait(&acks[&partition], window.0, window.1);
            table.add_row([
                number.to_string(),
                row["fault"].as_str().expect("an id").to_owned(),
                partition.to_string(),
                format!("{ours:.2} s"),
                format!("{theirs:.2} s"),
                format!("{:+.2} s", theirs - ours),
            ]);
            if (theirs - ours).abs() > POLLING_S {
                wrong.push(format!("run {number}: {row}, and {theirs:.2} s"));
            }
        }
    }
    eprintln!("\n{}", table.trim_fmt());
    assert!(table.row_count() >= 6, "too few outages");
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
