//! The machines that server processes run on: what they withhold from a process.

use std::fmt;

use async_trait::async_trait;
use results::record::event::Process;
use results::terminal::counted;

use super::PortError;
use crate::machine::{Before, Impairment, Observation};

/// What a broker lost of its logs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Lost {
    /// Bytes of records.
    pub bytes: u64,
    /// Logs that lost any.
    pub logs: usize,
}

impl fmt::Display for Lost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { bytes, logs } = self;
        let (bytes, logs) = (counted(*bytes, "byte"), counted(*logs as u64, "log"));
        write!(f, "not flushed, and gone: {bytes} of {logs}")
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

    /// Takes from a broker that has ended what it had not flushed; what that was.
    async fn lose_unflushed(&self, process: &Process) -> Result<Lost, PortError>;
}
