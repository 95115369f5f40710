//! What runs may leave with the engine, and its end: containers and networks whose labels name a process that is gone.

use std::collections::HashMap;
use std::time::Duration;

use faults::port::ProcessIdentity;
use tokio::time::{Instant, sleep};

use super::container;
use super::engine::{Engine, refused, status};
use crate::cluster::local::host::identify;
use crate::cluster::local::leftovers::{is_alive, is_of_another_boot};
use crate::failure::Failure;

/// Label that names the run.
const RUN: &str = "io.kbench.run";

/// Label that says which process holds it.
const HOLDER: &str = "io.kbench.holder";

/// Label that says in which process namespace that is.
const NAMESPACE: &str = "io.kbench.pid-namespace";

/// Limit for the engine to let go of a network whose containers are being removed.
const LET_GO: Duration = Duration::from_secs(20);

/// How often it is asked.
const LOOK: Duration = Duration::from_millis(100);

/// Labels, by their keys.
type Labels = HashMap<String, String>;

/// The labels of what this process makes for a run.
///
/// # Errors
/// When the kernel does not say which process it is.
pub(super) fn labels(run_id: &str) -> std::io::Result<Labels> {
    let holder = serde_json::to_string(&identify(std::process::id() as i32)?)?;
    let labels = [(RUN, run_id.to_owned()), (HOLDER, holder), (NAMESPACE, pid_namespace()?)];
    Ok(labels.map(|(key, value)| (key.to_owned(), value)).into())
}

fn pid_namespace() -> std::io::Result<String> {
    Ok(std::fs::read_link("/proc/self/ns/pid")?.display().to_string())
}

/// Whether nobody holds what has these labels: its process is gone. What another process namespace holds, nobody
/// here knows of.
fn is_dead(labels: &Labels, own_namespace: &str) -> bool {
    let holder = labels.get(HOLDER).and_then(|json| serde_json::from_str(json).ok());
    let Some(holder): Option<ProcessIdentity> = holder else { return false };
    let here = labels.get(NAMESPACE).is_some_and(|namespace| namespace == own_namespace);
    is_of_another_boot(&holder) || here && !is_alive(&holder)
}

/// Removes what dead runs left, or one of them; what that was.
///
/// # Errors
/// When something cannot be removed.
pub(super) async fn sweep(engine: &Engine, of: Option<&str>) -> Result<Vec<String>, Failure> {
    let own = pid_namespace().map_err(|error| {
        Failure::infrastructure(format!("the process namespace is unknown: {error}"))
    })?;
    let wanted = |labels: &Labels| of.is_none_or(|run| labels.get(RUN).is_some_and(|it| it == run));
    remove(engine, |labels| wanted(labels) && is_dead(labels, &own)).await
}

/// Removes all that this process has made.
///
/// # Errors
/// When something cannot be removed.
pub(super) async fn remove_own(engine: &Engine) -> Result<(), Failure> {
    let own = labels("")
        .map_err(|error| Failure::infrastructure(format!("this process is unknown: {error}")))?;
    let is_own =
        |labels: &Labels| [HOLDER, NAMESPACE].iter().all(|key| labels.get(*key) == own.get(*key));
    remove(engine, is_own).await.map(drop)
}

/// Removes what has labels that are `wanted`; what that was.
async fn remove(engine: &Engine, wanted: impl Fn(&Labels) -> bool) -> Result<Vec<String>, Failure> {
    let run = |labels: &Labels| labels.get(RUN).cloned().unwrap_or_default();
    let mut removed = vec![];
    for (id, labels) in engine.containers(HOLDER).await?.iter().filter(|one| wanted(&one.1)) {
        container::remove(engine, id).await?;
        removed.push(format!("removed a container of {}", run(labels)));
    }
    for (id, labels) in engine.networks(HOLDER).await?.iter().filter(|one| wanted(&one.1)) {
        remove_network(engine, id).await?;
        removed.push(format!("removed the network of {}", run(labels)));
    }
    Ok(removed)
}

/// Removes a network, if it is still there, as soon as its containers are gone.
///
/// # Errors
/// When the engine refuses.
pub(super) async fn remove_network(engine: &Engine, name: &str) -> Result<(), Failure> {
    let deadline = Instant::now() + LET_GO;
    loop {
        match engine.docker.remove_network(name).await {
            Ok(()) => return Ok(()),
            Err(error) if status(&error) == Some(404) => return Ok(()),
            Err(error) if Instant::now() >= deadline => {
                return Err(refused(&format!("remove the network {name}"), &error));
            }
            Err(_) => sleep(LOOK).await,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_nobody_holds_is_dead() {
        let own = pid_namespace().unwrap();
        let mine = labels("run").unwrap();
        assert!(!is_dead(&mine, &own), "this process holds it");
        let held_by = |change: fn(&mut ProcessIdentity)| {
            let mut holder = identify(std::process::id() as i32).unwrap();
            change(&mut holder);
            let mut labels = mine.clone();
            labels.insert(HOLDER.to_owned(), serde_json::to_string(&holder).unwrap());
            labels
        };
        let later = held_by(|holder| holder.started_ticks += 1);
        assert!(is_dead(&later, &own), "another process has its pid");
        assert!(!is_dead(&later, "pid:[1]"), "nobody here knows of that namespace");
        let booted = held_by(|holder| holder.boot_id = "another".to_owned());
        assert!(is_dead(&booted, "pid:[1]"), "the machine was booted since");
        for damaged in ["", "{}", "12"] {
            let mut labels = mine.clone();
            labels.insert(HOLDER.to_owned(), damaged.to_owned());
            assert!(!is_dead(&labels, &own), "{damaged}");
        }
        assert!(!is_dead(&HashMap::new(), &own));
    }
}
