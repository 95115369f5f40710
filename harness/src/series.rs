//! Several runs that answer one question: each a `kbench run` of its own, their directories in one folder. What is asked
//! of them all are arguments of `kbench run`.

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
use tokio::sync::watch;

use crate::child;
use crate::failure::{Failure, tail};
use crate::run::{StopSignals, shared::SHARED};
use crate::rundir::RunDir;
use crate::runtime::runtime;
use crate::spec::{fresh_number, name_of_run};

/// File that what the runs in a folder say goes to. A series' own folder is known by it.
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
    /// How often it was told to stop.
    stops: watch::Receiver<u32>,
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
        said_in(&folder)?;
        let mut signals = StopSignals::take().map_err(|error| {
            Failure::infrastructure(format!("signals cannot be handled: {error}"))
        })?;
        let (told, stops) = watch::channel(0);
        tokio::spawn(async move {
            loop {
                signals.next().await;
                results::err!(
                    "interrupted: what runs heals and reports; once more kills it at once"
                );
                told.send_modify(|times| *times += 1);
            }
        });
        Ok(Self { folder, arguments: arguments.to_vec(), stops })
    }

    /// Whether it was told to stop.
    pub fn is_stopped(&self) -> bool {
        *self.stops.borrow() > 0
    }

    /// Where the runs are.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Carries out a run with more arguments; its report.
    ///
    /// # Errors
    /// An unknown-failure when it is interrupted, or left no report; one that says what it said last when it failed.
    pub async fn run(&self, more: &[String]) -> Result<Report, Failure> {
        self.run_in("", more, None).await
    }

    /// Carries out a run as [`Self::run`] does, its directory in this folder of the series', on the cluster in the folder
    /// `shared` where it may share one.
    ///
    /// # Errors
    /// The same.
    pub async fn run_in(
        &self,
        folder: &str,
        more: &[String],
        shared: Option<&Path>,
    ) -> Result<Report, Failure> {
        let RunEnd { code, report, said, stopped } = self.end_of(folder, more, shared).await?;
        if stopped {
            return Err(Failure::unknown("interrupted: the runs so far stand in their folder"));
        }
        report.filter(|_| code != Some(4)).ok_or_else(|| match code {
            Some(2) => Failure::usage(said),
            Some(3) => Failure::unknown(said),
            _ => Failure::infrastructure(said),
        })
    }

    /// Carries out a run as [`Self::run_in`] does; how it ended.
    ///
    /// # Errors
    /// Infrastructure failures: it cannot be started or waited for.
    pub async fn end_of(
        &self,
        folder: &str,
        more: &[String],
        shared: Option<&Path>,
    ) -> Result<RunEnd, Failure> {
        let folder = self.folder.join(folder);
        RunDir::prepare(&folder)?;
        let said = said_in(&folder)?;
        let cannot =
            |what: &str, error: io::Error| Failure::infrastructure(format!("{what}: {error}"));
        let json =
            tempfile::tempfile().map_err(|error| cannot("there is no temporary file", error))?;
        let out = json.try_clone().map_err(|error| cannot("there is no temporary file", error))?;
        let mut command = Command::new(child::own());
        command
            .arg("run")
            .args(&self.arguments)
            .args(more)
            .args(["--format", "json", "--out"])
            .arg(&folder)
            .env_remove(SHARED)
            .envs(shared.map(|dir| (SHARED, dir)))
            .stdin(Stdio::null())
            .stdout(out)
            .stderr(said);
        // In a session of its own: a second signal would kill it at once, and a terminal's reaches all.
        child::die_with_parent(command.as_std_mut(), Signal::SIGTERM, true);
        let started = command.spawn();
        let mut run = started.map_err(|error| cannot("a run cannot be started", error))?;
        let (mut stops, mut stopped) = (self.stops.clone(), false);
        let status = loop {
            tokio::select! {
                status = run.wait() => break status,
                Ok(()) = stops.changed() => {
                    stopped = true;
                    if let Some(pid) = run.id() {
                        // One that has just ended needs no signal.
                        kill(Pid::from_raw(pid as i32), Signal::SIGTERM).ok();
                    }
                }
            }
        };
        let status = status.map_err(|error| cannot("a run cannot be waited for", error))?;
        let said = format!("a run ended with {status}:{}", tail(&folder.join(SAID)));
        Ok(RunEnd { code: status.code(), report: read(json), said, stopped })
    }
}

/// The file in a folder that what its runs say goes to, open.
fn said_in(folder: &Path) -> Result<File, Failure> {
    let file = File::options().create(true).append(true).open(folder.join(SAID));
    file.map_err(|error| {
        let path = folder.display();
        Failure::infrastructure(format!("the log of the runs in {path} cannot be written: {error}"))
    })
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
