//! The undo ledger, `undo.jsonl`: what must be undone, on disk before it is done.
//!
//! Append-only, one JSON line an entry, synced line by line: an entry is *planned* before its
//! injection and *done* when its undo is carried out; an id that was planned and never done is
//! outstanding. Nothing is rewritten, so a kbench killed while it writes leaves at most a line cut
//! short. Such a line is harmless (the injection waits for its line; an undo done twice does
//! nothing the second time), and it is told.

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use results::record::clock::RunTime;
use serde::{Deserialize, Serialize};

use crate::undo::Undo;

/// Whether an undo is still to be carried out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum State {
    /// The injection may have happened.
    Planned,
    /// The undo is carried out.
    Done,
}

/// One line of the ledger.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Entry {
    /// Number of the undo, from 1.
    pub id: u64,
    /// Id of the plan's step that makes it necessary.
    pub fault_id: String,
    /// When the line was written, on the run's clock.
    pub at: RunTime,
    /// What to do.
    pub undo: Undo,
    /// Whether it is still to be done.
    pub state: State,
}

/// What a ledger says is still to be undone.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Outstanding {
    /// Planned and not done, oldest first.
    pub entries: Vec<Entry>,
    /// Lines that could not be read, each described with what that means.
    pub damage: Vec<String>,
}

/// The ledger could not be read or written.
#[derive(Debug, thiserror::Error)]
#[error("undo ledger {path}: cannot {action}: {source}", path = .path.display())]
pub struct LedgerError {
    path: PathBuf,
    action: &'static str,
    source: io::Error,
}

/// An open ledger.
#[derive(Debug)]
pub struct Ledger {
    path: PathBuf,
    file: File,
    next_id: u64,
    outstanding: BTreeMap<u64, Entry>,
    damage: Vec<String>,
}

impl Ledger {
    /// Opens the ledger at `path`, a new one when there is none, and takes up what is outstanding.
    pub fn open(path: &Path) -> Result<Self, LedgerError> {
        let fail = |action| move |source| LedgerError { path: path.to_owned(), action, source };
        let mut file = OpenOptions::new()
            .create(true)
            .append(true)
            .open(path)
            .map_err(fail("open it for writing"))?;
        let bytes = std::fs::read(path).map_err(fail("read it"))?;
        if bytes.last().is_some_and(|last| *last != b'\n') {
            // The next line must not be glued to one that was cut short.
            file.write_all(b"\n").map_err(fail("end its last line"))?;
        }
        let directory = path.parent().filter(|p| !p.as_os_str().is_empty());
        File::open(directory.unwrap_or(Path::new(".")))
            .and_then(|directory| directory.sync_all())
            .map_err(fail("sync its directory"))?;
        let read = read(&bytes);
        Ok(Self {
            path: path.to_owned(),
            file,
            next_id: read.highest_id + 1,
            outstanding: read.outstanding,
            damage: read.damage,
        })
    }

    /// Writes that `undo` will be needed; on disk when this returns.
    pub fn plan(&mut self, fault_id: &str, at: RunTime, undo: Undo) -> Result<u64, LedgerError> {
        let id = self.next_id;
        let entry = Entry { id, fault_id: fault_id.to_owned(), at, undo, state: State::Planned };
        self.append(&entry)?;
        self.next_id += 1;
        self.outstanding.insert(id, entry);
        Ok(id)
    }

    /// Writes that the undo `id` is carried out. Nothing happens for one that is not outstanding.
    pub fn done(&mut self, id: u64, at: RunTime) -> Result<(), LedgerError> {
        let Some(entry) = self.outstanding.get(&id) else {
            return Ok(());
        };
        self.append(&Entry { at, state: State::Done, ..entry.clone() })?;
        self.outstanding.remove(&id);
        Ok(())
    }

    /// What is still to be undone, oldest first, with what could not be read.
    pub fn outstanding(&self) -> Outstanding {
        Outstanding {
            entries: self.outstanding.values().cloned().collect(),
            damage: self.damage.clone(),
        }
    }

    fn append(&mut self, entry: &Entry) -> Result<(), LedgerError> {
        let line = serde_json::to_string(entry).map_err(io::Error::from);
        line.and_then(|line| self.file.write_all(format!("{line}\n").as_bytes()))
            .and_then(|()| self.file.sync_data())
            .map_err(|source| LedgerError { path: self.path.clone(), action: "append", source })
    }
}

/// What the ledger at `path` says is still to be undone; nothing when there is no such file.
pub fn outstanding(path: &Path) -> Result<Outstanding, LedgerError> {
    match std::fs::read(path) {
        Ok(bytes) => {
            let read = read(&bytes);
            let entries = read.outstanding.into_values().collect();
            Ok(Outstanding { entries, damage: read.damage })
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Outstanding::default()),
        Err(source) => Err(LedgerError { path: path.to_owned(), action: "read it", source }),
    }
}

#[derive(Default)]
struct Read {
    highest_id: u64,
    outstanding: BTreeMap<u64, Entry>,
    damage: Vec<String>,
}

fn read(bytes: &[u8]) -> Read {
    let mut read = Read::default();
    for (index, line) in bytes.split(|byte| *byte == b'\n').enumerate() {
        if line.is_empty() {
            continue;
        }
        match serde_json::from_slice::<Entry>(line) {
            Ok(entry) => {
                read.highest_id = read.highest_id.max(entry.id);
                match entry.state {
                    State::Planned => read.outstanding.insert(entry.id, entry),
                    State::Done => read.outstanding.remove(&entry.id),
                };
            }
            Err(error) if error.is_eof() => read.damage.push(format!(
                "line {}: cut short while it was written; nothing was injected on its account",
                index + 1
            )),
            Err(error) => read.damage.push(format!(
                "line {}: not readable ({error}); look at it by hand for something to undo",
                index + 1
            )),
        }
    }
    read
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::port::{Process, Signal};
    use results::record::event::Role;

    fn start(id: i32) -> Undo {
        let process = Process { node: format!("node{id}"), role: Role::Broker, id };
        Undo::StartProcess { process, pid: 100 + id, signal: Signal::Kill }
    }

    #[test]
    fn what_was_planned_and_not_done_is_outstanding_to_another_reader() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("undo.jsonl");
        let mut ledger = Ledger::open(&path).unwrap();
        let one = ledger.plan("a", RunTime(1), start(1)).unwrap();
        let two = ledger.plan("a", RunTime(2), Undo::RestoreLeaders).unwrap();
        ledger.done(one, RunTime(3)).unwrap();
        ledger.done(one, RunTime(4)).unwrap();

        let seen = outstanding(&path).unwrap();
        assert_eq!(seen, ledger.outstanding());
        assert_eq!(seen.damage, Vec::<String>::new());
        let ids: Vec<_> = seen.entries.iter().map(|e| (e.id, &e.undo, e.state)).collect();
        assert_eq!(ids, [(two, &Undo::RestoreLeaders, State::Planned)]);
        let lines = std::fs::read_to_string(&path).unwrap();
        assert_eq!(lines.lines().count(), 3, "done twice is written once: {lines}");
    }

    #[test]
    fn a_line_cut_anywhere_loses_only_itself_and_is_told() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("undo.jsonl");
        let mut ledger = Ledger::open(&path).unwrap();
        ledger.plan("a", RunTime(1), start(1)).unwrap();
        let whole_line = std::fs::read(&path).unwrap().len();
        ledger.plan("b", RunTime(2), start(2)).unwrap();
        drop(ledger);
        let bytes = std::fs::read(&path).unwrap();

        for cut in whole_line + 1..bytes.len() - 1 {
            std::fs::write(&path, &bytes[..cut]).unwrap();
            let seen = outstanding(&path).unwrap();
            assert_eq!(seen.entries.len(), 1, "cut at {cut}");
            assert_eq!(seen.entries[0].undo, start(1));
            assert!(seen.damage[0].starts_with("line 2: cut short"), "{:?}", seen.damage);

            let mut again = Ledger::open(&path).unwrap();
            assert_eq!(again.plan("c", RunTime(3), start(3)).unwrap(), 2);
            let undos: Vec<_> =
                outstanding(&path).unwrap().entries.into_iter().map(|e| e.undo).collect();
            assert_eq!(undos, [start(1), start(3)], "cut at {cut}");
        }
    }

    #[test]
    fn no_ledger_means_nothing_to_undo_and_nonsense_is_told() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("undo.jsonl");
        assert_eq!(outstanding(&path).unwrap(), Outstanding::default());
        std::fs::write(&path, "{\"id\":\"seven\"}\n").unwrap();
        let damage = outstanding(&path).unwrap().damage;
        assert!(damage[0].contains("look at it by hand"), "{damage:?}");
    }
}
