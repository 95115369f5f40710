//! Why a trial is to stop early, as a flag that every wait of it watches: the user wants it, or it has
//! become worth nothing.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::Duration;

use results::record::event::EventKind;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::Notify;

use crate::failure::Failure;
use crate::recorder::Recorder;

/// Whether the trial is to stop.
#[derive(Default)]
pub(super) struct Interrupt {
    /// Shared with threads that the trial waits for.
    raised: Arc<AtomicBool>,
    failure: RefCell<Option<Failure>>,
    notify: Notify,
}

impl Interrupt {
    /// Watches for SIGINT and SIGTERM from now on.
    pub(super) fn watch(recorder: Arc<Recorder>) -> Result<Rc<Self>, Failure> {
        let no_handler = |error: std::io::Error| {
            Failure::infrastructure(format!("signals cannot be handled: {error}"))
        };
        let mut interrupt = signal(SignalKind::interrupt()).map_err(no_handler)?;
        let mut terminate = signal(SignalKind::terminate()).map_err(no_handler)?;
        let this = Rc::new(Self::default());
        let raise = Rc::clone(&this);
        tokio::task::spawn_local(async move {
            tokio::select! {
                _ = interrupt.recv() => {}
                _ = terminate.recv() => {}
            }
            recorder.now(EventKind::Interrupted);
            raise.raise();
        });
        Ok(this)
    }

    /// Stops the trial because of what failed; the first failure counts.
    pub(super) fn fail(&self, failure: Failure) {
        self.failure.borrow_mut().get_or_insert(failure);
        self.raise();
    }

    /// What made the trial stop, if it was not the user.
    pub(super) fn failure(&self) -> Option<Failure> {
        self.failure.take()
    }

    /// Whether something failed that made the trial stop.
    pub(super) fn has_failed(&self) -> bool {
        self.failure.borrow().is_some()
    }

    fn raise(&self) {
        self.raised.store(true, Relaxed);
        self.notify.notify_waiters();
    }

    /// Whether the trial is to stop.
    pub(super) fn raised(&self) -> bool {
        self.raised.load(Relaxed)
    }

    /// Whether the trial is to stop, for another thread.
    pub(super) fn flag(&self) -> Arc<AtomicBool> {
        Arc::clone(&self.raised)
    }

    /// Waits until the trial is to stop.
    pub(super) async fn wait(&self) {
        let notified = self.notify.notified();
        if !self.raised() {
            notified.await;
        }
    }

    /// Lets the load run for `duration`, less when the trial is to stop.
    pub(super) async fn sleep(&self, duration: Duration) {
        tokio::select! {
            () = tokio::time::sleep(duration) => {}
            () = self.wait() => {}
        }
    }
}
