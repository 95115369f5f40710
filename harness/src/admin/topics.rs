//! Creating topics.

use std::collections::{BTreeMap, BTreeSet};

use faults::port::{Assignment, ErrorKind, PortError};
use faults::until;
use kafka_protocol::ResponseError;
use kafka_protocol::messages::create_topics_request::{
    CreatableReplicaAssignment, CreatableTopic, CreatableTopicConfig,
};
use kafka_protocol::messages::{
    BrokerId as WireBroker, CreateTopicsRequest, DeleteTopicsRequest, MetadataRequest,
    MetadataResponse,
};
use kafka_protocol::protocol::StrBytes;
use results::record::event::BrokerId;

use super::{
    Admin, CALL_LIMIT, LOOK, METADATA_VERSION, VISIBLE_LIMIT, check, for_many, topic_name,
};

/// Version of CreateTopics that is used.
const VERSION: i16 = 5;

/// Version of DeleteTopics that is used: by name.
const DELETE_VERSION: i16 = 4;

/// Most partitions that a controller is asked to make at once, where several topics have them.
const BATCH: usize = 1000;

/// How far the making of topics is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TopicsMade {
    /// Partitions whose leaders every broker names.
    pub led: usize,
    /// Of how many.
    pub of: usize,
}

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
    /// Creates topics, some at a time, and waits until every broker names the preferred leader of every partition.
    /// Tells how far that is.
    ///
    /// # Errors
    /// When the controller refuses, or a broker does not learn of it in time.
    pub async fn create_topics(
        &self,
        topics: &[NewTopic],
        told: &dyn Fn(TopicsMade),
    ) -> Result<(), PortError> {
        self.await_brokers().await?;
        let (mut led, of) = (0, partitions(topics));
        for batch in batches(topics) {
            self.ask_to_create(batch, false).await?;
            self.await_led(&assignment_of(batch)).await?;
            self.place(&placed_later(batch)).await?;
            led += partitions(batch);
            told(TopicsMade { led, of });
        }
        Ok(())
    }

    /// Whether topics could be created, which are not by this.
    ///
    /// # Errors
    /// When the controller refuses: they may not be created, are there already, or cannot be as they are wanted.
    pub async fn may_create(&self, topics: &[NewTopic]) -> Result<(), PortError> {
        for batch in batches(topics) {
            self.ask_to_create(batch, true).await?;
        }
        Ok(())
    }

    async fn ask_to_create(&self, topics: &[NewTopic], try_only: bool) -> Result<(), PortError> {
        let many = partitions(topics);
        let request = CreateTopicsRequest::default()
            .with_topics(topics.iter().map(creatable).collect())
            .with_validate_only(try_only)
            .with_timeout_ms(for_many(CALL_LIMIT, many).as_millis() as i32);
        let there = (!try_only).then_some(ResponseError::TopicAlreadyExists);
        let what = "create topics";
        let answer = self.ask_controller_to_make(what, VERSION, &request, many, there).await?;
        for topic in &answer.topics {
            let what = format!("create topic {}", topic.name.0.as_str());
            check(what, topic.error_code, topic.error_message.as_ref())?;
        }
        Ok(())
    }

    /// Deletes topics if they are there, with those that a run with other numbers left, and creates them anew.
    ///
    /// # Errors
    /// As [`Self::create_topics`] and [`Self::delete_topics`].
    pub async fn recreate_topics(
        &self,
        topics: &[NewTopic],
        told: &dyn Fn(TopicsMade),
    ) -> Result<(), PortError> {
        let mut names: Vec<_> = topics.iter().map(|topic| topic.name.clone()).collect();
        let base = topics.first().map_or("", |topic| without_number(&topic.name));
        let former = self.all_topics().await?.into_iter();
        names.extend(former.filter(|topic| without_number(topic) == base));
        names.sort();
        names.dedup();
        self.delete_topics(&names).await?;
        let (mut led, of) = (0, partitions(topics));
        for batch in batches(topics) {
            // Refused as long as a broker still deletes its replicas.
            let limit = for_many(VISIBLE_LIMIT, partitions(batch));
            until(limit, LOOK, async || self.create_absent(batch).await).await?;
            led += partitions(batch);
            told(TopicsMade { led, of });
        }
        Ok(())
    }

    /// Creates those of these topics that are not there: a part may have been made before the rest was refused.
    async fn create_absent(&self, topics: &[NewTopic]) -> Result<(), PortError> {
        let there = self.all_topics().await?;
        let absent: Vec<_> =
            topics.iter().filter(|topic| !there.contains(&topic.name)).cloned().collect();
        self.create_topics(&absent, &|_| ()).await?;
        self.await_led(&assignment_of(topics)).await?;
        self.place(&placed_later(topics)).await
    }

    /// Names of the topics that are there, by the controller's word.
    async fn all_topics(&self) -> Result<BTreeSet<String>, PortError> {
        let answer = self.all_metadata().await?;
        let names = answer.topics.iter().filter_map(|topic| topic.name.as_ref());
        Ok(names.map(|name| name.0.as_str().to_owned()).collect())
    }

    /// The controller's metadata of all topics.
    pub(super) async fn all_metadata(&self) -> Result<MetadataResponse, PortError> {
        let request =
            MetadataRequest::default().with_topics(None).with_allow_auto_topic_creation(false);
        let answer = self.ask(self.controller().await?, METADATA_VERSION, &request).await;
        answer.map_err(|error| PortError::io("list the topics", error))
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
        self.await_absent(topics).await
    }

    /// Waits until no broker names a partition of any of these topics.
    async fn await_absent(&self, topics: &[String]) -> Result<(), PortError> {
        let names: Vec<&str> = topics.iter().map(String::as_str).collect();
        // How many partitions they had nobody knows here: some each.
        let limit = for_many(VISIBLE_LIMIT, topics.len() * 10);
        for broker in self.brokers() {
            let absent = until(limit, LOOK, async || {
                let left = match self.metadata(broker, &names).await {
                    Ok(known) => a_topic_of(&known),
                    Err(_) => Some("?".to_owned()),
                };
                left.map_or(Ok(()), |topic| {
                    let what = format!("broker {broker} still has topic {topic}");
                    Err(PortError::new(ErrorKind::TimedOut, what))
                })
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
}

/// The topics in lots of a size that a controller makes in a few seconds; a topic that is larger is one by itself.
fn batches(topics: &[NewTopic]) -> Vec<&[NewTopic]> {
    let mut rest = topics;
    let mut batches = vec![];
    while !rest.is_empty() {
        let mut sum = 0;
        let fits = |topic: &&NewTopic| {
            sum += topic.assignment.len();
            sum <= BATCH
        };
        let many = rest.iter().take_while(fits).count().max(1);
        let (batch, left) = rest.split_at(many);
        batches.push(batch);
        rest = left;
    }
    batches
}

fn partitions(topics: &[NewTopic]) -> usize {
    topics.iter().map(|topic| topic.assignment.len()).sum()
}

fn assignment_of(topics: &[NewTopic]) -> Assignment {
    let each = |topic: &NewTopic| {
        let each = (0..).zip(topic.assignment.clone());
        each.map(|(p, replicas)| ((topic.name.clone(), p), replicas)).collect::<Vec<_>>()
    };
    topics.iter().flat_map(each).collect()
}

/// Replicas that a topic is created with: as many for each partition, the only way in which Kafka creates one. What some
/// partitions have beyond that is placed when it is there.
fn created(topic: &NewTopic) -> impl Iterator<Item = &[BrokerId]> {
    let fewest = topic.assignment.iter().map(Vec::len).min().unwrap_or_default();
    topic.assignment.iter().filter_map(move |replicas| replicas.get(..fewest))
}

/// The replicas of partitions that have more of them than others of their topic.
fn placed_later(topics: &[NewTopic]) -> Assignment {
    let mut all = assignment_of(topics);
    for topic in topics {
        for (partition, replicas) in (0..).zip(created(topic)) {
            let place = (topic.name.clone(), partition);
            if all.get(&place).is_some_and(|wanted| wanted == replicas) {
                all.remove(&place);
            }
        }
    }
    all
}

/// One of the topics that a broker names partitions of.
fn a_topic_of(known: &MetadataResponse) -> Option<String> {
    let mut there = known.topics.iter().filter(|topic| !topic.partitions.is_empty());
    let name = there.next()?.name.as_ref();
    Some(name.map_or("?", |name| name.0.as_str()).to_owned())
}

/// The name of a topic without the number that tells it from others of its kind.
fn without_number(name: &str) -> &str {
    match name.rsplit_once('-') {
        Some((base, number))
            if number.len() >= 4 && number.bytes().all(|byte| byte.is_ascii_digit()) =>
        {
            base
        }
        _ => name,
    }
}

fn creatable(topic: &NewTopic) -> CreatableTopic {
    let assignments = (0..)
        .zip(created(topic))
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

#[cfg(test)]
mod tests {
    use super::*;

    fn topic(name: &str, partitions: usize) -> NewTopic {
        let config = BTreeMap::new();
        NewTopic { name: name.to_owned(), assignment: vec![vec![1]; partitions], config }
    }

    #[test]
    fn topics_are_made_in_lots_of_which_none_is_empty_or_too_large() {
        let sizes = |topics: &[NewTopic]| {
            batches(topics).iter().map(|batch| partitions(batch)).collect::<Vec<_>>()
        };
        assert_eq!(sizes(&[]), [0; 0]);
        let many: Vec<_> = (0..250).map(|n| topic(&n.to_string(), 6)).collect();
        assert_eq!(sizes(&many), [996, 504]);
        assert_eq!(
            sizes(&[topic("a", 3), topic("b", 5000), topic("c", 1000), topic("d", 1)]),
            [3, 5000, 1000, 1]
        );
        let all: Vec<_> = batches(&many).concat();
        assert_eq!(all, many);
    }

    #[test]
    fn a_topic_is_created_with_as_many_replicas_each_and_the_others_are_placed_later() {
        let even = topic("even", 2);
        let assignment = vec![vec![1, 2, 3], vec![3, 4], vec![4, 1]];
        let uneven = NewTopic { assignment, ..topic("uneven", 0) };
        let brokers = |topic: &NewTopic| {
            let all = creatable(topic).assignments;
            let ids =
                |of: &CreatableReplicaAssignment| of.broker_ids.iter().map(|id| id.0).collect();
            all.iter().map(ids).collect::<Vec<Vec<_>>>()
        };
        assert_eq!(brokers(&even), [[1], [1]]);
        assert_eq!(brokers(&uneven), [[1, 2], [3, 4], [4, 1]]);
        let later = placed_later(&[even, uneven]);
        assert_eq!(later, [(("uneven".to_owned(), 0), vec![1, 2, 3])].into());
    }

    #[test]
    fn limits_grow_with_the_partitions() {
        assert_eq!(for_many(CALL_LIMIT, 0), CALL_LIMIT);
        assert_eq!(for_many(CALL_LIMIT, 10_000).as_secs(), 210);
    }

    #[test]
    fn what_a_run_with_other_numbers_left_is_known_by_its_name() {
        assert_eq!(without_number("user-events-0017"), "user-events");
        assert_eq!(without_number("user-events-12345"), "user-events");
        for name in ["user-events", "user-events-17", "user-events-x017", "0017"] {
            assert_eq!(without_number(name), name);
        }
    }
}
