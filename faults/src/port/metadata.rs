//! The cluster's metadata: who leads what, who is registered by which session; and its changes.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use async_trait::async_trait;
use results::record::event::{BrokerId, MetadataPlane, Process};

use super::PortError;

/// The cluster as its metadata plane describes it at one moment.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct View {
    /// Where the facts about controller, brokers and partitions come from.
    pub plane: MetadataPlane,
    /// The controller; `None` while there is none.
    pub controller: Option<BrokerId>,
    /// Registered brokers.
    pub brokers: BTreeSet<BrokerId>,
    /// ZooKeeper sessions that own the registrations.
    pub sessions: BTreeMap<BrokerId, i64>,
    /// Topic of the main load.
    pub topic: String,
    /// Partitions of every topic of the cluster, internal ones included.
    pub partitions: BTreeMap<(String, i32), PartitionView>,
    /// ZooKeeper servers that serve; filled where a target asks for them.
    pub zookeeper: BTreeMap<BrokerId, ZkMode>,
    /// Consumer group of the load, if it has one.
    pub group: Option<String>,
    /// Brokers that coordinate groups; filled for the groups that a target asks for.
    pub coordinators: BTreeMap<String, BrokerId>,
    /// Processes that a fault is on at present; the nemesis fills it.
    pub struck: BTreeSet<Process>,
}

impl View {
    /// Keeps those partitions of `topic` alone whose numbers `exists` holds for.
    pub fn retain_partitions(&mut self, topic: &str, exists: impl Fn(i32) -> bool) {
        let all = (topic.to_owned(), i32::MIN)..=(topic.to_owned(), i32::MAX);
        let gone = self.partitions.range(all).filter(|((_, number), _)| !exists(*number));
        let gone: Vec<_> = gone.map(|(partition, _)| partition.clone()).collect();
        for partition in gone {
            self.partitions.remove(&partition);
        }
    }

    /// Forgets the partitions of topics that `exists` does not hold for.
    pub fn retain_topics(&mut self, exists: impl Fn(&str) -> bool) {
        self.partitions.retain(|(topic, _), _| exists(topic));
    }
}

/// What a ZooKeeper server that serves says of itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ZkMode {
    /// It leads the ensemble, or is all of it.
    Leader,
    /// It follows.
    Follower,
}

/// A topic and the number of a partition.
pub type TopicPartition = (String, i32);

/// Replicas of partitions, the preferred leader first.
pub type Assignment = BTreeMap<TopicPartition, Vec<BrokerId>>;

/// One partition in a [`View`].
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct PartitionView {
    /// Leader; `None` while there is none.
    pub leader: Option<BrokerId>,
    /// In-sync replicas.
    pub isr: Vec<BrokerId>,
    /// Assigned replicas, the preferred leader first.
    pub replicas: Vec<BrokerId>,
}

impl fmt::Display for PartitionView {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.leader {
            Some(leader) => write!(f, "led by {leader}")?,
            None => write!(f, "without leader")?,
        }
        let ids = |brokers: &[BrokerId]| {
            brokers.iter().map(BrokerId::to_string).collect::<Vec<_>>().join(", ")
        };
        write!(f, ", replicas [{}], in sync [{}]", ids(&self.replicas), ids(&self.isr))
    }
}

/// The cluster's metadata, by the word of ZooKeeper and brokers.
#[async_trait(?Send)]
pub trait Metadata {
    /// The cluster as ZooKeeper describes it now. `Unreachable` while nobody follows it: what was
    /// seen last is no answer.
    async fn view(&self) -> Result<View, PortError>;

    /// Every server process that belongs to the cluster, as far as it is known.
    fn members(&self) -> Vec<Process>;

    /// The ZooKeeper servers that serve now, by their own word. One that answers nothing within a
    /// short time-out, or has no quorum, is not among them.
    async fn zookeeper_modes(&self) -> Result<BTreeMap<BrokerId, ZkMode>, PortError>;

    /// The broker that coordinates the consumer group, by the word of any broker; `None` when
    /// nobody says so within a short time-out.
    async fn coordinator(&self, group: &str) -> Result<Option<BrokerId>, PortError>;

    /// Ends the ZooKeeper session with this id, as if it had expired; returns when ZooKeeper has
    /// confirmed it.
    async fn expire_session(&self, session: i64) -> Result<(), PortError>;

    /// Makes `broker` the last of the replicas of every partition that it leads, in the topics of
    /// the load, and elects the first; returns when it leads none of them. The replica sets stay.
    async fn move_leaders_away(&self, broker: BrokerId) -> Result<(), PortError>;

    /// Reassigns every replica that `broker` has of the load's partitions to a broker that has none
    /// of the partition; where there is no such broker, the partition does with one replica less.
    /// Returns when the reassignment is complete.
    async fn move_replicas_away(&self, broker: BrokerId) -> Result<(), PortError>;

    /// The replicas that every partition of the load is to have, whatever faults do to them.
    fn assignment(&self) -> Assignment;

    /// Gives partitions these replicas, in this order, and elects the first of each; returns when all
    /// have caught up and those lead.
    async fn assign(&self, assignment: &Assignment) -> Result<(), PortError>;

    /// Deletes topics that the trial made; returns when no broker names them. Nothing happens to those that are
    /// not there. Topics of others are refused.
    async fn delete_topics(&self, topics: &[String]) -> Result<(), PortError>;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn partitions_that_are_gone_are_forgotten_and_those_of_other_topics_stay() {
        let mut view = View::default();
        for (topic, number) in [("a", 0), ("b", 0), ("b", 1), ("b", 2), ("bb", 1)] {
            view.partitions.insert((topic.to_owned(), number), PartitionView::default());
        }
        let left = |view: &View| {
            let all = view.partitions.keys().map(|(topic, number)| format!("{topic}-{number}"));
            all.collect::<Vec<_>>().join(" ")
        };
        view.retain_partitions("b", |number| number != 1);
        assert_eq!(left(&view), "a-0 b-0 b-2 bb-1");
        view.retain_partitions("b", |_| false);
        assert_eq!(left(&view), "a-0 bb-1");
        view.retain_topics(|topic| topic == "bb");
        assert_eq!(left(&view), "bb-1");
    }
}
