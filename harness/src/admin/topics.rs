//! Creating topics.

use std::collections::BTreeMap;

use kafka_protocol::messages::create_topics_request::{
    CreatableReplicaAssignment, CreatableTopic, CreatableTopicConfig,
};
use kafka_protocol::messages::{BrokerId as WireBroker, CreateTopicsRequest};
use kafka_protocol::protocol::StrBytes;
use results::record::event::BrokerId;
use tokio::time::{Instant, sleep};

use super::{Admin, AdminError, CALL_LIMIT, LOOK, VISIBLE_LIMIT, check, topic_name};

/// Version of CreateTopics that is used.
const VERSION: i16 = 5;

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
    pub async fn create_topics(&self, topics: &[NewTopic]) -> Result<(), AdminError> {
        let request = CreateTopicsRequest::default()
            .with_topics(topics.iter().map(creatable).collect())
            .with_timeout_ms(CALL_LIMIT.as_millis() as i32);
        self.await_brokers().await?;
        let answer = self.ask_controller("create topics", VERSION, &request).await?;
        for topic in &answer.topics {
            let what = format!("create topic {}", topic.name.0.as_str());
            check(what, topic.error_code, topic.error_message.as_ref())?;
        }
        for topic in topics {
            self.await_leaders(topic).await?;
        }
        Ok(())
    }

    /// Waits until every broker knows every broker.
    async fn await_brokers(&self) -> Result<(), AdminError> {
        let deadline = Instant::now() + VISIBLE_LIMIT;
        for broker in self.brokers.keys() {
            loop {
                let known = self.metadata(*broker, &[]).await.map_or(0, |m| m.brokers.len());
                if known == self.brokers.len() {
                    break;
                }
                if Instant::now() >= deadline {
                    return Err(AdminError::new(
                        format!("broker {broker}"),
                        format!("knows {known} of {} brokers", self.brokers.len()),
                    ));
                }
                sleep(LOOK).await;
            }
        }
        Ok(())
    }

    async fn await_leaders(&self, topic: &NewTopic) -> Result<(), AdminError> {
        let deadline = Instant::now() + VISIBLE_LIMIT;
        for broker in self.brokers.keys() {
            while !self.knows_leaders(*broker, topic).await {
                if Instant::now() >= deadline {
                    return Err(AdminError::new(
                        format!("topic {}", topic.name),
                        format!("broker {broker} does not know its leaders"),
                    ));
                }
                sleep(LOOK).await;
            }
        }
        Ok(())
    }

    async fn knows_leaders(&self, broker: BrokerId, topic: &NewTopic) -> bool {
        let Ok(metadata) = self.metadata(broker, &[&topic.name]).await else { return false };
        let Some(found) = metadata.topics.first() else { return false };
        found.partitions.len() == topic.assignment.len()
            && found.partitions.iter().all(|partition| {
                topic
                    .assignment
                    .get(partition.partition_index as usize)
                    .and_then(|replicas| replicas.first())
                    == Some(&partition.leader_id.0)
            })
    }
}

fn creatable(topic: &NewTopic) -> CreatableTopic {
    let assignments = (0..)
        .zip(&topic.assignment)
        .map(|(partition, replicas)| {
            CreatableReplicaAssignment::default()
                .with_partition_index(partition)
                .with_broker_ids(replicas.iter().map(|broker| WireBroker(*broker)).collect())
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
