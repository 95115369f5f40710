//! The inventory of a cluster on real machines: where its nodes are, how each is logged into, how its servers
//! are driven, and what may be done there. Read from strict TOML.
//!
//! It holds no secret: keys are named by their files, passwords cannot be given.

use std::collections::BTreeSet;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;

use faults::port::{Capability, Process};
use results::record::event::{BrokerId, Role};
use serde::{Deserialize, Serialize};

use super::rules;
use crate::cluster::inventory::{Allowed, InventoryError, not_allowed};
use crate::topology::{Topic, placed_topics};

/// The inventories that come with kbench: name and TOML text.
pub const SHIPPED: &[(&str, &str)] = &[("homelab", include_str!("../../../clusters/homelab.toml"))];

/// A cluster on machines that are reached by ssh.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Inventory {
    /// What tells an inventory from other clusters.
    pub backend: InventoryBackend,
    /// Name, by which the user lets it be hurt.
    pub name: String,
    /// What it is, in a sentence.
    pub description: String,
    /// What may be done to it.
    pub allow: BTreeSet<Allowed>,
    /// How nodes are logged into that do not say otherwise.
    #[serde(default)]
    pub ssh: Login,
    /// Every broker.
    pub broker: ServiceSpec,
    /// Every ZooKeeper server.
    pub zookeeper: ServiceSpec,
    /// The machines.
    pub node: Vec<InventoryNode>,
    /// The topics of a run, which bear its number; the first takes the main load.
    pub topic: Vec<Topic>,
}

/// The backend of an inventory.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum InventoryBackend {
    /// Machines that are reached by ssh.
    Ssh,
}

/// How a machine is logged into. What is not said is as the user's own `ssh` has it.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Login {
    /// The user there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
    /// The port of its sshd.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub port: Option<u16>,
    /// The file of the private key; without one those of the agent and of the user's `ssh`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
    /// The file of the hosts' keys.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub known_hosts: Option<String>,
    /// `[USER@]HOST[:PORT]` that the connection goes through. The load does not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub jump: Option<String>,
    /// Whether what takes root is done by `sudo`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sudo: Option<bool>,
}

/// What all servers of a role have in common.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct ServiceSpec {
    /// Port for clients.
    pub port: u16,
    /// How it is started, and its process found.
    pub driver: Driver,
    /// The folder of its data.
    pub data: PathBuf,
    /// Its configuration.
    pub config: PathBuf,
    /// Its log.
    pub log: PathBuf,
}

/// How a server is started, and its process found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Driver {
    /// By systemd, as this unit.
    Unit(String),
    /// By a command, and found by a file that holds its pid.
    PidFile(PidFile),
    /// By commands.
    Commands(Commands),
}

/// A server whose pid is in a file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct PidFile {
    /// The file.
    pub file: PathBuf,
    /// The command that starts it, and comes back.
    pub start: String,
}

/// Commands that drive a server, each a line for `sh` of the user that logs in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Commands {
    /// Starts it, and comes back.
    pub start: String,
    /// Writes its pid; nothing when it does not run.
    pub status: String,
}

/// One machine.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct InventoryNode {
    /// Name.
    pub name: String,
    /// Its address, for ssh and for its servers' clients.
    pub address: Ipv4Addr,
    /// The interface with that address.
    pub interface: String,
    /// `broker.id` of its broker, if it has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub broker: Option<BrokerId>,
    /// `myid` of its ZooKeeper server, if it has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub zookeeper: Option<BrokerId>,
    /// Whether it is prepared and does not belong to the cluster so far.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub standby: bool,
    /// How it is logged into, where that is not as for the others.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ssh: Option<Login>,
}

impl Inventory {
    /// Whether a text is an inventory, right or wrong: it names a backend.
    pub fn is_meant(table: &toml::Table) -> bool {
        table.contains_key("backend")
    }

    /// Reads an inventory and checks it.
    ///
    /// # Errors
    /// What is not TOML, not an inventory, or cannot work.
    pub fn parse(text: &str) -> Result<Self, InventoryError> {
        let mut inventory: Self = toml::from_str(text)?;
        let brokers: Vec<BrokerId> = inventory.members().filter_map(|node| node.broker).collect();
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
        rules::check(self)
    }

    /// What of it would run its author's code on the nodes, and where that stands.
    pub fn of_trust(&self) -> Vec<String> {
        let services = [("broker", &self.broker), ("zookeeper", &self.zookeeper)];
        let of = |(role, service): (&str, &ServiceSpec)| {
            let lines = match &service.driver {
                Driver::Unit(_) => vec![],
                Driver::PidFile(driver) => vec![("pid-file.start", driver.start.clone())],
                Driver::Commands(driver) => vec![
                    ("commands.start", driver.start.clone()),
                    ("commands.status", driver.status.clone()),
                ],
            };
            let told =
                move |(key, line)| format!("{role}.driver.{key} runs `{line}` on every node");
            lines.into_iter().map(told).collect::<Vec<_>>()
        };
        services.into_iter().flat_map(of).collect()
    }

    /// The nodes that belong to the cluster.
    pub fn members(&self) -> impl Iterator<Item = &InventoryNode> {
        self.node.iter().filter(|node| !node.standby)
    }

    /// The server processes of the cluster, ZooKeeper first.
    pub fn processes(&self) -> Vec<Process> {
        let of = |role: Role, id: fn(&InventoryNode) -> Option<BrokerId>| {
            self.members().filter_map(move |node| {
                Some(Process { node: node.name.clone(), role, id: id(node)? })
            })
        };
        of(Role::Zookeeper, |node| node.zookeeper)
            .chain(of(Role::Broker, |node| node.broker))
            .collect()
    }

    /// Where a process takes connections of clients.
    pub fn address(&self, process: &Process) -> Option<SocketAddr> {
        let node = self.members().find(|node| node.name == process.node)?;
        Some(SocketAddr::from((node.address, self.service(process.role).port)))
    }

    /// What the servers of a role have in common.
    pub fn service(&self, role: Role) -> &ServiceSpec {
        match role {
            Role::Broker => &self.broker,
            Role::Zookeeper => &self.zookeeper,
        }
    }

    /// How a node is logged into.
    pub fn login(&self, node: &InventoryNode) -> Login {
        let all = self.ssh.clone();
        let own = node.ssh.clone().unwrap_or_default();
        Login {
            user: own.user.or(all.user),
            port: own.port.or(all.port),
            key: own.key.or(all.key),
            known_hosts: own.known_hosts.or(all.known_hosts),
            jump: own.jump.or(all.jump),
            sudo: own.sudo.or(all.sudo),
        }
    }

    /// `HOST:PORT` of every broker, separated by commas.
    pub fn bootstrap(&self) -> String {
        let brokers = self.members().filter(|node| node.broker.is_some());
        let port = self.broker.port;
        brokers.map(|node| format!("{}:{port}", node.address)).collect::<Vec<_>>().join(",")
    }

    /// What can be done to it.
    pub fn capabilities(&self) -> BTreeSet<Capability> {
        Capability::ALL.into_iter().filter(|need| self.missing(*need).is_none()).collect()
    }

    /// Why something cannot be done to it; `None` when it can.
    pub fn missing(&self, need: Capability) -> Option<&'static str> {
        match need {
            Capability::LinkDown => {
                Some("the connection by which kbench reaches a node goes over its link")
            }
            Capability::Delay | Capability::Reorder => Some(
                "not every kernel holds packets back, and nothing is tried out on machines that are not kbench's",
            ),
            Capability::Duplicate => Some(
                "not every kernel sends packets twice, and nothing is tried out on machines that are not kbench's",
            ),
            Capability::Upgrade => Some("nothing is installed on machines that are not kbench's"),
            other => not_allowed(other, &self.allow).unwrap_or(Some(
                "clocks, disks and memory of machines that are not kbench's are left alone",
            )),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_homelab_is_the_guide_s_three_machines_and_two_are_prepared() {
        let homelab = Inventory::parse(SHIPPED[0].1).unwrap();
        let names: Vec<_> = homelab.members().map(|node| node.name.as_str()).collect();
        assert_eq!(names, ["cpu-node1", "cpu-node2", "worker-node3"]);
        let standby: Vec<_> =
            homelab.node.iter().filter(|node| node.standby).map(|node| &*node.name).collect();
        assert_eq!(standby, ["worker-node4", "gpu-node"]);
        assert_eq!(homelab.processes().len(), 6);
        assert_eq!(homelab.bootstrap(), "192.168.1.184:9092,192.168.1.187:9092,192.168.1.190:9092");
        assert_eq!(homelab.of_trust(), [""; 0]);
        let again: Inventory = toml::from_str(&toml::to_string(&homelab).unwrap()).unwrap();
        assert_eq!(again, homelab);
    }

    #[test]
    fn what_is_not_allowed_is_missing_and_a_node_s_login_goes_before_that_of_all() {
        let mut homelab = Inventory::parse(SHIPPED[0].1).unwrap();
        let names = |of: &Inventory| {
            of.capabilities().into_iter().map(Capability::as_str).collect::<Vec<_>>()
        };
        let all = [
            "signal",
            "start",
            "move-leaders",
            "expire-session",
            "cut",
            "loss",
            "rate",
            "clients",
            "workers",
        ];
        assert_eq!(names(&homelab), all);
        homelab.allow = [Allowed::Signal].into();
        assert_eq!(names(&homelab), ["signal", "clients", "workers"]);
        homelab.node[0].ssh = Some(Login { port: Some(2222), ..Login::default() });
        let login = homelab.login(&homelab.node[0]);
        assert_eq!((login.port, login.user), (Some(2222), homelab.ssh.user.clone()));
    }
}
