//! The format of a run's directory: a number in its file `format`, written before anything else.
//!
//! It stands for all files of the record together: spec, events, environment, history, ledger, manifest.
//! It is raised when what an older kbench wrote cannot be read any more, or the other way round.

use std::io;
use std::path::{Path, PathBuf};

use super::budget::MOST_DOCUMENT_BYTES;
use super::open;

/// The format that is written, and the only one that is read.
pub const FORMAT: u32 = 5;

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
    /// Its number is none.
    #[error(
        "{} says of its format what is no number: \"{found}\"; it is damaged, or no run of kbench",
        dir.display()
    )]
    Damaged {
        /// The run's directory.
        dir: PathBuf,
        /// What is written there.
        found: String,
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
    let written = open::write(&path, format!("{FORMAT}\n").as_bytes());
    written.map_err(|source| FormatError::Io { verb: "write", path, source })
}

/// Makes sure that this kbench reads what is recorded in `dir`.
///
/// # Errors
/// When it is of another format, or of none.
pub fn require(dir: &Path) -> Result<(), FormatError> {
    let path = dir.join(FILE);
    match open::read_text(&path, MOST_DOCUMENT_BYTES) {
        Ok(text) => match text.trim().parse::<u32>() {
            Ok(FORMAT) => Ok(()),
            found => {
                let (dir, text) = (dir.to_owned(), text.trim().escape_debug().take(20).collect());
                Err(match found {
                    Ok(_) => FormatError::Other { dir, found: text },
                    Err(_) => FormatError::Damaged { dir, found: text },
                })
            }
        },
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
             kbench reads format 5; use the kbench that recorded it"
        );
        write(run).unwrap();
        require(run).unwrap();
        for damaged in ["", "one", "-1", "3\n3", "99999999999", "\u{1b}[2J"] {
            std::fs::write(run.join(FILE), damaged).unwrap();
            assert!(
                refused().starts_with("RUN says of its format what is no number"),
                "{}",
                refused()
            );
            assert!(!refused().contains('\u{1b}'), "{}", refused());
        }
        for other in ["0", "1", "71"] {
            std::fs::write(run.join(FILE), other).unwrap();
            let expected = format!("RUN is in format {other} of run directories, and this kbench");
            assert!(refused().starts_with(&expected), "{}", refused());
        }
    }
}
