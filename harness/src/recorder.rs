//! The one place where a trial's events are recorded: appended to `events.jsonl`, and told to the
//! coordinator as lines on stdout, from which it draws the live view.
//!
//! The coordinator may be stopped (Ctrl-Z) and read nothing for hours: lines wait for it in memory, on a thread
//! of their own, and the trial for nobody.

use std::io::Write;
use std::path::Path;
use std::sync::mpsc::{self, Sender};
use std::sync::{Mutex, MutexGuard, OnceLock};
use std::thread::JoinHandle;

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
    /// None once the coordinator has been told everything.
    lines: Mutex<Option<Lines>>,
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
        Ok(Self {
            clock,
            log: Mutex::new(Some(log)),
            lines: Mutex::new(Some(Lines::to(std::io::stdout())?)),
            failure: OnceLock::new(),
        })
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

    /// Waits until the coordinator has read what was recorded; it is told nothing any more.
    pub fn await_told(&self) {
        drop(self.lines().take());
    }

    /// Records what happened at `at`.
    pub fn at(&self, at: RunTime, kind: EventKind) {
        self.record(&mut self.log(), &Event { at, kind });
    }

    fn log(&self) -> MutexGuard<'_, Option<EventLog>> {
        // A thread that panicked while it held the lock had not begun to write the next line.
        self.log.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    fn lines(&self) -> MutexGuard<'_, Option<Lines>> {
        self.lines.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    fn record(&self, log: &mut Option<EventLog>, event: &Event) {
        let Some(log) = log else { return };
        if let Err(error) = log.append(event) {
            // Without its events a trial proves nothing: it is stopped, and `check` finds them missing.
            self.failure.get_or_init(|| error.to_string());
        }
        if let (Ok(line), Some(lines)) = (serde_json::to_string(event), &*self.lines()) {
            lines.push(line);
        }
    }
}

/// Lines on their way to somebody who may not read them now. Dropping it waits until they are read.
struct Lines {
    queue: Option<Sender<String>>,
    thread: Option<JoinHandle<()>>,
}

impl Lines {
    fn to(mut out: impl Write + Send + 'static) -> Result<Self, Failure> {
        let (queue, lines) = mpsc::channel::<String>();
        let write = move || {
            for line in lines {
                // The coordinator is gone when this fails, and the trial ends with it.
                if writeln!(out, "{line}").and_then(|()| out.flush()).is_err() {
                    return;
                }
            }
        };
        let thread = std::thread::Builder::new().name("lines".to_owned()).spawn(write);
        let thread = thread.map_err(|error| {
            Failure::infrastructure(format!("no thread for the live view: {error}"))
        })?;
        Ok(Self { queue: Some(queue), thread: Some(thread) })
    }

    fn push(&self, line: String) {
        if let Some(queue) = &self.queue {
            // Nobody reads them any more when this fails.
            drop(queue.send(line));
        }
    }
}

impl Drop for Lines {
    fn drop(&mut self) {
        self.queue.take();
        if let Some(thread) = self.thread.take() {
            // It does nothing that can panic but write.
            drop(thread.join());
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::{BufRead as _, BufReader};

    use super::*;

    #[test]
    fn a_reader_that_stands_still_holds_up_nobody_and_misses_nothing() {
        let (reader, writer) = std::io::pipe().unwrap();
        let lines = Lines::to(writer).unwrap();
        // Many times what a pipe holds.
        let line = |number: usize| format!("{number:0200}");
        (0..20_000).for_each(|number| lines.push(line(number)));
        let read = std::thread::spawn(move || {
            BufReader::new(reader).lines().map_while(Result::ok).collect::<Vec<_>>()
        });
        drop(lines);
        assert_eq!(read.join().unwrap(), (0..20_000).map(line).collect::<Vec<_>>());
    }

    #[test]
    fn a_reader_that_is_gone_ends_it() {
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let lines = Lines::to(writer).unwrap();
        (0..10).for_each(|_| lines.push("line".to_owned()));
    }
}
