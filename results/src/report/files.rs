//! Writes a report's files into a run's directory: each whole or not at all.
//!
//! A file is written under a temporary name, synced, and renamed; a crash leaves the old one. No
//! file of the record (history, events) is touched.

use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use crate::judge::latency::interval_log;
use crate::record::event::Event;
use crate::record::history::Source;

use super::{Report, csv, junit};
use crate::record::trial::TrialRecord;

/// The report's document.
pub const REPORT_JSON: &str = "report.json";
/// Recovery as a table.
pub const SUMMARY_CSV: &str = "summary.csv";
/// For continuous integration.
pub const JUNIT_XML: &str = "junit.xml";
/// Response times of each second.
pub const LATENCY_HLOG: &str = "latency.hlog";

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

    /// Writes report.json, summary.csv, junit.xml and latency.hlog into `dir`.
    pub fn write_all(&self, dir: &Path, trials: &[TrialRecord]) -> Result<(), WriteError> {
        let parts: Vec<(u32, &[Event], &dyn Source)> =
            trials.iter().map(|t| (t.number, t.events.as_slice(), &*t.history)).collect();
        write_whole(dir, LATENCY_HLOG, |out| interval_log::write(out, &parts))?;
        write_whole(dir, SUMMARY_CSV, |out| csv::write(out, self).map_err(io::Error::other))?;
        write_whole(dir, JUNIT_XML, |out| {
            out.write_all(junit::render(self).map_err(io::Error::other)?.as_bytes())
        })?;
        // Last: where report.json is, the others are.
        write_whole(dir, REPORT_JSON, |out| {
            out.write_all(self.to_json().map_err(io::Error::other)?.as_bytes())
        })
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
