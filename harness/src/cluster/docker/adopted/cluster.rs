//! Containers that run already, as the backend of a run.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;
use std::sync::Arc;

use async_trait::async_trait;
use faults::port::{Capability, Machine, Network, Process, Subject};
use faults::undo::Undo;
use nix::unistd::geteuid;

use super::found::FoundContainers;
use super::servers::{AdoptedServer, AdoptedServers, follow};
use super::{AdoptedSetup, ask};
use crate::child::own;
use crate::cluster::attached::ClusterSurvey;
use crate::cluster::docker::container::may_enter;
use crate::cluster::docker::engine::Engine;
use crate::cluster::host::{Command, Host, HostError};
use crate::cluster::inventory::{clients_address, own_address};
use crate::cluster::local::LocalHost;
use crate::cluster::local::started::StartedServers;
use crate::cluster::servers::{ServerAddresses, ServerProcesses};
use crate::cluster::{Description, RunningCluster};
use crate::failure::Failure;
use crate::mechanism::cut::TcpPorts;
use crate::mechanism::layout::{Link, NetworkLayout, NetworkNode};
use crate::mechanism::network::ClusterNetwork;
use crate::topology::PEER_PORTS;

/// What kbench's own side of the network is called.
const HERE: &str = "kbench";

/// A cluster of containers that run already.
struct AdoptedCluster {
    servers: Rc<AdoptedServers>,
    /// Where the plan has faults of networks.
    network: Option<ClusterNetwork>,
    /// Whether a killed run is undone, whose record is not this one's to add to.
    healing: bool,
    /// Undos of the restart policies that are to be held off.
    restarts: Vec<Undo>,
    /// What the engine would have done with servers that are killed, and is kept from.
    held: RefCell<Vec<String>>,
    /// When the run began, in seconds since 1970.
    since_s: i64,
}

/// Connects to containers that run already and finds every server.
///
/// # Errors
/// An infrastructure failure: no engine, a container or a broker that is not as it was, a server that does not run; a
/// usage failure where rules between nodes would take the load's own packets.
pub async fn connect(setup: AdoptedSetup<'_>) -> Result<Rc<dyn RunningCluster>, Failure> {
    let AdoptedSetup { spec, containers, healing, faults, files, recorder } = setup;
    if !spec.sees_zookeeper() {
        return Err(Failure::usage("clusters without ZooKeeper are only connected to so far")
            .with_cure("--bootstrap-server in place of --cluster"));
    }
    let acts_on = |subject| faults.iter().any(|need| need.subject() == subject);
    if acts_on(Subject::Servers) || acts_on(Subject::Network) {
        may_enter()?;
    }
    let connector = spec.connector()?;
    let engine = Engine::connect().await?;
    let found = ask::find_again(&engine, containers, !healing).await?;
    if healing {
        let there = spec.is_still_there(&connector).await;
        there.map_err(|failure| startable(failure, &found))?;
    } else {
        let survey = ClusterSurvey::of(&spec.bootstrap, &connector).await?;
        let brokers = containers.inventory.node.iter().filter_map(|node| node.broker);
        survey.is(spec, &brokers.collect())?;
    }
    let inventory = &containers.inventory;
    let server = |process: Process| {
        let container = containers.of(&process.node)?;
        Some((process, AdoptedServer::new(container)))
    };
    let servers = Rc::new(AdoptedServers {
        spec: containers.clone(),
        engine,
        bootstrap: spec.bootstrap.clone(),
        connector,
        containers: inventory.processes().into_iter().filter_map(server).collect(),
        logs: files.join("logs"),
        recorder: Arc::clone(recorder),
        servers: StartedServers::default(),
        is_root: geteuid().is_root(),
    });
    for process in servers.containers.keys() {
        if !servers.find(process).await? && !healing {
            return Err(Failure::infrastructure(format!(
                "{process} does not run in its container: it is not kbench that may make it worse"
            )));
        }
    }
    let network = match acts_on(Subject::Network) {
        true => Some(network(&servers, healing).await?),
        false => None,
    };
    if let Some(network) = network.as_ref().filter(|_| !healing) {
        network.prepare(&faults).await.map_err(|error| {
            Failure::infrastructure(format!("faults cannot be prepared: {error}")).with_cure(
                "`nft` of this machine is run in the containers' networks: install nftables",
            )
        })?;
    }
    let restarts = match faults.contains(&Capability::Signal) && !healing {
        true => restarts(&servers, &found)?,
        false => vec![],
    };
    tokio::task::spawn_local(follow(Rc::downgrade(&servers)));
    let since_s = recorder.clock().wall_at_start_ms() / 1000;
    let held = RefCell::default();
    Ok(Rc::new(AdoptedCluster { servers, network, healing, restarts, held, since_s }))
}

/// What whoever heals can do where no broker answers who could say which cluster it is.
fn startable(failure: Failure, found: &FoundContainers) -> Failure {
    let ended = found.seen.values().filter(|seen| seen.pid == 0);
    let names: Vec<_> = ended.map(|seen| seen.name.as_str()).collect();
    match names.is_empty() {
        true => failure,
        false => failure.with_cure(format!("docker start {}; then heal again", names.join(" "))),
    }
}

/// The undos of what would start again what faults kill.
///
/// # Errors
/// A usage failure where the inventory does not allow to hold that off.
fn restarts(servers: &AdoptedServers, found: &FoundContainers) -> Result<Vec<Undo>, Failure> {
    let mut undos = vec![];
    for (process, one) in &servers.containers {
        let Some(seen) = found.seen.get(&process.node).filter(|seen| seen.is_restarted()) else {
            continue;
        };
        let policy = seen.restart.clone();
        if let Some(refused) = servers.spec.inventory.missing(Capability::Start) {
            let what = "a server that is killed would be started again by its engine";
            let why = format!("{} has restart policy {policy}", seen.name);
            return Err(Failure::usage(format!("{what} ({why}), and {refused}")).with_cure(
                "`restart` in `allow`: then it is held off for as long as the run lasts",
            ));
        }
        let (process, container) = (process.clone(), one.container.id.clone());
        undos.push(Undo::LetRestart { process, container, policy });
    }
    Ok(undos)
}

/// The network of the containers; with `healing` one in which nothing is cut any more, and rules are only removed.
async fn network(servers: &AdoptedServers, healing: bool) -> Result<ClusterNetwork, Failure> {
    let inventory = &servers.spec.inventory;
    let addresses: Vec<_> =
        servers.spec.container.iter().map(|one| (one.node.as_str(), one.address)).collect();
    let clients = match healing {
        true => std::net::Ipv4Addr::UNSPECIFIED,
        false => clients_address(&addresses, own_address)?,
    };
    let mut nodes = BTreeMap::new();
    for (process, one) in &servers.containers {
        let (host, address) = (Rc::new(one.host.clone()), one.container.address);
        let interface = match healing {
            // The names of rules say what is to be removed.
            true => String::new(),
            false => interface(&*host, address).await?,
        };
        // Its far end is the engine's.
        let link =
            Link { interface: interface.clone(), far: host.clone(), far_interface: interface };
        let node = NetworkNode { host, address, link: Some(link), control: None };
        nodes.insert(process.node.clone(), node);
    }
    let [quorum, elections] = PEER_PORTS;
    let (broker, zookeeper) = (inventory.broker.port, inventory.zookeeper.port);
    Ok(ClusterNetwork::new(NetworkLayout {
        nodes,
        here: Rc::new(LocalHost::here(HERE)),
        clients,
        // Load and observer have the same address: packets are lost between nodes alone.
        observer: clients,
        ports: TcpPorts { broker, zookeeper, quorum, elections },
        kbench: own().to_owned(),
    }))
}

/// The interface of a container that has its address.
async fn interface(host: &dyn Host, address: std::net::Ipv4Addr) -> Result<String, Failure> {
    let failed = |error: HostError| {
        Failure::infrastructure(format!("a container's network cannot be looked at: {error}"))
    };
    let list = Command::new("ip").args(["-o", "-4", "addr", "show"]);
    let said = host.output(&list).await.map_err(failed)?;
    interface_in(&said, address).ok_or_else(|| {
        let name = host.name();
        Failure::infrastructure(format!("no interface in the container of {name} has {address}"))
    })
}

/// The interface with this address, as `ip -o -4 addr show` tells of it.
fn interface_in(said: &str, address: std::net::Ipv4Addr) -> Option<String> {
    let mut lines = said.lines().map(|line| line.split_whitespace().collect::<Vec<_>>());
    let wanted = format!("{address}/");
    let line = lines.find(|words| words.get(3).is_some_and(|word| word.starts_with(&wanted)))?;
    line.get(1).map(|&name| name.to_owned())
}

#[async_trait(?Send)]
impl RunningCluster for AdoptedCluster {
    fn capabilities(&self) -> BTreeSet<Capability> {
        self.servers.spec.inventory.capabilities()
    }

    fn hosts(&self) -> Vec<Rc<dyn Host>> {
        let all = self.servers.containers.values();
        all.map(|one| Rc::new(one.host.clone()) as _).collect()
    }

    fn servers(&self) -> &dyn ServerAddresses {
        &*self.servers
    }

    fn processes(&self) -> Option<&dyn ServerProcesses> {
        Some(&*self.servers)
    }

    fn network(&self) -> Option<&dyn Network> {
        self.network.as_ref().map(|network| network as &dyn Network)
    }

    fn machine(&self) -> Option<&dyn Machine> {
        None
    }

    fn outlives_kbench(&self) -> bool {
        true
    }

    fn restarts(&self) -> &[Undo] {
        &self.restarts
    }

    async fn hold_restarts(&self) -> Result<(), Failure> {
        for undo in &self.restarts {
            let Undo::LetRestart { process, container, policy } = undo else { continue };
            let now = ask::set_restart(&self.servers.engine, container, "no").await?;
            if now.as_deref() != Some("no") {
                return Err(Failure::infrastructure(format!(
                    "the container of {process} is not kept from being started again: its restart policy is {}",
                    now.as_deref().unwrap_or("that of none")
                )));
            }
            self.held.borrow_mut().push(format!("restart policy {policy} of {}", process.node));
        }
        Ok(())
    }

    fn description(&self) -> Description {
        let (name, engine) = (&self.servers.spec.inventory.name, &self.servers.engine.version);
        let mut isolation = format!("containers of {name}, which ran already (Docker {engine})");
        let held = self.held.borrow();
        if !held.is_empty() {
            isolation += &format!(" (held off: {})", held.join(", "));
        }
        Description { isolation, storage: "places not seen", class_archive: None }
    }

    async fn stop(&self, _: bool) -> Result<(), Failure> {
        // The servers are not kbench's to stop.
        if !self.healing {
            self.servers.fetch_logs(self.since_s).await;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_interface_is_the_one_with_the_whole_address() {
        let said = "1: lo    inet 127.0.0.1/8 scope host lo\n\
                    8: eth0    inet 198.18.7.31/24 brd 198.18.7.255 scope global eth0\n\
                    9: eth1    inet 198.18.7.3/24 brd 198.18.7.255 scope global eth1\n";
        assert_eq!(interface_in(said, [198, 18, 7, 3].into()).as_deref(), Some("eth1"));
        assert_eq!(interface_in(said, [198, 18, 7, 4].into()), None);
    }
}
