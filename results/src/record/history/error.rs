//! Why a history could not be written or read.
//!
//! A file that is damaged behind its header is no error: what precedes the damage is read, and
//! [`Ending`](super::Ending) tells of it.

use std::io;
use std::path::PathBuf;

/// A history, or one stream of it, could not be written or read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum HistoryError {
    /// The operating system refused.
    #[error(
        "cannot {action} {}: {source}; check the free space and the permissions there",
        path.display()
    )]
    Io {
        /// What was tried.
        action: &'static str,
        /// On what.
        path: PathBuf,
        /// What the operating system said.
        source: io::Error,
    },
    /// A stream of this name has been recorded already.
    #[error(
        "{} exists already and is not overwritten; record into a new run directory",
        path.display()
    )]
    Exists {
        /// The file.
        path: PathBuf,
    },
    /// An earlier write failed, so that whatever follows could not be read back.
    #[error("an earlier write to {} failed; nothing more is recorded in it", path.display())]
    Broken {
        /// The file.
        path: PathBuf,
    },
    /// There is no such directory.
    #[error(
        "there is no history at {}: no such directory; name the directory of a recorded run",
        path.display()
    )]
    NoDirectory {
        /// The directory.
        path: PathBuf,
    },
    /// The directory holds no stream.
    #[error(
        "there is no history at {}: the directory holds no .kbh file; the run ended before a \
         client started",
        path.display()
    )]
    NoStreams {
        /// The directory.
        path: PathBuf,
    },
    /// The file does not begin as a stream of kbench does.
    #[error(
        "{} is not a stream of a kbench history: its first bytes are other ones",
        path.display()
    )]
    NotAStream {
        /// The file.
        path: PathBuf,
    },
    /// The file was written in another format.
    #[error(
        "{} is in format {found} of the history, and this kbench reads format {known}; use the \
         kbench that recorded it",
        path.display()
    )]
    OtherFormat {
        /// The file.
        path: PathBuf,
        /// Format of the file.
        found: u16,
        /// The format that is read here.
        known: u16,
    },
    /// The file is damaged before anything in it can be attributed to a client.
    #[error(
        "{} is damaged in its header ({what}): which client wrote it is not known, so the \
         history cannot be judged",
        path.display()
    )]
    Header {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        what: String,
    },
}
