//! The engine: how it is reached, what it says when it does not do what it was asked, and what of it is a run's.
//!
//! It is the one that DOCKER_HOST names, or that of the usual socket. Nothing is pulled: an image is there or not.

use std::collections::HashMap;
use std::env;
use std::fs;
use std::io;
use std::time::Duration;

use bollard::Docker;
use bollard::errors::Error;
use bollard::query_parameters::{ListContainersOptionsBuilder, ListNetworksOptionsBuilder};
use tokio::time::timeout;

use crate::failure::Failure;

/// Where an engine listens unless DOCKER_HOST names another place.
const USUAL: &str = "unix:///var/run/docker.sock";

/// Limit for an engine to say its version.
const ANSWER_LIMIT: Duration = Duration::from_secs(10);

/// Limit for whatever else is asked of it to be answered; a build answers as it goes.
const REQUEST_LIMIT_S: u64 = 60;

/// The oldest API that is spoken: that of Docker 20.10.
const OLDEST: (usize, usize) = (1, 41);

/// An engine that answers.
#[derive(Clone)]
pub(super) struct Engine {
    pub(super) docker: Docker,
    /// Its version, in its own words.
    pub(super) version: String,
}

impl Engine {
    /// Connects to the engine that DOCKER_HOST names, or the usual one.
    ///
    /// # Errors
    /// An infrastructure failure with the cure: none is there, it may not be used, or it is too old.
    pub(super) async fn connect() -> Result<Self, Failure> {
        let place = env::var("DOCKER_HOST").unwrap_or_else(|_| USUAL.to_owned());
        let version = bollard::API_DEFAULT_VERSION;
        let made = match place.split_once("://") {
            Some(("unix", _)) => Docker::connect_with_unix(&place, REQUEST_LIMIT_S, version),
            Some(("tcp" | "http", _)) => {
                Docker::connect_with_http(&place, REQUEST_LIMIT_S, version)
            }
            _ => {
                let what = format!("DOCKER_HOST is `{place}`, which is no place of an engine");
                return Err(Failure::usage(what).with_cure("unix:///PATH or tcp://HOST:PORT"));
            }
        };
        let unreachable = |error: Error| unreachable(&place, &error);
        let docker = made.map_err(unreachable)?;
        let negotiated = timeout(ANSWER_LIMIT, docker.negotiate_version()).await;
        let silent = || Failure::infrastructure(format!("Docker at {place} does not answer"));
        let docker = negotiated.map_err(|_| silent())?.map_err(unreachable)?;
        let said = docker.version().await.map_err(unreachable)?;
        let components = said.components.unwrap_or_default().into_iter();
        let components: Vec<String> = components.map(|component| component.name).collect();
        let version = said.version.unwrap_or_else(|| "of a version not told".to_owned());
        let spoken = docker.client_version();
        if (spoken.major_version, spoken.minor_version) < OLDEST {
            let what = format!("Docker {version} at {place} is too old: it speaks API {spoken}");
            return Err(Failure::infrastructure(what).with_cure("Docker 20.10 or newer"));
        }
        let told = docker.info().await.map_err(unreachable)?;
        if let Some(why) = unsuited(&components, &told.security_options.unwrap_or_default()) {
            let what = format!("what answers at {place} ({version}) is of no use to kbench: {why}");
            return Err(Failure::infrastructure(what).with_cure(ROOTFUL));
        }
        Ok(Self { docker, version })
    }

    /// The labels of each container that has one of this key, by the container's id.
    pub(super) async fn containers(&self, key: &str) -> Result<Labelled, Failure> {
        let filters = HashMap::from([("label", vec![key])]);
        let options = ListContainersOptionsBuilder::new().all(true).filters(&filters).build();
        let listed = self.docker.list_containers(Some(options)).await;
        let listed = listed.map_err(|error| refused("list containers", &error))?;
        let labelled = listed.into_iter().filter_map(|one| Some((one.id?, one.labels?)));
        Ok(labelled.collect())
    }

    /// The labels of each network that has one of this key, by the network's id.
    pub(super) async fn networks(&self, key: &str) -> Result<Labelled, Failure> {
        let filters = HashMap::from([("label", vec![key])]);
        let options = ListNetworksOptionsBuilder::new().filters(&filters).build();
        let listed = self.docker.list_networks(Some(options)).await;
        let listed = listed.map_err(|error| refused("list networks", &error))?;
        let labelled = listed.into_iter().filter_map(|one| Some((one.id?, one.labels?)));
        Ok(labelled.collect())
    }
}

/// What to do about an engine that is none of root's.
const ROOTFUL: &str = "root's own Docker engine (`sudo apt-get install docker.io`), which DOCKER_HOST is to name \
    where it is not at the usual socket";

/// Why kbench does not enter containers of an engine, by what that tells of itself.
fn unsuited(components: &[String], security: &[String]) -> Option<&'static str> {
    if components.iter().any(|name| name.starts_with("Podman")) {
        return Some("it is podman, which does not end containers with who holds them");
    }
    let is_rootless = |option: &String| option.split(',').any(|part| part == "name=rootless");
    let rootless = security.iter().any(is_rootless);
    rootless.then_some("it is rootless, and its networks are not this machine's")
}

/// Ids, with labels.
pub(super) type Labelled = Vec<(String, HashMap<String, String>)>;

/// Why there is no engine to be had.
fn unreachable(place: &str, error: &Error) -> Failure {
    let kind = io_kind(error);
    let (why, cure) = match kind {
        Some(io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused) => (
            "no engine listens there".to_owned(),
            "start Docker (`sudo systemctl start docker`), install it (`sudo apt-get install docker.io`), or name \
             another engine by DOCKER_HOST",
        ),
        Some(io::ErrorKind::PermissionDenied) => (
            "it may not be used by this user".to_owned(),
            "start kbench by sudo, which it needs to enter containers as well",
        ),
        _ => (
            words(error),
            "DOCKER_HOST names the engine; `docker version` shows whether it answers",
        ),
    };
    Failure::infrastructure(format!("Docker at {place} cannot be reached: {why}")).with_cure(cure)
}

/// What the operating system said, if it was that.
fn io_kind(error: &Error) -> Option<io::ErrorKind> {
    match error {
        // It passes for what is in it, which its causes therefore lack.
        Error::IOError { err } => return Some(err.kind()),
        // A socket that is not there, or not to be seen, is known before it is connected to.
        Error::SocketNotFoundError(path) => {
            let seen = fs::metadata(path).map_err(|error| error.kind());
            return Some(seen.err().unwrap_or(io::ErrorKind::NotFound));
        }
        _ => {}
    }
    let causes = std::iter::successors(std::error::Error::source(error), |error| error.source());
    causes.into_iter().find_map(|cause| Some(cause.downcast_ref::<io::Error>()?.kind()))
}

/// What the engine did not do, in its words.
pub(super) fn refused(what: &str, error: &Error) -> Failure {
    let failure = Failure::infrastructure(format!("Docker cannot {what}: {}", words(error)));
    match status(error) {
        Some(507) => failure.with_cure("free some disk where Docker keeps its files"),
        _ => failure,
    }
}

/// What an error says, without what it is called.
pub(super) fn words(error: &Error) -> String {
    match error {
        Error::DockerResponseServerError { message, .. } => message.trim().to_owned(),
        other => other.to_string(),
    }
}

/// The status of an answer that refuses something.
pub(super) fn status(error: &Error) -> Option<u16> {
    match error {
        Error::DockerResponseServerError { status_code, .. } => Some(*status_code),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn podman_and_rootless_engines_are_told_from_others() {
        let why = |component: &str, security: &str| {
            unsuited(&["Engine".to_owned(), component.to_owned()], &[security.to_owned()])
        };
        assert_eq!(why("containerd", "name=seccomp,profile=default"), None);
        assert!(why("containerd", "name=rootless").unwrap().contains("rootless"));
        assert!(why("Podman Engine", "").unwrap().contains("podman"));
    }

    #[test]
    fn an_engine_that_is_not_to_be_had_is_named_with_the_cure() {
        let io = |kind| Error::IOError { err: io::Error::from(kind) };
        for (error, why, cure) in [
            (io(io::ErrorKind::NotFound), "no engine listens there", "apt-get install docker.io"),
            (io(io::ErrorKind::ConnectionRefused), "no engine listens there", "DOCKER_HOST"),
            (io(io::ErrorKind::PermissionDenied), "may not be used", "sudo"),
            (
                Error::SocketNotFoundError("/x".to_owned()),
                "no engine listens there",
                "start Docker",
            ),
            (Error::RequestTimeoutError, "Timeout", "docker version"),
        ] {
            let failure = unreachable("unix:///x", &error);
            assert!(failure.text().contains(why), "{}", failure.text());
            assert!(failure.text().contains("unix:///x"), "{}", failure.text());
            assert!(failure.cure().is_some_and(|said| said.contains(cure)), "{:?}", failure.cure());
        }
    }
}
