//! Which versions of Apache Kafka kbench starts, told by their numbers alone: before anything is fetched.

use std::fmt;

use crate::failure::Failure;

/// A minor version of Apache Kafka that kbench starts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct KafkaVersion {
    major: u32,
    minor: u32,
}

/// Those that there are from the oldest, which was tried out, to the last with ZooKeeper.
const STARTED: [(u32, u32); 13] = [
    (2, 6),
    (2, 7),
    (2, 8),
    (3, 0),
    (3, 1),
    (3, 2),
    (3, 3),
    (3, 4),
    (3, 5),
    (3, 6),
    (3, 7),
    (3, 8),
    (3, 9),
];

const FIRST: KafkaVersion = KafkaVersion { major: 2, minor: 6 };
const LAST: KafkaVersion = KafkaVersion { major: 3, minor: 9 };

impl KafkaVersion {
    /// The minor version of a release, `3.9.1` for example.
    ///
    /// # Errors
    /// A usage failure for what is no version, and for one that kbench does not start.
    pub fn of(release: &str) -> Result<Self, Failure> {
        let refused = |why: String| {
            Err(Failure::usage(why).with_cure(format!(
                "kbench starts Apache Kafka {FIRST} to {LAST}, for example 3.9.1"
            )))
        };
        let Some(version) = parse(release) else {
            return refused(format!("`{release}` is not a version of Apache Kafka"));
        };
        if version > LAST {
            return refused(format!("Apache Kafka {release} comes without ZooKeeper"));
        }
        if version < FIRST {
            return refused(format!("Apache Kafka {release} is too old"));
        }
        if !STARTED.contains(&(version.major, version.minor)) {
            return refused(format!("there is no Apache Kafka {release}"));
        }
        Ok(version)
    }

    /// All that kbench starts, the oldest first.
    pub fn all() -> impl Iterator<Item = Self> {
        STARTED.into_iter().map(|(major, minor)| Self { major, minor })
    }

    /// One that is written as it is shown, `3.9`.
    pub fn named(text: &str) -> Option<Self> {
        Self::all().find(|version| version.to_string() == text)
    }
}

impl fmt::Display for KafkaVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.major, self.minor)
    }
}

/// What a release's name says, whether kbench starts it or not. Names become parts of paths.
fn parse(release: &str) -> Option<KafkaVersion> {
    let plain = |c: char| c.is_ascii_alphanumeric() || c == '.' || c == '-';
    if !release.chars().all(plain) || release.len() > 40 {
        return None;
    }
    let mut parts = release.splitn(3, '.');
    let (major, minor) = (parts.next()?, parts.next()?);
    let patch = parts.next()?;
    patch.starts_with(|c: char| c.is_ascii_digit()).then_some(())?;
    Some(KafkaVersion { major: major.parse().ok()?, minor: minor.parse().ok()? })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_that_are_started_are_told_from_those_that_are_not() {
        for release in ["2.6.3", "2.8.2", "3.0.2", "3.5.2", "3.9.1", "3.9.999", "3.7.0-rc1"] {
            let version = KafkaVersion::of(release).unwrap_or_else(|f| panic!("{}", f.text()));
            assert!(release.starts_with(&format!("{version}.")), "{release}: {version}");
            assert_eq!(KafkaVersion::named(&version.to_string()), Some(version));
        }
        for (release, words) in [
            ("2.4.1", "is too old"),
            ("2.5.1", "is too old"),
            ("0.10.2.2", "is too old"),
            ("2.9.0", "there is no"),
            ("4.0.0", "without ZooKeeper"),
            ("3.10.0", "without ZooKeeper"),
            ("7.6.0", "without ZooKeeper"),
            ("3.9", "not a version"),
            ("3", "not a version"),
            ("", "not a version"),
            ("latest", "not a version"),
            ("v3.9.1", "not a version"),
            ("3.9.x", "not a version"),
            ("-3.9.1", "not a version"),
            ("../../etc", "not a version"),
            ("3.9.1/../../..", "not a version"),
        ] {
            let failure = KafkaVersion::of(release).expect_err(release);
            assert!(failure.text().contains(words), "{release}: {}", failure.text());
            assert!(failure.cure().unwrap().contains("2.6 to 3.9"), "{release}");
        }
    }
}
