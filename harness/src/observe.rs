//! Watching a cluster without disturbing it: ZooKeeper by one recursive watch, every broker's own
//! metadata, the servers' logs.
//!
//! ZooKeeper and metadata are watched on a thread of their own, so that time stamps do not wait
//! for the rest of the trial and the cost can be stated: it is that thread's CPU time. Times are those
//! of the arrival of an answer or notification, or a znode's own, on the run's clock.

mod expiry;
pub mod logs;
mod metadata;
mod zookeeper;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use faults::port::View;
use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::time::TimeValLike;
use results::record::event::{BrokerId, EventKind};
use tokio::sync::{oneshot, watch};

use crate::failure::Failure;
use crate::recorder::Recorder;

/// Limit for the first complete view; ZooKeeper serves when the observer is started.
const FIRST_VIEW_LIMIT: Duration = Duration::from_secs(20);

/// What to watch.
pub struct Watched {
    /// `host:port` of every ZooKeeper server, separated by commas.
    pub zookeeper: String,
    /// Address of every broker.
    pub brokers: BTreeMap<BrokerId, SocketAddr>,
    /// Topics whose metadata is watched; the first is the main load's.
    pub topics: Vec<String>,
    /// Where events go.
    pub recorder: Arc<Recorder>,
}

/// What the observer's tasks share.
struct Shared {
    watched: Watched,
    view: Mutex<View>,
    fast: watch::Sender<bool>,
    metadata: AtomicBool,
    /// Whether the view follows ZooKeeper; without a session it is what was seen last.
    sees: AtomicBool,
    requests: AtomicU64,
    bytes: AtomicU64,
}

/// A running observer. Dropping it ends its thread.
pub struct Observer {
    shared: Arc<Shared>,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<f64>>,
    started: Instant,
}

impl Observer {
    /// Starts watching; returns when ZooKeeper has been read once.
    ///
    /// # Errors
    /// An infrastructure failure when ZooKeeper does not answer in time.
    pub async fn start(watched: Watched) -> Result<Self, Failure> {
        let topic = watched.topics.first().cloned().unwrap_or_default();
        let shared = Arc::new(Shared {
            watched,
            view: Mutex::new(View { topic, ..View::default() }),
            fast: watch::channel(false).0,
            metadata: AtomicBool::new(false),
            sees: AtomicBool::new(false),
            requests: AtomicU64::new(0),
            bytes: AtomicU64::new(0),
        });
        let (stop, stopped) = oneshot::channel();
        let (ready, is_ready) = oneshot::channel();
        let inner = Arc::clone(&shared);
        let thread = std::thread::Builder::new()
            .name("observer".to_owned())
            .spawn(move || observe(inner, ready, stopped))
            .map_err(|error| Failure::infrastructure(format!("no observer thread: {error}")))?;
        let observer =
            Self { shared, stop: Some(stop), thread: Some(thread), started: Instant::now() };
        expiry::rehearse(observer.shared.watched.zookeeper.clone());
        match tokio::time::timeout(FIRST_VIEW_LIMIT, is_ready).await {
            Ok(Ok(())) => Ok(observer),
            _ => Err(Failure::infrastructure("the observer could not read ZooKeeper")),
        }
    }

    /// Whether there is a session with ZooKeeper, so that [`Self::view`] follows it.
    pub fn sees(&self) -> bool {
        self.shared.sees.load(Ordering::Relaxed)
    }

    /// The cluster as ZooKeeper described it last; milliseconds old while [`Self::sees`].
    pub fn view(&self) -> View {
        self.shared.view().clone()
    }

    /// Watches the brokers' metadata from now on: their topics exist.
    pub fn watch_metadata(&self) {
        self.shared.metadata.store(true, Ordering::Relaxed);
        self.shared.fast.send_replace(false);
    }

    /// Asks every broker about 50 times a second, or twice.
    pub fn set_fast(&self, fast: bool) {
        self.shared.fast.send_replace(fast);
    }

    /// Ends the watching and records what it cost.
    pub fn stop(mut self) {
        let over_s = self.started.elapsed().as_secs_f64();
        if let Some(cpu_s) = self.end() {
            self.shared.watched.recorder.now(EventKind::ObserverCost {
                requests: self.shared.requests.load(Ordering::Relaxed),
                bytes: self.shared.bytes.load(Ordering::Relaxed),
                cpu_s,
                over_s,
            });
        }
    }

    /// Ends the thread; its CPU seconds.
    fn end(&mut self) -> Option<f64> {
        // A thread that has ended by itself listens no more.
        self.stop.take()?.send(()).ok();
        self.thread.take()?.join().ok()
    }
}

impl Drop for Observer {
    fn drop(&mut self) {
        self.end();
    }
}

impl Shared {
    fn view(&self) -> std::sync::MutexGuard<'_, View> {
        // Updates are single assignments: a panic leaves nothing half done.
        self.view.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

/// The observer's thread; returns its CPU seconds.
fn observe(shared: Arc<Shared>, ready: oneshot::Sender<()>, stopped: oneshot::Receiver<()>) -> f64 {
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            tracing::error!(%error, "no runtime for the observer");
            return 0.0;
        }
    };
    let local = tokio::task::LocalSet::new();
    runtime.block_on(local.run_until(async {
        tokio::task::spawn_local(zookeeper::watch(Arc::clone(&shared), ready));
        for (broker, address) in shared.watched.brokers.clone() {
            tokio::task::spawn_local(metadata::watch(Arc::clone(&shared), broker, address));
        }
        // Stopped on purpose or by dropping: both end the tasks.
        drop(stopped.await);
    }));
    getrusage(UsageWho::RUSAGE_THREAD).map_or(0.0, |usage| {
        (usage.user_time().num_microseconds() + usage.system_time().num_microseconds()) as f64 / 1e6
    })
}
