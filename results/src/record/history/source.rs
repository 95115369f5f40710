//! Where a history comes from: the one way to its entries.
//!
//! A source lists its streams with their headers, and reads any of them from its begin as often as
//! asked. It hands out blocks, so that no reader has to hold a stream; how a stream ends is known
//! when it was read to its end. Streams do not depend on each other.

use std::fmt;

use super::{Entry, HistoryError, StreamHeader};

/// The history of one trial.
pub trait Source: fmt::Debug {
    /// The streams, by name; each with its place in this list as its number.
    fn streams(&self) -> Vec<StreamRef<'_>>;

    /// Reads the stream with this number from its begin.
    ///
    /// # Errors
    /// When it cannot be opened. What is damaged behind its header is no error, but an [`Ending`].
    fn read(&self, number: usize) -> Result<Box<dyn Blocks + '_>, HistoryError>;
}

/// A stream of a source.
#[derive(Debug, Clone, Copy)]
pub struct StreamRef<'a> {
    /// Its number, from 0.
    pub number: usize,
    /// Its name, unique in the source.
    pub name: &'a str,
    /// Who wrote it.
    pub header: &'a StreamHeader,
}

/// What is left of a stream that is being read.
pub trait Blocks {
    /// The next entries, in the order in which the client saw them; the ending after the last.
    ///
    /// # Errors
    /// When the operating system refuses to read on.
    fn next(&mut self) -> Result<Block<'_>, HistoryError>;
}

/// A part of a stream.
#[derive(Debug, PartialEq, Eq)]
pub enum Block<'a> {
    /// Some entries.
    Entries(&'a [Entry]),
    /// There are no more.
    End(Ending),
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
        /// Size of a file that just stops there, in bytes; `None` when it was damaged.
        size: Option<u64>,
    },
    /// It just stops, because the client's process was killed on purpose: what the client had under
    /// way is not known, and nobody else's fault.
    Killed,
}

impl Ending {
    /// What this ending is of a stream whose client was killed on purpose when the file had this
    /// size: what is missing now that was there then is damage.
    pub(super) fn of_killed(self, bytes: Option<u64>) -> Self {
        match self {
            Self::Truncated { size: Some(size), .. } if bytes == Some(size) => Self::Killed,
            other => other,
        }
    }
}

impl dyn Source + '_ {
    /// Calls `see` for every entry of the stream with this number, in order; says how it ends.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn each(&self, number: usize, mut see: impl FnMut(&Entry)) -> Result<Ending, HistoryError> {
        let mut blocks = self.read(number)?;
        loop {
            match blocks.next()? {
                Block::Entries(entries) => entries.iter().for_each(&mut see),
                Block::End(ending) => return Ok(ending),
            }
        }
    }
}
