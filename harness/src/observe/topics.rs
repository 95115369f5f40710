//! The topics of the load: where the log of each partition begins, and the topics' settings.
//!
//! Where a log begins only its leader knows: retention and DeleteRecords move it. Both are asked for in
//! a slow rhythm, as the brokers' logs tell exactly when a start was moved and why.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use kafka_protocol::messages::list_offsets_request::{ListOffsetsPartition, ListOffsetsTopic};
use kafka_protocol::messages::{BrokerId as WireBroker, ListOffsetsRequest, ListOffsetsResponse};
use results::record::event::{BrokerId, EventKind};
use tokio::time::{MissedTickBehavior, interval};

use super::thread::Shared;
use crate::admin::{Admin, topic_name};
use crate::wire::{self, Connection};

/// Time between two questions for the start of the logs.
const EVERY: Duration = Duration::from_secs(1);

/// One question in so many is for the settings as well.
const SETTINGS_EVERY: u32 = 5;

/// Limit for one answer.
const ANSWER_LIMIT: Duration = Duration::from_secs(1);

/// Version of ListOffsets that is used.
const VERSION: i16 = 2;

/// Asks for the first offset in place of a time.
const EARLIEST: i64 = -2;

/// What the brokers said last.
#[derive(Default)]
struct TopicsSeen {
    starts: BTreeMap<(String, i32), i64>,
    settings: BTreeMap<String, BTreeMap<String, String>>,
}

/// Asks until the observer ends.
pub(super) async fn watch(shared: Arc<Shared>) {
    let admin = Admin::new(Arc::clone(&shared.watched.members));
    let (mut said, mut connections) = (TopicsSeen::default(), BTreeMap::new());
    let mut ticks = interval(EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
    for turn in (0..SETTINGS_EVERY).cycle() {
        ticks.tick().await;
        if !shared.metadata.load(Ordering::Relaxed) {
            continue;
        }
        for (leader, topics) in led(&shared) {
            match starts(&shared, &mut connections, leader, &topics).await {
                Ok(answer) => said.starts(&shared, &answer),
                // Asked again in a moment, perhaps of another leader.
                Err(_) => drop(connections.remove(&leader)),
            }
        }
        if turn == 0 {
            said.settings(&shared, &admin).await;
        }
    }
}

/// The partitions of the load's topics, by leader and topic.
fn led(shared: &Shared) -> BTreeMap<BrokerId, BTreeMap<String, Vec<i32>>> {
    let topics = shared.watched.members.loaded_topics();
    let mut led: BTreeMap<_, BTreeMap<String, Vec<i32>>> = BTreeMap::new();
    for ((topic, partition), state) in &shared.view().partitions {
        if let Some(leader) = state.leader.filter(|_| topics.contains(topic)) {
            let of_leader = led.entry(leader).or_default();
            of_leader.entry(topic.clone()).or_default().push(*partition);
        }
    }
    led
}

async fn starts(
    shared: &Shared,
    connections: &mut BTreeMap<BrokerId, Connection>,
    leader: BrokerId,
    topics: &BTreeMap<String, Vec<i32>>,
) -> io::Result<ListOffsetsResponse> {
    if let Entry::Vacant(none) = connections.entry(leader) {
        let address = shared.watched.members.brokers().remove(&leader);
        let address = address.ok_or_else(|| io::Error::other("it is no member any more"))?;
        none.insert(
            wire::connect(shared.watched.members.connector(), address, ANSWER_LIMIT).await?,
        );
    }
    let Some(connection) = connections.get_mut(&leader) else {
        return Err(io::Error::other("no connection"));
    };
    let topics = topics.iter().map(|(topic, partitions)| {
        let partitions = partitions.iter().map(|partition| {
            ListOffsetsPartition::default()
                .with_partition_index(*partition)
                .with_timestamp(EARLIEST)
        });
        ListOffsetsTopic::default()
            .with_name(topic_name(topic))
            .with_partitions(partitions.collect())
    });
    let request = ListOffsetsRequest::default()
        // A consumer, and no replica.
        .with_replica_id(WireBroker(-1))
        .with_topics(topics.collect());
    let before = connection.received();
    let answer = connection.call(VERSION, &request, ANSWER_LIMIT).await?;
    shared.requests.fetch_add(1, Ordering::Relaxed);
    shared.bytes.fetch_add(connection.received() - before, Ordering::Relaxed);
    Ok(answer)
}

impl TopicsSeen {
    /// Records the logs that begin elsewhere than before; a new one begins at 0.
    fn starts(&mut self, shared: &Shared, answer: &ListOffsetsResponse) {
        for topic in &answer.topics {
            let name = topic.name.0.as_str().to_owned();
            for partition in topic.partitions.iter().filter(|told| told.error_code == 0) {
                let (index, offset) = (partition.partition_index, partition.offset);
                let before = self.starts.insert((name.clone(), index), offset).unwrap_or(0);
                if before != offset {
                    let (topic, partition) = (name.clone(), index);
                    let recorder = &shared.watched.recorder;
                    recorder.now(EventKind::LogStart { topic, partition, offset });
                }
            }
        }
    }

    /// Records the settings that were changed since they were read first.
    async fn settings(&mut self, shared: &Shared, admin: &Admin) {
        for topic in shared.watched.members.loaded_topics() {
            let brokers: Vec<BrokerId> = shared.view().brokers.iter().copied().collect();
            let mut told = None;
            for broker in brokers {
                told = admin.topic_config(broker, &topic).await.ok();
                if told.is_some() {
                    break;
                }
            }
            // Nobody answers: asked again in a moment.
            let Some(settings) = told else { continue };
            let before = self.settings.insert(topic.clone(), settings.clone());
            let Some(before) = before else { continue };
            let names = before.keys().chain(settings.keys());
            let changed: BTreeSet<&String> =
                names.filter(|name| before.get(*name) != settings.get(*name)).collect();
            for name in changed {
                shared.watched.recorder.now(EventKind::TopicSettingChanged {
                    topic: topic.clone(),
                    name: name.clone(),
                    value: settings.get(name).cloned(),
                });
            }
        }
    }
}
