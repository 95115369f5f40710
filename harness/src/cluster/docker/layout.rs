//! Where an image keeps what kbench needs of it: the folder of Kafka's or ZooKeeper's jars. An image is looked into, not
//! asked: its programs and its entrypoint have no part in it.

use std::fs::{self, File};
use std::io;
use std::os::fd::{AsRawFd as _, OwnedFd};
use std::path::Path;

use nix::errno::Errno;
use nix::fcntl::{OFlag, OpenHow, ResolveFlag, openat2};
use results::record::event::Role;

/// The folders of jars of images that are known, and whose those are. A star stands for the rest of a name.
const OF_KAFKA: [(&str, &str); 3] = [
    ("/opt/kafka/libs", "apache/kafka"),
    ("/usr/share/java/kafka", "confluentinc/cp-kafka"),
    ("/opt/bitnami/kafka/libs", "bitnami/kafka"),
];

/// The same of ZooKeeper, which images of Kafka have among their jars.
const OF_ZOOKEEPER: [(&str, &str); 5] = [
    ("/apache-zookeeper-*/lib", "zookeeper"),
    ("/opt/bitnami/zookeeper/lib", "bitnami/zookeeper"),
    ("/opt/kafka/libs", "apache/kafka"),
    ("/usr/share/java/kafka", "confluentinc/cp-zookeeper"),
    ("/opt/bitnami/kafka/libs", "bitnami/kafka"),
];

/// Where Java is in images whose PATH does not name it.
pub(super) const JAVA: [&str; 3] =
    ["/opt/java/openjdk/bin", "/opt/bitnami/java/bin", "/usr/local/openjdk-17/bin"];

/// What of a jar's name says that a role's server is in it: what is before its version.
fn jar_of(role: Role) -> &'static str {
    match role {
        // Of Scala 2.12 or 2.13.
        Role::Broker => "kafka_2.1",
        Role::Zookeeper => "zookeeper-",
    }
}

fn known(role: Role) -> &'static [(&'static str, &'static str)] {
    match role {
        Role::Broker => &OF_KAFKA,
        Role::Zookeeper => &OF_ZOOKEEPER,
    }
}

/// What was looked for, in words.
pub(super) fn looked_for(role: Role) -> String {
    let places = known(role).iter().map(|(folder, image)| format!("{folder} (as in {image})"));
    format!("`{}*.jar` in {}", jar_of(role), places.collect::<Vec<_>>().join(", "))
}

/// Jars that were found.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct FoundJars {
    /// Their folder in the image.
    pub(super) folder: String,
    /// The version in the name of the server's own.
    pub(super) version: String,
}

/// The files of an image, as a container of it has them. Links in it lead nowhere else.
pub(super) struct ImageRoot(OwnedFd);

impl ImageRoot {
    /// Those that the process of this pid sees.
    ///
    /// # Errors
    /// When it has ended, or may not be looked at.
    pub(super) fn of(pid: i32) -> io::Result<Self> {
        Self::at(Path::new(&format!("/proc/{pid}/root")))
    }

    fn at(folder: &Path) -> io::Result<Self> {
        Ok(Self(File::open(folder)?.into()))
    }

    /// The names in a folder; none where there is no such folder.
    fn names(&self, folder: &str) -> io::Result<Vec<String>> {
        let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
        let how = OpenHow::new().flags(flags).resolve(ResolveFlag::RESOLVE_IN_ROOT);
        let opened = match openat2(&self.0, folder, how) {
            Err(Errno::ENOENT | Errno::ENOTDIR) => return Ok(vec![]),
            opened => opened?,
        };
        let names = fs::read_dir(format!("/proc/self/fd/{}", opened.as_raw_fd()))?;
        Ok(names.flatten().filter_map(|entry| entry.file_name().into_string().ok()).collect())
    }

    /// The jars of a role's server; `None` where they are in none of the places that are known.
    ///
    /// # Errors
    /// When the image cannot be looked into.
    pub(super) fn jars(&self, role: Role) -> io::Result<Option<FoundJars>> {
        for (pattern, _) in known(role) {
            for folder in self.folders(pattern)? {
                let names = self.names(&folder)?;
                if let Some(version) = names.iter().find_map(|name| version_in(name, role)) {
                    return Ok(Some(FoundJars { folder, version }));
                }
            }
        }
        Ok(None)
    }

    /// The folders that a pattern may stand for; one without a star stands for itself.
    fn folders(&self, pattern: &str) -> io::Result<Vec<String>> {
        let Some((before, after)) = pattern.split_once('*') else {
            return Ok(vec![pattern.to_owned()]);
        };
        let (parent, begin) = before.rsplit_once('/').unwrap_or(("", before));
        let mut names = self.names(&format!("{parent}/"))?;
        names.retain(|name| name.starts_with(begin));
        names.sort();
        Ok(names.into_iter().map(|name| format!("{parent}/{name}{after}")).collect())
    }
}

/// The version in the name of a jar, where it is the one of the role's server.
fn version_in(name: &str, role: Role) -> Option<String> {
    let rest = name.strip_prefix(jar_of(role))?.strip_suffix(".jar")?;
    let version = match role {
        // The rest of Scala's version.
        Role::Broker => rest.split_once('-')?.1,
        Role::Zookeeper => rest,
    };
    let is_version = version.starts_with(|c: char| c.is_ascii_digit());
    // Those of tests and sources have their word behind the version.
    let is_server =
        !["-test", "-sources", "-javadoc", "-scaladoc"].iter().any(|of| version.ends_with(of));
    (is_version && is_server).then(|| version.to_owned())
}

/// Which Apache Kafka a version in a jar's name is: Confluent counts its own (7.9 is of 3.9, 6.2 of 2.8), whose last
/// number says nothing of Apache's. A release, or a minor version where that is all that is known.
pub(super) fn apache(version: &str) -> String {
    let mut numbers = version.split(['.', '-']).map_while(|number| number.parse::<u32>().ok());
    match (numbers.next(), numbers.next()) {
        (Some(7), Some(minor)) => format!("3.{minor}"),
        (Some(6), Some(minor)) => format!("2.{}", minor + 6),
        (Some(5), Some(minor)) => format!("2.{minor}"),
        _ => version.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    /// An image with these files.
    fn image(files: &[&str]) -> (tempfile::TempDir, ImageRoot) {
        let place = tempfile::tempdir().unwrap();
        for file in files {
            let file = place.path().join(file.trim_start_matches('/'));
            fs::create_dir_all(file.parent().unwrap()).unwrap();
            fs::write(file, "").unwrap();
        }
        let root = ImageRoot::at(place.path()).unwrap();
        (place, root)
    }

    fn found(root: &ImageRoot, role: Role) -> Option<(String, String)> {
        root.jars(role).unwrap().map(|found| (found.folder, found.version))
    }

    #[test]
    fn the_jars_of_the_common_images_are_found_by_role() {
        for (files, kafka, zookeeper) in [
            (
                &["/opt/kafka/libs/kafka_2.13-3.9.1.jar", "/opt/kafka/libs/zookeeper-3.8.4.jar"][..],
                Some(("/opt/kafka/libs", "3.9.1")),
                Some(("/opt/kafka/libs", "3.8.4")),
            ),
            (
                &[
                    "/usr/share/java/kafka/kafka_2.13-7.9.1-ccs.jar",
                    "/usr/share/java/kafka/zookeeper-3.8.4.jar",
                    "/usr/share/java/kafka/kafka_2.13-7.9.1-ccs-test.jar",
                ],
                Some(("/usr/share/java/kafka", "7.9.1-ccs")),
                Some(("/usr/share/java/kafka", "3.8.4")),
            ),
            (
                &["/opt/bitnami/kafka/libs/kafka_2.12-2.8.2.jar"],
                Some(("/opt/bitnami/kafka/libs", "2.8.2")),
                None,
            ),
            (
                &["/opt/bitnami/zookeeper/lib/zookeeper-3.9.2.jar"],
                None,
                Some(("/opt/bitnami/zookeeper/lib", "3.9.2")),
            ),
            (
                &[
                    "/apache-zookeeper-3.8.4-bin/lib/zookeeper-3.8.4.jar",
                    "/apache-zookeeper-3.8.4-bin/lib/zookeeper-jute-3.8.4.jar",
                ],
                None,
                Some(("/apache-zookeeper-3.8.4-bin/lib", "3.8.4")),
            ),
            (&["/opt/kafka/libs/kafka-clients-3.9.1.jar", "/opt/kafka_2.13-3.9.1.jar"], None, None),
        ] {
            let (_place, root) = image(files);
            let owned = |(folder, version): (&str, &str)| (folder.to_owned(), version.to_owned());
            assert_eq!(found(&root, Role::Broker), kafka.map(owned), "{files:?}");
            assert_eq!(found(&root, Role::Zookeeper), zookeeper.map(owned), "{files:?}");
        }
    }

    #[test]
    fn links_lead_nowhere_but_into_the_image() {
        let (outside, _) = image(&["libs/kafka_2.13-3.9.1.jar"]);
        let (place, root) = image(&["opt/kafka_2.13-3.8.0/libs/kafka_2.13-3.8.0.jar"]);
        // Absolute, as in several images: in the image, not here.
        symlink("/opt/kafka_2.13-3.8.0", place.path().join("opt/kafka")).unwrap();
        let there = ("/opt/kafka/libs".to_owned(), "3.8.0".to_owned());
        assert_eq!(found(&root, Role::Broker), Some(there));
        fs::remove_file(place.path().join("opt/kafka")).unwrap();
        symlink(outside.path(), place.path().join("opt/kafka")).unwrap();
        assert_eq!(found(&root, Role::Broker), None);
    }

    #[test]
    fn what_is_looked_for_is_told() {
        let words = looked_for(Role::Broker);
        assert!(words.contains("/opt/kafka/libs (as in apache/kafka)"), "{words}");
        assert!(looked_for(Role::Zookeeper).contains("/apache-zookeeper-*/lib"));
    }

    #[test]
    fn a_version_of_confluent_s_is_of_one_of_apache_s() {
        for (jar, of) in [
            ("3.9.1", "3.9.1"),
            ("2.8.2", "2.8.2"),
            ("7.9.1-ccs", "3.9"),
            ("6.2.0-ce", "2.8"),
            ("5.5.15-ccs", "2.5"),
            ("nonsense", "nonsense"),
        ] {
            assert_eq!(apache(jar), of);
        }
    }
}
