//! Moving replicas and leadership: partitions reassigned, then the preferred leader elected.
//!
//! Where only the order of replicas changes, no data moves.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use faults::port::{Assignment, ErrorKind, PortError, TopicPartition};
use faults::until;
use kafka_protocol::ResponseError;
use kafka_protocol::messages::alter_partition_reassignments_request::{
    ReassignablePartition, ReassignableTopic,
};
use kafka_protocol::messages::elect_leaders_request::TopicPartitions;
use kafka_protocol::messages::list_partition_reassignments_request::ListPartitionReassignmentsTopics;
use kafka_protocol::messages::{
    AlterPartitionReassignmentsRequest, BrokerId as WireBroker, ElectLeadersRequest,
    ListPartitionReassignmentsRequest,
};
use results::record::event::BrokerId;

use super::{Admin, CALL_LIMIT, LOOK, VISIBLE_LIMIT, check, for_many, topic_name};

/// Version of AlterPartitionReassignments that is used.
const REASSIGN_VERSION: i16 = 0;

/// Version of ListPartitionReassignments that is used.
const LIST_VERSION: i16 = 0;

/// Limit for a reassignment to complete: a new replica copies the partition under load.
const COMPLETE_LIMIT: Duration = Duration::from_secs(60);

/// Version of ElectLeaders that is used.
const ELECT_VERSION: i16 = 2;

/// Election type: the preferred replica (KIP-460).
const PREFERRED: i8 = 0;

/// ELECTION_NOT_NEEDED: the preferred replica leads already.
const ELECTION_NOT_NEEDED: i16 = 84;

impl Admin {
    /// Gives partitions these replicas, elects the first of each, and waits until every broker names
    /// them.
    ///
    /// # Errors
    /// When the controller refuses, or a broker does not learn of it in time.
    pub async fn lead(&self, assignment: &Assignment) -> Result<(), PortError> {
        self.place(assignment).await?;
        self.elect(assignment).await?;
        self.await_led(assignment).await
    }

    /// Elects the preferred leader of each partition, and waits until every broker names it.
    ///
    /// # Errors
    /// As [`Admin::lead`].
    pub async fn elect_preferred(&self, assignment: &Assignment) -> Result<(), PortError> {
        self.elect(assignment).await?;
        self.await_led(assignment).await
    }

    /// Cancels what is under way of a reassignment of these partitions; returns of how many.
    ///
    /// # Errors
    /// When the controller does not answer or refuses.
    pub async fn cancel_reassignment(&self, assignment: &Assignment) -> Result<usize, PortError> {
        let under_way = self.under_way(assignment).await?;
        if under_way.is_empty() {
            return Ok(0);
        }
        let open = assignment.keys().filter(|partition| under_way.contains(*partition));
        let open: Vec<_> = open.map(|partition| (partition, None)).collect();
        self.alter(&open).await.map(|()| open.len())
    }

    /// Gives partitions these replicas, and waits until all of them are in sync.
    ///
    /// # Errors
    /// When the controller refuses, or the reassignment does not complete in time.
    pub async fn place(&self, assignment: &Assignment) -> Result<(), PortError> {
        self.place_within(assignment, COMPLETE_LIMIT).await
    }

    /// The same, within another limit.
    ///
    /// # Errors
    /// As [`Admin::place`].
    pub async fn place_within(
        &self,
        assignment: &Assignment,
        limit: Duration,
    ) -> Result<(), PortError> {
        if assignment.is_empty() {
            return Ok(());
        }
        let (current, under_way) =
            (self.replicas(assignment).await?, self.under_way(assignment).await?);
        // While replicas go away they are still listed: that looks like nothing to do.
        let changed: Assignment = assignment
            .iter()
            .filter(|(partition, replicas)| {
                current.get(*partition) != Some(*replicas) || under_way.contains(*partition)
            })
            .map(|(partition, replicas)| (partition.clone(), replicas.clone()))
            .collect();
        if changed.is_empty() {
            return Ok(());
        }
        self.reassign(&changed).await?;
        self.await_placed(&changed, limit).await
    }

    /// Waits until no reassignment of these partitions is under way, and they have these replicas. A controller that does
    /// not answer meanwhile may have died: who is controller then is asked.
    async fn await_placed(
        &self,
        assignment: &Assignment,
        limit: Duration,
    ) -> Result<(), PortError> {
        let placed = until(limit, LOOK, async || match self.unplaced(assignment).await? {
            None => Ok(()),
            Some((topic, partition)) => {
                let limit = limit.as_secs();
                let what = format!(
                    "reassign replicas: {topic}-{partition} is not complete after {limit} s"
                );
                Err(PortError::new(ErrorKind::TimedOut, what))
            }
        });
        placed.await
    }

    /// One of the partitions that is being reassigned, or has not these replicas; `None` when all are
    /// as they should be.
    async fn unplaced(&self, assignment: &Assignment) -> Result<Option<TopicPartition>, PortError> {
        let (under_way, current) =
            (self.under_way(assignment).await?, self.replicas(assignment).await?);
        let mut open = assignment.iter().filter(|(partition, replicas)| {
            current.get(*partition) != Some(*replicas) || under_way.contains(*partition)
        });
        Ok(open.next().map(|(partition, _)| partition.clone()))
    }

    /// Which of these partitions are being reassigned, by the controller's word.
    async fn under_way(
        &self,
        assignment: &Assignment,
    ) -> Result<BTreeSet<(String, i32)>, PortError> {
        let topics = topics_of(assignment).into_iter().map(|topic| {
            ListPartitionReassignmentsTopics::default()
                .with_name(topic_name(topic))
                .with_partition_indexes(of_topic(assignment, topic).map(|(p, _)| p).collect())
        });
        let request = ListPartitionReassignmentsRequest::default()
            .with_timeout_ms(CALL_LIMIT.as_millis() as i32)
            .with_topics(Some(topics.collect()));
        let what = "list reassignments";
        let answer = self.ask_controller(what, LIST_VERSION, &request).await?;
        check(what, answer.error_code, answer.error_message.as_ref())?;
        let listed = answer.topics.iter().flat_map(|topic| {
            let name = topic.name.0.as_str();
            topic.partitions.iter().map(move |p| (name.to_owned(), p.partition_index))
        });
        Ok(listed.collect())
    }

    /// Replicas of these partitions, by the controller's word.
    pub(crate) async fn replicas(&self, assignment: &Assignment) -> Result<Assignment, PortError> {
        let topics = topics_of(assignment);
        let controller = self.controller().await?;
        let metadata = self
            .metadata(controller, &topics)
            .await
            .map_err(|error| PortError::io("read the replicas", error))?;
        let mut replicas = Assignment::new();
        for topic in &metadata.topics {
            let name = topic.name.as_ref().map_or("", |name| name.0.as_str());
            for partition in &topic.partitions {
                replicas.insert(
                    (name.to_owned(), partition.partition_index),
                    partition.replica_nodes.iter().map(|broker| broker.0).collect(),
                );
            }
        }
        Ok(replicas)
    }

    async fn reassign(&self, assignment: &Assignment) -> Result<(), PortError> {
        let all = assignment.iter().map(|(partition, replicas)| (partition, Some(replicas)));
        self.alter(&all.collect::<Vec<_>>()).await
    }

    /// Begins the reassignment of partitions to replicas, or cancels it for those without.
    async fn alter(
        &self,
        all: &[(&TopicPartition, Option<&Vec<BrokerId>>)],
    ) -> Result<(), PortError> {
        let topics = all.chunk_by(|((a, _), _), ((b, _), _)| a == b).map(|of_topic| {
            let partitions = of_topic.iter().map(|((_, partition), replicas)| {
                let wire = |replicas: &Vec<BrokerId>| {
                    replicas.iter().map(|broker| WireBroker(*broker)).collect()
                };
                ReassignablePartition::default()
                    .with_partition_index(*partition)
                    .with_replicas(replicas.map(wire))
            });
            let name = of_topic.first().map_or("", |((name, _), _)| name);
            ReassignableTopic::default()
                .with_name(topic_name(name))
                .with_partitions(partitions.collect())
        });
        let request = AlterPartitionReassignmentsRequest::default()
            .with_timeout_ms(CALL_LIMIT.as_millis() as i32)
            .with_topics(topics.collect());
        let what = "reassign the replicas";
        let answer = self.ask_controller(what, REASSIGN_VERSION, &request).await?;
        check(what, answer.error_code, answer.error_message.as_ref())?;
        for topic in &answer.responses {
            for partition in &topic.partitions {
                let what =
                    format!("{what} of {}-{}", topic.name.0.as_str(), partition.partition_index);
                // One that was to be cancelled is complete meanwhile.
                if partition.error_code != ResponseError::NoReassignmentInProgress.code() {
                    check(what, partition.error_code, partition.error_message.as_ref())?;
                }
            }
        }
        Ok(())
    }

    async fn elect(&self, assignment: &Assignment) -> Result<(), PortError> {
        let topics = topics_of(assignment).into_iter().map(|topic| {
            TopicPartitions::default()
                .with_topic(topic_name(topic))
                .with_partitions(of_topic(assignment, topic).map(|(p, _)| p).collect())
        });
        let request = ElectLeadersRequest::default()
            .with_election_type(PREFERRED)
            .with_topic_partitions(Some(topics.collect()))
            .with_timeout_ms(CALL_LIMIT.as_millis() as i32);
        let what = "elect preferred leaders";
        let answer = self.ask_controller(what, ELECT_VERSION, &request).await?;
        check(what, answer.error_code, None)?;
        for topic in &answer.replica_election_results {
            for result in &topic.partition_result {
                let what = format!("{what} of {}-{}", topic.topic.0.as_str(), result.partition_id);
                if result.error_code != ELECTION_NOT_NEEDED {
                    check(what, result.error_code, result.error_message.as_ref())?;
                }
            }
        }
        Ok(())
    }

    /// Waits until every broker names the first replica of each partition as its leader.
    pub(super) async fn await_led(&self, assignment: &Assignment) -> Result<(), PortError> {
        for broker in self.brokers() {
            let limit = for_many(VISIBLE_LIMIT, assignment.len());
            let named = until(limit, LOOK, async || {
                let is_left_out = !self.brokers().contains(&broker);
                if is_left_out || self.knows_leaders(broker, assignment).await {
                    return Ok(());
                }
                let topics = listed(&topics_of(assignment));
                let what = format!("broker {broker} does not name the new leaders of {topics}");
                Err(PortError::new(ErrorKind::TimedOut, what))
            });
            named.await?;
        }
        Ok(())
    }

    /// Whether a broker names the first replica of each of these partitions as its leader.
    async fn knows_leaders(&self, broker: BrokerId, assignment: &Assignment) -> bool {
        let Ok(metadata) = self.metadata(broker, &topics_of(assignment)).await else {
            return false;
        };
        let named = metadata.topics.iter().flat_map(|topic| {
            let name = topic.name.as_ref().map_or("", |name| name.0.as_str());
            topic.partitions.iter().map(move |p| ((name, p.partition_index), p.leader_id.0))
        });
        let named: BTreeMap<_, _> = named.collect();
        assignment.iter().all(|((topic, partition), replicas)| {
            named.get(&(topic.as_str(), *partition)) == replicas.first()
        })
    }
}

/// Some topics in words: the first of many, and how many more.
fn listed(topics: &[&str]) -> String {
    const MOST: usize = 5;
    let more = topics.len().saturating_sub(MOST);
    let named = topics.iter().take(MOST).copied().collect::<Vec<_>>().join(", ");
    if more > 0 { format!("{named} and {more} more") } else { named }
}

pub(super) fn topics_of(assignment: &Assignment) -> Vec<&str> {
    let mut topics: Vec<&str> = assignment.keys().map(|(topic, _)| topic.as_str()).collect();
    topics.dedup();
    topics
}

fn of_topic<'a>(
    assignment: &'a Assignment,
    topic: &'a str,
) -> impl Iterator<Item = (i32, &'a Vec<BrokerId>)> {
    assignment
        .iter()
        .filter(move |((of, _), _)| of == topic)
        .map(|((_, partition), replicas)| (*partition, replicas))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn many_topics_are_named_by_some() {
        assert_eq!(listed(&["a", "b"]), "a, b");
        assert_eq!(listed(&["a", "b", "c", "d", "e", "f", "g"]), "a, b, c, d, e and 2 more");
    }
}
