//! kbench: a chaos and benchmarking test harness for Apache Kafka.
//!
//! See `ARCHITECTURE.md` for the map. The binary is `main.rs`, and no more than a dispatch.

pub mod admin;
mod child;
pub mod cli;
pub mod cluster;
pub mod conformance;
pub mod doctor;
pub mod failure;
pub mod heal;
pub mod hidden;
pub mod kernel;
pub mod live;
pub mod log;
pub mod mechanism;
pub mod membership;
mod nearest;
pub mod need;
pub mod observe;
mod omb;
mod private;
pub mod provision;
pub mod recorder;
pub mod run;
pub mod run_history;
pub mod rundir;
mod runtime;
pub mod series;
mod session;
pub mod spec;
pub mod topology;
pub mod trial;
pub mod version;
pub mod wire;
