//! Whether the record of a trial is what the trial recorded: the one place where that is compared.
//!
//! The files are compared with the manifest, the spec with the trial's first event, lines of events and
//! ledger with their seals. What does not match is named, with what of a judgement rests on it. A trial
//! that was killed has no manifest; one that came to its end and has none has lost it.

use std::fmt;
use std::io;
use std::path::Path;

use super::budget::{MOST_DOCUMENT_BYTES, MOST_LEDGER_BYTES};
use super::event::log::{LogEnd, ReadLog};
use super::event::{Event, EventKind};
use super::history::{Client, Ending, Files, KnownStream, Source, StreamHeader, header_of};
use super::manifest::{self, ListedFile, MANIFEST, Manifest};
use super::open;
use super::seal::{Checksum, first_broken};
use super::trial::{ENVIRONMENT, EVENTS, HISTORY, LEDGER, SPEC};

/// What was found of a trial's record.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Integrity {
    /// Files that were compared.
    pub files: u64,
    /// What is not as it was recorded.
    pub discrepancies: Vec<Discrepancy>,
}

/// Something of a record is missing, altered or unreadable.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Discrepancy {
    /// Its file, in the trial's directory or the run's.
    pub file: String,
    /// What is wrong, in words that follow the file's name.
    pub what: String,
    /// What rests on it.
    pub affects: Affects,
}

impl fmt::Display for Discrepancy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.file, self.what)
    }
}

/// What of a judgement rests on a part of the record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Affects {
    /// All of it: what was asked, or what there should be, is not known.
    Everything,
    /// What was done when, and all figures.
    Events,
    /// The same, and what follows from something not being there.
    Absence,
    /// Settings and predictions.
    Environment,
    /// What this client saw.
    Stream(Client),
    /// Nothing that is judged.
    Nothing,
}

/// The trial that a record should be of.
#[derive(Debug, Clone, Copy)]
pub struct TrialId<'a> {
    /// Id of its run.
    pub run: &'a str,
    /// Its number, from 1.
    pub number: u32,
}

/// A record, compared.
pub(super) struct Compared {
    pub(super) integrity: Integrity,
    /// The streams that the manifest lists; `None` without one.
    pub(super) streams: Option<Vec<KnownStream>>,
}

impl Integrity {
    /// Whether nothing is known to be wrong with this file.
    pub(super) fn stands(&self, file: &str) -> bool {
        self.discrepancies.iter().all(|discrepancy| discrepancy.file != file)
    }
}

/// Compares the record in the trial's directory `dir` of the run in `run`.
pub(super) fn compare(
    run: &Path,
    dir: &Path,
    id: TrialId<'_>,
    manifest: &Result<Option<Manifest>, String>,
    log: &ReadLog,
) -> Compared {
    let mut comparison = Comparison { dir, found: vec![] };
    comparison.spec(run, id, &log.events);
    let listed = match manifest {
        Ok(Some(manifest)) => Some(manifest),
        Ok(None) => {
            comparison.no_manifest(log);
            None
        }
        Err(what) => {
            comparison.found(MANIFEST, what, Affects::Everything);
            None
        }
    };
    let streams = match listed {
        Some(manifest) => Some(comparison.files(manifest, log)),
        None => {
            comparison.unlisted(log);
            None
        }
    };
    let files = 1 + listed.map_or(0, |manifest| manifest.files.len() as u64);
    Compared { integrity: Integrity { files, discrepancies: comparison.found }, streams }
}

struct Comparison<'a> {
    dir: &'a Path,
    found: Vec<Discrepancy>,
}

impl Comparison<'_> {
    fn found(&mut self, file: &str, what: &str, affects: Affects) {
        self.found.push(Discrepancy { file: file.to_owned(), what: what.to_owned(), affects });
    }

    /// The spec, and whose record this is, by the trial's first event.
    fn spec(&mut self, run: &Path, id: TrialId<'_>, events: &[Event]) {
        let Some(EventKind::TrialStarted { run_id, trial, spec, .. }) =
            events.first().map(|event| &event.kind)
        else {
            return;
        };
        let whole = match Checksum::of_file(&run.join(SPEC), MOST_DOCUMENT_BYTES) {
            Ok((found, _)) if found == *spec => true,
            Ok(_) => {
                let what = "is not what the trial was started with: it was changed since";
                self.found(SPEC, what, Affects::Everything);
                false
            }
            Err(error) => {
                self.found(SPEC, &wrong_file(&error), Affects::Everything);
                false
            }
        };
        // A spec that was changed may have another id.
        if *trial != id.number || (whole && run_id != id.run) {
            let what = format!("is that of trial {trial} of run {run_id}, in the place of another");
            self.found(EVENTS, &what, Affects::Everything);
        }
    }

    fn no_manifest(&mut self, log: &ReadLog) {
        let end = |event: &Event| {
            matches!(event.kind, EventKind::TrialEnded | EventKind::TrialFailed { .. })
        };
        let unknown = "so nobody can say whether a file is missing";
        if log.events.iter().any(end) {
            let what = format!("is missing although the trial came to its end, {unknown}");
            self.found(MANIFEST, &what, Affects::Everything);
        } else if let LogEnd::Altered(_) = log.end {
            let what = format!("is missing, {unknown}");
            self.found(MANIFEST, &what, Affects::Everything);
        } else {
            let what = format!("was never written, as kbench was killed before, {unknown}");
            self.found(MANIFEST, &what, Affects::Absence);
        }
    }

    /// What a record without a list says of itself.
    fn unlisted(&mut self, log: &ReadLog) {
        if let LogEnd::Altered(what) = &log.end {
            self.found(EVENTS, what, Affects::Events);
        }
        match open::read(&self.dir.join(LEDGER), MOST_LEDGER_BYTES) {
            Ok(bytes) => self.lines(&bytes),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => self.found(LEDGER, &wrong_file(&error), Affects::Nothing),
        }
    }

    /// Compares every file that is listed; returns what can be read of the streams.
    fn files(&mut self, manifest: &Manifest, log: &ReadLog) -> Vec<KnownStream> {
        let mut streams = vec![];
        for listed in &manifest.files {
            let wrong = self.wrong(listed);
            match (manifest::stream_name(&listed.path), &listed.stream) {
                (Some(name), Some(header)) => {
                    streams.push(self.stream(name, header, listed, wrong));
                }
                (Some(_), None) => {
                    let what = "has no header, so who wrote it is not known";
                    self.found(&listed.path, what, Affects::Everything);
                }
                (None, _) => self.file(listed, wrong, log),
            }
        }
        for name in manifest::streams(&self.dir.join(HISTORY)).unwrap_or_default() {
            let path = manifest::stream_file(&name);
            if !manifest.files.iter().any(|listed| listed.path == path) {
                let what = "is not of this trial, and is left out";
                self.found(&path, what, Affects::Nothing);
            }
        }
        streams
    }

    /// What is wrong with a file, in words that follow its name.
    fn wrong(&self, listed: &ListedFile) -> Option<String> {
        let path = self.dir.join(&listed.path);
        let length = match open::file(&path).and_then(|file| file.metadata()) {
            Ok(found) => found.len(),
            Err(error) => return Some(wrong_file(&error)),
        };
        let recorded = listed.bytes;
        if length < recorded {
            return Some(format!("ends after {length} of {recorded} bytes"));
        }
        let (checksum, bytes) = match Checksum::of_file(&path, recorded) {
            Ok(read) => read,
            Err(error) => return Some(wrong_file(&error)),
        };
        if bytes < recorded {
            Some(format!("ends after {bytes} of {recorded} bytes"))
        } else if checksum != listed.checksum {
            Some("is not as it was recorded: its checksum is another one".to_owned())
        } else if length > recorded {
            Some(format!("goes on behind its end: it has {length} bytes, {recorded} were recorded"))
        } else {
            None
        }
    }

    fn file(&mut self, listed: &ListedFile, wrong: Option<String>, log: &ReadLog) {
        let Some(wrong) = wrong else { return };
        let path = listed.path.as_str();
        match path {
            EVENTS => match &log.end {
                LogEnd::Altered(what) => self.found(path, what, Affects::Events),
                LogEnd::Whole | LogEnd::Cut(_) => self.found(path, &wrong, Affects::Events),
            },
            ENVIRONMENT => self.found(path, &wrong, Affects::Environment),
            LEDGER => self.ledger(listed, &wrong),
            _ => self.found(path, &wrong, Affects::Nothing),
        }
    }

    /// To what the trial wrote, `kbench heal` may have added lines.
    fn ledger(&mut self, listed: &ListedFile, wrong: &str) {
        match open::read(&self.dir.join(LEDGER), MOST_LEDGER_BYTES) {
            Ok(bytes) if bytes.len() as u64 > listed.bytes => {
                let (before, _) = bytes.split_at(listed.bytes as usize);
                if Checksum::of(before) == listed.checksum {
                    self.lines(&bytes);
                } else {
                    self.found(LEDGER, wrong, Affects::Nothing);
                }
            }
            _ => self.found(LEDGER, wrong, Affects::Nothing),
        }
    }

    /// The ledger's lines by their seals.
    fn lines(&mut self, bytes: &[u8]) {
        if let Some(number) = first_broken(bytes) {
            let what = format!("line {number} is not as it was written");
            self.found(LEDGER, &what, Affects::Nothing);
        }
    }

    /// What can be read of a stream. The frames before a damage are sealed and stand; a file that is whole
    /// by its own account, and not the one that was recorded, is another stream.
    fn stream(
        &mut self,
        name: &str,
        header: &StreamHeader,
        listed: &ListedFile,
        wrong: Option<String>,
    ) -> KnownStream {
        let known = |gone| KnownStream { name: name.to_owned(), header: header.clone(), gone };
        let Some(wrong) = wrong else { return known(None) };
        self.found(&listed.path, &wrong, Affects::Stream(header.client.clone()));
        let is_that = header_of(&self.dir.join(&listed.path)).is_ok_and(|found| found == *header);
        let files = Files::known(&self.dir.join(HISTORY), [known(None)]);
        let breaks_off = || {
            let ending = (&files as &dyn Source).each(0, |_| ());
            matches!(ending, Ok(Ending::Truncated { .. }))
        };
        known((!is_that || !breaks_off()).then_some(wrong))
    }
}

fn wrong_file(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::NotFound => "is missing".to_owned(),
        _ => format!("cannot be read: {error}"),
    }
}
