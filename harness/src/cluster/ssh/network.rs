//! The network between machines that are reached by ssh: packets are taken by rules on the nodes, as everywhere, and
//! slowed down by queueing disciplines.
//!
//! Before a node gets one its dead-man's switch is told how it is removed. kbench's connection to the
//! node passes by construction: the port on which the node took it is let alone. What cannot let it alone is
//! refused: links that go down. So is what not every kernel can do.

use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;
use std::rc::Rc;
use std::time::Duration;

use async_trait::async_trait;
use faults::cut::{Cut, Origin, Reach, Service};
use faults::degrade::{Condition, Degradation, Degraded};
use faults::port::{Capability, ErrorKind, LinkEnds, Network, PortError, Process};
use faults::tag::Tag;
use faults::undo::{Script, Undo};
use futures::future::try_join_all;

use super::Inventory;
use super::node::SshNode;
use super::servers::{SshServers, unreached};
use crate::child::own;
use crate::cluster::host::Host as _;
use crate::cluster::inventory::{clients_address, own_address};
use crate::cluster::local::LocalHost;
use crate::failure::Failure;
use crate::mechanism::cut::TcpPorts;
use crate::mechanism::layout::{Link, NetworkLayout, NetworkNode};
use crate::mechanism::network::ClusterNetwork;
use crate::topology::PEER_PORTS;

/// What kbench's own side of the network is called.
const HERE: &str = "kbench";

/// The network between machines.
pub(super) struct SshNetwork {
    network: ClusterNetwork,
    nodes: BTreeMap<String, Rc<SshNode>>,
    interfaces: BTreeMap<String, String>,
}

impl SshNetwork {
    /// The network of these servers' machines; with `healing` one in which nothing is cut any more, and rules are
    /// only removed: from wherever kbench is then.
    ///
    /// # Errors
    /// A usage failure where rules between nodes would take packets of the load; an infrastructure failure when
    /// a node does not say on which port it took kbench's connection.
    pub(super) async fn of(servers: &SshServers, healing: bool) -> Result<Self, Failure> {
        let inventory = &servers.inventory;
        let with_server: BTreeSet<_> =
            inventory.processes().into_iter().map(|process| process.node).collect();
        let members: Vec<_> =
            inventory.members().filter(|node| with_server.contains(&node.name)).collect();
        let addresses = members.iter().map(|node| (node.name.as_str(), node.address));
        let clients = match healing {
            true => Ipv4Addr::UNSPECIFIED,
            false => clients_address(&addresses.collect::<Vec<_>>(), own_address)?,
        };
        let (mut nodes, mut interfaces) = (BTreeMap::new(), BTreeMap::new());
        for member in members {
            let Some(node) = servers.nodes.get(&member.name) else { continue };
            let control = match healing {
                true => None,
                false => Some(node.host.control_port().await.map_err(unreached)?),
            };
            let host = Rc::new(node.host.clone());
            // What a machine is plugged into is nothing that kbench has a say in.
            let link = Link {
                interface: member.interface.clone(),
                far: host.clone(),
                far_interface: member.interface.clone(),
            };
            let (address, link) = (member.address, Some(link));
            nodes.insert(member.name.clone(), NetworkNode { host, address, link, control });
            interfaces.insert(member.name.clone(), member.interface.clone());
        }
        let layout = NetworkLayout {
            nodes,
            here: Rc::new(LocalHost::here(HERE)),
            clients,
            // Load and observer have the same address: packets are lost between nodes alone.
            observer: clients,
            ports: ports(inventory),
            kbench: own().to_owned(),
        };
        let (network, nodes) = (ClusterNetwork::new(layout), servers.nodes.clone());
        Ok(Self { network, nodes, interfaces })
    }

    /// Starts on the nodes what faults need that are to come.
    ///
    /// # Errors
    /// An infrastructure failure when a tool is missing or may not be used there.
    pub(super) async fn prepare(&self, faults: &BTreeSet<Capability>) -> Result<(), Failure> {
        self.network.prepare(faults).await.map_err(|error| {
            Failure::infrastructure(format!("faults cannot be prepared: {error}"))
                .with_cure("`kbench doctor --cluster FILE` says what a node lacks")
        })
    }

    /// Has each node carry out its part of an undo when kbench falls silent.
    async fn arm(&self, undo: &Undo, tag: &Tag) -> Result<(), PortError> {
        let Script::Hosts(scripts) = undo.script() else {
            let what = format!("no node could {undo} by itself");
            return Err(PortError::new(ErrorKind::Unsupported, what));
        };
        let armed = scripts.iter().map(async |(name, script)| {
            let node = self.node(name)?;
            let Some(guardian) = &node.guardian else {
                let what = format!("{name} has no dead-man's switch");
                return Err(PortError::new(ErrorKind::Unsupported, what));
            };
            Ok(guardian.arm(&tag.name(), &node.host.undo_script(script)).await?)
        });
        try_join_all(armed).await.map(drop)
    }

    /// Forgets the undo of what is undone.
    async fn disarm(&self, undo: &Undo, tag: &Tag) -> Result<(), PortError> {
        for name in undo.nodes() {
            if let Some(guardian) = &self.node(name)?.guardian {
                guardian.disarm(&tag.name()).await?;
            }
        }
        Ok(())
    }

    fn uncut_of(&self, cut: &Cut) -> Undo {
        let names = self.interfaces.keys().cloned().collect();
        Undo::Uncut { cut: cut.clone(), ends: cut.ends(&names).into_keys().collect() }
    }

    fn restore_of(&self, degradation: &Degradation) -> Result<Undo, PortError> {
        let links = degradation.nodes.iter().map(|node| self.link(node));
        let links = links.collect::<Result<_, _>>()?;
        Ok(Undo::Restore { degradation: degradation.clone(), links })
    }

    fn node(&self, name: &str) -> Result<&SshNode, PortError> {
        let none = || PortError::new(ErrorKind::Gone, format!("the inventory has no node {name}"));
        self.nodes.get(name).map(|node| &**node).ok_or_else(none)
    }
}

/// The ports of an inventory's servers.
pub(super) fn ports(inventory: &Inventory) -> TcpPorts {
    let [quorum, elections] = PEER_PORTS;
    let (broker, zookeeper) = (inventory.broker.port, inventory.zookeeper.port);
    TcpPorts { broker, zookeeper, quorum, elections }
}

/// Refuses what is not done to packets on machines that are not kbench's.
fn can(degradation: &Degradation) -> Result<(), PortError> {
    match degradation.condition {
        Condition::Loss(_) | Condition::Rate(_) => Ok(()),
        Condition::Delay(_) | Condition::Duplicate(_) | Condition::Reorder(_) => {
            let why =
                "not every kernel can, and nothing is tried out on machines that are not kbench's";
            Err(PortError::new(ErrorKind::Unsupported, format!("no {degradation}: {why}")))
        }
    }
}

#[async_trait(?Send)]
impl Network for SshNetwork {
    async fn cut(&self, cut: &Cut) -> Result<(), PortError> {
        self.arm(&self.uncut_of(cut), &cut.tag).await?;
        self.network.cut(cut).await
    }

    async fn uncut(&self, cut: &Cut) -> Result<(), PortError> {
        self.network.uncut(cut).await?;
        self.disarm(&self.uncut_of(cut), &cut.tag).await
    }

    fn cuts(&self) -> Vec<Cut> {
        self.network.cuts()
    }

    async fn taken(&self, cut: &Cut) -> Result<BTreeMap<String, u64>, PortError> {
        self.network.taken(cut).await
    }

    fn link(&self, node: &str) -> Result<LinkEnds, PortError> {
        self.node(node)?;
        let interface = self.interfaces.get(node).cloned().unwrap_or_default();
        Ok(LinkEnds { node: node.to_owned(), interface, far: None })
    }

    async fn set_links(&self, nodes: &[String], _: bool) -> Result<(), PortError> {
        let why = "the connection by which kbench reaches the node would be hit as well";
        let what = format!("the links of {} are left alone: {why}", nodes.join(" and "));
        Err(PortError::new(ErrorKind::Unsupported, what))
    }

    async fn link_is_up(&self, node: &str) -> Result<bool, PortError> {
        let file = format!("/sys/class/net/{}/operstate", self.link(node)?.interface);
        let state = self.node(node)?.host.read(file.as_ref()).await.map_err(PortError::from)?;
        Ok(state.trim_ascii() != b"down")
    }

    async fn degrade(&self, degradation: &Degradation) -> Result<(), PortError> {
        can(degradation)?;
        self.arm(&self.restore_of(degradation)?, &degradation.tag).await?;
        self.network.degrade(degradation).await
    }

    async fn restore(&self, degradation: &Degradation) -> Result<(), PortError> {
        can(degradation)?;
        self.network.restore(degradation).await?;
        self.disarm(&self.restore_of(degradation)?, &degradation.tag).await
    }

    async fn degraded(
        &self,
        degradation: &Degradation,
    ) -> Result<BTreeMap<String, Degraded>, PortError> {
        match can(degradation) {
            Ok(()) => self.network.degraded(degradation).await,
            // Nobody did it, and a tool that is asked may not be there.
            Err(_) => Ok(BTreeMap::new()),
        }
    }

    async fn round_trip(&self, from: &Origin, to: &Process) -> Result<Option<Duration>, PortError> {
        self.network.round_trip(from, to).await
    }

    async fn reaches(
        &self,
        from: &Origin,
        to: &Process,
        service: Service,
    ) -> Result<Reach, PortError> {
        self.network.reaches(from, to, service).await
    }
}
