//! A history in files: one `<name>.kbh` for each stream, read block by block.
//!
//! Invariant: every entry that is handed out was pushed, and none is missing before the place that
//! [`Ending`] names. At most one block of a stream is in memory for each reader.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, BufReader, Read};
use std::path::{Path, PathBuf};

use crate::record::budget::{MOST_FILES, MOST_PARTITIONS};
use crate::record::clock::RunTime;
use crate::record::open;

use super::frame::{self, Frames, Next};
use super::{
    Block, Blocks, Ending, Entry, HistoryError, Source, StreamHeader, StreamRef, codec, stream_path,
};

/// The streams (`*.kbh`) of a directory.
#[derive(Debug, Clone)]
pub struct Files {
    dir: PathBuf,
    /// Names and headers, by name.
    streams: Vec<(String, StreamHeader)>,
    /// Bytes that the streams of clients had when they were killed on purpose.
    killed: BTreeMap<String, u64>,
    /// Streams of which nothing is there, each with what is wrong.
    gone: BTreeMap<String, String>,
}

/// A stream that was recorded in a directory.
#[derive(Debug, Clone)]
pub struct KnownStream {
    /// Its name.
    pub name: String,
    /// Who wrote it.
    pub header: StreamHeader,
    /// Why it cannot be read, in words that follow the file's name; none when it can.
    pub gone: Option<String>,
}

impl Files {
    /// Finds the streams of the directory `dir`, and reads their headers.
    pub fn open(dir: &Path) -> Result<Self, HistoryError> {
        let failed = |source: io::Error| match source.kind() {
            io::ErrorKind::NotFound => HistoryError::NoDirectory { path: dir.to_owned() },
            _ => HistoryError::Io { action: "list", path: dir.to_owned(), source },
        };
        let mut streams = Vec::new();
        for file in open::names(dir, MOST_FILES).map_err(failed)? {
            let path = dir.join(file);
            if path.extension().is_some_and(|extension| extension == "kbh") {
                let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
                streams.push((name, header_of(&path)?));
            }
        }
        if streams.is_empty() {
            return Err(HistoryError::NoStreams { path: dir.to_owned() });
        }
        streams.sort_by(|(a, _), (b, _)| a.cmp(b));
        let (killed, gone) = (BTreeMap::new(), BTreeMap::new());
        Ok(Self { dir: dir.to_owned(), streams, killed, gone })
    }

    /// These streams of the directory `dir`, whatever is there. One that is gone has its header and no
    /// entries.
    pub fn known(dir: &Path, streams: impl IntoIterator<Item = KnownStream>) -> Self {
        let (dir, killed) = (dir.to_owned(), BTreeMap::new());
        let mut this = Self { dir, streams: vec![], killed, gone: BTreeMap::new() };
        for KnownStream { name, header, gone } in streams {
            let what = gone
                .map(|what| format!("{} {what}", short(&stream_path(&this.dir, &name)).display()));
            this.gone.extend(what.map(|what| (name.clone(), what)));
            this.streams.push((name, header));
        }
        this.streams.sort_by(|(a, _), (b, _)| a.cmp(b));
        this
    }

    /// The same, where the streams with these names may just stop, at the size that they had when
    /// their clients were killed on purpose: what is missing now that was there then is damage.
    #[must_use]
    pub fn killed<'a>(mut self, clients: impl IntoIterator<Item = (&'a str, u64)>) -> Self {
        self.killed.extend(clients.into_iter().map(|(name, bytes)| (name.to_owned(), bytes)));
        self
    }
}

impl Source for Files {
    fn streams(&self) -> Vec<StreamRef<'_>> {
        let streams = self.streams.iter().enumerate();
        streams.map(|(number, (name, header))| StreamRef { number, name, header }).collect()
    }

    fn read(&self, number: usize) -> Result<Box<dyn Blocks + '_>, HistoryError> {
        let (name, _) = &self.streams[number];
        if let Some(what) = self.gone.get(name) {
            return Ok(Box::new(NoBlocks { what }));
        }
        let reader = StreamReader::open(&stream_path(&self.dir, name))?;
        Ok(Box::new(StreamReader { killed_at: self.killed.get(name).copied(), ..reader }))
    }
}

/// Who wrote the stream in this file.
///
/// # Errors
/// When that cannot be read.
pub fn header_of(path: &Path) -> Result<StreamHeader, HistoryError> {
    Ok(StreamReader::open(path)?.header)
}

/// A stream of which nothing is there.
struct NoBlocks<'a> {
    what: &'a str,
}

impl Blocks for NoBlocks<'_> {
    fn next(&mut self) -> Result<Block<'_>, HistoryError> {
        let what = self.what.to_owned();
        Ok(Block::End(Ending::Truncated { at_byte: 0, what, size: None }))
    }
}

/// One stream, from the first block that was not read yet.
struct StreamReader {
    path: PathBuf,
    size: u64,
    header: StreamHeader,
    frames: Frames<BufReader<File>>,
    block: Vec<Entry>,
    /// Entries read so far.
    entries: u64,
    killed_at: Option<u64>,
}

impl StreamReader {
    /// Opens the file and reads its header.
    fn open(path: &Path) -> Result<Self, HistoryError> {
        let failed = |source| HistoryError::Io { action: "read", path: path.to_owned(), source };
        let file = open::file(path).map_err(failed)?;
        let size = file.metadata().map_err(failed)?.len();
        let mut input = BufReader::new(file);
        let start = check_magic(&mut input, path)?;
        let mut frames = Frames::new(input, start, size);
        let header = read_header(&mut frames, path)?;
        let path = path.to_owned();
        Ok(Self { path, size, header, frames, block: Vec::new(), entries: 0, killed_at: None })
    }

    /// Reads the next block into `self.block`; how the stream ends when there is none.
    fn advance(&mut self) -> io::Result<Option<Ending>> {
        self.block.clear();
        let at = self.frames.at;
        let (what, stops) = match self.frames.next()? {
            Next::Frame { kind: frame::BLOCK, payload } => {
                match codec::decode(&payload, &mut self.block) {
                    Ok(()) if !self.block.iter().all(possible) => {
                        self.block.clear();
                        ("has a block with a time that no run has", false)
                    }
                    Ok(()) => {
                        self.entries += self.block.len() as u64;
                        return Ok(None);
                    }
                    Err(codec::Malformed) => ("has a block that cannot be decoded", false),
                }
            }
            Next::Frame { kind: frame::END, payload } => {
                if payload != self.entries.to_le_bytes() {
                    ("counts another number of entries in its end mark", false)
                } else if !self.frames.at_end() {
                    return Ok(Some(self.truncated("goes on behind its end mark", false)));
                } else {
                    return Ok(Some(Ending::Complete));
                }
            }
            Next::Frame { .. } => ("has a block of a kind that is not known", false),
            Next::Stop(what) => (what, true),
            Next::Damage(what) => (what, false),
        };
        self.frames.at = at;
        Ok(Some(self.truncated(what, stops)))
    }

    fn truncated(&self, what: &str, stops: bool) -> Ending {
        let ending = Ending::Truncated {
            size: stops.then_some(self.size),
            at_byte: self.frames.at,
            what: format!(
                "{} {what} at byte {}; {} entries before it were read",
                short(&self.path).display(),
                self.frames.at,
                self.entries
            ),
        };
        ending.of_killed(self.killed_at)
    }
}

/// Whether a run can have lasted until then.
fn possible(entry: &Entry) -> bool {
    entry.times().into_iter().all(RunTime::is_possible)
}

impl Blocks for StreamReader {
    fn next(&mut self) -> Result<Block<'_>, HistoryError> {
        match self.advance() {
            Ok(None) => Ok(Block::Entries(&self.block)),
            Ok(Some(ending)) => Ok(Block::End(ending)),
            Err(source) => {
                Err(HistoryError::Io { action: "read", path: self.path.clone(), source })
            }
        }
    }
}

/// A file's name with its directory's, the same wherever the run's directory lies.
fn short(path: &Path) -> PathBuf {
    let parent = path.parent().and_then(Path::file_name).unwrap_or_default();
    Path::new(parent).join(path.file_name().unwrap_or_default())
}

/// Checks magic and format; returns their length.
fn check_magic(input: &mut impl Read, path: &Path) -> Result<u64, HistoryError> {
    let mut start = [0; frame::MAGIC.len() + 2];
    input.read_exact(&mut start).map_err(|source| match source.kind() {
        io::ErrorKind::UnexpectedEof => {
            HistoryError::Header { path: path.to_owned(), what: "it ends there".to_owned() }
        }
        _ => HistoryError::Io { action: "read", path: path.to_owned(), source },
    })?;
    let [magic @ .., low, high] = start;
    if magic != frame::MAGIC {
        return Err(HistoryError::NotAStream { path: path.to_owned() });
    }
    let found = u16::from_le_bytes([low, high]);
    if found != frame::FORMAT {
        let known = frame::FORMAT;
        return Err(HistoryError::OtherFormat { path: path.to_owned(), found, known });
    }
    Ok(start.len() as u64)
}

fn read_header<R: Read>(frames: &mut Frames<R>, path: &Path) -> Result<StreamHeader, HistoryError> {
    let damaged =
        |what: &str| HistoryError::Header { path: path.to_owned(), what: what.to_owned() };
    let next = frames.next().map_err(|source| HistoryError::Io {
        action: "read",
        path: path.to_owned(),
        source,
    })?;
    match next {
        Next::Frame { kind: frame::HEADER, payload } => {
            let header: StreamHeader =
                postcard::from_bytes(&payload).map_err(|_| damaged("it cannot be decoded"))?;
            if header.partitions > MOST_PARTITIONS {
                return Err(damaged("no topic has that many partitions"));
            }
            Ok(header)
        }
        Next::Frame { .. } => Err(damaged("there is none")),
        Next::Stop(_) | Next::Damage(_) => Err(damaged("it ends there, or its checksum is wrong")),
    }
}
