//! The metadata of a trial's cluster, over its observer, the brokers' protocol and ZooKeeper's.

use std::collections::BTreeMap;
use std::time::Duration;

use async_trait::async_trait;
use faults::port::{Assignment, Capability, ErrorKind, Metadata, PortError, Process, View, ZkMode};
use faults::until;
use results::record::event::{BrokerId, Role};

use crate::cluster::attached::AttachedSpec;
use crate::session;
use crate::trial::lab::Lab;

/// A partition that is left with a single replica is hurt in another way.
const LEAST_REPLICAS: usize = 2;

/// Limit for an observer that lost its ZooKeeper server to follow another one, where a change depends
/// on it: it tries again five times a second, for 5 s each.
const FOLLOWED_LIMIT: Duration = Duration::from_secs(10);

/// How often that is looked at.
const LOOK: Duration = Duration::from_millis(50);

impl Lab {
    /// Refuses where leaders and replicas are not to be moved.
    fn may_move(&self) -> Result<(), PortError> {
        let may = self.cluster.capabilities().contains(&Capability::MoveLeaders);
        let why = "neither leaders nor replicas can be moved on this cluster";
        may.then_some(()).ok_or_else(|| PortError::new(ErrorKind::Unsupported, why))
    }

    /// The cluster as it is now, if need be after the observer has found another server.
    async fn followed(&self) -> Result<View, PortError> {
        until(FOLLOWED_LIMIT, LOOK, async || self.view().await).await
    }
}

fn not_ours(topic: &str) -> PortError {
    PortError::new(ErrorKind::Refused, format!("topic {topic} is not one of the run's own"))
}

#[async_trait(?Send)]
impl Metadata for Lab {
    async fn view(&self) -> Result<View, PortError> {
        Ok(View { group: self.group.clone(), ..self.observer.sees_now()? })
    }

    fn members(&self) -> Vec<Process> {
        self.members.processes()
    }

    async fn zookeeper_modes(&self) -> Result<BTreeMap<BrokerId, ZkMode>, PortError> {
        Ok(self.cluster.servers().zookeeper_modes().await)
    }

    async fn coordinator(&self, group: &str) -> Result<Option<BrokerId>, PortError> {
        Ok(self.admin.coordinator(group).await)
    }

    async fn expire_session(&self, session: i64) -> Result<(), PortError> {
        // Any server that serves can be asked.
        let serving = self.cluster.servers().zookeeper_modes().await;
        let mut servers = self.cluster.servers().processes().into_iter();
        let server = servers.find(|p| p.role == Role::Zookeeper && serving.contains_key(&p.id));
        let none = || PortError::new(ErrorKind::Unreachable, "no ZooKeeper server serves");
        let server = server.ok_or_else(none)?;
        let expired = session::expire(self.cluster.servers().address(&server), session).await;
        expired.map_err(|error| {
            PortError::io(format!("{server} was to end the session {session:#x}"), error)
        })
    }

    async fn move_leaders_away(&self, broker: BrokerId) -> Result<(), PortError> {
        self.may_move()?;
        let view = self.followed().await?;
        let placed = self.members.assignment();
        let led = view.partitions.into_iter().filter(|(partition, state)| {
            state.leader == Some(broker) && placed.contains_key(partition)
        });
        let moved: Assignment = led
            .map(|(partition, state)| {
                let mut replicas = state.replicas;
                replicas.retain(|replica| *replica != broker);
                replicas.push(broker);
                (partition, replicas)
            })
            .collect();
        if moved.is_empty() {
            return Ok(());
        }
        self.admin.lead(&moved).await
    }

    async fn move_replicas_away(&self, broker: BrokerId) -> Result<(), PortError> {
        self.may_move()?;
        let view = self.followed().await?;
        let placed = self.members.assignment();
        let mut moved = Assignment::new();
        for (partition, state) in view.partitions {
            if !placed.contains_key(&partition) || !state.replicas.contains(&broker) {
                continue;
            }
            let spare = view.brokers.iter().find(|id| !state.replicas.contains(id));
            let mut replicas = state.replicas;
            replicas.retain(|replica| *replica != broker);
            replicas.extend(spare);
            if replicas.len() < LEAST_REPLICAS {
                let (topic, number) = partition;
                let why = "no broker is left that could take the replica";
                return Err(PortError::new(ErrorKind::Refused, format!("{topic}-{number}: {why}")));
            }
            moved.insert(partition, replicas);
        }
        self.admin.place(&moved).await
    }

    fn assignment(&self) -> Assignment {
        self.members.assignment()
    }

    async fn assign(&self, assignment: &Assignment) -> Result<(), PortError> {
        self.may_move()?;
        // What a ledger lists may be a stranger's.
        let ours = self.members.topics();
        match assignment.keys().find(|(topic, _)| !ours.contains(topic)) {
            Some((topic, _)) => Err(not_ours(topic)),
            None => self.admin.lead(assignment).await,
        }
    }

    async fn delete_topics(&self, topics: &[String]) -> Result<(), PortError> {
        let ours = self.members.topics();
        let own = |topic: &String| {
            ours.contains(topic) && self.run.is_some_and(|run| AttachedSpec::is_own(topic, run))
        };
        match topics.iter().find(|topic| !own(topic)) {
            Some(topic) => Err(not_ours(topic)),
            None => self.admin.delete_topics(topics).await,
        }
    }
}
