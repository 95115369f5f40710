//! A cluster on real machines, as the backend of a run.

use std::collections::BTreeSet;
use std::path::Path;
use std::rc::Rc;
use std::sync::Arc;

use async_trait::async_trait;
use faults::port::{Capability, Machine, Network, Subject};

use super::network::SshNetwork;
use super::servers::{SshServers, unreached};
use super::{Inventory, look};
use crate::cluster::attached::{AttachedSpec, ClusterSurvey};
use crate::cluster::host::Host;
use crate::cluster::servers::{ServerAddresses, ServerProcesses};
use crate::cluster::{Description, RunningCluster};
use crate::failure::Failure;
use crate::recorder::Recorder;

/// A cluster on machines that are reached by ssh.
pub struct SshCluster {
    servers: Rc<SshServers>,
    /// Whether a killed run is undone, whose record is not this one's to add to.
    healing: bool,
    /// What systemd would have done with servers that are killed, and is kept from.
    held: Vec<String>,
    /// Where the plan has faults of networks.
    network: Option<SshNetwork>,
}

/// What a cluster on real machines is connected to for.
pub struct SshSetup<'a> {
    /// The cluster as it was when the run was asked for.
    pub spec: &'a AttachedSpec,
    /// Its machines.
    pub inventory: &'a Inventory,
    /// The run's number.
    pub run: u64,
    /// Whether a killed run is undone: servers may be away.
    pub healing: bool,
    /// What faults are to come.
    pub faults: BTreeSet<Capability>,
    /// The trial's directory.
    pub files: &'a Path,
    /// Where events go.
    pub recorder: &'a Arc<Recorder>,
}

impl SshCluster {
    /// Connects to every machine and finds every server.
    ///
    /// # Errors
    /// An infrastructure failure: a machine is not reached, the cluster is another one, or a server is told to be
    /// elsewhere; a usage failure where systemd would start again what the plan kills, and may not be kept from it,
    /// or where rules between nodes would take the load's own packets.
    pub async fn connect(setup: SshSetup<'_>) -> Result<Self, Failure> {
        let SshSetup { spec, inventory, run, healing, faults, files, recorder } = setup;
        if !spec.sees_zookeeper() {
            return Err(Failure::usage("clusters without ZooKeeper are only connected to so far")
                .with_cure("--bootstrap-server in place of --cluster"));
        }
        let connector = spec.connector()?;
        if healing {
            spec.is_still_there(&connector).await?;
        } else {
            let survey = ClusterSurvey::of(&spec.bootstrap, &connector).await?;
            let brokers = inventory.members().filter_map(|node| node.broker).collect();
            survey.is(spec, &brokers)?;
            survey.is_at(inventory)?;
        }
        let acts_on = |subject| faults.iter().any(|need| need.subject() == subject);
        let guarded = (acts_on(Subject::Servers) || acts_on(Subject::Network)).then_some(run);
        let logs = files.join("logs");
        let servers = SshServers::find(inventory, connector, logs, recorder, guarded).await?;
        if healing {
            servers.hold_as_killed_run();
        }
        let network = match acts_on(Subject::Network) {
            true => Some(SshNetwork::of(&servers, healing).await),
            false => None,
        };
        let network = match network.transpose() {
            Ok(network) => network,
            Err(failure) => return Err(Self::left(&servers, failure).await),
        };
        let mut cluster = Self { servers, network, healing, held: vec![] };
        if !healing && let Err(failure) = cluster.is_ready(&faults).await {
            return Err(Self::left(&cluster.servers, failure).await);
        }
        if faults.contains(&Capability::Signal) && !healing {
            match cluster.servers.hold_restarts().await {
                Ok(held) => cluster.held = held,
                Err(failure) => return Err(Self::left(&cluster.servers, failure).await),
            }
        }
        Ok(cluster)
    }

    /// Refuses a cluster of which a server does not run, or where what faults need may not be run; and starts that.
    ///
    /// # Errors
    /// An infrastructure failure that names it.
    async fn is_ready(&self, faults: &BTreeSet<Capability>) -> Result<(), Failure> {
        if let Some(process) = self.servers.missing() {
            return Err(Failure::infrastructure(format!(
                "{process} does not run, says its driver: it is not kbench that may make it worse"
            )));
        }
        for (name, node) in &self.servers.nodes {
            let refused = look::refused(&node.host, &self.servers.inventory, faults).await;
            if let Some(why) = refused.map_err(unreached)? {
                return Err(Failure::infrastructure(format!("{name}: {why}")).with_cure(
                    "`kbench doctor --cluster FILE` says which line of sudoers is missing there",
                ));
            }
        }
        match &self.network {
            Some(network) => network.prepare(faults).await,
            None => Ok(()),
        }
    }

    /// Why nothing is begun, when the nodes are let go of.
    async fn left(servers: &SshServers, failure: Failure) -> Failure {
        if let Err(left) = servers.leave(false).await {
            tracing::warn!(error = left.text(), "something is left on a node");
        }
        failure
    }
}

#[async_trait(?Send)]
impl RunningCluster for SshCluster {
    fn capabilities(&self) -> BTreeSet<Capability> {
        self.servers.inventory.capabilities()
    }

    fn hosts(&self) -> Vec<Rc<dyn Host>> {
        let members = self.servers.inventory.members();
        let nodes = members.filter_map(|member| self.servers.nodes.get(&member.name));
        nodes.map(|node| Rc::new(node.host.clone()) as _).collect()
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

    fn lost(&self) -> Option<Failure> {
        self.servers.nodes.values().find_map(|node| node.lost())
    }

    fn outlives_kbench(&self) -> bool {
        true
    }

    fn description(&self) -> Description {
        let mut isolation = format!("machines of {}, by ssh", self.servers.inventory.name);
        if !self.held.is_empty() {
            isolation += &format!(" (held off: {})", self.held.join(", "));
        }
        Description { isolation, storage: "places not seen", class_archive: None }
    }

    async fn stop(&self, _: bool) -> Result<(), Failure> {
        // The servers are not kbench's to stop.
        self.servers.leave(!self.healing).await
    }
}
