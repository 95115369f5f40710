//! Class-data archives (AppCDS): they cut the start of a cluster by about a third.
//!
//! Made by the JVMs of a first run when they are stopped, used when there, never required: a JVM
//! ignores an archive that does not fit, and starts without.

use std::path::{Path, PathBuf};
use std::time::Duration;

use results::record::event::Role;

/// A dump untouched for this long is nobody's: dumping is given up after 40 s.
const UNFINISHED_FOR: Duration = Duration::from_secs(600);

/// Where the archives of one installation of Kafka under one Java are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Archives {
    dir: PathBuf,
}

impl Archives {
    /// The archives for these jars under this Java.
    pub(super) fn of(jars: &Path, version: &str, java: &str) -> Self {
        // A short name for a long key, nothing more.
        let key = crc32fast::hash(format!("{} {java}", jars.display()).as_bytes());
        Self { dir: super::cache_dir().join("archives").join(format!("{version}-{key:08x}")) }
    }

    /// Removes what a JVM left that was killed while it dumped: dumps that grow take seconds.
    pub(super) fn sweep(&self) {
        for entry in std::fs::read_dir(&self.dir).into_iter().flatten().flatten() {
            let age = entry.metadata().and_then(|m| m.modified()).map(|at| at.elapsed());
            let old = matches!(age, Ok(Ok(age)) if age > UNFINISHED_FOR);
            if old && entry.file_name().to_string_lossy().contains(".jsa.") {
                // Another kbench may sweep as well; a file that stays is only a waste of room.
                drop(std::fs::remove_file(entry.path()));
            }
        }
    }

    /// The archive of a role, when it is there.
    pub fn existing(&self, role: Role) -> Option<PathBuf> {
        let path = self.path(role);
        path.is_file().then_some(path)
    }

    /// Whether every role has its archive.
    pub fn complete(&self) -> bool {
        [Role::Broker, Role::Zookeeper].iter().all(|role| self.existing(*role).is_some())
    }

    /// Where the JVM with this process name may dump the archive of its role; moved into place by
    /// [`Archives::adopt`].
    ///
    /// # Errors
    /// When the folder cannot be made.
    pub fn dump_path(&self, role: Role, who: &str) -> std::io::Result<PathBuf> {
        std::fs::create_dir_all(&self.dir)?;
        Ok(self.dir.join(format!("{}.jsa.{}-{who}", role.as_str(), unique())))
    }

    /// Moves a dumped archive into place.
    ///
    /// # Errors
    /// When it is not there or cannot be moved.
    pub fn adopt(&self, role: Role, dumped: &Path) -> std::io::Result<()> {
        std::fs::rename(dumped, self.path(role))
    }

    fn path(&self, role: Role) -> PathBuf {
        self.dir.join(format!("{}.jsa", role.as_str()))
    }
}

/// Tells dumps of several runs apart; process ids repeat between sandboxes.
fn unique() -> u64 {
    std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .map_or(0, |elapsed| elapsed.as_nanos() as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn adopted_archives_stay_and_only_old_dumps_are_swept() {
        let dir = tempfile::tempdir().unwrap();
        let archives = Archives { dir: dir.path().join("archives") };
        let dump = |who: &str| {
            let path = archives.dump_path(Role::Broker, who).unwrap();
            std::fs::write(&path, "classes").unwrap();
            path
        };
        let (good, growing, stale) = (dump("a"), dump("b"), dump("c"));
        assert_eq!(archives.existing(Role::Broker), None);
        archives.adopt(Role::Broker, &good).unwrap();
        let hour_ago = std::time::SystemTime::now() - Duration::from_secs(3600);
        for path in [&stale, &archives.path(Role::Broker)] {
            std::fs::File::options()
                .write(true)
                .open(path)
                .unwrap()
                .set_modified(hour_ago)
                .unwrap();
        }
        archives.sweep();
        assert!(archives.existing(Role::Broker).is_some() && growing.exists() && !stale.exists());
        assert!(!archives.complete(), "ZooKeeper has none yet");
    }

    #[test]
    fn another_java_or_folder_has_archives_of_its_own() {
        let of = |jars: &str, java: &str| Archives::of(Path::new(jars), "3.9.1", java);
        assert_ne!(of("/a", "17.0.1"), of("/a", "17.0.2"));
        assert_ne!(of("/a", "17.0.1"), of("/b", "17.0.1"));
        assert_eq!(of("/a", "17.0.1"), of("/a", "17.0.1"));
    }
}
