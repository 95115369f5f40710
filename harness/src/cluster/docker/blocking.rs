//! What is asked of the engine outside a trial, by who has no runtime of its own.

use super::adopted::{self, ContainerInventory, FoundContainers};
use super::container::may_enter;
use super::engine::Engine;
use super::spec::DockerSpec;
use super::{image, sweep as sweeping};
use crate::failure::Failure;
use crate::provision::Kafka;
use crate::runtime::runtime;

fn block<T>(work: impl Future<Output = Result<T, Failure>>) -> Result<T, Failure> {
    runtime()?.block_on(work)
}

/// Looks whether there is an engine; its version.
///
/// # Errors
/// Why there is none.
pub fn engine() -> Result<String, Failure> {
    block(async { Ok(Engine::connect().await?.version) })
}

/// Looks whether a cluster can be made of containers here; the engine's version.
///
/// # Errors
/// Why not: no engine, no right to it, no such image.
pub fn ready(spec: &DockerSpec) -> Result<String, Failure> {
    may_enter()?;
    block(async {
        let engine = Engine::connect().await?;
        image::checked(&engine, spec).await?;
        Ok(engine.version)
    })
}

/// Makes the image `name` of a base that has Java, with Kafka's jars.
///
/// # Errors
/// Why not, in the engine's words.
pub fn build(base: &str, name: &str, kafka: &Kafka) -> Result<(), Failure> {
    block(async { image::build(&Engine::connect().await?, base, name, kafka).await })
}

/// Finds the containers of an inventory.
///
/// # Errors
/// Why not: no engine, no such container, or one that could not be left as it was.
pub fn find(inventory: ContainerInventory) -> Result<FoundContainers, Failure> {
    block(async { adopted::ask::find(&Engine::connect().await?, inventory).await })
}

/// Removes what dead runs left with the engine, or one of them; what that was.
///
/// # Errors
/// When there is no engine, or something cannot be removed.
pub fn sweep(of: Option<&str>) -> Result<Vec<String>, Failure> {
    block(async { sweeping::sweep(&Engine::connect().await?, of).await })
}
