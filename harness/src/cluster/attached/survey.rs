//! What a cluster that runs already tells of itself, asked before anything is done to it: who it is, its
//! brokers, their settings, whether it is whole.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use faults::port::Process;
use kafka_protocol::messages::{MetadataRequest, MetadataResponse};
use results::record::event::{BrokerId, Role};
use results::terminal::counted;

use super::{AttachedSpec, node_name};
use crate::admin::{Admin, METADATA_VERSION};
use crate::cluster::ssh::Inventory;
use crate::failure::Failure;
use crate::membership::{Member, Membership};
use crate::runtime::runtime;
use crate::wire::{self, AccessError, Connection, Connector};

/// Limit for a connection and for an answer of a broker, which may be far away.
const LIMIT: Duration = Duration::from_secs(10);

/// How many of the partitions that are not well are named.
const NAMED: usize = 3;

/// The cure where a broker tells an address that cannot be used.
const ADVERTISED: &str =
    "clients connect to the addresses in advertised.listeners: those must be reachable from here";

/// A cluster as it tells of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClusterSurvey {
    /// As it was asked for.
    pub bootstrap: String,
    /// Kafka's own id of the cluster.
    pub cluster_id: String,
    /// Whether it does without ZooKeeper.
    pub kraft: bool,
    /// Its brokers.
    pub brokers: BTreeMap<BrokerId, SurveyedBroker>,
    /// The settings of each broker that are in force.
    pub settings: BTreeMap<BrokerId, BTreeMap<String, String>>,
    /// Names of all topics, internal ones included.
    pub topics: BTreeSet<String>,
    /// Its consumer groups, as far as the user may know of them.
    pub groups: BTreeSet<String>,
    /// Partitions without leader, or with fewer in-sync replicas than they are to have, in words.
    pub unwell: Vec<String>,
}

/// A broker of a cluster that was asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SurveyedBroker {
    /// Where it takes connections.
    pub address: SocketAddr,
    /// Its rack, if it has one.
    pub rack: Option<String>,
}

impl ClusterSurvey {
    /// Asks the cluster with these brokers, `HOST:PORT[,HOST:PORT...]`.
    ///
    /// # Errors
    /// A usage failure for what is no list of addresses; an infrastructure failure that names each address with
    /// why it cannot be used, or the broker that does not answer.
    pub async fn of(bootstrap: &str, connector: &Connector) -> Result<Self, Failure> {
        let metadata = all_metadata(&addresses(bootstrap)?, connector).await?;
        let cluster_id = metadata.cluster_id.as_ref().map(|id| id.as_str().to_owned());
        let cluster_id = cluster_id.filter(|id| is_id(id)).ok_or_else(|| {
            Failure::infrastructure(format!(
                "the brokers at {bootstrap} tell no id of their cluster, or none that can be one"
            ))
        })?;
        let mut brokers = BTreeMap::new();
        for broker in &metadata.brokers {
            let rack = broker.rack.as_ref().map(|rack| rack.as_str().to_owned());
            let (host, port) = (broker.host.as_str(), broker.port);
            let address = reachable(host, port, connector).await.map_err(|why| {
                let id = broker.node_id.0;
                let cure = AccessError::of(&why).map_or(ADVERTISED, AccessError::cure);
                Failure::infrastructure(format!(
                    "broker {id}, which is told to be at {host}:{port}: {why}"
                ))
                .with_cure(cure)
            })?;
            brokers.insert(broker.node_id.0, SurveyedBroker { address, rack });
        }
        let member = |(id, broker): (&BrokerId, &SurveyedBroker)| Member {
            process: Process { node: node_name(*id), role: Role::Broker, id: *id },
            address: broker.address,
        };
        let members = Membership::new(brokers.iter().map(member).collect());
        let admin = Admin::new(Arc::new(members.reached_by(connector.clone())));
        let mut settings = BTreeMap::new();
        for broker in brokers.keys() {
            settings.insert(*broker, admin.broker_config(*broker).await?);
        }
        let is_set = |settings: &BTreeMap<String, String>, key: &str| {
            settings.get(key).is_some_and(|value| !value.trim().is_empty())
        };
        let kraft = settings.values().any(|settings| is_set(settings, "process.roles"));
        let named = |topic: &kafka_protocol::messages::metadata_response::MetadataResponseTopic| {
            topic.name.as_ref().map(|name| name.0.as_str().to_owned())
        };
        Ok(Self {
            bootstrap: bootstrap.to_owned(),
            cluster_id,
            kraft,
            brokers,
            settings,
            topics: metadata.topics.iter().filter_map(named).collect(),
            groups: admin.groups().await,
            unwell: unwell(&metadata),
        })
    }

    /// What others have on it, in a sentence; it is left alone.
    pub fn others(&self) -> String {
        let topics = counted(self.topics.len() as u64, "topic");
        let groups = counted(self.groups.len() as u64, "consumer group");
        let mut named: Vec<&str> = self.groups.iter().map(String::as_str).take(NAMED).collect();
        if self.groups.len() > NAMED {
            named.push("...");
        }
        let named =
            if named.is_empty() { String::new() } else { format!(" ({})", named.join(", ")) };
        format!("there already, and left alone: {topics}, {groups}{named}")
    }

    /// [`Self::of`], for who is in no runtime.
    ///
    /// # Errors
    /// As [`Self::of`].
    pub fn blocking(bootstrap: &str, connector: &Connector) -> Result<Self, Failure> {
        runtime()?.block_on(Self::of(bootstrap, connector))
    }

    /// Refuses brokers that are told to be elsewhere than the inventory has them: faults would hit others than the
    /// load goes to.
    ///
    /// # Errors
    /// An infrastructure failure that names the broker and both addresses.
    pub fn is_at(&self, inventory: &Inventory) -> Result<(), Failure> {
        for process in inventory.processes().into_iter().filter(|it| it.role == Role::Broker) {
            let there = inventory.address(&process);
            let told = self.brokers.get(&process.id).map(|broker| broker.address);
            if told.is_none() {
                let why = format!("{process} of the inventory is not in the cluster's metadata");
                return Err(Failure::infrastructure(why)
                    .with_cure("start it, or take it out of the inventory (`standby = true`)"));
            }
            if there != told {
                let name = |address: Option<SocketAddr>| {
                    address.map_or_else(String::new, |address| address.to_string())
                };
                return Err(Failure::infrastructure(format!(
                    "{process} is at {} in the inventory, and at {} by its own word",
                    name(there),
                    name(told)
                ))
                .with_cure("let advertised.listeners and the inventory name the same address"));
            }
        }
        Ok(())
    }

    /// The cluster as a spec names it.
    pub fn as_spec(&self, keep_topics: bool) -> AttachedSpec {
        AttachedSpec {
            bootstrap: self.bootstrap.clone(),
            cluster_id: self.cluster_id.clone(),
            kraft: self.kraft,
            secured: None,
            keep_topics,
            inventory: None,
            containers: None,
        }
    }

    /// Refuses a cluster that is not well already: it is not kbench that may make it worse.
    ///
    /// # Errors
    /// An infrastructure failure that names what is not well.
    pub fn is_whole(&self) -> Result<(), Failure> {
        if self.unwell.is_empty() {
            return Ok(());
        }
        let all = self.unwell.len();
        let mut told: Vec<&str> = self.unwell.iter().take(NAMED).map(String::as_str).collect();
        let others = format!("{} more", all.saturating_sub(NAMED));
        if all > NAMED {
            told.push(&others);
        }
        Err(Failure::infrastructure(format!(
            "the cluster at {} is not well already, and is left alone: {}",
            self.bootstrap,
            told.join("; ")
        ))
        .with_cure("see to it that every partition has a leader and all its replicas in sync"))
    }

    /// Refuses another cluster than the spec's, or one that has other brokers now.
    ///
    /// # Errors
    /// An infrastructure failure that says what it is instead.
    pub fn is(&self, spec: &AttachedSpec, expected: &BTreeSet<BrokerId>) -> Result<(), Failure> {
        let at = &spec.bootstrap;
        spec.is_cluster(&self.cluster_id)?;
        let now: BTreeSet<BrokerId> = self.brokers.keys().copied().collect();
        if now != *expected {
            let list = |ids: &BTreeSet<BrokerId>| {
                ids.iter().map(BrokerId::to_string).collect::<Vec<_>>().join(", ")
            };
            return Err(Failure::infrastructure(format!(
                "the cluster at {at} has the brokers {} now, and the run is for {}",
                list(&now),
                list(expected)
            )));
        }
        Ok(())
    }
}

impl AttachedSpec {
    /// Refuses another cluster than this one, whose brokers may be away: it is to be healed.
    ///
    /// # Errors
    /// An infrastructure failure when no broker answers, or it is another cluster.
    pub async fn is_still_there(&self, connector: &Connector) -> Result<(), Failure> {
        let metadata = all_metadata(&addresses(&self.bootstrap)?, connector).await?;
        let id = metadata.cluster_id.as_ref().map(|id| id.as_str().to_owned());
        self.is_cluster(&id.filter(|id| is_id(id)).unwrap_or_default())
    }

    fn is_cluster(&self, id: &str) -> Result<(), Failure> {
        if id == self.cluster_id {
            return Ok(());
        }
        let (at, own) = (&self.bootstrap, &self.cluster_id);
        let why = format!("the cluster at {at} is {id}, and the run is for {own}");
        Err(Failure::infrastructure(why))
    }
}

/// Whether a text can be the id of a cluster: a UUID in base 64, or something as plain.
fn is_id(text: &str) -> bool {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
    (1..=64).contains(&text.len()) && text.chars().all(plain)
}

/// The addresses in a list, as they are written.
pub(super) fn addresses(bootstrap: &str) -> Result<Vec<(String, u16)>, Failure> {
    let one = |address: &str| {
        let (host, port) = address.rsplit_once(':')?;
        let host = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
        let port = port.parse().ok().filter(|port| *port > 0)?;
        (!host.is_empty()).then(|| (host.to_owned(), port))
    };
    let each = bootstrap.split(',').map(str::trim);
    each.map(|address| {
        one(address).ok_or_else(|| {
            Failure::usage(format!("--bootstrap-server: `{address}` is no address of a broker"))
                .with_cure("HOST:PORT, several separated by commas")
        })
    })
    .collect()
}

/// The metadata of everything, by the first of these addresses that answers.
async fn all_metadata(
    addresses: &[(String, u16)],
    connector: &Connector,
) -> Result<MetadataResponse, Failure> {
    let mut failed = vec![];
    let mut cure = None;
    for (host, port) in addresses {
        let asked = async {
            let address = reachable(host, i32::from(*port), connector).await?;
            let mut connection = wire::connect(connector, address, LIMIT).await?;
            let request =
                MetadataRequest::default().with_topics(None).with_allow_auto_topic_creation(false);
            ask(&mut connection, &request).await
        };
        match asked.await {
            Ok(answer) => return Ok(answer),
            Err(error) => {
                cure = cure.or(AccessError::of(&error).map(AccessError::cure));
                failed.push(format!("{host}:{port}: {error}"));
            }
        }
    }
    let failure = Failure::infrastructure(format!("no broker can be asked: {}", failed.join("; ")));
    Err(failure
        .with_cure(cure.unwrap_or("name a listener of the brokers as clients reach it from here")))
}

async fn ask(
    connection: &mut Connection,
    request: &MetadataRequest,
) -> io::Result<MetadataResponse> {
    connection.call(METADATA_VERSION, request, LIMIT).await
}

/// The first address of a host that lets the client in.
pub(super) async fn reachable(
    host: &str,
    port: i32,
    connector: &Connector,
) -> io::Result<SocketAddr> {
    let port = u16::try_from(port).map_err(|_| io::Error::other(format!("{port} is no port")))?;
    let mut last = io::Error::other("the name has no address");
    for address in connector.resolve(host, port).await? {
        match wire::connect(connector, address, LIMIT).await {
            Ok(_) => return Ok(address),
            Err(error) => last = error,
        }
    }
    Err(last)
}

/// The partitions that are not well, in words.
fn unwell(metadata: &MetadataResponse) -> Vec<String> {
    let mut unwell = vec![];
    for topic in &metadata.topics {
        let name = topic.name.as_ref().map_or("?", |name| name.0.as_str());
        for partition in &topic.partitions {
            let (number, replicas) = (partition.partition_index, partition.replica_nodes.len());
            let in_sync = partition.isr_nodes.len();
            if partition.leader_id.0 < 0 {
                unwell.push(format!("{name}-{number} has no leader"));
            } else if in_sync < replicas {
                unwell
                    .push(format!("{name}-{number} has {in_sync} of {replicas} replicas in sync"));
            }
        }
    }
    unwell
}

#[cfg(test)]
mod tests {
    use kafka_protocol::messages::BrokerId as WireBroker;
    use kafka_protocol::messages::metadata_response::{
        MetadataResponsePartition, MetadataResponseTopic,
    };
    use workloads::wire::topic_name;

    use super::*;

    #[test]
    fn addresses_are_hosts_with_ports() {
        let two = addresses("a:9092, [::1]:9093").unwrap();
        assert_eq!(two, [("a".to_owned(), 9092), ("::1".to_owned(), 9093)]);
        for bad in ["", "a", "a:", ":9092", "a:0", "a:70000", "a:9092,", "a:x"] {
            let refused = addresses(bad).unwrap_err();
            assert!(
                refused.text().contains("is no address of a broker"),
                "{bad}: {}",
                refused.text()
            );
        }
    }

    #[tokio::test]
    async fn every_address_is_tried_and_told_with_its_cause() {
        let nobody = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let hangs_up = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let secured = hangs_up.local_addr().unwrap();
        std::thread::spawn(move || hangs_up.incoming().for_each(drop));
        let refused = ClusterSurvey::of(&format!("{nobody},{secured}"), &Connector::default())
            .await
            .unwrap_err();
        for words in [nobody.to_string(), secured.to_string(), "refused".to_owned()] {
            assert!(refused.text().contains(&words), "{}", refused.text());
        }
        assert!(refused.cure().unwrap().contains("--command-config"), "{:?}", refused.cure());
        let refused =
            ClusterSurvey::of(&nobody.to_string(), &Connector::default()).await.unwrap_err();
        assert!(!refused.cure().unwrap().contains("--command-config"), "{:?}", refused.cure());
    }

    #[test]
    fn what_has_no_leader_or_too_few_in_sync_is_named() {
        let partition = |number, leader: i32, isr: &[i32]| {
            let of = |ids: &[i32]| ids.iter().copied().map(WireBroker).collect::<Vec<_>>();
            MetadataResponsePartition::default()
                .with_partition_index(number)
                .with_leader_id(WireBroker(leader))
                .with_replica_nodes(of(&[1, 2]))
                .with_isr_nodes(of(isr))
        };
        let partitions = [partition(0, 1, &[1, 2]), partition(1, -1, &[]), partition(2, 2, &[2])];
        let topic = MetadataResponseTopic::default()
            .with_name(Some(topic_name("t")))
            .with_partitions(partitions.into());
        let seen = unwell(&MetadataResponse::default().with_topics(vec![topic]));
        assert_eq!(seen, ["t-1 has no leader", "t-2 has 1 of 2 replicas in sync"]);
    }

    #[test]
    fn another_cluster_and_other_brokers_are_refused() {
        let broker = SurveyedBroker { address: ([127, 0, 0, 1], 9).into(), rack: None };
        let survey = ClusterSurvey {
            bootstrap: "h:1".to_owned(),
            cluster_id: "one".to_owned(),
            kraft: false,
            brokers: [(1, broker)].into(),
            settings: BTreeMap::new(),
            topics: BTreeSet::new(),
            groups: BTreeSet::new(),
            unwell: vec!["t-0 has no leader".to_owned(); 5],
        };
        let spec = |id: &str| AttachedSpec {
            bootstrap: "h:1".to_owned(),
            cluster_id: id.to_owned(),
            kraft: false,
            secured: None,
            keep_topics: false,
            inventory: None,
            containers: None,
        };
        assert!(survey.is(&spec("one"), &[1].into()).is_ok());
        let other = survey.is(&spec("two"), &[1].into()).unwrap_err();
        assert!(other.text().contains("is one, and the run is for two"), "{}", other.text());
        let more = survey.is(&spec("one"), &[1, 2].into()).unwrap_err();
        assert!(more.text().contains("brokers 1 now, and the run is for 1, 2"), "{}", more.text());
        let whole = survey.is_whole().unwrap_err();
        assert!(whole.text().ends_with("2 more"), "{}", whole.text());
    }
}
