//! `events.jsonl`: one event a line, [sealed](crate::record::seal), on disk as soon as it is appended.
//!
//! A killed run leaves at most its last line unfinished. Reading such a file gives every whole
//! line and says what was cut off; of a file that was changed it gives the lines before the change.
//! Nothing here repairs or shortens a file.

use std::fs::File;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use super::Event;
use crate::record::budget::{MOST_EVENT_BYTES, MOST_EVENTS};
use crate::record::open;
use crate::record::seal::SealChain;

/// Appends events to a file, a line each, handed to the operating system at every line.
#[derive(Debug)]
pub struct EventLog {
    path: PathBuf,
    file: File,
    chain: SealChain,
    /// A write failed: what follows would be glued to half a line.
    broken: bool,
}

/// The events that can be read of a log.
#[derive(Debug, Clone, PartialEq)]
pub struct ReadLog {
    /// The events, in the order in which they were recorded.
    pub events: Vec<Event>,
    /// Whether that is all.
    pub end: LogEnd,
}

/// How a log ends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LogEnd {
    /// With a whole line.
    Whole,
    /// In the middle of a line, as one does whose writer is killed: in words that follow the file's name.
    Cut(String),
    /// Where a line is not as it was recorded, or one is missing, and what comes after is worth nothing:
    /// likewise.
    Altered(String),
}

/// An event log could not be written or read.
#[derive(Debug, thiserror::Error)]
pub enum EventLogError {
    /// The operating system refused.
    #[error(
        "cannot {verb} the event log {path}: {source}; check that the directory exists, is yours and has space left"
    )]
    Io {
        /// What was tried.
        verb: &'static str,
        /// On which file.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// An earlier write failed.
    #[error("an earlier write to {path} failed; nothing more is recorded in it")]
    Broken {
        /// The file.
        path: PathBuf,
    },
    /// A line is as it was recorded, and is not an event.
    #[error(
        "{path}:{line}: not an event of this version of kbench: {reason}; use the kbench that recorded it"
    )]
    Line {
        /// The file.
        path: PathBuf,
        /// Line, from 1.
        line: usize,
        /// What is wrong with it.
        reason: String,
    },
}

impl EventLog {
    /// Creates the log; refuses to overwrite one.
    pub fn create(path: impl Into<PathBuf>) -> Result<Self, EventLogError> {
        let path = path.into();
        match open::created(&path) {
            Ok(file) => Ok(Self { path, file, chain: SealChain::default(), broken: false }),
            Err(source) => Err(EventLogError::Io { verb: "create", path, source }),
        }
    }

    /// Appends one event: one write of one whole line.
    ///
    /// # Errors
    /// When it cannot be written, or an earlier one could not.
    pub fn append(&mut self, event: &Event) -> Result<(), EventLogError> {
        if self.broken {
            return Err(EventLogError::Broken { path: self.path.clone() });
        }
        let mut write = || {
            let line = self.chain.seal(&serde_json::to_string(event)?);
            self.file.write_all(line.as_bytes())
        };
        write().map_err(|source| {
            self.broken = true;
            EventLogError::Io { verb: "append to", path: self.path.clone(), source }
        })
    }
}

/// Reads a log: its events, and how it ends.
///
/// # Errors
/// When the file cannot be read, or another version of kbench recorded what is in it.
pub fn read(path: &Path) -> Result<ReadLog, EventLogError> {
    let bytes = open::read(path, MOST_EVENT_BYTES).map_err(|source| EventLogError::Io {
        verb: "read",
        path: path.to_owned(),
        source,
    })?;
    let mut events = Vec::new();
    let mut chain = SealChain::default();
    for (number, line) in (1..).zip(bytes.split_inclusive(|byte| *byte == b'\n')) {
        if number > MOST_EVENTS {
            let what = format!("has more than {MOST_EVENTS} lines");
            return Ok(ReadLog { events, end: LogEnd::Altered(what) });
        }
        let Some(whole) = line.strip_suffix(b"\n") else {
            let bytes = line.len();
            let what = format!("line {number} breaks off after {bytes} bytes");
            return Ok(ReadLog { events, end: LogEnd::Cut(what) });
        };
        let json = match chain.open(whole) {
            Ok(json) => json,
            Err(broken) => {
                let what = format!("line {number} is not as it was recorded: {broken}");
                return Ok(ReadLog { events, end: LogEnd::Altered(what) });
            }
        };
        let event = serde_json::from_slice(&json).map_err(|error| EventLogError::Line {
            path: path.to_owned(),
            line: number,
            reason: error.to_string(),
        })?;
        events.push(event);
    }
    Ok(ReadLog { events, end: LogEnd::Whole })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::clock::RunTime;
    use crate::record::event::{EventKind, Second, Stage};

    fn events() -> Vec<Event> {
        vec![
            Event { at: RunTime(5), kind: EventKind::Stage { stage: Stage::Baseline } },
            Event {
                at: RunTime(7),
                kind: EventKind::Second(Second { due: 9, ..Second::default() }),
            },
            Event { at: RunTime(9), kind: EventKind::TrialEnded },
        ]
    }

    #[test]
    fn what_was_appended_is_read_back_while_the_log_is_open() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("events.jsonl");
        let mut log = EventLog::create(&path).unwrap();
        for event in events() {
            log.append(&event).unwrap();
        }
        let all = ReadLog { events: events(), end: LogEnd::Whole };
        assert_eq!(read(&path).unwrap(), all);
        assert!(EventLog::create(&path).is_err(), "an existing log must not be overwritten");
    }

    /// A log with these events, and its bytes.
    fn log(dir: &Path) -> (PathBuf, Vec<u8>) {
        let path = dir.join("events.jsonl");
        let mut log = EventLog::create(&path).unwrap();
        events().iter().for_each(|event| log.append(event).unwrap());
        let bytes = std::fs::read(&path).unwrap();
        (path, bytes)
    }

    #[test]
    fn a_cut_last_line_is_told() {
        let dir = tempfile::tempdir().unwrap();
        let (path, whole) = log(dir.path());
        std::fs::write(&path, &whole[..whole.len() - 3]).unwrap();
        let cut = read(&path).unwrap();
        assert_eq!(cut.events, events()[..2]);
        let LogEnd::Cut(what) = cut.end else { panic!("{:?}", cut.end) };
        assert!(what.contains("line 3 breaks off"), "{what}");
    }

    #[test]
    fn a_changed_bit_ends_a_log_before_its_line() {
        let dir = tempfile::tempdir().unwrap();
        let (path, whole) = log(dir.path());
        for byte in 0..whole.len() {
            let mut changed = whole.clone();
            changed[byte] ^= 1 << (byte % 8);
            std::fs::write(&path, &changed).unwrap();
            let before = whole[..byte].iter().filter(|byte| **byte == b'\n').count();
            let seen = read(&path).unwrap();
            assert_ne!(seen.end, LogEnd::Whole, "byte {byte}");
            assert_eq!(seen.events, events()[..before], "byte {byte}");
        }
    }

    #[test]
    fn what_no_version_of_today_recorded_is_an_error_with_its_line() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("events.jsonl");
        for other in [
            r#"{"at":1,"event":"nonsense"}"#,
            r#"{"at":1,"event":"stage","stage":"baseline","more":1}"#,
            r#"{"at":1,"event":"controller-gone","at":2}"#,
        ] {
            std::fs::write(&path, SealChain::default().seal(other)).unwrap();
            let error = read(&path).expect_err(other).to_string();
            assert!(error.contains("events.jsonl:1:"), "{error}");
        }
    }
}
