//! The user's wish to stop, as a flag that every wait of a trial watches.

use std::cell::Cell;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use results::record::event::EventKind;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::Notify;

use crate::failure::Failure;
use crate::recorder::Recorder;

/// Whether the user asked to stop.
#[derive(Default)]
pub(super) struct Interrupt {
    raised: Cell<bool>,
    notify: Notify,
}

impl Interrupt {
    /// Watches for SIGINT and SIGTERM from now on.
    pub(super) fn watch(recorder: Arc<Recorder>) -> Result<Rc<Self>, Failure> {
        let no_handler =
            |error: std::io::Error| Failure::infrastructure(format!("no signal handler: {error}"));
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
            raise.raised.set(true);
            raise.notify.notify_waiters();
        });
        Ok(this)
    }

    /// Whether the user asked to stop.
    pub(super) fn raised(&self) -> bool {
        self.raised.get()
    }

    /// Waits until the user asks to stop.
    pub(super) async fn wait(&self) {
        let notified = self.notify.notified();
        if !self.raised.get() {
            notified.await;
        }
    }

    /// Lets the load run for `duration`, less when the user asks to stop.
    pub(super) async fn sleep(&self, duration: Duration) {
        tokio::select! {
            () = tokio::time::sleep(duration) => {}
            () = self.wait() => {}
        }
    }
}
