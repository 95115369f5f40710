//! One trial of a run, as it was recorded in files.
//!
//! A trial's directory holds `events.jsonl`, `environment.json`, `history/`, `undo.jsonl` where something
//! was injected, and, when the trial came to its end, `manifest.json`. Loading compares them, reads the
//! events and the history's headers; entries stay in their files until somebody asks the source.
//! Nothing here writes, repairs or judges.

use std::io;
use std::path::{Path, PathBuf};

use super::budget::MOST_DOCUMENT_BYTES;
use super::environment::Environment;
use super::event::log::{self, EventLogError, LogEnd, ReadLog};
use super::event::{Event, EventKind};
use super::history::{Files, HistoryError, Source};
use super::integrity::{self, Affects, Compared, Discrepancy, Integrity, TrialId};
use super::manifest;
use super::open;

/// What the run was asked to do, in the run's directory.
pub const SPEC: &str = "spec.toml";
/// What happened: one event a line.
pub const EVENTS: &str = "events.jsonl";
/// Where it ran.
pub const ENVIRONMENT: &str = "environment.json";
/// What must be undone, and what is.
pub const LEDGER: &str = "undo.jsonl";
/// Folder of what the clients saw.
pub const HISTORY: &str = "history";

/// All that was recorded of one trial.
#[derive(Debug)]
pub struct TrialRecord {
    /// Number, from 1.
    pub number: u32,
    /// Where it ran; `None` when that is not known: a trial may be cut short before its cluster is up.
    pub environment: Option<Environment>,
    /// What happened.
    pub events: Vec<Event>,
    /// What the clients saw.
    pub history: Box<dyn Source>,
    /// Why it did not come to its end, in words.
    pub trouble: Option<String>,
    /// Whether this is what the trial recorded.
    pub integrity: Integrity,
}

/// A trial cannot be judged.
#[derive(Debug, thiserror::Error)]
pub enum TrialError {
    /// Its events cannot be read.
    #[error(transparent)]
    Events(#[from] EventLogError),
    /// What its clients saw cannot be read.
    #[error(transparent)]
    History(#[from] HistoryError),
    /// It ended before a client was started.
    #[error("{0}")]
    Failed(String),
}

/// Directory of trial `number` (from 1) of `trials`: the run's own when there is only one.
pub fn directory(run: &Path, number: u32, trials: u32) -> PathBuf {
    if trials == 1 { run.to_owned() } else { run.join(format!("trials/{number}")) }
}

impl TrialRecord {
    /// Reads trial `id` from its directory; the run in `run` has `trials`.
    ///
    /// # Errors
    /// When there is nothing to judge in it.
    pub fn load(run: &Path, id: TrialId<'_>, trials: u32) -> Result<Self, TrialError> {
        let dir = directory(run, id.number, trials);
        let manifest = manifest::read(&dir);
        let log = match log::read(&dir.join(EVENTS)) {
            Err(EventLogError::Io { .. }) if matches!(manifest, Ok(Some(_))) => {
                // That they are not there is found below.
                ReadLog { events: vec![], end: LogEnd::Whole }
            }
            log => log?,
        };
        let Compared { mut integrity, streams } =
            integrity::compare(run, &dir, id, &manifest, &log);
        let ReadLog { events, end } = log;
        let failed = events.iter().find_map(|event| match &event.kind {
            EventKind::TrialFailed { text, .. } => Some(text.clone()),
            _ => None,
        });
        let history = dir.join(HISTORY);
        let begun =
            streams.as_ref().map_or(open::folder(&history).is_ok(), |streams| !streams.is_empty());
        if let (Some(text), false) = (&failed, begun) {
            return Err(TrialError::Failed(text.clone()));
        }
        let files = match streams {
            Some(streams) => Files::known(&history, streams),
            None => Files::open(&history)?,
        };
        let stands = |(name, _): &(&str, u64)| integrity.stands(&manifest::stream_file(name));
        let history = Box::new(files.killed(killed(&events).filter(stands)));
        let listed = |manifest: &manifest::Manifest| {
            manifest.files.iter().any(|listed| listed.path == ENVIRONMENT)
        };
        let cut = match (&manifest, end) {
            // With its manifest it was not killed.
            (Ok(None), LogEnd::Cut(what)) => {
                Some(format!("{EVENTS} {what}: the run was killed while it wrote"))
            }
            _ => None,
        };
        let environment = match manifest {
            Ok(Some(manifest)) if !listed(&manifest) || !integrity.stands(ENVIRONMENT) => None,
            _ => environment(&dir, &mut integrity),
        };
        let (number, trouble) = (id.number, failed.or(cut));
        Ok(Self { number, environment, events, history, trouble, integrity })
    }
}

/// Streams of clients that were killed on purpose, and how long they were then.
fn killed(events: &[Event]) -> impl Iterator<Item = (&str, u64)> {
    events.iter().filter_map(|event| match &event.kind {
        EventKind::ClientKilled { client, history_bytes } => {
            Some((client.as_str(), *history_bytes))
        }
        _ => None,
    })
}

/// The environment. It is written when the cluster is up: a trial that was cut short before has none.
fn environment(dir: &Path, integrity: &mut Integrity) -> Option<Environment> {
    let read = open::read(&dir.join(ENVIRONMENT), MOST_DOCUMENT_BYTES)
        .and_then(|bytes| serde_json::from_slice(&bytes).map_err(io::Error::from));
    match read {
        Ok(mut environment) => {
            Environment::redact(&mut environment);
            Some(environment)
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => None,
        Err(error) => {
            let (file, what) = (ENVIRONMENT.to_owned(), format!("cannot be read: {error}"));
            let affects = Affects::Environment;
            integrity.discrepancies.push(Discrepancy { file, what, affects });
            None
        }
    }
}
