//! The backend: containers, their servers and network, from the start to the end.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::rc::Rc;
use std::sync::Arc;

use async_trait::async_trait;
use faults::port::{Capability, Machine, Network, Process};
use futures::future::{try_join, try_join_all};

use super::container::{Container, ContainerNetwork, ContainerPlan};
use super::engine::Engine;
use super::network::DockerNetwork;
use super::servers::DockerServers;
use super::{DockerSetup, StartedCluster, image, spec, sweep};
use crate::child::own;
use crate::cluster::host::Host;
use crate::cluster::local::LocalHost;
use crate::cluster::local::leftovers::DATA_DIR;
use crate::cluster::local::started::StartedServers;
use crate::cluster::servers::{ServerAddresses, ServerProcesses};
use crate::cluster::{Description, RunningCluster};
use crate::failure::Failure;
use crate::mechanism::cut::TcpPorts;
use crate::mechanism::layout::{NetworkLayout, NetworkNode};
use crate::mechanism::machine::ClusterMachine;
use crate::mechanism::network::ClusterNetwork;
use crate::mechanism::standing::LinkLimits;
use crate::need::place::Storage;
use crate::topology::PEER_PORTS;

/// What kbench's own side of the network is called.
const HERE: &str = "kbench";

/// A cluster of containers that runs.
struct DockerCluster {
    engine: Engine,
    /// What its images are called.
    images: String,
    servers: Rc<DockerServers>,
    network: ClusterNetwork,
    links: Option<LinkLimits>,
    machine: ClusterMachine,
}

/// Starts a cluster of containers; returns when every server accepts connections.
///
/// # Errors
/// An infrastructure failure: no engine, no right to it, no network, or a server that does not come up.
pub async fn start(setup: DockerSetup<'_>) -> Result<StartedCluster, Failure> {
    let engine = Engine::connect().await?;
    let name = format!("kbench-{:x}-{}", setup.run_number, setup.trial);
    match started(&setup, engine.clone(), &name).await {
        Ok(started) => Ok(started),
        Err(failure) => {
            if let Err(left) = sweep::remove_own(&engine).await {
                tracing::warn!(error = left.text(), "something is left with Docker");
            }
            Err(failure)
        }
    }
}

async fn started(
    setup: &DockerSetup<'_>,
    engine: Engine,
    name: &str,
) -> Result<StartedCluster, Failure> {
    let images = image::checked(&engine, setup.spec).await?;
    let unknown = |error: io::Error| {
        Failure::infrastructure(format!("the trial's process cannot be named: {error}"))
    };
    let labels = sweep::labels(setup.run_id).map_err(unknown)?;
    let here = Rc::new(LocalHost::here(HERE));
    let network = DockerNetwork::make(&engine, &here, name, labels.clone()).await?;
    let files = std::path::absolute(setup.files).map_err(unknown)?;
    let (data, logs) = (files.join(DATA_DIR), files.join("logs"));
    let node = async |(index, node): (usize, String)| {
        let mut started: Vec<(Process, Container)> = vec![];
        for process in setup.topology.processes().into_iter().filter(|one| one.node == node) {
            let plan = ContainerPlan {
                name: format!("{name}-{node}-{}", process.role.as_str()),
                node: &node,
                network: match started.first() {
                    None => ContainerNetwork::Node(&network, index),
                    Some((_, first)) => ContainerNetwork::Of(&first.id),
                },
                image: &images.of(process.role).id,
                labels: labels.clone(),
                data: &data,
            };
            let container = Container::start(&engine, plan).await?;
            started.push((process, container));
        }
        Ok::<_, Failure>(started)
    };
    let names = setup.topology.node_names().into_iter();
    let containers = try_join_all(names.enumerate().map(node)).await?;
    let kafka = images.kafka();
    let servers = Rc::new(DockerServers {
        topology: setup.topology.clone(),
        network,
        containers: containers.into_iter().flatten().collect(),
        images,
        data,
        logs,
        recorder: Arc::clone(&setup.recorder),
        servers: StartedServers::default(),
    });
    let layout = layout(&servers, &here).await?;
    let links = LinkLimits::of(&layout, setup.topology.links);
    if let Some(links) = &links {
        let set = links.set().await;
        set.map_err(|error| Failure::infrastructure(format!("links cannot be limited: {error}")))?;
    }
    let network = ClusterNetwork::new(layout);
    let faults = async {
        network
            .prepare(&setup.faults)
            .await
            .map_err(|error| Failure::infrastructure(format!("faults cannot be prepared: {error}")))
    };
    try_join(servers.start_all(), faults).await?;
    let machine = ClusterMachine::new(servers.clone(), spec::capabilities());
    let images = setup.spec.images_in_words();
    Ok((Rc::new(DockerCluster { engine, images, servers, network, links, machine }), kafka))
}

async fn layout(servers: &DockerServers, here: &Rc<LocalHost>) -> Result<NetworkLayout, Failure> {
    let [quorum, elections] = PEER_PORTS;
    let (topology, network) = (&servers.topology, &servers.network);
    let mut nodes = BTreeMap::new();
    for (index, name) in topology.node_names().into_iter().enumerate() {
        let Some(container) = servers.of_node(&name) else { continue };
        let (host, link) = (Rc::new(container.host.clone()), container.link(here).await?);
        let address = network.address(index);
        nodes.insert(name, NetworkNode { host, address, link: Some(link), control: None });
    }
    Ok(NetworkLayout {
        nodes,
        here: here.clone(),
        clients: network.clients(),
        observer: network.observer(),
        ports: TcpPorts {
            broker: topology.broker.port,
            zookeeper: topology.zookeeper.port,
            quorum,
            elections,
        },
        kbench: own().to_owned(),
    })
}

#[async_trait(?Send)]
impl RunningCluster for DockerCluster {
    fn capabilities(&self) -> BTreeSet<Capability> {
        spec::capabilities()
    }

    fn hosts(&self) -> Vec<Rc<dyn Host>> {
        self.servers.hosts()
    }

    fn servers(&self) -> &dyn ServerAddresses {
        &*self.servers
    }

    fn processes(&self) -> Option<&dyn ServerProcesses> {
        Some(&*self.servers)
    }

    fn network(&self) -> Option<&dyn Network> {
        Some(&self.network)
    }

    fn machine(&self) -> Option<&dyn Machine> {
        Some(&self.machine)
    }

    fn links(&self) -> Option<&LinkLimits> {
        self.links.as_ref()
    }

    fn lost(&self) -> Option<Failure> {
        let (process, _) = self.servers.containers.iter().find(|(_, one)| !one.runs())?;
        let what = format!(
            "the container of {process} has ended in the middle of the trial, and what ran in it with it"
        );
        Some(Failure::infrastructure(what).with_cure(
            "leave the engine running meanwhile: it ends its containers when it is stopped or started again",
        ))
    }

    fn outlives_kbench(&self) -> bool {
        // A container ends with the connection that holds it.
        false
    }

    fn description(&self) -> Description {
        Description {
            isolation: format!("containers of {} (Docker {})", self.images, self.engine.version),
            storage: Storage::Disk.as_str(),
            class_archive: Some(false),
        }
    }

    async fn stop(&self, _: bool) -> Result<(), Failure> {
        let ended = self.servers.end().await;
        let containers = self.servers.containers.values();
        let removed = try_join_all(containers.map(|one| one.remove(&self.engine))).await;
        let network = sweep::remove_network(&self.engine, &self.servers.network.name).await;
        ended.and(removed.map(drop)).and(network)
    }
}
