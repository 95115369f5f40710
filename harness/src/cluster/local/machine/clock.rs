//! The wall clock of a node's processes: libfaketime is loaded into their JVMs when they start, where
//! the plan needs it, and reads the node's offset from a file at each look at the clock. The monotonic
//! clock stays true: a JVM whose monotonic clock jumps hangs.

use std::fs;
use std::io;
use std::path::PathBuf;
use std::process::Command;
use std::time::{SystemTime, UNIX_EPOCH};

use faults::machine::Observation;
use faults::port::Process;

use super::LocalCluster;
use crate::cluster::local::sandbox::inside;

/// By how much a clock may seem off that is right: the second that has just passed.
const TOLERANCE_S: i64 = 1;

/// The library, for processes of several threads.
const LIBRARY: &str = "libfaketimeMT.so.1";

/// What makes clocks settable.
#[derive(Debug, Clone)]
pub(crate) struct Clocks {
    library: PathBuf,
}

impl Clocks {
    /// Finds the library.
    ///
    /// # Errors
    /// When it is not installed.
    pub(crate) fn find() -> io::Result<Self> {
        let places = ["/usr/lib", "/usr/lib64", "/usr/local/lib"].map(PathBuf::from);
        let multiarch = fs::read_dir("/usr/lib").into_iter().flatten().flatten();
        let all = places.into_iter().chain(multiarch.map(|entry| entry.path()));
        let mut libraries = all.map(|place| place.join("faketime").join(LIBRARY));
        let library = libraries.find(|path| path.is_file()).ok_or_else(|| {
            io::Error::new(io::ErrorKind::NotFound, format!("{LIBRARY} (libfaketime) is missing"))
        })?;
        Ok(Self { library })
    }

    /// The environment of a process whose offset is in `file`.
    fn environment(&self, file: PathBuf) -> [(&'static str, PathBuf); 5] {
        [
            ("LD_PRELOAD", self.library.clone()),
            ("FAKETIME_TIMESTAMP_FILE", file),
            ("FAKETIME_NO_CACHE", "1".into()),
            ("FAKETIME_DONT_FAKE_MONOTONIC", "1".into()),
            // Without it waits with a time-out end at once on JDK 17.
            ("FAKETIME_FORCE_MONOTONIC_FIX", "0".into()),
        ]
    }
}

impl LocalCluster {
    /// What a process is started with, so that its clock can be set.
    pub(in crate::cluster::local) fn clock_environment(
        &self,
        process: &Process,
    ) -> Vec<(&'static str, PathBuf)> {
        let clocks = self.clocks.iter();
        clocks.flat_map(|clocks| clocks.environment(self.clock_file(process))).collect()
    }

    /// Sets the clock of a process's node so many seconds ahead.
    pub(in crate::cluster::local) fn set_clock(
        &self,
        process: &Process,
        ahead_s: i64,
    ) -> io::Result<()> {
        if self.clocks.is_none() {
            return if ahead_s == 0 { Ok(()) } else { Err(fixed()) };
        }
        // Read at any moment: replaced, never half written.
        let file = self.clock_file(process);
        let next = file.with_extension("next");
        fs::write(&next, format!("{ahead_s:+}\n"))?;
        fs::rename(next, file)
    }

    /// What a program says that is started in the process's environment, and whether the process itself
    /// has the library.
    pub(super) async fn clock(&self, process: &Process) -> io::Result<Observation> {
        let Some(clocks) = &self.clocks else {
            return Ok(Observation { line: fixed().to_string(), in_force: false });
        };
        let Some(pid) = self.pid_of(process) else {
            return Ok(Observation { line: "it has ended".to_owned(), in_force: false });
        };
        let has_it = fs::read_to_string(format!("/proc/{pid}/maps"))?.contains(LIBRARY);
        let environment = clocks.environment(self.clock_file(process));
        let said = inside(None, move || Command::new("date").arg("+%s").envs(environment).output());
        let said = String::from_utf8_lossy(&said.await?.stdout).trim().parse::<i64>();
        let said = said.map_err(|error| io::Error::other(format!("`date`: {error}")))?;
        let now = SystemTime::now().duration_since(UNIX_EPOCH).map_err(io::Error::other)?;
        let ahead = said - now.as_secs() as i64;
        let in_force = has_it && ahead.abs() > TOLERANCE_S;
        let library = if has_it { "" } else { ", but its process does not look there" };
        Ok(Observation { line: format!("its clock is {ahead:+} s off{library}"), in_force })
    }

    fn clock_file(&self, process: &Process) -> PathBuf {
        self.data.join(format!("{}.clock", process.node))
    }
}

fn fixed() -> io::Error {
    io::Error::other("its clock is the machine's, which nobody set")
}
