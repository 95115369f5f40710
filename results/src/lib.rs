//! The words that everybody in kbench records in, and the judgement of what was recorded.
//!
//! Everything here is a pure function of recorded data: no runtime, no Kafka client, no process,
//! no network. A run directory judged again tomorrow gives the same verdict.
//!
//! - [`clock`]: the run's one clock. [`event`]: what happened to the cluster.
//!   [`history`]: what the clients saw. [`environment`]: where and with which settings.
//! - [`check`]: the checkers, pure functions of a history.
//! - [`verdict`]: the words of a judgement.

pub mod check;
pub mod clock;
pub mod environment;
pub mod event;
pub mod history;
pub mod verdict;
