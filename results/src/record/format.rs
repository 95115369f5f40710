//! The format of a run's directory: a number in its file `format`, written before anything else.
//!
//! It stands for all files of the record together: spec, events, environment, history, ledger, manifest.
//! It is raised when what an older kbench wrote cannot be read any more, or the other way round.

use std::io;
use std::path::{Path, PathBuf};

/// The format that is written, and the only one that is read.
pub const FORMAT: u32 = 3;

const FILE: &str = "format";

/// A run's directory is not one that this kbench reads or can write.
#[derive(Debug, thiserror::Error)]
pub enum FormatError {
    /// The operating system refused.
    #[error("cannot {verb} {}: {source}", path.display())]
    Io {
        /// What was tried.
        verb: &'static str,
        /// The file.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// It was recorded before formats had numbers.
    #[error(
        "{} has no format number: it was recorded before format 1 of run directories, and this kbench reads format {FORMAT}; use the kbench that recorded it",
        dir.display()
    )]
    Unnumbered {
        /// The run's directory.
        dir: PathBuf,
    },
    /// It is of another format.
    #[error(
        "{} is in format {found} of run directories, and this kbench reads format {FORMAT}; use the kbench that recorded it",
        dir.display()
    )]
    Other {
        /// The run's directory.
        dir: PathBuf,
        /// Its format, as it is written there.
        found: String,
    },
}

/// Writes the number into a run's new directory.
///
/// # Errors
/// When the file cannot be written.
pub fn write(dir: &Path) -> Result<(), FormatError> {
    let path = dir.join(FILE);
    let written = std::fs::write(&path, format!("{FORMAT}\n"));
    written.map_err(|source| FormatError::Io { verb: "write", path, source })
}

/// Makes sure that this kbench reads what is recorded in `dir`.
///
/// # Errors
/// When it is of another format, or of none.
pub fn require(dir: &Path) -> Result<(), FormatError> {
    let path = dir.join(FILE);
    match std::fs::read_to_string(&path) {
        Ok(text) if text.trim().parse() == Ok(FORMAT) => Ok(()),
        Ok(text) => {
            let found = text.trim().escape_debug().take(20).collect();
            Err(FormatError::Other { dir: dir.to_owned(), found })
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            Err(FormatError::Unnumbered { dir: dir.to_owned() })
        }
        Err(source) => Err(FormatError::Io { verb: "read", path, source }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_was_recorded_in_this_format_is_read() {
        let dir = tempfile::tempdir().unwrap();
        let run = dir.path();
        let refused = || {
            let error = require(run).unwrap_err().to_string();
            error.replace(&run.display().to_string(), "RUN")
        };
        assert_eq!(
            refused(),
            "RUN has no format number: it was recorded before format 1 of run directories, and this \
             kbench reads format 3; use the kbench that recorded it"
        );
        write(run).unwrap();
        require(run).unwrap();
        for other in ["0", "1", "71", "one", ""] {
            std::fs::write(run.join(FILE), other).unwrap();
            let expected = format!("RUN is in format {other} of run directories, and this kbench");
            assert!(refused().starts_with(&expected), "{}", refused());
        }
    }
}
