//! `kbench run`: from arguments to a resolved spec, then the run itself.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Parser;
use faults::guard;
use faults::plan::{self, Plan};
use jiff::{Timestamp, tz::TimeZone};

use super::{Cli, Command, Format, ReplayArgs, RunArgs, judge};
use crate::cluster::local::sandbox::{self, Mode};
use crate::failure::Failure;
use crate::run;
use crate::rundir::RunDir;
use crate::spec::{self, KafkaSource, Request, RunSpec};
use crate::topology::Topology;

pub(super) fn run(args: RunArgs) -> Result<ExitCode, Failure> {
    carry_out(&resolve(&args)?, &args.out, args.format)
}

/// Carries out a resolved spec, judges and prints.
fn carry_out(spec: &RunSpec, out: &Path, format: Format) -> Result<ExitCode, Failure> {
    let (dir, _lock) = RunDir::create(out, &spec.run_id)?;
    run::save_spec(spec, &dir)?;
    run::run(spec, &dir)?;
    let judged = run::judge(spec, &dir, spec.strict)?;
    judged.write(&dir)?;
    judge::print(&judged.report, &dir, format)
}

/// Carries out a short healthy run with its record in `out`, whose report nobody asked for.
pub(super) fn healthy(source: &KafkaSource, out: &Path) -> Result<(), Failure> {
    let arguments =
        ["kbench", "run", "--workload", "smoke", "--faults", "none", "--duration", "1s"];
    let Command::Run(mut args) = Cli::parse_from(arguments).command else {
        return Err(Failure::usage("`kbench run` is no run (a defect)"));
    };
    args.out = out.to_owned();
    match source {
        KafkaSource::Version(version) => args.kafka_version = Some(version.clone()),
        KafkaSource::Home(home) => args.kafka_home = Some(home.clone()),
    }
    let spec = resolve(&args)?;
    let (dir, _lock) = RunDir::create(out, &spec.run_id)?;
    run::save_spec(&spec, &dir)?;
    run::run(&spec, &dir)
}

/// Where Kafka comes from: `--kafka-home`, `--kafka-version`, or the guide's cluster.
pub(super) fn kafka_source(
    version: Option<String>,
    home: Option<PathBuf>,
) -> Result<KafkaSource, Failure> {
    match (version, home) {
        (_, Some(home)) => Ok(KafkaSource::Home(home)),
        (Some(version), None) => Ok(KafkaSource::Version(version)),
        (None, None) => {
            let guide: Topology = spec::load("guide", &[])?;
            Ok(KafkaSource::Version(guide.kafka.version))
        }
    }
}

fn resolve(args: &RunArgs) -> Result<RunSpec, Failure> {
    let request = Request {
        workload: args.workload.clone(),
        faults: args.faults.clone(),
        cluster: args.cluster.clone(),
        set: args.set.clone(),
        duration: args.duration.map(Into::into),
    };
    let resolved = spec::resolve(&request)?;
    let random = fresh_number();
    // Fits TOML's signed integers.
    let seed = args.seed.unwrap_or(random >> 1);
    let plan = resolved.plan.map(|plan| plan.drawn(seed));
    if let Some(plan) = &plan {
        guarded(plan, &resolved.cluster, args.yes_hurt_this_cluster.as_deref())?;
    }
    let mode = sandbox::choose(args.mode)
        .map_err(|error| Failure::infrastructure(error.to_string()).with_cure(error.cure()))?;
    if args.mode.is_none() && mode != Mode::ALL[0] {
        eprintln!("using {mode}: `kbench doctor` says why nothing better works here");
    }
    if let Some(plan) = &plan {
        run::refuse_beyond(mode, plan, resolved.cluster.node.len())?;
    }
    let kafka = match (&args.kafka_version, &args.kafka_home) {
        (None, None) => KafkaSource::Version(resolved.cluster.kafka.version.clone()),
        (version, home) => kafka_source(version.clone(), home.clone())?,
    };
    let named = Named::new(&resolved.workload.name, random);
    Ok(RunSpec {
        run_id: named.run_id,
        run_number: random,
        command: command_line(),
        started: named.started,
        replays: None,
        seed,
        trials: args.trials,
        parallel: args.parallel.min(args.trials),
        strict: args.strict,
        mode,
        kafka,
        workload: resolved.workload,
        plan,
        cluster: resolved.cluster,
        claims: resolved.claims,
    })
}

/// `kbench replay`: the faults of a recorded trial once more, at their times and on their processes.
pub(super) fn replay(args: &ReplayArgs) -> Result<ExitCode, Failure> {
    let of = RunDir::find(&args.run, &args.out)?;
    let spec = of.spec()?;
    let number = args.trial;
    if !(1..=spec.trials).contains(&number) {
        let (name, trials) = (of.name(), spec.trials);
        return Err(Failure::usage(format!("{name} has no trial {number}: it has {trials}")));
    }
    let cannot = |why: &dyn std::fmt::Display| {
        Failure::usage(format!("trial {number} of {} cannot be repeated: {why}", of.name()))
    };
    let recorded = spec.plan.as_ref().ok_or_else(|| cannot(&"it had no plan"))?;
    let events = of.trial(number, spec.trials).join("events.jsonl");
    let (events, _) = results::record::event::log::read(&events).map_err(|error| cannot(&error))?;
    let plan = plan::replay(recorded, &events, &spec.cluster.processes())
        .map_err(|error| cannot(&error))?;
    guarded(&plan, &spec.cluster, args.yes_hurt_this_cluster.as_deref())?;
    run::refuse_beyond(spec.mode, &plan, spec.cluster.node.len())?;
    let random = fresh_number();
    let named = Named::new(&spec.workload.name, random);
    let spec = RunSpec {
        run_id: named.run_id,
        run_number: random,
        command: command_line(),
        started: named.started,
        replays: Some(format!("trial {number} of {}", of.name())),
        trials: 1,
        parallel: 1,
        plan: Some(plan),
        ..spec
    };
    carry_out(&spec, &args.out, args.format)
}

/// Refuses a plan that may do damage which nobody asked for.
fn guarded(plan: &Plan, cluster: &Topology, hurt: Option<&str>) -> Result<(), Failure> {
    guard::check(plan, &cluster.stakes(), hurt)
        .map_err(|refusal| Failure::usage(refusal.why).with_cure(refusal.cure))
}

/// What a new run is called.
struct Named {
    run_id: String,
    started: String,
}

impl Named {
    fn new(workload: &str, random: u64) -> Self {
        let utc = Timestamp::now().to_zoned(TimeZone::UTC);
        let time = utc.strftime("%Y%m%dT%H%M%SZ");
        Self {
            run_id: format!("{time}-{workload}-{:04x}", random & 0xffff),
            started: utc.strftime("%Y-%m-%dT%H:%M:%SZ").to_string(),
        }
    }
}

/// A number that no other run has: 63 bits, from the time and the process id, mixed.
fn fresh_number() -> u64 {
    use std::hash::{BuildHasher, Hasher, RandomState};
    RandomState::new().build_hasher().finish() >> 1
}

/// The command as it was typed, with the arguments that need it quoted.
fn command_line() -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_=./,:%+@".contains(c);
    let quote = |argument: String| {
        if !argument.is_empty() && argument.chars().all(plain) {
            argument
        } else {
            format!("'{}'", argument.replace('\'', r"'\''"))
        }
    };
    std::iter::once("kbench".to_owned())
        .chain(std::env::args().skip(1).map(quote))
        .collect::<Vec<_>>()
        .join(" ")
}
