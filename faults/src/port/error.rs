//! Why a port could not do something: a kind for programs, a sentence for people.

use std::error::Error;
use std::fmt;
use std::io;

/// What kind of failure it was. It decides what the failure may mean, which its text must not.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ErrorKind {
    /// What it was to be done to does not exist any more, or never did.
    Gone,
    /// It was understood, and refused.
    Refused,
    /// It was not done, or not seen to be done, within its limit.
    TimedOut,
    /// Whoever is to do or to say it cannot be reached: nothing is known of the thing itself. Never
    /// evidence of a fault, however much silence is what the fault is to bring about.
    Unreachable,
    /// The cluster cannot do it at all.
    Unsupported,
    /// Anything else.
    Other,
}

impl ErrorKind {
    /// The word for it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Gone => "gone",
            Self::Refused => "refused",
            Self::TimedOut => "timed out",
            Self::Unreachable => "unreachable",
            Self::Unsupported => "unsupported",
            Self::Other => "other",
        }
    }

    /// The kind of an error of the operating system.
    pub fn of_io(error: &io::Error) -> Self {
        use io::ErrorKind as Io;
        /// "No such process": there is no kind of its own for it.
        const ESRCH: i32 = 3;
        match error.kind() {
            _ if error.raw_os_error() == Some(ESRCH) => Self::Gone,
            Io::NotFound => Self::Gone,
            Io::ConnectionRefused | Io::PermissionDenied | Io::AddrInUse | Io::AlreadyExists => {
                Self::Refused
            }
            Io::TimedOut | Io::WouldBlock => Self::TimedOut,
            Io::HostUnreachable
            | Io::NetworkUnreachable
            | Io::NetworkDown
            | Io::NotConnected
            | Io::ConnectionAborted
            | Io::ConnectionReset
            | Io::BrokenPipe
            | Io::UnexpectedEof => Self::Unreachable,
            Io::Unsupported => Self::Unsupported,
            _ => Self::Other,
        }
    }
}

impl fmt::Display for ErrorKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A port failed: what failed, on what, and why.
#[derive(Debug)]
pub struct PortError {
    /// What kind of failure it was.
    pub kind: ErrorKind,
    /// What failed, and on what; why, where there is no source.
    pub what: String,
    /// Why.
    pub source: Option<Box<dyn Error + Send + Sync>>,
}

impl PortError {
    /// A failure without a source.
    pub fn new(kind: ErrorKind, what: impl Into<String>) -> Self {
        Self { kind, what: what.into(), source: None }
    }

    /// A failure of the operating system, which knows of what kind it is.
    pub fn io(what: impl Into<String>, source: io::Error) -> Self {
        Self { kind: ErrorKind::of_io(&source), what: what.into(), source: Some(Box::new(source)) }
    }

    /// The same failure, as the reason why something larger failed; unless that is what it says already.
    #[must_use]
    pub fn context(self, what: impl Into<String>) -> Self {
        let what = what.into();
        if self.what.starts_with(&what) {
            return self;
        }
        Self { kind: self.kind, what, source: Some(Box::new(self)) }
    }

    /// What several attempts came to: the error tells all that failed. It keeps their kind where
    /// they have one in common.
    pub fn all(attempts: impl IntoIterator<Item = Result<(), Self>>) -> Result<(), Self> {
        let mut failed: Vec<_> = attempts.into_iter().filter_map(Result::err).collect();
        let Some(last) = failed.pop() else { return Ok(()) };
        if failed.is_empty() {
            return Err(last);
        }
        let common = failed.iter().all(|error| error.kind == last.kind);
        let kind = if common { last.kind } else { ErrorKind::Other };
        failed.push(last);
        let what: Vec<_> = failed.iter().map(Self::to_string).collect();
        Err(Self::new(kind, what.join("; ")))
    }
}

/// The whole story, from what failed to the first cause.
impl fmt::Display for PortError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.what)?;
        match &self.source {
            Some(source) => write!(f, ": {source}"),
            None => Ok(()),
        }
    }
}

impl Error for PortError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.source.as_deref().map(|source| source as &(dyn Error + 'static))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kind_survives_every_layer_and_the_text_tells_all_of_them() {
        let refused = io::Error::from(io::ErrorKind::ConnectionRefused);
        let error =
            PortError::io("connect to 198.18.0.11:2181", refused).context("expire the session 0x1");
        assert_eq!(error.kind, ErrorKind::Refused);
        let text = "expire the session 0x1: connect to 198.18.0.11:2181: connection refused";
        assert_eq!(error.to_string(), text);
    }

    #[test]
    fn no_layer_says_what_the_one_below_it_says() {
        let error = PortError::new(ErrorKind::TimedOut, "read t-0 within 5 s");
        let again = error.context("read t-0").context("read t-0").context("judge t-0");
        assert_eq!(again.to_string(), "judge t-0: read t-0 within 5 s");
    }

    #[test]
    fn a_process_that_is_not_there_is_gone() {
        assert_eq!(ErrorKind::of_io(&io::Error::from_raw_os_error(3)), ErrorKind::Gone);
        assert_eq!(ErrorKind::of_io(&io::Error::other("?")), ErrorKind::Other);
    }

    #[test]
    fn several_failures_are_all_told_and_keep_a_common_kind() {
        let gone = |what: &str| Err(PortError::new(ErrorKind::Gone, what));
        assert!(PortError::all([Ok(()), Ok(())]).is_ok());
        let both = PortError::all([gone("a"), Ok(()), gone("b")]).unwrap_err();
        assert_eq!((both.kind, both.to_string().as_str()), (ErrorKind::Gone, "a; b"));
        let other = Err(PortError::new(ErrorKind::TimedOut, "c"));
        assert_eq!(PortError::all([gone("a"), other]).unwrap_err().kind, ErrorKind::Other);
    }
}
