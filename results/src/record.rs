//! The words that everybody in kbench records in.
//!
//! [`clock`]: the run's one clock. [`event`]: what happened to the cluster. [`history`]: what the
//! clients saw. [`environment`]: where and with which settings.

pub mod clock;
pub mod environment;
pub mod event;
pub mod history;
