//! One trial of a run, as it was recorded in files.
//!
//! A trial's directory holds `events.jsonl`, `environment.json` and `history/`. Loading reads the
//! events and the history's headers; entries stay in their files until somebody asks the source.
//! Nothing here writes, repairs or judges.

use std::io;
use std::path::{Path, PathBuf};

use super::environment::Environment;
use super::event::log::{self, EventLogError};
use super::event::{Event, EventKind};
use super::history::{Files, HistoryError, Source};

/// What happened: one event a line.
pub const EVENTS: &str = "events.jsonl";
/// Where it ran.
pub const ENVIRONMENT: &str = "environment.json";
/// Folder of what the clients saw.
pub const HISTORY: &str = "history";

/// All that was recorded of one trial.
#[derive(Debug)]
pub struct TrialRecord {
    /// Number, from 1.
    pub number: u32,
    /// Where it ran; nothing is assumed of a trial that was cut short before its cluster was up.
    pub environment: Environment,
    /// What happened.
    pub events: Vec<Event>,
    /// What the clients saw.
    pub history: Box<dyn Source>,
    /// Why it did not come to its end, and what of its record is damaged, in words.
    pub trouble: Vec<String>,
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
    /// Reads trial `number` from its directory `dir`.
    ///
    /// # Errors
    /// When there is nothing to judge in it.
    pub fn load(number: u32, dir: &Path) -> Result<Self, TrialError> {
        let (events, cut) = log::read(&dir.join(EVENTS))?;
        let failed = events.iter().find_map(|event| match &event.kind {
            EventKind::TrialFailed { text, .. } => Some(text.clone()),
            _ => None,
        });
        let history = dir.join(HISTORY);
        if let (Some(text), false) = (&failed, history.is_dir()) {
            return Err(TrialError::Failed(text.clone()));
        }
        let history = Files::open(&history)?.killed(killed(&events));
        let (environment, damage) = environment(&dir.join(ENVIRONMENT));
        let trouble = failed.or(cut).into_iter().chain(damage).collect();
        Ok(Self { number, environment, events, history: Box::new(history), trouble })
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

/// The environment, and what is wrong with its file. It is written when the cluster is up: a trial
/// that was cut short before has none.
fn environment(path: &Path) -> (Environment, Option<String>) {
    let read = std::fs::read(path).and_then(|bytes| Ok(serde_json::from_slice(&bytes)?));
    match read {
        Ok(environment) => (environment, None),
        Err(error) if error.kind() == io::ErrorKind::NotFound => (Environment::default(), None),
        Err(error) => {
            let path = path.display();
            let damage = format!("{path} cannot be read, so settings are not known: {error}");
            (Environment::default(), Some(damage))
        }
    }
}
