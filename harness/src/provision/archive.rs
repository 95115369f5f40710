//! Class-data archives (AppCDS): they cut the start of a cluster by about a third.
//!
//! Made by the JVMs of a first run when they are stopped, used when there, never required: a JVM
//! ignores an archive that does not fit, and starts without.

use std::path::{Path, PathBuf};

use results::event::Role;

/// Where the archives of one installation of Kafka under one Java are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Archives {
    dir: PathBuf,
}

impl Archives {
    /// The archives for these jars under this Java.
    pub(super) fn of(jars: &Path, version: &str, java: &str) -> Self {
        let key = crc32(format!("{} {java}", jars.display()).as_bytes());
        Self { dir: super::cache_dir().join("archives").join(format!("{version}-{key:08x}")) }
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

/// CRC-32 (IEEE): a short name for a long key, nothing more.
fn crc32(bytes: &[u8]) -> u32 {
    bytes.iter().fold(!0, |crc, byte| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _| {
            (crc >> 1) ^ (0xedb8_8320 & (crc & 1).wrapping_neg())
        })
    }) ^ !0
}
