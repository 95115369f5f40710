//! A container that lives as long as somebody holds it: one for each server of a node, which share the node's network,
//! as in a pod.

use std::collections::HashMap;
use std::io;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::time::Duration;

use bollard::container::AttachContainerResults;
use bollard::errors::Error;
use bollard::models::{
    ContainerCreateBody, EndpointIpamConfig, EndpointSettings, HealthConfig, HostConfig, Mount,
    MountType, NetworkingConfig,
};
use bollard::query_parameters::{
    AttachContainerOptionsBuilder, CreateContainerOptionsBuilder, RemoveContainerOptionsBuilder,
};
use nix::unistd::geteuid;
use tokio::time::{Instant, sleep};

use super::engine::{Engine, refused, status};
use super::layout::ImageRoot;
use super::namespaces::Namespaces;
use super::network::DockerNetwork;
use crate::cluster::host::{Command, Host as _, HostError, ProcessIdentity};
use crate::cluster::local::LocalHost;
use crate::cluster::local::host::identify;
use crate::cluster::local::leftovers::{is_alive, was_started_in};
use crate::cluster::local::sandbox::DATA;
use crate::failure::Failure;
use crate::mechanism::layout::Link;
use crate::private;

/// Where a node's servers see their files.
pub(super) const FILES: &str = "/var/lib/kbench";

/// A node's side of its link.
const LINK: &str = "eth0";

/// What to do where namespaces of containers cannot be entered.
pub(super) const ROOT_HERE: &str =
    "start kbench as root (by sudo) on the machine that Docker runs on, and not in a container";

/// Limit for a process that was started to show, and how often it is looked for.
const SHOWN: Duration = Duration::from_secs(2);
const LOOK: Duration = Duration::from_millis(10);

/// A container that runs.
pub(super) struct Container {
    pub(super) id: String,
    /// Its first process, which holds all the others.
    first: ProcessIdentity,
    pub(super) namespaces: Namespaces,
    pub(super) host: LocalHost,
    /// The node's files, as kbench sees them.
    pub(super) files: PathBuf,
    /// The container ends when this is dropped.
    _held: AttachContainerResults,
}

/// What a container is to be.
pub(super) struct ContainerPlan<'a> {
    /// Its name with the engine.
    pub(super) name: String,
    /// The node that it is of.
    pub(super) node: &'a str,
    /// Its network.
    pub(super) network: ContainerNetwork<'a>,
    /// Its image.
    pub(super) image: &'a str,
    /// Its labels.
    pub(super) labels: HashMap<String, String>,
    /// Where data of all nodes are: names the trial's processes, too.
    pub(super) data: &'a Path,
}

/// The network that a container is in.
pub(super) enum ContainerNetwork<'a> {
    /// One with others, with the address that the network has for this index.
    Node(&'a DockerNetwork, usize),
    /// That of the container of this id: what listens in one is reached in the other.
    Of(&'a str),
    /// None.
    Nothing,
}

impl Container {
    /// Starts a container.
    ///
    /// # Errors
    /// An infrastructure failure: the engine refuses, or what it started cannot be reached from here.
    pub(super) async fn start(engine: &Engine, plan: ContainerPlan<'_>) -> Result<Self, Failure> {
        let (node, files) = (plan.node, plan.data.join(plan.node));
        let cannot = |error: io::Error| {
            Failure::infrastructure(format!("the files of {node} cannot be made: {error}"))
        };
        private::create(plan.data).map_err(cannot)?;
        private::create(&files).map_err(cannot)?;
        let failed =
            |what: &str, error: &Error| refused(&format!("{what} the container of {node}"), error);
        let options = CreateContainerOptionsBuilder::new().name(&plan.name).build();
        let asked = body(&plan, &files);
        let created = engine.docker.create_container(Some(options), asked).await;
        let id = created.map_err(|error| failed("make", &error))?.id;
        // Held before it starts: there is no moment in which it would outlive us.
        let options = AttachContainerOptionsBuilder::new().stream(true).stdin(true).build();
        let held = engine.docker.attach_container(&id, Some(options)).await;
        let held = held.map_err(|error| failed("hold", &error))?;
        let started = engine.docker.start_container(&id, None).await;
        started.map_err(|error| failed("start", &error))?;
        let seen = engine.docker.inspect_container(&id, None).await;
        let seen = seen.map_err(|error| failed("look at", &error))?;
        let pid = seen.state.and_then(|state| state.pid).unwrap_or_default() as i32;
        // It shows its environment from its own first moment on, which the engine does not wait for.
        let deadline = Instant::now() + SHOWN;
        while !was_started_in(pid, plan.data) && Instant::now() < deadline {
            sleep(LOOK).await;
        }
        if !was_started_in(pid, plan.data) {
            let what =
                format!("the container of {node} is process {pid}, and none that kbench sees");
            return Err(Failure::infrastructure(what).with_cure(ROOT_HERE));
        }
        let entered = |error: io::Error| {
            let what = format!("the container of {node} cannot be entered: {error}");
            Failure::infrastructure(what).with_cure(ROOT_HERE)
        };
        let first = identify(pid).map_err(entered)?;
        let namespaces = Namespaces::of(pid).map_err(entered)?;
        let own_network = format!("/proc/{pid}/ns/net");
        let host = LocalHost::of_namespace(node, own_network.as_ref()).map_err(entered)?;
        Ok(Self { id, first, namespaces, host, files, _held: held })
    }

    /// Whether it runs: whoever ended it ended all that was in it.
    pub(super) fn runs(&self) -> bool {
        is_alive(&self.first)
    }

    /// The files of its image.
    ///
    /// # Errors
    /// When it has ended, or may not be looked into.
    pub(super) fn root(&self) -> io::Result<ImageRoot> {
        ImageRoot::of(self.first.pid)
    }

    /// The node's link to the bridge.
    ///
    /// # Errors
    /// An infrastructure failure when the far end is not found.
    pub(super) async fn link(&self, here: &Rc<LocalHost>) -> Result<Link, Failure> {
        let links = |command: Command| command.args(["-o", "link", "show"]);
        let failed = |error: HostError| {
            Failure::infrastructure(format!("a container's link cannot be looked at: {error}"))
        };
        let own = links(Command::new("ip")).args(["dev", LINK]);
        let own = self.host.output(&own).await.map_err(failed)?;
        let all = here.output(&links(Command::new("ip"))).await.map_err(failed)?;
        let far_interface = far_end(&own, &all).ok_or_else(|| {
            Failure::infrastructure("a container's link ends nowhere on this machine")
                .with_cure(ROOT_HERE)
        })?;
        Ok(Link { interface: LINK.to_owned(), far: here.clone(), far_interface })
    }

    /// Ends the container, with all that is in it. Nothing happens where it has ended.
    ///
    /// # Errors
    /// When the engine refuses.
    pub(super) async fn remove(&self, engine: &Engine) -> Result<(), Failure> {
        remove(engine, &self.id).await
    }
}

/// Removes a container, if it is still there.
///
/// # Errors
/// When the engine refuses.
pub(super) async fn remove(engine: &Engine, id: &str) -> Result<(), Failure> {
    let options = RemoveContainerOptionsBuilder::new().force(true).v(true).build();
    match engine.docker.remove_container(id, Some(options)).await {
        // It is gone, or going.
        Err(error) if !matches!(status(&error), Some(404 | 409)) => {
            Err(refused(&format!("remove the container {id}"), &error))
        }
        _ => Ok(()),
    }
}

/// Refuses who may not enter namespaces of others.
///
/// # Errors
/// An infrastructure failure with the cure.
pub(super) fn may_enter() -> Result<(), Failure> {
    if geteuid().is_root() {
        return Ok(());
    }
    Err(Failure::infrastructure("containers are entered by root alone, and you are not")
        .with_cure(ROOT_HERE))
}

fn body(plan: &ContainerPlan<'_>, files: &Path) -> ContainerCreateBody {
    let own_files = Mount {
        target: Some(FILES.to_owned()),
        source: Some(files.display().to_string()),
        typ: Some(MountType::BIND),
        ..Mount::default()
    };
    let (network_mode, networking_config) = match plan.network {
        ContainerNetwork::Node(network, index) => {
            (network.name.clone(), Some(endpoint(network, index)))
        }
        ContainerNetwork::Of(id) => (format!("container:{id}"), None),
        ContainerNetwork::Nothing => ("none".to_owned(), None),
    };
    // One that shares a network has its name as well.
    let named = !matches!(plan.network, ContainerNetwork::Of(_));
    ContainerCreateBody {
        hostname: named.then(|| plan.node.to_owned()),
        image: Some(plan.image.to_owned()),
        labels: Some(plan.labels.clone()),
        env: Some(vec![format!("{DATA}={}", plan.data.display())]),
        user: Some("0".to_owned()),
        entrypoint: Some(vec!["cat".to_owned()]),
        cmd: Some(vec![]),
        // Whatever an image has its own health looked at by, nobody asks for it.
        healthcheck: Some(HealthConfig {
            test: Some(vec!["NONE".to_owned()]),
            ..HealthConfig::default()
        }),
        open_stdin: Some(true),
        stdin_once: Some(true),
        attach_stdin: Some(true),
        host_config: Some(HostConfig {
            network_mode: Some(network_mode),
            mounts: Some(vec![own_files]),
            auto_remove: Some(true),
            ..HostConfig::default()
        }),
        networking_config,
        ..ContainerCreateBody::default()
    }
}

fn endpoint(network: &DockerNetwork, index: usize) -> NetworkingConfig {
    let endpoint = EndpointSettings {
        ipam_config: Some(EndpointIpamConfig {
            ipv4_address: Some(network.address(index).to_string()),
            ..EndpointIpamConfig::default()
        }),
        ..EndpointSettings::default()
    };
    let endpoints = HashMap::from([(network.name.clone(), endpoint)]);
    NetworkingConfig { endpoints_config: Some(endpoints) }
}

/// The far end of a link, as `ip -o link show` tells of it (`7: eth0@if8: ...`), among all of the machine's.
fn far_end(own: &str, all: &str) -> Option<String> {
    let (_, number) = own.split_once("@if")?;
    let number = format!("{}:", number.split(':').next()?);
    let line = all.lines().find(|line| line.split_whitespace().next() == Some(&number))?;
    let name = line.split_whitespace().nth(1)?;
    Some(name.split(['@', ':']).next()?.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_far_end_of_a_link_is_found_by_its_number() {
        let own = "7: eth0@if18: <BROADCAST,UP> mtu 1500 qdisc noqueue state UP link-netnsid 0\n";
        let all = "1: lo: <LOOPBACK,UP> mtu 65536\n8: veth1@if7: <UP> mtu 1500\n\
                   18: veth2c1a@if7: <BROADCAST,UP> mtu 1500 qdisc noqueue master kbench18-0\n";
        assert_eq!(far_end(own, all).as_deref(), Some("veth2c1a"));
        assert_eq!(far_end("7: eth0: <UP>", all), None);
        assert_eq!(far_end("7: eth0@if9: <UP>", all), None);
    }
}
