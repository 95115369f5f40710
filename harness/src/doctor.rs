//! What this machine lacks for a run, and the cure.

use std::process::Command;

use crate::provision;
use crate::sandbox::{self, Mode};
use crate::spec::KafkaSource;

/// Memory that the guide's cluster and its data need: six JVMs took 1.35 GB, data about 0.5 GB.
const ENOUGH_MEMORY_MB: u64 = 3000;

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
    checks.push(memory());
    checks
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
            Some("--kafka-home names an unpacked Apache Kafka 3.x".to_owned()),
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
    std::env::var_os("PATH").is_some_and(|path| {
        std::env::split_paths(&path)
            .chain(["/usr/sbin".into(), "/sbin".into()])
            .any(|dir| dir.join(program).is_file())
    }) && Command::new(program).arg("--version").output().is_ok()
}

fn mode(mode: Mode) -> DoctorCheck {
    let name = match mode {
        Mode::UserNamespaces => "user namespaces",
        Mode::RootNamespaces => "root namespaces",
        Mode::Loopback => "loopback",
    };
    match sandbox::probe(mode) {
        Ok(()) => check(name, Health::Good, "usable", None),
        Err(error) => check(name, Health::Poor, error.to_string(), Some(error.cure())),
    }
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

/// Memory that programs can still get, in MiB; 0 when the kernel does not say.
pub fn available_memory_mb() -> u64 {
    std::fs::read_to_string("/proc/meminfo")
        .unwrap_or_default()
        .lines()
        .find_map(|line| line.strip_prefix("MemAvailable:"))
        .and_then(|rest| rest.split_whitespace().next()?.parse::<u64>().ok())
        .map_or(0, |kib| kib / 1024)
}
