//! The one error type of the binary: what went wrong, in words for the user, and the exit code.

mod render;

use std::io::{IsTerminal, Read as _, Seek as _, SeekFrom, Write as _};
use std::ops::Range;
use std::path::Path;
use std::process::ExitCode;

use faults::nemesis::NemesisError;
use faults::port::{ErrorKind, PortError};
use results::record::open;

/// Exit codes, as documented in `kbench --help`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    /// Wrong usage or specification.
    Usage = 2,
    /// The question could not be answered: interrupted, or files are damaged.
    Unknown = 3,
    /// The cluster did not start, a tool is missing, a directory cannot be written.
    Infrastructure = 4,
}

/// Why a command could not do what was asked.
#[derive(Debug, thiserror::Error)]
#[error("{}", .0.text)]
pub struct Failure(Box<Details>);

/// What the user is told.
#[derive(Debug)]
struct Details {
    exit: Exit,
    kind: ErrorKind,
    text: String,
    cure: Option<String>,
    place: Option<TextPlace>,
}

/// Bytes of a file that are not what they should be.
#[derive(Debug)]
struct TextPlace {
    file: String,
    text: String,
    span: Range<usize>,
    message: String,
}

impl Failure {
    fn new(exit: Exit, text: impl Into<String>) -> Self {
        let (text, kind) = (text.into(), ErrorKind::Other);
        Self(Box::new(Details { exit, kind, text, cure: None, place: None }))
    }

    /// The user asked for something that makes no sense.
    pub fn usage(text: impl Into<String>) -> Self {
        Self::new(Exit::Usage, text)
    }

    /// The question cannot be answered.
    pub fn unknown(text: impl Into<String>) -> Self {
        Self::new(Exit::Unknown, text)
    }

    /// The machine or the cluster does not let us.
    pub fn infrastructure(text: impl Into<String>) -> Self {
        Self::new(Exit::Infrastructure, text)
    }

    /// A failure of something that is acted on; its kind decides the exit code.
    fn of_kind(kind: ErrorKind, text: String) -> Self {
        let exit = match kind {
            ErrorKind::Unsupported => Exit::Usage,
            ErrorKind::Gone
            | ErrorKind::Refused
            | ErrorKind::TimedOut
            | ErrorKind::Unreachable
            | ErrorKind::Other => Exit::Infrastructure,
        };
        let mut failure = Self::new(exit, text);
        failure.0.kind = kind;
        failure
    }

    /// What kind of failure it was, where that is known.
    pub fn kind(&self) -> ErrorKind {
        self.0.kind
    }

    /// Whether the machine or the cluster did not let us.
    pub fn is_infrastructure(&self) -> bool {
        self.0.exit == Exit::Infrastructure
    }

    /// The same, with what it is about put before its text.
    #[must_use]
    pub fn within(mut self, what: &str) -> Self {
        self.0.text = format!("{what}: {}", self.0.text);
        self
    }

    /// Adds what the user can do about it.
    #[must_use]
    pub fn with_cure(mut self, cure: impl Into<String>) -> Self {
        self.0.cure = Some(cure.into());
        self
    }

    /// A TOML text that is not what it should be, with the place in it.
    pub fn spec(file: &str, text: &str, message: &str, span: Option<Range<usize>>) -> Self {
        let mut failure = Self::usage(format!("{file} is not a valid specification"));
        let (file, text, message) = (file.to_owned(), text.to_owned(), message.to_owned());
        match span {
            Some(span) => failure.0.place = Some(TextPlace { file, text, span, message }),
            None => failure.0.text = format!("{}: {message}", failure.0.text),
        }
        failure
    }

    /// Prints the failure on stderr.
    pub fn print(&self) {
        // Where stderr cannot be written there is nobody to tell.
        drop(write!(std::io::stderr().lock(), "{}", render::render(&self.0, in_colours())));
    }

    /// The exit code of a process that ends with this failure.
    pub fn exit_code(&self) -> ExitCode {
        ExitCode::from(self.0.exit as u8)
    }

    /// The exit code as a number.
    pub fn code(&self) -> u8 {
        self.0.exit as u8
    }

    /// The text, without cure and place.
    pub fn text(&self) -> &str {
        &self.0.text
    }

    /// What the user can do about it.
    pub fn cure(&self) -> Option<&str> {
        self.0.cure.as_deref()
    }
}

fn in_colours() -> bool {
    std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none()
}

/// Tells the user on stderr of what is not refused and may not be meant.
pub fn warn(texts: &[String]) {
    for text in texts {
        // With colours of our own; where stderr cannot be written there is nobody to tell.
        drop(write!(std::io::stderr().lock(), "{}", render::warning(text, in_colours())));
    }
}

impl From<PortError> for Failure {
    fn from(error: PortError) -> Self {
        Self::of_kind(error.kind, error.to_string())
    }
}

impl From<NemesisError> for Failure {
    fn from(error: NemesisError) -> Self {
        Self::of_kind(error.kind(), error.to_string())
    }
}

/// For a port whose mechanism fails with words for the user.
impl From<Failure> for PortError {
    fn from(failure: Failure) -> Self {
        Self::new(failure.kind(), failure.text())
    }
}

/// Last lines of a process's messages that are shown when it ends without a word.
const TAIL_LINES: usize = 15;

/// Most bytes of a log's end that are looked at.
const TAIL_BYTES: u64 = 1 << 20;

/// The last lines of a file, as the end of a message.
pub(crate) fn tail(path: &Path) -> String {
    let text = last_part(path);
    let lines: Vec<&str> = text.lines().collect();
    let from = lines.len().saturating_sub(TAIL_LINES);
    lines[from..].iter().map(|line| format!("\n  {line}")).collect()
}

/// What a file ends with, as text; nothing of one that cannot be read.
pub(crate) fn last_part(path: &Path) -> String {
    let read = || -> std::io::Result<Vec<u8>> {
        let mut file = open::file(path)?;
        let bytes = file.metadata()?.len().min(TAIL_BYTES);
        file.seek(SeekFrom::End(-(bytes as i64)))?;
        let mut part = vec![];
        file.take(bytes).read_to_end(&mut part)?;
        Ok(part)
    };
    String::from_utf8_lossy(&read().unwrap_or_default()).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kind_decides_the_exit_code_and_comes_back_out() {
        for (kind, exit) in [
            (ErrorKind::Unsupported, Exit::Usage),
            (ErrorKind::Gone, Exit::Infrastructure),
            (ErrorKind::Refused, Exit::Infrastructure),
            (ErrorKind::TimedOut, Exit::Infrastructure),
            (ErrorKind::Unreachable, Exit::Infrastructure),
            (ErrorKind::Other, Exit::Infrastructure),
        ] {
            let failure = Failure::from(PortError::new(kind, "what"));
            assert_eq!((failure.0.exit, failure.text()), (exit, "what"));
            assert_eq!(PortError::from(failure).kind, kind);
        }
    }
}
