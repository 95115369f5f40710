//! What stands for containers in a kbench that was built without them.

use std::rc::Rc;

use super::adopted::{AdoptedSetup, ContainerInventory, FoundContainers};
use super::{DockerSetup, DockerSpec, StartedCluster};
use crate::cluster::RunningCluster;
use crate::failure::Failure;
use crate::provision::Kafka;

fn absent<T>() -> Result<T, Failure> {
    Err(Failure::usage("this kbench was built without containers")
        .with_cure("build it with the cargo feature `docker`, which is a default one"))
}

/// Starts no cluster.
///
/// # Errors
/// Always: there are no containers.
pub async fn start(_: DockerSetup<'_>) -> Result<StartedCluster, Failure> {
    absent()
}

/// Finds no engine.
///
/// # Errors
/// Always: there are no containers.
pub fn engine() -> Result<String, Failure> {
    absent()
}

/// Finds no image.
///
/// # Errors
/// Always: there are no containers.
pub fn ready(_: &DockerSpec) -> Result<String, Failure> {
    absent()
}

/// Makes no image.
///
/// # Errors
/// Always: there are no containers.
pub fn build(_: &str, _: &str, _: &Kafka) -> Result<(), Failure> {
    absent()
}

/// Finds no containers.
///
/// # Errors
/// Always: there are no containers.
pub fn find(_: ContainerInventory) -> Result<FoundContainers, Failure> {
    absent()
}

/// Connects to no containers.
///
/// # Errors
/// Always: there are no containers.
pub async fn connect(_: AdoptedSetup<'_>) -> Result<Rc<dyn RunningCluster>, Failure> {
    absent()
}

/// Sweeps nothing.
///
/// # Errors
/// Always: there are no containers.
pub fn sweep(_: Option<&str>) -> Result<Vec<String>, Failure> {
    absent()
}
