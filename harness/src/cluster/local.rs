//! The local cluster: real ZooKeeper and Kafka JVMs, each node in its own network namespace.
//!
//! A backend: hosts ([`LocalHost`]), servers ([`LocalServers`]) and a lifecycle. What faults do to its
//! network and machines are mechanisms over the hosts. What a cluster is doing is not known here: see
//! `observe`.

pub mod capability;
mod capacity;
pub(in crate::cluster) mod config;
pub(in crate::cluster) mod confine;
pub mod host;
pub mod keeper;
pub mod kept;
pub mod leftovers;
pub mod number;
pub(in crate::cluster) mod process;
pub(in crate::cluster) mod ready;
pub mod sandbox;
mod secured;
mod seen;
pub(in crate::cluster) mod servers;
pub(in crate::cluster) mod started;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::sync::Arc;

use async_trait::async_trait;
use faults::port::{Capability, Machine};
use futures::future::try_join;

use crate::child::own;
use crate::cluster::host::Host;
use crate::cluster::local::sandbox::{CLIENTS, LINK, Mode, OBSERVER, SandboxNetwork};
use crate::cluster::servers::{ServerAddresses, ServerProcesses};
use crate::cluster::{Description, RunningCluster};
use crate::failure::Failure;
use crate::mechanism::cut::TcpPorts;
use crate::mechanism::layout::{Link, NetworkLayout, NetworkNode};
use crate::mechanism::machine::ClusterMachine;
use crate::mechanism::network::ClusterNetwork;
use crate::mechanism::standing::LinkLimits;
use crate::need::place::Storage;
use crate::provision::Kafka;
use crate::recorder::Recorder;
use crate::topology::{PEER_PORTS, Topology};
pub use capacity::Share;
pub use host::LocalHost;
use keeper::Keeper;
pub use secured::client_file;
pub use seen::archives;
pub use servers::LocalServers;

/// What kbench's own side of the network is called.
const HERE: &str = "kbench";

/// What a local cluster is made of.
pub struct Setup<'a> {
    /// The cluster as data.
    pub topology: &'a Topology,
    /// The jars.
    pub kafka: &'a Kafka,
    /// Those of other versions that the plan starts brokers from.
    pub others: Vec<Kafka>,
    /// How nodes are isolated.
    pub mode: Mode,
    /// Tells clusters on one host apart in loopback mode: see [`number`].
    pub lab: u8,
    /// Where the servers see their data.
    pub data: PathBuf,
    /// What of the machine the data may take.
    pub share: Share,
    /// Where they are on disk, if they are there.
    pub disk: PathBuf,
    /// Where logs and configuration files go.
    pub logs: PathBuf,
    /// Where events go.
    pub recorder: Arc<Recorder>,
    /// Whether the nodes' clocks are to be settable: each look at a clock costs more then.
    pub settable_clocks: bool,
    /// What faults are to come: what they need is started with the cluster, so that they are prompt.
    pub faults: BTreeSet<Capability>,
}

/// Where servers see their data when the sandbox has mounts of its own: memory that vanishes with it, or folders on
/// disk that are shown there.
const SEEN_AT: &str = "/run/kbench";

/// Where the servers see their data, of a cluster whose files are in `files`.
pub fn data_dir(mode: Mode, files: &Path) -> PathBuf {
    if mode.has_namespaces() { SEEN_AT.into() } else { files.join(leftovers::DATA_DIR) }
}

/// A running local cluster.
pub struct LocalCluster {
    mode: Mode,
    storage: Storage,
    servers: Rc<LocalServers>,
    network: ClusterNetwork,
    links: Option<LinkLimits>,
    machine: ClusterMachine,
}

impl LocalCluster {
    /// Starts every process of the cluster; returns when each accepts connections.
    ///
    /// # Errors
    /// An infrastructure failure: no network, a port is taken, a JVM ended (with its log's tail),
    /// or not everything was up within the limit.
    pub async fn start(setup: Setup<'_>) -> Result<Self, Failure> {
        let here = Rc::new(LocalHost::here(HERE));
        let nodes = setup.topology.node_names();
        let made = SandboxNetwork::make(&here, setup.mode, setup.lab, &nodes).await;
        let network = made.map_err(no_network)?;
        let hosts = hosts(&network, nodes)?;
        let (mode, storage, needs) = (setup.mode, setup.share.storage, setup.faults.clone());
        let layout = layout(&setup, &network, &hosts, here);
        let links = LinkLimits::of(&layout, setup.topology.links);
        if let Some(links) = &links {
            links.set().await.map_err(no_network)?;
        }
        let faulty = ClusterNetwork::new(layout);
        let servers = Rc::new(LocalServers::prepare(setup, network, hosts).await?);
        // What faults need is started while the JVMs do, so that it costs no time.
        let faults = async { faulty.prepare(&needs).await.map_err(no_network) };
        try_join(servers.start_all(), faults).await?;
        let able = capability::of_cluster(mode, storage, false);
        let machine = ClusterMachine::new(servers.clone(), able);
        Ok(Self { mode, storage, servers, network: faulty, links, machine })
    }

    /// Takes up a cluster that runs already, in whose sandbox this process is: its servers stay their
    /// keeper's children.
    ///
    /// # Errors
    /// An infrastructure failure: no network, or the keeper does not answer.
    pub async fn attach(setup: Setup<'_>, keeper: Keeper) -> Result<Self, Failure> {
        let network = SandboxNetwork::of(setup.mode, setup.lab);
        let hosts = hosts(&network, setup.topology.node_names())?;
        let (mode, storage, needs) = (setup.mode, setup.share.storage, setup.faults.clone());
        let layout = layout(&setup, &network, &hosts, Rc::new(LocalHost::here(HERE)));
        let links = LinkLimits::of(&layout, setup.topology.links);
        let servers = Rc::new(LocalServers::attach(setup, network, hosts, keeper).await?);
        let network = ClusterNetwork::new(layout);
        network.prepare(&needs).await.map_err(no_network)?;
        let links = match links {
            Some(links) => Some(links.taken_up().await),
            None => None,
        };
        let able = capability::of_cluster(mode, storage, true);
        let machine = ClusterMachine::new(servers.clone(), able);
        Ok(Self { mode, storage, servers, network, links, machine })
    }
}

/// Every node as a host.
fn hosts(
    network: &SandboxNetwork,
    nodes: Vec<String>,
) -> Result<BTreeMap<String, Rc<LocalHost>>, Failure> {
    let host = |node: String| Ok((node.clone(), Rc::new(network.host(&node).map_err(no_network)?)));
    nodes.into_iter().map(host).collect()
}

#[async_trait(?Send)]
impl RunningCluster for LocalCluster {
    fn capabilities(&self) -> BTreeSet<Capability> {
        capability::of_cluster(self.mode, self.storage, self.servers.is_kept())
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

    fn network(&self) -> Option<&dyn faults::port::Network> {
        self.mode.has_namespaces().then_some(&self.network as _)
    }

    fn machine(&self) -> Option<&dyn Machine> {
        Some(&self.machine)
    }

    fn links(&self) -> Option<&LinkLimits> {
        self.links.as_ref()
    }

    fn outlives_kbench(&self) -> bool {
        // The kernel ends it with its sandbox, and that with kbench, unless it is kept.
        self.servers.is_kept()
    }

    fn description(&self) -> Description {
        Description {
            isolation: match self.servers.secured.view() {
                None => self.mode.to_string(),
                Some(view) => format!("{}, brokers by {view}", self.mode),
            },
            storage: self.storage.as_str(),
            class_archive: Some(self.servers.uses_archives()),
        }
    }

    async fn stop(&self, orderly: bool) -> Result<(), Failure> {
        self.servers.stop(orderly).await
    }
}

fn no_network(error: impl std::fmt::Display) -> Failure {
    Failure::infrastructure(format!("the nodes' network cannot be made: {error}"))
}

fn layout(
    setup: &Setup<'_>,
    network: &SandboxNetwork,
    hosts: &BTreeMap<String, Rc<LocalHost>>,
    here: Rc<dyn Host>,
) -> NetworkLayout {
    let [quorum, elections] = PEER_PORTS;
    let topology = setup.topology;
    let nodes = topology.node_names().into_iter().enumerate().filter_map(|(index, name)| {
        let link = setup.mode.has_namespaces().then(|| Link {
            interface: LINK.to_owned(),
            far: Rc::clone(&here),
            far_interface: SandboxNetwork::link(index),
        });
        let host: Rc<dyn Host> = hosts.get(&name)?.clone();
        Some((name, NetworkNode { host, address: network.address(index), link, control: None }))
    });
    NetworkLayout {
        nodes: nodes.collect(),
        here: Rc::clone(&here),
        clients: CLIENTS,
        observer: OBSERVER,
        ports: TcpPorts {
            broker: topology.broker.port,
            zookeeper: topology.zookeeper.port,
            quorum,
            elections,
        },
        kbench: own().to_owned(),
    }
}
