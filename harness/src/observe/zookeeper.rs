//! ZooKeeper, by one persistent recursive watch on its root: controller, registrations, partition
//! states, in the order in which they change. Servers before 3.6 have no such watch: see [`rearm`].
//!
//! A deletion is stamped when its notification arrives. A znode that was created or changed is
//! read, and stamped with its own modification time, by the ZooKeeper leader's clock, where that is this
//! machine's. (The arrivals of a burst came up to 138 ms later on two busy cores.) Where that clock is
//! another machine's, or cannot be right, since it was stepped, it is stamped when it is read. One that was seen to vanish
//! before is never stamped before that. A znode that changes twice before it is read is read as it is then.

mod partitions;
mod persistent;
mod rearm;

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use faults::port::PartitionView;
use results::record::clock::RunTime;
use results::record::event::{BrokerId, EventKind, MetadataPlane};
use serde_json::Value;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinSet;
use tokio::time::timeout;
use zookeeper_client::{AddWatchMode, Client, Error, Stat};

use self::partitions::{assigned, forget, without_leader};
use super::thread::{Shared, Watching};
use super::{Observer, Watched, expiry};
use crate::failure::Failure;
use crate::membership::Membership;

/// Where everything here comes from.
const PLANE: MetadataPlane = MetadataPlane::Zookeeper;

/// Limit for one call: without quorum a read blocks until the session expires.
const CALL_LIMIT: Duration = Duration::from_secs(5);

/// Pause before ZooKeeper is asked again after it could not be reached.
const AGAIN: Duration = Duration::from_millis(200);

/// The observer's own session time-out.
const SESSION: Duration = Duration::from_secs(10);

/// What a server costs that has no persistent watches.
const REARMED: &str = "this ZooKeeper has no persistent watches (they came with 3.6): a watch is set anew \
    each time it has fired, and of several changes of a znode in between only the last is seen; the \
    fewest in-sync copies may have been fewer than is shown";

/// What it costs that ZooKeeper is on other machines.
const ARRIVED: &str = "what changes in ZooKeeper is stamped when it is learnt, not when it happened: its \
    clock is another machine's";

/// Follows a cluster whose metadata are in ZooKeeper.
pub struct ZookeeperObserver {
    watching: Watching,
    rearms: Arc<AtomicBool>,
}

/// What happens to a znode, or to the session that watches it.
enum ZnodeChange {
    /// It was created or its data changed.
    Written(String),
    Deleted(String),
    /// The session is of no more use, and why.
    Over(String),
}

/// A change, and when its notification arrived.
type Notification = (RunTime, ZnodeChange);

impl ZookeeperObserver {
    /// Starts watching; returns when ZooKeeper has been read once.
    ///
    /// # Errors
    /// An infrastructure failure when ZooKeeper does not answer in time.
    pub async fn start(watched: Watched) -> Result<Self, Failure> {
        expiry::expire_one_session(connect_string(&watched.members));
        let rearms = Arc::new(AtomicBool::new(false));
        let of_thread = Arc::clone(&rearms);
        let watch = move |shared, ready| watch(shared, ready, of_thread);
        Ok(Self { watching: Watching::start(watched, PLANE, watch).await?, rearms })
    }

    /// Starts watching a cluster whose ZooKeeper may not be reached yet: see [`Observer::sees`].
    ///
    /// # Errors
    /// An infrastructure failure when there is no thread to watch on.
    pub fn start_blind(watched: Watched) -> Result<Self, Failure> {
        let rearms = Arc::new(AtomicBool::new(false));
        let of_thread = Arc::clone(&rearms);
        let watch = move |shared, ready| watch(shared, ready, of_thread);
        Ok(Self { watching: Watching::start_blind(watched, PLANE, watch)?.0, rearms })
    }
}

impl Observer for ZookeeperObserver {
    fn watching(&self) -> &Watching {
        &self.watching
    }

    fn imprecision(&self) -> Option<String> {
        let arrived = !self.watching.shared.watched.clock_is_ours;
        let all =
            [arrived.then_some(ARRIVED), self.rearms.load(Ordering::Relaxed).then_some(REARMED)];
        let all: Vec<_> = all.into_iter().flatten().collect();
        (!all.is_empty()).then(|| all.join("; "))
    }
}

/// `host:port` of every ZooKeeper server, separated by commas. A client tries them in order, and a
/// fresh ensemble is led by the highest id: its word comes a few milliseconds before its followers'.
fn connect_string(members: &Membership) -> String {
    let addresses = members.zookeepers().into_values().rev().map(|address| address.to_string());
    addresses.collect::<Vec<_>>().join(",")
}

/// Watches until the observer ends. `ready` is told when everything has been read once.
async fn watch(shared: Arc<Shared>, ready: oneshot::Sender<()>, rearms: Arc<AtomicBool>) {
    let mut ready = Some(ready);
    loop {
        let Err(why) = session(&shared, &mut ready, &rearms).await;
        shared.lost().replace(why.clone());
        // Told once, however often it is tried in vain to open another.
        if shared.lost_sight() {
            shared.watched.recorder.now(EventKind::Problem {
                text: format!(
                    "the observer lost ZooKeeper ({why}): times of changes until it is back are late"
                ),
            });
        }
        tokio::time::sleep(AGAIN).await;
    }
}

/// One session, to its end; why it ended.
async fn session(
    shared: &Shared,
    ready: &mut Option<oneshot::Sender<()>>,
    rearms: &AtomicBool,
) -> Result<Infallible, String> {
    let servers = connect_string(&shared.watched.members);
    let connect = Client::connector().with_session_timeout(SESSION).connect(&servers);
    let client = limited(connect).await?;
    let (sender, mut notifications) = mpsc::unbounded_channel();
    let clock = shared.watched.recorder.clock();
    let mut watching = JoinSet::new();
    if rearms.load(Ordering::Relaxed) {
        let (armed, mut all_armed) = mpsc::channel(1);
        let watched = rearm::Rearmed::new(client.clone(), clock, sender);
        watching.spawn_local(watched.watch(armed));
        // Closed when every watch has been set that the tree needs now.
        drop(timeout(CALL_LIMIT, all_armed.recv()).await);
    } else {
        match timeout(CALL_LIMIT, client.watch("/", AddWatchMode::PersistentRecursive)).await {
            Ok(Ok(watcher)) => watching.spawn_local(persistent::forward(watcher, clock, sender)),
            Ok(Err(Error::Unimplemented)) => {
                rearms.store(true, Ordering::Relaxed);
                // The server has closed the session.
                return Err("it has no persistent watches".to_owned());
            }
            Ok(Err(error)) => return Err(error.to_string()),
            Err(_) => return Err(no_answer()),
        };
    }
    let reader = Reader { shared, client, vanished: RefCell::default() };
    reader.read_all().await?;
    shared.sees_again();
    if let Some(ready) = ready.take() {
        // Nobody waits any more when this fails.
        ready.send(()).ok();
    }
    while let Some((at, change)) = notifications.recv().await {
        match change {
            ZnodeChange::Deleted(path) => reader.deleted(at, &path),
            ZnodeChange::Written(path) => reader.changed(&path).await?,
            ZnodeChange::Over(why) => return Err(why),
        }
    }
    Err(ended())
}

fn ended() -> String {
    "its connection or session ended".to_owned()
}

fn no_answer() -> String {
    format!("no answer within {} s", CALL_LIMIT.as_secs())
}

async fn limited<T>(call: impl Future<Output = Result<T, Error>>) -> Result<T, String> {
    match timeout(CALL_LIMIT, call).await {
        Ok(outcome) => outcome.map_err(|error| error.to_string()),
        Err(_) => Err(no_answer()),
    }
}

/// Reads znodes into the view and the events.
struct Reader<'a> {
    shared: &'a Shared,
    client: Client,
    /// When znodes were seen to vanish. Their successors' own times may be earlier: the notification
    /// came late.
    vanished: RefCell<BTreeMap<String, RunTime>>,
}

/// A znode that means something here.
enum Znode<'a> {
    Controller,
    ControllerEpoch,
    Broker(BrokerId),
    Topic(&'a str),
    Partition(&'a str, i32),
}

impl<'a> Znode<'a> {
    fn parse(path: &'a str) -> Option<Self> {
        let parts: Vec<&str> = path.split('/').skip(1).collect();
        match parts.as_slice() {
            ["controller"] => Some(Self::Controller),
            ["controller_epoch"] => Some(Self::ControllerEpoch),
            ["brokers", "ids", id] => id.parse().ok().map(Self::Broker),
            ["brokers", "topics", topic] => Some(Self::Topic(topic)),
            ["brokers", "topics", topic, "partitions", partition, "state"] => {
                partition.parse().ok().map(|partition| Self::Partition(topic, partition))
            }
            _ => None,
        }
    }
}

impl Reader<'_> {
    fn record(&self, at: RunTime, kind: EventKind) {
        self.shared.watched.recorder.at(at, kind);
    }

    /// A znode vanished.
    fn deleted(&self, at: RunTime, path: &str) {
        self.vanished.borrow_mut().insert(path.to_owned(), at);
        match Znode::parse(path) {
            Some(Znode::Controller) => {
                self.shared.view().controller = None;
                self.record(at, EventKind::ControllerGone { plane: PLANE });
            }
            Some(Znode::Broker(broker)) => {
                {
                    let mut view = self.shared.view();
                    view.brokers.remove(&broker);
                    view.sessions.remove(&broker);
                }
                self.record(at, EventKind::BrokerGone { plane: PLANE, broker });
            }
            Some(znode) => forget(&mut self.shared.view(), &znode),
            None => {}
        }
    }

    /// Reads everything once, and notes what vanished while nobody watched.
    async fn read_all(&self) -> Result<(), String> {
        let known = self.shared.view().clone();
        let now = self.shared.watched.recorder.clock().now();
        if known.controller.is_some() && !self.children("/").await?.contains(&"controller".into()) {
            self.deleted(now, "/controller");
        }
        for path in ["/controller", "/controller_epoch"] {
            self.changed(path).await?;
        }
        let ids = self.children("/brokers/ids").await?;
        for gone in known.brokers.iter().filter(|known| !ids.contains(&known.to_string())) {
            self.deleted(now, &format!("/brokers/ids/{gone}"));
        }
        for id in ids {
            self.changed(&format!("/brokers/ids/{id}")).await?;
        }
        let topics = self.children("/brokers/topics").await?;
        self.shared.view().retain_topics(|known| topics.iter().any(|topic| topic == known));
        for topic in topics {
            self.read(&format!("/brokers/topics/{topic}")).await?;
            let partitions = format!("/brokers/topics/{topic}/partitions");
            for partition in self.children(&partitions).await? {
                self.changed(&format!("{partitions}/{partition}/state")).await?;
            }
        }
        Ok(())
    }

    async fn children(&self, path: &str) -> Result<Vec<String>, String> {
        match timeout(CALL_LIMIT, self.client.list_children(path)).await {
            Ok(Ok(children)) => Ok(children),
            Ok(Err(Error::NoNode)) => Ok(Vec::new()),
            Ok(Err(error)) => Err(error.to_string()),
            Err(_) => Err(no_answer()),
        }
    }

    /// A znode was created or changed: reads it. Where watches are set znode by znode, a topic that was deleted and made
    /// again may be told of after its partitions, whose leaders went with the one that was deleted: these are read again.
    async fn changed(&self, path: &str) -> Result<(), String> {
        self.read(path).await?;
        if let Some(Znode::Topic(topic)) = Znode::parse(path) {
            let unled = without_leader(&self.shared.view(), topic);
            for partition in unled {
                self.read(&format!("{path}/partitions/{partition}/state")).await?;
            }
        }
        Ok(())
    }

    async fn read(&self, path: &str) -> Result<(), String> {
        let Some(znode) = Znode::parse(path) else { return Ok(()) };
        let (data, stat) = match timeout(CALL_LIMIT, self.client.get_data(path)).await {
            Ok(Ok(read)) => read,
            // Gone again; its deletion follows.
            Ok(Err(Error::NoNode)) => return Ok(()),
            Ok(Err(error)) => return Err(error.to_string()),
            Err(_) => return Err(no_answer()),
        };
        let vanished = self.vanished.borrow().get(path).copied().unwrap_or_default();
        let at = self.shared.when(stat.mtime).max(vanished);
        self.take(at, znode, &data, &stat);
        Ok(())
    }

    fn take(&self, at: RunTime, znode: Znode<'_>, data: &[u8], stat: &Stat) {
        let text = || std::str::from_utf8(data).ok();
        let json: Value = serde_json::from_slice(data).unwrap_or_default();
        match znode {
            Znode::Controller => {
                let Some(broker) = number(&json["brokerid"]) else { return };
                let before = self.shared.view().controller.replace(broker);
                if before != Some(broker) {
                    let ctime_ms = stat.ctime;
                    self.record(
                        at,
                        EventKind::ControllerElected { plane: PLANE, broker, ctime_ms },
                    );
                }
            }
            Znode::ControllerEpoch => {
                if let Some(epoch) = text().and_then(|text| text.trim().parse().ok()) {
                    self.record(at, EventKind::ControllerEpoch { plane: PLANE, epoch });
                }
            }
            Znode::Broker(broker) => {
                let session = stat.ephemeral_owner;
                let before = {
                    let mut view = self.shared.view();
                    view.brokers.insert(broker);
                    view.sessions.insert(broker, session)
                };
                // By another session it is registered anew, even if nobody saw it vanish.
                if before != Some(session) {
                    self.record(
                        at,
                        EventKind::BrokerRegistered {
                            plane: PLANE,
                            broker,
                            session,
                            ctime_ms: stat.ctime,
                        },
                    );
                }
            }
            Znode::Topic(topic) => self.take_topic(topic, &json),
            Znode::Partition(topic, partition) => {
                self.take_partition(at, topic, partition, &json, stat);
            }
        }
    }

    fn take_topic(&self, topic: &str, json: &Value) {
        assigned(&mut self.shared.view(), topic, json);
    }

    fn take_partition(&self, at: RunTime, topic: &str, partition: i32, json: &Value, stat: &Stat) {
        let leader = number(&json["leader"]).unwrap_or(-1);
        let isr = numbers(&json["isr"]);
        {
            let mut view = self.shared.view();
            let state: &mut PartitionView =
                view.partitions.entry((topic.to_owned(), partition)).or_default();
            state.leader = Some(leader).filter(|leader| *leader >= 0);
            state.isr.clone_from(&isr);
        }
        // Thousands of partitions without load are waited for, and nothing is said of them.
        if self.shared.watched.members.is_idle(topic) {
            return;
        }
        self.record(
            at,
            EventKind::PartitionState {
                plane: PLANE,
                topic: topic.to_owned(),
                partition,
                leader,
                leader_epoch: number(&json["leader_epoch"]).unwrap_or(-1),
                isr,
                mtime_ms: stat.mtime,
            },
        );
    }
}

fn number(value: &Value) -> Option<i32> {
    value.as_i64().and_then(|number| i32::try_from(number).ok())
}

fn numbers(value: &Value) -> Vec<i32> {
    value.as_array().into_iter().flatten().filter_map(number).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_that_mean_something_are_told_apart() {
        assert!(matches!(Znode::parse("/controller"), Some(Znode::Controller)));
        assert!(matches!(Znode::parse("/brokers/ids/12"), Some(Znode::Broker(12))));
        assert!(matches!(
            Znode::parse("/brokers/topics/a/partitions/7/state"),
            Some(Znode::Partition("a", 7))
        ));
        assert!(Znode::parse("/brokers/topics/a/partitions/7").is_none());
        assert!(Znode::parse("/brokers/seqid").is_none());
    }
}
