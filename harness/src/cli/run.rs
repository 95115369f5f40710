//! `kbench run`: from arguments to a resolved spec, then the run itself.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Parser;
use jiff::{Timestamp, tz::TimeZone};

use super::{Cli, Command, RunArgs, judge};
use crate::failure::Failure;
use crate::run;
use crate::rundir::RunDir;
use crate::sandbox::{self, Mode};
use crate::spec::{self, KafkaSource, Request, RunSpec};
use crate::topology::Topology;

pub(super) fn run(args: RunArgs) -> Result<ExitCode, Failure> {
    let spec = resolve(&args)?;
    let (dir, _lock) = RunDir::create(&args.out, &spec.run_id)?;
    run::save_spec(&spec, &dir)?;
    run::run(&spec, &dir)?;
    let judged = run::judge(&spec, &dir, spec.strict)?;
    judged.write(&dir)?;
    judge::print(&judged.report, &dir, args.format)
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
    let mode = sandbox::choose(args.mode)
        .map_err(|error| Failure::infrastructure(error.to_string()).with_cure(error.cure()))?;
    if args.mode.is_none() && mode != Mode::ALL[0] {
        eprintln!("using {mode}: `kbench doctor` says why nothing better works here");
    }
    if let Some(plan) = &resolved.plan {
        run::refuse_beyond(mode, plan, resolved.cluster.node.len())?;
    }
    let kafka = match (&args.kafka_version, &args.kafka_home) {
        (None, None) => KafkaSource::Version(resolved.cluster.kafka.version.clone()),
        (version, home) => kafka_source(version.clone(), home.clone())?,
    };
    let now = Timestamp::now();
    let random = fresh_number();
    let utc = now.to_zoned(TimeZone::UTC);
    let run_id = format!(
        "{}-{}-{:04x}",
        utc.strftime("%Y%m%dT%H%M%SZ"),
        resolved.workload.name,
        random & 0xffff
    );
    Ok(RunSpec {
        run_id,
        run_number: random,
        command: command_line(),
        started: utc.strftime("%Y-%m-%dT%H:%M:%SZ").to_string(),
        // Fits TOML's signed integers.
        seed: args.seed.unwrap_or(random >> 1),
        trials: args.trials,
        parallel: args.parallel.min(args.trials),
        strict: args.strict,
        mode,
        kafka,
        workload: resolved.workload,
        plan: resolved.plan,
        cluster: resolved.cluster,
        claims: resolved.claims,
    })
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
