//! `events.jsonl`: one event a line, on disk as soon as it is appended.
//!
//! A killed run leaves at most its last line unfinished. Reading such a file gives every whole
//! line and says what was cut off. Nothing here repairs or shortens a file.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use super::Event;

/// Appends events to a file, a line each, handed to the operating system at every line.
#[derive(Debug)]
pub struct EventLog {
    path: PathBuf,
    file: File,
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
    /// A line in the middle of the file is not an event.
    #[error(
        "{path}:{line}: not an event of this version of kbench: {reason}; the file was changed, or another version wrote it"
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
        match OpenOptions::new().append(true).create_new(true).open(&path) {
            Ok(file) => Ok(Self { path, file }),
            Err(source) => Err(EventLogError::Io { verb: "create", path, source }),
        }
    }

    /// Appends one event: one write of one whole line.
    pub fn append(&mut self, event: &Event) -> Result<(), EventLogError> {
        let mut write = || {
            let mut line = serde_json::to_vec(event)?;
            line.push(b'\n');
            self.file.write_all(&line)
        };
        write().map_err(|source| EventLogError::Io {
            verb: "append to",
            path: self.path.clone(),
            source,
        })
    }
}

/// Reads a log: its events, and what was cut off at its end, if anything.
pub fn read(path: &Path) -> Result<(Vec<Event>, Option<String>), EventLogError> {
    let bytes = std::fs::read(path).map_err(|source| EventLogError::Io {
        verb: "read",
        path: path.to_owned(),
        source,
    })?;
    let mut events = Vec::new();
    let mut rest = bytes.as_slice();
    let mut number = 0;
    while let Some(end) = rest.iter().position(|byte| *byte == b'\n') {
        number += 1;
        let event = serde_json::from_slice(&rest[..end]).map_err(|e| EventLogError::Line {
            path: path.to_owned(),
            line: number,
            reason: e.to_string(),
        })?;
        events.push(event);
        rest = &rest[end + 1..];
    }
    let truncation = (!rest.is_empty()).then(|| {
        format!(
            "{}: line {} breaks off after {} bytes; the run was killed while it wrote",
            path.display(),
            number + 1,
            rest.len()
        )
    });
    Ok((events, truncation))
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
        assert_eq!(read(&path).unwrap(), (events(), None));
        assert!(EventLog::create(&path).is_err(), "an existing log must not be overwritten");
    }

    #[test]
    fn a_cut_last_line_is_told_and_a_broken_middle_line_is_an_error() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("events.jsonl");
        let mut log = EventLog::create(&path).unwrap();
        for event in events() {
            log.append(&event).unwrap();
        }
        let whole = std::fs::read(&path).unwrap();
        std::fs::write(&path, &whole[..whole.len() - 3]).unwrap();
        let (read_back, truncation) = read(&path).unwrap();
        assert_eq!(read_back, events()[..2]);
        assert!(truncation.unwrap().contains("line 3 breaks off"));

        for broken in [
            r#"{"at":1,"event":"nonsense"}"#,
            r#"{"at":1,"event":"stage","stage":"baseline","more":1}"#,
            r#"{"at":1,"event":"controller-gone","at":2}"#,
        ] {
            std::fs::write(&path, format!("{broken}\n{{}}\n")).unwrap();
            let error = read(&path).expect_err(broken).to_string();
            assert!(error.contains("events.jsonl:1:"), "{error}");
        }
    }
}
