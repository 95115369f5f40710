//! What the recorded data mean.
//!
//! [`check`]: the checkers; [`policy`], [`durability`]: what may be absent lawfully, and why. [`span`], [`timeline`], [`disturbance`]: the events, read. [`recovery`], [`predict`],
//! [`latency`], [`validity`], [`claim`]: figures and claims. [`capacity`]: a model of what links let through. [`expectation`]: whether a fault did
//! what its plan says. `integrity`: what a damaged record is still good for. `second_acks`: what a page draws beside. [`verdict`]: the words of a
//! judgement.

pub mod backlog;
pub mod capacity;
pub mod check;
pub mod claim;
pub mod disturbance;
pub mod durability;
pub mod expectation;
pub(crate) mod figures;
pub mod gate;
pub(crate) mod integrity;
pub mod latency;
pub mod metric;
pub mod offer;
pub mod policy;
pub mod predict;
pub mod rates;
pub mod recovery;
pub(crate) mod second_acks;
pub mod span;
pub mod split;
pub mod threshold;
pub mod timeline;
pub(crate) mod times;
pub mod usage;
pub mod validity;
pub mod verdict;
