//! Where the partitions of a topic are, and how much of it each broker stores.

use std::collections::{BTreeMap, BTreeSet};

use faults::port::{ErrorKind, PortError};
use faults::until;
use kafka_protocol::messages::{DescribeLogDirsRequest, MetadataResponse};
use results::record::event::{BrokerId, PlacedPartition};

use super::{Admin, LOOK, VISIBLE_LIMIT, check};

/// Version of DescribeLogDirs that is used.
const VERSION: i16 = 1;

impl Admin {
    /// The partitions of a topic by the metadata of every broker, as soon as all say the same.
    ///
    /// # Errors
    /// When a broker does not answer, or they differ for too long.
    pub async fn placement(&self, topic: &str) -> Result<Vec<PlacedPartition>, PortError> {
        until(VISIBLE_LIMIT, LOOK, async || {
            let mut said = vec![];
            for broker in self.brokers() {
                let what = || format!("read where {topic} is from broker {broker}");
                let metadata = self.metadata(broker, &[topic]).await;
                said.push(placed(&metadata.map_err(|error| PortError::io(what(), error))?));
            }
            match said.split_first() {
                Some((first, others)) if others.iter().all(|other| other == first) => {
                    Ok(first.clone())
                }
                _ => {
                    let what = format!("the brokers' metadata of {topic} differ");
                    Err(PortError::new(ErrorKind::TimedOut, what))
                }
            }
        })
        .await
    }

    /// Bytes of a topic's logs on each broker, by its own word; 0 on one that has none.
    ///
    /// # Errors
    /// When a broker does not answer, or cannot read one of its folders.
    pub async fn log_bytes(&self, topic: &str) -> Result<BTreeMap<BrokerId, u64>, PortError> {
        let request = DescribeLogDirsRequest::default().with_topics(None);
        let mut bytes = BTreeMap::new();
        for broker in self.brokers() {
            let what = format!("read the size of the logs of broker {broker}");
            let answer = self.ask(broker, VERSION, &request).await;
            let answer = answer.map_err(|error| PortError::io(what.clone(), error))?;
            let mut sum = 0;
            for folder in &answer.results {
                check(&what, folder.error_code, None)?;
                let of_topic = folder.topics.iter().filter(|one| one.name.0.as_str() == topic);
                let sizes = of_topic.flat_map(|one| &one.partitions).map(|p| p.partition_size);
                sum += sizes.map(|size| u64::try_from(size).unwrap_or_default()).sum::<u64>();
            }
            bytes.insert(broker, sum);
        }
        Ok(bytes)
    }
}

fn placed(metadata: &MetadataResponse) -> Vec<PlacedPartition> {
    let partitions = metadata.topics.iter().flat_map(|topic| &topic.partitions);
    let mut placed: Vec<_> = partitions
        .map(|partition| {
            let in_sync: BTreeSet<BrokerId> = partition.isr_nodes.iter().map(|id| id.0).collect();
            PlacedPartition {
                partition: partition.partition_index,
                leader: partition.leader_id.0,
                replicas: partition.replica_nodes.iter().map(|id| id.0).collect(),
                isr: in_sync.into_iter().collect(),
            }
        })
        .collect();
    placed.sort_unstable_by_key(|one| one.partition);
    placed
}
