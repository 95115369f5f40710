//! The inventory of containers that run already: which of the engine's they are, what is in each, and what may be
//! done to them. Read from strict TOML.

use std::collections::BTreeSet;
use std::net::{Ipv4Addr, SocketAddr};
use std::ops::RangeInclusive;

use faults::port::{Capability, Process};
use results::record::event::{BrokerId, Role};
use results::record::line;
use serde::{Deserialize, Serialize};

use crate::cluster::inventory::{Allowed, InventoryError, not_allowed};
use crate::topology::{PEER_PORTS, Topic, check_topics, placed_topics};

/// The inventories that come with kbench: name and TOML text.
pub const SHIPPED: &[(&str, &str)] =
    &[("compose", include_str!("../../../../clusters/compose.toml"))];

/// Most nodes of an inventory.
const MOST_NODES: usize = 100;

/// Most characters of a container's name, of a service's or a project's.
const MOST_NAME: usize = 128;

/// A cluster of containers that run already.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct ContainerInventory {
    /// What tells it from other inventories.
    pub backend: ContainerBackend,
    /// Name.
    pub name: String,
    /// What it is, in a sentence.
    pub description: String,
    /// What may be done to it.
    pub allow: BTreeSet<Allowed>,
    /// The compose project whose services the nodes are; without one they are containers by their names.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub project: Option<String>,
    /// `HOST:PORT` of some of its brokers, separated by commas, as they are reached from here; without it the brokers
    /// are asked at the addresses of their containers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bootstrap: Option<String>,
    /// Every broker.
    pub broker: ContainerService,
    /// Every ZooKeeper server.
    pub zookeeper: ContainerService,
    /// The containers.
    pub node: Vec<ContainerNode>,
    /// The topics of a run, which bear its number; the first takes the main load.
    pub topic: Vec<Topic>,
}

/// The backend of such an inventory.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ContainerBackend {
    /// Docker's engine.
    Docker,
}

/// What all servers of a role have in common.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct ContainerService {
    /// The port on which they take connections of each other's containers.
    pub port: u16,
}

/// One container, with one server.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct ContainerNode {
    /// What kbench calls it.
    pub name: String,
    /// Its name with the engine, or its service of the compose project, where that is another one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub container: Option<String>,
    /// `broker.id` of its broker.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub broker: Option<BrokerId>,
    /// `myid` of its ZooKeeper server.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub zookeeper: Option<BrokerId>,
}

/// Containers that run already as a run's specification has them: these, and none that bear their names later.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AdoptedSpec {
    /// Which they are to be.
    pub inventory: ContainerInventory,
    /// Which they are, a container a node.
    pub container: Vec<AdoptedContainer>,
}

/// A container that was found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AdoptedContainer {
    /// The node that it is.
    pub node: String,
    /// Its id with the engine.
    pub id: String,
    /// Its address among the others.
    pub address: Ipv4Addr,
    /// Where clients reach its server from here: a broker as it advertises.
    pub clients: SocketAddr,
}

impl ContainerNode {
    /// Its name with the engine, or its service.
    pub fn container(&self) -> &str {
        self.container.as_ref().unwrap_or(&self.name)
    }

    /// The server in it.
    pub fn process(&self) -> Option<Process> {
        let node = self.name.clone();
        match (self.broker, self.zookeeper) {
            (Some(id), None) => Some(Process { node, role: Role::Broker, id }),
            (None, Some(id)) => Some(Process { node, role: Role::Zookeeper, id }),
            _ => None,
        }
    }
}

impl ContainerInventory {
    /// Whether a text is one, right or wrong.
    pub fn is_meant(table: &toml::Table) -> bool {
        table.get("backend").and_then(toml::Value::as_str) == Some("docker")
    }

    /// Reads an inventory and checks it.
    ///
    /// # Errors
    /// What is not TOML, not an inventory, or cannot work.
    pub fn parse(text: &str) -> Result<Self, InventoryError> {
        let mut inventory: Self = toml::from_str(text)?;
        let brokers: Vec<BrokerId> = inventory.brokers().into_iter().collect();
        let checked = placed_topics(&inventory.topic, &brokers).and_then(|topics| {
            inventory.topic = topics;
            inventory.check()
        });
        checked.map_err(InventoryError::of)?;
        Ok(inventory)
    }

    /// Refuses what cannot work, wherever it was read from.
    ///
    /// # Errors
    /// What is wrong, and what is allowed.
    pub fn check(&self) -> Result<(), String> {
        line::check_name(&self.name).map_err(|why| format!("name: it {why}"))?;
        line::check(&self.description).map_err(|why| format!("description: it {why}"))?;
        let bootstrap = self.bootstrap.as_deref().unwrap_or_default();
        line::check(bootstrap).map_err(|why| format!("bootstrap: it {why}"))?;
        if let Some(project) = &self.project {
            engine_name(project).map_err(|why| format!("project `{project}`: {why}"))?;
        }
        for (what, ContainerService { port }) in
            [("broker", &self.broker), ("zookeeper", &self.zookeeper)]
        {
            if *port == 0 || PEER_PORTS.contains(port) {
                return Err(format!("{what}.port = {port}: not 0, 2888 or 3888 (ZooKeeper's own)"));
            }
        }
        self.check_nodes()?;
        check_topics(&self.topic, &self.brokers())
    }

    fn check_nodes(&self) -> Result<(), String> {
        let names: BTreeSet<&str> = self.node.iter().map(|node| node.name.as_str()).collect();
        if names.len() != self.node.len() || names.len() > MOST_NODES {
            return Err(format!("nodes need names of their own, and at most {MOST_NODES}"));
        }
        let containers: BTreeSet<&str> = self.node.iter().map(ContainerNode::container).collect();
        if containers.len() != self.node.len() {
            return Err("nodes need containers of their own".to_owned());
        }
        for node in &self.node {
            let name = &node.name;
            if !name.chars().all(|c| c.is_ascii_alphanumeric() || c == '-') {
                return Err(format!(
                    "node name `{name}`: letters, digits and `-` only; `container` is what the engine calls it"
                ));
            }
            line::check_name(name).map_err(|why| format!("node name `{name}`: it {why}"))?;
            let container = node.container();
            engine_name(container)
                .map_err(|why| format!("node {name}: container `{container}`: {why}"))?;
            if node.process().is_none() {
                return Err(format!(
                    "node {name}: a container is either a broker's (`broker = ID`) or a ZooKeeper server's \
                     (`zookeeper = ID`): servers that share one could not be killed and started one by one"
                ));
            }
        }
        ids("broker", self.node.iter().filter_map(|node| node.broker), 0..=i32::MAX)?;
        ids("zookeeper", self.node.iter().filter_map(|node| node.zookeeper), 1..=255)
    }

    fn brokers(&self) -> BTreeSet<BrokerId> {
        self.node.iter().filter_map(|node| node.broker).collect()
    }

    /// The server processes of the cluster, ZooKeeper first.
    pub fn processes(&self) -> Vec<Process> {
        let mut all: Vec<_> = self.node.iter().filter_map(ContainerNode::process).collect();
        all.sort_by_key(|process| process.role == Role::Broker);
        all
    }

    /// The port of a role's servers among themselves.
    pub fn port(&self, role: Role) -> u16 {
        match role {
            Role::Broker => self.broker.port,
            Role::Zookeeper => self.zookeeper.port,
        }
    }

    /// What can be done to it.
    pub fn capabilities(&self) -> BTreeSet<Capability> {
        Capability::ALL.into_iter().filter(|need| self.missing(*need).is_none()).collect()
    }

    /// Why something cannot be done to it; `None` when it can.
    pub fn missing(&self, need: Capability) -> Option<&'static str> {
        match need {
            Capability::LinkDown => {
                Some("a link that was down has lost its routes, which the engine alone knows")
            }
            Capability::Rate | Capability::Delay | Capability::Reorder | Capability::Duplicate => {
                Some(
                    "what kbench's observer is told would be degraded as well, and nothing is tried out in networks that \
                 are not kbench's",
                )
            }
            Capability::Upgrade => Some("a container stays of its image"),
            other => not_allowed(other, &self.allow).unwrap_or(Some(
                "clocks, disks and limits of containers that are not kbench's are left alone",
            )),
        }
    }
}

impl AdoptedSpec {
    /// Refuses what cannot be, wherever it was read from.
    ///
    /// # Errors
    /// What is wrong.
    pub fn check(&self) -> Result<(), String> {
        self.inventory.check()?;
        let nodes = self.inventory.node.iter().map(|node| &node.name);
        if !nodes.eq(self.container.iter().map(|container| &container.node)) {
            return Err("each node of its inventory has one container".to_owned());
        }
        // It becomes a part of paths, in what the engine is asked.
        let is_id = |id: &str| id.len() == 64 && id.chars().all(|c| c.is_ascii_hexdigit());
        match self.container.iter().find(|container| !is_id(&container.id)) {
            Some(odd) => Err(format!("`{}` is no id of a container", odd.id)),
            None => Ok(()),
        }
    }

    /// The container of a node.
    pub fn of(&self, node: &str) -> Option<&AdoptedContainer> {
        self.container.iter().find(|container| container.node == node)
    }

    /// `HOST:PORT` of brokers, separated by commas.
    pub fn bootstrap(&self) -> String {
        if let Some(bootstrap) = &self.inventory.bootstrap {
            return bootstrap.clone();
        }
        let brokers = self.inventory.node.iter().filter(|node| node.broker.is_some());
        let addresses = brokers.filter_map(|node| Some(self.of(&node.name)?.address));
        let port = self.inventory.broker.port;
        addresses.map(|address| format!("{address}:{port}")).collect::<Vec<_>>().join(",")
    }
}

/// What the engine can call something; it becomes a part of paths, in what the engine is asked.
fn engine_name(name: &str) -> Result<(), &'static str> {
    let plain = |c: char| c.is_ascii_alphanumeric() || "_.-".contains(c);
    let begins = name.starts_with(|c: char| c.is_ascii_alphanumeric());
    (begins && name.len() <= MOST_NAME && name.chars().all(plain))
        .then_some(())
        .ok_or("letters, digits, `_`, `.` and `-`, a letter or digit first")
}

fn ids(
    what: &str,
    ids: impl Iterator<Item = BrokerId>,
    allowed: RangeInclusive<BrokerId>,
) -> Result<(), String> {
    let mut seen = BTreeSet::new();
    for id in ids {
        if !allowed.contains(&id) {
            let (least, most) = (allowed.start(), allowed.end());
            return Err(format!("{what} = {id}: ids are from {least} to {most}"));
        }
        if !seen.insert(id) {
            return Err(format!("every {what} needs an id of its own"));
        }
    }
    if seen.is_empty() {
        return Err(format!("a cluster needs a container with a {what}"));
    }
    Ok(())
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    pub(in super::super) const COMPOSE: &str = r#"
backend = "docker"
name = "compose"
description = "a project of three"
allow = ["signal", "restart", "network", "metadata"]
project = "kafka"

[broker]
port = 9092
[zookeeper]
port = 2181

[[node]]
name = "zookeeper"
zookeeper = 1
[[node]]
name = "kafka-1"
broker = 1
[[node]]
name = "kafka-2"
container = "second_kafka"
broker = 2

[[topic]]
name = "user-events"
assignment = [[1, 2], [2, 1]]
"#;

    #[test]
    fn an_inventory_names_containers_or_services_and_what_is_in_each() {
        let inventory = ContainerInventory::parse(COMPOSE).unwrap();
        let named: Vec<_> = inventory.node.iter().map(ContainerNode::container).collect();
        assert_eq!(named, ["zookeeper", "kafka-1", "second_kafka"]);
        let processes: Vec<_> =
            inventory.processes().iter().map(|process| (process.role, process.id)).collect();
        assert_eq!(processes, [(Role::Zookeeper, 1), (Role::Broker, 1), (Role::Broker, 2)]);
        let again: ContainerInventory =
            toml::from_str(&toml::to_string(&inventory).unwrap()).unwrap();
        assert_eq!(again, inventory);
        let shipped = ContainerInventory::parse(SHIPPED[0].1).unwrap();
        assert_eq!((shipped.name.as_str(), shipped.processes().len()), (SHIPPED[0].0, 4));
    }

    #[test]
    fn topics_are_placed_by_number() {
        let written = "assignment = [[1, 2], [2, 1]]";
        let by_number = COMPOSE.replace(written, "partitions = 2\nreplication_factor = 2");
        assert_ne!(by_number, COMPOSE);
        let [by_number, written] =
            [&by_number, COMPOSE].map(|text| ContainerInventory::parse(text).unwrap().topic);
        assert_eq!(by_number, written);
    }

    #[test]
    fn what_is_not_allowed_or_cannot_be_done_is_missing_with_the_reason() {
        let mut inventory = ContainerInventory::parse(COMPOSE).unwrap();
        let names = |of: &ContainerInventory| {
            of.capabilities().into_iter().map(Capability::as_str).collect::<Vec<_>>()
        };
        let all = [
            "signal",
            "start",
            "move-leaders",
            "expire-session",
            "cut",
            "loss",
            "clients",
            "workers",
        ];
        assert_eq!(names(&inventory), all);
        inventory.allow = [Allowed::Network].into();
        assert_eq!(names(&inventory), ["cut", "loss", "clients", "workers"]);
        assert!(inventory.missing(Capability::Clock).unwrap().contains("left alone"));
    }

    #[test]
    fn what_cannot_work_or_is_hostile_is_refused_in_words() {
        for (from, to, words) in [
            ("\"docker\"", "\"podman\"", "unknown variant"),
            ("name = \"compose\"", "name = \"../x\"", "begins with a dot"),
            ("\"kafka\"", "\"../kafka\"", "project `../kafka`: letters"),
            ("\"second_kafka\"", "\"x/../y\"", "container `x/../y`: letters"),
            ("\"second_kafka\"", "\"kafka-1\"", "containers of their own"),
            ("\"kafka-2\"", "\"kafka-1\"", "names of their own"),
            ("\"kafka-2\"", "\"kafka_2\"", "`container` is what the engine calls it"),
            ("broker = 2", "broker = 1", "every broker needs an id"),
            ("broker = 2", "broker = -2", "ids are from 0"),
            ("broker = 2", "broker = 2\nzookeeper = 2", "one by one"),
            ("zookeeper = 1\n", "broker = 3\n", "a container with a zookeeper"),
            ("port = 9092", "port = 3888", "broker.port = 3888"),
            ("[1, 2]", "[1, 4]", "no broker 4"),
            ("project =", "namespace =", "unknown field"),
        ] {
            let text = COMPOSE.replacen(from, to, 1);
            assert_ne!(text, COMPOSE, "{from} is not in it");
            let message = ContainerInventory::parse(&text).expect_err(to).message;
            assert!(message.contains(words), "{to}: {message}");
        }
    }

    #[test]
    fn a_recorded_container_is_named_by_its_id_and_by_nothing_that_leads_elsewhere() {
        let inventory = ContainerInventory::parse(COMPOSE).unwrap();
        let container = |(number, node): (usize, &ContainerNode)| AdoptedContainer {
            node: node.name.clone(),
            id: format!("{number:064x}"),
            address: Ipv4Addr::new(198, 18, 0, number as u8),
            clients: ([198, 18, 0, 1], 9092).into(),
        };
        let container = inventory.node.iter().enumerate().map(container).collect();
        let spec = AdoptedSpec { inventory, container };
        assert_eq!(spec.check(), Ok(()));
        assert_eq!(spec.bootstrap(), "198.18.0.1:9092,198.18.0.2:9092");
        for id in ["", "../images/x", "abc", &"g".repeat(64)] {
            let mut odd = spec.clone();
            odd.container[0].id = id.to_owned();
            assert!(odd.check().unwrap_err().contains("no id of a container"), "{id}");
        }
        let mut short = spec;
        short.container.pop();
        assert!(short.check().unwrap_err().contains("one container"));
    }
}
