//! Faults, targets, plans, the nemesis and the undo ledger.
//!
//! - [`port`]: what faults can do to a cluster and ask of a run; implemented elsewhere, once.
//! - [`cut`]: which traffic is taken away, as data.
//! - [`degrade`]: what becomes of packets that still pass, as data.
//! - [`fault`]: the catalogue, one file a fault. [`target`]: whom it strikes, resolved late.
//! - [`tag`]: what an injection is known by on the hosts.
//! - [`undo`]: how a fault is undone, as data. [`ledger`]: the undos, on disk before the injection.
//! - [`evidence`]: what shows that a fault took effect, or is undone. [`until()`]: waiting for that.
//! - [`conformance`]: what a backend must do to be one, as cases.
//! - [`guard`]: what a plan may cost, asked before a start.
//! - [`plan`]: steps of fault and target with their timing. [`nemesis`]: carries out a plan.
//!
//! Invariant: no signal is sent, no leader moved, no link touched, before its undo is on disk.

pub mod conformance;
pub mod cut;
pub mod degrade;
pub mod evidence;
pub mod fault;
pub mod guard;
pub mod ledger;
pub mod machine;
pub mod nemesis;
pub mod plan;
pub mod port;
pub mod tag;
pub mod target;
pub mod undo;
mod until;

pub use until::until;
