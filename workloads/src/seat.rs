//! Where a client runs: on a thread of this process, or in a process of its own.
//!
//! Another axis than what it does: each kind of client runs in each seat, and whoever holds one
//! cannot tell the kinds apart. A client in a process of its own can be killed: then it ends in the
//! middle of what it does, says goodbye to nobody, and its connections are reset.

mod process;
mod thread;
mod worker;

use std::process::Command;
use std::sync::Arc;

use results::record::clock::RunClock;

use crate::client::producer::seconds::Seconds;
use crate::client::{ClientSetup, Counts, LoadTopic, ToClient, Watch};
use crate::error::LoadError;
use crate::live::Live;
use crate::wire::Connector;

pub use worker::main as worker_main;

/// A client that runs.
pub(crate) trait Seat: Send {
    /// Tells it something. One that has ended hears nothing; its end is reported otherwise.
    fn tell(&self, message: ToClient);

    /// Id of the process that is its own; `None` for a thread of this one.
    fn pid(&self) -> Option<u32>;

    /// Waits for the end of a client that was told to stop; what it came to.
    fn join(self: Box<Self>) -> Result<Counts, LoadError>;

    /// Kills its process, and waits for its end; how it ended, for people.
    ///
    /// # Errors
    /// When it has none of its own, or ended in another way.
    fn kill(self: Box<Self>) -> Result<String, LoadError>;
}

/// A client that is to start, and whom it tells what it does.
pub(crate) struct ClientStart<'a> {
    pub(crate) setup: &'a ClientSetup,
    pub(crate) topic: &'a LoadTopic,
    pub(crate) connector: &'a Connector,
    pub(crate) clock: RunClock,
    /// Figures of its topic.
    pub(crate) live: Arc<Live>,
    /// Where its failure is told.
    pub(crate) failures: Arc<Live>,
    pub(crate) watch: Arc<dyn Watch>,
    /// Receives a producer's figures of each second; not from another process.
    pub(crate) seconds: Option<Seconds>,
}

/// Starts a client: in a process of its own by `command`, which runs [`worker_main`], or on a thread.
pub(crate) fn start(
    client: ClientStart<'_>,
    command: Option<Command>,
) -> Result<Box<dyn Seat>, LoadError> {
    match command {
        Some(command) => process::start(client, command),
        None => thread::start(client),
    }
}
