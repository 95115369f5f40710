//! Clusters of containers: one for each server, and those of a node share its network, as in a pod.
//!
//! The containers' first process does nothing but wait for the connection by which kbench holds it: a container ends
//! with its kbench, however that ends, and the engine removes it. Servers are children of kbench that enter the
//! namespaces and control groups of their container, so that the kernel itself says when one ends. So kbench must be
//! root on the machine that the engine is on, in its process namespace. Networks and what else may be left are
//! labelled with the run, and swept when that is dead.
//!
//! The engine is spoken to by bollard alone: testcontainers asks for an API that engines of 2024 and before do not
//! speak. Everything that does is in the cargo feature `docker`.

pub mod adopted;
pub mod spec;

#[cfg(not(feature = "docker"))]
mod absent;
#[cfg(feature = "docker")]
mod backend;
#[cfg(feature = "docker")]
mod blocking;
#[cfg(feature = "docker")]
mod container;
#[cfg(feature = "docker")]
mod engine;
#[cfg(feature = "docker")]
mod image;
#[cfg(feature = "docker")]
mod layout;
#[cfg(feature = "docker")]
mod namespaces;
#[cfg(feature = "docker")]
mod network;
#[cfg(feature = "docker")]
mod program;
#[cfg(feature = "docker")]
mod servers;
#[cfg(feature = "docker")]
mod sweep;

use std::collections::BTreeSet;
use std::path::Path;
use std::rc::Rc;
use std::sync::Arc;

use faults::port::Capability;

use crate::cluster::RunningCluster;
use crate::provision::Kafka;
use crate::recorder::Recorder;
use crate::topology::Topology;
use spec::DockerSpec;

#[cfg(not(feature = "docker"))]
pub use absent::{build, engine, ready, start, sweep};
#[cfg(feature = "docker")]
pub use backend::start;
#[cfg(feature = "docker")]
pub use blocking::{build, engine, ready, sweep};

/// What a cluster of containers is made of.
pub struct DockerSetup<'a> {
    /// What the user asked for.
    pub spec: &'a DockerSpec,
    /// The cluster as data.
    pub topology: &'a Topology,
    /// The run that it is for.
    pub run_id: &'a str,
    /// The run's number, by which containers and networks are told apart.
    pub run_number: u64,
    /// Number of the trial.
    pub trial: u32,
    /// The trial's directory.
    pub files: &'a Path,
    /// Where events go.
    pub recorder: Arc<Recorder>,
    /// What faults are to come.
    pub faults: BTreeSet<Capability>,
}

/// A cluster that serves, and the Kafka that is in its images.
pub type StartedCluster = (Rc<dyn RunningCluster>, Kafka);
