//! Kafka's jars: resolved once per version through Maven, cached, or from a user's installation.
//!
//! The folder of jars *is* the distribution: ZooKeeper is among them.

mod archive;
mod cache;
mod checksums;
mod classes;
mod maven;

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use faults::plan::Plan;
use nix::fcntl::{Flock, FlockArg};
use serde::{Deserialize, Serialize};

use crate::child::{self, RunLimit, environment, run};
use crate::failure::Failure;
use crate::topology::{Topology, settings};
use crate::version::KafkaVersion;

pub use archive::Archives;
pub use cache::cache_dir;
pub use checksums::Checksums;

/// Oldest Java that Kafka 3.x brokers of today are run on.
pub const LEAST_JAVA: u32 = 11;

/// Limit for Java to say its version: it takes a tenth of a second.
const JAVA_LIMIT: Duration = Duration::from_secs(30);

/// What the names of folders begin with that Maven is still copying jars into.
const UNFINISHED: &str = ".fetching-";

/// Where Kafka's jars come from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum KafkaSource {
    /// This version, through Maven, from the cache when it is there.
    Version(String),
    /// An installation of the user's own.
    Home(PathBuf),
}

impl KafkaSource {
    /// Which minor version it is, before anything is fetched.
    ///
    /// # Errors
    /// Usage failures: one that kbench does not start, or a folder without Kafka.
    pub fn version(&self) -> Result<KafkaVersion, Failure> {
        match self {
            Self::Version(version) => KafkaVersion::of(version),
            Self::Home(home) => {
                let jars = home.join("libs");
                let version = kafka_in(&jars).ok_or_else(|| without_zookeeper(&jars))?;
                let of = |failure: Failure| failure.within(&home.display().to_string());
                KafkaVersion::of(&version).map_err(of)
            }
        }
    }
}

/// Kafka, ready to be started.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Kafka {
    /// Folder of jars.
    pub jars: PathBuf,
    /// Version of Apache Kafka, from the jars' names.
    pub version: String,
    /// Version of Apache ZooKeeper, from the jars' names.
    pub zookeeper_version: String,
    /// First line of `java -version`.
    pub java: String,
    /// What the jars are, where kbench does not know it by itself.
    pub checksums: Checksums,
}

impl Kafka {
    /// Refuses a cluster whose brokers are told to load a class that these jars do not hold.
    ///
    /// # Errors
    /// A usage failure that names setting and class; an infrastructure failure for jars that cannot be
    /// read.
    pub fn has_classes_of(&self, topology: &Topology) -> Result<(), Failure> {
        let version = KafkaVersion::of(&self.version)?;
        for (key, class) in settings::classes(topology, version) {
            let found = classes::has(&self.jars, class).map_err(|error| {
                let jars = self.jars.display();
                Failure::infrastructure(format!("the jars in {jars} cannot be read: {error}"))
            });
            if !found? {
                return Err(Failure::usage(format!(
                    "broker.settings: `{key}` is `{class}`, a class that is not among Kafka's jars"
                ))
                .with_cure("put its jar into `libs` of an installation that --kafka-home names"));
            }
        }
        Ok(())
    }
}

/// Makes Kafka available: from the cache, through Maven, or from the user's installation.
///
/// # Errors
/// Usage failures for a version that does not exist or that kbench does not start, or a folder without
/// Kafka; infrastructure failures when Java or Maven are missing, or Maven fails.
pub fn provide(source: &KafkaSource) -> Result<Kafka, Failure> {
    source.version()?;
    let java = java()?;
    let (jars, checksums) = match source {
        KafkaSource::Home(home) => {
            let jars = home.join("libs");
            let read = checksums::read(&jars).map_err(|error| {
                Failure::infrastructure(format!(
                    "the jars in {} cannot be read: {error}",
                    jars.display()
                ))
            })?;
            (jars, read)
        }
        KafkaSource::Version(version) => {
            let jars = cached(version)?;
            let read = checksums::verify(version, &jars)?;
            (jars, read)
        }
    };
    let (Some(version), Some(zookeeper_version)) =
        (kafka_in(&jars), version_of(&jars, "zookeeper-"))
    else {
        return Err(without_zookeeper(&jars));
    };
    Ok(Kafka { jars, version, zookeeper_version, java, checksums })
}

/// Makes the other versions available that a plan starts brokers from.
///
/// # Errors
/// As [`provide`].
pub fn of_plan(plan: Option<&Plan>) -> Result<Vec<Kafka>, Failure> {
    let versions = plan.map(Plan::versions).unwrap_or_default();
    versions.into_iter().map(|version| provide(&KafkaSource::Version(version.into()))).collect()
}

fn without_zookeeper(jars: &Path) -> Failure {
    Failure::usage(format!("{} holds no Apache Kafka with ZooKeeper", jars.display())).with_cure(
        "--kafka-home names an unpacked Apache Kafka 2.6 to 3.9, the folder that has `libs` in it",
    )
}

/// First line of `java -version`.
///
/// # Errors
/// An infrastructure failure when there is no Java, or an old one.
pub fn java() -> Result<String, Failure> {
    let cure = "sudo apt-get install openjdk-17-jre-headless; or JAVA_HOME names another one";
    let said = child::java().and_then(|java| {
        let mut java = Command::new(java);
        java.arg("-version").env_clear().envs(environment());
        run(&mut java, RunLimit::InAll(JAVA_LIMIT))
    });
    let said = said.map_err(|error| {
        Failure::infrastructure(format!("Java cannot be started: {error}")).with_cure(cure)
    })?;
    java_version(&String::from_utf8_lossy(&said.stderr)).map_err(|said| {
        Failure::infrastructure(format!(
            "Java {LEAST_JAVA} or newer is needed, `java -version` says: {said}"
        ))
        .with_cure(cure)
    })
}

/// The line of `java -version` that says the version.
///
/// # Errors
/// The first line, of one that is too old.
pub fn java_version(said: &str) -> Result<String, String> {
    let line = said.lines().find(|line| line.contains(" version \"")).unwrap_or_default();
    // `1.8.0_402`, `11.0.2`, `25`, `25-ea`.
    let digits = |version: &str| {
        let end = version.find(|c: char| !c.is_ascii_digit()).unwrap_or(version.len());
        version[..end].parse::<u32>().ok()
    };
    match line.split('"').nth(1).and_then(digits) {
        Some(major) if major >= LEAST_JAVA => Ok(line.to_owned()),
        _ => Err(said.lines().next().unwrap_or("nothing").to_owned()),
    }
}

/// Whether the jars of a version are in the cache.
pub fn is_cached(version: &str) -> bool {
    cache_dir().is_ok_and(|cache| jars_dir(&cache, version).is_dir())
}

fn jars_dir(cache: &Path, version: &str) -> PathBuf {
    cache.join("kafka").join(version).join("jars")
}

/// The version's jars in the cache; fetched when they are not there.
fn cached(version: &str) -> Result<PathBuf, Failure> {
    let cache = cache_dir()?;
    let jars = jars_dir(&cache, version);
    if jars.is_dir() {
        cache::is_own(&cache)?;
        return Ok(jars);
    }
    cache::make(&cache)?;
    let cannot = |error: io::Error| cache::cannot_write(&jars, error);
    let parent = jars.parent().unwrap_or(&jars).to_owned();
    fs::create_dir_all(&parent).map_err(cannot)?;
    // Another kbench may be fetching the same: whoever comes second finds the folder.
    let lock = File::create(parent.join(".lock")).map_err(cannot)?;
    let _lock =
        Flock::lock(lock, FlockArg::LockExclusive).map_err(|(_, error)| cannot(error.into()))?;
    if !jars.is_dir() {
        results::err!("fetching Apache Kafka {version} through Maven, once (about 60 MB)");
        sweep(&parent).map_err(cannot)?;
        let fetched =
            tempfile::Builder::new().prefix(UNFINISHED).tempdir_in(&parent).map_err(cannot)?;
        maven::fetch(version, fetched.path())?;
        fs::rename(fetched.path().join("jars"), &jars).map_err(cannot)?;
    }
    Ok(jars)
}

/// Removes what a kbench left that was killed while it fetched. We hold the lock: nobody fetches.
fn sweep(parent: &Path) -> io::Result<()> {
    for entry in fs::read_dir(parent)? {
        let entry = entry?;
        if entry.file_name().to_string_lossy().starts_with(UNFINISHED) {
            fs::remove_dir_all(entry.path())?;
        }
    }
    Ok(())
}

/// Version of Apache Kafka in a folder of jars.
fn kafka_in(jars: &Path) -> Option<String> {
    version_of(jars, "kafka_2.1")?.split_once('-').map(|(_, version)| version.to_owned())
}

/// Version part of the first jar whose name begins so.
fn version_of(jars: &Path, prefix: &str) -> Option<String> {
    fs::read_dir(jars).ok()?.flatten().find_map(|entry| {
        let name = entry.file_name().into_string().ok()?;
        let rest = name.strip_prefix(prefix)?.strip_suffix(".jar")?;
        rest.starts_with(|c: char| c.is_ascii_digit()).then(|| rest.to_owned())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_come_from_the_jars_names() {
        let dir = tempfile::tempdir().unwrap();
        for name in ["zookeeper-jute-3.8.4.jar", "zookeeper-3.8.4.jar", "kafka_2.13-3.9.1.jar"] {
            fs::write(dir.path().join(name), "").unwrap();
        }
        assert_eq!(version_of(dir.path(), "zookeeper-").as_deref(), Some("3.8.4"));
        assert_eq!(version_of(dir.path(), "kafka_2.1").as_deref(), Some("3-3.9.1"));
        assert_eq!(version_of(dir.path(), "nothing-"), None);
    }

    #[test]
    fn every_java_from_11_on_is_taken_however_it_says_its_version() {
        let said = |first: &str| format!("{first}\nOpenJDK Runtime Environment (build x)\n");
        for line in [
            "openjdk version \"11.0.2\" 2019-01-15",
            "openjdk version \"17.0.15\" 2025-04-15",
            "openjdk version \"17\" 2021-09-14",
            "openjdk version \"21.0.7\" 2025-04-15 LTS",
            "java version \"25\" 2025-09-16 LTS",
            "openjdk version \"25-ea\" 2025-09-16",
            "openjdk version \"26-internal\" 2026-03-17",
        ] {
            assert_eq!(java_version(&said(line)).unwrap(), line);
            let picked_up = format!("Picked up _JAVA_OPTIONS: -Xmx1g\n{}", said(line));
            assert_eq!(java_version(&picked_up).unwrap(), line);
        }
        for old in ["java version \"1.8.0_402\"", "openjdk version \"10.0.1\"", "nonsense"] {
            assert_eq!(java_version(&said(old)).unwrap_err(), old);
        }
        assert_eq!(java_version("").unwrap_err(), "nothing");
    }

    #[test]
    fn only_unfinished_fetches_are_swept() {
        let dir = tempfile::tempdir().unwrap();
        let (unfinished, jars) =
            (dir.path().join(format!("{UNFINISHED}x")), dir.path().join("jars"));
        fs::create_dir_all(unfinished.join("jars")).unwrap();
        fs::create_dir(&jars).unwrap();
        sweep(dir.path()).unwrap();
        assert!(!unfinished.exists() && jars.is_dir());
    }

    #[test]
    fn an_installation_of_another_version_is_refused_by_its_jars() {
        let home = tempfile::tempdir().unwrap();
        let source = KafkaSource::Home(home.path().to_owned());
        let refused = |words: &str| {
            let text = source.version().unwrap_err().text().to_owned();
            assert!(text.contains(words), "{text}");
            assert!(provide(&source).unwrap_err().text().contains(words));
        };
        refused("holds no Apache Kafka with ZooKeeper");
        let libs = home.path().join("libs");
        fs::create_dir(&libs).unwrap();
        refused("holds no Apache Kafka with ZooKeeper");
        fs::write(libs.join("kafka_2.13-4.0.0.jar"), "").unwrap();
        refused("4.0.0 comes without ZooKeeper");
        fs::rename(libs.join("kafka_2.13-4.0.0.jar"), libs.join("kafka_2.12-2.4.1.jar")).unwrap();
        refused("2.4.1 is too old");
        fs::rename(libs.join("kafka_2.12-2.4.1.jar"), libs.join("kafka_2.12-2.8.2.jar")).unwrap();
        assert_eq!(source.version().unwrap().to_string(), "2.8");
    }

    #[test]
    fn a_version_that_is_not_started_is_refused_before_maven() {
        for version in ["2.4.1", "4.0.0", "../../etc", ""] {
            let source = KafkaSource::Version(version.to_owned());
            assert!(provide(&source).is_err());
        }
    }
}
