//! Following a ZooKeeper that has no persistent watches (before 3.6) by watches that fire once.
//!
//! Each znode that means something has a watch; so have the lists of brokers, topics and partitions, for
//! what joins them. When a watch fires it is set anew first, and what is found then is told: a znode that
//! vanished and came back in between is told as both, one that was written several times as written once.
//! Nothing that is so at the end of a burst is missed, since the watch stands before the znode is read.

use std::collections::BTreeSet;

use futures::future::LocalBoxFuture;
use futures::stream::FuturesUnordered;
use futures::{FutureExt as _, StreamExt as _};
use results::record::clock::{RunClock, RunTime};
use tokio::sync::mpsc;
use tokio::time::timeout;
use zookeeper_client::{Client, Error, EventType, OneshotWatcher, SessionState, Stat};

use super::{CALL_LIMIT, Notification, ZnodeChange, ended, no_answer};

/// Lists whose members are followed, and what is followed of each.
#[derive(Clone, Copy)]
enum ZnodeList {
    Brokers,
    Topics,
    Partitions,
}

impl ZnodeList {
    /// What is to be followed when `name` joins the list at `path`.
    fn member(self, path: &str, name: &str) -> (String, Option<(String, Self)>) {
        let member = format!("{path}/{name}");
        match self {
            Self::Brokers => (member, None),
            Self::Topics => {
                let partitions = format!("{member}/partitions");
                (member, Some((partitions, Self::Partitions)))
            }
            Self::Partitions => (format!("{member}/state"), None),
        }
    }
}

/// Dropped when a watch has been set for the first time; the channel closes with the last one.
pub(super) type Armed = mpsc::Sender<()>;

/// A ZooKeeper that is followed so, in one session.
pub(super) struct Rearmed {
    client: Client,
    clock: RunClock,
    sender: mpsc::UnboundedSender<Notification>,
}

impl Rearmed {
    pub(super) fn new(
        client: Client,
        clock: RunClock,
        sender: mpsc::UnboundedSender<Notification>,
    ) -> Self {
        Self { client, clock, sender }
    }

    /// Follows the tree to the end of the session.
    pub(super) async fn watch(self, armed: Armed) {
        let mut state = self.client.state_watcher();
        let lost = async {
            while state.changed().await == SessionState::SyncConnected {}
            Err::<(), String>(ended())
        };
        let all = futures::future::try_join5(
            lost,
            self.node("/controller".to_owned(), Some(armed.clone())),
            self.node("/controller_epoch".to_owned(), Some(armed.clone())),
            self.list("/brokers/ids".to_owned(), ZnodeList::Brokers, Some(armed.clone())),
            self.list("/brokers/topics".to_owned(), ZnodeList::Topics, Some(armed)),
        );
        if let Err(why) = all.await {
            self.tell(self.clock.now(), ZnodeChange::Over(why));
        }
    }

    fn tell(&self, at: RunTime, change: ZnodeChange) {
        // Who listened has ended the session when this fails.
        self.sender.send((at, change)).ok();
    }

    /// Follows one znode, whether it is there or not. With `armed`, what is found at first is read by
    /// others; without, the znode is new, and told.
    fn node(&self, path: String, armed: Option<Armed>) -> LocalBoxFuture<'_, Result<(), String>> {
        async move {
            let (mut before, mut watcher) = self.arm(&path).await?;
            if armed.is_none() && before.is_some() {
                self.tell(self.clock.now(), ZnodeChange::Written(path.clone()));
            }
            drop(armed);
            loop {
                let event = watcher.changed().await.event_type;
                let at = self.clock.now();
                let (now, next) = self.arm(&path).await?;
                for change in changes(&path, event, before.as_ref(), now.as_ref()) {
                    self.tell(at, change);
                }
                (before, watcher) = (now, next);
            }
        }
        .boxed_local()
    }

    /// Sets the watch of a znode, there or not.
    async fn arm(&self, path: &str) -> Result<(Option<Stat>, OneshotWatcher), String> {
        match timeout(CALL_LIMIT, self.client.check_and_watch_stat(path)).await {
            Ok(armed) => armed.map_err(|error| error.to_string()),
            Err(_) => Err(no_answer()),
        }
    }

    /// Follows a list: its members, and who joins them.
    fn list(
        &self,
        path: String,
        list: ZnodeList,
        mut armed: Option<Armed>,
    ) -> LocalBoxFuture<'_, Result<(), String>> {
        async move {
            let mut followed = BTreeSet::new();
            let mut below = FuturesUnordered::new();
            loop {
                let (names, watcher) = self.arm_list(&path).await?;
                for name in names.into_iter().filter(|name| followed.insert(name.clone())) {
                    let (node, inner) = list.member(&path, &name);
                    below.push(self.node(node, armed.clone()));
                    below.extend(inner.map(|(path, list)| self.list(path, list, armed.clone())));
                }
                armed = None;
                let mut changed = std::pin::pin!(watcher.changed());
                loop {
                    tokio::select! {
                        _ = &mut changed => break,
                        Some(ended) = below.next() => ended?,
                    }
                }
            }
        }
        .boxed_local()
    }

    /// Sets the watch of a list, there or not.
    async fn arm_list(&self, path: &str) -> Result<(Vec<String>, OneshotWatcher), String> {
        loop {
            match timeout(CALL_LIMIT, self.client.list_and_watch_children(path)).await {
                Ok(Ok(armed)) => return Ok(armed),
                Ok(Err(Error::NoNode)) => {}
                Ok(Err(error)) => return Err(error.to_string()),
                Err(_) => return Err(no_answer()),
            }
            // Until there is one, its own coming is what there is to watch.
            if let (None, watcher) = self.arm(path).await? {
                return Ok((vec![], watcher));
            }
        }
    }
}

/// What happened to a znode between two looks at it, the second after `event`.
fn changes(
    path: &str,
    event: EventType,
    before: Option<&Stat>,
    now: Option<&Stat>,
) -> Vec<ZnodeChange> {
    let (deleted, written) =
        (|| ZnodeChange::Deleted(path.to_owned()), || ZnodeChange::Written(path.to_owned()));
    match (before, now) {
        (None, None) if event == EventType::NodeCreated => vec![deleted()],
        (None, None) => vec![],
        (None, Some(_)) => vec![written()],
        (Some(_), None) => vec![deleted()],
        (Some(before), Some(now)) if before.czxid != now.czxid => vec![deleted(), written()],
        (Some(before), Some(now)) if before.mzxid != now.mzxid => vec![written()],
        (Some(_), Some(_)) => vec![],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stat(czxid: i64, mzxid: i64) -> Stat {
        Stat {
            czxid,
            mzxid,
            ctime: 0,
            mtime: 0,
            version: 0,
            cversion: 0,
            aversion: 0,
            ephemeral_owner: 0,
            data_length: 0,
            num_children: 0,
            pzxid: 0,
        }
    }

    /// What is told, a letter a change.
    fn told(event: EventType, before: Option<Stat>, now: Option<Stat>) -> String {
        let letter = |change: &ZnodeChange| match change {
            ZnodeChange::Written(path) if path == "/a" => 'w',
            ZnodeChange::Deleted(path) if path == "/a" => 'd',
            _ => '?',
        };
        changes("/a", event, before.as_ref(), now.as_ref()).iter().map(letter).collect()
    }

    #[test]
    fn what_came_and_went_between_two_looks_is_told() {
        use EventType::{NodeCreated, NodeDataChanged, NodeDeleted};
        let (first, changed, second) = (stat(1, 1), stat(1, 2), stat(3, 3));
        assert_eq!(told(NodeCreated, None, Some(first)), "w");
        assert_eq!(told(NodeDeleted, Some(first), None), "d");
        assert_eq!(told(NodeDataChanged, Some(first), Some(changed)), "w");
        // The election after a controller's death is quicker than the watch.
        assert_eq!(told(NodeDeleted, Some(first), Some(second)), "dw");
        assert_eq!(told(NodeDataChanged, Some(changed), Some(second)), "dw");
        assert_eq!(told(NodeDataChanged, Some(first), None), "d");
        assert_eq!(told(NodeCreated, None, None), "d");
        assert_eq!(told(NodeDataChanged, Some(first), Some(first)), "");
    }

    #[test]
    fn what_joins_a_list_is_followed_with_what_is_below_it() {
        let (node, inner) = ZnodeList::Topics.member("/brokers/topics", "t");
        assert_eq!(node, "/brokers/topics/t");
        let (partitions, list) = inner.expect("a topic has partitions");
        assert_eq!(partitions, "/brokers/topics/t/partitions");
        assert_eq!(list.member(&partitions, "0").0, "/brokers/topics/t/partitions/0/state");
        assert_eq!(ZnodeList::Brokers.member("/brokers/ids", "7").0, "/brokers/ids/7");
    }
}
