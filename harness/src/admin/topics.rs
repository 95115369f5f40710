//! Creating topics, and adding partitions to them.

use std::collections::BTreeMap;

use faults::port::{Assignment, ErrorKind, PortError};
use faults::until;
use kafka_protocol::ResponseError;
use kafka_protocol::messages::create_partitions_request::{
    CreatePartitionsAssignment, CreatePartitionsTopic,
};
use kafka_protocol::messages::create_topics_request::{
    CreatableReplicaAssignment, CreatableTopic, CreatableTopicConfig,
};
use kafka_protocol::messages::{
    BrokerId as WireBroker, CreatePartitionsRequest, CreateTopicsRequest, DeleteTopicsRequest,
    MetadataResponse,
};
use kafka_protocol::protocol::StrBytes;
use results::record::event::BrokerId;

use super::{Admin, CALL_LIMIT, LOOK, VISIBLE_LIMIT, check, topic_name};

/// Version of CreateTopics that is used.
const VERSION: i16 = 5;

/// Version of DeleteTopics that is used: by name.
const DELETE_VERSION: i16 = 4;

/// Version of CreatePartitions that is used.
const PARTITIONS_VERSION: i16 = 1;

/// A topic to be created.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewTopic {
    /// Name.
    pub name: String,
    /// Replicas of each partition, the preferred leader first.
    pub assignment: Vec<Vec<BrokerId>>,
    /// Its configuration.
    pub config: BTreeMap<String, String>,
}

impl Admin {
    /// Creates topics and waits until every broker names the preferred leader of every partition.
    ///
    /// # Errors
    /// When the controller refuses, or a broker does not learn of it in time.
    pub async fn create_topics(&self, topics: &[NewTopic]) -> Result<(), PortError> {
        self.await_brokers().await?;
        self.ask_to_create(topics, false).await?;
        for topic in topics {
            self.await_leaders(topic).await?;
        }
        Ok(())
    }

    /// Whether topics could be created, which are not by this.
    ///
    /// # Errors
    /// When the controller refuses: they may not be created, are there already, or cannot be as they are wanted.
    pub async fn may_create(&self, topics: &[NewTopic]) -> Result<(), PortError> {
        self.ask_to_create(topics, true).await
    }

    async fn ask_to_create(&self, topics: &[NewTopic], try_only: bool) -> Result<(), PortError> {
        let request = CreateTopicsRequest::default()
            .with_topics(topics.iter().map(creatable).collect())
            .with_validate_only(try_only)
            .with_timeout_ms(CALL_LIMIT.as_millis() as i32);
        let answer = self.ask_controller("create topics", VERSION, &request).await?;
        for topic in &answer.topics {
            let what = format!("create topic {}", topic.name.0.as_str());
            check(what, topic.error_code, topic.error_message.as_ref())?;
        }
        Ok(())
    }

    /// Deletes topics if they are there, and creates them anew.
    ///
    /// # Errors
    /// As [`Self::create_topics`] and [`Self::delete_topics`].
    pub async fn recreate_topics(&self, topics: &[NewTopic]) -> Result<(), PortError> {
        let names: Vec<_> = topics.iter().map(|topic| topic.name.clone()).collect();
        self.delete_topics(&names).await?;
        for topic in topics {
            let topic = std::slice::from_ref(topic);
            // Refused as long as a broker still deletes its replicas.
            until(VISIBLE_LIMIT, LOOK, async || self.create_topics(topic).await).await?;
        }
        Ok(())
    }

    /// Deletes topics; returns when no broker names a partition of them. Nothing happens to those that
    /// are not there.
    ///
    /// # Errors
    /// When the controller refuses, or a broker does not learn of it in time.
    pub async fn delete_topics(&self, topics: &[String]) -> Result<(), PortError> {
        let request = DeleteTopicsRequest::default()
            .with_topic_names(topics.iter().map(|topic| topic_name(topic)).collect())
            .with_timeout_ms(CALL_LIMIT.as_millis() as i32);
        let answer = self.ask_controller("delete topics", DELETE_VERSION, &request).await?;
        for topic in &answer.responses {
            if topic.error_code != ResponseError::UnknownTopicOrPartition.code() {
                let name = topic.name.as_ref().map_or("?", |name| name.0.as_str());
                check(format!("delete topic {name}"), topic.error_code, None)?;
            }
        }
        for topic in topics {
            self.await_absent(topic).await?;
        }
        Ok(())
    }

    /// Waits until no broker names a partition of a topic.
    async fn await_absent(&self, topic: &str) -> Result<(), PortError> {
        for broker in self.brokers() {
            let absent = until(VISIBLE_LIMIT, LOOK, async || {
                let known = self.metadata(broker, &[topic]).await;
                let absent =
                    |m: MetadataResponse| m.topics.iter().all(|topic| topic.partitions.is_empty());
                if known.is_ok_and(absent) {
                    return Ok(());
                }
                let what = format!("broker {broker} still has topic {topic}");
                Err(PortError::new(ErrorKind::TimedOut, what))
            });
            absent.await?;
        }
        Ok(())
    }

    /// Waits until every broker knows every broker.
    async fn await_brokers(&self) -> Result<(), PortError> {
        let brokers = self.brokers();
        for broker in brokers.iter().copied() {
            let knows_all = until(VISIBLE_LIMIT, LOOK, async || {
                let known = self.metadata(broker, &[]).await.map_or(0, |m| m.brokers.len());
                if known == brokers.len() {
                    return Ok(());
                }
                let what = format!("broker {broker} knows {known} brokers of {}", brokers.len());
                Err(PortError::new(ErrorKind::TimedOut, what))
            });
            knows_all.await?;
        }
        Ok(())
    }

    /// Adds partitions to a topic that has `before` of them, and waits until every broker names the
    /// preferred leader of each.
    ///
    /// # Errors
    /// When the controller refuses, or a broker does not learn of it in time.
    pub async fn create_partitions(
        &self,
        topic: &str,
        before: u32,
        replicas: &[Vec<BrokerId>],
    ) -> Result<(), PortError> {
        let count = before as i32 + replicas.len() as i32;
        let assignments = replicas.iter().map(|replicas| {
            CreatePartitionsAssignment::default().with_broker_ids(wire_brokers(replicas))
        });
        let wanted = CreatePartitionsTopic::default()
            .with_name(topic_name(topic))
            .with_count(count)
            .with_assignments(Some(assignments.collect()));
        let request = CreatePartitionsRequest::default()
            .with_topics(vec![wanted])
            .with_timeout_ms(CALL_LIMIT.as_millis() as i32);
        let what = format!("add partitions to topic {topic}");
        let answer = self.ask_controller(&what, PARTITIONS_VERSION, &request).await?;
        for result in &answer.results {
            check(&what, result.error_code, result.error_message.as_ref())?;
        }
        let led: Assignment = (before as i32..)
            .zip(replicas)
            .map(|(p, r)| ((topic.to_owned(), p), r.clone()))
            .collect();
        self.await_led(&led).await
    }

    async fn await_leaders(&self, topic: &NewTopic) -> Result<(), PortError> {
        let each = (0..).zip(&topic.assignment);
        let led = each.map(|(p, replicas)| ((topic.name.clone(), p), replicas.clone())).collect();
        self.await_led(&led).await
    }
}

fn creatable(topic: &NewTopic) -> CreatableTopic {
    let assignments = (0..)
        .zip(&topic.assignment)
        .map(|(partition, replicas)| {
            CreatableReplicaAssignment::default()
                .with_partition_index(partition)
                .with_broker_ids(wire_brokers(replicas))
        })
        .collect();
    let configs = topic
        .config
        .iter()
        .map(|(name, value)| {
            CreatableTopicConfig::default()
                .with_name(StrBytes::from_string(name.clone()))
                .with_value(Some(StrBytes::from_string(value.clone())))
        })
        .collect();
    // With an assignment, counts are -1: the assignment says both.
    CreatableTopic::default()
        .with_name(topic_name(&topic.name))
        .with_num_partitions(-1)
        .with_replication_factor(-1)
        .with_assignments(assignments)
        .with_configs(configs)
}

fn wire_brokers(replicas: &[BrokerId]) -> Vec<WireBroker> {
    replicas.iter().map(|broker| WireBroker(*broker)).collect()
}
