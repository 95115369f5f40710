//! Reading a history back.
//!
//! Invariant: every entry that is returned was pushed, and none is missing before the place that
//! [`Ending`] names.

use std::fs::{self, File};
use std::io::{self, BufReader, Read};
use std::path::{Path, PathBuf};

use super::frame::{self, Frames, Next};
use super::{Entry, HistoryError, StreamHeader, codec};

/// Everything that the clients of one trial saw.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct History {
    /// The streams, by name.
    pub streams: Vec<Stream>,
}

/// What one client saw.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stream {
    /// Name of the stream: its file's, without `.kbh`.
    pub name: String,
    /// Who wrote it.
    pub header: StreamHeader,
    /// What it saw, in its order.
    pub entries: Vec<Entry>,
    /// Whether that is all.
    pub ending: Ending,
}

/// Whether a stream could be read to its end mark.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ending {
    /// It could: the client closed the stream, and every entry was read.
    Complete,
    /// It could not: kbench was killed, the disk was full, or the file was damaged afterwards.
    Truncated {
        /// Where the part begins that could not be read.
        at_byte: u64,
        /// What is wrong, in a sentence for people.
        what: String,
        /// Size of a file that just stops there, in bytes; none when it was damaged.
        size: Option<u64>,
    },
    /// It just stops, because the client's process was killed on purpose: what the client had under
    /// way is not known, and nobody else's fault.
    Killed,
}

impl History {
    /// Reads every stream (`*.kbh`) of the directory `dir`.
    pub fn load(dir: &Path) -> Result<Self, HistoryError> {
        let failed = |source: io::Error| match source.kind() {
            io::ErrorKind::NotFound => HistoryError::NoDirectory { path: dir.to_owned() },
            _ => HistoryError::Io { action: "list", path: dir.to_owned(), source },
        };
        let mut paths = Vec::new();
        for file in fs::read_dir(dir).map_err(failed)? {
            let path = file.map_err(failed)?.path();
            if path.extension().is_some_and(|extension| extension == "kbh") {
                paths.push(path);
            }
        }
        if paths.is_empty() {
            return Err(HistoryError::NoStreams { path: dir.to_owned() });
        }
        paths.sort();
        let streams = paths.iter().map(|path| Stream::load(path)).collect::<Result<_, _>>()?;
        Ok(Self { streams })
    }

    /// The streams with these names may just stop, at the size that they had when their clients were
    /// killed on purpose: what is missing now that was there then is damage.
    pub fn killed<'a>(&mut self, clients: impl IntoIterator<Item = (&'a str, u64)>) {
        for (name, bytes) in clients {
            for stream in self.streams.iter_mut().filter(|stream| stream.name == name) {
                if matches!(stream.ending, Ending::Truncated { size, .. } if size == Some(bytes)) {
                    stream.ending = Ending::Killed;
                }
            }
        }
    }
}

impl Stream {
    fn load(path: &Path) -> Result<Self, HistoryError> {
        let failed = |source| HistoryError::Io { action: "read", path: path.to_owned(), source };
        let file = File::open(path).map_err(failed)?;
        let size = file.metadata().map_err(failed)?.len();
        let mut input = BufReader::new(file);
        let start = check_magic(&mut input, path)?;
        let mut frames = Frames::new(input, start, size);
        let header = read_header(&mut frames, path)?;
        let mut entries = Vec::new();
        let damage = read_blocks(&mut frames, &mut entries).map_err(failed)?;
        entries.shrink_to_fit();
        let ending = match damage {
            None => Ending::Complete,
            Some((what, stops)) => Ending::Truncated {
                size: stops.then_some(size),
                at_byte: frames.at,
                what: format!(
                    "{} {what} at byte {}; {} entries before it were read",
                    short(path).display(),
                    frames.at,
                    entries.len()
                ),
            },
        };
        let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        Ok(Self { name, header, entries, ending })
    }

    /// Whether the stream was read to its end mark.
    pub fn is_complete(&self) -> bool {
        self.ending == Ending::Complete
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
    if found == 0 {
        return Err(HistoryError::NotAStream { path: path.to_owned() });
    }
    if found > frame::FORMAT {
        let known = frame::FORMAT;
        return Err(HistoryError::Newer { path: path.to_owned(), found, known });
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
            postcard::from_bytes(&payload).map_err(|_| damaged("it cannot be decoded"))
        }
        Next::Frame { .. } => Err(damaged("there is none")),
        Next::Stop(_) | Next::Damage(_) => Err(damaged("it ends there, or its checksum is wrong")),
    }
}

/// Reads blocks up to the end mark; says what is wrong when it is not reached, and whether the file
/// just stops.
fn read_blocks<R: Read>(
    frames: &mut Frames<R>,
    entries: &mut Vec<Entry>,
) -> io::Result<Option<(&'static str, bool)>> {
    loop {
        let at = frames.at;
        let wrong = match frames.next()? {
            Next::Frame { kind: frame::BLOCK, payload } => match codec::decode(&payload, entries) {
                Ok(()) => continue,
                Err(codec::Malformed) => "has a block that cannot be decoded",
            },
            Next::Frame { kind: frame::END, payload } => {
                if payload != (entries.len() as u64).to_le_bytes() {
                    "counts another number of entries in its end mark"
                } else if !frames.at_end() {
                    return Ok(Some(("goes on behind its end mark", false)));
                } else {
                    return Ok(None);
                }
            }
            Next::Frame { .. } => "has a block of a kind that is not known",
            Next::Stop(what) => return Ok(Some((what, true))),
            Next::Damage(what) => what,
        };
        frames.at = at;
        return Ok(Some((wrong, false)));
    }
}
