//! Writing a stream while the run goes.
//!
//! Invariant: what is in the file is a sequence of whole blocks, except for a last one that a
//! failed write or a killed kbench left; so everything up to the last [`StreamWriter::flush`] can
//! be read back. Absent on purpose: fsync. A history survives the death of kbench, not that of
//! the machine.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use super::codec::{BLOCK_BYTES, Encoder};
use super::{Entry, HistoryError, StreamHeader, frame};

/// The file of the stream `name` in the directory `dir`.
pub fn stream_path(dir: &Path, name: &str) -> PathBuf {
    dir.join(format!("{name}.kbh"))
}

/// Writes one stream, `<dir>/<name>.kbh`. One thread owns it.
///
/// Dropped without [`finish`](Self::finish), it writes what it holds if it can, and no end mark:
/// the stream is read back as truncated.
#[derive(Debug)]
pub struct StreamWriter {
    path: PathBuf,
    file: File,
    /// Checksum of the last frame.
    chain: u32,
    block: Encoder,
    entries: u64,
    state: WriterState,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum WriterState {
    Open,
    Finished,
    Broken,
}

impl StreamWriter {
    /// Begins the stream `name` in the directory `dir`, which is created if need be. A stream that
    /// exists is never overwritten.
    pub fn create(dir: &Path, name: &str, header: &StreamHeader) -> Result<Self, HistoryError> {
        let io = |action, path: &Path| {
            let path = path.to_owned();
            move |source| HistoryError::Io { action, path, source }
        };
        fs::create_dir_all(dir).map_err(io("create the directory", dir))?;
        let path = stream_path(dir, name);
        let mut file = File::create_new(&path).map_err(|error| match error.kind() {
            io::ErrorKind::AlreadyExists => HistoryError::Exists { path: path.clone() },
            _ => io("create", &path)(error),
        })?;
        let mut chain = 0;
        let mut write = |file: &mut File| {
            let mut head = frame::MAGIC.to_vec();
            head.extend_from_slice(&frame::FORMAT.to_le_bytes());
            let header = postcard::to_stdvec(header).map_err(io::Error::other)?;
            frame::append(&mut head, &mut chain, frame::HEADER, &header);
            file.write_all(&head)
        };
        write(&mut file).map_err(io("write", &path))?;
        let (block, state) = (Encoder::default(), WriterState::Open);
        Ok(Self { path, file, chain, block, entries: 0, state })
    }

    /// Appends an entry. It is in the file when the block is full or after [`flush`](Self::flush).
    pub fn push(&mut self, entry: &Entry) -> Result<(), HistoryError> {
        if self.state != WriterState::Open {
            return Err(HistoryError::Broken { path: self.path.clone() });
        }
        self.block.push(entry);
        self.entries += 1;
        if self.block.bytes() >= BLOCK_BYTES { self.flush() } else { Ok(()) }
    }

    /// Writes out the entries pushed so far.
    pub fn flush(&mut self) -> Result<(), HistoryError> {
        if self.state != WriterState::Open {
            return Err(HistoryError::Broken { path: self.path.clone() });
        }
        if self.block.is_empty() {
            return Ok(());
        }
        let block = self.block.finish();
        self.write(frame::BLOCK, block)
    }

    /// Writes out everything and the end mark: the stream is complete.
    pub fn finish(mut self) -> Result<(), HistoryError> {
        self.flush()?;
        self.write(frame::END, Ok(self.entries.to_le_bytes().to_vec()))?;
        self.state = WriterState::Finished;
        Ok(())
    }

    fn write(&mut self, kind: u8, payload: io::Result<Vec<u8>>) -> Result<(), HistoryError> {
        let written = payload.and_then(|payload| {
            let mut bytes = Vec::new();
            frame::append(&mut bytes, &mut self.chain, kind, &payload);
            self.file.write_all(&bytes)
        });
        written.map_err(|source| {
            self.state = WriterState::Broken;
            HistoryError::Io { action: "write", path: self.path.clone(), source }
        })
    }
}

impl Drop for StreamWriter {
    fn drop(&mut self) {
        if self.state == WriterState::Open
            && let Err(error) = self.flush()
        {
            crate::err!("kbench: the last entries of a stream are lost: {error}");
        }
    }
}
