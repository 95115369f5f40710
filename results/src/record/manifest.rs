//! `manifest.json`: what belongs to the record of a trial. It is the last thing that a trial writes, when
//! its last event is recorded; who reads the record compares (see [`integrity`](super::integrity)).
//!
//! Not listed are logs, and what is written later: reports, and what `kbench heal` does. The run's spec
//! is older than the trial; its checksum is in the trial's first event.

use std::ffi::OsStr;
use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::budget::{
    MOST_DOCUMENT_BYTES, MOST_FILES, MOST_LISTED, MOST_LISTED_BYTES, MOST_PARTITIONS,
};
use super::history::{StreamHeader, header_of, stream_path};
use super::open;
use super::seal::{Checksum, SealChain};
use super::trial::{ENVIRONMENT, EVENTS, HISTORY, LEDGER};

/// Name of the file.
pub const MANIFEST: &str = "manifest.json";

/// The files of a trial's record.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    /// They, by path.
    pub files: Vec<ListedFile>,
}

/// A file as it was when its trial had ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ListedFile {
    /// Where it is in the trial's directory.
    pub path: String,
    /// Its length.
    pub bytes: u64,
    /// Checksum of all of it.
    pub checksum: Checksum,
    /// Who wrote it, if it is a stream of the history; so that its reader knows what is missing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stream: Option<StreamHeader>,
}

/// A manifest could not be made.
#[derive(Debug, thiserror::Error)]
#[error(
    "cannot {verb} {}, which belongs to the record: {source}; check the free space and the permissions there",
    path.display()
)]
pub struct ManifestError {
    verb: &'static str,
    path: PathBuf,
    source: io::Error,
}

/// Lists what is recorded in the trial's directory `dir`, and writes the list down there.
///
/// # Errors
/// When a file cannot be read or the list not be written.
pub fn write(dir: &Path) -> Result<(), ManifestError> {
    let path = dir.join(MANIFEST);
    let failed = |source| ManifestError { verb: "write", path: path.clone(), source };
    let json = serde_json::to_string(&list(dir)?).map_err(|error| failed(error.into()))?;
    // Whole or not at all: half a manifest would say that it was changed.
    open::write(&path, SealChain::default().seal(&json).as_bytes()).map_err(failed)
}

/// What is recorded in the trial's directory `dir` now.
fn list(dir: &Path) -> Result<Manifest, ManifestError> {
    let mut paths: Vec<String> = [ENVIRONMENT, EVENTS, LEDGER]
        .into_iter()
        .filter(|name| dir.join(name).exists())
        .map(str::to_owned)
        .collect();
    let history = dir.join(HISTORY);
    let streams = streams(&history).map_err(|source| ManifestError {
        verb: "list",
        path: history.clone(),
        source,
    })?;
    paths.extend(streams.iter().map(|name| stream_file(name)));
    paths.sort();
    let file = |name: String| {
        let path = dir.join(&name);
        let listed = Checksum::of_file(&path, u64::MAX);
        let (checksum, bytes) =
            listed.map_err(|source| ManifestError { verb: "read", path: path.clone(), source })?;
        // Of one that was killed in the act there may be none.
        let stream = stream_name(&name).and_then(|_| header_of(&path).ok());
        Ok(ListedFile { path: name, bytes, checksum, stream })
    };
    Ok(Manifest { files: paths.into_iter().map(file).collect::<Result<_, _>>()? })
}

/// Names of the streams in a history's directory; none when there is no such directory.
pub(super) fn streams(history: &Path) -> io::Result<Vec<String>> {
    let files = match open::names(history, MOST_FILES) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(vec![]),
        files => files?,
    };
    let mut names = vec![];
    for path in files.iter().map(Path::new) {
        if path.extension() == stream_path(history, "any").extension() {
            names.extend(path.file_stem().and_then(OsStr::to_str).map(str::to_owned));
        }
    }
    Ok(names)
}

/// Where the stream `name` is in a trial's directory.
pub(super) fn stream_file(name: &str) -> String {
    stream_path(Path::new(HISTORY), name).display().to_string()
}

/// Name of the stream in the file `path` of a trial's directory; `None` when it holds none.
pub(super) fn stream_name(path: &str) -> Option<&str> {
    let path = Path::new(path);
    let of_history = path.parent() == Some(Path::new(HISTORY));
    path.file_stem().and_then(OsStr::to_str).filter(|_| of_history)
}

/// Reads the manifest of the trial's directory `dir`; `None` when there is none.
///
/// # Errors
/// Why the one that is there cannot be read, in words that follow its name.
pub(super) fn read(dir: &Path) -> Result<Option<Manifest>, String> {
    let bytes = match open::read(&dir.join(MANIFEST), MOST_DOCUMENT_BYTES) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(format!("cannot be read: {error}")),
    };
    let line = bytes.strip_suffix(b"\n").unwrap_or_default();
    let json = SealChain::default()
        .open(line)
        .map_err(|_| "is not as it was written: its seal does not match".to_owned())?;
    let manifest: Manifest = serde_json::from_slice(&json)
        .map_err(|error| format!("is none of this version of kbench: {error}"))?;
    if manifest.files.len() > MOST_LISTED {
        return Err(format!("lists more than {MOST_LISTED} files"));
    }
    let mut paths: Vec<&str> = manifest.files.iter().map(|listed| listed.path.as_str()).collect();
    if let Some(path) = paths.iter().find(|path| !belongs(path)) {
        return Err(format!("lists `{path}`, which is no file of a trial"));
    }
    paths.sort_unstable();
    if let Some([path, _]) = paths.array_windows().find(|[one, next]| one == next) {
        return Err(format!("lists {path} twice"));
    }
    let bytes = manifest.files.iter().fold(0_u64, |all, listed| all.saturating_add(listed.bytes));
    if bytes > MOST_LISTED_BYTES {
        return Err(format!("lists {bytes} bytes, and kbench reads {MOST_LISTED_BYTES} at most"));
    }
    let mut streams = manifest.files.iter().filter_map(|listed| listed.stream.as_ref());
    if streams.any(|header| header.partitions > MOST_PARTITIONS) {
        return Err(format!("knows of a topic with more than {MOST_PARTITIONS} partitions"));
    }
    Ok(Some(manifest))
}

/// Whether a listed path is one that a trial writes: never one that leads out of its directory.
fn belongs(path: &str) -> bool {
    [ENVIRONMENT, EVENTS, LEDGER].contains(&path)
        || stream_name(path).is_some_and(|name| stream_file(name) == path)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::history::Client;

    fn listed(path: &str) -> ListedFile {
        ListedFile { path: path.to_owned(), bytes: 1, checksum: Checksum::default(), stream: None }
    }

    #[test]
    fn a_manifest_leads_nowhere_else_and_lists_no_more_than_is_read() {
        let dir = tempfile::tempdir().unwrap();
        let told = |files: Vec<ListedFile>| {
            let json = serde_json::to_string(&Manifest { files }).unwrap();
            open::write(&dir.path().join(MANIFEST), SealChain::default().seal(&json).as_bytes())
                .unwrap();
            read(dir.path())
        };
        let all = [EVENTS, ENVIRONMENT, LEDGER, "history/a.kbh", "history/..kbh"];
        assert!(told(all.map(listed).to_vec()).unwrap().is_some());
        for path in [
            "../events.jsonl",
            "/etc/passwd",
            "history/../../x.kbh",
            "history/../x.kbh",
            "history//a.kbh",
            "./events.jsonl",
            "history",
            "history/a",
            "logs/kbench.log",
            "spec.toml",
            "",
        ] {
            let error = told(vec![listed(path)]).unwrap_err();
            assert!(error.contains("no file of a trial"), "{path}: {error}");
        }
        assert!(
            told(vec![listed(EVENTS), listed(LEDGER), listed(EVENTS)])
                .unwrap_err()
                .contains("twice")
        );
        let huge = |path: &str| ListedFile { bytes: MOST_LISTED_BYTES, ..listed(path) };
        assert!(told(vec![huge(EVENTS)]).is_ok());
        assert!(told(vec![huge(EVENTS), listed(LEDGER)]).unwrap_err().contains("at most"));
        let (topic, partitions) = ("t".to_owned(), MOST_PARTITIONS + 1);
        let header = StreamHeader { run: 1, topic, partitions, client: Client::Drain };
        let many = ListedFile { stream: Some(header), ..listed("history/a.kbh") };
        assert!(told(vec![many]).unwrap_err().contains("partitions"));
        let more = (0..=MOST_LISTED).map(|number| listed(&format!("history/{number}.kbh")));
        assert!(told(more.collect()).unwrap_err().contains("more than"));
    }
}
