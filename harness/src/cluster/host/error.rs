//! Why a host did not do what it was asked.

use std::error::Error;
use std::fmt;
use std::io;

pub use faults::port::ErrorKind;
use faults::port::PortError;

/// A host did not do what it was asked.
#[derive(Debug, thiserror::Error)]
#[error("{host} cannot {what}: {why}")]
pub struct HostError {
    kind: ErrorKind,
    /// The host's name.
    host: String,
    /// What it was to do: "run `nft`".
    what: String,
    why: Box<dyn Error + Send + Sync>,
}

impl HostError {
    /// An error of a kind.
    pub fn new(
        kind: ErrorKind,
        host: &str,
        what: impl fmt::Display,
        why: impl Into<Box<dyn Error + Send + Sync>>,
    ) -> Self {
        Self { kind, host: host.to_owned(), what: what.to_string(), why: why.into() }
    }

    /// An error of no kind that anybody asks for.
    pub fn other(
        host: &str,
        what: impl fmt::Display,
        why: impl Into<Box<dyn Error + Send + Sync>>,
    ) -> Self {
        Self::new(ErrorKind::Other, host, what, why)
    }

    /// An error of the operating system, of the kind that it is.
    pub fn of_io(host: &str, what: impl fmt::Display, why: io::Error) -> Self {
        Self::new(ErrorKind::of_io(&why), host, what, why)
    }

    /// What kind of failure it was.
    pub fn kind(&self) -> ErrorKind {
        self.kind
    }

    /// Why, without the host and what it was to do.
    pub fn why(&self) -> String {
        self.why.to_string()
    }
}

/// As the reason why something larger failed; see [`PortError::context`].
impl From<HostError> for PortError {
    fn from(error: HostError) -> Self {
        let what = format!("{} cannot {}", error.host, error.what);
        Self { kind: error.kind, what, source: Some(error.why) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_keeps_its_kind_and_says_what_failed_where_and_why() {
        let refused = io::Error::from(io::ErrorKind::ConnectionRefused);
        let error = HostError::of_io("node1", "signal process 7", refused);
        let text = "node1 cannot signal process 7: connection refused";
        assert_eq!((error.kind(), error.to_string().as_str()), (ErrorKind::Refused, text));
        assert_eq!(error.why(), "connection refused");
        let port = PortError::from(error).context("kill it");
        assert_eq!((port.kind, port.to_string()), (ErrorKind::Refused, format!("kill it: {text}")));
    }
}
