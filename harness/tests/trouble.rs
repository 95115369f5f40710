//! Trouble that a verdict must survive, on real clusters: lawful absence and lawful loss, the client's own
//! doing, what no plan ordered; and, of each, the harmless kind that must accuse nobody. The suite
//! `ci/trouble`.

mod support;

use std::collections::BTreeSet;
use std::env;
use std::path::Path;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use comfy_table::{Table, presets};
use serde_json::Value;
use support::*;

/// Limit for one run.
const RUN: Duration = Duration::from_secs(400);

/// A run, and what kbench has to say of it.
struct Case {
    name: &'static str,
    plan: &'static str,
    /// What `--set` is given.
    set: &'static [&'static str],
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
    plan: "none",
    set: &[],
    codes: &[0],
    checks: &[],
    claims: &[("no-acked-loss", "holds"), ("order-within-partition", "holds")],
    says: &[],
};

/// Where a loss may be seen, according to what became of the offset.
const LOSS: [&str; 2] = ["lost", "lost-tail"];

const LOST: &[(&str, &[&str])] = &[
    ("lost", &["valid", "violated"]),
    ("lost-tail", &["valid", "violated"]),
    // A member may have read what was lost before anybody was told of its ack.
    ("divergent-read", &["valid", "violated"]),
    // The group's own log may lose its end by the same.
    ("commit-regress", &["valid", "violated"]),
];

const ONE_IN_SYNC: &str = "cluster.topic.user-events.config.min.insync.replicas=1";
const UNCLEAN: &str = "cluster.topic.user-events.config.unclean.leader.election.enable=true";
const SMALL_SEGMENTS: &str = "cluster.topic.user-events.config.segment.bytes=65536";
const EAGER_RETENTION: &str = "cluster.broker.settings.log.retention.check.interval.ms=1000";
const FLUSH_EACH: &str = "cluster.broker.settings.log.flush.interval.messages=1";
const ACKS_1: &str = "workload.producer.acks=1";
const ACKS_0: &str = "workload.producer.acks=0";
const NOT_IDEMPOTENT: &str = "workload.producer.idempotence=false";

const LOSSES: Case = Case {
    codes: &[1],
    checks: LOST,
    claims: &[("no-acked-loss", "refuted"), ("order-within-partition", "holds")],
    ..QUIET
};

/// The claim speaks of records of which an in-sync replica kept its memory.
const WITHOUT_A_COPY: &[(&str, &str)] =
    &[("no-acked-loss", "undecided"), ("order-within-partition", "holds")];

const CASES: [Case; 15] = [
    QUIET,
    // Lawful absence.
    Case {
        name: "retention",
        set: &[
            "cluster.topic.user-events.config.retention.ms=3000",
            SMALL_SEGMENTS,
            EAGER_RETENTION,
        ],
        says: &["deleted by policy", "retention.ms=3000", "moved the log's start"],
        ..QUIET
    },
    Case {
        name: "retention-by-size",
        set: &[
            "cluster.topic.user-events.config.retention.bytes=70000",
            SMALL_SEGMENTS,
            EAGER_RETENTION,
        ],
        says: &["deleted by policy", "retention.bytes=70000"],
        ..QUIET
    },
    Case {
        name: "compaction",
        set: &[
            "cluster.topic.user-events.config.cleanup.policy=compact",
            "cluster.topic.user-events.config.min.cleanable.dirty.ratio=0.01",
            "cluster.topic.user-events.config.max.compaction.lag.ms=1000",
            SMALL_SEGMENTS,
            "cluster.broker.settings.log.cleaner.backoff.ms=500",
        ],
        says: &["deleted by policy: cleanup.policy=compact"],
        ..QUIET
    },
    // Lawful loss, with its cause.
    Case {
        name: "unclean-election",
        plan: "unclean-election",
        set: &[ONE_IN_SYNC, UNCLEAN],
        says: &["lost because of this: unclean leader election", "in sync at the ack: broker 1"],
        ..LOSSES
    },
    Case {
        name: "last-in-sync-power",
        plan: "last-in-sync-power",
        set: &[ONE_IN_SYNC],
        claims: WITHOUT_A_COPY,
        says: &["lost because of this: the last in-sync replica lost its power"],
        ..LOSSES
    },
    Case {
        name: "power-loss-all",
        plan: "power-loss-all",
        claims: WITHOUT_A_COPY,
        says: &["lost because of this: every in-sync replica lost its power"],
        ..LOSSES
    },
    Case {
        name: "leader-killed-acks-1",
        plan: "leader-killed-acks-1",
        set: &[ACKS_1, NOT_IDEMPOTENT],
        claims: &[],
        says: &["lost because of this: acks other than all"],
        ..QUIET
    },
    // The same, where the settings allow no loss.
    Case {
        name: "unclean-election-safe",
        plan: "unclean-election",
        // With all brokers away librdkafka may forget them all (its issue 5301), and its group stands still:
        // the run is given up then, and nobody is accused.
        codes: &[0, 3],
        ..QUIET
    },
    // min.insync.replicas=2 would not help: the followers follow the only one that may lead.
    Case {
        name: "last-in-sync-power-safe",
        plan: "last-in-sync-power",
        set: &[FLUSH_EACH],
        ..QUIET
    },
    Case { name: "power-loss-all-safe", plan: "power-loss-all", set: &[FLUSH_EACH], ..QUIET },
    Case { name: "leader-killed-acks-all", plan: "leader-killed-acks-1", ..QUIET },
    // The producer's settings.
    Case {
        name: "acks-1",
        plan: "failover",
        set: &[ACKS_1, NOT_IDEMPOTENT],
        claims: &[],
        says: &["not applicable: acks=1"],
        ..QUIET
    },
    Case {
        name: "acks-0",
        plan: "failover",
        set: &[ACKS_0, NOT_IDEMPOTENT],
        claims: &[],
        says: &["not applicable: acks=0"],
        ..QUIET
    },
    // Consumers.
    Case {
        name: "coordinator-one-copy",
        plan: "coordinator-lost",
        set: &[
            "cluster.broker.settings.min.insync.replicas=1",
            "cluster.broker.settings.offsets.topic.replication.factor=1",
        ],
        claims: &[("consumers-resume", "refuted")],
        says: &["the group had no coordinator"],
        ..QUIET
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
    let mut arguments = vec!["--workload", "smoke", "--faults", case.plan, "--set", SHORT_SESSION];
    // A plan says by itself how long it takes.
    if case.plan == "none" {
        arguments.extend(["--duration", "25s"]);
    }
    arguments.extend(case.set.iter().flat_map(|change| ["--set", change]));
    let mut run = start(out.path(), &arguments);
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
