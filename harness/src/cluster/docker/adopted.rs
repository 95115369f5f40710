//! Containers that run already: found by the engine, hurt as the cluster of kbench's own containers is, and left as
//! they were found. Nothing is created and nothing is removed.
//!
//! A node is a container with one server in it, which an [`inventory`] names. Its server is signalled as a process of
//! this machine, started again as the container that it was, and packets are taken in the container's network by the
//! mechanisms of every backend. What is kept for the undo stands in the ledger. What is absent: containers of several
//! servers or in the network of another, engines of other machines, clocks, disks and limits.

pub mod found;
pub mod inventory;
pub mod seen;

#[cfg(feature = "docker")]
pub(super) mod ask;
#[cfg(feature = "docker")]
mod cluster;
#[cfg(feature = "docker")]
mod host;
#[cfg(feature = "docker")]
mod logs;
#[cfg(feature = "docker")]
mod process;
#[cfg(feature = "docker")]
mod servers;

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;

use faults::port::Capability;

use crate::cluster::attached::AttachedSpec;
use crate::recorder::Recorder;

#[cfg(not(feature = "docker"))]
pub use super::absent::{connect, find};
#[cfg(feature = "docker")]
pub use super::blocking::find;
#[cfg(feature = "docker")]
pub use cluster::connect;
pub use found::FoundContainers;
pub use inventory::{AdoptedSpec, ContainerInventory};

/// What containers that run already are connected to for.
pub struct AdoptedSetup<'a> {
    /// The cluster as it was when the run was asked for.
    pub spec: &'a AttachedSpec,
    /// Its containers.
    pub containers: &'a AdoptedSpec,
    /// Whether a killed run is undone: servers may be away.
    pub healing: bool,
    /// What faults are to come.
    pub faults: BTreeSet<Capability>,
    /// The trial's directory.
    pub files: &'a Path,
    /// Where events go.
    pub recorder: &'a Arc<Recorder>,
}
