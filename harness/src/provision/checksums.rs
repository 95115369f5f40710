//! What the jars are: their SHA-256, compared at each use.
//!
//! Of the versions that kbench names itself the list is shipped. Of any other the jars are what they were when they
//! were fetched, which Maven compared with the repository's word. What was read of a jar is written down beside the jars with its size
//! and times, and is taken for as long as these are the same: to read all of them takes a quarter of a second.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use results::record::budget::MOST_DOCUMENT_BYTES;
use results::record::open;
use serde::{Deserialize, Serialize};

use crate::child::{RunLimit, environment, find, run};
use crate::failure::Failure;

/// The shipped lists: `SHA-256  VERSION/JAR`.
const RELEASED: &str = include_str!("released.txt");

/// File beside the jars' folder that says what was read of them.
const READ: &str = "checksums.json";

/// Limit for the jars to be read: 60 MB from a slow disk.
const LIMIT: Duration = Duration::from_secs(60);

/// The SHA-256 of each jar by its name, in hexadecimal digits.
pub type Checksums = BTreeMap<String, String>;

/// A jar as it was when it was read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct JarRead {
    sha256: String,
    bytes: u64,
    /// Of its contents and of the file, in nanoseconds: nobody can set the latter.
    modified_ns: i128,
    changed_ns: i128,
}

impl JarRead {
    fn is_of(&self, jar: &Path) -> io::Result<bool> {
        Ok(Self::new(String::new(), jar)? == Self { sha256: String::new(), ..self.clone() })
    }

    fn new(sha256: String, jar: &Path) -> io::Result<Self> {
        let found = fs::metadata(jar)?;
        let ns = |seconds: i64, ns: i64| i128::from(seconds) * 1_000_000_000 + i128::from(ns);
        Ok(Self {
            sha256,
            bytes: found.len(),
            modified_ns: ns(found.mtime(), found.mtime_nsec()),
            changed_ns: ns(found.ctime(), found.ctime_nsec()),
        })
    }
}

/// Makes sure that the jars of a version in the cache are those that they should be; what they are where kbench does
/// not know it by itself.
///
/// # Errors
/// An infrastructure failure that names the first jar which is another, is missing, or is one too many.
pub(super) fn verify(version: &str, jars: &Path) -> Result<Checksums, Failure> {
    let released = released(version);
    let file = jars.with_file_name(READ);
    let known = open::read(&file, MOST_DOCUMENT_BYTES).ok();
    let known: BTreeMap<String, JarRead> =
        known.and_then(|text| serde_json::from_slice(&text).ok()).unwrap_or_default();
    let cannot = |error: io::Error| {
        Failure::infrastructure(format!("the jars in {} cannot be read: {error}", jars.display()))
    };
    let read = update(jars, &known).map_err(cannot)?;
    let now: Checksums =
        read.iter().map(|(jar, read)| (jar.clone(), read.sha256.clone())).collect();
    let formerly = || known.iter().map(|(jar, read)| (jar.clone(), read.sha256.clone())).collect();
    let wanted: Checksums = if released.is_empty() { formerly() } else { released.clone() };
    if let Some(why) = differs(&wanted, &now).filter(|_| !wanted.is_empty()) {
        let folder = jars.parent().unwrap_or(jars).display();
        return Err(Failure::infrastructure(format!(
            "the jars of Apache Kafka {version} in {} are not those that were released: {why}",
            jars.display()
        ))
        .with_cure(format!(
            "rm -r {folder}, and they are fetched anew; --kafka-home DIR takes jars of your own"
        )));
    }
    if read != known {
        // Where it cannot be written they are read again the next time.
        let written = serde_json::to_vec(&read).map_err(io::Error::other);
        if let Err(error) = written.and_then(|text| open::write(&file, &text)) {
            tracing::debug!(%error, "checksums are not written down");
        }
    }
    Ok(if released.is_empty() { now } else { Checksums::new() })
}

/// What the jars in a folder are, whoever put them there.
///
/// # Errors
/// When one cannot be read.
pub(super) fn read(jars: &Path) -> io::Result<Checksums> {
    let read = update(jars, &BTreeMap::new())?;
    Ok(read.into_iter().map(|(jar, read)| (jar, read.sha256)).collect())
}

/// The shipped list of a version; empty where there is none.
fn released(version: &str) -> Checksums {
    let of_version = |line: &str| {
        let (sha256, path) = line.split_once("  ")?;
        let jar = path.strip_prefix(version)?.strip_prefix('/')?;
        Some((jar.to_owned(), sha256.to_owned()))
    };
    RELEASED.lines().filter_map(of_version).collect()
}

/// The first thing in which jars are not what they should be.
fn differs(wanted: &Checksums, now: &Checksums) -> Option<String> {
    let jars: BTreeSet<&String> = wanted.keys().chain(now.keys()).collect();
    jars.into_iter().find_map(|jar| match (wanted.get(jar), now.get(jar)) {
        (Some(wanted), Some(now)) if wanted == now => None,
        (Some(_), Some(now)) => Some(format!("`{jar}` has the SHA-256 {now}")),
        (Some(_), None) => Some(format!("`{jar}` is missing")),
        (None, _) => Some(format!("`{jar}` is none of them")),
    })
}

/// What the jars are; those are read that changed since they were.
fn update(jars: &Path, known: &BTreeMap<String, JarRead>) -> io::Result<BTreeMap<String, JarRead>> {
    let mut all = BTreeMap::new();
    let mut changed = vec![];
    for entry in fs::read_dir(jars)? {
        let name = entry?.file_name().into_string();
        let name = name.map_err(|_| io::Error::other("the name of one is not UTF-8"))?;
        // Java looks at nothing else in such a folder.
        if !name.to_ascii_lowercase().ends_with(".jar") {
            continue;
        }
        match known.get(&name) {
            Some(read) if read.is_of(&jars.join(&name))? => drop(all.insert(name, read.clone())),
            _ => changed.push(name),
        }
    }
    for (name, sha256) in sha256(jars, &changed)? {
        let read = JarRead::new(sha256, &jars.join(&name))?;
        all.insert(name, read);
    }
    Ok(all)
}

/// The SHA-256 of files in a folder.
fn sha256(folder: &Path, names: &[String]) -> io::Result<Checksums> {
    if names.is_empty() {
        return Ok(Checksums::new());
    }
    let mut command = Command::new(find("sha256sum")?);
    // With a path before it no name is an option.
    command.args(names.iter().map(|name| format!("./{name}"))).current_dir(folder);
    let said = run(command.env_clear().envs(environment()), RunLimit::InAll(LIMIT))?;
    let text = String::from_utf8_lossy(&said.stdout).into_owned();
    let sums: Checksums = text
        .lines()
        .filter_map(|line| line.split_once("  ./"))
        .map(|(sha256, name)| (name.to_owned(), sha256.to_owned()))
        .collect();
    if said.status.success() && names.iter().all(|name| sums.contains_key(name)) {
        return Ok(sums);
    }
    Err(io::Error::other(format!(
        "`sha256sum` says: {}",
        String::from_utf8_lossy(&said.stderr).trim()
    )))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::version::KafkaVersion;

    /// A version of which there is no list.
    const UNKNOWN: &str = "3.9.999";

    fn some_jars() -> (tempfile::TempDir, std::path::PathBuf) {
        let place = tempfile::tempdir().unwrap();
        let jars = place.path().join("jars");
        fs::create_dir(&jars).unwrap();
        fs::write(jars.join("a.jar"), "abc").unwrap();
        fs::write(jars.join("b [x].jar"), "").unwrap();
        fs::write(jars.join("NOTICE"), "").unwrap();
        (place, jars)
    }

    #[test]
    fn jars_of_an_unknown_version_stay_what_they_were() {
        let (_place, jars) = some_jars();
        let first = verify(UNKNOWN, &jars).unwrap();
        assert_eq!(
            first["a.jar"],
            "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
        );
        assert_eq!((first.len(), &first), (2, &read(&jars).unwrap()));
        // The time alone is another: it is read again.
        fs::write(jars.join("a.jar"), "abc").unwrap();
        assert_eq!(verify(UNKNOWN, &jars).unwrap(), first);
        let refused = |what: &str| {
            let failure = verify(UNKNOWN, &jars).unwrap_err();
            assert!(failure.text().contains(what), "{}", failure.text());
            assert!(failure.cure().unwrap().starts_with("rm -r "));
        };
        fs::write(jars.join("a.jar"), "abd").unwrap();
        refused("`a.jar` has the SHA-256 a52d159f");
        refused("`a.jar` has the SHA-256 a52d159f");
        fs::remove_file(jars.join("a.jar")).unwrap();
        refused("`a.jar` is missing");
        fs::write(jars.join("a.jar"), "abc").unwrap();
        verify(UNKNOWN, &jars).unwrap();
        fs::write(jars.join("0.JAR"), "").unwrap();
        refused("`0.JAR` is none of them");
    }

    #[test]
    fn jars_of_a_known_version_are_the_released_ones_whatever_was_written_down() {
        let (_place, jars) = some_jars();
        verify(UNKNOWN, &jars).unwrap();
        let failure = verify("3.9.1", &jars).unwrap_err();
        assert!(failure.text().contains("`a.jar` is none of them"), "{}", failure.text());
    }

    #[test]
    fn the_shipped_lists_are_whole() {
        let mut versions = BTreeSet::new();
        for line in RELEASED.lines() {
            let (sha256, path) = line.split_once("  ").unwrap();
            assert!(sha256.len() == 64 && sha256.bytes().all(|b| b.is_ascii_hexdigit()), "{line}");
            versions.insert(path.split_once('/').unwrap().0);
        }
        assert!(versions.contains("3.9.1") && versions.contains("3.9.2"), "{versions:?}");
        for version in versions {
            KafkaVersion::of(version).unwrap();
            let jars = released(version);
            for name in
                [format!("kafka_2.13-{version}.jar"), format!("kafka-clients-{version}.jar")]
            {
                assert!(jars.contains_key(&name), "{version}: {name}");
            }
        }
        assert!(released("3.9").is_empty() && released(UNKNOWN).is_empty());
    }

    #[test]
    fn what_cannot_be_written_down_is_read_each_time() {
        let (place, jars) = some_jars();
        fs::create_dir(place.path().join(READ)).unwrap();
        let first = verify(UNKNOWN, &jars).unwrap();
        assert_eq!(verify(UNKNOWN, &jars).unwrap(), first);
    }
}
