//! The one place where a trial's events are recorded: appended to `events.jsonl`, and told to the
//! coordinator as lines on stdout, from which it draws the live view.

use std::io::Write;
use std::path::Path;
use std::sync::{Mutex, MutexGuard, OnceLock};

use results::record::clock::{RunClock, RunTime};
use results::record::event::log::EventLog;
use results::record::event::{Event, EventKind};
use results::record::trial::EVENTS;

use crate::failure::Failure;

/// Records events of a trial, from any thread.
pub struct Recorder {
    clock: RunClock,
    /// None once the last event is recorded.
    log: Mutex<Option<EventLog>>,
    /// Why an event could not be recorded.
    failure: OnceLock<String>,
}

impl Recorder {
    /// Starts the log `events.jsonl` in `dir`.
    ///
    /// # Errors
    /// An infrastructure failure when it cannot be written.
    pub fn create(dir: &Path, clock: RunClock) -> Result<Self, Failure> {
        Self::open(&dir.join(EVENTS), clock)
    }

    /// Starts the log in the file `path`, whatever that held before.
    ///
    /// # Errors
    /// An infrastructure failure when it cannot be written.
    pub fn open(path: &Path, clock: RunClock) -> Result<Self, Failure> {
        let log =
            EventLog::create(path).map_err(|error| Failure::infrastructure(error.to_string()))?;
        Ok(Self { clock, log: Mutex::new(Some(log)), failure: OnceLock::new() })
    }

    /// The run's clock.
    pub fn clock(&self) -> RunClock {
        self.clock
    }

    /// Why an event could not be recorded; what is recorded from then on proves nothing.
    pub fn failure(&self) -> Option<String> {
        self.failure.get().cloned()
    }

    /// Records what happens now.
    pub fn now(&self, kind: EventKind) {
        self.at(self.clock.now(), kind);
    }

    /// Records what happens now as the last event: nothing that comes after it is of the trial.
    pub fn end(&self, kind: EventKind) {
        let mut log = self.log();
        self.record(&mut log, &Event { at: self.clock.now(), kind });
        log.take();
    }

    /// Records what happened at `at`.
    pub fn at(&self, at: RunTime, kind: EventKind) {
        self.record(&mut self.log(), &Event { at, kind });
    }

    fn log(&self) -> MutexGuard<'_, Option<EventLog>> {
        // A thread that panicked while it held the lock had not begun to write the next line.
        self.log.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    fn record(&self, log: &mut Option<EventLog>, event: &Event) {
        let Some(log) = log else { return };
        if let Err(error) = log.append(event) {
            // Without its events a trial proves nothing: it is stopped, and `check` finds them missing.
            self.failure.get_or_init(|| error.to_string());
        }
        if let Ok(line) = serde_json::to_string(event) {
            // The coordinator is gone when this fails, and the trial ends with it.
            drop(writeln!(std::io::stdout().lock(), "{line}"));
        }
    }
}
