//! Every fault of the catalogue against a real cluster under load, by the shipped plans: the suite
//! `ci/faults`.

mod support;

use std::collections::{BTreeMap, BTreeSet};
use std::env;
use std::time::Instant;

use support::catalogue::{Outcome, carry_out, carry_out_losing, table};
use support::engine::{WITH_ENGINE, image_is_made, with_an_engine};
use support::{SHORT_SESSION, kbench, output};

/// The first column of `kbench list WHAT`.
fn listed(what: &str) -> BTreeSet<String> {
    let (code, text, stderr) = output(kbench().args(["list", what]));
    assert_eq!(code, Some(0), "{stderr}");
    let names = text.lines().skip(1).filter_map(|line| line.split_whitespace().next());
    names.map(str::to_owned).collect()
}

/// In-sync replicas that are enough, and who leads when none is left.
const ONE_COPY: &str = "cluster.topic.user-events.config.min.insync.replicas=1";
const UNCLEAN_ELECTION: &str =
    "cluster.topic.user-events.config.unclean.leader.election.enable=true";

/// A producer that waits for the leader only.
const ONE_ACK: &str = "workload.producer.acks=1";
const NOT_IDEMPOTENT: &str = "workload.producer.idempotence=false";

/// Plans that destroy acknowledged records, with the settings that they are for.
const LOSING: [&str; 4] =
    ["power-loss-all", "last-in-sync-power", "unclean-election", "leader-killed-acks-1"];

const ONE_COPY_OF_OFFSETS: &str = "cluster.broker.settings.offsets.topic.replication.factor=1";
/// Of what has no setting of its own: the load's topic has.
const COMMITTED_BY_ONE: &str = "cluster.broker.settings.min.insync.replicas=1";

/// Clusters and settings that a plan is carried out with, one after the other: a session time-out of 6 s,
/// so that a detection is short, where nothing else is needed.
fn variants(plan: &str) -> &'static [&'static [&'static str]] {
    match plan {
        // The registration must outlive the start of a JVM.
        "early-restart" => &[&[]],
        // Nobody takes over, and another broker does.
        "coordinator-lost" => &[
            &["--set", SHORT_SESSION, "--set", ONE_COPY_OF_OFFSETS, "--set", COMMITTED_BY_ONE],
            &["--set", SHORT_SESSION],
        ],
        "ring" => &[&["--cluster", "four-nodes", "--set", SHORT_SESSION]],
        "three-nodes-lost" | "minorities-lost" => {
            &[&["--cluster", "seven-nodes", "--set", SHORT_SESSION]]
        }
        "scale-out" | "scale-out-and-back" | "scale-out-broker-lost" | "scale-out-throttled" => {
            &[&["--cluster", "scale-out", "--set", SHORT_SESSION]]
        }
        // Without a broker to spare, and with one: that is one added, and taken back.
        "replicas-reassigned" => {
            &[&["--set", SHORT_SESSION], &["--cluster", "four-nodes", "--set", SHORT_SESSION]]
        }
        "unclean-election" => {
            &[&["--set", SHORT_SESSION, "--set", ONE_COPY, "--set", UNCLEAN_ELECTION]]
        }
        "last-in-sync-power" => &[&["--set", SHORT_SESSION, "--set", ONE_COPY]],
        "leader-killed-acks-1" => {
            &[&["--set", SHORT_SESSION, "--set", ONE_ACK, "--set", NOT_IDEMPOTENT]]
        }
        _ => &[&["--set", SHORT_SESSION]],
    }
}

/// Faults that are one signal, one transaction of rules or one request to the kernel a victim.
const PROMPT: [&str; 4] = ["kill", "pause", "cut", "link-down"];

/// From the decision until one of them is done, in seconds, in the median: one of them on a busy core may
/// take longer.
const DONE_LIMIT: f64 = 0.005;

/// From the decision until it is shown to be in effect, in seconds, in the median.
const SHOWN_LIMIT: f64 = 0.1;

/// Prints how soon faults were done and in effect; what is wrong with that.
fn promptness(outcomes: &[Outcome]) -> Vec<String> {
    let mut faults: BTreeMap<&str, Vec<[f64; 2]>> = BTreeMap::new();
    for (name, seconds) in outcomes.iter().flat_map(|outcome| &outcome.prompt) {
        faults.entry(name).or_default().push(*seconds);
    }
    let mut late = vec![];
    eprintln!("\nFrom the decision, in ms: median (max)");
    for (name, seconds) in faults {
        let [done, shown] = [0, 1].map(|which| {
            let mut sorted: Vec<_> = seconds.iter().map(|both| both[which]).collect();
            sorted.sort_by(f64::total_cmp);
            [sorted[sorted.len() / 2], sorted[sorted.len() - 1]]
        });
        let ms = |[median, max]: [f64; 2]| format!("{:.1} ({:.1})", median * 1e3, max * 1e3);
        let line = format!("{name}, n={}: done {}, shown {}", seconds.len(), ms(done), ms(shown));
        eprintln!("{line}");
        if PROMPT.contains(&name) && (done[0] > DONE_LIMIT || shown[0] > SHOWN_LIMIT) {
            late.push(line);
        }
    }
    late
}

/// The faults of a shipped plan.
fn faults_of(plan: &str) -> BTreeSet<String> {
    let file = format!("{}/../faults/plans/{plan}.toml", env!("CARGO_MANIFEST_DIR"));
    let text = std::fs::read_to_string(&file).unwrap_or_else(|error| panic!("{file}: {error}"));
    let plan: toml::Table = text.parse().unwrap_or_else(|error| panic!("{file}: {error}"));
    // One of changes alone has none.
    let steps = plan.get("step").and_then(toml::Value::as_array).into_iter().flatten();
    let named = steps.filter_map(|step| match &step["fault"] {
        toml::Value::String(name) => Some(name.clone()),
        toml::Value::Table(table) => table.keys().next().cloned(),
        _ => None,
    });
    named.collect()
}

/// `KBENCH_PLANS` restricts the suite to some plans, separated by blanks. With `KBENCH_BACKEND=docker` the clusters are of
/// containers, and what these cannot do is refused.
#[test]
#[ignore = "starts a real cluster for each shipped plan: up to an hour"]
fn every_fault_takes_effect_meets_its_expectation_and_is_undone() {
    let backend = env::var("KBENCH_BACKEND").unwrap_or("local".to_owned());
    if backend == "docker" {
        if env::var_os(WITH_ENGINE).is_none() {
            return with_an_engine("every_fault_takes_effect_meets_its_expectation_and_is_undone");
        }
        if !image_is_made() {
            return;
        }
    }
    let on = ["--backend", &backend];
    let shipped = listed("plans");
    let asked = env::var("KBENCH_PLANS").unwrap_or_default();
    let asked: BTreeSet<String> = asked.split_whitespace().map(str::to_owned).collect();
    let plans = if asked.is_empty() { &shipped } else { &asked };
    let (mut outcomes, mut refused): (Vec<Outcome>, BTreeSet<String>) = Default::default();
    for (number, plan) in plans.iter().enumerate() {
        for arguments in variants(plan) {
            let began = Instant::now();
            let arguments = [arguments, &on[..]].concat();
            let outcome = match LOSING.contains(&plan.as_str()) {
                true => carry_out_losing(plan, &arguments),
                false => carry_out(plan, &arguments),
            };
            let ok = match (&outcome.refused, outcome.failures.as_slice()) {
                (Some(_), _) if backend == "local" => "REFUSED",
                (Some(_), _) => "refused",
                (None, []) => "ok",
                _ => "FAILED",
            };
            let faults = outcome.refused.iter().flat_map(|_| faults_of(plan));
            refused.extend(faults);
            let (number, of, seconds) = (number + 1, plans.len(), began.elapsed().as_secs());
            let what = format!("{plan} {}", arguments.join(" "));
            eprintln!("{number}/{of} {}: {ok} after {seconds} s", what.trim_end());
            for failure in &outcome.failures {
                eprintln!("  {failure}");
            }
            outcomes.push(outcome);
        }
    }
    eprintln!("\n{}", table(&outcomes));
    let late = promptness(&outcomes);
    let failures: Vec<_> = outcomes.iter().flat_map(|outcome| &outcome.failures).collect();
    assert!(failures.is_empty(), "{failures:#?}");
    if asked.is_empty() {
        assert!(late.is_empty(), "{late:#?}");
        let seen: BTreeSet<String> =
            outcomes.into_iter().flat_map(|outcome| outcome.faults).collect();
        if backend == "local" {
            assert!(refused.is_empty(), "{refused:?} are refused");
        }
        let missing = listed("faults");
        let done = |fault: &&String| seen.contains(*fault) || refused.contains(*fault);
        let missing: Vec<_> = missing.iter().filter(|fault| !done(fault)).collect();
        assert!(missing.is_empty(), "no shipped plan carried out {missing:?}");
    }
}
