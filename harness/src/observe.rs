//! Watching a cluster without disturbing it: its metadata plane, every broker's own metadata, the
//! servers' logs.
//!
//! An [`Observer`] is one way to follow a metadata plane; [`ZookeeperObserver`] is the one for
//! ZooKeeper, by a recursive watch; [`BrokersObserver`] has nothing but what brokers tell clients. Another
//! plane is another file beside it: it keeps the same [`View`] and records the same events, and says in both
//! where a fact comes from.
//!
//! Plane and brokers are watched on a thread of their own, so that time stamps do not wait for the
//! rest of the trial and the cost can be stated: it is that thread's CPU time. Times are those of
//! the arrival of an answer or notification, or a znode's own, on the run's clock.

mod brokers;
mod expiry;
pub mod logs;
mod metadata;
mod thread;
mod topics;
mod zookeeper;

use std::sync::Arc;
use std::sync::atomic::Ordering;

use faults::port::{ErrorKind, PortError, View};

use crate::membership::Membership;
use crate::recorder::Recorder;

pub use brokers::BrokersObserver;
pub use thread::Watching;
pub use zookeeper::ZookeeperObserver;

/// What to watch.
#[derive(Clone)]
pub struct Watched {
    /// The cluster's members, and the topics whose metadata is watched. Brokers that join and topics
    /// that come later are watched from then on.
    pub members: Arc<Membership>,
    /// Where events go.
    pub recorder: Arc<Recorder>,
    /// Whether the servers' wall clock is that of this machine, so that the times that they tell can be believed.
    pub clock_is_ours: bool,
}

/// Somebody who follows a cluster. Dropping one ends its watching.
pub trait Observer {
    /// The thread that it watches on, with the view that it keeps.
    fn watching(&self) -> &Watching;

    /// What it does not see as precisely as it might, in a sentence; `None` when there is nothing.
    fn imprecision(&self) -> Option<String>;

    /// Whether the view follows the cluster; if not, it is what was seen last.
    fn sees(&self) -> bool {
        self.watching().shared.sees.load(Ordering::Relaxed)
    }

    /// The cluster as it was seen last; milliseconds old while [`Observer::sees`].
    fn view(&self) -> View {
        self.watching().shared.view().clone()
    }

    /// The cluster as it is now.
    ///
    /// # Errors
    /// `Unreachable` while the view does not follow it: what was seen last is no answer.
    fn sees_now(&self) -> Result<View, PortError> {
        // Before and after, or the view may be the one of a session that is lost or only begins.
        let seen = self.sees();
        let view = self.view();
        if seen && self.sees() {
            return Ok(view);
        }
        let lost = format!("the observer does not follow {}: nobody sees the cluster", view.plane);
        Err(PortError::new(ErrorKind::Unreachable, lost))
    }

    /// Asks the brokers for their metadata from now on: their topics exist.
    fn watch_metadata(&self) {
        self.watching().shared.metadata.store(true, Ordering::Relaxed);
        self.set_fast(false);
    }

    /// Asks every broker about 50 times a second, or twice.
    fn set_fast(&self, fast: bool) {
        self.watching().shared.fast.send_replace(fast);
    }

    /// Ends the watching and records what it cost.
    fn stop(&self) {
        self.watching().stop();
    }
}
