//! A runtime for who has none: outside a trial most work is one request or two.

use tokio::runtime::{Builder, Runtime};

use crate::failure::Failure;

/// A runtime on the thread that asks for it.
///
/// # Errors
/// An infrastructure failure when the system gives none.
pub(crate) fn runtime() -> Result<Runtime, Failure> {
    Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::infrastructure(format!("the runtime cannot be started: {error}")))
}
