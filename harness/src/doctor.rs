//! What this machine lacks for a run, and the cure.

mod containers;
mod honesty;
mod nodes;

use std::collections::BTreeSet;
use std::process::Command;
use std::time::Duration;

use faults::fault::FaultSpec;
use faults::port::Capability;
use nix::sys::statvfs::statvfs;

use crate::child::{RunLimit, find, run};
use crate::cluster::docker::{self, spec::DockerSpec};
use crate::cluster::local::sandbox::{self, Mode};
use crate::cluster::local::{archives as archives_of, capability};
use crate::failure::Failure;
use crate::kernel::{available_memory_mb, is_filtered};
use crate::provision::{self, Kafka, KafkaSource};
use crate::spec::BackendSpec;

pub use containers::container_checks;
pub use nodes::inventory_checks;

/// Memory that the guide's cluster and its data need: six JVMs took 1.35 GB, data about 0.5 GB.
const ENOUGH_MEMORY_MB: u64 = 3000;

/// Jars, class archives, and the files of a few runs.
const ENOUGH_DISK_MB: u64 = 1000;

/// Figures of kbench were measured on this many; with fewer, load and brokers starve each other.
const ENOUGH_CORES: usize = 2;

/// Limit for a tool to say its version: Maven takes half a second.
const TOOL_LIMIT: Duration = Duration::from_secs(20);

/// How a check went, from best to worst.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Health {
    /// As it should be.
    Good,
    /// A run works, with less.
    Poor,
    /// A run does not work.
    Bad,
}

/// One thing that was looked at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DoctorCheck {
    /// What was looked at.
    pub name: &'static str,
    /// How it is.
    pub health: Health,
    /// What was found.
    pub detail: String,
    /// What to do.
    pub cure: Option<String>,
}

/// Looks at everything that a run needs.
pub fn checks(source: &KafkaSource) -> Vec<DoctorCheck> {
    let mut checks = vec![java(), kafka(source), tool("iproute2", "ip", Health::Bad)];
    checks.push(tool("nftables", "nft", Health::Poor));
    checks.extend(Mode::ALL.map(mode));
    checks.extend(seccomp());
    checks.push(faults());
    checks.extend([memory(), disk(), cores(), archives(source), honesty::load_generator()]);
    checks
}

/// Looks at everything that a run on containers needs.
pub fn docker_checks(spec: &DockerSpec) -> Vec<DoctorCheck> {
    let engine = docker::engine();
    let is_there = engine.is_ok();
    let mut checks = vec![of_docker("Docker", engine)];
    if is_there {
        let ready = docker::ready(spec)
            .map(|_| format!("image {} is there, with Java and Kafka", spec.images_in_words()));
        checks.push(of_docker("containers", ready));
    }
    checks.push(tool("iproute2", "ip", Health::Bad));
    checks.push(tool("nftables", "nft", Health::Poor));
    let backend = BackendSpec::Docker(spec.clone());
    checks.push(faults_of(|need| Some((backend.missing(need)?, backend.cure(need)))));
    checks.extend([memory(), disk(), cores(), honesty::load_generator()]);
    checks
}

fn of_docker(name: &'static str, found: Result<String, Failure>) -> DoctorCheck {
    match found {
        Ok(detail) => check(name, Health::Good, detail, None),
        Err(failure) => check(name, Health::Bad, failure.text(), failure.cure().map(str::to_owned)),
    }
}

fn check(
    name: &'static str,
    health: Health,
    detail: impl Into<String>,
    cure: Option<String>,
) -> DoctorCheck {
    DoctorCheck { name, health, detail: detail.into(), cure }
}

fn java() -> DoctorCheck {
    match provision::java() {
        Ok(version) => check("Java", Health::Good, version, None),
        Err(failure) => {
            check("Java", Health::Bad, failure.text(), failure.cure().map(str::to_owned))
        }
    }
}

fn kafka(source: &KafkaSource) -> DoctorCheck {
    let name = "Apache Kafka";
    match source {
        KafkaSource::Home(home) if home.join("libs").is_dir() => {
            check(name, Health::Good, format!("{}", home.display()), None)
        }
        KafkaSource::Home(home) => check(
            name,
            Health::Bad,
            format!("{} has no `libs` in it", home.display()),
            Some("--kafka-home names an unpacked Apache Kafka 2.6 to 3.9".to_owned()),
        ),
        KafkaSource::Version(version) if provision::is_cached(version) => {
            check(name, Health::Good, format!("{version}, in the cache"), None)
        }
        KafkaSource::Version(version) if found("mvn") => {
            check(name, Health::Good, format!("{version}: Maven will fetch it"), None)
        }
        KafkaSource::Version(version) => check(
            name,
            Health::Bad,
            format!("{version} is not in the cache, and there is no Maven to fetch it"),
            Some("sudo apt-get install maven".to_owned()),
        ),
    }
}

fn tool(package: &'static str, program: &str, without: Health) -> DoctorCheck {
    if found(program) {
        return check(package, Health::Good, format!("`{program}` is there"), None);
    }
    let detail = match without {
        Health::Bad => format!("`{program}` is missing: no network for the nodes"),
        _ => format!("`{program}` is missing: no faults of the network"),
    };
    check(package, without, detail, Some(format!("sudo apt-get install {package}")))
}

fn found(program: &str) -> bool {
    let version =
        |program| run(Command::new(program).arg("--version"), RunLimit::InAll(TOOL_LIMIT));
    find(program).is_ok_and(|program| version(program).is_ok())
}

fn mode(mode: Mode) -> DoctorCheck {
    let name = match mode {
        Mode::UserNamespaces => "user namespaces",
        Mode::RootNamespaces => "root namespaces",
        Mode::Loopback => "loopback",
    };
    match sandbox::probe(mode) {
        Ok(()) => {
            let usable = mode.warning().map(|warning| format!("usable: {warning}"));
            check(name, Health::Good, usable.unwrap_or("usable".to_owned()), None)
        }
        Err(error) => check(name, Health::Poor, error.to_string(), Some(error.cure())),
    }
}

/// A filter of system calls, where there is one: it explains what else is found.
fn seccomp() -> Option<DoctorCheck> {
    let detail = "a seccomp filter is in force, as in a container: system calls that namespaces and \
                  faults need may be refused, whoever asks";
    let cure = "start the container with `--security-opt seccomp=unconfined`";
    is_filtered().then(|| check("seccomp", Health::Poor, detail, Some(cure.to_owned())))
}

/// Which faults the best mode can do.
fn faults() -> DoctorCheck {
    let name = "faults";
    let Ok(mode) = sandbox::choose(None) else {
        return check(name, Health::Poor, "there is no mode to do them in", None);
    };
    faults_of(|need| Some((capability::missing(mode, need)?, capability::cure(mode, need))))
}

/// Which faults can be done, where `missing` says why one cannot, and the cure.
fn faults_of(missing: impl Fn(Capability) -> Option<(String, &'static str)>) -> DoctorCheck {
    let name = "faults";
    let all = FaultSpec::ALL.iter().flat_map(|spec| spec.fault().needs());
    let missing: Vec<_> = all
        .collect::<BTreeSet<_>>()
        .into_iter()
        .filter_map(|need| Some((*need, missing(*need)?)))
        .collect();
    let Some((_, (why, cure))) = missing.first() else {
        return check(name, Health::Good, "all can be done", None);
    };
    let lacks = |spec: &&FaultSpec| {
        spec.fault().needs().iter().any(|need| missing.iter().any(|(lacking, _)| lacking == need))
    };
    let names: BTreeSet<_> =
        FaultSpec::ALL.iter().filter(lacks).map(|spec| spec.fault().name()).collect();
    let names: Vec<_> = names.into_iter().collect();
    let detail = format!("cannot be done: {} ({why})", names.join(", "));
    check(name, Health::Poor, detail, Some((*cure).to_owned()))
}

fn memory() -> DoctorCheck {
    let available = available_memory_mb();
    let detail = format!("{available} MB available, about {ENOUGH_MEMORY_MB} MB needed a trial");
    if available >= ENOUGH_MEMORY_MB {
        check("memory", Health::Good, detail, None)
    } else {
        check("memory", Health::Poor, detail, Some("end other programs".to_owned()))
    }
}

fn disk() -> DoctorCheck {
    let cache = match provision::cache_dir() {
        Ok(cache) => cache,
        Err(failure) => {
            let cure = failure.cure().map(str::to_owned);
            return check("disk", Health::Bad, failure.text(), cure);
        }
    };
    let there = cache.ancestors().find(|path| path.is_dir()).unwrap_or(&cache);
    let free =
        statvfs(there).map(|disk| disk.blocks_available() * disk.fragment_size() / (1024 * 1024));
    match free {
        Ok(free) if free >= ENOUGH_DISK_MB => {
            check("disk", Health::Good, format!("{free} MB free in {}", there.display()), None)
        }
        Ok(free) => check(
            "disk",
            Health::Poor,
            format!("{free} MB free in {}, {ENOUGH_DISK_MB} MB are wanted", there.display()),
            Some("free some, or set XDG_CACHE_HOME to a folder on another disk".to_owned()),
        ),
        Err(error) => check("disk", Health::Poor, format!("{}: {error}", there.display()), None),
    }
}

fn cores() -> DoctorCheck {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let detail = format!("{cores} to use");
    if cores >= ENOUGH_CORES {
        check("cores", Health::Good, detail, None)
    } else {
        let cure = "expect slow starts, and runs judged invalid because the load generator lags";
        check("cores", Health::Poor, detail, Some(cure.to_owned()))
    }
}

fn archives(source: &KafkaSource) -> DoctorCheck {
    let name = "class archives";
    let cached = match source {
        KafkaSource::Version(version) => provision::is_cached(version),
        KafkaSource::Home(_) => true,
    };
    // Nothing is fetched here: without jars there are no archives either.
    let has_them =
        |kafka: Kafka| sandbox::choose(None).is_ok_and(|mode| archives_of(mode, &kafka).complete());
    if cached && provision::provide(source).is_ok_and(has_them) {
        return check(name, Health::Good, "there", None);
    }
    let detail = "none yet: the first run makes them, and starts about 2 s slower";
    check(name, Health::Poor, detail, Some("`kbench doctor --prepare`".to_owned()))
}
