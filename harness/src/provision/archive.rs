//! Class-data archives (AppCDS): they cut the start of a cluster by about a third.
//!
//! Made by the JVMs of a first run when they are stopped, used when there, never required: a JVM
//! ignores an archive that does not fit, and starts without.

use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use results::record::event::Role;
use results::record::open;

/// A copy untouched for this long is nobody's: copying takes less than a second.
const UNFINISHED_FOR: Duration = Duration::from_secs(600);

/// Where the archives of one installation of Kafka under one Java are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Archives {
    /// `None`: there is no cache.
    dir: Option<PathBuf>,
}

impl Archives {
    /// The archives for JVMs of this Java that see these jars where `jars` says.
    pub fn of(jars: &Path, version: &str, java: &str) -> Self {
        // A short name for a long key, nothing more.
        let key = crc32fast::hash(format!("{} {java}", jars.display()).as_bytes());
        let name = format!("{version}-{key:08x}");
        let cache = super::cache_dir().ok().filter(|cache| super::cache::is_own(cache).is_ok());
        Self { dir: cache.map(|cache| cache.join("archives").join(name)) }
    }

    /// Archives that are seen in another place than the cache.
    pub fn seen_at(dir: PathBuf) -> Self {
        Self { dir: Some(dir) }
    }

    /// The folder that they are in, if there are any; its name tells them from those for other jars or another Java.
    pub fn dir(&self) -> Option<&Path> {
        self.dir.as_deref().filter(|dir| dir.is_dir())
    }

    /// Removes what a kbench left that was killed while it took a dump.
    pub fn sweep(&self) {
        for entry in self.dir().map(fs::read_dir).into_iter().flatten().flatten().flatten() {
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
        self.path(role).filter(|path| path.is_file())
    }

    /// Whether every role has its archive.
    pub fn complete(&self) -> bool {
        [Role::Broker, Role::Zookeeper].iter().all(|role| self.existing(*role).is_some())
    }

    /// Takes the archive that a JVM dumped.
    ///
    /// # Errors
    /// When it is not there, or the cache cannot be written.
    pub fn adopt(&self, role: Role, dumped: &Path) -> io::Result<()> {
        let mut dump = open::file(dumped)?;
        let (Some(dir), Some(path)) = (&self.dir, self.path(role)) else {
            return Err(io::Error::new(io::ErrorKind::NotFound, "there is no cache to keep it in"));
        };
        fs::create_dir_all(dir)?;
        let unfinished = format!("{}.jsa.", role.as_str());
        let mut taken = tempfile::Builder::new().prefix(&unfinished).tempfile_in(dir)?;
        io::copy(&mut dump, taken.as_file_mut())?;
        taken.as_file().set_permissions(fs::Permissions::from_mode(0o644))?;
        taken.persist(path)?;
        Ok(())
    }

    fn path(&self, role: Role) -> Option<PathBuf> {
        Some(self.dir.as_ref()?.join(format!("{}.jsa", role.as_str())))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn adopted_archives_stay_and_only_old_dumps_are_swept() {
        let dir = tempfile::tempdir().unwrap();
        let archives = Archives::seen_at(dir.path().join("archives"));
        let dumped = dir.path().join("dump");
        std::fs::write(&dumped, "classes").unwrap();
        assert_eq!(archives.existing(Role::Broker), None);
        archives.adopt(Role::Broker, &dumped).unwrap();
        assert_eq!(std::fs::read(archives.path(Role::Broker).unwrap()).unwrap(), b"classes");
        let copied = |who: &str| {
            let path = archives.dir().unwrap().join(format!("broker.jsa.{who}"));
            std::fs::write(&path, "classes").unwrap();
            path
        };
        let (growing, stale) = (copied("b"), copied("c"));
        let hour_ago = std::time::SystemTime::now() - Duration::from_secs(3600);
        for path in [&stale, &archives.path(Role::Broker).unwrap()] {
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
    fn what_cannot_be_taken_is_an_error_and_a_link_is_not_followed() {
        let dir = tempfile::tempdir().unwrap();
        let (dumped, link) = (dir.path().join("dump"), dir.path().join("link"));
        std::fs::write(&dumped, "classes").unwrap();
        std::os::unix::fs::symlink(&dumped, &link).unwrap();
        let in_no_folder = Archives::seen_at(dumped.join("archives"));
        assert!(in_no_folder.adopt(Role::Broker, &dumped).is_err());
        let archives = Archives::seen_at(dir.path().join("archives"));
        assert!(archives.adopt(Role::Broker, &link).is_err());
        assert!(Archives { dir: None }.adopt(Role::Broker, &dumped).is_err());
        assert!(!archives.complete() && dumped.exists());
    }

    #[test]
    fn another_java_or_folder_has_archives_of_its_own() {
        let of = |jars: &str, java: &str| Archives::of(Path::new(jars), "3.9.1", java);
        assert_ne!(of("/a", "17.0.1"), of("/a", "17.0.2"));
        assert_ne!(of("/a", "17.0.1"), of("/b", "17.0.1"));
        assert_eq!(of("/a", "17.0.1"), of("/a", "17.0.1"));
    }
}
