//! The words that everybody in kbench records in, and the files that they are recorded in.
//!
//! [`clock`]: the run's one clock. [`event`]: what happened to the cluster. [`history`]: what the
//! clients saw. [`environment`]: where and with which settings. [`trial`]: all of these of one trial.
//! [`manifest`]: what belongs to it; [`seal`] and [`integrity`]: whether it still is what was recorded.
//! [`format`]: which run directories are read; [`open`] and [`budget`]: how their files are opened, and how much
//! of them is read. [`burst`]: how a producer keeps its schedule. [`secret`]: what is never written down; [`line`]: what is handed on to other programs.

pub mod budget;
pub mod burst;
pub mod clock;
pub mod environment;
pub mod event;
pub mod format;
pub mod history;
pub mod integrity;
pub mod line;
pub mod manifest;
pub mod open;
pub mod seal;
pub mod secret;
pub mod trial;
