//! A cluster as one of its brokers tells clients of it, for where nobody can ask its ZooKeeper.
//!
//! Registrations, sessions and the controller's epoch are not seen so, and no event of the plane says anything
//! of them: what every broker tells is recorded under its name alone. A broker that the metadata do not name any
//! more disturbs the trial, as one does that ends without an order where processes are seen.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::net::SocketAddr;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use faults::port::{PartitionView, Process};
use kafka_protocol::messages::MetadataResponse;
use results::record::clock::RunTime;
use results::record::event::{BrokerId, Cause, EventKind, MetadataPlane, Place, Role};
use tokio::sync::oneshot;
use tokio::time::{MissedTickBehavior, interval};

use super::thread::{Shared, Watching};
use super::{Observer, Watched};
use crate::admin::{METADATA_VERSION, metadata_request};
use crate::failure::Failure;
use crate::recorder::Recorder;
use crate::wire::{self, Connection};

/// Time between two questions.
const EVERY: Duration = Duration::from_millis(100);

/// Limit for a connection and for an answer.
const LIMIT: Duration = Duration::from_secs(2);

/// Topics that groups and transactions need, beside those of the load.
const INTERNAL: [&str; 2] = ["__consumer_offsets", "__transaction_state"];

/// What cannot be told from brokers' metadata alone.
const UNSEEN: &str = "only the brokers' metadata were seen: registrations, sessions, the controller's epoch and \
    the partitions' states as the controller wrote them were not, nor the servers' processes and logs";

/// Brokers that are not named, and since when.
type Absent = Arc<Mutex<BTreeMap<BrokerId, RunTime>>>;

/// Follows a cluster by what one of its brokers tells, another one where that does not answer.
pub struct BrokersObserver {
    watching: Watching,
    absent: Absent,
}

impl BrokersObserver {
    /// Starts watching; returns when a broker has answered once.
    ///
    /// # Errors
    /// An infrastructure failure when none answers in time.
    pub async fn start(watched: Watched, plane: MetadataPlane) -> Result<Self, Failure> {
        let absent = Absent::default();
        let of_thread = Arc::clone(&absent);
        let watch = move |shared, ready| watch(shared, ready, of_thread);
        Ok(Self { watching: Watching::start(watched, plane, watch).await?, absent })
    }
}

impl Observer for BrokersObserver {
    fn watching(&self) -> &Watching {
        &self.watching
    }

    fn imprecision(&self) -> Option<String> {
        Some(UNSEEN.to_owned())
    }

    fn stop(&self) {
        self.watching.stop();
        let absent =
            std::mem::take(&mut *self.absent.lock().unwrap_or_else(PoisonError::into_inner));
        for (broker, from) in absent {
            vanished(&self.watching.shared, broker, from);
        }
    }
}

/// Watches until the observer ends. `ready` is told when a broker has answered once.
async fn watch(shared: Arc<Shared>, ready: oneshot::Sender<()>, absent: Absent) {
    let mut ready = Some(ready);
    let mut asked = None;
    let mut ticks = interval(EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
    loop {
        ticks.tick().await;
        match ask_any(&shared, &mut asked).await {
            Ok((broker, answer)) => {
                take(&shared, broker, &answer, &absent);
                shared.sees_again();
                if let Some(ready) = ready.take() {
                    // Nobody waits any more when this fails.
                    ready.send(()).ok();
                }
            }
            Err(why) => {
                shared.lost().replace(why.clone());
                if shared.lost_sight() {
                    shared.watched.recorder.now(EventKind::Problem {
                        text: format!("the observer lost the cluster: no broker answers ({why})"),
                    });
                }
            }
        }
    }
}

/// Asks the broker that was asked before, or else the first that answers.
async fn ask_any(
    shared: &Shared,
    asked: &mut Option<(BrokerId, Connection)>,
) -> Result<(BrokerId, MetadataResponse), String> {
    let mut failed = vec![];
    if let Some((broker, mut connection)) = asked.take() {
        match ask(shared, &mut connection).await {
            Ok(answer) => {
                *asked = Some((broker, connection));
                return Ok((broker, answer));
            }
            Err(error) => failed.push(format!("broker {broker}: {error}")),
        }
    }
    for (broker, address) in shared.watched.members.brokers() {
        match ask_anew(shared, address).await {
            Ok((connection, answer)) => {
                *asked = Some((broker, connection));
                return Ok((broker, answer));
            }
            Err(error) => failed.push(format!("broker {broker}: {error}")),
        }
    }
    Err(failed.join("; "))
}

async fn ask_anew(
    shared: &Shared,
    address: SocketAddr,
) -> io::Result<(Connection, MetadataResponse)> {
    let mut connection = wire::connect(shared.watched.members.connector(), address, LIMIT).await?;
    let answer = ask(shared, &mut connection).await?;
    Ok((connection, answer))
}

async fn ask(shared: &Shared, connection: &mut Connection) -> io::Result<MetadataResponse> {
    let ours = shared.watched.members.topics();
    let topics: Vec<&str> = ours.iter().map(String::as_str).chain(INTERNAL).collect();
    let before = connection.received();
    let answer = connection.call(METADATA_VERSION, &metadata_request(&topics), LIMIT).await?;
    shared.requests.fetch_add(1, Ordering::Relaxed);
    shared.bytes.fetch_add(connection.received() - before, Ordering::Relaxed);
    if answer.brokers.is_empty() {
        // One that has just started knows nothing yet.
        return Err(io::Error::other("it names no broker"));
    }
    Ok(answer)
}

/// Takes an answer into the view, and tells who is not named any more.
fn take(shared: &Shared, by: BrokerId, answer: &MetadataResponse, absent: &Absent) {
    let brokers: BTreeSet<BrokerId> =
        answer.brokers.iter().map(|broker| broker.node_id.0).collect();
    {
        let mut view = shared.view();
        let controller = Some(answer.controller_id.0).filter(|id| *id >= 0);
        view.controller = controller.filter(|_| view.plane.tells_controller());
        view.brokers.clone_from(&brokers);
        view.partitions = partitions(answer);
    }
    let mut absent = absent.lock().unwrap_or_else(PoisonError::into_inner);
    let recorder = &shared.watched.recorder;
    for broker in shared.watched.members.brokers().into_keys() {
        if brokers.contains(&broker) {
            if let Some(from) = absent.remove(&broker) {
                vanished(shared, broker, from);
            }
        } else if let std::collections::btree_map::Entry::Vacant(first) = absent.entry(broker) {
            first.insert(recorder.clock().now());
            told(recorder, broker, by);
        }
    }
}

/// The partitions that an answer describes.
fn partitions(answer: &MetadataResponse) -> BTreeMap<(String, i32), PartitionView> {
    let ids = |nodes: &[kafka_protocol::messages::BrokerId]| nodes.iter().map(|id| id.0).collect();
    let mut partitions = BTreeMap::new();
    for topic in &answer.topics {
        let name = topic.name.as_ref().map_or("", |name| name.0.as_str());
        for partition in &topic.partitions {
            let leader = Some(partition.leader_id.0).filter(|leader| *leader >= 0);
            let (isr, replicas) = (ids(&partition.isr_nodes), ids(&partition.replica_nodes));
            let state = PartitionView { leader, isr, replicas };
            partitions.insert((name.to_owned(), partition.partition_index), state);
        }
    }
    partitions
}

fn told(recorder: &Recorder, broker: BrokerId, by: BrokerId) {
    recorder.now(EventKind::Problem {
        text: format!("broker {broker} is not in the metadata of broker {by} any more"),
    });
}

/// Records that a broker was not named, until now.
fn vanished(shared: &Shared, broker: BrokerId, from: RunTime) {
    let Some(process) = process(shared, broker) else { return };
    let (cause, place) = (Cause::Vanished, Place::Server(process));
    shared.watched.recorder.now(EventKind::Disturbed { cause, place, from, detail: None });
}

fn process(shared: &Shared, broker: BrokerId) -> Option<Process> {
    let mut all = shared.watched.members.processes().into_iter();
    all.find(|process| process.role == Role::Broker && process.id == broker)
}

#[cfg(test)]
mod tests {
    use std::io::{Read as _, Write as _};
    use std::net::TcpListener;

    use bytes::BytesMut;
    use kafka_protocol::messages::metadata_response::{
        MetadataResponseBroker, MetadataResponsePartition, MetadataResponseTopic,
    };
    use kafka_protocol::messages::{BrokerId as WireBroker, ResponseHeader};
    use kafka_protocol::protocol::Encodable as _;
    use results::record::clock::RunClock;
    use results::record::event::log;

    use super::*;
    use crate::admin::topic_name;
    use crate::membership::{Member, Membership};

    /// What a broker tells: these brokers, another controller each time as a KRaft broker does, and a partition
    /// that the first of them leads.
    fn metadata(brokers: &[BrokerId], turn: i32) -> MetadataResponse {
        let broker =
            |id: &BrokerId| MetadataResponseBroker::default().with_node_id(WireBroker(*id));
        let partition = MetadataResponsePartition::default()
            .with_leader_id(WireBroker(brokers.first().copied().unwrap_or(-1)))
            .with_replica_nodes(vec![WireBroker(1), WireBroker(2)])
            .with_isr_nodes(brokers.iter().copied().map(WireBroker).collect());
        let topic = MetadataResponseTopic::default()
            .with_name(Some(topic_name("ours")))
            .with_partitions(vec![partition]);
        MetadataResponse::default()
            .with_brokers(brokers.iter().map(broker).collect())
            .with_controller_id(WireBroker(1 + turn % 2))
            .with_topics(vec![topic])
    }

    /// A broker that names those that are in `named` now.
    fn broker(named: Arc<Mutex<Vec<BrokerId>>>) -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let (mut stream, named) = (stream.unwrap(), Arc::clone(&named));
                std::thread::spawn(move || {
                    for turn in 0.. {
                        let mut length = [0; 4];
                        if stream.read_exact(&mut length).is_err() {
                            return;
                        }
                        let mut request = vec![0; u32::from_be_bytes(length) as usize];
                        stream.read_exact(&mut request).unwrap();
                        let correlation = i32::from_be_bytes(request[4..8].try_into().unwrap());
                        let mut answer = BytesMut::new();
                        let header = ResponseHeader::default().with_correlation_id(correlation);
                        header.encode(&mut answer, 0).unwrap();
                        let told = metadata(&named.lock().unwrap(), turn);
                        told.encode(&mut answer, METADATA_VERSION).unwrap();
                        let length = (answer.len() as u32).to_be_bytes();
                        // Who asked may have gone.
                        if stream.write_all(&[&length, &answer[..]].concat()).is_err() {
                            return;
                        }
                    }
                });
            }
        });
        address
    }

    async fn until(what: &str, mut condition: impl FnMut() -> bool) {
        for _ in 0..100 {
            if condition() {
                return;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        panic!("not within 5 s: {what}");
    }

    #[tokio::test]
    async fn a_broker_that_is_not_named_disturbs_and_nothing_is_made_up_of_what_was_not_seen() {
        let dir = tempfile::tempdir().unwrap();
        let recorder = Arc::new(Recorder::create(dir.path(), RunClock::start()).unwrap());
        let named = Arc::new(Mutex::new(vec![1, 2]));
        let address = broker(Arc::clone(&named));
        let member = |id: BrokerId| Member {
            process: Process { node: format!("broker-{id}"), role: Role::Broker, id },
            address,
        };
        let members = Arc::new(Membership::new([1, 2].map(member).into()));
        members.add_topic("ours", &[vec![1, 2]]);
        let watched = Watched {
            members: Arc::clone(&members),
            recorder: Arc::clone(&recorder),
            clock_is_ours: true,
        };
        let plane = MetadataPlane::KraftBrokers;
        let observer = BrokersObserver::start(watched, plane).await.unwrap();
        observer.watch_metadata();
        let view = observer.sees_now().unwrap();
        assert_eq!((view.controller, members.missing(&view)), (None, None));
        assert!(view.sessions.is_empty());

        named.lock().unwrap().retain(|id| *id == 1);
        until("broker 2 is gone", || !observer.view().brokers.contains(&2)).await;
        let missing = members.missing(&observer.view()).unwrap();
        assert_eq!(missing, "broker 2 is not registered");
        named.lock().unwrap().push(2);
        until("broker 2 is back", || observer.view().brokers.contains(&2)).await;
        // Nobody is named: that is no answer, and the view stands as it was.
        named.lock().unwrap().clear();
        until("nothing is seen", || !observer.sees()).await;
        assert!(observer.sees_now().is_err());
        *named.lock().unwrap() = vec![2];
        until("something is seen", || observer.sees()).await;
        until("broker 1 is gone", || !observer.view().brokers.contains(&1)).await;
        observer.stop();
        recorder.end(EventKind::TrialEnded);

        let events = log::read(&dir.path().join("events.jsonl")).unwrap().events;
        let disturbed = events.iter().filter_map(|event| match &event.kind {
            EventKind::Disturbed { cause, place, .. } => Some((*cause, place.to_string())),
            _ => None,
        });
        let vanished = |id| (Cause::Vanished, format!("broker {id} (broker-{id})"));
        let lost = (Cause::ObserverLost, "kbench".to_owned());
        assert_eq!(disturbed.collect::<Vec<_>>(), [vanished(2), lost, vanished(1)]);
        let made_up = |kind: &EventKind| {
            matches!(
                kind,
                EventKind::ControllerSeen { .. }
                    | EventKind::ControllerElected { .. }
                    | EventKind::BrokerRegistered { .. }
                    | EventKind::BrokerGone { .. }
                    | EventKind::PartitionState { .. }
            )
        };
        assert!(!events.iter().any(|event| made_up(&event.kind)));
        assert!(events.iter().any(|event| matches!(event.kind, EventKind::MetadataSeen { .. })));
    }
}
