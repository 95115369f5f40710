//! Writes a report's files into a run's directory: each whole or not at all.
//!
//! A file is written under a temporary name, synced, and renamed; a crash leaves the old one. No
//! file of the record (history, events) is touched.

use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use crate::judge::latency::interval_log;

use super::{Report, consuming_csv, csv, junit};
use crate::record::trial::TrialRecord;

/// A form of the report that is a file: its name, and what writes it.
type FileForm = (&'static str, fn(&mut BufWriter<File>, &Report, &[TrialRecord]) -> io::Result<()>);

/// The files. Where the last one is, the report's document, the others are.
const FORMS: &[FileForm] = &[
    ("junit.xml", |out, report, _| {
        out.write_all(junit::render(report).map_err(io::Error::other)?.as_bytes())
    }),
    ("latency.hlog", |out, _, trials| interval_log::write(out, trials)),
    ("summary.csv", |out, report, _| csv::write(out, report).map_err(io::Error::other)),
    ("consuming.csv", |out, report, _| consuming_csv::write(out, report).map_err(io::Error::other)),
    ("report.json", |out, report, _| {
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
    /// The document as it stands in `report.json`.
    pub fn to_json(&self) -> serde_json::Result<String> {
        serde_json::to_string_pretty(self).map(|text| text + "\n")
    }

    /// Writes every file of the report into `dir`.
    pub fn write_all(&self, dir: &Path, trials: &[TrialRecord]) -> Result<(), WriteError> {
        let mut each = FORMS.iter();
        each.try_for_each(|(name, write)| write_whole(dir, name, |out| write(out, self, trials)))
    }
}

fn write_whole(
    dir: &Path,
    name: &str,
    write: impl FnOnce(&mut BufWriter<File>) -> io::Result<()>,
) -> Result<(), WriteError> {
    let path = dir.join(name);
    let temporary = dir.join(format!(".{name}.{}.tmp", std::process::id()));
    let attempt = || {
        let mut out = BufWriter::new(File::create(&temporary)?);
        write(&mut out)?;
        out.into_inner().map_err(io::IntoInnerError::into_error)?.sync_all()?;
        fs::rename(&temporary, &path)
    };
    attempt().map_err(|source| {
        // The first error is the one to tell; a left-over temporary file does no harm.
        drop(fs::remove_file(&temporary));
        WriteError { path: path.clone(), source }
    })
}
