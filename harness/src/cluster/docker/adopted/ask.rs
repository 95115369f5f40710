//! What the engine is asked of containers that run already, and told to do with them.

use std::collections::{BTreeMap, HashMap};

use bollard::models::ContainerUpdateBody;
use bollard::query_parameters::ListContainersOptionsBuilder;

use super::found::FoundContainers;
use super::inventory::{AdoptedSpec, ContainerInventory};
use super::process::servers_in;
use super::seen::{SeenContainer, policy};
use crate::cluster::docker::container::ROOT_HERE;
use crate::cluster::docker::engine::{Engine, refused, status};
use crate::failure::Failure;

/// Labels of compose.
const PROJECT: &str = "com.docker.compose.project";
const SERVICE: &str = "com.docker.compose.service";
/// That of a container that was made for one command, by `docker compose run`.
const ONE_OFF: &str = "com.docker.compose.oneoff";

/// Finds the containers of an inventory.
///
/// # Errors
/// A usage failure for what is not there or could not be left as it was; an infrastructure failure for what does not
/// run.
pub(in crate::cluster::docker) async fn find(
    engine: &Engine,
    inventory: ContainerInventory,
) -> Result<FoundContainers, Failure> {
    let mut seen = BTreeMap::new();
    for node in &inventory.node {
        let name = node.container();
        let id = match &inventory.project {
            Some(project) => of_service(engine, project, name).await?,
            None => name.to_owned(),
        };
        let container = look(engine, &id).await?.ok_or_else(|| {
            Failure::usage(format!("the engine has no container {name} (node {})", node.name))
                .with_cure("`docker ps --all` shows their names")
        })?;
        seen.insert(node.name.clone(), container);
    }
    let found = FoundContainers::of(inventory, seen)?;
    for process in found.spec.inventory.processes() {
        let Some(SeenContainer { id, name, pid, .. }) = found.seen.get(&process.node) else {
            continue;
        };
        let unseen = |why: String| {
            let what = format!("container {name} is process {pid} by its engine, and {why}");
            Failure::infrastructure(what).with_cure(ROOT_HERE)
        };
        let servers = servers_in(id, *pid, process.role)
            .map_err(|error| unseen(error.to_string()))?
            .ok_or_else(|| unseen("none that kbench sees".to_owned()))?;
        if servers.len() != 1 {
            let (role, count) = (process.role.as_str(), servers.len());
            return Err(Failure::usage(format!(
                "container {name} ({}) runs {count} {role} servers of the JVM, and is to run one",
                process.node
            ))
            .with_cure("name the container that holds this server, and no other"));
        }
    }
    Ok(found)
}

/// The containers of a run, as they are now: these very ones. With `all` none may be missing.
///
/// # Errors
/// An infrastructure failure for one that is not there any more.
pub(super) async fn find_again(
    engine: &Engine,
    spec: &AdoptedSpec,
    all: bool,
) -> Result<FoundContainers, Failure> {
    let mut seen = BTreeMap::new();
    for container in &spec.container {
        let (node, id) = (&container.node, &container.id);
        match look(engine, id).await? {
            Some(now) => drop(seen.insert(node.clone(), now)),
            None if all => {
                return Err(Failure::infrastructure(format!(
                    "the container of {node} ({id}) is not there any more: somebody has removed it since the run was \
                     asked for"
                )));
            }
            None => {}
        }
    }
    Ok(FoundContainers { spec: spec.clone(), seen })
}

/// The container of a service.
async fn of_service(engine: &Engine, project: &str, service: &str) -> Result<String, Failure> {
    let labels = [format!("{PROJECT}={project}"), format!("{SERVICE}={service}")];
    let filters = HashMap::from([("label", labels.iter().map(String::as_str).collect::<Vec<_>>())]);
    let options = ListContainersOptionsBuilder::new().all(true).filters(&filters).build();
    let listed = engine.docker.list_containers(Some(options)).await;
    let listed = listed.map_err(|error| refused("list containers", &error))?;
    let ids = listed.into_iter().filter_map(|one| {
        let labels = one.labels.unwrap_or_default();
        let for_one_command = labels.get(ONE_OFF).is_some_and(|is| is.eq_ignore_ascii_case("true"));
        one.id.filter(|_| !for_one_command)
    });
    let ids: Vec<_> = ids.collect();
    match <[String; 1]>::try_from(ids) {
        Ok([id]) => Ok(id),
        Err(ids) => {
            let count = ids.len();
            Err(Failure::usage(format!(
                "service {service} of the compose project {project} has {count} containers, and a node is one"
            ))
            .with_cure("`docker compose ls` shows the projects, `docker compose ps --all` their services; without \
                        `project` nodes are containers by their names"))
        }
    }
}

/// What the engine says of a container; `None` when there is none of this name or id.
///
/// # Errors
/// When the engine does not say.
pub(super) async fn look(engine: &Engine, id: &str) -> Result<Option<SeenContainer>, Failure> {
    match engine.docker.inspect_container(id, None).await {
        Ok(answer) => Ok(Some(SeenContainer::of(answer))),
        Err(error) if status(&error) == Some(404) => Ok(None),
        Err(error) => Err(refused(&format!("look at the container {id}"), &error)),
    }
}

/// Starts a container as it is.
///
/// # Errors
/// When the engine refuses.
pub(super) async fn start(engine: &Engine, id: &str) -> Result<(), Failure> {
    let started = engine.docker.start_container(id, None).await;
    started.map_err(|error| refused(&format!("start the container {id}"), &error))
}

/// Gives a container a restart policy; the one that it has then. `None` when there is no such container.
///
/// # Errors
/// When it is none, or the engine refuses.
pub(super) async fn set_restart(
    engine: &Engine,
    id: &str,
    restart: &str,
) -> Result<Option<String>, Failure> {
    let restart_policy = Some(policy(restart).map_err(Failure::usage)?);
    let update = ContainerUpdateBody { restart_policy, ..ContainerUpdateBody::default() };
    match engine.docker.update_container(id, update).await {
        Ok(()) => Ok(look(engine, id).await?.map(|now| now.restart)),
        Err(error) if status(&error) == Some(404) => Ok(None),
        Err(error) => {
            Err(refused(&format!("set the restart policy of the container {id}"), &error))
        }
    }
}
