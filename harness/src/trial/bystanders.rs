//! Others' consumer groups on a cluster that is not kbench's: how far they are behind while the run goes on.

use std::rc::{Rc, Weak};
use std::time::Duration;

use results::record::event::EventKind;
use tokio::task::{JoinHandle, spawn_local};

use super::lab::Lab;
use crate::cluster::attached::AttachedSpec;

/// Time between two looks.
const EVERY: Duration = Duration::from_secs(5);

/// Most groups that are looked after.
const MOST: usize = 20;

/// The task that looks. Dropping it ends it.
pub(super) struct BystanderWatch(JoinHandle<()>);

impl BystanderWatch {
    /// Looks after the groups that are not those of run `number`.
    pub(super) fn start(lab: &Rc<Lab>, number: u64) -> Self {
        Self(spawn_local(watch(Rc::downgrade(lab), AttachedSpec::own("", number))))
    }
}

impl Drop for BystanderWatch {
    fn drop(&mut self) {
        self.0.abort();
    }
}

async fn watch(lab: Weak<Lab>, own: String) {
    while let Some(lab) = lab.upgrade() {
        let groups = lab.admin.groups().await.into_iter().filter(|group| !group.ends_with(&own));
        for group in groups.take(MOST) {
            // One of which nothing is told now is asked again.
            if let Some(lag) = lab.admin.lag(&group).await {
                lab.recorder.now(EventKind::BystanderLag { group, lag });
            }
        }
        drop(lab);
        tokio::time::sleep(EVERY).await;
    }
}
