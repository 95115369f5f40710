//! The machines that server processes run on: what they withhold from a process.

use std::fmt;

use async_trait::async_trait;
use results::record::event::{NOTHING_TO_TAKE, Process};
use results::terminal::counted;

use super::PortError;
use crate::machine::{Before, Impairment, Observation};

/// A part of a broker's logs.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct OfLogs {
    /// Bytes of records.
    pub bytes: u64,
    /// Logs that have any of them.
    pub logs: u64,
}

impl OfLogs {
    /// These many bytes of one more log.
    pub fn add(&mut self, bytes: u64) {
        self.bytes += bytes;
        self.logs += u64::from(bytes > 0);
    }
}

impl fmt::Display for OfLogs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} of {}", counted(self.bytes, "byte"), counted(self.logs, "log"))
    }
}

/// What a broker lost of its logs with its power.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Lost {
    /// What is not known to have been flushed: it is gone.
    pub gone: OfLogs,
    /// What is known to have been flushed: it is there.
    pub kept: OfLogs,
}

impl fmt::Display for Lost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { gone, kept } = self;
        match (gone.bytes, kept.bytes) {
            (0, 0) => write!(f, "its logs were empty: {NOTHING_TO_TAKE}"),
            (0, _) => write!(f, "known to be flushed: all of its {kept}; {NOTHING_TO_TAKE}"),
            _ => write!(f, "not flushed, and gone: {gone}; known to be flushed: {kept}"),
        }
    }
}

/// The machines that server processes run on.
#[async_trait(?Send)]
pub trait Machine {
    /// What an impairment would change of `process`, as it is now.
    async fn before(&self, process: &Process, impairment: &Impairment)
    -> Result<Before, PortError>;

    /// Puts an impairment on `process`, which runs; returns when that is done, without looking.
    async fn impair(&self, process: &Process, impairment: &Impairment) -> Result<(), PortError>;

    /// Takes the impairment off `process` and gives back what was `before`, whoever put it on: it may
    /// have been a kbench that is gone. Nothing happens where there is none.
    async fn repair(
        &self,
        process: &Process,
        impairment: &Impairment,
        before: &Before,
    ) -> Result<(), PortError>;

    /// What shows whether `process` is under the impairment; one that has ended is under none.
    async fn impaired(
        &self,
        process: &Process,
        impairment: &Impairment,
    ) -> Result<Observation, PortError>;

    /// Takes from a broker that has ended what it is not known to have flushed, and nothing else; what that
    /// was. An error when nobody knows what it flushed: then nothing is taken.
    async fn lose_unflushed(&self, process: &Process) -> Result<Lost, PortError>;
}
