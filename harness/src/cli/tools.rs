//! `kbench doctor`, `kbench completions` and `kbench man`.

use std::path::Path;
use std::process::ExitCode;

use clap::CommandFactory;
use results::terminal::printable_line;

use super::run::containers;
use super::{Cli, DoctorArgs};
use crate::cluster::docker::spec::DockerSpec;
use crate::cluster::local::archives;
use crate::cluster::local::sandbox;
use crate::doctor::{self, DoctorCheck, Health};
use crate::failure::Failure;
use crate::provision::{self, KafkaSource};
use crate::spec::{self, AnyInventory};
use crate::topology::Topology;

pub(super) fn doctor(args: &DoctorArgs) -> Result<ExitCode, Failure> {
    if let Some(cluster) = &args.cluster {
        let Some(inventory) = spec::inventory_of(cluster)? else {
            let what = format!("cluster `{cluster}` is no inventory");
            return Err(Failure::usage(what).with_cure(
                "the name or file of one that says `backend = \"ssh\"`, as `homelab` does, or \"docker\", as \
                 `compose` does; for other clusters `kbench doctor` looks at this machine",
            ));
        };
        let checks = match inventory {
            AnyInventory::Machines(inventory) => {
                doctor::inventory_checks(&inventory, args.trust_spec)?
            }
            AnyInventory::Containers(inventory) => doctor::container_checks(inventory),
        };
        return Ok(match told(&checks) {
            Health::Bad => ExitCode::from(4),
            Health::Good | Health::Poor => ExitCode::SUCCESS,
        });
    }
    let source = match super::run::kafka_source(args.kafka_version.clone(), args.kafka_home.clone())
    {
        Some(source) => source,
        None => {
            let guide: Topology = spec::load("guide", &[])?;
            KafkaSource::Version(guide.kafka.version)
        }
    };
    let docker = containers(args.backend, &args.image)?;
    if docker.is_some() && args.prepare {
        let what = "--prepare makes class archives, and containers start without";
        return Err(Failure::usage(what)
            .with_cure("kbench cluster image --base IMAGE_WITH_JAVA is what containers need"));
    }
    let checks = match docker {
        Some(images) => doctor::docker_checks(&DockerSpec::new(images, source.clone())?),
        None => doctor::checks(&source),
    };
    if told(&checks) == Health::Bad {
        return Ok(ExitCode::from(4));
    }
    if args.prepare {
        prepare(&source)?;
    }
    Ok(ExitCode::SUCCESS)
}

/// Prints what was found; how the worst of it is.
fn told(checks: &[DoctorCheck]) -> Health {
    let mut worst = Health::Good;
    for check in checks {
        let word = match check.health {
            Health::Good => "ok",
            Health::Poor => "note",
            Health::Bad => "MISSING",
        };
        results::out!("{word:<8} {:<16} {}", check.name, printable_line(&check.detail));
        if let Some(cure) = &check.cure {
            results::out!("{:<25} cure: {}", "", printable_line(cure));
        }
        worst = worst.max(check.health);
    }
    worst
}

/// Fetches Kafka, and lets the JVMs of a short healthy run make their class archives.
fn prepare(source: &KafkaSource) -> Result<(), Failure> {
    let kafka = provision::provide(source)?;
    let mode = sandbox::choose(None)
        .map_err(|error| Failure::infrastructure(error.to_string()).with_cure(error.cure()))?;
    let archives = archives(mode, &kafka);
    if !archives.complete() {
        let out = tempfile::tempdir().map_err(|error| {
            Failure::infrastructure(format!("a temporary folder cannot be made: {error}"))
        })?;
        super::run::healthy(source, out.path())?;
    }
    if !archives.complete() {
        return Err(Failure::infrastructure("the JVMs left no class archives")
            .with_cure("runs work without, and start about 2 s slower"));
    }
    results::out!("Apache Kafka {} is ready, with class archives", kafka.version);
    Ok(())
}

pub(super) fn completions(shell: clap_complete::Shell) -> Result<ExitCode, Failure> {
    clap_complete::generate(shell, &mut Cli::command(), "kbench", &mut std::io::stdout());
    Ok(ExitCode::SUCCESS)
}

pub(super) fn man(dir: &Path) -> Result<ExitCode, Failure> {
    clap_mangen::generate_to(Cli::command(), dir).map_err(|error| {
        Failure::infrastructure(format!(
            "cannot write manual pages into {}: {error}",
            dir.display()
        ))
        .with_cure("name a folder that is there and can be written")
    })?;
    Ok(ExitCode::SUCCESS)
}
