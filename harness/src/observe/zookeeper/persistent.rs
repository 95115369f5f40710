//! Following a ZooKeeper by one persistent recursive watch.

use results::record::clock::RunClock;
use tokio::sync::mpsc;
use zookeeper_client::{EventType, PersistentWatcher, SessionState, WatchedEvent};

use super::{Notification, ZnodeChange, ended};

/// Forwards what a persistent watch tells.
pub(super) async fn forward(
    mut watcher: PersistentWatcher,
    clock: RunClock,
    sender: mpsc::UnboundedSender<Notification>,
) {
    loop {
        let event = watcher.changed().await;
        let at = clock.now();
        let over = is_over(&event);
        let change = match event.event_type {
            EventType::NodeDeleted => ZnodeChange::Deleted(event.path),
            EventType::NodeCreated | EventType::NodeDataChanged => ZnodeChange::Written(event.path),
            _ if over => ZnodeChange::Over(ended()),
            _ => continue,
        };
        if sender.send((at, change)).is_err() || over {
            return;
        }
    }
}

/// Whether a session is of no more use: it ended, or the server that it was on has gone. Taken to
/// another server, it was seen to stay silent about what changed from then on.
fn is_over(event: &WatchedEvent) -> bool {
    event.event_type == EventType::Session && event.session_state != SessionState::SyncConnected
}
