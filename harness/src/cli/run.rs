//! `kbench run` and `kbench replay`: from arguments to a request, then the run itself.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Parser;
use faults::plan::Plan;
use results::judge::verdict::Verdict;
use results::record::secret::redact_argument;
use results::record::trial::EVENTS;
use results::terminal::{argument, printable_line};

use super::found::FoundCluster;
use super::{BackendChoice, Cli, CliCommand, PrintArgs, ReplayArgs, RunArgs, judge, suite};
use crate::cluster::docker::spec::NamedImages;
use crate::cluster::local::sandbox::Mode;
use crate::cluster::ssh;
use crate::failure::{self, Failure};
use crate::live::MetricsListener;
use crate::provision::KafkaSource;
use crate::run::{self, shared::placed};
use crate::rundir::RunDir;
use crate::runtime::runtime;
use crate::spec::{self, Asked, Request, Resolved, RunSpec};
use crate::trial::lab;

pub(super) fn run(args: RunArgs) -> Result<ExitCode, Failure> {
    if args.suite.is_some() || args.resume.is_some() {
        return suite::run(args);
    }
    let (out, print) = (args.out.clone(), args.print);
    let metrics = args.metrics_addr.as_deref().map(MetricsListener::bind).transpose()?;
    let docker = containers(args.backend, &args.image)?;
    if docker.is_some() && args.mode.is_some() {
        let what = "--mode is how a local cluster is isolated, and containers are isolated";
        return Err(Failure::usage(what).with_cure("leave out --mode, or --backend docker"));
    }
    let found = FoundCluster::of(&args, docker.is_some())?;
    if args.dry_run {
        if found.inventory.is_none() {
            let what = "--dry-run is for machines that are reached by ssh";
            return Err(Failure::usage(what).with_cure("--cluster INVENTORY, of machines"));
        }
        return dry_run(found, args);
    }
    if let Some(survey) = &found.survey {
        results::err!("{}", printable_line(&survey.others()));
    }
    let is_there = found.on.is_some() || found.survey.is_some();
    let chosen = args.mode.is_some() || is_there || docker.is_some();
    let Resolved { spec, warnings } = Request { docker, ..found.asked(request(args)) }.resolve()?;
    failure::warn(&warnings);
    let mode = spec.backend.sandbox();
    if !chosen && mode != Mode::ALL[0] {
        results::err!("using {mode}: `kbench doctor` says why nothing better works here");
    }
    carry_out(spec, &out, print, metrics)
}

/// Says what a run would do to machines, and does nothing.
fn dry_run(found: FoundCluster, args: RunArgs) -> Result<ExitCode, Failure> {
    // Nothing is hurt, so no name has to be given for it.
    let hurt = found.survey.as_ref().map(|survey| survey.cluster_id.clone());
    let request = found.asked(request(args));
    let asked = Asked { hurt, ..request.asked };
    let Resolved { spec, warnings } = Request { asked, ..request }.resolve()?;
    failure::warn(&warnings);
    let Some(inventory) = spec.backend.attached().and_then(|it| it.inventory.as_ref()) else {
        return Err(Failure::usage("no inventory of machines (a defect)"));
    };
    let runtime = runtime()?;
    let needs = spec.plan.as_ref().map(Plan::needs).unwrap_or_default();
    let commands = ssh::dry_run(inventory, &needs, spec.run_number);
    let commands = tokio::task::LocalSet::new().block_on(&runtime, commands)?;
    results::out!("{}", commands.trim_end());
    results::out!("{}", topics_made(&spec));
    for step in spec.plan.iter().flat_map(|plan| &plan.changes) {
        let undone = if step.undo { ", and undone at the end" } else { "" };
        results::out!("a change of those topics that would be made{undone}: {}", step.change);
    }
    let id = &spec.cluster.name;
    results::err!("nothing was done; a run with faults takes --yes-hurt-this-cluster {id}");
    Ok(ExitCode::SUCCESS)
}

/// The topics that a run would make on a cluster that runs already, in a sentence.
fn topics_made(spec: &RunSpec) -> String {
    let topics: Vec<_> = lab::topics(spec).into_iter().map(|topic| topic.name).collect();
    let kept = spec.backend.attached().is_some_and(|attached| attached.keep_topics);
    let end = if kept { "kept" } else { "deleted at the end" };
    printable_line(&format!("topics that would be made, and {end}: {}", topics.join(", "))).into()
}

/// The images of a cluster of containers, where one is asked for.
pub(super) fn containers(
    backend: BackendChoice,
    images: &[String],
) -> Result<Option<NamedImages>, Failure> {
    match backend {
        BackendChoice::Docker => NamedImages::of(images).map(Some),
        BackendChoice::Local if images.is_empty() => Ok(None),
        BackendChoice::Local => {
            Err(Failure::usage("--image is of containers").with_cure("--backend docker"))
        }
    }
}

/// `kbench replay`: the faults of a recorded trial once more, at their times and on their processes.
pub(super) fn replay(args: ReplayArgs) -> Result<ExitCode, Failure> {
    let of = RunDir::find(&args.run, &args.out)?;
    let asked = Asked {
        command: command_line(),
        hurt: args.yes_hurt_this_cluster,
        command_config: args.command_config,
    };
    let recorded = of.spec()?;
    let events = of.trial(args.trial, recorded.trials).join(EVENTS);
    let spec = spec::replay(recorded, args.trial, &events, &asked, args.trust_spec)?;
    carry_out(spec, &args.out, args.print, None)
}

/// Carries out a resolved spec, judges and prints.
fn carry_out(
    spec: RunSpec,
    out: &Path,
    print: PrintArgs,
    metrics: Option<MetricsListener>,
) -> Result<ExitCode, Failure> {
    let spec = &placed(spec, out)?;
    let (dir, _lock) = RunDir::create(out, &spec.run_id)?;
    run::save_spec(spec, &dir)?;
    let Err(failure) = run::run(spec, &dir, metrics) else {
        let judged = run::judge(spec, &dir, spec.strict)?;
        run::write(&judged, &dir)?;
        RunDir::write_index(out).unwrap_or_else(|error| error.print());
        return judge::print(&judged.report, &dir, print);
    };
    if !failure.is_infrastructure() {
        return Err(failure);
    }
    // What was proven before something failed stands, and comes first.
    let Ok(judged) = run::judge(spec, &dir, spec.strict) else { return Err(failure) };
    // The disk may be full: then the report is only printed.
    let written = run::write(&judged, &dir).and_then(|()| RunDir::write_index(out));
    let code = judge::print(&judged.report, &dir, print)?;
    failure.print();
    written.unwrap_or_else(|error| error.print());
    Ok(if judged.report.verdict == Verdict::Violated { code } else { failure.exit_code() })
}

/// Carries out a short healthy run with its record in `out`, whose report nobody asked for.
pub(super) fn healthy(source: &KafkaSource, out: &Path) -> Result<(), Failure> {
    let args = arguments(&["--workload", "smoke", "--faults", "none", "--duration", "1s"])?;
    let spec = Request { kafka: Some(source.clone()), ..request(args) }.resolve()?.spec;
    let spec = placed(spec, out)?;
    let (dir, _lock) = RunDir::create(out, &spec.run_id)?;
    run::save_spec(&spec, &dir)?;
    run::run(&spec, &dir, None)
}

/// Arguments of `kbench run`, as if they had been typed.
pub(super) fn arguments(typed: &[&str]) -> Result<RunArgs, Failure> {
    match Cli::parse_from([&["kbench", "run"], typed].concat()).command {
        CliCommand::Run(args) => Ok(*args),
        _ => Err(Failure::usage("`kbench run` is no run (a defect)")),
    }
}

/// Where Kafka comes from: `--kafka-home` or `--kafka-version`.
pub(super) fn kafka_source(version: Option<String>, home: Option<PathBuf>) -> Option<KafkaSource> {
    home.map(KafkaSource::Home).or(version.map(KafkaSource::Version))
}

fn request(args: RunArgs) -> Request {
    Request {
        workload: args.workload,
        faults: args.faults,
        cluster: args.cluster.unwrap_or_else(|| "local".to_owned()),
        on: None,
        attached: None,
        secured: None,
        inventory: None,
        containers: None,
        docker: None,
        keep_topics: args.keep_topics,
        set: args.set,
        duration: args.duration.map(Into::into),
        trials: args.trials,
        parallel: args.parallel.unwrap_or(1),
        seed: args.seed,
        strict: args.strict,
        claims: args.claims,
        only: args.only,
        gates: args.gates,
        mode: args.mode,
        kafka: kafka_source(args.kafka_version, args.kafka_home),
        trusted: args.trust_spec,
        asked: Asked {
            command: command_line(),
            hurt: args.yes_hurt_this_cluster,
            command_config: args.command_config,
        },
    }
}

/// The command as it was typed, without secrets, with the arguments that need it quoted.
pub(super) fn command_line() -> String {
    command_of(typed())
}

/// The arguments as they were typed.
pub(super) fn typed() -> impl Iterator<Item = String> {
    std::env::args_os().skip(1).map(|typed| typed.to_string_lossy().into_owned())
}

/// A command with these arguments, without secrets, with those quoted that need it.
pub(super) fn command_of(arguments: impl IntoIterator<Item = String>) -> String {
    let written = |given: String| argument(&redact_argument(&given)).into_owned();
    let all: Vec<_> =
        std::iter::once("kbench".to_owned()).chain(arguments.into_iter().map(written)).collect();
    all.join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::heal::tests::theirs;

    #[test]
    fn a_dry_run_names_every_topic_that_is_made_and_whether_it_stays() {
        let said = |keep_topics| {
            let attached = Some(theirs());
            let request =
                Request { attached, keep_topics, ..Request::of("smoke", "none", "local") };
            let spec = request.resolve().unwrap().spec;
            assert!(spec.workload.probe.is_some(), "smoke has a probe");
            let (said, probe) = (topics_made(&spec), spec.own_name("kbench-probe"));
            assert!(said.contains(&spec.cluster.main_topic().name), "{said}");
            assert!(said.contains(&probe), "{said}");
            said
        };
        assert!(said(false).contains("deleted at the end"));
        assert!(!said(true).contains("deleted"), "--keep-topics");
    }
}
