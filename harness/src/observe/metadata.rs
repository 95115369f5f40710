//! Every broker's own metadata: what it would tell a client, asked about 50 times a second.

use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use kafka_protocol::messages::MetadataResponse;
use results::record::clock::RunTime;
use results::record::event::{BrokerId, EventKind};
use tokio::time::{MissedTickBehavior, interval};

use super::thread::Shared;
use crate::admin::{METADATA_VERSION, metadata_request};
use crate::wire::{self, Connection};

/// Time between two questions while a fault is about: the resolution of the metadata phase.
const FAST: Duration = Duration::from_millis(20);

/// Time between two questions otherwise.
const SLOW: Duration = Duration::from_millis(500);

/// Limit for one answer. A broker that is slower than this counts as lost.
const ANSWER_LIMIT: Duration = Duration::from_secs(1);

/// What a broker said last.
#[derive(Default)]
struct Said {
    controller: Option<BrokerId>,
    partitions: BTreeMap<(String, i32), (BrokerId, i32, Vec<BrokerId>)>,
    lost: bool,
}

/// Asks one broker until the observer ends.
pub(super) async fn watch(shared: Arc<Shared>, broker: BrokerId, address: SocketAddr) {
    let mut pace = shared.fast.subscribe();
    let mut connection = None;
    let mut said = Said::default();
    loop {
        let fast = *pace.borrow_and_update();
        let mut ticks = interval(if fast { FAST } else { SLOW });
        ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
        loop {
            tokio::select! {
                _ = ticks.tick() => {}
                changed = pace.changed() => match changed {
                    Ok(()) => break,
                    Err(_) => return,
                },
            }
            if !shared.metadata.load(Ordering::Relaxed) {
                continue;
            }
            match ask(&shared, &mut connection, address).await {
                Ok(answer) => {
                    let at = shared.watched.recorder.clock().now();
                    said.take(&shared, at, broker, &answer);
                }
                Err(error) => {
                    connection = None;
                    said.lose(&shared, broker, &error);
                }
            }
        }
    }
}

async fn ask(
    shared: &Shared,
    connection: &mut Option<Connection>,
    address: SocketAddr,
) -> io::Result<MetadataResponse> {
    let open = match connection {
        Some(open) => open,
        None => {
            let connector = shared.watched.members.connector();
            connection.insert(wire::connect(connector, address, ANSWER_LIMIT).await?)
        }
    };
    let topics = shared.watched.members.loaded_topics();
    let topics: Vec<&str> = topics.iter().map(String::as_str).collect();
    let before = open.received();
    let answer = open.call(METADATA_VERSION, &metadata_request(&topics), ANSWER_LIMIT).await?;
    shared.requests.fetch_add(1, Ordering::Relaxed);
    shared.bytes.fetch_add(open.received() - before, Ordering::Relaxed);
    Ok(answer)
}

impl Said {
    /// Records what the answer says otherwise than the one before.
    fn take(
        &mut self,
        shared: &Shared,
        at: RunTime,
        observer: BrokerId,
        answer: &MetadataResponse,
    ) {
        self.lost = false;
        let recorder = &shared.watched.recorder;
        let controller = answer.controller_id.0;
        let told = shared.view().plane.tells_controller();
        if told && self.controller.replace(controller) != Some(controller) {
            recorder.at(at, EventKind::ControllerSeen { observer, controller });
        }
        for topic in &answer.topics {
            let name = topic.name.as_ref().map_or("", |name| name.0.as_str());
            for partition in &topic.partitions {
                let isr: Vec<BrokerId> = partition.isr_nodes.iter().map(|id| id.0).collect();
                let now = (partition.leader_id.0, partition.leader_epoch, isr.clone());
                let key = (name.to_owned(), partition.partition_index);
                if self.partitions.insert(key, now.clone()).as_ref() == Some(&now) {
                    continue;
                }
                recorder.at(
                    at,
                    EventKind::MetadataSeen {
                        observer,
                        topic: name.to_owned(),
                        partition: partition.partition_index,
                        leader: partition.leader_id.0,
                        leader_epoch: partition.leader_epoch,
                        isr,
                    },
                );
            }
        }
    }

    /// Records, once, that the broker answers no more; what it said before counts for nothing.
    fn lose(&mut self, shared: &Shared, observer: BrokerId, error: &io::Error) {
        if !self.lost {
            *self = Self { lost: true, ..Self::default() };
            let error = error.to_string();
            shared.watched.recorder.now(EventKind::ObserverLost { observer, error });
        }
    }
}
