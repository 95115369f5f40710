//! The words that everybody in kbench records in, and the judgement of what was recorded.
//!
//! Everything here is a pure function of recorded data: no runtime, no Kafka client, no process,
//! no network. A run directory judged again tomorrow gives the same verdict.
//!
//! - [`clock`]: the run's one clock. [`event`]: what happened to the cluster.
//!   [`history`]: what the clients saw. [`environment`]: where and with which settings.
//! - [`check`]: the checkers, pure functions of a history.
//! - [`timeline`], [`recovery`], [`predict`], [`latency`], [`validity`], [`claim`]: what the
//!   recorded data mean. [`expectation`]: whether a fault did what its plan says. [`report`]: all of it as one document, in several forms.
//! - [`verdict`]: the words of a judgement.

pub mod check;
pub mod claim;
pub mod clock;
pub mod environment;
pub mod event;
pub mod expectation;
#[cfg(test)]
mod fixture;
pub mod history;
pub mod latency;
pub mod predict;
pub mod recovery;
pub mod report;
pub mod timeline;
pub mod validity;
pub mod verdict;
