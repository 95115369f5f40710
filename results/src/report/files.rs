//! Writes a report's files into a run's directory: each whole or not at all.
//!
//! A file is written under a temporary name, synced, and renamed; a crash leaves the old one. No
//! file of the record (history, events) is touched.

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use crate::judge::latency::interval_log;

use super::judge::RunAcks;
use super::{Report, consuming_csv, csv, html, junit, omb};
use crate::record::open;
use crate::record::trial::TrialRecord;
use crate::terminal::is_harmful;

/// A form of the report that is a file: its name, and what writes it.
type FileForm = (&'static str, WriteForm);

/// Writes a form of a report, from the trials that it was made of and what was counted of their acks.
type WriteForm = fn(&mut BufWriter<File>, &Report, &[TrialRecord], &RunAcks) -> io::Result<()>;

/// The files. Where the last one is, the report's document, the others are.
const FORMS: &[FileForm] = &[
    ("junit.xml", |out, report, _, _| {
        out.write_all(junit::render(report).map_err(io::Error::other)?.as_bytes())
    }),
    ("latency.hlog", |out, _, trials, _| interval_log::write(out, trials)),
    ("omb.json", |out, report, trials, _| omb::write(out, report, trials)),
    ("summary.csv", |out, report, _, _| csv::write(out, report).map_err(io::Error::other)),
    ("consuming.csv", |out, report, _, _| {
        consuming_csv::write(out, report).map_err(io::Error::other)
    }),
    ("report.html", |out, report, trials, acks| {
        out.write_all(html::render(report, trials, acks)?.as_bytes())
    }),
    ("report.json", |out, report, _, _| {
        out.write_all(report.to_json().map_err(io::Error::other)?.as_bytes())
    }),
];

/// Names of the report's files, the document first.
pub fn names() -> impl Iterator<Item = &'static str> {
    FORMS.iter().rev().map(|(name, _)| *name)
}

/// A file of the report could not be written.
#[derive(Debug, thiserror::Error)]
#[error(
    "cannot write {path}: {source}; what the run recorded is untouched: free space or permit writing there, then `kbench report` writes the report again"
)]
pub struct WriteError {
    /// The file.
    pub path: PathBuf,
    /// Why not.
    pub source: io::Error,
}

impl Report {
    /// The document as it stands in `report.json`. What a terminal might obey is written as JSON escapes it,
    /// so that it reads as the same text.
    pub fn to_json(&self) -> serde_json::Result<String> {
        Ok(escaped(serde_json::to_string_pretty(self)? + "\n"))
    }

    /// Writes every file of the report into `dir`.
    pub(super) fn write_all(
        &self,
        dir: &Path,
        trials: &[TrialRecord],
        acks: &RunAcks,
    ) -> Result<(), WriteError> {
        let mut each = FORMS.iter();
        each.try_for_each(|(name, write)| {
            let path = dir.join(name);
            let written = open::write_whole(&path, |out| write(out, self, trials, acks));
            written.map_err(|source| WriteError { path, source })
        })
    }
}

/// JSON in which what a terminal might obey is escaped.
pub(crate) fn escaped(text: String) -> String {
    if !text.contains(is_harmful) {
        return text;
    }
    let escaped = |c: char| {
        let unit = |unit: &u16| format!("\\u{unit:04x}");
        c.encode_utf16(&mut [0; 2]).iter().map(unit).collect::<String>()
    };
    let shown = |c: char| if is_harmful(c) { escaped(c) } else { c.to_string() };
    text.chars().map(shown).collect()
}
