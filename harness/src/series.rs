//! Several runs that answer one question: each a `kbench run` of its own, one after the other, their directories in
//! one folder. What is asked of them all are arguments of `kbench run`.

pub mod max_rate;
pub mod search;
pub mod suite;
pub mod sweep;

use std::ffi::OsString;
use std::fs::File;
use std::io::{self, Seek as _, SeekFrom};
use std::path::{Path, PathBuf};
use std::process::Stdio;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use results::report::Report;
use tokio::process::Command;

use crate::child;
use crate::failure::{Failure, tail};
use crate::run::StopSignals;
use crate::rundir::RunDir;
use crate::runtime::runtime;
use crate::spec::{fresh_number, name_of_run};

/// File of a series' folder that what its runs say goes to.
pub(crate) const SAID: &str = "runs.log";

/// Carries out a series.
///
/// # Errors
/// Its own, or that there is no runtime for it.
pub fn block_on<T>(series: impl Future<Output = Result<T, Failure>>) -> Result<T, Failure> {
    runtime()?.block_on(series)
}

/// Runs in one folder.
pub struct Series {
    folder: PathBuf,
    arguments: Vec<OsString>,
    signals: StopSignals,
    stopped: bool,
}

impl Series {
    /// In a new folder of `out` whose name has this in it; `arguments` are those of `kbench run` for all of them. Must be
    /// called in a runtime.
    ///
    /// # Errors
    /// Infrastructure failures: the folder cannot be made, signals cannot be handled.
    pub fn create(out: &Path, name: &str, arguments: &[OsString]) -> Result<Self, Failure> {
        let (name, _) = name_of_run(name, fresh_number());
        Self::open(out.join(name), arguments)
    }

    /// In this folder, which is made where there is none. Must be called in a runtime.
    ///
    /// # Errors
    /// As [`Self::create`].
    pub fn open(folder: PathBuf, arguments: &[OsString]) -> Result<Self, Failure> {
        RunDir::prepare(&folder)?;
        let signals = StopSignals::take().map_err(|error| {
            Failure::infrastructure(format!("signals cannot be handled: {error}"))
        })?;
        Ok(Self { folder, arguments: arguments.to_vec(), signals, stopped: false })
    }

    /// Whether a run was told to stop.
    pub fn is_stopped(&self) -> bool {
        self.stopped
    }

    /// Where the runs are.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Carries out a run with more arguments; its report.
    ///
    /// # Errors
    /// An unknown-failure when it is interrupted, or left no report; one that says what it said last when it failed.
    pub async fn run(&mut self, more: &[String]) -> Result<Report, Failure> {
        self.run_in("", more).await
    }

    /// Carries out a run as [`Self::run`] does, its directory in this folder of the series'.
    ///
    /// # Errors
    /// The same.
    pub async fn run_in(&mut self, folder: &str, more: &[String]) -> Result<Report, Failure> {
        let RunEnd { code, report, said, stopped } = self.end_of(folder, more).await?;
        if stopped {
            return Err(Failure::unknown("interrupted: the runs so far stand in their folder"));
        }
        report.filter(|_| code != Some(4)).ok_or_else(|| match code {
            Some(2) => Failure::usage(said),
            Some(3) => Failure::unknown(said),
            _ => Failure::infrastructure(said),
        })
    }

    /// Carries out a run, its directory in this folder of the series'; how it ended.
    ///
    /// # Errors
    /// Infrastructure failures: it cannot be started or waited for.
    pub async fn end_of(&mut self, folder: &str, more: &[String]) -> Result<RunEnd, Failure> {
        let log = self.folder.join(SAID);
        let cannot =
            |what: &str, error: io::Error| Failure::infrastructure(format!("{what}: {error}"));
        let said = File::options().create(true).append(true).open(&log);
        let said = said.map_err(|error| cannot("the log of the runs cannot be written", error))?;
        let json =
            tempfile::tempfile().map_err(|error| cannot("there is no temporary file", error))?;
        let out = json.try_clone().map_err(|error| cannot("there is no temporary file", error))?;
        let mut command = Command::new(child::own());
        command
            .arg("run")
            .args(&self.arguments)
            .args(more)
            .args(["--format", "json", "--out"])
            .arg(self.folder.join(folder))
            .stdin(Stdio::null())
            .stdout(out)
            .stderr(said);
        // In a session of its own: a second signal would kill it at once, and a terminal's reaches all.
        child::die_with_parent(command.as_std_mut(), Signal::SIGTERM, true);
        let started = command.spawn();
        let mut run = started.map_err(|error| cannot("a run cannot be started", error))?;
        let mut stopped = false;
        let status = loop {
            tokio::select! {
                status = run.wait() => break status,
                () = self.signals.next() => {
                    stopped = true;
                    results::err!("interrupted: the run heals and reports; once more kills it at once");
                    if let Some(pid) = run.id() {
                        // One that has just ended needs no signal.
                        kill(Pid::from_raw(pid as i32), Signal::SIGTERM).ok();
                    }
                }
            }
        };
        let status = status.map_err(|error| cannot("a run cannot be waited for", error))?;
        let said = format!("a run ended with {status}:{}", tail(&log));
        self.stopped |= stopped;
        Ok(RunEnd { code: status.code(), report: read(json), said, stopped })
    }
}

/// How a run of a series ended.
#[derive(Debug)]
pub struct RunEnd {
    /// Its exit code; none when a signal ended it.
    pub code: Option<i32>,
    /// The report that it printed; none when it printed none.
    pub report: Option<Report>,
    /// What it said last.
    pub said: String,
    /// Whether it was told to stop.
    pub stopped: bool,
}

/// The report that a run printed; none when it printed none.
fn read(mut json: File) -> Option<Report> {
    json.seek(SeekFrom::Start(0)).ok()?;
    serde_json::from_reader(io::BufReader::new(json)).ok()
}
