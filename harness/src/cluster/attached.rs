//! A cluster that runs already and is only connected to: its brokers' addresses, and nothing of their hosts.
//!
//! There is no network, machine or process to act on, and none is stopped at the end. What can be done is what
//! Kafka's own protocol does: load, moves of leaders and replicas of topics that are kbench's. What is absent:
//! starting, seeing or ending a server.

mod lock;
mod secured;
mod survey;

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::rc::Rc;

use async_trait::async_trait;
use faults::port::{Capability, Machine, Network, Process, Subject};
use results::record::event::{BrokerId, MetadataPlane, Role};
use serde::{Deserialize, Serialize};

use super::docker::adopted::AdoptedSpec;
use super::host::Host;
use super::servers::{ServerAddresses, ServerProcesses};
use super::ssh::Inventory;
use super::{Description, RunningCluster};
use crate::failure::Failure;
use crate::wire::Connector;
pub use lock::{CoordinatorLock, LockHolder};
pub use secured::SecuredBy;
pub use survey::{ClusterSurvey, SurveyedBroker};

/// A cluster that runs already, as a spec names it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AttachedSpec {
    /// `host:port` of some of its brokers, separated by commas.
    pub bootstrap: String,
    /// Kafka's own id of the cluster: another one at the same address is another cluster.
    pub cluster_id: String,
    /// Whether it does without ZooKeeper.
    pub kraft: bool,
    /// How it is connected to; `None` for plain text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secured: Option<SecuredBy>,
    /// Whether the run's topics stay when it is over.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub keep_topics: bool,
    /// Its machines, where they are reached; none of one that is only connected to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub inventory: Option<Inventory>,
    /// Its containers, where they are this machine's and adopted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub containers: Option<AdoptedSpec>,
}

impl AttachedSpec {
    /// What can be done to it.
    pub fn capabilities(&self) -> BTreeSet<Capability> {
        Capability::ALL.into_iter().filter(|need| self.missing(*need).is_none()).collect()
    }

    /// Why something cannot be done to it; `None` when it can.
    pub fn missing(&self, need: Capability) -> Option<&'static str> {
        if let Some(inventory) = self.inventory.as_ref().filter(|_| !self.kraft) {
            return inventory.missing(need);
        }
        if let Some(adopted) = self.containers.as_ref().filter(|_| !self.kraft) {
            return adopted.inventory.missing(need);
        }
        match (need, need.subject()) {
            (_, Subject::Clients) => None,
            (Capability::MoveLeaders, _) if !self.kraft => None,
            (Capability::MoveLeaders, _) => Some(
                "that is not done to KRaft clusters so far: load, checks and client faults are",
            ),
            (_, Subject::Metadata) => Some("that needs a way to its ZooKeeper"),
            (_, Subject::Servers | Subject::Network | Subject::Machine) => {
                Some("that needs its hosts")
            }
        }
    }

    /// How its brokers are connected to: by the file that the run was started with.
    ///
    /// # Errors
    /// When the file is not there any more, or says something else.
    pub fn connector(&self) -> Result<Connector, Failure> {
        self.secured.as_ref().map_or_else(|| Ok(Connector::default()), SecuredBy::connector)
    }

    /// Whether its ZooKeeper can be followed.
    pub fn sees_zookeeper(&self) -> bool {
        (self.inventory.is_some() || self.containers.is_some()) && !self.kraft
    }

    /// Which metadata plane can be followed where ZooKeeper cannot.
    pub fn plane(&self) -> MetadataPlane {
        if self.kraft { MetadataPlane::KraftBrokers } else { MetadataPlane::Brokers }
    }

    /// The name of a topic or group that is run `number`'s alone; `base` is what it is called elsewhere.
    pub fn own(base: &str, number: u64) -> String {
        format!("{base}{}", own_ending(number))
    }

    /// Whether a name is one of run `number`'s own.
    pub fn is_own(name: &str, number: u64) -> bool {
        name.strip_suffix(&*own_ending(number)).is_some_and(|base| !base.is_empty())
    }
}

/// What names of a run end with on a cluster that others use.
fn own_ending(number: u64) -> String {
    format!("-kb{:08x}", number & 0xffff_ffff)
}

/// A cluster that is connected to.
pub struct AttachedCluster {
    spec: AttachedSpec,
    brokers: BTreeMap<BrokerId, SocketAddr>,
    connector: Connector,
}

impl AttachedCluster {
    /// Connects to the cluster that the spec names, which is to have these brokers.
    ///
    /// # Errors
    /// An infrastructure failure when it cannot be reached, is another cluster, or has other brokers.
    pub async fn connect(
        spec: &AttachedSpec,
        expected: &BTreeSet<BrokerId>,
    ) -> Result<Self, Failure> {
        let connector = spec.connector()?;
        let survey = ClusterSurvey::of(&spec.bootstrap, &connector).await?;
        survey.is(spec, expected)?;
        let brokers = survey.brokers.into_iter().map(|(id, broker)| (id, broker.address));
        Ok(Self { spec: spec.clone(), brokers: brokers.collect(), connector })
    }
}

/// What the node of a broker is called.
pub fn node_name(broker: BrokerId) -> String {
    format!("broker-{broker}")
}

#[async_trait(?Send)]
impl ServerAddresses for AttachedCluster {
    fn processes(&self) -> Vec<Process> {
        let broker = |id: &BrokerId| Process { node: node_name(*id), role: Role::Broker, id: *id };
        self.brokers.keys().map(broker).collect()
    }

    fn address(&self, process: &Process) -> SocketAddr {
        let unknown = SocketAddr::from(([0, 0, 0, 0], 0));
        self.brokers.get(&process.id).copied().unwrap_or(unknown)
    }

    fn bootstrap(&self) -> String {
        self.spec.bootstrap.clone()
    }

    fn connector(&self) -> Connector {
        self.connector.clone()
    }
}

#[async_trait(?Send)]
impl RunningCluster for AttachedCluster {
    fn capabilities(&self) -> BTreeSet<Capability> {
        self.spec.capabilities()
    }

    fn hosts(&self) -> Vec<Rc<dyn Host>> {
        vec![]
    }

    fn servers(&self) -> &dyn ServerAddresses {
        self
    }

    fn processes(&self) -> Option<&dyn ServerProcesses> {
        None
    }

    fn network(&self) -> Option<&dyn Network> {
        None
    }

    fn machine(&self) -> Option<&dyn Machine> {
        None
    }

    fn outlives_kbench(&self) -> bool {
        true
    }

    fn description(&self) -> Description {
        Description {
            isolation: format!("only connected to at {}", self.spec.bootstrap),
            storage: "places not seen",
            class_archive: None,
        }
    }

    async fn stop(&self, _: bool) -> Result<(), Failure> {
        // It is not kbench's to stop.
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spec(kraft: bool) -> AttachedSpec {
        let (bootstrap, cluster_id) = ("h:9092".to_owned(), "id".to_owned());
        AttachedSpec {
            bootstrap,
            cluster_id,
            kraft,
            secured: None,
            keep_topics: false,
            inventory: None,
            containers: None,
        }
    }

    #[test]
    fn what_needs_a_host_or_zookeeper_is_not_to_be_had_and_what_the_protocol_does_is() {
        let names = |kraft| spec(kraft).capabilities().into_iter().map(Capability::as_str);
        assert_eq!(names(false).collect::<Vec<_>>(), ["move-leaders", "clients", "workers"]);
        assert_eq!(names(true).collect::<Vec<_>>(), ["clients", "workers"]);
    }

    #[test]
    fn a_name_is_a_run_s_own_by_its_whole_ending() {
        let own = AttachedSpec::own("user-events", 0xabc_1234_5678);
        assert_eq!(own, "user-events-kb12345678");
        assert!(AttachedSpec::is_own(&own, 0xabc_1234_5678));
        for (name, number) in [
            ("user-events", 0x1234_5678),
            ("user-events-kb12345678", 0x1234_5679),
            ("-kb12345678", 0x1234_5678),
            ("user-events-kb12345678x", 0x1234_5678),
        ] {
            assert!(!AttachedSpec::is_own(name, number), "{name}");
        }
    }
}
