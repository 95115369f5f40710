//! Kafka's jars: resolved once per version through Maven, cached, or from a user's installation.
//!
//! The folder of jars *is* the distribution: ZooKeeper is among them. Maven knows where to fetch
//! from; nothing about repositories is said here.

mod archive;
mod classes;

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;

use faults::plan::Plan;
use nix::fcntl::{Flock, FlockArg};
use nix::sys::signal::Signal;
use serde::{Deserialize, Serialize};

use crate::child::die_with_parent;
use crate::failure::Failure;
use crate::topology::{Topology, settings};
use crate::version::KafkaVersion;

pub use archive::Archives;

/// Oldest Java that Kafka 3.x brokers of today are run on.
const LEAST_JAVA: u32 = 11;

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

/// kbench's folder in the user's cache directory.
pub fn cache_dir() -> PathBuf {
    let base = std::env::var_os("XDG_CACHE_HOME")
        .map(PathBuf::from)
        .filter(|path| path.is_absolute())
        .or_else(|| std::env::home_dir().map(|home| home.join(".cache")))
        .unwrap_or_else(std::env::temp_dir);
    base.join("kbench")
}

/// Makes Kafka available: from the cache, through Maven, or from the user's installation.
///
/// # Errors
/// Usage failures for a version that does not exist or that kbench does not start, or a folder without
/// Kafka; infrastructure failures when Java or Maven are missing, or Maven fails.
pub fn provide(source: &KafkaSource) -> Result<Kafka, Failure> {
    source.version()?;
    let java = java()?;
    let jars = match source {
        KafkaSource::Home(home) => home.join("libs"),
        KafkaSource::Version(version) => cached(version)?,
    };
    let (Some(version), Some(zookeeper_version)) =
        (kafka_in(&jars), version_of(&jars, "zookeeper-"))
    else {
        return Err(without_zookeeper(&jars));
    };
    Ok(Kafka { jars, version, zookeeper_version, java })
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
    let cure = "sudo apt-get install openjdk-17-jre-headless";
    let output = Command::new("java").arg("-version").output().map_err(|error| {
        Failure::infrastructure(format!("Java cannot be started: {error}")).with_cure(cure)
    })?;
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    let line =
        text.lines().find(|line| line.contains(" version \"")).unwrap_or_default().to_owned();
    let major = line.split('"').nth(1).and_then(|v| v.split('.').next()?.parse::<u32>().ok());
    match major {
        Some(major) if major >= LEAST_JAVA => Ok(line),
        _ => Err(Failure::infrastructure(format!(
            "Java {LEAST_JAVA} or newer is needed, `java -version` says: {}",
            text.lines().next().unwrap_or("nothing")
        ))
        .with_cure(cure)),
    }
}

/// Whether the jars of a version are in the cache.
pub fn is_cached(version: &str) -> bool {
    jars_dir(version).is_dir()
}

fn jars_dir(version: &str) -> PathBuf {
    cache_dir().join("kafka").join(version).join("jars")
}

/// The version's jars in the cache; fetched when they are not there.
fn cached(version: &str) -> Result<PathBuf, Failure> {
    let jars = jars_dir(version);
    if jars.is_dir() {
        return Ok(jars);
    }
    let cannot = |error: io::Error| {
        Failure::infrastructure(format!("the cache {} cannot be written: {error}", jars.display()))
    };
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
        fetch(version, fetched.path())?;
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

fn fetch(version: &str, into: &Path) -> Result<(), Failure> {
    let pom = POM.replace("@VERSION@", version).replace("@OTHER_LOGGERS@", OTHER_LOGGERS);
    fs::write(into.join("pom.xml"), pom).map_err(|error| {
        Failure::infrastructure(format!("{} cannot be written: {error}", into.display()))
    })?;
    let mut maven = Command::new("mvn");
    die_with_parent(&mut maven, Signal::SIGKILL, false);
    let output = maven
        .args(["-q", "-B", "-Dstyle.color=never", "-f"])
        .arg(into.join("pom.xml"))
        .arg("dependency:copy-dependencies")
        .arg(format!("-DoutputDirectory={}", into.join("jars").display()))
        .output()
        .map_err(|error| {
            Failure::infrastructure(format!("Maven cannot be started: {error}")).with_cure(
                "sudo apt-get install maven, or --kafka-home DIR with an unpacked Apache Kafka",
            )
        })?;
    if output.status.success() {
        return Ok(());
    }
    Err(refused(version, &String::from_utf8_lossy(&output.stdout)))
}

/// What Maven's output means: the version does not exist, or it could not be fetched.
fn refused(version: &str, output: &str) -> Failure {
    let artifact = format!("org.apache.kafka:kafka_2.13:jar:{version}");
    let absent = |line: &str| {
        line.contains(&format!("Could not find artifact {artifact}"))
            || line.contains(&format!("{artifact} was not found in"))
    };
    if output.lines().any(absent) {
        return Failure::usage(format!("there is no Apache Kafka {version}"))
            .with_cure("kafka.apache.org lists the releases; for example --kafka-version 3.9.1");
    }
    let why = output.lines().find(|line| line.contains("ERROR")).unwrap_or("no message");
    let cure = if why.contains("local repository") {
        "Maven needs a home that it can write to: MAVEN_OPTS=-Duser.home=DIR names one"
    } else {
        "is the network reachable? --kafka-home DIR needs none"
    };
    Failure::infrastructure(format!("Maven could not fetch Kafka {version}: {}", plain(why)))
        .with_cure(cure)
}

/// The line without the colour resets that Maven writes even when it is told to use no colours.
fn plain(line: &str) -> String {
    line.replace("\u{1b}[0m", "").replace("\u{1b}[m", "")
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

/// What is fetched. Until 3.0 Kafka came with log4j 1.2 and its binding: one binding is enough, and
/// reload4j is the same logger, mended.
const POM: &str = r#"<project xmlns="http://maven.apache.org/POM/4.0.0">
  <modelVersion>4.0.0</modelVersion>
  <groupId>kbench</groupId><artifactId>kafka</artifactId><version>1</version>
  <dependencies>
    <dependency><groupId>org.apache.kafka</groupId><artifactId>kafka_2.13</artifactId><version>@VERSION@</version>@OTHER_LOGGERS@</dependency>
    <dependency><groupId>org.apache.kafka</groupId><artifactId>kafka-tools</artifactId><version>@VERSION@</version>@OTHER_LOGGERS@</dependency>
    <dependency><groupId>org.slf4j</groupId><artifactId>slf4j-reload4j</artifactId><version>1.7.36</version></dependency>
  </dependencies>
</project>
"#;

const OTHER_LOGGERS: &str = "<exclusions>\
    <exclusion><groupId>org.slf4j</groupId><artifactId>slf4j-log4j12</artifactId></exclusion>\
    <exclusion><groupId>log4j</groupId><artifactId>log4j</artifactId></exclusion>\
    </exclusions>";

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
    fn a_version_that_does_not_exist_is_told_from_a_network_that_does_not_work() {
        let text = |output: &str| refused("9.9.9", output).text().to_owned();
        let absent =
            "[ERROR] Failed: Could not find artifact org.apache.kafka:kafka_2.13:jar:9.9.9 in x";
        assert_eq!(text(absent), "there is no Apache Kafka 9.9.9");
        let again = "[ERROR] org.apache.kafka:kafka_2.13:jar:9.9.9 was not found in x during a previous attempt";
        assert_eq!(text(again), "there is no Apache Kafka 9.9.9");
        // Maven itself is incomplete: that says nothing about Kafka.
        let plugin = "[ERROR] Could not find artifact org.apache.maven.plugins:maven-dependency-plugin:jar:3.6";
        assert!(text(plugin).starts_with("Maven could not fetch"), "{}", text(plugin));
        let home = "\u{1b}[0m[ERROR] Could not create local repository at /nowhere/.m2";
        assert!(
            text(home)
                .ends_with("9.9.9: [ERROR] Could not create local repository at /nowhere/.m2")
        );
        assert!(refused("9.9.9", home).cure().unwrap().contains("user.home"));
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
            assert!(provide(&source).is_err() && !jars_dir(version).join("x").exists());
        }
    }
}
