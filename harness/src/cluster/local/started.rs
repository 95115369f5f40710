//! The server processes that a backend has started, or taken up: what they are asked, and signalled.

use std::cell::{Ref, RefCell};
use std::collections::BTreeMap;
use std::time::Duration;

use faults::port::{ErrorKind, PortError, Process, ProcessIdentity, ProcessState, Signal};

use super::process::{Server, Waiter};
use crate::failure::Failure;

/// By what they are: each with the newest of its processes.
#[derive(Default)]
pub(in crate::cluster) struct StartedServers(RefCell<BTreeMap<Process, Server>>);

impl StartedServers {
    /// Takes the place of the former process, which is returned.
    pub(in crate::cluster) fn insert(&self, process: Process, server: Server) -> Option<Server> {
        self.0.borrow_mut().insert(process, server)
    }

    /// All of them.
    pub(in crate::cluster) fn all(&self) -> Ref<'_, BTreeMap<Process, Server>> {
        self.0.borrow()
    }

    pub(in crate::cluster) fn get(&self, process: &Process) -> Option<Server> {
        self.all().get(process).cloned()
    }

    pub(in crate::cluster) fn waiter(&self, process: &Process) -> Option<Waiter> {
        self.all().get(process).map(Server::waiter)
    }

    pub(in crate::cluster) fn state(&self, process: &Process) -> Option<ProcessState> {
        self.all().get(process).map(Server::state)
    }

    /// Of one that runs.
    pub(in crate::cluster) fn identity(&self, process: &Process) -> Option<ProcessIdentity> {
        let server = self.get(process).filter(Server::is_running)?;
        Some(server.identity().clone())
    }

    pub(in crate::cluster) async fn ended(
        &self,
        process: &Process,
        limit: Duration,
    ) -> Option<ProcessState> {
        let waiter = self.waiter(process)?;
        // When the limit passes, the state says that it still runs.
        drop(tokio::time::timeout(limit, waiter.ended()).await);
        self.state(process)
    }

    /// Sends a signal.
    ///
    /// # Errors
    /// When it was never started, has ended, or may not be signalled.
    pub(in crate::cluster) fn signal(
        &self,
        process: &Process,
        signal: Signal,
    ) -> Result<(), Failure> {
        let server = self.get(process).ok_or_else(|| never_started(process))?;
        let sent = server.signal(signal);
        Ok(sent.map_err(|error| PortError::io(format!("{process} cannot be signalled"), error))?)
    }
}

/// Why nothing can be done to a process.
pub(in crate::cluster) fn never_started(process: &Process) -> Failure {
    PortError::new(ErrorKind::Gone, format!("{process} was never started")).into()
}
