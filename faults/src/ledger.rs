//! The undo ledger, `undo.jsonl`: what must be undone, on disk before it is done.
//!
//! Append-only, one JSON line after the other, synced: first the format, then an entry that is
//! *planned* before its injection, and its id once that is *done*; an id that was planned and never
//! done is outstanding. No line is rewritten, so a kbench killed while it writes, or a full disk, leaves at
//! most a line cut short at the end. Such a line is harmless (the injection waits for its lines; an undo done
//! twice does nothing the second time), and it is told; before the next line is appended it is cut back, so
//! that nothing is ever glued to it. Lines are sealed: what was changed since is not carried out, and strikes
//! nothing off.
//!
//! An entry is complete in itself: whose it is, where, and all that it takes to carry it out.

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Write};
use std::os::fd::AsFd as _;
use std::path::{Path, PathBuf};

use results::record::budget::MOST_LEDGER_BYTES;
use results::record::clock::RunTime;
use results::record::open;
use results::record::seal::{BrokenSeal, SealChain};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::tag::Tag;
use crate::undo::Undo;

/// Format of the ledgers that this kbench writes and reads. The first one had no number in it.
pub const FORMAT: u32 = 3;

/// Whose undos a ledger lists.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Owner {
    /// Name of the cluster.
    pub cluster: String,
    /// The run's id, and its trial's number.
    pub run: String,
    /// Version of the kbench that planned it.
    pub kbench: String,
}

impl Owner {
    /// A run of this kbench on a cluster.
    pub fn new(cluster: impl Into<String>, run: impl Into<String>) -> Self {
        let kbench = env!("CARGO_PKG_VERSION").to_owned();
        Self { cluster: cluster.into(), run: run.into(), kbench }
    }
}

/// Something that is to be undone.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Entry {
    /// Number of the entry, from 1.
    pub id: u64,
    /// Whose it is.
    pub owner: Owner,
    /// The nodes with something to undo; none where it is the cluster's affair.
    pub nodes: Vec<String>,
    /// Id of the plan's step that makes it necessary.
    pub fault_id: String,
    /// When it was planned, on the run's clock.
    pub at: RunTime,
    /// What to do.
    pub undo: Undo,
}

/// One line of a ledger.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Line {
    /// How the lines after it are written.
    Format(u32),
    /// The injection may have happened.
    Planned(Box<Entry>),
    /// The undo is carried out.
    Done {
        /// Number of its entry.
        id: u64,
        /// When, on the run's clock; `None` when the run was over.
        at: Option<RunTime>,
    },
}

/// What a ledger says is still to be undone.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Outstanding {
    /// Planned and not done, oldest first.
    pub entries: Vec<Entry>,
    /// Lines that could not be read and may hide an undo, each described with what that means.
    pub damage: Vec<String>,
    /// That the last line was cut short while it was written, which hides none.
    pub cut_short: Option<String>,
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
    /// Bytes of the lines that were written to their ends.
    whole: u64,
    /// An append failed: there may be a part of a line behind them.
    torn: bool,
    chain: SealChain,
    owner: Owner,
    next_id: u64,
    outstanding: BTreeMap<u64, Entry>,
    damage: Vec<String>,
    cut_short: Option<String>,
}

impl Ledger {
    /// Opens the ledger at `path`, a new one when there is none, and takes up what is outstanding.
    /// What is planned from now on is `owner`'s.
    pub fn open(path: &Path, owner: Owner) -> Result<Self, LedgerError> {
        let fail = |action| move |source| LedgerError { path: path.to_owned(), action, source };
        let mut file = open::appended(path).map_err(fail("open it for writing"))?;
        let bytes = open::read(path, MOST_LEDGER_BYTES).map_err(fail("read it"))?;
        let lines = bytes.iter().rposition(|byte| *byte == b'\n').map_or(0, |end| end + 1);
        let mut whole = bytes.len() as u64;
        if is_torn(&bytes[lines..]) {
            whole = lines as u64;
            file.set_len(whole).map_err(fail("cut back its last line"))?;
        } else if lines < bytes.len() {
            // Not what a write leaves that was cut off: whatever it is, it stays.
            file.write_all(b"\n").map_err(fail("end its last line"))?;
            whole += 1;
        }
        let read = read(&bytes);
        let mut ledger = Self {
            path: path.to_owned(),
            file,
            whole,
            torn: false,
            chain: read.chain,
            owner,
            next_id: read.highest_id + 1,
            outstanding: read.outstanding,
            damage: read.damage,
            cut_short: read.cut_short,
        };
        if read.format != Some(FORMAT) {
            ledger.append(&[Line::Format(FORMAT)])?;
        }
        open::folder(path.parent().unwrap_or(Path::new("")))
            .and_then(|directory| open::sync(directory.as_fd()))
            .map_err(fail("sync its directory"))?;
        Ok(ledger)
    }

    /// A name for an injection whose undos are planned next. It is never used again.
    pub fn tag(&mut self) -> Tag {
        let entry = self.next_id;
        self.next_id += 1;
        Tag { run: self.owner.run.clone(), entry }
    }

    /// Writes that the undos of one injection will be needed, the first of them under the number in its
    /// `tag`; all of them are on disk when this returns.
    pub fn plan(
        &mut self,
        tag: &Tag,
        fault_id: &str,
        at: RunTime,
        undos: &[Undo],
    ) -> Result<(), LedgerError> {
        let ids: Vec<u64> =
            std::iter::once(tag.entry).chain(self.next_id..).take(undos.len()).collect();
        let entries: Vec<Entry> = ids
            .iter()
            .zip(undos)
            .map(|(id, undo)| Entry {
                id: *id,
                owner: self.owner.clone(),
                nodes: undo.nodes().into_iter().map(str::to_owned).collect(),
                fault_id: fault_id.to_owned(),
                at,
                undo: undo.clone(),
            })
            .collect();
        let lines: Vec<_> =
            entries.iter().map(|entry| Line::Planned(Box::new(entry.clone()))).collect();
        self.append(&lines)?;
        self.next_id += (undos.len() as u64).saturating_sub(1);
        self.outstanding.extend(entries.into_iter().map(|entry| (entry.id, entry)));
        Ok(())
    }

    /// Writes that the undo `id` is carried out. Nothing happens for one that is not outstanding. `at`
    /// is `None` when the run is over.
    pub fn done(&mut self, id: u64, at: Option<RunTime>) -> Result<(), LedgerError> {
        if self.outstanding.contains_key(&id) {
            self.append(&[Line::Done { id, at }])?;
            self.outstanding.remove(&id);
        }
        Ok(())
    }

    /// What is still to be undone, oldest first, with what could not be read.
    pub fn outstanding(&self) -> Outstanding {
        Outstanding {
            entries: self.outstanding.values().cloned().collect(),
            damage: self.damage.clone(),
            cut_short: self.cut_short.clone(),
        }
    }

    fn append(&mut self, lines: &[Line]) -> Result<(), LedgerError> {
        // Of what cannot be written no trace is in the next seal.
        let mut chain = self.chain;
        let sealed = |line| Ok(chain.seal(&serde_json::to_string(line)?));
        let text: io::Result<String> = lines.iter().map(sealed).collect();
        let written = text.and_then(|text| {
            self.cut_back()?;
            self.torn = true;
            self.file.write_all(text.as_bytes())?;
            self.file.sync_data()?;
            self.torn = false;
            self.whole += text.len() as u64;
            Ok(())
        });
        if let Err(source) = written {
            // Where that fails as well, it is done before the next line.
            self.cut_back().ok();
            return Err(LedgerError { path: self.path.clone(), action: "append", source });
        }
        self.chain = chain;
        Ok(())
    }

    /// Takes away what an append left that failed.
    fn cut_back(&mut self) -> io::Result<()> {
        if self.torn {
            self.file.set_len(self.whole)?;
            self.torn = false;
        }
        Ok(())
    }
}

/// Whether these bytes are the begin of a line and no more, as a write leaves them that was cut off.
fn is_torn(last: &[u8]) -> bool {
    let text = match std::str::from_utf8(last) {
        Ok(text) => text,
        // In the middle of a character.
        Err(error) if error.error_len().is_none() => {
            std::str::from_utf8(&last[..error.valid_up_to()]).unwrap_or_default()
        }
        Err(_) => return false,
    };
    let breaks_off = |error: serde_json::Error| error.is_eof();
    text.starts_with('{') && serde_json::from_str::<Value>(text).is_err_and(breaks_off)
}

/// What the ledger at `path` says is still to be undone; nothing when there is no such file.
pub fn outstanding(path: &Path) -> Result<Outstanding, LedgerError> {
    match open::read(path, MOST_LEDGER_BYTES) {
        Ok(bytes) => {
            let read = read(&bytes);
            let entries = read.outstanding.into_values().collect();
            Ok(Outstanding { entries, damage: read.damage, cut_short: read.cut_short })
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Outstanding::default()),
        Err(source) => Err(LedgerError { path: path.to_owned(), action: "read it", source }),
    }
}

#[derive(Default)]
struct Read {
    /// That of the last lines; `None` before the first line that tells one.
    format: Option<u32>,
    /// Lines of the first format, which had no number, that are not done: by the entry's id.
    unnumbered: BTreeMap<u64, usize>,
    highest_id: u64,
    outstanding: BTreeMap<u64, Entry>,
    damage: Vec<String>,
    cut_short: Option<String>,
    chain: SealChain,
}

fn read(bytes: &[u8]) -> Read {
    let mut read = Read::default();
    let mut lines = (1..).zip(bytes.split(|byte| *byte == b'\n')).peekable();
    while let Some((number, line)) = lines.next() {
        if line.is_empty() {
            continue;
        }
        if lines.peek().is_none() && read.is_cut_short(line) {
            let what = "cut short while it was written; nothing was injected on its account";
            read.cut_short = Some(format!("line {number}: {what}"));
        } else if let Err(damage) = read.take(number, line) {
            read.damage.push(format!("line {number}: {damage}"));
        }
    }
    for number in std::mem::take(&mut read.unnumbered).into_values() {
        read.damage.push(format!("line {number}: {}", unnumbered()));
    }
    read
}

fn unnumbered() -> String {
    by_hand(&format_args!("no format is named, and this kbench reads format {FORMAT}"))
}

impl Read {
    /// Whether the last line is one of which a write was cut off.
    fn is_cut_short(&self, line: &[u8]) -> bool {
        let mut chain = self.chain;
        is_torn(line) && chain.open(line) == Err(BrokenSeal::Absent)
    }

    /// Takes a line; the error says what is wrong with it, and what that means.
    fn take(&mut self, number: usize, line: &[u8]) -> Result<(), String> {
        let sealed = self.chain.open(line);
        let json: Value = serde_json::from_slice(line).map_err(|error| by_hand(&error))?;
        if let Some(format) = json.get("format").and_then(Value::as_u64) {
            self.format = u32::try_from(format).ok();
            return Ok(());
        }
        match self.format {
            Some(FORMAT) => {}
            Some(other) => {
                return Err(by_hand(&format_args!(
                    "format {other}, and this kbench reads format {FORMAT}"
                )));
            }
            None => {
                let Some(id) = json.get("id").and_then(Value::as_u64) else {
                    return Err(unnumbered());
                };
                self.highest_id = self.highest_id.max(id);
                if json.get("state").and_then(Value::as_str) == Some("done") {
                    self.unnumbered.remove(&id);
                } else {
                    self.unnumbered.insert(id, number);
                }
                return Ok(());
            }
        }
        let sealed = sealed.map_err(|broken| by_hand(&broken))?;
        match serde_json::from_slice(&sealed).map_err(|error| by_hand(&error))? {
            Line::Format(_) => {}
            Line::Planned(entry) => {
                self.highest_id = self.highest_id.max(entry.id);
                self.outstanding.insert(entry.id, *entry);
            }
            Line::Done { id, .. } => {
                self.outstanding.remove(&id);
            }
        }
        Ok(())
    }
}

fn by_hand(why: &dyn std::fmt::Display) -> String {
    format!("not readable ({why}); look at it by hand for something to undo")
}
