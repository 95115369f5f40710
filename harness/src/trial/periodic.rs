//! A thread that does one thing again and again.

use std::sync::mpsc::{self, RecvTimeoutError, Sender};
use std::thread::JoinHandle;
use std::time::Duration;

use crate::failure::Failure;

/// The thread. Dropping it ends it.
pub(super) struct Periodic {
    stop: Option<Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Periodic {
    /// Starts a thread that does what `begin` gives it, each time that `every` has passed.
    ///
    /// # Errors
    /// An infrastructure failure when there is no thread.
    pub(super) fn start<F: FnMut()>(
        name: &str,
        every: Duration,
        begin: impl FnOnce() -> F + Send + 'static,
    ) -> Result<Self, Failure> {
        let (stop, stopped) = mpsc::channel();
        let repeat = move || {
            let mut turn = begin();
            while stopped.recv_timeout(every) == Err(RecvTimeoutError::Timeout) {
                turn();
            }
        };
        let thread = std::thread::Builder::new().name(name.to_owned()).spawn(repeat);
        let thread = thread
            .map_err(|error| Failure::infrastructure(format!("no {name} thread: {error}")))?;
        Ok(Self { stop: Some(stop), thread: Some(thread) })
    }
}

impl Drop for Periodic {
    fn drop(&mut self) {
        self.stop.take();
        if let Some(thread) = self.thread.take() {
            // One that panicked has said so.
            drop(thread.join());
        }
    }
}
