//! The thread that an observer watches on, and what its tasks share.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use faults::port::View;
use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::time::TimeValLike;
use results::record::clock::RunTime;
use results::record::event::{BrokerId, Cause, EventKind, MetadataPlane, Place};
use tokio::sync::{oneshot, watch};
use tokio::task::{JoinHandle as Task, spawn_local};

use super::{Watched, metadata, topics};
use crate::failure::Failure;

/// Limit for the first complete view; the servers serve when the observer is started.
const FIRST_VIEW_LIMIT: Duration = Duration::from_secs(20);

/// A change is learnt within this time while the view follows the plane: 138 ms were measured.
const LATEST_NEWS: Duration = Duration::from_secs(1);

/// What the tasks of an observer share.
pub(super) struct Shared {
    pub(super) watched: Watched,
    view: Mutex<View>,
    pub(super) fast: watch::Sender<bool>,
    /// Whether the brokers are asked for their metadata.
    pub(super) metadata: AtomicBool,
    /// Whether the view follows the metadata plane; if not, it is what was seen last.
    pub(super) sees: AtomicBool,
    /// Since when it does not, in nanoseconds on the run's clock.
    blind_since: AtomicU64,
    /// Why the last attempt to follow it ended.
    lost: Mutex<Option<String>>,
    pub(super) requests: AtomicU64,
    pub(super) bytes: AtomicU64,
}

impl Shared {
    pub(super) fn view(&self) -> MutexGuard<'_, View> {
        // Updates are single assignments: a panic leaves nothing half done.
        self.view.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The view does not follow the plane any more. Whether it did until now.
    pub(super) fn lost_sight(&self) -> bool {
        let saw = self.sees.swap(false, Ordering::Relaxed);
        if saw {
            let now = self.watched.recorder.clock().now();
            self.blind_since.store(now.0, Ordering::Relaxed);
        }
        saw
    }

    /// The view follows the plane, from now on or again.
    pub(super) fn sees_again(&self) {
        if !self.sees.swap(true, Ordering::Relaxed) {
            self.was_blind();
        }
    }

    /// Records that the view did not follow the plane until now, if it ever had.
    fn was_blind(&self) {
        let from = RunTime(self.blind_since.load(Ordering::Relaxed));
        if from > RunTime(0) {
            let (cause, place) = (Cause::ObserverLost, Place::Kbench);
            self.watched.recorder.now(EventKind::Disturbed { cause, place, from, detail: None });
        }
    }

    /// When something happened that was learnt just now, by the plane's own clock (Unix milliseconds).
    pub(super) fn when(&self, unix_ms: i64) -> RunTime {
        let clock = self.watched.recorder.clock();
        let now = clock.now();
        if !self.watched.clock_is_ours {
            return now;
        }
        let earliest = match self.sees.load(Ordering::Relaxed) {
            true => now.0.saturating_sub(LATEST_NEWS.as_nanos() as u64),
            false => self.blind_since.load(Ordering::Relaxed),
        };
        let said = clock.from_wall_ms(unix_ms);
        if (earliest..=now.0).contains(&said.0) { said } else { now }
    }

    /// Why the last attempt to follow the plane ended; `None` before the first has.
    pub(super) fn lost(&self) -> MutexGuard<'_, Option<String>> {
        // Single assignments, as of the view.
        self.lost.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A thread that watches. Dropping it ends the thread.
pub struct Watching {
    pub(super) shared: Arc<Shared>,
    running: Mutex<Option<Running>>,
    started: Instant,
}

struct Running {
    stop: oneshot::Sender<()>,
    thread: JoinHandle<f64>,
}

impl Watching {
    /// Starts a thread that runs `watch` and asks every broker; returns when `watch` has told its
    /// sender that everything in the metadata plane was read once.
    ///
    /// # Errors
    /// An infrastructure failure when there is no thread, or the plane does not answer in time.
    pub(super) async fn start<P, F>(
        watched: Watched,
        plane: MetadataPlane,
        watch: P,
    ) -> Result<Self, Failure>
    where
        P: FnOnce(Arc<Shared>, oneshot::Sender<()>) -> F + Send + 'static,
        F: Future<Output = ()> + 'static,
    {
        let (watching, is_ready) = Self::start_blind(watched, plane, watch)?;
        match tokio::time::timeout(FIRST_VIEW_LIMIT, is_ready).await {
            Ok(Ok(())) => Ok(watching),
            _ => {
                let limit = FIRST_VIEW_LIMIT.as_secs();
                let lost = watching.shared.lost().take();
                let why = lost.unwrap_or_else(|| "no answer".to_owned());
                Err(Failure::infrastructure(format!(
                    "the observer could not read {plane} within {limit} s: {why}"
                )))
            }
        }
    }

    /// Does the same, but returns at once; the receiver is told what [`Self::start`] waits for.
    ///
    /// # Errors
    /// An infrastructure failure when there is no thread.
    pub(super) fn start_blind<P, F>(
        watched: Watched,
        plane: MetadataPlane,
        watch: P,
    ) -> Result<(Self, oneshot::Receiver<()>), Failure>
    where
        P: FnOnce(Arc<Shared>, oneshot::Sender<()>) -> F + Send + 'static,
        F: Future<Output = ()> + 'static,
    {
        let topic = watched.members.topics().into_iter().next().unwrap_or_default();
        let shared = Arc::new(Shared {
            watched,
            view: Mutex::new(View { plane, topic, ..View::default() }),
            fast: watch::channel(false).0,
            metadata: AtomicBool::new(false),
            sees: AtomicBool::new(false),
            blind_since: AtomicU64::new(0),
            lost: Mutex::default(),
            requests: AtomicU64::new(0),
            bytes: AtomicU64::new(0),
        });
        let (stop, stopped) = oneshot::channel();
        let (ready, is_ready) = oneshot::channel();
        let inner = Arc::clone(&shared);
        let thread = std::thread::Builder::new()
            .name("observer".to_owned())
            .spawn(move || observe(inner, |shared| watch(shared, ready), stopped))
            .map_err(|error| {
                Failure::infrastructure(format!("the observer's thread cannot be started: {error}"))
            })?;
        let running = Mutex::new(Some(Running { stop, thread }));
        Ok((Self { shared, running, started: Instant::now() }, is_ready))
    }

    /// Ends the watching and records what it cost, once.
    pub(super) fn stop(&self) {
        let over_s = self.started.elapsed().as_secs_f64();
        if let Some(cpu_s) = self.end() {
            if !self.shared.sees.load(Ordering::Relaxed) {
                self.shared.was_blind();
            }
            self.shared.watched.recorder.now(EventKind::ObserverCost {
                requests: self.shared.requests.load(Ordering::Relaxed),
                bytes: self.shared.bytes.load(Ordering::Relaxed),
                cpu_s,
                over_s,
            });
        }
    }

    /// Ends the thread; its CPU seconds, the first time.
    fn end(&self) -> Option<f64> {
        let running = self.running.lock().unwrap_or_else(PoisonError::into_inner).take()?;
        // A thread that has ended by itself listens no more.
        running.stop.send(()).ok();
        running.thread.join().ok()
    }
}

impl Drop for Watching {
    fn drop(&mut self) {
        self.end();
    }
}

/// The observer's thread; returns its CPU seconds.
fn observe<F: Future<Output = ()> + 'static>(
    shared: Arc<Shared>,
    plane: impl FnOnce(Arc<Shared>) -> F,
    stopped: oneshot::Receiver<()>,
) -> f64 {
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            tracing::error!(%error, "no runtime for the observer");
            return 0.0;
        }
    };
    let local = tokio::task::LocalSet::new();
    runtime.block_on(local.run_until(async {
        spawn_local(plane(Arc::clone(&shared)));
        spawn_local(topics::watch(Arc::clone(&shared)));
        spawn_local(ask_members(shared));
        // Stopped on purpose or by dropping: both end the tasks.
        drop(stopped.await);
    }));
    getrusage(UsageWho::RUSAGE_THREAD).map_or(0.0, |usage| {
        (usage.user_time().num_microseconds() + usage.system_time().num_microseconds()) as f64 / 1e6
    })
}

/// Asks every broker that belongs to the cluster, for as long as it does.
async fn ask_members(shared: Arc<Shared>) {
    let mut changes = shared.watched.members.changes();
    let mut asked: BTreeMap<BrokerId, Task<()>> = BTreeMap::new();
    loop {
        changes.mark_unchanged();
        let brokers = shared.watched.members.brokers();
        asked.retain(|broker, task| {
            let stays = brokers.contains_key(broker);
            if !stays {
                task.abort();
            }
            stays
        });
        for (broker, address) in brokers {
            asked.entry(broker).or_insert_with(|| {
                spawn_local(metadata::watch(Arc::clone(&shared), broker, address))
            });
        }
        if changes.changed().await.is_err() {
            return;
        }
    }
}
