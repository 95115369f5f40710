//! The wall clock of a node's processes: libfaketime is loaded into their JVMs when they start, where
//! the plan needs it, and reads the node's offset from a file at each look at the clock. The monotonic
//! clock stays true: a JVM whose monotonic clock jumps hangs.
//!
//! Undone by writing the offset 0 into that file, which any shell on the host can do.

use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use async_trait::async_trait;
use faults::machine::{Before, Observation};
use procfs::FromRead as _;
use procfs::process::{MMapPath, MemoryMaps};

use super::machine::{HostedProcess, ProcessMechanism};
use crate::cluster::host::{Command, ErrorKind, Host, HostError, ProcessIdentity};

/// By how much a clock may seem off that is right: the second that has just passed.
const TOLERANCE_S: i64 = 1;

/// The library, for processes of several threads.
const LIBRARY: &str = "libfaketimeMT.so.1";

/// Prints where the library is.
const FIND: &str = "\
for file in /usr/lib/faketime/$1 /usr/lib64/faketime/$1 /usr/local/lib/faketime/$1 \
    /usr/lib/*/faketime/$1; do
    if [ -f $file ]; then echo $file; exit; fi
done
echo \"$1 (libfaketime) is missing\" >&2
exit 1
";

/// The library that makes clocks settable.
#[derive(Debug, Clone)]
pub(crate) struct Faketime(PathBuf);

impl Faketime {
    /// Finds it on a host.
    ///
    /// # Errors
    /// `Unsupported` when it is not installed.
    pub(crate) async fn find(host: &dyn Host) -> Result<Self, HostError> {
        let found = host.output(&Command::script(FIND, [LIBRARY])).await.map_err(|error| {
            HostError::new(ErrorKind::Unsupported, host.name(), "set clocks", error.why())
        })?;
        Ok(Self(found.trim().into()))
    }

    /// The environment of a process whose offset is in `file`.
    pub(crate) fn environment(&self, file: &Path) -> [(&'static str, PathBuf); 5] {
        [
            ("LD_PRELOAD", self.0.clone()),
            ("FAKETIME_TIMESTAMP_FILE", file.to_owned()),
            ("FAKETIME_NO_CACHE", "1".into()),
            ("FAKETIME_DONT_FAKE_MONOTONIC", "1".into()),
            // Without it waits with a time-out end at once on JDK 17.
            ("FAKETIME_FORCE_MONOTONIC_FIX", "0".into()),
        ]
    }
}

/// The wall clock of a process is wrong.
pub(super) struct ClockJump {
    /// So many seconds ahead; behind when negative.
    pub(super) ahead_s: i64,
}

#[async_trait(?Send)]
impl ProcessMechanism for ClockJump {
    async fn before(&self, on: &HostedProcess) -> Result<Before, HostError> {
        Ok(Before::Clock { file: offset(on)?.1.clone() })
    }

    async fn impair(&self, on: &HostedProcess) -> Result<(), HostError> {
        set(&*on.host, &offset(on)?.1, self.ahead_s).await
    }

    async fn repair(&self, on: &HostedProcess, before: &Before) -> Result<(), HostError> {
        match before {
            Before::Clock { file } => set(&*on.host, file, 0).await,
            _ => Err(on.mistaken()),
        }
    }

    async fn observe(&self, on: &HostedProcess) -> Result<Observation, HostError> {
        let running = on.running()?;
        match &on.clock {
            Some((faketime, file)) => observe(&*on.host, &running, faketime, file).await,
            None => Ok(Observation { line: FIXED.to_owned(), in_force: false }),
        }
    }
}

/// Why a clock cannot be set that nobody prepared.
const FIXED: &str = "its clock is the machine's, which nobody set";

/// The library that a process has, and the file of its offset.
fn offset(on: &HostedProcess) -> Result<&(Faketime, PathBuf), HostError> {
    let fixed = || HostError::new(ErrorKind::Unsupported, on.host.name(), "set a clock", FIXED);
    on.clock.as_ref().ok_or_else(fixed)
}

/// Sets the clock whose offset is in `file` so many seconds ahead.
///
/// # Errors
/// When the file cannot be written.
pub(crate) async fn set(host: &dyn Host, file: &Path, ahead_s: i64) -> Result<(), HostError> {
    host.write(file, format!("{ahead_s:+}\n").as_bytes()).await
}

/// What a program says that is started in the process's environment, and whether the process itself
/// has the library.
///
/// # Errors
/// When it has ended, or nothing can be started.
async fn observe(
    host: &dyn Host,
    process: &ProcessIdentity,
    faketime: &Faketime,
    file: &Path,
) -> Result<Observation, HostError> {
    let cannot = |error| HostError::other(host.name(), "read its clock", error);
    let has_it = has_library(host, process).await?;
    let mut date = Command::new("date").arg("+%s");
    for (name, value) in faketime.environment(file) {
        date = date.env(name, value);
    }
    let said = host.output(&date).await?;
    let said: i64 = said.trim().parse().map_err(|_| cannot(format!("`date` says {said}")))?;
    let here = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let right_ns = here.as_nanos() as i64 + host.clock().await?.ahead_ns;
    let ahead = said - right_ns.div_euclid(1_000_000_000);
    let library = if has_it { "" } else { ", but its process does not look there" };
    let in_force = has_it && ahead.abs() > TOLERANCE_S;
    Ok(Observation { line: format!("its clock is {ahead:+} s off{library}"), in_force })
}

/// Whether a process was started with the library.
async fn has_library(host: &dyn Host, process: &ProcessIdentity) -> Result<bool, HostError> {
    let path = format!("/proc/{}/maps", process.pid);
    let text = host.read(path.as_ref()).await?;
    let maps = MemoryMaps::from_read(text.as_slice());
    let maps =
        maps.map_err(|error| HostError::other(host.name(), format!("read {path}"), error))?;
    Ok(maps.iter().any(|map| match &map.pathname {
        MMapPath::Path(file) => file.ends_with(LIBRARY),
        _ => false,
    }))
}

#[cfg(test)]
mod tests {
    use super::super::tests::{block_on, skipped};
    use super::*;
    use crate::cluster::local::LocalHost;

    #[test]
    fn a_clock_is_set_and_seen_where_the_library_is() {
        block_on(async {
            let host = LocalHost::here("here");
            let Ok(faketime) = Faketime::find(&host).await else {
                return skipped("clocks that are set", "libfaketime is not installed");
            };
            let place = tempfile::tempdir().unwrap();
            let file = place.path().join("node1.clock");
            set(&host, &file, 3600).await.unwrap();
            let mut cat = Command::new("cat");
            for (name, value) in faketime.environment(&file) {
                cat = cat.env(name, value);
            }
            let mut with_library = host.keep(&cat).await.unwrap();
            // It answers: the library is loaded.
            with_library.send("up\n").await.unwrap();
            with_library.line().await.unwrap();
            let look = async |process| observe(&host, process, &faketime, &file).await.unwrap();
            let seen = look(with_library.process()).await;
            assert!(seen.in_force, "{seen:?}");
            set(&host, &file, 0).await.unwrap();
            let seen = look(with_library.process()).await;
            assert!(!seen.in_force, "{seen:?}");

            set(&host, &file, -60).await.unwrap();
            let without = host.keep(&Command::new("cat")).await.unwrap();
            let seen = look(without.process()).await;
            assert!(!seen.in_force && seen.line.ends_with("does not look there"), "{seen:?}");
        });
    }
}
