//! Stand-in for the history codec's types until the two branches meet; deleted at the merge.

use crate::history::{Entry, StreamHeader};

/// All that the clients of one trial saw.
#[derive(Debug, Clone, Default)]
pub struct History {
    /// One stream a client.
    pub streams: Vec<Stream>,
}

/// What one client saw.
#[derive(Debug, Clone)]
pub struct Stream {
    /// Name of the stream (its file, without the ending).
    pub name: String,
    /// Who wrote it.
    pub header: StreamHeader,
    /// What it saw, in its order.
    pub entries: Vec<Entry>,
    /// Whether the file was complete.
    pub ending: Ending,
}

/// How a stream's file ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ending {
    /// Closed by its writer.
    Complete,
    /// Cut off: what follows is lost.
    Truncated {
        /// First byte that could not be read.
        at_byte: u64,
        /// What was found there.
        what: String,
    },
}
