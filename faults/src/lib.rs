//! Faults, targets, plans, the nemesis and the undo ledger.

pub mod port;
