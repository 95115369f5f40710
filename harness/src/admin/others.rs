//! What others do on a cluster: their consumer groups, and how far each is behind.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use kafka_protocol::messages::list_offsets_request::{ListOffsetsPartition, ListOffsetsTopic};
use kafka_protocol::messages::{
    BrokerId as WireBroker, GroupId, ListGroupsRequest, ListOffsetsRequest, OffsetFetchRequest,
};
use kafka_protocol::protocol::StrBytes;
use results::record::event::BrokerId;
use tokio::time::timeout;

use super::{Admin, topic_name};

/// Version of ListGroups that is used.
const LIST_VERSION: i16 = 0;

/// Version of OffsetFetch that is used: from 2 on it tells of all topics where none is named.
const FETCH_VERSION: i16 = 5;

/// Version of ListOffsets that is used.
const OFFSETS_VERSION: i16 = 2;

/// Asks for the end of a log in place of a time.
const LATEST: i64 = -1;

/// What consumer groups are called among groups.
const CONSUMER: &str = "consumer";

/// Limit for an answer.
const LIMIT: Duration = Duration::from_secs(2);

/// An offset of each partition, by topic.
type Offsets = BTreeMap<(String, i32), i64>;

impl Admin {
    /// The consumer groups of the cluster, by the brokers that answer, as far as the user may know of them.
    pub async fn groups(&self) -> BTreeSet<String> {
        let request = ListGroupsRequest::default();
        let mut groups = BTreeSet::new();
        for broker in self.brokers() {
            let asked = self.ask(broker, LIST_VERSION, &request);
            let Ok(Ok(answer)) = timeout(LIMIT, asked).await else { continue };
            let consumers = answer.groups.iter().filter(|it| it.protocol_type.as_str() == CONSUMER);
            groups.extend(consumers.map(|group| group.group_id.as_str().to_owned()));
        }
        groups
    }

    /// How many records a group is behind the ends of the logs of which it has committed offsets; `None` where that is
    /// not told of all of them, or it has committed none.
    pub async fn lag(&self, group: &str) -> Option<u64> {
        let coordinator = self.coordinator(group).await?;
        let request = OffsetFetchRequest::default()
            .with_group_id(GroupId(StrBytes::from_string(group.to_owned())))
            .with_topics(None);
        let asked = self.ask(coordinator, FETCH_VERSION, &request);
        let answer = timeout(LIMIT, asked).await.ok()?.ok()?;
        let mut committed = Offsets::new();
        for topic in &answer.topics {
            for partition in topic.partitions.iter().filter(|it| it.committed_offset >= 0) {
                let of = (topic.name.0.as_str().to_owned(), partition.partition_index);
                committed.insert(of, partition.committed_offset);
            }
        }
        let ends = self.ends(coordinator, committed.keys().cloned().collect()).await?;
        behind(&committed, &ends)
    }

    /// Where the logs of these partitions end, by their leaders' word.
    pub(crate) async fn ends(
        &self,
        broker: BrokerId,
        of: BTreeSet<(String, i32)>,
    ) -> Option<Offsets> {
        let topics: BTreeSet<&str> = of.iter().map(|(topic, _)| topic.as_str()).collect();
        let topics: Vec<&str> = topics.into_iter().collect();
        let metadata = timeout(LIMIT, self.metadata(broker, &topics)).await.ok()?.ok()?;
        let mut led: BTreeMap<BrokerId, BTreeMap<String, Vec<i32>>> = BTreeMap::new();
        for topic in &metadata.topics {
            let Some(name) = topic.name.as_ref().map(|name| name.0.as_str()) else { continue };
            for partition in &topic.partitions {
                let index = partition.partition_index;
                if of.contains(&(name.to_owned(), index)) {
                    let of_leader = led.entry(partition.leader_id.0).or_default();
                    of_leader.entry(name.to_owned()).or_default().push(index);
                }
            }
        }
        let mut ends = Offsets::new();
        for (leader, topics) in led {
            let topics = topics.into_iter().map(|(topic, partitions)| {
                let partition = |index| {
                    let asked = ListOffsetsPartition::default().with_partition_index(index);
                    asked.with_timestamp(LATEST)
                };
                let partitions = partitions.into_iter().map(partition).collect();
                ListOffsetsTopic::default()
                    .with_name(topic_name(&topic))
                    .with_partitions(partitions)
            });
            let request = ListOffsetsRequest::default()
                // A consumer, and no replica.
                .with_replica_id(WireBroker(-1))
                .with_topics(topics.collect());
            let asked = self.ask(leader, OFFSETS_VERSION, &request);
            let answer = timeout(LIMIT, asked).await.ok()?.ok()?;
            for topic in &answer.topics {
                for partition in topic.partitions.iter().filter(|it| it.error_code == 0) {
                    let of = (topic.name.0.as_str().to_owned(), partition.partition_index);
                    ends.insert(of, partition.offset);
                }
            }
        }
        Some(ends)
    }
}

/// How many records are between commits and ends; `None` without commits, or where an end is missing.
fn behind(committed: &Offsets, ends: &Offsets) -> Option<u64> {
    let one = |(of, at): (&(String, i32), &i64)| {
        ends.get(of).map(|end| u64::try_from(end.saturating_sub(*at)).unwrap_or_default())
    };
    let all = committed.iter().map(one).collect::<Option<Vec<u64>>>()?;
    (!all.is_empty()).then(|| all.iter().fold(0, |sum: u64, one| sum.saturating_add(*one)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_group_s_lag_is_known_where_every_end_is() {
        let offsets = |all: &[(i32, i64)]| -> Offsets {
            all.iter().map(|(partition, at)| (("t".to_owned(), *partition), *at)).collect()
        };
        let committed = offsets(&[(0, 10), (1, 5)]);
        assert_eq!(behind(&committed, &offsets(&[(0, 12), (1, 5), (2, 9)])), Some(2));
        assert_eq!(behind(&committed, &offsets(&[(0, 9), (1, 6)])), Some(1), "the log was cut");
        assert_eq!(behind(&committed, &offsets(&[(0, 12)])), None);
        assert_eq!(behind(&offsets(&[]), &offsets(&[(0, 12)])), None);
    }
}
