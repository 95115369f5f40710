//! Where the partitions of a topic are, and giving it more of them, which Kafka places.

use std::collections::{BTreeMap, BTreeSet};

use faults::port::{ErrorKind, PortError};
use faults::until;
use kafka_protocol::ResponseError;
use kafka_protocol::messages::create_partitions_request::CreatePartitionsTopic;
use kafka_protocol::messages::describe_log_dirs_request::DescribableLogDirTopic;
use kafka_protocol::messages::metadata_response::MetadataResponseTopic;
use kafka_protocol::messages::{CreatePartitionsRequest, DescribeLogDirsRequest, MetadataResponse};
use results::record::event::{BrokerId, PlacedPartition};

use super::{Admin, CALL_LIMIT, LOOK, VISIBLE_LIMIT, check, topic_name};

/// Version of CreatePartitions that is used.
const PARTITIONS_VERSION: i16 = 1;

/// Version of DescribeLogDirs that is used.
const LOG_DIRS_VERSION: i16 = 1;

impl Admin {
    /// Gives a topic `count` partitions, of which Kafka places those that it has not; waits until every broker names
    /// a leader of each, and returns the replicas of those.
    ///
    /// # Errors
    /// When the controller refuses, or a broker does not learn of it in time.
    pub async fn add_partitions(
        &self,
        topic: &str,
        count: u32,
    ) -> Result<Vec<Vec<BrokerId>>, PortError> {
        let before = self.members.partitions(topic) as usize;
        let wanted = CreatePartitionsTopic::default()
            .with_name(topic_name(topic))
            .with_count(count as i32)
            .with_assignments(None);
        let request = CreatePartitionsRequest::default()
            .with_topics(vec![wanted])
            .with_timeout_ms(CALL_LIMIT.as_millis() as i32);
        let what = format!("add partitions to topic {topic}");
        let many = count as usize;
        // "Topic already has 5 partitions" has no error of its own; their number is looked at below.
        let there = Some(ResponseError::InvalidPartitions);
        let asked = self.ask_controller_to_make(&what, PARTITIONS_VERSION, &request, many, there);
        let answer = asked.await?;
        for result in &answer.results {
            check(&what, result.error_code, result.error_message.as_ref())?;
        }
        let all = until(VISIBLE_LIMIT, LOOK, async || {
            let all = self.placement(topic).await?;
            let led = all.iter().filter(|it| it.leader >= 0).count();
            if (all.len(), led) == (count as usize, count as usize) {
                return Ok(all);
            }
            let named = all.len();
            let what = format!(
                "brokers name {named} partitions of topic {topic} and {led} leaders, not {count}"
            );
            Err(PortError::new(ErrorKind::TimedOut, what))
        });
        Ok(all.await?.into_iter().skip(before).map(|it| it.replicas).collect())
    }

    /// The partitions of a topic as the metadata of every broker has them, once all say the same.
    ///
    /// # Errors
    /// When a broker does not answer, or they still differ when the limit has passed.
    pub async fn placement(&self, topic: &str) -> Result<Vec<PlacedPartition>, PortError> {
        until(VISIBLE_LIMIT, LOOK, async || {
            let mut agreed: Option<(BrokerId, Vec<PlacedPartition>)> = None;
            for broker in self.brokers() {
                let metadata = self.metadata(broker, &[topic]).await;
                let metadata = metadata.map_err(|error| {
                    PortError::io(format!("read the placement from broker {broker}"), error)
                })?;
                let placed = placed(&metadata);
                match &agreed {
                    None => agreed = Some((broker, placed)),
                    Some((other, same)) if *same != placed => {
                        let what = format!(
                            "brokers {other} and {broker} describe topic {topic} differently"
                        );
                        return Err(PortError::new(ErrorKind::TimedOut, what));
                    }
                    Some(_) => {}
                }
            }
            Ok(agreed.map(|(_, placed)| placed).unwrap_or_default())
        })
        .await
    }

    /// Names of all topics, those that are not the run's as well, with a replica on one of these brokers, by the
    /// controller's word.
    ///
    /// # Errors
    /// When it does not tell.
    pub async fn topics_on(&self, brokers: &[BrokerId]) -> Result<BTreeSet<String>, PortError> {
        let answer = self.all_metadata().await?;
        let on = |it: &MetadataResponseTopic| {
            let mut replicas = it.partitions.iter().flat_map(|one| &one.replica_nodes);
            replicas.any(|id| brokers.contains(&id.0))
        };
        let topics = answer.topics.iter().filter(|topic| on(topic));
        Ok(topics.filter_map(|topic| Some(topic.name.as_ref()?.0.as_str().to_owned())).collect())
    }

    /// Bytes of a topic's logs on each broker, by its own word.
    ///
    /// # Errors
    /// When one does not tell.
    pub async fn log_bytes(&self, topic: &str) -> Result<BTreeMap<BrokerId, u64>, PortError> {
        let partitions = (0..self.members.partitions(topic) as i32).collect();
        let of = DescribableLogDirTopic::default()
            .with_topic(topic_name(topic))
            .with_partitions(partitions);
        let request = DescribeLogDirsRequest::default().with_topics(Some(vec![of]));
        let mut bytes = BTreeMap::new();
        for broker in self.brokers() {
            let what = format!("read the sizes of logs of broker {broker}");
            let answer = self.ask(broker, LOG_DIRS_VERSION, &request).await;
            let answer = answer.map_err(|error| PortError::io(&*what, error))?;
            let mut sum = 0;
            for dir in &answer.results {
                check(&*what, dir.error_code, None)?;
                let logs = dir.topics.iter().flat_map(|topic| &topic.partitions);
                sum += logs.map(|log| u64::try_from(log.partition_size).unwrap_or(0)).sum::<u64>();
            }
            bytes.insert(broker, sum);
        }
        Ok(bytes)
    }
}

/// The partitions in an answer, by number; replicas in their order, the ISR sorted.
fn placed(metadata: &MetadataResponse) -> Vec<PlacedPartition> {
    let all = metadata.topics.iter().flat_map(|topic| &topic.partitions);
    let mut placed: Vec<_> = all
        .map(|it| {
            let mut isr: Vec<BrokerId> = it.isr_nodes.iter().map(|id| id.0).collect();
            isr.sort_unstable();
            PlacedPartition {
                partition: it.partition_index,
                leader: it.leader_id.0,
                replicas: it.replica_nodes.iter().map(|id| id.0).collect(),
                isr,
            }
        })
        .collect();
    placed.sort_unstable_by_key(|it| it.partition);
    placed
}
